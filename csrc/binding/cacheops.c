// SPDX-License-Identifier: MIT
/* The methods of Cache that are about one key. */
#include "binding/cachemethods.h"

PyObject *
cxb_cache_get(CacheObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const struct cxb_signature signature = {"get", 1, {"key", "default", NULL}};
    PyObject *out[2] = {nargs > 0 ? args[0] : NULL, nargs > 1 ? args[1] : NULL};
    if (CX_UNLIKELY(kwnames != NULL || nargs < 1 || nargs > 2) &&
        cxb_bind(&signature, args, nargs, kwnames, out) < 0) {
        return NULL;
    }
    PyObject *value = cxb_cache_use(self, out[0]);
    if (value == NULL && !PyErr_Occurred()) {
        value = Py_NewRef(out[1] != NULL ? out[1] : Py_None);
    }
    return value;
}

PyObject *
cxb_cache_peek(CacheObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const struct cxb_signature signature = {"peek", 1, {"key", "default", NULL}};
    PyObject *out[2];
    if (cxb_bind(&signature, args, nargs, kwnames, out) < 0) {
        return NULL;
    }
    PyObject *value = cxb_cache_look(self, out[0]);
    if (value == NULL && !PyErr_Occurred()) {
        value = Py_NewRef(out[1] != NULL ? out[1] : Py_None);
    }
    return value;
}

PyObject *
cxb_cache_set(CacheObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const struct cxb_signature signature = {
        "set", 2, {"key", "value", "ttl", "tti", "weight", "tags", NULL}};
    PyObject *out[6];
    if (nargs > 2) {
        PyErr_Format(PyExc_TypeError, "set() takes 2 positional arguments (%zd given)", nargs);
        return NULL;
    }
    if (cxb_bind(&signature, args, nargs, kwnames, out) < 0) {
        return NULL;
    }
    struct cxb_store how = {.ttl = out[2], .tti = out[3], .weight = out[4], .tags = out[5]};
    int stored = cxb_cache_store(self, out[0], out[1], &how);
    return stored < 0 ? NULL : PyBool_FromLong(stored);
}

PyObject *
cxb_cache_setdefault(CacheObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const struct cxb_signature signature = {"setdefault", 1, {"key", "default", NULL}};
    PyObject *out[2];
    if (cxb_bind(&signature, args, nargs, kwnames, out) < 0) {
        return NULL;
    }
    PyObject *value = out[1] != NULL ? out[1] : Py_None;
    struct cxb_store how = {.when = CXB_IF_ABSENT};
    if (cxb_cache_store(self, out[0], value, &how) < 0) {
        return NULL;
    }
    return how.found != NULL ? how.found : Py_NewRef(value);
}

/* What fn returns takes the place of the value that it was given, or fn is called again. */
PyObject *
cxb_cache_compute(CacheObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const struct cxb_signature signature = {"compute", 2, {"key", "fn", "default", NULL}};
    PyObject *out[3];
    if (cxb_bind(&signature, args, nargs, kwnames, out) < 0) {
        return NULL;
    }
    for (;;) {
        PyObject *before = cxb_cache_look(self, out[0]);
        if (before == NULL && PyErr_Occurred()) {
            return NULL;
        }
        struct cxb_store how = {.when = CXB_IF_SAME, .expected = before};
        PyObject *shown = before != NULL ? before : out[2] != NULL ? out[2] : Py_None;
        PyObject *after = PyObject_CallOneArg(out[1], shown);
        int stored = after == NULL ? -1 : cxb_cache_store(self, out[0], after, &how);
        Py_XDECREF(before);
        if (stored > 0 || (stored == 0 && how.is_refused)) {
            return after;
        }
        Py_XDECREF(after);
        if (stored < 0) {
            return NULL;
        }
    }
}

PyObject *
cxb_cache_pop(CacheObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const struct cxb_signature signature = {"pop", 1, {"key", "default", NULL}};
    PyObject *out[2];
    if (cxb_bind(&signature, args, nargs, kwnames, out) < 0) {
        return NULL;
    }
    PyObject *value = cxb_cache_take_out(self, out[0]);
    if (value == NULL && !PyErr_Occurred()) {
        if (out[1] != NULL) {
            return Py_NewRef(out[1]);
        }
        cxb_raise_key(out[0]);
    }
    return value;
}

/* The columns and the wheel that a deadline needs are got as for a put. */
static int
give_time(CacheObject *self, PyObject *key, int64_t ttl, int64_t span)
{
    struct cxb_probe probe;
    struct cx_put put = {.weight = 1, .span = span};
    struct cx_room room;
    int status;
    bool planned;
    cxb_cache_starts_timing(self, ttl);
    cxb_cache_starts_timing(self, span);
    if (cxb_probe_init(&probe, key) < 0 || cxb_cache_now(self, &put.now) < 0) {
        return -1;
    }
    put.deadline = cxb_cache_deadline(self, put.now, ttl);
    do {
        struct cx_dead dead;
        dead.count = 0;
        uint32_t at;
        status = cxb_cache_enter_fresh(self, &probe, put.now, &at, &dead);
        if (status < 0) {
            break;
        }
        planned = status == CX_OK && cx_cache_plan(&self->core, &put, &room);
        if (status == CX_OK && !planned) {
            cx_cache_set_time(&self->core, at, put.deadline, put.span, put.now);
            cx_cache_hit(&self->core, at, put.now);
        }
        cx_cache_release(&self->core);
        cxb_cache_bury(self, &dead, NULL, NULL);
        if (planned && cxb_cache_get_room(self, &room) < 0) {
            status = -1;
        }
    } while (status >= 0 && planned);
    cxb_probe_fini(&probe);
    return status < 0 ? -1 : status == CX_OK;
}

PyObject *
cxb_cache_touch(CacheObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const struct cxb_signature signature = {"touch", 1, {"key", "ttl", "tti", NULL}};
    PyObject *out[3];
    int64_t ttl, tti;
    if (nargs > 1) {
        PyErr_Format(PyExc_TypeError, "touch() takes 1 positional argument (%zd given)", nargs);
        return NULL;
    }
    if (cxb_bind(&signature, args, nargs, kwnames, out) < 0 ||
        cxb_cache_span(out[1], "ttl", self->ttl, &ttl) < 0 ||
        cxb_cache_span(out[2], "tti", self->tti, &tti) < 0) {
        return NULL;
    }
    int there = give_time(self, out[0], ttl, tti);
    return there < 0 ? NULL : PyBool_FromLong(there);
}

PyObject *
cxb_cache_ttl(CacheObject *self, PyObject *key)
{
    struct cxb_probe probe;
    int64_t now, left = CX_FOREVER;
    uint32_t at;
    if (cxb_probe_init(&probe, key) < 0 || cxb_cache_now(self, &now) < 0) {
        return NULL;
    }
    int status = cxb_cache_enter(self, &probe, now, &at);
    if (status == CX_OK && self->core.entries.at[at].is_timed) {
        left = cx_load_relaxed(&self->core.entries.when[at].deadline) - now;
    }
    if (status >= 0) {
        cx_cache_release(&self->core);
    }
    cxb_probe_fini(&probe);
    if (status == CX_OK) {
        return left == CX_FOREVER ? Py_NewRef(Py_None) : PyFloat_FromDouble((double)left / 1e9);
    }
    if (status >= 0) {
        cxb_raise_key(key);
    }
    return NULL;
}

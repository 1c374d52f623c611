// SPDX-License-Identifier: MIT
#include "binding/cacheload.h"

#include "binding/done.h"

struct fetching {
    struct cxb_loading loading; /* first */
    CacheObject *cache;
    PyObject *loader;
};

void
cxb_cache_count_load(CacheObject *self, int64_t began, bool failed)
{
    (void)cx_fetch_add_relaxed(&self->load_ns, (uint64_t)(cx_now() - began));
    (void)cx_fetch_add_relaxed(failed ? &self->load_failures : &self->loads, 1);
}

static int
keep(CacheObject *self, PyObject *key, PyObject *value, FlightObject *flight, struct cxb_store *how)
{
    how->unless = &flight->is_forgotten;
    int done = cxb_cache_store(self, key, value, how);
    Py_CLEAR(how->found);
    return done;
}

int
cxb_cache_keep(CacheObject *self, PyObject *key, PyObject *value, FlightObject *flight)
{
    struct cxb_store how = {.when = CXB_IF_ABSENT};
    return flight == NULL || keep(self, key, value, flight, &how) >= 0 ? 0 : -1;
}

static PyObject *
load(struct cxb_loading *loading, FlightObject *flight)
{
    const struct fetching *how = (struct fetching *)loading;
    CacheObject *self = how->cache;
    /* It may have been stored between the look for it and the flight. */
    PyObject *value = flight == NULL ? NULL : cxb_cache_look(self, loading->key);
    if (value != NULL || PyErr_Occurred()) {
        return value;
    }
    int64_t began = cx_now();
    value = PyObject_CallOneArg(how->loader, loading->key);
    cxb_cache_count_load(self, began, value == NULL);
    if (value != NULL && cxb_cache_keep(self, loading->key, value, flight) < 0) {
        Py_CLEAR(value);
    }
    return value;
}

/* (key, loader, *, timeout=None) */
static int
bind(const char *name, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, PyObject **out)
{
    const struct cxb_signature signature = {name, 2, {"key", "loader", "timeout", NULL}};
    if (nargs > 2) {
        PyErr_Format(PyExc_TypeError, "%s() takes 2 positional arguments (%zd given)", name, nargs);
        return -1;
    }
    return cxb_bind(&signature, args, nargs, kwnames, out);
}

PyObject *
cxb_cache_get_or_load(CacheObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *out[3];
    if (bind("get_or_load", args, nargs, kwnames, out) < 0) {
        return NULL;
    }
    PyObject *value = cxb_cache_use(self, out[0]);
    if (value != NULL || PyErr_Occurred()) {
        return value;
    }
    SingleFlightObject *flights = cxb_cache_flights(self);
    struct fetching how = {.loading = {.load = load, .key = out[0], .timeout = out[2]},
                           .cache = self,
                           .loader = out[1]};
    return flights == NULL ? NULL : cxb_flights_do(flights, &how.loading);
}

PyObject *
cxb_cache_get_or_load_async(CacheObject *self, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames)
{
    PyObject *out[3];
    if (bind("get_or_load_async", args, nargs, kwnames, out) < 0) {
        return NULL;
    }
    PyObject *value = cxb_cache_use(self, out[0]);
    if (value != NULL || PyErr_Occurred()) {
        return cxb_done_steal(self->state, value);
    }
    PyObject *make = cxb_import_once(&self->state->cache_load, "concx._load", "get_or_load_async");
    return make == NULL ? NULL
                        : PyObject_CallFunctionObjArgs(make, (PyObject *)self, out[0], out[1],
                                                       out[2] != NULL ? out[2] : Py_None, NULL);
}

/* --- for concx._load ------------------------------------------------------------------------------- */

/* _keep(key, value, flight, ttl, expected): with MISSING expected, if there is no value; else in the
 * place of that one.  A flight of None keeps nothing. */
PyObject *
cxb_cache_private_keep(CacheObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (!cxb_takes("_keep", nargs, 5, 5)) {
        return NULL;
    }
    bool is_new = args[4] == self->state->missing;
    struct cxb_store how = {.when = is_new ? CXB_IF_ABSENT : CXB_IF_SAME,
                            .expected = is_new ? NULL : args[4],
                            .ttl = args[3]};
    if (args[2] == Py_None) {
        Py_RETURN_FALSE;
    }
    if (!Py_IS_TYPE(args[2], self->state->flight_type)) {
        return PyErr_Format(PyExc_TypeError, "flight must be a flight or None, got %R", args[2]);
    }
    int kept = keep(self, args[0], args[1], (FlightObject *)args[2], &how);
    return kept < 0 ? NULL : PyBool_FromLong(kept);
}

/* _loaded(seconds, failed) */
PyObject *
cxb_cache_private_loaded(CacheObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (!cxb_takes("_loaded", nargs, 2, 2)) {
        return NULL;
    }
    double seconds = PyFloat_AsDouble(args[0]);
    int failed = PyObject_IsTrue(args[1]);
    if (failed < 0 || (seconds == -1.0 && PyErr_Occurred())) {
        return NULL;
    }
    cxb_cache_count_load(self, cx_now() - (int64_t)(seconds * 1e9), failed);
    Py_RETURN_NONE;
}

/* What was counted as a hit is found too old. */
PyObject *
cxb_cache_private_was_miss(CacheObject *self, PyObject *unused)
{
    (void)unused;
    (void)cx_fetch_add_relaxed(&self->late, 1);
    Py_RETURN_NONE;
}

PyObject *
cxb_cache_private_flights(CacheObject *self, void *unused)
{
    (void)unused;
    return Py_XNewRef((PyObject *)cxb_cache_flights(self));
}

// SPDX-License-Identifier: MIT
/* The methods of Cache that are about many entries, and its bounds. */
#include "binding/cachemethods.h"

#include "binding/cacheload.h"

#define EXPIRED_AT_ONCE 1024 /* nodes of the wheel in one exclusion */

bool
cxb_cache_next(CacheObject *self, uint32_t *slot, PyObject **key, PyObject **value)
{
    struct cx_cache *core = &self->core;
    int64_t now;
    if (cxb_cache_now(self, &now) < 0) {
        return false;
    }
    if (!cx_cache_take(core)) {
        PyErr_NoMemory();
        return false;
    }
    uint32_t at = cx_entries_next(&core->entries, *slot);
    while (at != CX_NONE && cx_cache_is_late(core, at, now)) {
        at = cx_entries_next(&core->entries, at + 1);
    }
    if (at != CX_NONE) {
        *key = Py_NewRef((PyObject *)core->entries.at[at].key);
        *value = Py_NewRef((PyObject *)core->entries.at[at].value);
        *slot = at;
    }
    cx_cache_release(core);
    return at != CX_NONE;
}

PyObject *
cxb_cache_clear(CacheObject *self, PyObject *unused)
{
    (void)unused;
    if (cxb_cache_forget_loads(self) < 0) {
        return NULL;
    }
    if (cxb_cache_empty(self, true) < 0) {
        return PyErr_NoMemory();
    }
    Py_RETURN_NONE;
}

/* --- many keys ----------------------------------------------------------------------------------- */

PyObject *
cxb_cache_get_many(CacheObject *self, PyObject *keys)
{
    PyObject *found = PyDict_New(), *each = PyObject_GetIter(keys), *key;
    while (found != NULL && each != NULL && (key = PyIter_Next(each)) != NULL) {
        PyObject *value = cxb_cache_use(self, key);
        if ((value == NULL && PyErr_Occurred()) ||
            (value != NULL && PyDict_SetItem(found, key, value) < 0)) {
            Py_CLEAR(each);
        }
        Py_XDECREF(value);
        Py_DECREF(key);
    }
    if (each == NULL || PyErr_Occurred()) {
        Py_CLEAR(found);
    }
    Py_XDECREF(each);
    return found;
}

static int
store_pair(CacheObject *self, PyObject *key, PyObject *value, const struct cxb_store *how)
{
    struct cxb_store each = *how;
    return cxb_cache_store(self, key, value, &each) < 0 ? -1 : 0;
}

static int
store_pairs(CacheObject *self, PyObject *pairs, const struct cxb_store *how)
{
    PyObject *each = PyObject_GetIter(pairs), *pair;
    Py_ssize_t index = 0;
    while (each != NULL && (pair = PyIter_Next(each)) != NULL) {
        PyObject *two = PySequence_Fast(pair, "an item of items must be a pair of key and value");
        int done = -1;
        if (two != NULL && PySequence_Fast_GET_SIZE(two) != 2) {
            PyErr_Format(PyExc_ValueError,
                         "item %zd of items must be a pair of key and value, got %R", index, pair);
        }
        else if (two != NULL) {
            done = store_pair(self, PySequence_Fast_GET_ITEM(two, 0),
                              PySequence_Fast_GET_ITEM(two, 1), how);
        }
        Py_XDECREF(two);
        Py_DECREF(pair);
        index++;
        if (done < 0) {
            Py_CLEAR(each);
        }
    }
    int done = each == NULL || PyErr_Occurred() ? -1 : 0;
    Py_XDECREF(each);
    return done;
}

/* What has keys() and [], and perhaps nothing else. */
static int
store_mapping(CacheObject *self, PyObject *mapping, const struct cxb_store *how)
{
    PyObject *keys = PyMapping_Keys(mapping); /* a list */
    int done = keys == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; done == 0 && i < PyList_GET_SIZE(keys); i++) {
        PyObject *key = PyList_GET_ITEM(keys, i);
        PyObject *value = PyObject_GetItem(mapping, key);
        done = value == NULL ? -1 : store_pair(self, key, value, how);
        Py_XDECREF(value);
    }
    Py_XDECREF(keys);
    return done;
}

int
cxb_cache_update(CacheObject *self, PyObject *items, const struct cxb_store *how)
{
    if (PyDict_CheckExact(items) || PyObject_TypeCheck(items, self->state->cache_type)) {
        PyObject *pairs =
            PyMapping_Items(items); /* no uses of a cache, and nothing can be missing */
        int done = pairs == NULL ? -1 : store_pairs(self, pairs, how);
        Py_XDECREF(pairs);
        return done;
    }
    PyObject *method = PyObject_GetAttr(items, self->state->names.keys);
    if (method == NULL && !PyErr_ExceptionMatches(PyExc_AttributeError)) {
        return -1;
    }
    PyErr_Clear();
    Py_XDECREF(method);
    return method == NULL ? store_pairs(self, items, how) : store_mapping(self, items, how);
}

PyObject *
cxb_cache_set_many(CacheObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const struct cxb_signature signature = {"set_many", 1, {"items", "ttl", "tti", NULL}};
    PyObject *out[3];
    if (nargs > 1) {
        PyErr_Format(PyExc_TypeError, "set_many() takes 1 positional argument (%zd given)", nargs);
        return NULL;
    }
    if (cxb_bind(&signature, args, nargs, kwnames, out) < 0) {
        return NULL;
    }
    struct cxb_store how = {.ttl = out[1], .tti = out[2]};
    return cxb_cache_update(self, out[0], &how) < 0 ? NULL : Py_NewRef(Py_None);
}

PyObject *
cxb_cache_update_method(CacheObject *self, PyObject *const *args, Py_ssize_t nargs,
                        PyObject *kwnames)
{
    const struct cxb_store how = {0};
    if (nargs > 1) {
        PyErr_Format(PyExc_TypeError, "update expected at most 1 argument, got %zd", nargs);
        return NULL;
    }
    if (nargs == 1 && cxb_cache_update(self, args[0], &how) < 0) {
        return NULL;
    }
    for (Py_ssize_t i = 0; kwnames != NULL && i < PyTuple_GET_SIZE(kwnames); i++) {
        if (store_pair(self, PyTuple_GET_ITEM(kwnames, i), args[nargs + i], &how) < 0) {
            return NULL;
        }
    }
    Py_RETURN_NONE;
}

PyObject *
cxb_cache_invalidate_if(CacheObject *self, PyObject *predicate)
{
    PyObject *key, *value;
    Py_ssize_t removed = 0;
    if (cxb_cache_forget_loads(self) < 0) {
        return NULL;
    }
    for (uint32_t slot = 0; cxb_cache_next(self, &slot, &key, &value); slot++) {
        PyObject *args[] = {key, value};
        PyObject *answer = PyObject_Vectorcall(predicate, args, 2, NULL);
        int goes = answer == NULL ? -1 : PyObject_IsTrue(answer);
        Py_XDECREF(answer);
        struct cx_dead dead;
        dead.count = 0;
        if (goes > 0 && cx_cache_take(&self->core)) {
            const struct cx_entries *entries = &self->core.entries;
            if (cx_entries_next(entries, slot) == slot && entries->at[slot].key == key &&
                entries->at[slot].value == value) { /* still what the predicate saw */
                cx_cache_remove(&self->core, slot, CX_EXPLICIT, &dead);
                removed++;
            }
            cx_cache_release(&self->core);
        }
        cxb_cache_bury(self, &dead, NULL, NULL);
        Py_DECREF(key);
        Py_DECREF(value);
        if (goes < 0) {
            return NULL;
        }
    }
    return PyErr_Occurred() ? NULL : PyLong_FromSsize_t(removed);
}

/* --- by the policy's order ----------------------------------------------------------------------- */

/* The first entry in that order that is not pinned, taken out; then any that is. */
PyObject *
cxb_cache_popitem(CacheObject *self, PyObject *unused)
{
    int64_t now;
    (void)unused;
    for (;;) {
        struct cx_dead dead;
        dead.count = 0;
        PyObject *key = NULL, *value = NULL;
        if (cxb_cache_now(self, &now) < 0) {
            return NULL;
        }
        if (!cx_cache_take(&self->core)) {
            return PyErr_NoMemory();
        }
        const struct cx_entries *entries = &self->core.entries;
        uint32_t at = cx_policy_colder(&self->core.policy, CX_NONE);
        at = at == CX_NONE ? cx_entries_next(entries, 0) : at;
        bool late = at != CX_NONE && cx_cache_is_late(&self->core, at, now);
        if (at != CX_NONE && !late) {
            key = Py_NewRef((PyObject *)entries->at[at].key);
            value = Py_NewRef((PyObject *)entries->at[at].value);
        }
        if (at != CX_NONE) {
            cx_cache_remove(&self->core, at, late ? CX_EXPIRED : CX_EXPLICIT, &dead);
        }
        cx_cache_release(&self->core);
        cxb_cache_bury(self, &dead, NULL, NULL);
        if (key != NULL) {
            return Py_BuildValue("(NN)", key, value);
        }
        if (at == CX_NONE) {
            PyErr_SetString(PyExc_KeyError, "popitem(): the cache is empty");
            return NULL;
        }
    }
}

/* Up to n pairs of new references, in that order; how many. */
static Py_ssize_t
gather(CacheObject *self, PyObject **pairs, Py_ssize_t n, int64_t now,
       uint32_t (*next)(const struct cx_policy *, uint32_t))
{
    const struct cx_entries *entries = &self->core.entries;
    Py_ssize_t count = 0;
    uint32_t at = CX_NONE;
    while (count < n && (at = next(&self->core.policy, at)) != CX_NONE) {
        if (!cx_cache_is_late(&self->core, at, now)) {
            pairs[2 * count] = Py_NewRef((PyObject *)entries->at[at].key);
            pairs[2 * count + 1] = Py_NewRef((PyObject *)entries->at[at].value);
            count++;
        }
    }
    return count;
}

static PyObject *
list_of(PyObject **pairs, Py_ssize_t count)
{
    PyObject *list = PyList_New(count);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *pair = list == NULL ? NULL : PyTuple_Pack(2, pairs[2 * i], pairs[2 * i + 1]);
        if (pair == NULL) {
            Py_CLEAR(list);
        }
        else {
            PyList_SET_ITEM(list, i, pair);
        }
        Py_DECREF(pairs[2 * i]);
        Py_DECREF(pairs[2 * i + 1]);
    }
    return list;
}

static PyObject *
in_order(CacheObject *self, PyObject *n, uint32_t (*next)(const struct cx_policy *, uint32_t))
{
    struct cxb_bounds bounds;
    int64_t most, now;
    if (cxb_int64(n, 0, "n", &most) < 0 || cxb_cache_now(self, &now) < 0 ||
        cxb_cache_bounds(self, &bounds) < 0) {
        return NULL;
    }
    most = most < bounds.size ? most : bounds.size;
    PyObject **pairs = PyMem_New(PyObject *, 2 * (size_t)most + 1);
    if (pairs == NULL || !cx_cache_take(&self->core)) {
        PyMem_Free(pairs);
        return PyErr_NoMemory();
    }
    Py_ssize_t got = gather(self, pairs, (Py_ssize_t)most, now, next);
    cx_cache_release(&self->core);
    PyObject *list = list_of(pairs, got);
    PyMem_Free(pairs);
    return list;
}

PyObject *
cxb_cache_coldest(CacheObject *self, PyObject *n)
{
    return in_order(self, n, cx_policy_colder);
}

PyObject *
cxb_cache_hottest(CacheObject *self, PyObject *n)
{
    return in_order(self, n, cx_policy_hotter);
}

/* --- time and bounds ----------------------------------------------------------------------------- */

/* In steps, each an exclusion of its own. */
static Py_ssize_t
expire(CacheObject *self, int64_t now, int64_t limit)
{
    Py_ssize_t removed = 0;
    enum cx_status status;
    do {
        struct cx_dead dead;
        dead.count = 0;
        uint32_t step = limit < EXPIRED_AT_ONCE ? (uint32_t)limit : EXPIRED_AT_ONCE;
        uint32_t budget = step;
        if (!cx_cache_take(&self->core)) {
            PyErr_NoMemory();
            return -1;
        }
        status = cx_cache_expire(&self->core, now, true, &budget, &dead);
        cx_cache_release(&self->core);
        removed += dead.count;
        limit -= step - budget;
        cxb_cache_bury(self, &dead, NULL, NULL);
    } while (status != CX_OK && limit > 0);
    return removed;
}

PyObject *
cxb_cache_expire(CacheObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const struct cxb_signature signature = {"expire", 0, {"limit", NULL}};
    PyObject *out[1];
    int64_t limit = INT64_MAX, now;
    if (cxb_bind(&signature, args, nargs, kwnames, out) < 0 ||
        (out[0] != NULL && out[0] != Py_None && cxb_int64(out[0], 1, "limit", &limit) < 0) ||
        cxb_cache_now(self, &now) < 0) {
        return NULL;
    }
    Py_ssize_t removed = expire(self, now, limit);
    return removed < 0 ? NULL : PyLong_FromSsize_t(removed);
}

int
cxb_cache_bounds(CacheObject *self, struct cxb_bounds *bounds)
{
    const struct cx_cache *core = &self->core;
    if (!cx_cache_take(&self->core)) {
        PyErr_NoMemory();
        return -1;
    }
    *bounds = (struct cxb_bounds){.size = core->entries.count,
                                  .maxsize = core->maxsize,
                                  .weight = core->weight,
                                  .max_weight = core->max_weight};
    cx_cache_release(&self->core);
    return 0;
}

int
cxb_cache_bound(PyObject *object, const char *what, int64_t *bound)
{
    *bound = INT64_MAX;
    return object == NULL || object == Py_None ? 0 : cxb_int64(object, 0, what, bound);
}

PyObject *
cxb_cache_bound_get(int64_t bound)
{
    return bound == INT64_MAX ? Py_NewRef(Py_None) : PyLong_FromLongLong(bound);
}

PyObject *
cxb_cache_resize(CacheObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const struct cxb_signature signature = {"resize", 0, {"maxsize", "max_weight", NULL}};
    PyObject *out[2];
    int64_t maxsize, max_weight;
    enum cx_status status;
    if (cxb_bind(&signature, args, nargs, kwnames, out) < 0 ||
        cxb_cache_bound(out[0], "maxsize", &maxsize) < 0 ||
        cxb_cache_bound(out[1], "max_weight", &max_weight) < 0) {
        return NULL;
    }
    do {
        struct cx_dead dead;
        dead.count = 0;
        if (!cx_cache_take(&self->core)) {
            return PyErr_NoMemory();
        }
        self->core.maxsize = out[0] != NULL ? maxsize : self->core.maxsize;
        self->core.max_weight = out[1] != NULL ? max_weight : self->core.max_weight;
        status = cx_cache_shrink(&self->core, &dead);
        cx_cache_release(&self->core);
        cxb_cache_bury(self, &dead, NULL, NULL);
    } while (status == CX_AGAIN);
    Py_RETURN_NONE;
}

PyObject *
cxb_cache_stats(CacheObject *self, PyObject *unused)
{
    (void)unused;
    PyObject *make = cxb_import_once(&self->state->cache_stats, "concx.cache", "CacheStats");
    if (make == NULL) {
        return NULL;
    }
    if (!cx_cache_take(&self->core)) {
        return PyErr_NoMemory();
    }
    const struct cx_cache *core = &self->core;
    unsigned long long hits = cxb_cache_hits(self), misses = cxb_cache_misses(self);
    unsigned long long refused = core->refused;
    unsigned long long left[CX_CAUSES];
    for (int i = 0; i < CX_CAUSES; i++) {
        left[i] = core->left[i];
    }
    unsigned long size = core->entries.count;
    int64_t weight = core->weight, maxsize = core->maxsize, max_weight = core->max_weight;
    cx_cache_release(&self->core);
    PyObject *args = Py_BuildValue(
        "KKKKKKKKkNLNKKd", hits, misses, left[CX_SIZE], left[CX_EXPIRED], left[CX_REPLACED],
        left[CX_EXPLICIT], left[CX_CLEARED], refused, size, cxb_cache_bound_get(maxsize), weight,
        cxb_cache_bound_get(max_weight), (unsigned long long)cx_load_relaxed(&self->loads),
        (unsigned long long)cx_load_relaxed(&self->load_failures),
        (double)cx_load_relaxed(&self->load_ns) / 1e9);
    PyObject *stats = args == NULL ? NULL : PyObject_CallObject(make, args);
    Py_XDECREF(args);
    return stats;
}

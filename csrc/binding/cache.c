// SPDX-License-Identifier: MIT
#include "binding/cachemethods.h"

#include "binding/cachedoc.h"
#include "binding/cacheload.h"
#include "binding/cacheread.h"
#include "binding/share.h"

enum { KEYS, VALUES, ITEMS };

typedef struct {
    PyObject_HEAD
    CacheObject *cache; /* NULL once it has ended */
    uint32_t slot;
    int what;
} CacheIterObject;

/* --- construction -------------------------------------------------------------------------------- */

/* None is no callable; 0 or -1. */
static int
take_callable(PyObject *object, const char *what, PyObject **field)
{
    if (object == NULL || object == Py_None) {
        return 0;
    }
    if (!PyCallable_Check(object)) {
        PyErr_Format(PyExc_TypeError, "%s must be callable, got %R", what, object);
        return -1;
    }
    *field = Py_NewRef(object);
    return 0;
}

static int
set_times(CacheObject *self, PyObject *ttl, PyObject *tti, double jitter)
{
    if (cxb_cache_span(ttl, "ttl", 0, &self->ttl) < 0 ||
        cxb_cache_span(tti, "tti", 0, &self->tti) < 0) {
        return -1;
    }
    if (!(jitter >= 0 && jitter < 1)) {
        PyObject *value = PyFloat_FromDouble(jitter);
        PyErr_Format(PyExc_ValueError, "jitter must be at least 0 and less than 1, got %R", value);
        Py_XDECREF(value);
        return -1;
    }
    self->jitter = jitter;
    self->random = (uint64_t)(uintptr_t)self ^ (uint64_t)cx_now();
    cxb_cache_starts_timing(self, self->ttl);
    cxb_cache_starts_timing(self, self->tti);
    return 0;
}

/* time.monotonic itself is read in C. */
static int
set_timer(CacheObject *self, PyObject *timer)
{
    if (timer != NULL && PyCFunction_CheckExact(timer)) {
        PyObject *module = PyImport_ImportModule("time");
        PyObject *own = module == NULL ? NULL : PyObject_GetAttrString(module, "monotonic");
        Py_XDECREF(module);
        Py_XDECREF(own);
        if (own == NULL) {
            return -1;
        }
        if (own == timer) {
            return 0;
        }
    }
    return take_callable(timer, "timer", &self->timer);
}

/* expire_every: one thread of the process looks after all caches that want it. */
static int
set_sweeping(CacheObject *self, PyObject *every)
{
    int64_t span;
    if (cxb_cache_span(every, "expire_every", 0, &span) < 0) {
        return -1;
    }
    if (span == 0) {
        return 0;
    }
    PyObject *watch = cxb_import_once(&self->state->cache_watch, "concx._expiry", "watch");
    PyObject *done = watch == NULL
                         ? NULL
                         : PyObject_CallFunction(watch, "Od", (PyObject *)self, (double)span / 1e9);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static const struct cx_policy_kind *
policy_of(PyObject *policy)
{
    Py_ssize_t length = 0;
    const char *name = !PyUnicode_Check(policy) ? NULL : PyUnicode_AsUTF8AndSize(policy, &length);
    const struct cx_policy_kind *kind = name == NULL ? NULL : cx_policy_named(name, (size_t)length);
    if (kind == NULL && !PyErr_Occurred()) {
        PyErr_Format(PyExc_ValueError,
                     "policy must be 's3fifo', 'lru', 'tinylfu', 'sieve', 'lfu' or 'fifo', got %R",
                     policy);
    }
    return kind;
}

#if !CX_WITH_GIL
static void
retain(void *object)
{
    Py_INCREF((PyObject *)object);
}
#endif

static PyObject *
cache_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"maxsize", "policy",       "ttl",   "tti",      "jitter",
                            "weigher", "max_weight",   "timer", "on_evict", "shared",
                            "items",   "expire_every", NULL};
    PyObject *maxsize, *policy = NULL, *ttl = NULL, *tti = NULL, *weigher = NULL;
    PyObject *max_weight = NULL, *timer = NULL, *on_evict = NULL, *items = NULL;
    PyObject *every = NULL;
    double jitter = 0;
    int shared = 0;
    int64_t size, weight;
    struct cxb_state *state = cxb_state_of_type(type);
    if (state == NULL ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "O|$OOOdOOOOpOO:Cache", names, &maxsize, &policy,
                                     &ttl, &tti, &jitter, &weigher, &max_weight, &timer, &on_evict,
                                     &shared, &items, &every) ||
        cxb_cache_bound(maxsize, "maxsize", &size) < 0 ||
        cxb_cache_bound(max_weight, "max_weight", &weight) < 0) {
        return NULL;
    }
    const struct cx_policy_kind *kind = policy == NULL ? &cx_policy_s3fifo : policy_of(policy);
    CacheObject *self = kind == NULL ? NULL : (CacheObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->state = state;
    if (!cx_cache_init(&self->core, kind, size, weight)) {
        PyErr_NoMemory();
        goto fail;
    }
#if !CX_WITH_GIL
    self->core.retain = retain;
#endif
    const struct cxb_store how = {0};
    if (set_times(self, ttl, tti, jitter) < 0 || set_timer(self, timer) < 0 ||
        take_callable(weigher, "weigher", &self->weigher) < 0 ||
        take_callable(on_evict, "on_evict", &self->on_evict) < 0 ||
        (items != NULL && cxb_cache_update(self, items, &how) < 0) ||
        set_sweeping(self, every) < 0) {
        goto fail;
    }
    if (shared) {
        cxb_share((PyObject *)self);
    }
    return (PyObject *)self;
fail:
    Py_DECREF((PyObject *)self);
    return NULL;
}

/* What is gone and waits for readers still has its references. */
static int
traverse_entries(const struct cx_entries *entries, visitproc visit, void *arg)
{
    for (uint32_t i = 0; i < entries->used; i++) {
        Py_VISIT((PyObject *)entries->at[i].key);
        Py_VISIT((PyObject *)entries->at[i].value);
    }
    return 0;
}

/* The collector has stopped every thread that could be inside. */
static int
cache_traverse(CacheObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->weigher);
    Py_VISIT(self->on_evict);
    Py_VISIT(self->timer);
    Py_VISIT(self->flights);
    int stop = traverse_entries(&self->core.entries, visit, arg);
#if !CX_WITH_GIL
    for (int sealed = 0; sealed < 2; sealed++) {
        const struct cx_entries *gone = cx_gone_arrays(&self->core.gone, sealed);
        for (; stop == 0 && gone != NULL; gone = gone->retired) {
            stop = gone->is_full ? traverse_entries(gone, visit, arg) : 0;
        }
    }
#endif
    return stop;
}

/* Without memory of its own: some entries at a time. */
static void
drop_entries(CacheObject *self)
{
    struct cx_dead dead;
    do {
        dead.count = 0;
        if (!cx_cache_take(&self->core)) {
            return;
        }
        uint32_t at = 0;
        while (dead.count < CX_DEAD && (at = cx_entries_next(&self->core.entries, at)) != CX_NONE) {
            cx_cache_remove(&self->core, at, CX_CLEARED, &dead);
        }
        cx_cache_release(&self->core);
        for (unsigned i = 0; i < dead.count; i++) {
            Py_DECREF((PyObject *)dead.item[i].key);
            Py_DECREF((PyObject *)dead.item[i].value);
        }
    } while (dead.count > 0);
}

static int
cache_clear(CacheObject *self)
{
    Py_CLEAR(self->weigher);
    Py_CLEAR(self->on_evict);
    Py_CLEAR(self->timer);
    Py_CLEAR(self->flights);
    if (self->core.entries.at != NULL && cxb_cache_empty(self, false) < 0) {
        drop_entries(self);
    }
    return 0;
}

static void
cache_dealloc(CacheObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    Py_CLEAR(self->weigher);
    Py_CLEAR(self->on_evict);
    Py_CLEAR(self->timer);
    Py_CLEAR(self->flights);
    if (self->core.entries.at != NULL) {
        drop_entries(self);
        cxb_cache_drop_gone(self);
        cxb_cache_drop_tags(self);
        cx_cache_fini(&self->core);
    }
    type->tp_free(self);
    Py_DECREF(type);
}

/* --- dict's protocols ---------------------------------------------------------------------------- */

static Py_ssize_t
cache_length(CacheObject *self)
{
    struct cxb_bounds bounds;
    return cxb_cache_bounds(self, &bounds) < 0 ? -1 : (Py_ssize_t)bounds.size;
}

static PyObject *
cache_subscript(CacheObject *self, PyObject *key)
{
    PyObject *value = cxb_cache_use(self, key);
    if (value == NULL && !PyErr_Occurred()) {
        cxb_raise_key(key);
    }
    return value;
}

static int
cache_assign(CacheObject *self, PyObject *key, PyObject *value)
{
    struct cxb_store how = {0};
    if (value != NULL) {
        return cxb_cache_store(self, key, value, &how) < 0 ? -1 : 0;
    }
    PyObject *old = cxb_cache_take_out(self, key);
    if (old == NULL && !PyErr_Occurred()) {
        cxb_raise_key(key);
    }
    Py_XDECREF(old);
    return old == NULL ? -1 : 0;
}

static int
cache_contains(CacheObject *self, PyObject *key)
{
    PyObject *value = cxb_cache_look(self, key);
    Py_XDECREF(value);
    return value != NULL ? 1 : PyErr_Occurred() ? -1 : 0;
}

static PyObject *
helper(CacheObject *self, PyObject **slot, const char *name)
{
    PyObject *make = cxb_import_once(slot, "concx.cache", name);
    return make == NULL ? NULL : PyObject_CallOneArg(make, (PyObject *)self);
}

static PyObject *
cache_keys(CacheObject *self, PyObject *unused)
{
    (void)unused;
    return helper(self, &self->state->cache_keys, "_Keys");
}

static PyObject *
cache_values(CacheObject *self, PyObject *unused)
{
    (void)unused;
    return helper(self, &self->state->cache_values, "_Values");
}

static PyObject *
cache_items(CacheObject *self, PyObject *unused)
{
    (void)unused;
    return helper(self, &self->state->cache_items, "_Items");
}

/* Mapping's: as dicts. */
static PyObject *
cache_compare(CacheObject *self, PyObject *other, int op)
{
    if (op != Py_EQ && op != Py_NE) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    PyObject *same = cxb_import_once(&self->state->cache_same, "concx.cache", "_same");
    PyObject *answer =
        same == NULL ? NULL : PyObject_CallFunctionObjArgs(same, (PyObject *)self, other, NULL);
    if (answer == NULL || answer == Py_NotImplemented || op == Py_EQ) {
        return answer;
    }
    int equal = PyObject_IsTrue(answer);
    Py_DECREF(answer);
    return equal < 0 ? NULL : PyBool_FromLong(!equal);
}

static PyObject *
cache_repr(CacheObject *self)
{
    struct cxb_bounds bounds;
    PyObject *maxsize =
        cxb_cache_bounds(self, &bounds) < 0 ? NULL : cxb_cache_bound_get(bounds.maxsize);
    PyObject *repr =
        maxsize == NULL
            ? NULL
            : PyUnicode_FromFormat("<concx.Cache size=%zd maxsize=%R policy=%s>",
                                   (Py_ssize_t)bounds.size, maxsize, self->core.policy.kind->name);
    Py_XDECREF(maxsize);
    return repr;
}

static PyObject *
cache_sizeof(CacheObject *self, PyObject *unused)
{
    (void)unused;
    if (!cx_cache_take(&self->core)) {
        return PyErr_NoMemory();
    }
    size_t size = (size_t)Py_TYPE(self)->tp_basicsize + cx_cache_bytes(&self->core);
    cx_cache_release(&self->core);
    return PyLong_FromSize_t(size);
}

static PyObject *
get_maxsize(CacheObject *self, void *unused)
{
    struct cxb_bounds bounds;
    (void)unused;
    return cxb_cache_bounds(self, &bounds) < 0 ? NULL : cxb_cache_bound_get(bounds.maxsize);
}

static PyObject *
get_max_weight(CacheObject *self, void *unused)
{
    struct cxb_bounds bounds;
    (void)unused;
    return cxb_cache_bounds(self, &bounds) < 0 ? NULL : cxb_cache_bound_get(bounds.max_weight);
}

static PyObject *
get_weight(CacheObject *self, void *unused)
{
    struct cxb_bounds bounds;
    (void)unused;
    return cxb_cache_bounds(self, &bounds) < 0 ? NULL : PyLong_FromLongLong(bounds.weight);
}

static PyObject *
get_policy(CacheObject *self, void *unused)
{
    (void)unused;
    return PyUnicode_FromString(self->core.policy.kind->name);
}

/* --- iteration ----------------------------------------------------------------------------------- */

static PyObject *
iterate(CacheObject *self, int what)
{
    PyTypeObject *type = self->state->cacheiter_type;
    CacheIterObject *iter = (CacheIterObject *)type->tp_alloc(type, 0);
    if (iter != NULL) {
        iter->cache = (CacheObject *)Py_NewRef((PyObject *)self);
        iter->what = what;
    }
    return (PyObject *)iter;
}

static PyObject *
cache_iter(CacheObject *self)
{
    return iterate(self, KEYS);
}

static PyObject *
cache_iter_values(CacheObject *self, PyObject *unused)
{
    (void)unused;
    return iterate(self, VALUES);
}

static PyObject *
cache_iter_items(CacheObject *self, PyObject *unused)
{
    (void)unused;
    return iterate(self, ITEMS);
}

static PyObject *
iter_next(CacheIterObject *iter)
{
    CacheObject *cache;
    PyObject *key, *value;
    bool found;
    CXB_BEGIN_CRITICAL((PyObject *)iter);
    cache = iter->cache;
    found = cache != NULL && cxb_cache_next(cache, &iter->slot, &key, &value);
    if (found) {
        iter->slot++;
    }
    else {
        iter->cache = NULL;
    }
    CXB_END_CRITICAL;
    if (!found) {
        Py_XDECREF((PyObject *)cache);
        return NULL;
    }
    if (iter->what == ITEMS) {
        return Py_BuildValue("(NN)", key, value);
    }
    Py_DECREF(iter->what == KEYS ? value : key);
    return iter->what == KEYS ? key : value;
}

static int
iter_traverse(CacheIterObject *iter, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(iter));
    Py_VISIT((PyObject *)iter->cache);
    return 0;
}

static int
iter_clear(CacheIterObject *iter)
{
    Py_CLEAR(iter->cache);
    return 0;
}

static void
iter_dealloc(CacheIterObject *iter)
{
    PyTypeObject *type = Py_TYPE(iter);
    PyObject_GC_UnTrack(iter);
    Py_CLEAR(iter->cache);
    type->tp_free(iter);
    Py_DECREF(type);
}

/* --- tables -------------------------------------------------------------------------------------- */

#define CALL(name, function, doc) {name, CXB_FASTCALL(function), doc}

static PyMethodDef cache_methods[] = {
    CALL("get", cxb_cache_get, get_doc),
    CALL("set", cxb_cache_set, set_doc),
    CALL("peek", cxb_cache_peek, peek_doc),
    CALL("touch", cxb_cache_touch, touch_doc),
    CALL("pop", cxb_cache_pop, pop_doc),
    CALL("setdefault", cxb_cache_setdefault, setdefault_doc),
    CALL("compute", cxb_cache_compute, compute_doc),
    CALL("get_or_load", cxb_cache_get_or_load, get_or_load_doc),
    CALL("get_or_load_async", cxb_cache_get_or_load_async, get_or_load_async_doc),
    CALL("set_many", cxb_cache_set_many, set_many_doc),
    CALL("update", cxb_cache_update_method, update_doc),
    CALL("expire", cxb_cache_expire, expire_doc),
    CALL("resize", cxb_cache_resize, resize_doc),
    {"ttl", (PyCFunction)cxb_cache_ttl, METH_O, ttl_doc},
    {"get_many", (PyCFunction)cxb_cache_get_many, METH_O, get_many_doc},
    {"clear", (PyCFunction)cxb_cache_clear, METH_NOARGS, clear_doc},
    {"popitem", (PyCFunction)cxb_cache_popitem, METH_NOARGS, popitem_doc},
    {"coldest", (PyCFunction)cxb_cache_coldest, METH_O, coldest_doc},
    {"hottest", (PyCFunction)cxb_cache_hottest, METH_O, hottest_doc},
    {"invalidate_if", (PyCFunction)cxb_cache_invalidate_if, METH_O, invalidate_if_doc},
    {"invalidate_tag", (PyCFunction)cxb_cache_invalidate_tag, METH_O, invalidate_tag_doc},
    {"stats", (PyCFunction)cxb_cache_stats, METH_NOARGS, stats_doc},
    {"keys", (PyCFunction)cache_keys, METH_NOARGS, keys_doc},
    {"values", (PyCFunction)cache_values, METH_NOARGS, values_doc},
    {"items", (PyCFunction)cache_items, METH_NOARGS, items_doc},
    {"_iter_values", (PyCFunction)cache_iter_values, METH_NOARGS, NULL},
    {"_iter_items", (PyCFunction)cache_iter_items, METH_NOARGS, NULL},
    {"_keep", (PyCFunction)(void (*)(void))cxb_cache_private_keep, METH_FASTCALL, NULL},
    {"_loaded", (PyCFunction)(void (*)(void))cxb_cache_private_loaded, METH_FASTCALL, NULL},
    {"_was_miss", (PyCFunction)cxb_cache_private_was_miss, METH_NOARGS, NULL},
    {"__sizeof__", (PyCFunction)cache_sizeof, METH_NOARGS, NULL},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, PyDoc_STR("See PEP 585")},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef cache_getset[] = {
    {"maxsize", (getter)get_maxsize, NULL, PyDoc_STR("The most entries; None: unbounded."), NULL},
    {"max_weight", (getter)get_max_weight, NULL,
     PyDoc_STR("The most that all entries may weigh; None: unbounded."), NULL},
    {"weight", (getter)get_weight, NULL, PyDoc_STR("What all entries weigh."), NULL},
    {"_flights", (getter)cxb_cache_private_flights, NULL, NULL, NULL},
    {"policy", (getter)get_policy, NULL, PyDoc_STR("The name of the policy."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef cache_members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(CacheObject, weakrefs), Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot cache_slots[] = {
    {Py_tp_new, cache_new},
    {Py_tp_doc, (void *)cache_doc},
    {Py_tp_repr, cache_repr},
    {Py_tp_hash, PyObject_HashNotImplemented},
    {Py_tp_richcompare, cache_compare},
    {Py_tp_iter, cache_iter},
    {Py_tp_methods, cache_methods},
    {Py_tp_getset, cache_getset},
    {Py_tp_members, cache_members},
    {Py_tp_traverse, cache_traverse},
    {Py_tp_clear, cache_clear},
    {Py_tp_dealloc, cache_dealloc},
    {Py_mp_length, cache_length},
    {Py_mp_subscript, cache_subscript},
    {Py_mp_ass_subscript, cache_assign},
    {Py_sq_contains, cache_contains},
    {0, NULL},
};

PyType_Spec cxb_cache_spec = {
    .name = "concx.cache.Cache",
    .basicsize = sizeof(CacheObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE |
             Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_MAPPING,
    .slots = cache_slots,
};

static PyType_Slot cacheiter_slots[] = {
    {Py_tp_iter, PyObject_SelfIter}, {Py_tp_iternext, iter_next},   {Py_tp_traverse, iter_traverse},
    {Py_tp_clear, iter_clear},       {Py_tp_dealloc, iter_dealloc}, {0, NULL},
};

PyType_Spec cxb_cacheiter_spec = {
    .name = "concx._core.CacheIterator",
    .basicsize = sizeof(CacheIterObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = cacheiter_slots,
};

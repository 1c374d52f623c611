// SPDX-License-Identifier: MIT
#include "binding/cached.h"

static PyObject *
optional(PyObject *object)
{
    return object == NULL || object == Py_None ? NULL : Py_NewRef(object);
}

/* Its arguments have been looked at by concx.cache.cached. */
static PyObject *
cached_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"function", "cache",    "loads",    "make",     "slot",
                            "key",      "copy",     "timeout",  "ignored",  "ignored_places",
                            "is_async", "is_typed", "is_timed", "is_plain", "is_single",
                            NULL};
    PyObject *function, *cache, *loads, *make, *slot, *key, *copy, *timeout, *ignored;
    unsigned long long places;
    int is_async, is_typed, is_timed, is_plain, is_single;
    struct cxb_state *state = cxb_state_of_type(type);
    if (state == NULL ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "OO!OOOOOOOKppppp:cached", names, &function,
                                     state->cache_type, &cache, &loads, &make, &slot, &key, &copy,
                                     &timeout, &ignored, &places, &is_async, &is_typed, &is_timed,
                                     &is_plain, &is_single)) {
        return NULL;
    }
    CachedObject *self = (CachedObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->vectorcall = cxb_cached_vectorcall();
    self->state = state;
    cx_guard_init(&self->guard);
    self->function = Py_NewRef(function);
    self->cache = (CacheObject *)Py_NewRef(cache);
    self->loads = Py_NewRef(loads);
    self->make = optional(make);
    self->slot = Py_NewRef(slot);
    self->key = optional(key);
    self->copy = optional(copy);
    self->timeout = optional(timeout);
    self->ignored = optional(ignored);
    self->ignored_places = places;
    self->is_async = is_async;
    self->is_typed = is_typed;
    self->is_timed = is_timed;
    self->is_plain = is_plain;
    self->is_single = is_single;
    return (PyObject *)self;
}

static int
cached_traverse(CachedObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->function);
    Py_VISIT((PyObject *)self->cache);
    Py_VISIT(self->loads);
    Py_VISIT(self->make);
    Py_VISIT(self->owner);
    Py_VISIT(self->key);
    Py_VISIT(self->copy);
    Py_VISIT(self->timeout);
    Py_VISIT(self->ignored);
    Py_VISIT(self->dict);
    return 0;
}

/* The cache stays: a call that is on its way needs it. */
static int
cached_clear(CachedObject *self)
{
    Py_CLEAR(self->function);
    Py_CLEAR(self->loads);
    Py_CLEAR(self->make);
    Py_CLEAR(self->key);
    Py_CLEAR(self->copy);
    Py_CLEAR(self->dict);
    return 0;
}

static void
cached_dealloc(CachedObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    (void)cached_clear(self);
    Py_CLEAR(self->cache);
    Py_CLEAR(self->slot);
    Py_CLEAR(self->owner);
    Py_CLEAR(self->timeout);
    Py_CLEAR(self->ignored);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
cached_get(PyObject *object, PyObject *instance, PyObject *type)
{
    CachedObject *self = (CachedObject *)object;
    (void)type;
    if (instance == NULL || instance == Py_None) {
        return Py_NewRef(object);
    }
    if (self->make == NULL) {
        return PyMethod_New(object, instance);
    }
    PyObject *own = cxb_cached_of(self, instance);
    PyObject *method = own == NULL ? NULL : PyMethod_New(own, instance);
    Py_XDECREF(own);
    return method;
}

/* --- the cache of a function ----------------------------------------------------------------------- */

static PyObject *
key_of(CachedObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    struct cxb_sought sought;
    if (cxb_sought_init(&sought, self, args, nargs, kwnames) < 0) {
        return NULL;
    }
    PyObject *key = cxb_sought_key(&sought);
    cxb_sought_drop(&sought);
    return key;
}

static PyObject *
cached_info(CachedObject *self, PyObject *unused)
{
    (void)unused;
    struct cx_cache *core = &self->cache->core;
    PyObject *type = cxb_import_once(&self->state->cache_info, "functools", "_CacheInfo");
    if (type == NULL) {
        return NULL;
    }
    if (!cx_cache_take(core)) {
        return PyErr_NoMemory();
    }
    uint64_t hits = cxb_cache_hits(self->cache) - self->hits,
             misses = cxb_cache_misses(self->cache) - self->misses;
    int64_t maxsize = core->maxsize;
    uint32_t size = core->entries.count;
    cx_cache_release(core);
    return PyObject_CallFunction(type, "KKNk", (unsigned long long)hits, (unsigned long long)misses,
                                 cxb_cache_bound_get(maxsize), (unsigned long)size);
}

static PyObject *
cached_cache_clear(CachedObject *self, PyObject *unused)
{
    (void)unused;
    struct cx_cache *core = &self->cache->core;
    if (cxb_cache_forget_loads(self->cache) < 0) {
        return NULL;
    }
    if (cxb_cache_empty(self->cache, true) < 0 || !cx_cache_take(core)) {
        return PyErr_NoMemory();
    }
    self->hits = cxb_cache_hits(self->cache);
    self->misses = cxb_cache_misses(self->cache);
    cx_cache_release(core);
    Py_RETURN_NONE;
}

static PyObject *
cached_invalidate(CachedObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *key = key_of(self, args, nargs, kwnames);
    PyObject *value = key == NULL ? NULL : cxb_cache_take_out(self->cache, key);
    Py_XDECREF(key);
    if (value == NULL && PyErr_Occurred()) {
        return NULL;
    }
    Py_XDECREF(value);
    return PyBool_FromLong(value != NULL);
}

/* One of loads's methods that take a key. */
static PyObject *
ask_for(CachedObject *self, const char *method, PyObject *const *args, Py_ssize_t nargs,
        PyObject *kwnames, PyObject *also)
{
    PyObject *key = key_of(self, args, nargs, kwnames);
    PyObject *result =
        key == NULL ? NULL : PyObject_CallMethod(self->loads, method, "OO", key, also);
    Py_XDECREF(key);
    return result;
}

static PyObject *
cached_contains(CachedObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *missing = self->state->missing;
    PyObject *value = ask_for(self, "peek", args, nargs, kwnames, missing);
    Py_XDECREF(value);
    return value == NULL ? NULL : PyBool_FromLong(value != missing);
}

static PyObject *
cached_peek(CachedObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return ask_for(self, "peek", args, nargs, kwnames, Py_None);
}

static PyObject *
cached_put(CachedObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (nargs < 1) {
        PyErr_SetString(PyExc_TypeError, "cache_put() takes a value and the arguments of a call");
        return NULL;
    }
    return ask_for(self, "put", args + 1, nargs - 1, kwnames, args[0]);
}

static PyObject *
cached_refresh(PyObject *object, PyObject *args, PyObject *kwargs)
{
    CachedObject *self = (CachedObject *)object;
    PyObject *owner = self->owner == NULL ? NULL : cxb_weakref_get(self->owner);
    PyObject *values = PyDict_New(), *result = NULL, *names = NULL, *key = NULL;
    Py_ssize_t nargs = PyTuple_GET_SIZE(args), nkw = kwargs == NULL ? 0 : PyDict_GET_SIZE(kwargs);
    PyObject **all = PyMem_New(PyObject *, (size_t)(nargs + nkw) + 2);
    if (all == NULL || values == NULL || (names = PyTuple_New(nkw)) == NULL) {
        PyErr_NoMemory();
        goto out;
    }
    for (Py_ssize_t i = 0; i < nargs; i++) {
        all[1 + i] = PyTuple_GET_ITEM(args, i);
    }
    Py_ssize_t at = 0, n = 0;
    PyObject *name, *value;
    while (kwargs != NULL && PyDict_Next(kwargs, &at, &name, &value)) {
        PyTuple_SET_ITEM(names, n, Py_NewRef(name));
        all[1 + nargs + n++] = value;
    }
    key = key_of(self, all + 1, nargs, nkw == 0 ? NULL : names);
    if (key != NULL) {
        PyObject *first = owner == NULL ? PyTuple_New(0) : PyTuple_Pack(1, owner);
        PyObject *call = first == NULL ? NULL : PySequence_Concat(first, args);
        result = call == NULL ? NULL
                              : PyObject_CallMethod(self->loads, "refresh", "OOO", key, call,
                                                    kwargs != NULL ? kwargs : values);
        Py_XDECREF(first);
        Py_XDECREF(call);
    }
out:
    PyMem_Free(all);
    Py_XDECREF(key);
    Py_XDECREF(names);
    Py_XDECREF(values);
    Py_XDECREF(owner);
    return result;
}

/* Pickled by reference, as a function is; what an instance has is not pickled with it. */
static PyObject *
cached_reduce(CachedObject *self, PyObject *unused)
{
    (void)unused;
    if (self->owner != NULL) {
        return Py_BuildValue("O()", (PyObject *)Py_TYPE(Py_None));
    }
    return cxb_attribute((PyObject *)self, "__qualname__");
}

static PyObject *
cached_copy(PyObject *self, PyObject *unused)
{
    (void)unused;
    return Py_NewRef(self);
}

#define DOC(text) PyDoc_STR(text)
#define CALL(function) (PyCFunction)(void (*)(void))(function), METH_FASTCALL | METH_KEYWORDS

static PyMethodDef cached_methods[] = {
    {"cache_info", (PyCFunction)cached_info, METH_NOARGS,
     DOC("cache_info($self, /)\n--\n\nHits, misses, maxsize and currsize, as functools has them, "
         "since "
         "the last `cache_clear`.")},
    {"cache_clear", (PyCFunction)cached_cache_clear, METH_NOARGS,
     DOC("cache_clear($self, /)\n--\n\nForget every result and count from nought. Calls that run "
         "are not "
         "kept.")},
    {"cache_invalidate", CALL(cached_invalidate),
     DOC("cache_invalidate($self, /, *args, **kwargs)\n--\n\nForget the result of one call: "
         "whether there "
         "was one.\n\nIf that call runs, who waits for it gets its result, and it is not kept.")},
    {"cache_contains", CALL(cached_contains),
     DOC("cache_contains($self, /, *args, **kwargs)\n--\n\nWhether the result of a call is cached. "
         "No "
         "use.")},
    {"cache_peek", CALL(cached_peek),
     DOC("cache_peek($self, /, *args, **kwargs)\n--\n\nThe cached result of a call, or None. No "
         "use.")},
    {"cache_put", CALL(cached_put),
     DOC("cache_put($self, value, /, *args, **kwargs)\n--\n\nStore a value as the result of a "
         "call.")},
    {"cache_refresh", (PyCFunction)(void (*)(void))cached_refresh, METH_VARARGS | METH_KEYWORDS,
     DOC("cache_refresh($self, /, *args, **kwargs)\n--\n\nCall the function, store what it returns "
         "in the "
         "place of what there is, and return it.")},
    {"__reduce__", (PyCFunction)cached_reduce, METH_NOARGS, NULL},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, DOC("See PEP 585")},
    {"__copy__", cached_copy, METH_NOARGS, NULL},
    {"__deepcopy__", cached_copy, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef cached_members[] = {
    {"__vectorcalloffset__", Py_T_PYSSIZET, offsetof(CachedObject, vectorcall), Py_READONLY, NULL},
    {"__dictoffset__", Py_T_PYSSIZET, offsetof(CachedObject, dict), Py_READONLY, NULL},
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(CachedObject, weakrefs), Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyObject *
get_cache(CachedObject *self, void *unused)
{
    (void)unused;
    return Py_NewRef((PyObject *)self->cache);
}

static PyGetSetDef cached_getset[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {"cache", (getter)get_cache, NULL, PyDoc_STR("The Cache that holds the results."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(cached_doc, "A function over a Cache; made by cached().");

static PyType_Slot cached_slots[] = {
    {Py_tp_new, cached_new},
    {Py_tp_doc, (void *)cached_doc},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_descr_get, cached_get},
    {Py_tp_methods, cached_methods},
    {Py_tp_members, cached_members},
    {Py_tp_getset, cached_getset},
    {Py_tp_traverse, cached_traverse},
    {Py_tp_clear, cached_clear},
    {Py_tp_dealloc, cached_dealloc},
    {0, NULL},
};

PyType_Spec cxb_cached_spec = {
    .name = "concx.cache._cached_wrapper",
    .basicsize = sizeof(CachedObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR,
    .slots = cached_slots,
};

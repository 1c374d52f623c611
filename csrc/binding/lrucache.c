// SPDX-License-Identifier: MIT
#include "binding/lrucache.h"

#include "binding/lrucachelimbo.h"
#include "binding/share.h"

#define DOC(text) PyDoc_STR(text)

/* None: unbounded; a negative bound is 0; functools' messages. */
static int
capacity_of(PyObject *maxsize, size_t *capacity)
{
    if (maxsize == Py_None) {
        *capacity = SIZE_MAX;
        return 0;
    }
    if (!PyIndex_Check(maxsize)) {
        PyErr_Format(PyExc_TypeError, "maxsize should be integer or None, got %R", maxsize);
        return -1;
    }
    Py_ssize_t size = PyNumber_AsSsize_t(maxsize, PyExc_OverflowError);
    *capacity = size < 0 ? 0 : (size_t)size;
    return size == -1 && PyErr_Occurred() ? -1 : 0;
}

static PyObject *
lrucache_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"user_function", "maxsize", "typed", "shared", NULL};
    PyObject *function, *maxsize;
    int is_typed, shared = 0;
    size_t capacity;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOp|$p:lru_cache", names, &function, &maxsize,
                                     &is_typed, &shared) ||
        capacity_of(maxsize, &capacity) < 0) {
        return NULL;
    }
    if (!PyCallable_Check(function)) {
        PyErr_Format(PyExc_TypeError, "the first argument must be callable, got %R", function);
        return NULL;
    }
    struct cxb_state *state = cxb_state_of_type(type);
    LruCache *self = state == NULL ? NULL : (LruCache *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    cx_lru_init(&self->lru, capacity);
    cx_tally_init(&self->tally);
    self->state = state;
    self->is_typed = is_typed;
    self->function = Py_NewRef(function);
    self->vectorcall = cxb_lrucache_vectorcall(capacity, is_typed);
    if (shared) {
        cxb_share((PyObject *)self);
    }
    return (PyObject *)self;
}

/* Takes no lock: with a GIL nobody is inside, and without one every thread is stopped where it is not. */
static int
lrucache_traverse(LruCache *self, visitproc visit, void *arg)
{
    struct cx_lru_buckets *buckets = self->lru.buckets;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->function);
    Py_VISIT(self->dict);
    for (size_t i = 0; buckets != NULL && i < buckets->count; i++) {
        struct cx_lru_entry *entry = buckets->head[i];
        for (; entry != NULL; entry = entry->chain) {
            int stop = cxb_item_traverse(cxb_item_of(entry), visit, arg);
            if (stop != 0) {
                return stop;
            }
        }
    }
    return 0;
}

static int
lrucache_clear(LruCache *self)
{
    if (cxb_lrucache_clear(self) < 0) {
        PyErr_WriteUnraisable((PyObject *)self);
    }
    Py_CLEAR(self->function);
    Py_CLEAR(self->dict);
    return 0;
}

static void
lrucache_dealloc(LruCache *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    if (self->lru.buckets != NULL) {
        struct cx_lru_room room;
        cxb_items_release(cx_lru_clear(&self->lru, &room));
        cx_lru_room_free(&room);
        cxb_limbo_free(self);
        cx_lru_fini(&self->lru);
        cx_tally_fini(&self->tally);
    }
    Py_CLEAR(self->function);
    Py_CLEAR(self->dict);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyObject *
lrucache_get(PyObject *self, PyObject *object, PyObject *type)
{
    (void)type;
    return object == NULL || object == Py_None ? Py_NewRef(self) : PyMethod_New(self, object);
}

static PyObject *
lrucache_info(LruCache *self, PyObject *unused)
{
    (void)unused;
    PyObject *type = cxb_import_once(&self->state->cache_info, "functools", "_CacheInfo");
    if (type == NULL) {
        return NULL;
    }
    long long hits = cx_tally_sum(&self->tally, CX_HITS);
    long long misses = cx_tally_sum(&self->tally, CX_MISSES);
    size_t capacity = self->lru.capacity;
    Py_ssize_t size = (Py_ssize_t)cx_load_relaxed(&self->lru.size);
    return capacity == SIZE_MAX
               ? PyObject_CallFunction(type, "LLOn", hits, misses, Py_None, size)
               : PyObject_CallFunction(type, "LLnn", hits, misses, (Py_ssize_t)capacity, size);
}

static PyObject *
lrucache_cache_clear(LruCache *self, PyObject *unused)
{
    (void)unused;
    return cxb_lrucache_clear(self) < 0 ? NULL : Py_NewRef(Py_None);
}

/* Either of the two that take a call's arguments. */
static PyObject *
ask_for(LruCache *self, int (*question)(LruCache *, const struct cxb_callkey *),
        PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    struct cxb_callkey probe;
    if (cxb_callkey_init(&probe, self->is_typed, args, nargs, kwnames) < 0) {
        return NULL;
    }
    int answer = question(self, &probe);
    return answer < 0 ? NULL : PyBool_FromLong(answer);
}

static PyObject *
lrucache_invalidate(LruCache *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return ask_for(self, cxb_lrucache_invalidate, args, nargs, kwnames);
}

static PyObject *
lrucache_contains(LruCache *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return ask_for(self, cxb_lrucache_contains, args, nargs, kwnames);
}

/* Pickled by reference, as a function is. */
static PyObject *
lrucache_reduce(PyObject *self, PyObject *unused)
{
    (void)unused;
    return cxb_attribute(self, "__qualname__");
}

static PyObject *
lrucache_copy(PyObject *self, PyObject *unused)
{
    (void)unused;
    return Py_NewRef(self);
}

static PyObject *
lrucache_sizeof(LruCache *self, PyObject *unused)
{
    (void)unused;
    size_t size = (size_t)Py_TYPE(self)->tp_basicsize;
    cx_lru_enter(&self->lru);
    size += cx_lru_memory(&self->lru);
    struct cx_lru_buckets *buckets = self->lru.buckets;
    for (size_t i = 0; i < buckets->count; i++) {
        struct cx_lru_entry *entry = cx_load_relaxed(&buckets->head[i]);
        for (; entry != NULL; entry = cx_lru_next(entry)) {
            size += cxb_item_memory(cxb_item_of(entry));
        }
    }
    cx_lru_leave(&self->lru);
    return PyLong_FromSize_t(size);
}

#define CALL(function) (PyCFunction)(void (*)(void))(function), METH_FASTCALL | METH_KEYWORDS

static PyMethodDef lrucache_methods[] = {
    {"cache_info", (PyCFunction)lrucache_info, METH_NOARGS,
     DOC("cache_info($self, /)\n--\n\nReport cache statistics, as functools does.\n\n"
         "It holds every call that returned before this one, also with several threads.")},
    {"cache_clear", (PyCFunction)lrucache_cache_clear, METH_NOARGS,
     DOC("cache_clear($self, /)\n--\n\nClear the cache and the cache statistics.")},
    {"cache_invalidate", CALL(lrucache_invalidate),
     DOC("cache_invalidate($self, /, *args, **kwargs)\n--\n\nForget the result of one call: "
         "whether there was one.\n\nA call that is running stores its result later all the "
         "same.")},
    {"cache_contains", CALL(lrucache_contains),
     DOC("cache_contains($self, /, *args, **kwargs)\n--\n\nWhether the result of a call is "
         "cached. It counts neither as a use nor as a hit or miss.")},
    {"__reduce__", lrucache_reduce, METH_NOARGS, NULL},
    {"__copy__", lrucache_copy, METH_NOARGS, NULL},
    {"__deepcopy__", lrucache_copy, METH_O, NULL},
    {"__sizeof__", (PyCFunction)lrucache_sizeof, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef lrucache_members[] = {
    {"__vectorcalloffset__", Py_T_PYSSIZET, offsetof(LruCache, vectorcall), Py_READONLY, NULL},
    {"__dictoffset__", Py_T_PYSSIZET, offsetof(LruCache, dict), Py_READONLY, NULL},
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(LruCache, weakrefs), Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef lrucache_getset[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(lrucache_doc, "A function that keeps what it has returned; made by lru_cache().");

static PyType_Slot lrucache_slots[] = {
    {Py_tp_new, lrucache_new},
    {Py_tp_doc, (void *)lrucache_doc},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_descr_get, lrucache_get},
    {Py_tp_methods, lrucache_methods},
    {Py_tp_members, lrucache_members},
    {Py_tp_getset, lrucache_getset},
    {Py_tp_traverse, lrucache_traverse},
    {Py_tp_clear, lrucache_clear},
    {Py_tp_dealloc, lrucache_dealloc},
    {0, NULL},
};

PyType_Spec cxb_lrucache_spec = {
    .name = "concx.functools._lru_cache_wrapper",
    .basicsize = sizeof(LruCache),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR,
    .slots = lrucache_slots,
};

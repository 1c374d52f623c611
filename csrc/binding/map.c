// SPDX-License-Identifier: MIT
/* MapBase, the base of ConcurrentDict; and what it shares with SetBase. */
#include "binding/map.h"

#include <unistd.h>

#include "binding/errors.h"
#include "binding/kwargs.h"
#include "binding/share.h"

#define DOC(text) PyDoc_STR(text)
#define MOST_STRIPE_BITS 6

/* --- the hooks of the core ---------------------------------------------------------------------- */

static void
retain(void *object)
{
    Py_INCREF((PyObject *)object);
}

static void
drop(void *object)
{
    Py_DECREF((PyObject *)object);
}

/* Where it counts, without a GIL, these are immortal. */
static uint32_t
weigh(void *object)
{
    bool is_free = object == Py_None || object == Py_True || object == Py_False;
    return is_free ? 0 : cxb_weight(object);
}

static const struct cx_map_hooks hooks = {PyMem_Malloc, PyMem_Free, retain, drop, weigh};

/* --- life ------------------------------------------------------------------------------------- */

/* Without a GIL: four for each CPU, so that writers seldom meet. */
static uint32_t
stripe_bits(void)
{
    long cpus = CX_WITH_GIL ? 0 : sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t bits = CX_WITH_GIL ? 0 : 3;
    while (!CX_WITH_GIL && bits < MOST_STRIPE_BITS && 1L << bits < 4 * cpus) {
        bits++;
    }
    return bits;
}

MapObject *
cxb_map_alloc(PyTypeObject *type, struct cxb_state *state, uint64_t capacity)
{
    MapObject *self = (MapObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->state = state;
    if (!cx_map_init(&self->core, &hooks, stripe_bits(), capacity)) {
        self->core.stripes = NULL;
        Py_DECREF((PyObject *)self);
        PyErr_NoMemory();
        return NULL;
    }
    return self;
}

/* (…, *, shared=False, capacity=0, count_lookups=False); what else there is, is for tp_init. */
PyObject *
cxb_map_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static const char *const names[] = {"shared", "capacity", "count_lookups"};
    PyObject *given[3] = {NULL};
    int64_t capacity = 0;
    (void)args;
    for (size_t i = 0; kwargs != NULL && i < Py_ARRAY_LENGTH(names); i++) {
        given[i] = PyDict_GetItemString(kwargs, names[i]);
    }
    int shared = cxb_truth(given[0], 0), counts = cxb_truth(given[2], 0);
    struct cxb_state *state = cxb_state_of_type(type);
    if (state == NULL || shared < 0 || counts < 0 ||
        (given[1] != NULL && cxb_int64(given[1], 0, "'capacity'", &capacity) < 0)) {
        return NULL;
    }
    MapObject *self = cxb_map_alloc(type, state, (uint64_t)capacity);
    if (self == NULL) {
        return NULL;
    }
    uint32_t cells = CX_WITH_GIL ? 1 : 8;
    if (counts && !(cx_counter_init(&self->hits, cells) && cx_counter_init(&self->misses, cells))) {
        Py_DECREF((PyObject *)self);
        return PyErr_NoMemory();
    }
    if (shared) {
        cxb_share((PyObject *)self);
    }
    return (PyObject *)self;
}

struct visitor {
    visitproc visit;
    void *arg;
};

static int
visit_one(void *object, void *arg)
{
    const struct visitor *visitor = arg;
    return visitor->visit((PyObject *)object, visitor->arg);
}

/* No lock: nobody else runs Python code now, and the core is whole whenever Python code can run. */
int
cxb_map_traverse(MapObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->flights);
    if (self->core.stripes == NULL) {
        return 0;
    }
    struct visitor visitor = {visit, arg};
    int answer = cx_map_visit_tables(cx_load_relaxed(&self->core.table), visit_one, &visitor);
    return answer != 0 ? answer : cx_map_visit_waiting(&self->core, visit_one, &visitor);
}

int
cxb_map_tp_clear(MapObject *self)
{
    Py_CLEAR(self->flights);
    if (self->core.stripes != NULL && !cx_map_clear(&self->core)) {
        PyErr_Clear(); /* its references go when it does */
    }
    return 0;
}

void
cxb_map_dealloc(MapObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, cxb_map_dealloc) if (self->weakrefs != NULL)
    {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    Py_CLEAR(self->flights);
    if (self->core.stripes != NULL) {
        cx_map_fini(&self->core);
    }
    cx_counter_fini(&self->hits);
    cx_counter_fini(&self->misses);
    type->tp_free(self);
    Py_DECREF(type);
    Py_TRASHCAN_END
}

PyMemberDef cxb_map_members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(MapObject, weakrefs), Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

/* --- what dict and set have ----------------------------------------------------------------------- */

Py_ssize_t
cxb_map_length(MapObject *self)
{
    int64_t count = cx_map_count(&self->core);
    return count < 0 ? 0 : (Py_ssize_t)count; /* the stripes are read one after the other */
}

int
cxb_map_contains(MapObject *self, PyObject *key)
{
    PyObject *value;
    int found = cxb_map_find(self, key, &value);
    Py_XDECREF(value);
    return found;
}

PyObject *
cxb_map_clear(MapObject *self, PyObject *unused)
{
    (void)unused;
    if (!cx_map_clear(&self->core)) {
        return PyErr_NoMemory();
    }
    Py_RETURN_NONE;
}

static PyObject *
counted(struct cx_counter *counter)
{
    int64_t high;
    uint64_t low;
    if (counter->cells == NULL) {
        Py_RETURN_NONE;
    }
    cx_counter_sum(counter, &high, &low);
    return PyLong_FromUnsignedLongLong(low);
}

/* (size, buckets, migrations, waiting, hits, misses), for MapStats. */
PyObject *
cxb_map_stats(MapObject *self, PyObject *unused)
{
    (void)unused;
    cx_rcu_enter();
    const struct cx_map_table *t = cx_load_acquire(&self->core.table);
    const struct cx_map_table *next = cx_load_acquire(&t->next);
    t = next != NULL ? next : t;
    uint64_t buckets = cx_map_buckets(t);
    uint32_t number = t->number;
    cx_rcu_exit();
    return Py_BuildValue("nKInNN", cxb_map_length(self), (unsigned long long)buckets, number - 1,
                         (Py_ssize_t)cx_map_waiting(&self->core), counted(&self->hits),
                         counted(&self->misses));
}

PyObject *
cxb_map_sizeof(MapObject *self, PyObject *unused)
{
    (void)unused;
    size_t size = (size_t)Py_TYPE(self)->tp_basicsize +
                  ((size_t)1 << self->core.stripe_bits) * sizeof *self->core.stripes;
    cx_rcu_enter();
    const struct cx_map_table *t = cx_load_acquire(&self->core.table);
    for (; t != NULL; t = cx_load_acquire(&t->next)) {
        size += sizeof *t + (cx_map_buckets(t) - 1) * sizeof t->bucket[0];
    }
    cx_rcu_exit();
    return PyLong_FromSize_t(size + (size_t)cxb_map_length(self) * sizeof(struct cx_map_node));
}

/* --- MapBase ---------------------------------------------------------------------------------- */

static int
map_init(MapObject *self, PyObject *args, PyObject *kwargs)
{
    PyObject *other = NULL;
    if (!PyArg_UnpackTuple(args, "ConcurrentDict", 0, 1, &other)) {
        return -1;
    }
    if (other != NULL && cxb_map_update(self, other) < 0) {
        return -1;
    }
    PyObject *key, *value;
    Py_ssize_t at = 0;
    while (kwargs != NULL && PyDict_Next(kwargs, &at, &key, &value)) {
        if (PyUnicode_CompareWithASCIIString(key, "shared") != 0 &&
            PyUnicode_CompareWithASCIIString(key, "capacity") != 0 &&
            PyUnicode_CompareWithASCIIString(key, "count_lookups") != 0 &&
            cxb_map_write(self, key, CXB_ANYTHING, NULL, value, NULL) < 0) {
            return -1;
        }
    }
    return 0;
}

/* A subclass may say what is there instead. */
static CX_COLD PyObject *
subscript_missing(MapObject *self, PyObject *key)
{
    PyObject *method = PyObject_GetAttr((PyObject *)Py_TYPE(self), self->state->names.missing);
    if (method != NULL) {
        PyObject *answer = PyObject_CallFunctionObjArgs(method, (PyObject *)self, key, NULL);
        Py_DECREF(method);
        return answer;
    }
    if (PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        cxb_raise_key(key);
    }
    return NULL;
}

static PyObject *
map_subscript(MapObject *self, PyObject *key)
{
    PyObject *value;
    int found = cxb_map_find(self, key, &value);
    return CX_LIKELY(found != 0) ? value : subscript_missing(self, key);
}

static int
map_ass_subscript(MapObject *self, PyObject *key, PyObject *value)
{
    int done =
        cxb_map_write(self, key, value == NULL ? CXB_ENTRY : CXB_ANYTHING, NULL, value, NULL);
    if (done == 0) {
        cxb_raise_key(key);
    }
    return done == 1 ? 0 : -1;
}

static PyObject *
map_get(MapObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *value;
    if (!cxb_takes("get", nargs, 1, 2)) {
        return NULL;
    }
    if (cxb_map_find(self, args[0], &value) == 0) {
        value = Py_NewRef(nargs == 2 ? args[1] : Py_None);
    }
    return value;
}

static PyObject *
map_setdefault(MapObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *value;
    if (!cxb_takes("setdefault", nargs, 1, 2)) {
        return NULL;
    }
    PyObject *fallback = nargs == 2 ? args[1] : Py_None;
    if (cxb_map_find(self, args[0], &value) != 0) {
        return value;
    }
    int done = cxb_map_write(self, args[0], CXB_NOTHING, NULL, fallback, &value);
    return done < 0 ? NULL : done == 1 ? Py_NewRef(fallback) : value;
}

static PyObject *
map_pop(MapObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *value;
    if (!cxb_takes("pop", nargs, 1, 2)) {
        return NULL;
    }
    int done = cxb_map_write(self, args[0], CXB_ENTRY, NULL, CXB_ABSENT, &value);
    if (done == 0 && nargs == 2) {
        return Py_NewRef(args[1]);
    }
    if (done == 0) {
        cxb_raise_key(args[0]);
    }
    return done == 1 ? value : NULL;
}

static PyObject *
map_popitem(MapObject *self, PyObject *unused)
{
    PyObject *key, *value;
    (void)unused;
    int done = cxb_map_pop_any(self, &key, &value);
    if (done == 0) {
        PyErr_SetString(PyExc_KeyError, "popitem(): the ConcurrentDict is empty");
    }
    return done == 1 ? Py_BuildValue("(NN)", key, value) : NULL;
}

static PyObject *
map_iter(MapObject *self)
{
    return cxb_map_iter(self, CXB_KEYS);
}

static PyObject *
map_iter_values(MapObject *self, PyObject *unused)
{
    (void)unused;
    return cxb_map_iter(self, CXB_VALUES);
}

static PyObject *
map_iter_items(MapObject *self, PyObject *unused)
{
    (void)unused;
    return cxb_map_iter(self, CXB_ITEMS);
}

static PyObject *
map_snapshot(MapObject *self, PyObject *unused)
{
    struct cx_map_node *entries;
    (void)unused;
    Py_ssize_t count = cxb_map_snapshot(self, &entries);
    if (count < 0) {
        return NULL;
    }
    PyObject *dict = PyDict_New();
    for (Py_ssize_t i = 0; dict != NULL && i < count; i++) {
        cxb_value_retain(entries[i].value);
        PyObject *value = cxb_value_object(entries[i].value);
        if (value == NULL || PyDict_SetItem(dict, entries[i].key, value) < 0) {
            Py_CLEAR(dict);
        }
        Py_XDECREF(value);
    }
    cxb_map_drop(entries, (size_t)count);
    PyMem_Free(entries);
    return dict;
}

static PyObject *
map_update_one(MapObject *self, PyObject *other)
{
    return cxb_map_update(self, other) < 0 ? NULL : Py_NewRef(Py_None);
}

PyMethodDef cxb_map_methods[] = {
    {"get", (PyCFunction)(void (*)(void))map_get, METH_FASTCALL,
     DOC("get($self, key, default=None, /)\n--\n\nThe value of `key`, or `default`.")},
    {"setdefault", (PyCFunction)(void (*)(void))map_setdefault, METH_FASTCALL,
     DOC("setdefault($self, key, default=None, /)\n--\n\nThe value of `key`, which is `default` if "
         "there was none.")},
    {"pop", (PyCFunction)(void (*)(void))map_pop, METH_FASTCALL,
     DOC("pop($self, key, default=<unrepresentable>, /)\n--\n\nRemove `key` and return its value; "
         "`default` if there is none, or KeyError.")},
    {"popitem", (PyCFunction)map_popitem, METH_NOARGS,
     DOC("popitem($self)\n--\n\nRemove some key and return it with its value; KeyError if there is "
         "none.\n\nWhich one is not said: there is no order.")},
    {"clear", (PyCFunction)cxb_map_clear, METH_NOARGS,
     DOC("clear($self)\n--\n\nRemove everything, at one instant.")},
    {"snapshot", (PyCFunction)map_snapshot, METH_NOARGS,
     DOC("snapshot($self)\n--\n\nA dict with what was there at one instant.\n\nWriters wait while "
         "it is taken: about 20 ns for each entry.")},
    {NULL, NULL, 0, NULL},
};

/* For the Python class above it, and inherited. */
static PyMethodDef base_methods[] = {
    {"_iter_values", (PyCFunction)map_iter_values, METH_NOARGS, NULL},
    {"_iter_items", (PyCFunction)map_iter_items, METH_NOARGS, NULL},
    {"_update", (PyCFunction)map_update_one, METH_O, NULL},
    {"_stats", (PyCFunction)cxb_map_stats, METH_NOARGS, NULL},
    {"__sizeof__", (PyCFunction)cxb_map_sizeof, METH_NOARGS, NULL},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot map_slots[] = {
    {Py_tp_new, cxb_map_new},
    {Py_tp_init, map_init},
    {Py_tp_doc, (void *)PyDoc_STR("The native part of ConcurrentDict.")},
    {Py_tp_iter, map_iter},
    {Py_tp_methods, base_methods},
    {Py_tp_members, cxb_map_members},
    {Py_tp_hash, PyObject_HashNotImplemented},
    {Py_mp_subscript, map_subscript},
    {Py_mp_ass_subscript, map_ass_subscript},
    {Py_mp_length, cxb_map_length},
    {Py_sq_contains, cxb_map_contains},
    {Py_tp_traverse, cxb_map_traverse},
    {Py_tp_clear, cxb_map_tp_clear},
    {Py_tp_dealloc, cxb_map_dealloc},
    {0, NULL},
};

PyType_Spec cxb_map_spec = {
    .name = "concx._core.MapBase",
    .basicsize = sizeof(MapObject),
    .flags = CXB_MAP_FLAGS | Py_TPFLAGS_MAPPING,
    .slots = map_slots,
};

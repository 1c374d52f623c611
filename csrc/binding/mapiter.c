// SPDX-License-Identifier: MIT
/* Iterators: a position in the order of hashes, and a few entries that were there a moment ago. */
#include "binding/map.h"

#define ROOM 32 /* entries that an iterator holds at most, but for a bucket that has more */

typedef struct {
    PyObject_HEAD
    MapObject *map; /* NULL: exhausted */
    enum cxb_map_part part;
    bool is_end;
    uint64_t cursor;
    size_t next, count, room;
    struct cx_map_node *entries; /* retained from `next` on */
} MapIterObject;

PyObject *
cxb_map_iter(MapObject *self, enum cxb_map_part part)
{
    PyTypeObject *type = self->state->mapiter_type;
    MapIterObject *iterator = (MapIterObject *)type->tp_alloc(type, 0);
    if (iterator != NULL) {
        iterator->map = (MapObject *)Py_NewRef(self);
        iterator->part = part;
    }
    return (PyObject *)iterator;
}

/* The entries for the next steps: 0, or -1 with MemoryError. */
static int
refill(MapIterObject *self)
{
    self->next = self->count = 0;
    while (!self->is_end && self->count == 0) {
        size_t room = self->room == 0 ? ROOM : self->room;
        if (self->entries == NULL &&
            (self->entries = PyMem_New(struct cx_map_node, room)) == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        self->room = room;
        size_t count =
            cx_map_scan(&self->map->core, &self->cursor, &self->is_end, self->entries, room);
        if (count > room) {
            PyMem_Free(self->entries);
            self->entries = NULL;
            self->room = count;
        }
        else {
            self->count = count;
        }
    }
    return 0;
}

/* The next entry, whose references are the caller's: 1, 0 at the end, -1 with MemoryError. */
static int
advance(MapIterObject *self, struct cx_map_node *entry)
{
    if (self->map == NULL) {
        return 0;
    }
    if (self->next == self->count && refill(self) < 0) {
        return -1;
    }
    if (self->next == self->count || self->entries == NULL) {
        return 0;
    }
    *entry = self->entries[self->next++];
    return 1;
}

static PyObject *
iter_next(MapIterObject *self)
{
    struct cx_map_node entry;
    int more;
    CXB_BEGIN_CRITICAL((PyObject *)self);
    more = advance(self, &entry);
    CXB_END_CRITICAL;
    if (more <= 0) {
        if (more == 0) {
            Py_CLEAR(self->map);
        }
        return NULL;
    }
    PyObject *key = entry.key;
    if (self->part == CXB_KEYS) {
        cxb_value_drop(entry.value);
        return key;
    }
    PyObject *value = cxb_value_object(entry.value);
    if (self->part == CXB_VALUES || value == NULL) {
        Py_DECREF(key);
        return value;
    }
    return Py_BuildValue("(NN)", key, value);
}

static PyObject *
iter_length_hint(MapIterObject *self, PyObject *unused)
{
    (void)unused;
    return PyLong_FromSsize_t(self->map == NULL ? 0 : cxb_map_length(self->map));
}

static int
iter_traverse(MapIterObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)self->map);
    for (size_t i = self->next; i < self->count; i++) {
        Py_VISIT((PyObject *)self->entries[i].key);
        if (!cxb_value_is_int(self->entries[i].value)) {
            Py_VISIT((PyObject *)self->entries[i].value);
        }
    }
    return 0;
}

static int
iter_clear(MapIterObject *self)
{
    struct cx_map_node *entries = self->entries;
    size_t next = self->next, count = self->count;
    self->entries = NULL;
    self->next = self->count = 0;
    self->is_end = true;
    if (entries != NULL) {
        cxb_map_drop(entries + next, count - next);
        PyMem_Free(entries);
    }
    Py_CLEAR(self->map);
    return 0;
}

static void
iter_dealloc(MapIterObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)iter_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef iter_methods[] = {
    {"__length_hint__", (PyCFunction)iter_length_hint, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot iter_slots[] = {
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, iter_next},
    {Py_tp_methods, iter_methods},
    {Py_tp_traverse, iter_traverse},
    {Py_tp_clear, iter_clear},
    {Py_tp_dealloc, iter_dealloc},
    {0, NULL},
};

PyType_Spec cxb_mapiter_spec = {
    .name = "concx._core._MapIterator",
    .basicsize = sizeof(MapIterObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = iter_slots,
};

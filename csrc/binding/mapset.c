// SPDX-License-Identifier: MIT
/* SetBase, the base of ConcurrentSet: a map whose values are None. */
#include "binding/errors.h"
#include "binding/map.h"

#define DOC(text) PyDoc_STR(text)

/* Adds each item: 0 or -1. */
static int
update(MapObject *self, PyObject *items)
{
    PyObject *iterator = PyObject_GetIter(items), *item;
    int done = iterator == NULL ? -1 : 0;
    while (done >= 0 && (item = PyIter_Next(iterator)) != NULL) {
        done = cxb_map_write(self, item, CXB_NOTHING, NULL, Py_None, NULL);
        Py_DECREF(item);
    }
    Py_XDECREF(iterator);
    return done < 0 || PyErr_Occurred() ? -1 : 0;
}

static int
set_init(MapObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"", "shared", "capacity", "count_lookups", NULL};
    PyObject *items = NULL, *ignored;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O$OOO:ConcurrentSet", names, &items, &ignored,
                                     &ignored, &ignored)) {
        return -1;
    }
    if (cxb_map_length(self) > 0 && !cx_map_clear(&self->core)) { /* as set.__init__ called again */
        PyErr_NoMemory();
        return -1;
    }
    return items == NULL ? 0 : update(self, items);
}

/* What an item is looked up as: a set, which has no hash, as a frozenset, as the built-in set has it. */
static PyObject *
as_hashable(MapObject *self, PyObject *item)
{
    bool is_set = PySet_Check(item) || PyObject_TypeCheck(item, self->state->mapset_type);
    return CX_LIKELY(!is_set) || Py_TYPE(item)->tp_hash != PyObject_HashNotImplemented
               ? Py_NewRef(item)
               : PyFrozenSet_New(item);
}

static int
set_contains(MapObject *self, PyObject *item)
{
    PyObject *key = as_hashable(self, item);
    int found = key == NULL ? -1 : cxb_map_contains(self, key);
    Py_XDECREF(key);
    return found;
}

/* 1, 0 it was not there, -1 with an exception */
static int
take_out(MapObject *self, PyObject *item)
{
    PyObject *key = as_hashable(self, item);
    int done = key == NULL ? -1 : cxb_map_write(self, key, CXB_ENTRY, NULL, CXB_ABSENT, NULL);
    Py_XDECREF(key);
    return done;
}

static PyObject *
set_add(MapObject *self, PyObject *item)
{
    return cxb_map_write(self, item, CXB_NOTHING, NULL, Py_None, NULL) < 0 ? NULL
                                                                           : Py_NewRef(Py_None);
}

static PyObject *
set_add_if_absent(MapObject *self, PyObject *item)
{
    int done = cxb_map_write(self, item, CXB_NOTHING, NULL, Py_None, NULL);
    return done < 0 ? NULL : PyBool_FromLong(done);
}

static PyObject *
set_discard(MapObject *self, PyObject *item)
{
    return take_out(self, item) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
set_remove(MapObject *self, PyObject *item)
{
    int done = take_out(self, item);
    if (done == 0) {
        cxb_raise_key(item);
    }
    return done == 1 ? Py_NewRef(Py_None) : NULL;
}

static PyObject *
set_pop(MapObject *self, PyObject *unused)
{
    PyObject *item, *none;
    (void)unused;
    int done = cxb_map_pop_any(self, &item, &none);
    if (done == 0) {
        PyErr_SetString(PyExc_KeyError, "pop from an empty set");
    }
    if (done != 1) {
        return NULL;
    }
    Py_DECREF(none);
    return item;
}

static PyObject *
set_update_one(MapObject *self, PyObject *items)
{
    return update(self, items) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
set_snapshot(MapObject *self, PyObject *unused)
{
    struct cx_map_node *entries;
    (void)unused;
    Py_ssize_t count = cxb_map_snapshot(self, &entries);
    PyObject *set = count < 0 ? NULL : PySet_New(NULL);
    for (Py_ssize_t i = 0; set != NULL && i < count; i++) {
        if (PySet_Add(set, entries[i].key) < 0) {
            Py_CLEAR(set);
        }
    }
    if (count >= 0) {
        cxb_map_drop(entries, (size_t)count);
        PyMem_Free(entries);
    }
    return set;
}

static PyObject *
set_iter(MapObject *self)
{
    return cxb_map_iter(self, CXB_KEYS);
}

PyMethodDef cxb_set_methods[] = {
    {"add", (PyCFunction)set_add, METH_O, DOC("add($self, item, /)\n--\n\nAdd `item`.")},
    {"add_if_absent", (PyCFunction)set_add_if_absent, METH_O,
     DOC("add_if_absent($self, item, /)\n--\n\nAdd `item`; tell whether it was not there.")},
    {"discard", (PyCFunction)set_discard, METH_O,
     DOC("discard($self, item, /)\n--\n\nRemove `item` if it is there.")},
    {"remove", (PyCFunction)set_remove, METH_O,
     DOC("remove($self, item, /)\n--\n\nRemove `item`; KeyError if it is not there.")},
    {"pop", (PyCFunction)set_pop, METH_NOARGS,
     DOC("pop($self)\n--\n\nRemove some item and return it; KeyError if there is none.")},
    {"clear", (PyCFunction)cxb_map_clear, METH_NOARGS,
     DOC("clear($self)\n--\n\nRemove everything, at one instant.")},
    {"snapshot", (PyCFunction)set_snapshot, METH_NOARGS,
     DOC("snapshot($self)\n--\n\nA set with what was there at one instant.")},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef base_methods[] = {
    {"_update", (PyCFunction)set_update_one, METH_O, NULL},
    {"_stats", (PyCFunction)cxb_map_stats, METH_NOARGS, NULL},
    {"__sizeof__", (PyCFunction)cxb_map_sizeof, METH_NOARGS, NULL},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot set_slots[] = {
    {Py_tp_new, cxb_map_new},
    {Py_tp_init, set_init},
    {Py_tp_doc, (void *)PyDoc_STR("The native part of ConcurrentSet.")},
    {Py_tp_iter, set_iter},
    {Py_tp_methods, base_methods},
    {Py_tp_members, cxb_map_members},
    {Py_tp_hash, PyObject_HashNotImplemented},
    {Py_sq_length, cxb_map_length},
    {Py_sq_contains, set_contains},
    {Py_tp_traverse, cxb_map_traverse},
    {Py_tp_clear, cxb_map_tp_clear},
    {Py_tp_dealloc, cxb_map_dealloc},
    {0, NULL},
};

PyType_Spec cxb_mapset_spec = {
    .name = "concx._core.SetBase",
    .basicsize = sizeof(MapObject),
    .flags = CXB_MAP_FLAGS,
    .slots = set_slots,
};

// SPDX-License-Identifier: MIT
/* Many entries at a time. */
#include "binding/map.h"

void
cxb_map_drop(struct cx_map_node *entries, size_t count)
{
    PyObject *error = cxb_error_set_aside();
    for (size_t i = 0; i < count; i++) {
        Py_DECREF((PyObject *)entries[i].key);
        cxb_value_drop(entries[i].value);
    }
    cxb_error_put_back(error);
}

Py_ssize_t
cxb_map_snapshot(MapObject *self, struct cx_map_node **entries)
{
    size_t room = 0, count = (size_t)cxb_map_length(self);
    *entries = NULL;
    /* The map may grow before the guards are taken; each time there is room for a quarter more. */
    do {
        room = count + count / 4 + 1;
        PyMem_Free(*entries);
        if ((*entries = PyMem_New(struct cx_map_node, room)) == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        count = cx_map_snapshot(&self->core, *entries, room);
    } while (count > room);
    return (Py_ssize_t)count;
}

int
cxb_map_pop_any(MapObject *self, PyObject **key, PyObject **value)
{
    struct cx_map_node few[8], *entries = few;
    size_t room = Py_ARRAY_LENGTH(few), count;
    int done = 0;
    uint64_t from = cx_load_relaxed(&self->cursor), cursor = from;
    bool is_end = false, is_second = from == 0; /* round: from where we are to the end, then all */
    while (done == 0) {
        if (is_end) {
            if (is_second && cxb_map_length(self) == 0) {
                break;
            }
            is_second = true;
            cursor = 0;
        }
        uint64_t before = cursor;
        count = cx_map_scan(&self->core, &cursor, &is_end, entries, room);
        if (count > room) {
            struct cx_map_node *more = PyMem_New(struct cx_map_node, count);
            if (entries != few) {
                PyMem_Free(entries);
            }
            if (more == NULL) {
                PyErr_NoMemory();
                return -1;
            }
            entries = more;
            room = count;
            continue;
        }
        for (size_t i = 0; i < count && done == 0; i++) {
            done = cxb_map_write_at(self, entries[i].key, entries[i].hash, CXB_EXACTLY,
                                    entries[i].value, CXB_ABSENT, NULL);
            if (done == 1) {
                cxb_value_retain(entries[i].value);
                *key = Py_NewRef((PyObject *)entries[i].key);
                *value = cxb_value_object(entries[i].value);
                cx_store_relaxed(&self->cursor, before);
                if (*value == NULL) {
                    Py_CLEAR(*key);
                    done = -1;
                }
            }
        }
        cxb_map_drop(entries, count);
    }
    if (entries != few) {
        PyMem_Free(entries);
    }
    return done;
}

/* --- update ----------------------------------------------------------------------------------- */

static int
set(MapObject *self, PyObject *key, PyObject *value)
{
    return cxb_map_write(self, key, CXB_ANYTHING, NULL, value, NULL) < 0 ? -1 : 0;
}

static int
update_from_map(MapObject *self, MapObject *other)
{
    struct cx_map_node *entries;
    Py_ssize_t count = cxb_map_snapshot(other, &entries);
    int failed = count < 0 ? -1 : 0;
    for (Py_ssize_t i = 0; failed == 0 && i < count; i++) {
        cxb_value_retain(entries[i].value);
        PyObject *value = cxb_value_object(entries[i].value);
        failed = value == NULL ? -1 : set(self, entries[i].key, value);
        Py_XDECREF(value);
    }
    if (count >= 0) {
        cxb_map_drop(entries, (size_t)count);
        PyMem_Free(entries);
    }
    return failed;
}

/* One pair of an iterable of pairs, with the words of dict. */
static int
update_from_pair(MapObject *self, PyObject *pair, Py_ssize_t index)
{
    PyObject *fast = PySequence_Fast(pair, "");
    if (fast == NULL) {
        if (PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_Format(PyExc_TypeError,
                         "cannot convert dictionary update sequence element #%zd to a sequence",
                         index);
        }
        return -1;
    }
    int failed = -1;
    if (PySequence_Fast_GET_SIZE(fast) != 2) {
        PyErr_Format(PyExc_ValueError,
                     "dictionary update sequence element #%zd has length %zd; 2 is required", index,
                     PySequence_Fast_GET_SIZE(fast));
    }
    else {
        PyObject *key = Py_NewRef(PySequence_Fast_GET_ITEM(fast, 0));
        PyObject *value = Py_NewRef(PySequence_Fast_GET_ITEM(fast, 1));
        failed = set(self, key, value);
        Py_DECREF(key);
        Py_DECREF(value);
    }
    Py_DECREF(fast);
    return failed;
}

/* `keys`: an iterable of the keys of `other`; NULL: `other` is one of pairs. */
static int
update_from_iterable(MapObject *self, PyObject *other, PyObject *keys)
{
    PyObject *iterator = PyObject_GetIter(keys != NULL ? keys : other), *item;
    int failed = iterator == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; failed == 0 && (item = PyIter_Next(iterator)) != NULL; i++) {
        if (keys == NULL) {
            failed = update_from_pair(self, item, i);
        }
        else {
            PyObject *value = PyObject_GetItem(other, item);
            failed = value == NULL ? -1 : set(self, item, value);
            Py_XDECREF(value);
        }
        Py_DECREF(item);
    }
    Py_XDECREF(iterator);
    return failed < 0 || PyErr_Occurred() ? -1 : 0;
}

int
cxb_map_update(MapObject *self, PyObject *other)
{
    if (PyObject_TypeCheck(other, self->state->map_type)) {
        return update_from_map(self, (MapObject *)other);
    }
    if (PyDict_CheckExact(other)) {
        PyObject *items = PyDict_Items(other);
        int failed = items == NULL ? -1 : update_from_iterable(self, items, NULL);
        Py_XDECREF(items);
        return failed;
    }
    PyObject *method = PyObject_GetAttr(other, self->state->names.keys);
    if (method == NULL && !PyErr_ExceptionMatches(PyExc_AttributeError)) {
        return -1;
    }
    PyErr_Clear();
    PyObject *keys = method == NULL ? NULL : PyObject_CallNoArgs(method);
    if (method != NULL && keys == NULL) {
        Py_DECREF(method);
        return -1;
    }
    Py_XDECREF(method);
    int failed = update_from_iterable(self, other, keys);
    Py_XDECREF(keys);
    return failed;
}

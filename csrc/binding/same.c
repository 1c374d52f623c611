// SPDX-License-Identifier: MIT
#include "binding/same.h"

#include <string.h>

#define DEPTH 8 /* of tuples in tuples */

/* Both have been hashed, so 3.11 has them in their final form. */
static int
same_text(PyObject *a, PyObject *b)
{
    Py_ssize_t length = PyUnicode_GET_LENGTH(a);
    return length == PyUnicode_GET_LENGTH(b) && PyUnicode_KIND(a) == PyUnicode_KIND(b) &&
           memcmp(PyUnicode_DATA(a), PyUnicode_DATA(b), (size_t)length * PyUnicode_KIND(a)) == 0;
}

static int same_at(PyObject *a, PyObject *b, int depth);

/* Element by element, as a tuple compares: what cannot be told hides what stands behind it. */
static int
same_tuple(PyObject *a, PyObject *b, int depth)
{
    Py_ssize_t size = PyTuple_GET_SIZE(a);
    int answer = depth < DEPTH ? size == PyTuple_GET_SIZE(b) : -1;
    for (Py_ssize_t i = 0; answer == 1 && i < size; i++) {
        PyObject *one = PyTuple_GET_ITEM(a, i), *other = PyTuple_GET_ITEM(b, i);
        answer = one == other ? 1 : same_at(one, other, depth + 1);
    }
    return answer;
}

static int
same_at(PyObject *a, PyObject *b, int depth)
{
    PyTypeObject *type = Py_TYPE(a);
    if (type != Py_TYPE(b)) {
        return -1;
    }
    if (type == &PyUnicode_Type) {
        return same_text(a, b);
    }
    if (type == &PyLong_Type || type == &PyFloat_Type || type == &PyBytes_Type) {
        /* C alone, and an answer that is not allocated. */
        PyObject *answer = type->tp_richcompare(a, b, Py_EQ);
        Py_XDECREF(answer);
        return answer == Py_True;
    }
    if (type == &PyTuple_Type) {
        return same_tuple(a, b, depth);
    }
    return type == &PyBool_Type || type->tp_richcompare == PyBaseObject_Type.tp_richcompare ? 0
                                                                                            : -1;
}

int
cxb_same_other(PyObject *a, PyObject *b)
{
    return same_at(a, b, 0);
}

uint32_t
cxb_weight(void *object)
{
    PyTypeObject *type = Py_TYPE((PyObject *)object);
    bool is_light = type == &PyLong_Type || type == &PyFloat_Type || type == &PyBool_Type ||
                    object == Py_None ||
                    (type == &PyUnicode_Type && PyUnicode_GET_LENGTH((PyObject *)object) < 256) ||
                    (type == &PyBytes_Type && PyBytes_GET_SIZE((PyObject *)object) < 256);
    return is_light ? 1 : 10;
}

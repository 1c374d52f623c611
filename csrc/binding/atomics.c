// SPDX-License-Identifier: MIT
#include "binding/atomics.h"

int
cxb_atomic_arguments(PyObject *args, PyObject *kwargs, const char *format, PyObject **value,
                     int *shared)
{
    static char *names[] = {"value", "shared", NULL};
    *value = NULL;
    *shared = 0;
    return PyArg_ParseTupleAndKeywords(args, kwargs, format, names, value, shared) ? 0 : -1;
}

PyObject *
cxb_atomic_rebind(PyObject *self, PyObject *other)
{
    (void)other;
    PyErr_Format(PyExc_TypeError,
                 "an augmented assignment would bind the name to another object: call a method of "
                 "%.100s, such as add()",
                 Py_TYPE(self)->tp_name);
    return NULL;
}

int
cxb_atomic_truth(PyObject *self)
{
    PyErr_Format(PyExc_TypeError, "the truth of %.100s is not that of its value: call get()",
                 Py_TYPE(self)->tp_name);
    return -1;
}

int
cxb_atomic_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return 0;
}

void
cxb_atomic_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    type->tp_free(self);
    Py_DECREF(type);
}

// SPDX-License-Identifier: MIT
#include <string.h>

#include "binding/atomics.h"

#define DOC(text) PyDoc_STR(text)

typedef struct {
    PyObject_HEAD
    uint64_t bits; /* of the double */
} AtomicFloatObject;

static uint64_t
bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double
value_of(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* A number as a double: 0, or -1 with TypeError. */
static int
to_double(PyObject *object, const char *what, double *value)
{
    *value = PyFloat_AsDouble(object);
    if (*value == -1.0 && PyErr_Occurred()) {
        if (PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_Format(PyExc_TypeError, "%s must be a number, got %R", what, object);
        }
        return -1;
    }
    return 0;
}

static PyObject *
float_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *value;
    int shared;
    double number = 0.0;
    if (cxb_atomic_arguments(args, kwargs, "|O$p:AtomicFloat", &value, &shared) < 0 ||
        (value != NULL && to_double(value, "'value'", &number) < 0)) {
        return NULL;
    }
    AtomicFloatObject *self = (AtomicFloatObject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->bits = bits_of(number);
        if (shared) {
            cxb_share((PyObject *)self);
        }
    }
    return (PyObject *)self;
}

static PyObject *
float_get(AtomicFloatObject *self, PyObject *unused)
{
    (void)unused;
    return PyFloat_FromDouble(value_of(CXB_WORD_GET(&self->bits)));
}

static PyObject *
float_exchange(AtomicFloatObject *self, PyObject *value)
{
    double number;
    if (to_double(value, "'value'", &number) < 0) {
        return NULL;
    }
    uint64_t old = CXB_WORD_GET(&self->bits);
    while (!CXB_WORD_CAS(&self->bits, &old, bits_of(number))) { /* LP */
    }
    return PyFloat_FromDouble(value_of(old));
}

static PyObject *
float_set(AtomicFloatObject *self, PyObject *value)
{
    PyObject *old = float_exchange(self, value);
    Py_XDECREF(old);
    return old == NULL ? NULL : Py_NewRef(Py_None);
}

static PyObject *
float_compare_and_set(AtomicFloatObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    double expected, value;
    if (!cxb_takes("compare_and_set", nargs, 2, 2)) {
        return NULL;
    }
    if (to_double(args[0], "'expected'", &expected) < 0 ||
        to_double(args[1], "'value'", &value) < 0) {
        return NULL;
    }
    uint64_t old = CXB_WORD_GET(&self->bits);
    while (value_of(old) == expected) {
        if (CXB_WORD_CAS(&self->bits, &old, bits_of(value))) { /* LP */
            Py_RETURN_TRUE;
        }
    }
    Py_RETURN_FALSE;
}

static PyObject *
float_update(AtomicFloatObject *self, PyObject *fn)
{
    uint64_t old = CXB_WORD_GET(&self->bits);
    double value;
    do {
        PyObject *before = PyFloat_FromDouble(value_of(old));
        PyObject *after = before == NULL ? NULL : PyObject_CallOneArg(fn, before);
        int failed = after == NULL ? -1 : to_double(after, "what 'fn' returns", &value);
        Py_XDECREF(before);
        Py_XDECREF(after);
        if (failed < 0) {
            return NULL;
        }
    } while (!CXB_WORD_CAS(&self->bits, &old, bits_of(value))); /* LP */
    return PyFloat_FromDouble(value);
}

/* Adds n: the value before. */
static double
change(AtomicFloatObject *self, double n)
{
    uint64_t old = CXB_WORD_GET(&self->bits);
    while (!CXB_WORD_CAS(&self->bits, &old, bits_of(value_of(old) + n))) { /* LP */
    }
    return value_of(old);
}

static PyObject *
float_add(AtomicFloatObject *self, PyObject *n)
{
    double number;
    return to_double(n, "'n'", &number) < 0 ? NULL
                                            : PyFloat_FromDouble(change(self, number) + number);
}

static PyObject *
float_get_and_add(AtomicFloatObject *self, PyObject *n)
{
    double number;
    return to_double(n, "'n'", &number) < 0 ? NULL : PyFloat_FromDouble(change(self, number));
}

static PyObject *
float_increment(AtomicFloatObject *self, PyObject *unused)
{
    (void)unused;
    return PyFloat_FromDouble(change(self, 1.0) + 1.0);
}

static PyObject *
float_decrement(AtomicFloatObject *self, PyObject *unused)
{
    (void)unused;
    return PyFloat_FromDouble(change(self, -1.0) - 1.0);
}

static PyObject *
float_get_and_increment(AtomicFloatObject *self, PyObject *unused)
{
    (void)unused;
    return PyFloat_FromDouble(change(self, 1.0));
}

static PyObject *
float_repr(AtomicFloatObject *self)
{
    PyObject *value = float_get(self, NULL);
    PyObject *repr = value == NULL ? NULL : PyUnicode_FromFormat("AtomicFloat(%R)", value);
    Py_XDECREF(value);
    return repr;
}

static PyObject *
float_float(AtomicFloatObject *self)
{
    return float_get(self, NULL);
}

static PyMethodDef float_methods[] = {
    {"get", (PyCFunction)float_get, METH_NOARGS, DOC("get($self)\n--\n\nThe value.")},
    {"set", (PyCFunction)float_set, METH_O, DOC("set($self, value, /)\n--\n\nReplace the value.")},
    {"exchange", (PyCFunction)float_exchange, METH_O,
     DOC("exchange($self, value, /)\n--\n\nReplace the value; return the one before.")},
    {"compare_and_set", (PyCFunction)(void (*)(void))float_compare_and_set, METH_FASTCALL,
     DOC("compare_and_set($self, expected, value, /)\n--\n\nReplace the value if it equals "
         "`expected`; tell whether it did.  A NaN equals nothing.")},
    {"update", (PyCFunction)float_update, METH_O,
     DOC("update($self, fn, /)\n--\n\nReplace the value by ``fn(value)`` and return the new "
         "one.\n\n`fn` is called again if another thread has changed the value meanwhile, so it "
         "must have no other effect.")},
    {"increment", (PyCFunction)float_increment, METH_NOARGS,
     DOC("increment($self)\n--\n\nAdd 1; return the new value.")},
    {"decrement", (PyCFunction)float_decrement, METH_NOARGS,
     DOC("decrement($self)\n--\n\nSubtract 1; return the new value.")},
    {"add", (PyCFunction)float_add, METH_O,
     DOC("add($self, n, /)\n--\n\nAdd `n`; return the new value.")},
    {"get_and_add", (PyCFunction)float_get_and_add, METH_O,
     DOC("get_and_add($self, n, /)\n--\n\nAdd `n`; return the value before.")},
    {"get_and_increment", (PyCFunction)float_get_and_increment, METH_NOARGS,
     DOC("get_and_increment($self)\n--\n\nAdd 1; return the value before.")},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(float_doc, "AtomicFloat(value=0.0, *, shared=False)\n--\n\n\
A float that threads change without a lock.\n\
\n\
Parameters\n\
----------\n\
value : float, default 0.0\n\
    The first value.\n\
shared : bool, default False\n\
    As for `AtomicInt`.\n\
\n\
Notes\n\
-----\n\
``float(a)`` is ``a.get()``. Sums of floats depend on the order in which threads add.\n\
\n\
Thread safety: every method is atomic.");

static PyType_Slot float_slots[] = {
    {Py_tp_new, float_new},
    {Py_tp_doc, (void *)float_doc},
    {Py_tp_repr, float_repr},
    {Py_nb_float, float_float},
    {Py_tp_methods, float_methods},
    {Py_tp_traverse, cxb_atomic_traverse},
    {Py_tp_dealloc, cxb_atomic_dealloc},
    CXB_NO_OPERATORS,
    {0, NULL},
};

PyType_Spec cxb_atomicfloat_spec = {
    .name = "concx.atomic.AtomicFloat",
    .basicsize = sizeof(AtomicFloatObject),
    .flags = CXB_ATOMIC_FLAGS,
    .slots = float_slots,
};

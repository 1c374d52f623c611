// SPDX-License-Identifier: MIT
#include "binding/atomics.h"

#define DOC(text) PyDoc_STR(text)

typedef struct {
    PyObject_HEAD
    uint32_t value;
} AtomicFlagObject;

static PyObject *
flag_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *value;
    int shared, truth;
    if (cxb_atomic_arguments(args, kwargs, "|O$p:AtomicFlag", &value, &shared) < 0 ||
        (truth = cxb_truth(value, 0)) < 0) {
        return NULL;
    }
    AtomicFlagObject *self = (AtomicFlagObject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->value = (uint32_t)truth;
        if (shared) {
            cxb_share((PyObject *)self);
        }
    }
    return (PyObject *)self;
}

static uint32_t
exchange(AtomicFlagObject *self, uint32_t value)
{
    uint32_t old = CXB_WORD_GET(&self->value);
    while (!CXB_WORD_CAS(&self->value, &old, value)) { /* LP */
    }
    return old;
}

static PyObject *
flag_get(AtomicFlagObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong((long)CXB_WORD_GET(&self->value));
}

static PyObject *
flag_exchange(AtomicFlagObject *self, PyObject *value)
{
    int truth = cxb_truth(value, 0);
    return truth < 0 ? NULL : PyBool_FromLong((long)exchange(self, (uint32_t)truth));
}

static PyObject *
flag_set(AtomicFlagObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs > 1) {
        PyErr_Format(PyExc_TypeError, "set() takes at most 1 argument (%zd given)", nargs);
        return NULL;
    }
    int truth = cxb_truth(nargs == 0 ? NULL : args[0], 1);
    if (truth < 0) {
        return NULL;
    }
    (void)exchange(self, (uint32_t)truth);
    Py_RETURN_NONE;
}

static PyObject *
flag_clear(AtomicFlagObject *self, PyObject *unused)
{
    (void)unused;
    (void)exchange(self, 0);
    Py_RETURN_NONE;
}

static PyObject *
flag_test_and_set(AtomicFlagObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong((long)exchange(self, 1));
}

static PyObject *
flag_compare_and_set(AtomicFlagObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    int expected, value;
    if (!cxb_takes("compare_and_set", nargs, 2, 2)) {
        return NULL;
    }
    if ((expected = cxb_truth(args[0], 0)) < 0 || (value = cxb_truth(args[1], 0)) < 0) {
        return NULL;
    }
    uint32_t old = (uint32_t)expected;
    return PyBool_FromLong(CXB_WORD_CAS(&self->value, &old, (uint32_t)value)); /* LP */
}

static int
flag_bool(AtomicFlagObject *self)
{
    return CXB_WORD_GET(&self->value) != 0;
}

static PyObject *
flag_repr(AtomicFlagObject *self)
{
    return PyUnicode_FromFormat("AtomicFlag(%s)", CXB_WORD_GET(&self->value) ? "True" : "False");
}

static PyMethodDef flag_methods[] = {
    {"get", (PyCFunction)flag_get, METH_NOARGS, DOC("get($self)\n--\n\nThe value, a bool.")},
    {"set", (PyCFunction)(void (*)(void))flag_set, METH_FASTCALL,
     DOC("set($self, value=True, /)\n--\n\nReplace the value.")},
    {"clear", (PyCFunction)flag_clear, METH_NOARGS, DOC("clear($self)\n--\n\nMake it false.")},
    {"exchange", (PyCFunction)flag_exchange, METH_O,
     DOC("exchange($self, value, /)\n--\n\nReplace the value; return the one before.")},
    {"test_and_set", (PyCFunction)flag_test_and_set, METH_NOARGS,
     DOC("test_and_set($self)\n--\n\nMake it true; return the value before.")},
    {"compare_and_set", (PyCFunction)(void (*)(void))flag_compare_and_set, METH_FASTCALL,
     DOC("compare_and_set($self, expected, value, /)\n--\n\nReplace the value if it is `expected`; "
         "tell whether it was.")},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(flag_doc, "AtomicFlag(value=False, *, shared=False)\n--\n\n\
A bool that threads change without a lock.\n\
\n\
Parameters\n\
----------\n\
value : bool, default False\n\
    The first value.\n\
shared : bool, default False\n\
    As for `AtomicInt`.\n\
\n\
Notes\n\
-----\n\
``bool(flag)`` is ``flag.get()``. Nobody can wait for it.\n\
\n\
Thread safety: every method is atomic.");

static PyType_Slot flag_slots[] = {
    {Py_tp_new, flag_new},
    {Py_tp_doc, (void *)flag_doc},
    {Py_tp_repr, flag_repr},
    {Py_nb_bool, flag_bool},
    {Py_tp_methods, flag_methods},
    {Py_tp_traverse, cxb_atomic_traverse},
    {Py_tp_dealloc, cxb_atomic_dealloc},
    {0, NULL},
};

PyType_Spec cxb_atomicflag_spec = {
    .name = "concx.atomic.AtomicFlag",
    .basicsize = sizeof(AtomicFlagObject),
    .flags = CXB_ATOMIC_FLAGS,
    .slots = flag_slots,
};

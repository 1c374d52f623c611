// SPDX-License-Identifier: MIT
#include "binding/atomics.h"

#define DOC(text) PyDoc_STR(text)

typedef struct {
    PyObject_HEAD
    int64_t value;
} AtomicIntObject;

static PyObject *
int_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *value;
    int shared;
    int64_t number = 0;
    if (cxb_atomic_arguments(args, kwargs, "|O$p:AtomicInt", &value, &shared) < 0 ||
        (value != NULL && cxb_int64(value, INT64_MIN, "'value'", &number) < 0)) {
        return NULL;
    }
    AtomicIntObject *self = (AtomicIntObject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->value = number;
        if (shared) {
            cxb_share((PyObject *)self);
        }
    }
    return (PyObject *)self;
}

/* Adds n: the value before in *old; 0, or -1 with OverflowError and nothing changed. */
static inline int
change(AtomicIntObject *self, int64_t n, int64_t *old)
{
    int64_t sum;
    *old = CXB_WORD_GET(&self->value);
    do {
        if (CX_UNLIKELY(__builtin_add_overflow(*old, n, &sum))) {
            PyErr_Format(PyExc_OverflowError, "%lld + %lld does not fit into 64 bits",
                         (long long)*old, (long long)n);
            return -1;
        }
    } while (!CXB_WORD_CAS(&self->value, old, sum)); /* LP */
    return 0;
}

static PyObject *
int_get(AtomicIntObject *self, PyObject *unused)
{
    (void)unused;
    return PyLong_FromLongLong(CXB_WORD_GET(&self->value));
}

static PyObject *
int_exchange(AtomicIntObject *self, PyObject *value)
{
    int64_t number;
    if (cxb_int64(value, INT64_MIN, "'value'", &number) < 0) {
        return NULL;
    }
    int64_t old = CXB_WORD_GET(&self->value);
    while (!CXB_WORD_CAS(&self->value, &old, number)) { /* LP */
    }
    return PyLong_FromLongLong(old);
}

static PyObject *
int_set(AtomicIntObject *self, PyObject *value)
{
    PyObject *old = int_exchange(self, value);
    Py_XDECREF(old);
    return old == NULL ? NULL : Py_NewRef(Py_None);
}

static PyObject *
int_compare_and_set(AtomicIntObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    int64_t expected, value;
    if (!cxb_takes("compare_and_set", nargs, 2, 2)) {
        return NULL;
    }
    if (cxb_int64(args[0], INT64_MIN, "'expected'", &expected) < 0 ||
        cxb_int64(args[1], INT64_MIN, "'value'", &value) < 0) {
        return NULL;
    }
    return PyBool_FromLong(CXB_WORD_CAS(&self->value, &expected, value)); /* LP */
}

static PyObject *
int_update(AtomicIntObject *self, PyObject *fn)
{
    int64_t old = CXB_WORD_GET(&self->value), value;
    do {
        PyObject *before = PyLong_FromLongLong(old);
        PyObject *after = before == NULL ? NULL : PyObject_CallOneArg(fn, before);
        int failed = after == NULL ? -1 : cxb_int64(after, INT64_MIN, "what 'fn' returns", &value);
        Py_XDECREF(before);
        Py_XDECREF(after);
        if (failed < 0) {
            return NULL;
        }
    } while (!CXB_WORD_CAS(&self->value, &old, value)); /* LP */
    return PyLong_FromLongLong(value);
}

static PyObject *
int_increment(AtomicIntObject *self, PyObject *unused)
{
    int64_t old;
    (void)unused;
    return change(self, 1, &old) < 0 ? NULL : PyLong_FromLongLong(old + 1);
}

static PyObject *
int_decrement(AtomicIntObject *self, PyObject *unused)
{
    int64_t old;
    (void)unused;
    return change(self, -1, &old) < 0 ? NULL : PyLong_FromLongLong(old - 1);
}

static PyObject *
int_add(AtomicIntObject *self, PyObject *n)
{
    int64_t number, old;
    return cxb_int64(n, INT64_MIN, "'n'", &number) < 0 || change(self, number, &old) < 0
               ? NULL
               : PyLong_FromLongLong(old + number);
}

static PyObject *
int_get_and_add(AtomicIntObject *self, PyObject *n)
{
    int64_t number, old;
    return cxb_int64(n, INT64_MIN, "'n'", &number) < 0 || change(self, number, &old) < 0
               ? NULL
               : PyLong_FromLongLong(old);
}

static PyObject *
int_get_and_increment(AtomicIntObject *self, PyObject *unused)
{
    int64_t old;
    (void)unused;
    return change(self, 1, &old) < 0 ? NULL : PyLong_FromLongLong(old);
}

static PyObject *
int_get_and_decrement(AtomicIntObject *self, PyObject *unused)
{
    int64_t old;
    (void)unused;
    return change(self, -1, &old) < 0 ? NULL : PyLong_FromLongLong(old);
}

static PyObject *
int_repr(AtomicIntObject *self)
{
    return PyUnicode_FromFormat("AtomicInt(%lld)", (long long)CXB_WORD_GET(&self->value));
}

static PyObject *
int_int(AtomicIntObject *self)
{
    return int_get(self, NULL);
}

static PyMethodDef int_methods[] = {
    {"get", (PyCFunction)int_get, METH_NOARGS, DOC("get($self)\n--\n\nThe value.")},
    {"set", (PyCFunction)int_set, METH_O,
     DOC("set($self, value, /)\n--\n\nReplace the value.\n\nRaises\n------\nOverflowError\n  "
         "  If it "
         "does not fit into 64 bits.")},
    {"exchange", (PyCFunction)int_exchange, METH_O,
     DOC("exchange($self, value, /)\n--\n\nReplace the value; return the one before.")},
    {"compare_and_set", (PyCFunction)(void (*)(void))int_compare_and_set, METH_FASTCALL,
     DOC("compare_and_set($self, expected, value, /)\n--\n\nReplace the value if it is `expected`; "
         "tell whether it was.")},
    {"update", (PyCFunction)int_update, METH_O,
     DOC("update($self, fn, /)\n--\n\nReplace the value by ``fn(value)`` and return the new "
         "one.\n\n`fn` is called again if another thread has changed the value meanwhile, so it "
         "must have no other effect.")},
    {"increment", (PyCFunction)int_increment, METH_NOARGS,
     DOC("increment($self)\n--\n\nAdd 1; return the new value.\n\nRaises\n------\nOverflowError\n  "
         "  If it does not fit into 64 bits; the value stays.")},
    {"decrement", (PyCFunction)int_decrement, METH_NOARGS,
     DOC("decrement($self)\n--\n\nSubtract 1; return the new value.")},
    {"add", (PyCFunction)int_add, METH_O,
     DOC("add($self, n, /)\n--\n\nAdd `n`; return the new value.\n\nRaises\n------\nOverflowError\n"
         "    If it does not fit into 64 bits; the value stays.")},
    {"get_and_add", (PyCFunction)int_get_and_add, METH_O,
     DOC("get_and_add($self, n, /)\n--\n\nAdd `n`; return the value before.")},
    {"get_and_increment", (PyCFunction)int_get_and_increment, METH_NOARGS,
     DOC("get_and_increment($self)\n--\n\nAdd 1; return the value before.")},
    {"get_and_decrement", (PyCFunction)int_get_and_decrement, METH_NOARGS,
     DOC("get_and_decrement($self)\n--\n\nSubtract 1; return the value before.")},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(int_doc, "AtomicInt(value=0, *, shared=False)\n--\n\n\
An int of 64 bits that threads change without a lock.\n\
\n\
Parameters\n\
----------\n\
value : int, default 0\n\
    From ``-2**63`` to ``2**63 - 1``, as every later value.\n\
shared : bool, default False\n\
    For an object that many threads use all the time, without a GIL: its references are not\n\
    counted. On 3.13 it is never freed.\n\
\n\
Notes\n\
-----\n\
``int(a)`` is ``a.get()``. Two are equal only if they are the same object.\n\
\n\
Thread safety: every method is atomic.");

static PyType_Slot int_slots[] = {
    {Py_tp_new, int_new},
    {Py_tp_doc, (void *)int_doc},
    {Py_tp_repr, int_repr},
    {Py_nb_int, int_int},
    {Py_tp_methods, int_methods},
    {Py_tp_traverse, cxb_atomic_traverse},
    {Py_tp_dealloc, cxb_atomic_dealloc},
    CXB_NO_OPERATORS,
    {0, NULL},
};

PyType_Spec cxb_atomicint_spec = {
    .name = "concx.atomic.AtomicInt",
    .basicsize = sizeof(AtomicIntObject),
    .flags = CXB_ATOMIC_FLAGS,
    .slots = int_slots,
};

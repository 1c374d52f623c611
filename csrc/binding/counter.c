// SPDX-License-Identifier: MIT
#include "core/counter.h"

#include "binding/atomics.h"

#include <unistd.h>

#define DOC(text) PyDoc_STR(text)
#define MOST_CELLS 64

typedef struct {
    PyObject_HEAD
    struct cx_counter core;
} CounterObject;

/* A power of two, twice as many as CPUs: threads take cells by turns. */
static uint32_t
cells_wanted(void)
{
    long cpus = CX_WITH_GIL ? 0 : sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t cells = 1;
    while (cells < MOST_CELLS && (long)cells < 2 * cpus) {
        cells *= 2;
    }
    return cells;
}

static PyObject *
counter_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"shared", NULL};
    int shared = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$p:Counter", names, &shared)) {
        return NULL;
    }
    CounterObject *self = (CounterObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    if (!cx_counter_init(&self->core, cells_wanted())) {
        Py_DECREF((PyObject *)self);
        return PyErr_NoMemory();
    }
    if (shared) {
        cxb_share((PyObject *)self);
    }
    return (PyObject *)self;
}

static PyObject *
add(CounterObject *self, int64_t n)
{
    if (CX_UNLIKELY(!cx_counter_add(&self->core, n))) {
        PyErr_Format(PyExc_OverflowError, "what this thread has added does not fit into 64 bits");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
counter_add(CounterObject *self, PyObject *n)
{
    int64_t number;
    return cxb_int64(n, INT64_MIN, "'n'", &number) < 0 ? NULL : add(self, number);
}

static PyObject *
counter_increment(CounterObject *self, PyObject *unused)
{
    (void)unused;
    return add(self, 1);
}

static PyObject *
counter_value(CounterObject *self, PyObject *unused)
{
    int64_t high;
    uint64_t low;
    (void)unused;
    cx_counter_sum(&self->core, &high, &low);
    if ((high == 0 && low <= INT64_MAX) || (high == -1 && low > INT64_MAX)) {
        return PyLong_FromLongLong((int64_t)low);
    }
    PyObject *top = PyLong_FromLongLong(high), *rest = PyLong_FromUnsignedLongLong(low);
    PyObject *width = PyLong_FromLong(64), *shifted = NULL, *sum = NULL;
    if (top != NULL && rest != NULL && width != NULL &&
        (shifted = PyNumber_Lshift(top, width)) != NULL) {
        sum = PyNumber_Add(shifted, rest);
    }
    Py_XDECREF(top);
    Py_XDECREF(rest);
    Py_XDECREF(width);
    Py_XDECREF(shifted);
    return sum;
}

static PyObject *
counter_repr(CounterObject *self)
{
    PyObject *value = counter_value(self, NULL);
    PyObject *repr = value == NULL ? NULL : PyUnicode_FromFormat("<Counter %R>", value);
    Py_XDECREF(value);
    return repr;
}

static PyObject *
counter_sizeof(CounterObject *self, PyObject *unused)
{
    (void)unused;
    return PyLong_FromSize_t(sizeof *self +
                             (self->core.mask + (size_t)1) * sizeof self->core.cells[0]);
}

static void
counter_dealloc(CounterObject *self)
{
    cx_counter_fini(&self->core);
    cxb_atomic_dealloc((PyObject *)self);
}

static PyMethodDef counter_methods[] = {
    {"add", (PyCFunction)counter_add, METH_O, DOC("add($self, n, /)\n--\n\nAdd `n`, an int.")},
    {"increment", (PyCFunction)counter_increment, METH_NOARGS,
     DOC("increment($self)\n--\n\nAdd 1.")},
    {"value", (PyCFunction)counter_value, METH_NOARGS,
     DOC("value($self)\n--\n\nThe sum of what was added.\n\nIt holds every add that happened "
         "before the call, and any of those that happen meanwhile.")},
    {"__sizeof__", (PyCFunction)counter_sizeof, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(counter_doc, "Counter(*, shared=False)\n--\n\n\
A sum that many threads add to at once, for statistics.\n\
\n\
Without a GIL every thread adds to a cell of its own, so that adding scales; asking goes through all\n\
cells.\n\
\n\
Parameters\n\
----------\n\
shared : bool, default False\n\
    As for `AtomicInt`. Without it, threads still meet at the counter's reference count.\n\
\n\
Notes\n\
-----\n\
``int(c)`` is ``c.value()``.\n\
\n\
Thread safety: every method is atomic but ``value()``, whose answer is exact when nobody adds.");

static PyObject *
counter_int(CounterObject *self)
{
    return counter_value(self, NULL);
}

static PyType_Slot counter_slots[] = {
    {Py_tp_new, counter_new},
    {Py_tp_doc, (void *)counter_doc},
    {Py_tp_repr, counter_repr},
    {Py_nb_int, counter_int},
    {Py_tp_methods, counter_methods},
    {Py_tp_traverse, cxb_atomic_traverse},
    {Py_tp_dealloc, counter_dealloc},
    CXB_NO_OPERATORS,
    {0, NULL},
};

PyType_Spec cxb_counter_spec = {
    .name = "concx.atomic.Counter",
    .basicsize = sizeof(CounterObject),
    .flags = CXB_ATOMIC_FLAGS,
    .slots = counter_slots,
};

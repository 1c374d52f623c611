// SPDX-License-Identifier: MIT
#include "binding/ringlike.h"

static PyObject *
ringqueue_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"capacity", "cells", NULL};
    PyObject *capacity, *cells = NULL;
    uint64_t size;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:RingQueue", names, &capacity, &cells)) {
        return NULL;
    }
    bool text = cells != NULL && PyUnicode_Check(cells);
    bool ints = text && PyUnicode_CompareWithASCIIString(cells, "int64") == 0;
    if (cells != NULL && !ints &&
        !(text && PyUnicode_CompareWithASCIIString(cells, "object") == 0)) {
        PyErr_Format(text ? PyExc_ValueError : PyExc_TypeError,
                     "'cells' must be 'object' or 'int64', got %R", cells);
        return NULL;
    }
    if (!cxb_ring_capacity(capacity, "RingQueue", &size)) {
        return NULL;
    }
    return cxb_ring_new(type, CX_KIND_RING, size, ints);
}

static PyObject *
ringqueue_cells(RingObject *q, void *unused)
{
    (void)unused;
    return PyUnicode_FromString(q->ints ? "int64" : "object");
}

static PyGetSetDef ringqueue_getset[] = {
    {"capacity", (getter)cxb_ring_capacity_get, NULL,
     PyDoc_STR("The most items it can hold, exactly as asked for."), NULL},
    {"cells", (getter)ringqueue_cells, NULL, PyDoc_STR("'object' or 'int64'."), NULL},
    {"is_shutdown", (getter)cxb_ring_is_shutdown, NULL, PyDoc_STR("Whether shutdown() was called."),
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(ringqueue_doc, "RingQueue(capacity, cells='object')\n--\n\n\
Lock-free bounded queue for any number of producers and consumers.\n\
\n\
Parameters\n----------\n\
capacity : int\n    The most items it holds, from 1 to 2**40; exact. All memory is taken at once.\n\
cells : {'object', 'int64'}\n\
    What it holds: any objects, or ints of 64 bits, which native threads can push without the\n\
    interpreter (see ``concx.h``).\n\
\n\
Notes\n-----\n\
D. Vyukov's bounded queue: each operation claims its cell by one compare-and-swap, and only once the\n\
cell is ready, so a call that gives up loses nothing. Iterating, with ``for`` or ``async for``, takes\n\
items until the queue is shut down and empty. Waiting calls are woken first come, first served, but\n\
may be overtaken by calls that need not wait.\n\
\n\
Thread safety: any number of threads, tasks and event loops; an operation is atomic.\n");

static PyType_Slot ringqueue_slots[] = {
    {Py_tp_doc, (void *)ringqueue_doc},
    {Py_tp_new, ringqueue_new},
    {Py_tp_dealloc, cxb_ring_dealloc},
    {Py_tp_traverse, cxb_ring_traverse},
    {Py_tp_clear, cxb_ring_clear},
    {Py_tp_repr, cxb_ring_repr},
    {Py_tp_methods, cxb_ring_queue_methods},
    {Py_tp_members, cxb_ring_members},
    {Py_tp_getset, ringqueue_getset},
    {Py_tp_iter, cxb_ring_iter},
    {Py_am_aiter, cxb_ring_iter},
    {Py_mp_length, cxb_ring_len},
    {0, NULL},
};

PyType_Spec cxb_ringqueue_spec = {
    .name = "concx.queue.RingQueue",
    .basicsize = sizeof(RingObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = ringqueue_slots,
};

// SPDX-License-Identifier: MIT
#include "binding/ringlike.h"

static PyObject *
spscqueue_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"capacity", NULL};
    PyObject *capacity;
    uint64_t size;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:SpscQueue", names, &capacity) ||
        !cxb_ring_capacity(capacity, "SpscQueue", &size)) {
        return NULL;
    }
    return cxb_ring_new(type, CX_KIND_SPSC, size, false);
}

static PyGetSetDef spscqueue_getset[] = {
    {"capacity", (getter)cxb_ring_capacity_get, NULL,
     PyDoc_STR("The most items it can hold, exactly as asked for."), NULL},
    {"is_shutdown", (getter)cxb_ring_is_shutdown, NULL, PyDoc_STR("Whether shutdown() was called."),
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(spscqueue_doc, "SpscQueue(capacity)\n--\n\n\
Wait-free bounded queue for one producer and one consumer.\n\
\n\
Parameters\n----------\n\
capacity : int\n    The most items it holds, from 1 to 2**40; exact. All memory is taken at once.\n\
\n\
Raises\n------\n\
RuntimeError\n\
    From a put (get) during which another thread was putting (getting), on free-threaded builds.\n\
    The queue is unharmed, and the call did nothing.\n\
\n\
Notes\n-----\n\
L. Lamport's ring with cached indices: an index crosses from core to core once per fill or drain\n\
of the ring. Iterating, with ``for`` or ``async for``, takes items until the queue is shut down and\n\
empty.\n\
\n\
Thread safety: one thread that puts and one that gets at a time. On builds with a GIL the GIL sees\n\
to that. Everything else may be called from any thread.\n");

static PyType_Slot spscqueue_slots[] = {
    {Py_tp_doc, (void *)spscqueue_doc},
    {Py_tp_new, spscqueue_new},
    {Py_tp_dealloc, cxb_ring_dealloc},
    {Py_tp_traverse, cxb_ring_traverse},
    {Py_tp_clear, cxb_ring_clear},
    {Py_tp_repr, cxb_ring_repr},
    {Py_tp_methods, cxb_ring_queue_methods},
    {Py_tp_members, cxb_ring_members},
    {Py_tp_getset, spscqueue_getset},
    {Py_tp_iter, cxb_ring_iter},
    {Py_am_aiter, cxb_ring_iter},
    {Py_mp_length, cxb_ring_len},
    {0, NULL},
};

PyType_Spec cxb_spscqueue_spec = {
    .name = "concx.queue.SpscQueue",
    .basicsize = sizeof(RingObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = spscqueue_slots,
};

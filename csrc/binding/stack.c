// SPDX-License-Identifier: MIT
#include "binding/ringlike.h"

static PyObject *
stack_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, ":Stack", names)) {
        return NULL;
    }
    return cxb_ring_new(type, CX_KIND_STACK, 0, false);
}

static PyObject *
stack_push(RingObject *q, PyObject *item)
{
    return cxb_ring_put(q, item, false, NULL);
}

static PyObject *
stack_push_many(RingObject *q, PyObject *items)
{
    return cxb_ring_put_many(q, items, false, NULL);
}

static PyObject *
stack_pop(RingObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return CX_LIKELY(nargs == 0 && kwnames == NULL)
               ? cxb_ring_get(q, true, NULL)
               : cxb_ring_call_get(q, "pop", args, nargs, kwnames, false);
}

static PyObject *
stack_try_pop(RingObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const struct cxb_signature signature = {"try_pop", 0, {"default", NULL}};
    PyObject *out[1];
    enum cx_status why;
    uint64_t word;
    if (cxb_bind(&signature, args, nargs, kwnames, out) < 0) {
        return NULL;
    }
    if (cxb_ring_try_get(q, &word, 1, &why) == 1) {
        return cxb_ring_item(q, word);
    }
    return Py_NewRef(out[0] != NULL ? out[0] : Py_None);
}

static PyObject *
stack_pop_many(RingObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return cxb_ring_call_get_many(q, "pop_many", args, nargs, kwnames, false);
}

static PyObject *
stack_pop_async(RingObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return cxb_ring_call_get(q, "pop_async", args, nargs, kwnames, true);
}

static PyObject *
stack_pop_many_async(RingObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return cxb_ring_call_get_many(q, "pop_many_async", args, nargs, kwnames, true);
}

#define SAFE "\nNotes\n-----\nThread safety: any number of threads and tasks.\n"

PyDoc_STRVAR(push_doc, "push($self, item, /)\n--\n\n\
Put an item on top. Never waits.\n\
\n\
Raises\n------\n\
ShutDown\n    The stack was shut down.\n" SAFE);

PyDoc_STRVAR(push_many_doc, "push_many($self, items, /)\n--\n\n\
Put all items on top at one instant, the last one topmost; return how many.\n\
\n\
Raises\n------\n\
ShutDown\n    The stack was shut down.\n" SAFE);

PyDoc_STRVAR(pop_doc, "pop($self, /, block=True, timeout=None)\n--\n\n\
Take the topmost item and return it, waiting for one if need be.\n\
\n\
Parameters\n----------\n\
block : bool\n    False: do not wait.\n\
timeout : float or timedelta, optional\n    The most to wait, in seconds. None waits for ever.\n\
\n\
Raises\n------\n\
Empty\n    There is no item, or none came in time.\n\
ShutDown\n    The stack was shut down, and nothing is left on it.\n" SAFE);

PyDoc_STRVAR(try_pop_doc, "try_pop($self, /, default=None)\n--\n\n\
Take the topmost item and return it; `default` if there is none. Never waits.\n" SAFE);

PyDoc_STRVAR(pop_many_doc, "pop_many($self, /, max_items, block=True, timeout=None)\n--\n\n\
Wait for the first item, then take what is there: a list of at most `max_items`, topmost first.\n\
\n\
Raises\n------\n\
Empty\n    There is no item, or none came in time.\n\
ShutDown\n    The stack was shut down, and nothing is left on it.\n" SAFE);

PyDoc_STRVAR(pop_async_doc, "pop_async($self, /, block=True, timeout=None)\n--\n\n\
`pop` for asyncio: a coroutine. One that is cancelled has not taken an item.\n" SAFE);

PyDoc_STRVAR(pop_many_async_doc,
             "pop_many_async($self, /, max_items, block=True, timeout=None)\n--\n\n\
`pop_many` for asyncio: a coroutine.\n" SAFE);

PyDoc_STRVAR(empty_doc, "empty($self, /)\n--\n\n\
Return whether there is no item now.\n" SAFE);

PyDoc_STRVAR(clear_doc, "clear($self, /)\n--\n\n\
Drop the items that are on it now and return how many that were.\n" SAFE);

PyDoc_STRVAR(shutdown_doc, "shutdown($self, /, immediate=False)\n--\n\n\
Let nothing more in; wake all who wait.\n\
\n\
Parameters\n----------\n\
immediate : bool\n    True: drop what is left, too.\n" SAFE);

PyDoc_STRVAR(stats_doc, "stats($self, /)\n--\n\n\
Return a `QueueStats` of what happened so far; pushes count as puts, pops as gets.\n" SAFE);

static PyMethodDef stack_methods[] = {
    {"push", (PyCFunction)stack_push, METH_O, push_doc},
    {"push_many", (PyCFunction)stack_push_many, METH_O, push_many_doc},
    {"pop", CXB_FASTCALL(stack_pop), pop_doc},
    {"try_pop", CXB_FASTCALL(stack_try_pop), try_pop_doc},
    {"pop_many", CXB_FASTCALL(stack_pop_many), pop_many_doc},
    {"pop_async", CXB_FASTCALL(stack_pop_async), pop_async_doc},
    {"pop_many_async", CXB_FASTCALL(stack_pop_many_async), pop_many_async_doc},
    {"empty", (PyCFunction)cxb_ring_m_empty, METH_NOARGS, empty_doc},
    {"clear", (PyCFunction)cxb_ring_m_clear, METH_NOARGS, clear_doc},
    {"shutdown", CXB_FASTCALL(cxb_ring_m_shutdown), shutdown_doc},
    {"stats", (PyCFunction)cxb_ring_m_stats, METH_NOARGS, stats_doc},
    {"__sizeof__", (PyCFunction)cxb_ring_m_sizeof, METH_NOARGS, NULL},
    {"__reduce__", (PyCFunction)cxb_ring_m_reduce, METH_NOARGS, NULL},
    {"__reduce_ex__", (PyCFunction)cxb_ring_m_reduce, METH_O, NULL},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef stack_getset[] = {
    {"is_shutdown", (getter)cxb_ring_is_shutdown, NULL, PyDoc_STR("Whether shutdown() was called."),
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(stack_doc, "Stack()\n--\n\n\
Lock-free unbounded stack for any number of threads.\n\
\n\
Notes\n-----\n\
R. K. Treiber's stack. Its head carries a tag beside the index of a node, and nodes are never given\n\
back while the stack lives, so a thread that was stopped in the middle of a pop cannot mistake a\n\
node that came back for the one it saw (the ABA problem). Iterating, with ``for`` or ``async for``,\n\
takes items, topmost first, until the stack is shut down and empty.\n\
\n\
Thread safety: any number of threads, tasks and event loops; an operation is atomic.\n");

static PyType_Slot stack_slots[] = {
    {Py_tp_doc, (void *)stack_doc},
    {Py_tp_new, stack_new},
    {Py_tp_dealloc, cxb_ring_dealloc},
    {Py_tp_traverse, cxb_ring_traverse},
    {Py_tp_clear, cxb_ring_clear},
    {Py_tp_repr, cxb_ring_repr},
    {Py_tp_methods, stack_methods},
    {Py_tp_members, cxb_ring_members},
    {Py_tp_getset, stack_getset},
    {Py_tp_iter, cxb_ring_iter},
    {Py_am_aiter, cxb_ring_iter},
    {Py_mp_length, cxb_ring_len},
    {0, NULL},
};

PyType_Spec cxb_stack_spec = {
    .name = "concx.queue.Stack",
    .basicsize = sizeof(RingObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = stack_slots,
};

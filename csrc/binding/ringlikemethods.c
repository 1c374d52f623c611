// SPDX-License-Identifier: MIT
#include "binding/ringlike.h"

static const struct cxb_signature put_signature = {"put", 1, {"item", "block", "timeout", NULL}};
static const struct cxb_signature put_many_signature = {
    "put_many", 1, {"items", "block", "timeout", NULL}};

PyObject *
cxb_ring_call_get(RingObject *q, const char *function, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames, bool async)
{
    struct cxb_call call;
    const struct cxb_signature signature = {function, 0, {"block", "timeout", NULL}};
    if (cxb_bind_call(&signature, args, nargs, kwnames, &call) < 0) {
        return NULL;
    }
    return (async ? cxb_ring_get_async : cxb_ring_get)(q, call.block, call.timeout);
}

PyObject *
cxb_ring_call_get_many(RingObject *q, const char *function, PyObject *const *args, Py_ssize_t nargs,
                       PyObject *kwnames, bool async)
{
    struct cxb_call call;
    Py_ssize_t max;
    const struct cxb_signature signature = {function, 1, {"max_items", "block", "timeout", NULL}};
    if (cxb_bind_call(&signature, args, nargs, kwnames, &call) < 0 ||
        cxb_max_items(call.what, &max) < 0) {
        return NULL;
    }
    return (async ? cxb_ring_get_many_async : cxb_ring_get_many)(q, max, call.block, call.timeout);
}

static PyObject *
call_put(RingObject *q, const struct cxb_signature *signature, PyObject *const *args,
         Py_ssize_t nargs, PyObject *kwnames,
         PyObject *(*put)(RingObject *, PyObject *, bool, PyObject *))
{
    struct cxb_call call;
    return cxb_bind_call(signature, args, nargs, kwnames, &call) < 0
               ? NULL
               : put(q, call.what, call.block, call.timeout);
}

static PyObject *
ring_put(RingObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return CX_LIKELY(nargs == 1 && kwnames == NULL)
               ? cxb_ring_put(q, args[0], true, NULL)
               : call_put(q, &put_signature, args, nargs, kwnames, cxb_ring_put);
}

static PyObject *
ring_get(RingObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return CX_LIKELY(nargs == 0 && kwnames == NULL)
               ? cxb_ring_get(q, true, NULL)
               : cxb_ring_call_get(q, "get", args, nargs, kwnames, false);
}

static PyObject *
ring_put_nowait(RingObject *q, PyObject *item)
{
    return cxb_ring_put(q, item, false, NULL);
}

static PyObject *
ring_get_nowait(RingObject *q, PyObject *unused)
{
    (void)unused;
    return cxb_ring_get(q, false, NULL);
}

static PyObject *
ring_put_async(RingObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return call_put(q, &put_signature, args, nargs, kwnames, cxb_ring_put_async);
}

static PyObject *
ring_get_async(RingObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return cxb_ring_call_get(q, "get_async", args, nargs, kwnames, true);
}

static PyObject *
ring_put_many(RingObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return call_put(q, &put_many_signature, args, nargs, kwnames, cxb_ring_put_many);
}

static PyObject *
ring_get_many(RingObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return cxb_ring_call_get_many(q, "get_many", args, nargs, kwnames, false);
}

static PyObject *
ring_put_many_async(RingObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return call_put(q, &put_many_signature, args, nargs, kwnames, cxb_ring_put_many_async);
}

static PyObject *
ring_get_many_async(RingObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return cxb_ring_call_get_many(q, "get_many_async", args, nargs, kwnames, true);
}

static PyObject *
ring_qsize(RingObject *q, PyObject *unused)
{
    (void)unused;
    return PyLong_FromSize_t(cxb_ring_look(q));
}

static PyObject *
ring_full(RingObject *q, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(cxb_ring_look(q) >= cx_ringqueue_capacity(q->core));
}

PyObject *
cxb_ring_m_empty(RingObject *q, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(cxb_ring_look(q) == 0);
}

PyObject *
cxb_ring_m_clear(RingObject *q, PyObject *unused)
{
    (void)unused;
    return cxb_ring_discard_all(q);
}

PyObject *
cxb_ring_m_shutdown(RingObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const struct cxb_signature signature = {"shutdown", 0, {"immediate", NULL}};
    PyObject *out[1];
    if (cxb_bind(&signature, args, nargs, kwnames, out) < 0) {
        return NULL;
    }
    int immediate = cxb_truth(out[0], 0);
    if (immediate < 0) {
        return NULL;
    }
    cxb_ring_shutdown(q, immediate);
    Py_RETURN_NONE;
}

PyObject *
cxb_ring_m_stats(RingObject *q, PyObject *unused)
{
    (void)unused;
    struct cx_ringqueue_stats stats;
    (void)cxb_ring_look(q);
    cx_ringqueue_look(q->core, &stats);
    PyObject *type = cxb_import_once(&q->state->queue_stats, "concx.queue", "QueueStats");
    if (type == NULL) {
        return NULL;
    }
    return PyObject_CallFunction(
        type, "KKKKIIIKdKK", (unsigned long long)stats.puts, (unsigned long long)stats.gets,
        (unsigned long long)stats.blocked_puts, (unsigned long long)stats.blocked_gets,
        stats.waiting_puts, stats.waiting_gets, 0u,
        (unsigned long long)cx_load_relaxed(&q->high_water),
        (double)cx_load_relaxed(&q->waits.ns) / 1e9, 0ull,
        (unsigned long long)cx_load_relaxed(&q->waits.on_loop));
}

PyObject *
cxb_ring_m_sizeof(RingObject *q, PyObject *unused)
{
    (void)unused;
    return PyLong_FromSize_t((size_t)Py_TYPE(q)->tp_basicsize + cx_ringqueue_bytes(q->core));
}

PyObject *
cxb_ring_m_reduce(RingObject *q, PyObject *unused)
{
    (void)unused;
    PyErr_Format(PyExc_TypeError, "cannot pickle '%.200s' object", Py_TYPE(q)->tp_name);
    return NULL;
}

PyObject *
cxb_ring_is_shutdown(RingObject *q, void *unused)
{
    (void)unused;
    return PyBool_FromLong(cx_ringqueue_closed(q->core));
}

PyObject *
cxb_ring_capacity_get(RingObject *q, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(cx_ringqueue_capacity(q->core));
}

Py_ssize_t
cxb_ring_len(RingObject *q)
{
    return (Py_ssize_t)cxb_ring_look(q);
}

PyObject *
cxb_ring_repr(RingObject *q)
{
    struct cx_ringqueue_stats stats;
    const char *name = Py_TYPE(q)->tp_name, *dot = strrchr(name, '.');
    cx_ringqueue_look(q->core, &stats);
    unsigned waiting = stats.waiting_gets + stats.waiting_puts;
    size_t len = cxb_ring_look(q);
    const char *closed = cx_ringqueue_closed(q->core) ? " shut down" : "";
    name = dot != NULL ? dot + 1 : name;
    if (q->core->kind == CX_KIND_STACK) {
        return PyUnicode_FromFormat("<concx.%s size=%zu waiting=%u%s>", name, len, waiting, closed);
    }
    return PyUnicode_FromFormat("<concx.%s size=%zu capacity=%llu%s waiting=%u%s>", name, len,
                                (unsigned long long)cx_ringqueue_capacity(q->core),
                                q->ints ? " cells=int64" : "", waiting, closed);
}

#define SAFE "Thread safety: any number of threads and tasks; of a SpscQueue, one at a time.\n"

PyDoc_STRVAR(put_doc, "put($self, /, item, block=True, timeout=None)\n--\n\n\
Put an item in, waiting for room if need be.\n\
\n\
Parameters\n----------\n\
item : object\n    An int from -2**63 to 2**63-1 if the cells are int64.\n\
block : bool\n    False: do not wait.\n\
timeout : float or timedelta, optional\n    The most to wait, in seconds. None waits for ever.\n\
\n\
Raises\n------\n\
Full\n    There is no room, or none came in time.\n\
ShutDown\n    The queue was shut down.\n\
\n\
Notes\n-----\n" SAFE);

PyDoc_STRVAR(get_doc, "get($self, /, block=True, timeout=None)\n--\n\n\
Take the oldest item out and return it, waiting for one if need be.\n\
\n\
Parameters\n----------\n\
block : bool\n    False: do not wait.\n\
timeout : float or timedelta, optional\n    The most to wait, in seconds. None waits for ever.\n\
\n\
Raises\n------\n\
Empty\n    There is no item, or none came in time.\n\
ShutDown\n    The queue was shut down, and nothing is left in it.\n\
\n\
Notes\n-----\n" SAFE);

PyDoc_STRVAR(put_nowait_doc, "put_nowait($self, item, /)\n--\n\n\
Put an item in if there is room now: ``put(item, block=False)``.\n\
\n\
Notes\n-----\n" SAFE);

PyDoc_STRVAR(get_nowait_doc, "get_nowait($self, /)\n--\n\n\
Return the oldest item if there is one now: ``get(block=False)``.\n\
\n\
Notes\n-----\n" SAFE);

PyDoc_STRVAR(put_async_doc, "put_async($self, /, item, block=True, timeout=None)\n--\n\n\
`put` for asyncio: a coroutine. One that is cancelled has not put.\n\
\n\
Notes\n-----\n" SAFE);

PyDoc_STRVAR(get_async_doc, "get_async($self, /, block=True, timeout=None)\n--\n\n\
`get` for asyncio: a coroutine. One that is cancelled has not taken an item.\n\
\n\
Notes\n-----\n" SAFE);

PyDoc_STRVAR(put_many_doc, "put_many($self, /, items, block=True, timeout=None)\n--\n\n\
Put items in, in order and as many at once as there is room for.\n\
\n\
Parameters\n----------\n\
items : iterable\n    Read to its end before the first item goes in.\n\
block : bool\n    False: put in what there is room for.\n\
timeout : float or timedelta, optional\n    The most to wait for all of it, in seconds.\n\
\n\
Returns\n-------\n\
int\n    How many went in, from the first on.\n\
\n\
Raises\n------\n\
ShutDown\n    The queue was shut down before any went in.\n\
\n\
Notes\n-----\n\
Items of several producers may come between those of one call.\n" SAFE);

PyDoc_STRVAR(get_many_doc, "get_many($self, /, max_items, block=True, timeout=None)\n--\n\n\
Wait for the first item, then take what is there: a list of at most `max_items`.\n\
\n\
Raises\n------\n\
Empty\n    There is no item, or none came in time.\n\
ShutDown\n    The queue was shut down, and nothing is left in it.\n\
\n\
Notes\n-----\n" SAFE);

PyDoc_STRVAR(put_many_async_doc, "put_many_async($self, /, items, block=True, timeout=None)\n--\n\n\
`put_many` for asyncio: a coroutine. Cancelled, it may have put the first items in.\n\
\n\
Notes\n-----\n" SAFE);

PyDoc_STRVAR(get_many_async_doc,
             "get_many_async($self, /, max_items, block=True, timeout=None)\n--\n\n\
`get_many` for asyncio: a coroutine.\n\
\n\
Notes\n-----\n" SAFE);

PyDoc_STRVAR(qsize_doc, "qsize($self, /)\n--\n\n\
Return how many items there are: the length at one instant during the call.\n\
\n\
Notes\n-----\nThread safety: any number of threads.\n");

PyDoc_STRVAR(empty_doc, "empty($self, /)\n--\n\n\
Return whether there is no item now.\n\
\n\
Notes\n-----\nThread safety: any number of threads.\n");

PyDoc_STRVAR(full_doc, "full($self, /)\n--\n\n\
Return whether there is no room now.\n\
\n\
Notes\n-----\nThread safety: any number of threads.\n");

PyDoc_STRVAR(clear_doc, "clear($self, /)\n--\n\n\
Drop the items that are in it now and return how many that were.\n\
\n\
Notes\n-----\nThread safety: any number of threads.\n");

PyDoc_STRVAR(shutdown_doc, "shutdown($self, /, immediate=False)\n--\n\n\
Let nothing more in; wake all who wait.\n\
\n\
Parameters\n----------\n\
immediate : bool\n    True: drop what is left, too.\n\
\n\
Notes\n-----\n\
No put succeeds after it, and no item that was put before it is lost.\n\
Thread safety: any number of threads.\n");

PyDoc_STRVAR(stats_doc, "stats($self, /)\n--\n\n\
Return a `QueueStats` of what happened so far.\n\
\n\
Notes\n-----\n\
On free-threaded builds `high_water` is the greatest length that a look at the queue has met (this\n\
call, `qsize`, a wait): exact, it would cost every put a cache line. `waiting_joins` and `dropped`\n\
are always 0.\n\
Thread safety: any number of threads.\n");

PyMethodDef cxb_ring_queue_methods[] = {
    {"put", CXB_FASTCALL(ring_put), put_doc},
    {"get", CXB_FASTCALL(ring_get), get_doc},
    {"put_nowait", (PyCFunction)ring_put_nowait, METH_O, put_nowait_doc},
    {"get_nowait", (PyCFunction)ring_get_nowait, METH_NOARGS, get_nowait_doc},
    {"put_async", CXB_FASTCALL(ring_put_async), put_async_doc},
    {"get_async", CXB_FASTCALL(ring_get_async), get_async_doc},
    {"put_many", CXB_FASTCALL(ring_put_many), put_many_doc},
    {"get_many", CXB_FASTCALL(ring_get_many), get_many_doc},
    {"put_many_async", CXB_FASTCALL(ring_put_many_async), put_many_async_doc},
    {"get_many_async", CXB_FASTCALL(ring_get_many_async), get_many_async_doc},
    {"qsize", (PyCFunction)ring_qsize, METH_NOARGS, qsize_doc},
    {"empty", (PyCFunction)cxb_ring_m_empty, METH_NOARGS, empty_doc},
    {"full", (PyCFunction)ring_full, METH_NOARGS, full_doc},
    {"clear", (PyCFunction)cxb_ring_m_clear, METH_NOARGS, clear_doc},
    {"shutdown", CXB_FASTCALL(cxb_ring_m_shutdown), shutdown_doc},
    {"stats", (PyCFunction)cxb_ring_m_stats, METH_NOARGS, stats_doc},
    {"__sizeof__", (PyCFunction)cxb_ring_m_sizeof, METH_NOARGS, NULL},
    {"__reduce__", (PyCFunction)cxb_ring_m_reduce, METH_NOARGS, NULL},
    {"__reduce_ex__", (PyCFunction)cxb_ring_m_reduce, METH_O, NULL},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};

PyMemberDef cxb_ring_members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(RingObject, weakrefs), Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

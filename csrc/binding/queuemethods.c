// SPDX-License-Identifier: MIT
/* binding/queuemethods.c - the methods of the queue family: arguments in, results out.
 *
 * Each hot method tries the engine's inline path first and parses arguments only after that.
 */
#include "binding/queue.h"
#include "binding/queuedoc.h"

#include <string.h>

static const struct cxb_signature put_signature = {"put", 1, {"item", "block", "timeout", NULL}};
static const struct cxb_signature put_nowait_signature = {"put_nowait", 1, {"item", NULL}};
static const struct cxb_signature get_signature = {"get", 0, {"block", "timeout", NULL}};
static const struct cxb_signature put_many_signature = {
    "put_many", 1, {"items", "block", "timeout", NULL}};
static const struct cxb_signature get_many_signature = {
    "get_many", 1, {"max_items", "block", "timeout", NULL}};
static const struct cxb_signature shutdown_signature = {"shutdown", 0, {"immediate", NULL}};
static const struct cxb_signature join_async_signature = {"join_async", 0, {"timeout", NULL}};

static PyObject *
call_put(QueueObject *q, const struct cxb_signature *signature, PyObject *const *args,
         Py_ssize_t nargs, PyObject *kwnames,
         PyObject *(*put)(QueueObject *, PyObject *, bool, PyObject *))
{
    struct cxb_call call;
    return cxb_bind_call(signature, args, nargs, kwnames, &call) < 0
               ? NULL
               : put(q, call.what, call.block, call.timeout);
}

static PyObject *
call_get(QueueObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
         PyObject *(*get)(QueueObject *, bool, PyObject *))
{
    struct cxb_call call;
    return cxb_bind_call(&get_signature, args, nargs, kwnames, &call) < 0
               ? NULL
               : get(q, call.block, call.timeout);
}

static PyObject *
call_get_many(QueueObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
              PyObject *(*get)(QueueObject *, Py_ssize_t, bool, PyObject *))
{
    struct cxb_call call;
    Py_ssize_t max;
    if (cxb_bind_call(&get_many_signature, args, nargs, kwnames, &call) < 0 ||
        cxb_max_items(call.what, &max) < 0) {
        return NULL;
    }
    return get(q, max, call.block, call.timeout);
}

static PyObject *
queue_put(QueueObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (CX_LIKELY(nargs == 1 && kwnames == NULL)) {
        Py_INCREF(args[0]);
        if (CX_LIKELY(cx_queue_put_fast(&q->core, args[0]))) {
            Py_RETURN_NONE;
        }
        Py_DECREF(args[0]);
    }
    return call_put(q, &put_signature, args, nargs, kwnames, cxb_queue_put);
}

static PyObject *
queue_get(QueueObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    void *item;
    if (CX_LIKELY(nargs == 0 && kwnames == NULL) && CX_LIKELY(cx_queue_get_fast(&q->core, &item))) {
        return item;
    }
    return call_get(q, args, nargs, kwnames, cxb_queue_get);
}

/* Calls the overridden method `name` with block=False, as the standard library's _nowait forms do. */
static PyObject *
call_own(QueueObject *q, const char *name, PyObject *item)
{
    PyObject *method = cxb_attribute((PyObject *)q, name);
    PyObject *args = item == NULL ? PyTuple_New(0) : PyTuple_Pack(1, item);
    PyObject *kwargs = Py_BuildValue("{s:O}", "block", Py_False);
    PyObject *result = method == NULL || args == NULL || kwargs == NULL
                           ? NULL
                           : PyObject_Call(method, args, kwargs);
    Py_XDECREF(method);
    Py_XDECREF(args);
    Py_XDECREF(kwargs);
    return result;
}

static PyObject *
queue_put_nowait(QueueObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *item;
    if (cxb_bind(&put_nowait_signature, args, nargs, kwnames, &item) < 0) {
        return NULL;
    }
    if (CX_UNLIKELY(cx_load_relaxed(&q->own_put))) {
        return call_own(q, "put", item);
    }
    Py_INCREF(item);
    if (CX_LIKELY(cx_queue_put_fast(&q->core, item))) {
        Py_RETURN_NONE;
    }
    Py_DECREF(item);
    return cxb_queue_put(q, item, false, Py_None);
}

static PyObject *
queue_get_nowait(QueueObject *q, PyObject *unused)
{
    void *item;
    (void)unused;
    if (CX_UNLIKELY(cx_load_relaxed(&q->own_get))) {
        return call_own(q, "get", NULL);
    }
    if (CX_LIKELY(cx_queue_get_fast(&q->core, &item))) {
        return item;
    }
    return cxb_queue_get(q, false, Py_None);
}

static PyObject *
queue_put_async(QueueObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return call_put(q, &put_signature, args, nargs, kwnames, cxb_queue_put_async);
}

static PyObject *
queue_get_async(QueueObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return call_get(q, args, nargs, kwnames, cxb_queue_get_async);
}

static PyObject *
queue_put_many(QueueObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return call_put(q, &put_many_signature, args, nargs, kwnames, cxb_queue_put_many);
}

static PyObject *
queue_get_many(QueueObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return call_get_many(q, args, nargs, kwnames, cxb_queue_get_many);
}

static PyObject *
queue_put_many_async(QueueObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return call_put(q, &put_many_signature, args, nargs, kwnames, cxb_queue_put_many_async);
}

static PyObject *
queue_get_many_async(QueueObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return call_get_many(q, args, nargs, kwnames, cxb_queue_get_many_async);
}

static PyObject *
queue_join_async(QueueObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *out[1];
    return cxb_bind(&join_async_signature, args, nargs, kwnames, out) < 0
               ? NULL
               : cxb_queue_join_async(q, out[0]);
}

static PyObject *
queue_join(QueueObject *q, PyObject *unused)
{
    (void)unused;
    return cxb_queue_join(q);
}

static PyObject *
queue_task_done(QueueObject *q, PyObject *unused)
{
    (void)unused;
    struct cx_wakes wakes = CX_WAKES_INIT;
    enum cx_status status = cx_queue_done(&q->core, &wakes);
    cxb_queue_deliver(q, &wakes);
    if (status == CX_MOVED) {
        return cxb_compat(q, "task_done", "");
    }
    if (status != CX_OK) {
        PyErr_SetString(PyExc_ValueError, "task_done() called too many times");
        return NULL;
    }
    Py_RETURN_NONE;
}

/* The length, or -1: the queue has moved to its compatibility mode. */
static int64_t
length(QueueObject *q)
{
    struct cx_queue_view view;
    cx_queue_look(&q->core, &view);
    return view.moved ? -1 : (int64_t)view.len;
}

PyObject *
cxb_queue_qsize(QueueObject *q, PyObject *unused)
{
    (void)unused;
    int64_t n = length(q);
    return n < 0 ? cxb_compat(q, "qsize", "") : PyLong_FromLongLong(n);
}

static PyObject *
queue_empty(QueueObject *q, PyObject *unused)
{
    (void)unused;
    int64_t n = length(q);
    return n < 0 ? cxb_compat(q, "empty", "") : PyBool_FromLong(n == 0);
}

static PyObject *
queue_full(QueueObject *q, PyObject *unused)
{
    (void)unused;
    int64_t n = length(q);
    return n < 0 ? cxb_compat(q, "full", "")
                 : PyBool_FromLong(n >= cx_load_relaxed(&q->core.limit));
}

static PyObject *
queue_peek(QueueObject *q, PyObject *unused)
{
    (void)unused;
    return cxb_queue_peek(q);
}

static PyObject *
queue_clear(QueueObject *q, PyObject *unused)
{
    (void)unused;
    Py_ssize_t cleared = cxb_queue_clear(q);
    return cleared < 0 ? cxb_compat(q, "clear", "") : PyLong_FromSsize_t(cleared);
}

static PyObject *
queue_consume(QueueObject *q, PyObject *unused)
{
    (void)unused;
    return cxb_consumer_new(q);
}

static PyObject *
queue_stats(QueueObject *q, PyObject *unused)
{
    (void)unused;
    return cxb_queue_stats(q);
}

static PyObject *
queue_shutdown(QueueObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *out[1];
    if (cxb_bind(&shutdown_signature, args, nargs, kwnames, out) < 0) {
        return NULL;
    }
    int immediate = cxb_truth(out[0], 0);
    if (immediate < 0) {
        return NULL;
    }
    if (!cxb_queue_shutdown(q, immediate)) {
        return cxb_compat(q, "shutdown", "b", immediate);
    }
    Py_RETURN_NONE;
}

static PyObject *
queue_sizeof(QueueObject *q, PyObject *unused)
{
    (void)unused;
    return PyLong_FromSize_t((size_t)Py_TYPE(q)->tp_basicsize + cx_buffer_bytes(&q->core.store.b));
}

static PyObject *
queue_reduce(QueueObject *q, PyObject *unused)
{
    (void)unused;
    PyErr_Format(PyExc_TypeError, "cannot pickle '%.200s' object", Py_TYPE(q)->tp_name);
    return NULL;
}

/* What bind_methods puts on every final class, so that CPython can specialise the calls. */
PyMethodDef cxb_queue_methods[] = {
    {"put", CXB_FASTCALL(queue_put), PyDoc_STR(PUT_DOC)},
    {"get", CXB_FASTCALL(queue_get), PyDoc_STR(GET_DOC)},
    {"put_nowait", CXB_FASTCALL(queue_put_nowait), PyDoc_STR(PUT_NOWAIT_DOC)},
    {"get_nowait", (PyCFunction)queue_get_nowait, METH_NOARGS, PyDoc_STR(GET_NOWAIT_DOC)},
    {"put_async", CXB_FASTCALL(queue_put_async), PyDoc_STR(PUT_ASYNC_DOC)},
    {"get_async", CXB_FASTCALL(queue_get_async), PyDoc_STR(GET_ASYNC_DOC)},
    {"put_many", CXB_FASTCALL(queue_put_many), PyDoc_STR(PUT_MANY_DOC)},
    {"get_many", CXB_FASTCALL(queue_get_many), PyDoc_STR(GET_MANY_DOC)},
    {"put_many_async", CXB_FASTCALL(queue_put_many_async), PyDoc_STR(PUT_MANY_ASYNC_DOC)},
    {"get_many_async", CXB_FASTCALL(queue_get_many_async), PyDoc_STR(GET_MANY_ASYNC_DOC)},
    {"qsize", (PyCFunction)cxb_queue_qsize, METH_NOARGS, PyDoc_STR(QSIZE_DOC)},
    {"empty", (PyCFunction)queue_empty, METH_NOARGS, PyDoc_STR(EMPTY_DOC)},
    {"full", (PyCFunction)queue_full, METH_NOARGS, PyDoc_STR(FULL_DOC)},
    {"peek", (PyCFunction)queue_peek, METH_NOARGS, PyDoc_STR(PEEK_DOC)},
    {"clear", (PyCFunction)queue_clear, METH_NOARGS, PyDoc_STR(CLEAR_DOC)},
    {"consume", (PyCFunction)queue_consume, METH_NOARGS, PyDoc_STR(CONSUME_DOC)},
    {"task_done", (PyCFunction)queue_task_done, METH_NOARGS, PyDoc_STR(TASK_DONE_DOC)},
    {"join", (PyCFunction)queue_join, METH_NOARGS, PyDoc_STR(JOIN_DOC)},
    {"join_async", CXB_FASTCALL(queue_join_async), PyDoc_STR(JOIN_ASYNC_DOC)},
    {"shutdown", CXB_FASTCALL(queue_shutdown), PyDoc_STR(SHUTDOWN_DOC)},
    {"stats", (PyCFunction)queue_stats, METH_NOARGS, PyDoc_STR(STATS_DOC)},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef private_methods[] = {
    {"__sizeof__", (PyCFunction)queue_sizeof, METH_NOARGS, NULL},
    {"__reduce__", (PyCFunction)queue_reduce, METH_NOARGS, NULL},
    {"__reduce_ex__", (PyCFunction)queue_reduce, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

int
cxb_queue_exec(PyObject *module)
{
    /* A SimpleQueue has no bound and counts no tasks. */
    static const char *const not_simple[] = {"full", "task_done", "join", "join_async", NULL};
    struct cxb_state *state = cxb_state_of_module(module);
    PyTypeObject *base = state->queuebase_type, *simple = state->simplequeue_type;
    if (cxb_add_methods(base, cxb_queue_methods, NULL) < 0 ||
        cxb_add_methods(base, private_methods, NULL) < 0 ||
        cxb_add_methods(base, cxb_queue_mode_methods, NULL) < 0 ||
        cxb_add_methods(simple, cxb_queue_methods, not_simple) < 0 ||
        cxb_add_methods(simple, private_methods, NULL) < 0) {
        return -1;
    }
    for (PyGetSetDef *def = cxb_queue_mode_getset; def->name != NULL; def++) {
        PyObject *attribute = PyDescr_NewGetSet(base, def);
        if (attribute == NULL ||
            PyObject_SetAttrString((PyObject *)base, def->name, attribute) < 0) {
            Py_XDECREF(attribute);
            return -1;
        }
        Py_DECREF(attribute);
    }
    return 0;
}

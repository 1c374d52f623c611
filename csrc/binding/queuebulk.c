// SPDX-License-Identifier: MIT
#include "binding/queue.h"

/* How many items go in under one hold of the guard. */
#define BATCH 256

Py_ssize_t
cxb_queue_put_batch(QueueObject *q, PyObject *items, Py_ssize_t from, enum cx_status *why)
{
    Py_ssize_t n = PyTuple_GET_SIZE(items);
    *why = CX_OK;
    while (from < n) {
        PyObject *const *rest = ((PyTupleObject *)items)->ob_item + from;
        Py_ssize_t count = n - from < BATCH ? n - from : BATCH;
        for (Py_ssize_t i = 0; i < count; i++) {
            Py_INCREF(rest[i]);
        }
        Py_ssize_t done =
            (Py_ssize_t)cx_queue_put_batch(&q->core, (void *const *)rest, (size_t)count);
        for (Py_ssize_t i = done; i < count; i++) {
            Py_DECREF(rest[i]);
        }
        from += done;
        if (done > 0) {
            continue;
        }
        struct cx_queue_op op;
        int64_t weight;
        if (cxb_queue_weigh(q, PyTuple_GET_ITEM(items, from), &weight) < 0) {
            return -1;
        }
        cx_queue_op_init(&op, Py_NewRef(PyTuple_GET_ITEM(items, from)), weight);
        *why = cxb_queue_try_put(q, &op, NULL);
        if (*why != CX_OK) {
            Py_DECREF((PyObject *)op.item);
            if (*why == CX_TOO_BIG) {
                cxb_queue_too_big(q, weight);
                return -1;
            }
            return *why == CX_INTR ? -1 : from;
        }
        from++;
    }
    return from;
}

PyObject *
cxb_queue_put_many(QueueObject *q, PyObject *items, bool block, PyObject *timeout)
{
    struct cxb_limit limit;
    enum cx_status why;
    Py_ssize_t done = 0;
    if (cxb_limit_parse(&limit, block, timeout) < 0) {
        return NULL;
    }
    PyObject *tuple = PySequence_Tuple(items);
    if (tuple == NULL) {
        return NULL;
    }
    for (;;) {
        Py_ssize_t reached = cxb_queue_put_batch(q, tuple, done, &why);
        if (reached < 0) {
            goto failed;
        }
        done = reached;
        if (why != CX_FULL || !limit.block || q->core.overflow != CX_BLOCK) {
            break;
        }
        PyObject *one = cxb_queue_put_within(q, PyTuple_GET_ITEM(tuple, done), &limit);
        if (one == NULL) {
            if (PyErr_ExceptionMatches(q->state->Full)) {
                PyErr_Clear();
                why = CX_FULL;
                break;
            }
            if (done > 0 && PyErr_ExceptionMatches(q->state->ShutDown)) {
                PyErr_Clear();
                why = CX_CLOSED;
                break;
            }
            goto failed;
        }
        Py_DECREF(one);
        done++;
    }
    if (why == CX_MOVED) {
        PyObject *rest = PyTuple_GetSlice(tuple, done, PyTuple_GET_SIZE(tuple));
        PyObject *more = rest == NULL ? NULL
                                      : cxb_compat(q, "put_many", "NbN", rest, limit.block,
                                                   cxb_limit_rest(&limit));
        Py_ssize_t count = more == NULL ? -1 : PyLong_AsSsize_t(more);
        Py_XDECREF(more);
        if (count < 0) {
            goto failed;
        }
        done += count;
    }
    if (why == CX_CLOSED && done == 0 && PyTuple_GET_SIZE(tuple) > 0) {
        cxb_raise(q->state, CX_CLOSED);
        goto failed;
    }
    Py_DECREF(tuple);
    return PyLong_FromSsize_t(done);
failed:
    Py_DECREF(tuple);
    return NULL;
}

int
cxb_queue_get_batch(QueueObject *q, PyObject *list, Py_ssize_t max)
{
    Py_ssize_t before = PyList_GET_SIZE(list);
    struct cx_queue_view view;
    cx_queue_look(&q->core, &view);
    Py_ssize_t room = (Py_ssize_t)view.len < max - before ? (Py_ssize_t)view.len : max - before;
    while (room-- > 0) {
        /* One slot is made before each item leaves the queue, so none can be lost for want of
         * memory. */
        if (PyList_Append(list, Py_None) < 0) {
            return -1;
        }
        struct cx_queue_op op;
        cx_queue_op_init(&op, NULL, 1);
        enum cx_status status = cxb_queue_try_get(q, &op, NULL);
        Py_ssize_t last = PyList_GET_SIZE(list) - 1;
        if (status != CX_OK) {
            PyList_SetSlice(list, last, last + 1, NULL);
            return status == CX_INTR ? -1 : 0;
        }
        PyList_SetItem(list, last, op.item);
    }
    return 0;
}

/* A new list of at most `max` items that are there now. */
static PyObject *
get_at_once(QueueObject *q, Py_ssize_t max)
{
    struct cx_queue_view view;
    cx_queue_look(&q->core, &view);
    Py_ssize_t room = (Py_ssize_t)view.len < max ? (Py_ssize_t)view.len : max;
    PyObject *list = PyList_New(room);
    if (list == NULL || room == 0) {
        return list;
    }
    void **slots = (void **)((PyListObject *)list)->ob_item;
    size_t got = cx_queue_get_batch(&q->core, slots, (size_t)room);
    Py_SET_SIZE(list, (Py_ssize_t)got);
    /* Asked now, not before: a putter that found the queue full just before the guard was taken has
     * enlisted since, and one that comes later finds room. */
    if (got > 0 && cx_waitlist_count(&q->core.givers) > 0) {
        struct cx_wakes wakes = CX_WAKES_INIT;
        cx_queue_settle(&q->core, &wakes);
        cxb_queue_deliver(q, &wakes);
    }
    if (got == 0 && cxb_queue_get_batch(q, list, max) < 0 && PyList_GET_SIZE(list) == 0) {
        Py_CLEAR(list);
    }
    PyErr_Clear(); /* a comparison failed after some items came out: those are the result */
    return list;
}

/* Adds what is there after a first item; errors end it, because the items so far are the result. */
PyObject *
cxb_queue_with_rest(QueueObject *q, PyObject *first, Py_ssize_t max)
{
    PyObject *list = PyList_New(1);
    if (list == NULL) {
        Py_DECREF(first);
        return NULL;
    }
    PyList_SET_ITEM(list, 0, first);
    if (max > 1 && cxb_queue_is_moved(q)) {
        PyObject *rest = cxb_compat(q, "try_get_many", "n", max - 1);
        if (rest != NULL) {
            (void)PyList_SetSlice(list, 1, 1, rest);
            Py_DECREF(rest);
        }
    }
    else {
        (void)cxb_queue_get_batch(q, list, max);
    }
    PyErr_Clear();
    return list;
}

PyObject *
cxb_queue_get_many(QueueObject *q, Py_ssize_t max, bool block, PyObject *timeout)
{
    struct cxb_limit limit;
    if (cxb_limit_parse(&limit, block, timeout) < 0) {
        return NULL;
    }
    PyObject *list = get_at_once(q, max);
    if (list == NULL || PyList_GET_SIZE(list) > 0 || max == 0) {
        return list;
    }
    Py_DECREF(list);
    PyObject *first = cxb_queue_get_within(q, &limit);
    return first == NULL ? NULL : cxb_queue_with_rest(q, first, max);
}

PyObject *
cxb_queue_peek(QueueObject *q)
{
    struct cx_queue_op op;
    cx_queue_op_init(&op, NULL, 1);
    enum cx_status status = cxb_queue_try_peek(q, &op);
    switch (status) {
    case CX_OK:
        return op.item;
    case CX_MOVED:
        return cxb_compat(q, "peek", "");
    default:
        return cxb_raise(q->state, status);
    }
}

/* Drops a store and what was given back to it; the number of items. */
static Py_ssize_t
drop_store(struct cx_buffer *store, struct cx_node *returned)
{
    struct cx_waiter *spent = NULL;
    Py_ssize_t count = 0;
    while (returned != NULL) {
        Py_DECREF((PyObject *)cx_queue_pop_returned(&returned, &spent));
        count++;
    }
    cx_queue_recycle(&spent);
    for (size_t i = 0; i < store->count; i++) {
        Py_DECREF((PyObject *)cx_buffer_at(store, i));
    }
    count += (Py_ssize_t)store->count;
    cx_buffer_fini(store);
    return count;
}

Py_ssize_t
cxb_queue_clear(QueueObject *q)
{
    struct cx_buffer store;
    struct cx_node *returned;
    struct cx_wakes wakes = CX_WAKES_INIT;
    if (!cx_queue_take_all(&q->core, &store, &returned, true)) {
        return -1;
    }
    cx_queue_settle(&q->core, &wakes);
    cxb_queue_deliver(q, &wakes);
    return drop_store(&store, returned);
}

bool
cxb_queue_shutdown(QueueObject *q, bool immediate)
{
    struct cx_wakes wakes = CX_WAKES_INIT;
    if (!cx_queue_close(&q->core, immediate)) {
        return false;
    }
    if (immediate) {
        (void)cxb_queue_clear(q);
    }
    cx_queue_settle(&q->core, &wakes);
    cxb_queue_deliver(q, &wakes);
    return true;
}

PyObject *
cxb_queue_account(QueueObject *q)
{
    struct cx_queue_view view;
    cx_queue_look(&q->core, &view);
    return Py_BuildValue(
        "(KKKKIIIKdKK)", (unsigned long long)view.stats.puts, (unsigned long long)view.stats.gets,
        (unsigned long long)view.stats.blocked_puts, (unsigned long long)view.stats.blocked_gets,
        view.givers, view.takers, view.joiners, (unsigned long long)view.stats.high_water,
        (double)cx_load_relaxed(&q->waits.ns) / 1e9, (unsigned long long)view.stats.dropped,
        (unsigned long long)cx_load_relaxed(&q->waits.on_loop));
}

PyObject *
cxb_queue_stats(QueueObject *q)
{
    PyObject *type = cxb_import_once(&q->state->queue_stats, "concx.queue", "QueueStats");
    if (type == NULL) {
        return NULL;
    }
    PyObject *fields = cxb_queue_is_moved(q) ? cxb_compat(q, "stats", "") : cxb_queue_account(q);
    PyObject *stats = fields == NULL ? NULL : PyObject_CallObject(type, fields);
    Py_XDECREF(fields);
    return stats;
}

int
cxb_queue_traverse(QueueObject *q, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(q));
    Py_VISIT(q->maxsize);
    Py_VISIT(q->weigher);
    Py_VISIT(q->compat);
    for (size_t i = 0; i < Py_ARRAY_LENGTH(q->lazy); i++) {
        Py_VISIT(q->lazy[i]);
    }
    /* No lock: nobody is inside an operation while the collector runs. */
    for (size_t i = 0; i < q->core.store.b.count; i++) {
        Py_VISIT((PyObject *)cx_buffer_at(&q->core.store.b, i));
    }
    for (struct cx_node *node = q->core.returned; node != NULL; node = node->next) {
        Py_VISIT((PyObject *)node->item);
    }
    const struct cx_waitlist *lists[] = {&q->core.takers, &q->core.givers, &q->core.joiners};
    for (size_t i = 0; i < Py_ARRAY_LENGTH(lists); i++) {
        int stop = cxb_visit_waiters(lists[i], visit, arg);
        if (stop != 0) {
            return stop;
        }
    }
    return 0;
}

void
cxb_queue_drop_content(QueueObject *q)
{
    struct cx_buffer store;
    struct cx_node *returned;
    if (cx_queue_take_all(&q->core, &store, &returned, false)) {
        (void)drop_store(&store, returned);
    }
    Py_CLEAR(q->weigher);
    Py_CLEAR(q->compat);
    for (size_t i = 0; i < Py_ARRAY_LENGTH(q->lazy); i++) {
        Py_CLEAR(q->lazy[i]);
    }
}

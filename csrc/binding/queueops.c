// SPDX-License-Identifier: MIT
#include "binding/queue.h"

#include "binding/kwargs.h"

/* What keeps less() from running Python code: exact types whose comparison is plain C. */
static bool
is_plain(PyObject *object)
{
    return PyLong_CheckExact(object) || PyFloat_CheckExact(object) ||
           PyUnicode_CheckExact(object) || PyBytes_CheckExact(object) || PyBool_Check(object);
}

static bool
comparable(PyObject *a, PyObject *b)
{
    if (!is_plain(a) || !is_plain(b)) {
        return false;
    }
    bool number_a = !PyUnicode_CheckExact(a) && !PyBytes_CheckExact(a);
    bool number_b = !PyUnicode_CheckExact(b) && !PyBytes_CheckExact(b);
    return number_a ? number_b : Py_IS_TYPE(b, Py_TYPE(a));
}

static int
compare_plain(PyObject *a, PyObject *b, int op)
{
    int answer = PyObject_RichCompareBool(a, b, op);
    if (answer < 0) {
        PyErr_Clear(); /* no memory: asked again where it can be reported */
    }
    return answer;
}

/* a < b where no Python code can run, -1 otherwise (core/heap.h). */
static int
less(void *left, void *right)
{
    PyObject *a = left, *b = right;
    if (comparable(a, b)) {
        return compare_plain(a, b, Py_LT);
    }
    if (!PyTuple_CheckExact(a) || !PyTuple_CheckExact(b)) {
        return -1;
    }
    Py_ssize_t na = PyTuple_GET_SIZE(a), nb = PyTuple_GET_SIZE(b);
    for (Py_ssize_t i = 0; i < na && i < nb; i++) {
        PyObject *x = PyTuple_GET_ITEM(a, i), *y = PyTuple_GET_ITEM(b, i);
        if (x == y) {
            continue;
        }
        if (!comparable(x, y)) {
            return -1;
        }
        int equal = compare_plain(x, y, Py_EQ);
        if (equal <= 0) {
            return equal < 0 ? -1 : compare_plain(x, y, Py_LT);
        }
    }
    return na < nb;
}

static void
retain(void *item)
{
    Py_INCREF((PyObject *)item);
}

void
cxb_queue_setup(QueueObject *q, struct cxb_state *state, enum cx_discipline discipline,
                bool weighted)
{
    cx_queue_init(&q->core, discipline, weighted);
    q->core.less = less;
    q->core.retain = retain;
    q->state = state;
}

void
cxb_queue_deliver(QueueObject *q, struct cx_wakes *wakes)
{
    while (CX_UNLIKELY(wakes->count > 0)) {
        bool more = cx_wakes_full(wakes);
        cxb_deliver(q->state, wakes);
        if (!more) {
            break;
        }
        cx_queue_settle(&q->core, wakes);
    }
}

void
cxb_queue_after(QueueObject *q, struct cx_queue_op *op)
{
    cxb_queue_deliver(q, &op->wakes);
    if (CX_UNLIKELY(op->spent != NULL)) {
        cx_queue_recycle(&op->spent);
    }
    if (CX_UNLIKELY(op->evicted != NULL)) {
        PyObject *evicted = op->evicted;
        op->evicted = NULL;
        Py_DECREF(evicted);
    }
}

int
cxb_queue_weigh(QueueObject *q, PyObject *item, int64_t *weight)
{
    *weight = 1;
    if (q->weigher == NULL || cxb_queue_is_moved(q)) {
        return 0; /* the compatibility mode weighs for itself */
    }
    PyObject *result = PyObject_CallOneArg(q->weigher, item);
    if (result == NULL) {
        return -1;
    }
    int failed = cxb_int64(result, 0, "what 'weigher' returns", weight);
    Py_DECREF(result);
    return failed;
}

PyObject *
cxb_queue_too_big(QueueObject *q, int64_t weight)
{
    PyErr_Format(PyExc_ValueError, "the item's weight %lld exceeds max_weight %lld",
                 (long long)weight, (long long)q->core.max_weight);
    return NULL;
}

/* Makes the comparison in question.  False with an exception. */
static bool
answer(struct cx_queue_op *op)
{
    PyObject *a = op->plan.a, *b = op->plan.b;
    int is_less = PyObject_RichCompareBool(a, b, Py_LT);
    Py_DECREF(a);
    Py_DECREF(b);
    op->plan.answer = is_less;
    return is_less >= 0;
}

/* Repeats a step of the engine until it needs neither an answer nor another turn. */
static enum cx_status
settled(QueueObject *q, struct cx_queue_op *op, struct cx_node *node,
        enum cx_status (*step)(struct cx_queue *, struct cx_queue_op *, struct cx_node *))
{
    for (;;) {
        enum cx_status status = step(&q->core, op, node);
        cxb_queue_after(q, op);
        if (status == CX_UNDECIDED) {
            if (!answer(op)) {
                return CX_INTR;
            }
        }
        else if (status != CX_AGAIN) {
            return status;
        }
    }
}

static enum cx_status
fill_step(struct cx_queue *core, struct cx_queue_op *op, struct cx_node *node)
{
    (void)node;
    return cx_queue_fill(core, op);
}

static enum cx_status
peek_step(struct cx_queue *core, struct cx_queue_op *op, struct cx_node *node)
{
    (void)node;
    return cx_queue_peek(core, op);
}

enum cx_status
cxb_queue_try_put(QueueObject *q, struct cx_queue_op *op, struct cx_node *node)
{
    return settled(q, op, node, cx_queue_put);
}

enum cx_status
cxb_queue_try_get(QueueObject *q, struct cx_queue_op *op, struct cx_node *node)
{
    return settled(q, op, node, cx_queue_get);
}

enum cx_status
cxb_queue_try_peek(QueueObject *q, struct cx_queue_op *op)
{
    return settled(q, op, NULL, peek_step);
}

enum cx_status
cxb_queue_fill(QueueObject *q, struct cx_queue_op *op)
{
    enum cx_status status = settled(q, op, NULL, fill_step);
    if (status == CX_INTR) {
        /* A comparison failed: the slot goes, the item stays the caller's. */
        cx_queue_release(&q->core, op->weight, &op->wakes);
        cxb_queue_after(q, op);
    }
    return status;
}

void
cxb_queue_give_back(QueueObject *q, struct cx_node *node)
{
    struct cx_wakes wakes = CX_WAKES_INIT;
    PyObject *dropped = cx_queue_give_back(&q->core, node, &wakes);
    cxb_queue_deliver(q, &wakes);
    Py_XDECREF(dropped);
    if (cxb_queue_is_moved(q)) {
        cxb_compat_quietly(q, "reclaim");
    }
}

void
cxb_queue_leave(QueueObject *q, struct cx_waitlist *list, struct cx_node *node)
{
    struct cx_wakes wakes = CX_WAKES_INIT;
    cx_queue_leave(&q->core, list, node, &wakes);
    cxb_queue_deliver(q, &wakes);
}

/* Blocks until the item of `op` is in: the final status. */
static enum cx_status
put_blocking(QueueObject *q, struct cx_queue_op *op, struct cxb_limit *limit)
{
    for (;;) {
        struct cx_waiter *waiter = cxb_waiter_borrow(limit);
        if (waiter == NULL) {
            return CX_INTR;
        }
        struct cx_node *node = &waiter->node;
        enum cx_status status = cxb_queue_try_put(q, op, node);
        if (status != CX_WAIT) {
            cx_waiter_return(waiter);
            return status;
        }
        enum cxb_wait how = cxb_wait_counted(q->state, waiter, limit->deadline, &q->waits);
        bool granted = how == CXB_GRANTED || how == CXB_ERROR_LATE;
        if (granted) {
            status = node->status; /* otherwise a granter that comes too late may be writing it */
        }
        else {
            cxb_queue_leave(q, &q->core.givers, node);
        }
        cx_waiter_return(waiter);
        if (granted && status == CX_AGAIN) {
            if (how == CXB_GRANTED) {
                return cxb_queue_fill(q, op);
            }
            cx_queue_release(&q->core, op->weight, &op->wakes);
            cxb_queue_after(q, op);
            return CX_INTR;
        }
        if (how == CXB_ERROR_LATE && status == CX_OK) {
            op->item = NULL; /* it is in; the signal came after that */
        }
        switch (how) {
        case CXB_GRANTED:
            return status;
        case CXB_TIMED_OUT:
            return CX_FULL;
        case CXB_FORKED:
            continue;
        default:
            return CX_INTR;
        }
    }
}

PyObject *
cxb_queue_put_within(QueueObject *q, PyObject *item, struct cxb_limit *limit)
{
    struct cx_queue_op op;
    int64_t weight;
    if (cxb_queue_weigh(q, item, &weight) < 0) {
        return NULL;
    }
    cx_queue_op_init(&op, Py_NewRef(item), weight);
    enum cx_status status = cxb_queue_try_put(q, &op, NULL);
    if (status == CX_FULL && limit->block && q->core.overflow == CX_BLOCK) {
        status = put_blocking(q, &op, limit);
    }
    if (status == CX_OK) {
        Py_RETURN_NONE;
    }
    Py_XDECREF((PyObject *)op.item);
    switch (status) {
    case CX_TOO_BIG:
        return cxb_queue_too_big(q, weight);
    case CX_MOVED:
        return cxb_compat(q, "put", "ObN", item, limit->block, cxb_limit_rest(limit));
    default:
        return cxb_raise(q->state, status);
    }
}

PyObject *
cxb_queue_put(QueueObject *q, PyObject *item, bool block, PyObject *timeout)
{
    struct cxb_limit limit;
    /* The standard library looks at the timeout only where it could wait. */
    bool bounded = cx_load_relaxed(&q->core.limit) != INT64_MAX || q->core.max_weight != INT64_MAX;
    if (cxb_limit_parse(&limit, block && bounded, timeout) < 0) {
        return NULL;
    }
    return cxb_queue_put_within(q, item, &limit);
}

/* Blocks until there is an item; the final status. */
static enum cx_status
get_blocking(QueueObject *q, struct cx_queue_op *op, struct cxb_limit *limit)
{
    for (;;) {
        struct cx_waiter *waiter = cxb_waiter_borrow(limit);
        if (waiter == NULL) {
            return CX_INTR;
        }
        struct cx_node *node = &waiter->node;
        enum cx_status status = cxb_queue_try_get(q, op, node);
        if (status != CX_WAIT) {
            cx_waiter_return(waiter);
            return status;
        }
        enum cxb_wait how = cxb_wait_counted(q->state, waiter, limit->deadline, &q->waits);
        if (how == CXB_GRANTED) {
            status = node->status;
            op->item = node->item;
        }
        else if (how != CXB_ERROR_LATE) {
            cxb_queue_leave(q, &q->core.takers, node);
        }
        else if (node->status == CX_OK) {
            PyObject *error = cxb_error_set_aside();
            cxb_queue_give_back(q, node); /* takes the waiter */
            cxb_error_put_back(error);
            return CX_INTR;
        }
        cx_waiter_return(waiter);
        switch (how) {
        case CXB_GRANTED:
            return status;
        case CXB_TIMED_OUT:
            return CX_EMPTY;
        case CXB_FORKED:
            continue;
        default:
            return CX_INTR;
        }
    }
}

PyObject *
cxb_queue_get_within(QueueObject *q, struct cxb_limit *limit)
{
    struct cx_queue_op op;
    cx_queue_op_init(&op, NULL, 1);
    enum cx_status status = cxb_queue_try_get(q, &op, NULL);
    if (status == CX_EMPTY && limit->block) {
        status = get_blocking(q, &op, limit);
    }
    switch (status) {
    case CX_OK:
        return op.item;
    case CX_MOVED:
        return cxb_compat(q, "get", "bN", limit->block, cxb_limit_rest(limit));
    default:
        return cxb_raise(q->state, status);
    }
}

PyObject *
cxb_queue_get(QueueObject *q, bool block, PyObject *timeout)
{
    struct cxb_limit limit;
    if (q->simple && block && cxb_timeout_in_range(timeout) < 0) {
        return NULL;
    }
    return cxb_limit_parse(&limit, block, timeout) < 0 ? NULL : cxb_queue_get_within(q, &limit);
}

PyObject *
cxb_queue_join(QueueObject *q)
{
    struct cxb_limit limit = {.block = true};
    for (;;) {
        struct cx_waiter *waiter = cxb_waiter_borrow(&limit);
        if (waiter == NULL) {
            return NULL;
        }
        struct cx_node *node = &waiter->node;
        enum cx_status status = cx_queue_join(&q->core, node);
        enum cxb_wait how = CXB_GRANTED;
        if (status == CX_WAIT) {
            how = cxb_wait_counted(q->state, waiter, CX_FOREVER, &q->waits);
            if (how == CXB_GRANTED) {
                status = node->status;
            }
            else if (how != CXB_ERROR_LATE) {
                cxb_queue_leave(q, &q->core.joiners, node);
            }
        }
        cx_waiter_return(waiter);
        if (how == CXB_FORKED) {
            continue;
        }
        if (how != CXB_GRANTED) {
            return NULL;
        }
        if (status == CX_MOVED) {
            return cxb_compat(q, "join", "");
        }
        Py_RETURN_NONE;
    }
}

// SPDX-License-Identifier: MIT
#include "binding/queue.h"

static QueueObject *
queue_of(AwaitObject *self)
{
    return (QueueObject *)self->owner;
}

static enum cxb_step
failed(AwaitObject *self, enum cx_status status)
{
    (void)cxb_raise(self->state, status);
    return CXB_FAILED;
}

static void
leave_takers(PyObject *owner, struct cx_node *node)
{
    cxb_queue_leave((QueueObject *)owner, &((QueueObject *)owner)->core.takers, node);
}

static void
leave_givers(PyObject *owner, struct cx_node *node)
{
    cxb_queue_leave((QueueObject *)owner, &((QueueObject *)owner)->core.givers, node);
}

static void
leave_joiners(PyObject *owner, struct cx_node *node)
{
    cxb_queue_leave((QueueObject *)owner, &((QueueObject *)owner)->core.joiners, node);
}

/* A wake "look again" of the compatibility mode that was not used goes to the next. */
static void
pass_on(QueueObject *q, struct cx_waitlist *list)
{
    struct cx_wakes wakes = CX_WAKES_INIT;
    (void)cx_queue_wake(&q->core, list, 1, &wakes);
    cxb_queue_deliver(q, &wakes);
}

static void
give_back_get(PyObject *owner, struct cx_node *node)
{
    QueueObject *q = (QueueObject *)owner;
    if (node->status == CX_OK) {
        cxb_queue_give_back(q, node);
    }
    else if (node->status == CX_MOVED) {
        pass_on(q, &q->core.takers);
    }
}

static void
give_back_put(PyObject *owner, struct cx_node *node)
{
    QueueObject *q = (QueueObject *)owner;
    if (node->status == CX_AGAIN) {
        struct cx_wakes wakes = CX_WAKES_INIT;
        cx_queue_release(&q->core, node->weight, &wakes);
        cxb_queue_deliver(q, &wakes);
    }
    else if (node->status == CX_MOVED) {
        pass_on(q, &q->core.givers);
    }
}

static void
give_back_join(PyObject *owner, struct cx_node *node)
{
    (void)owner; /* all joiners are woken at once */
    (void)node;
}

/* An operation of the compatibility mode: tries, enlists, tries again.  `name` raises `busy` where
 * it would have to wait. */
static enum cxb_step
compat_attempt(AwaitObject *self, struct cx_node *node, struct cx_waitlist *list,
               PyObject *(*call)(AwaitObject *), PyObject *busy, PyObject **result)
{
    *result = call(self);
    if (*result != NULL || !self->block || !PyErr_ExceptionMatches(busy)) {
        return *result == NULL ? CXB_FAILED : CXB_DONE;
    }
    PyErr_Clear();
    if (node == NULL) {
        return CXB_MUST_WAIT;
    }
    cx_queue_enlist(&queue_of(self)->core, list, node);
    *result = call(self);
    if (*result == NULL && PyErr_ExceptionMatches(busy)) {
        PyErr_Clear();
        return CXB_MUST_WAIT;
    }
    PyObject *error = cxb_error_set_aside();
    if (cx_waiter_decide(node->waiter, CX_CANCELLED)) {
        cxb_queue_leave(queue_of(self), list, node);
    }
    else if (cx_waiter_settle(node->waiter, CX_RETURNED)) {
        pass_on(queue_of(self), list);
    }
    cxb_error_put_back(error);
    return *result == NULL ? CXB_FAILED : CXB_DONE;
}

/* get */

static PyObject *
compat_try_get(AwaitObject *self)
{
    return cxb_compat(queue_of(self), "try_get", "");
}

static enum cxb_step
get_attempt(AwaitObject *self, struct cx_node *node, PyObject **result)
{
    QueueObject *q = queue_of(self);
    struct cx_queue_op op;
    cx_queue_op_init(&op, NULL, 1);
    enum cx_status status = cxb_queue_try_get(q, &op, node);
    switch (status) {
    case CX_OK:
        return cxb_finished(op.item, result);
    case CX_WAIT:
        return CXB_MUST_WAIT;
    case CX_MOVED:
        return compat_attempt(self, node, &q->core.takers, compat_try_get, self->state->Empty,
                              result);
    case CX_EMPTY:
        return self->block ? CXB_MUST_WAIT : failed(self, status);
    default:
        return failed(self, status);
    }
}

static enum cxb_step
get_granted(AwaitObject *self, struct cx_node *node, PyObject **result)
{
    switch (node->status) {
    case CX_OK:
        return cxb_finished(node->item, result);
    case CX_MOVED:
        return CXB_MUST_WAIT;
    default:
        return failed(self, node->status);
    }
}

static enum cxb_step
get_timed_out(AwaitObject *self, PyObject **result)
{
    (void)result;
    return failed(self, CX_EMPTY);
}

static const struct cxb_await_ops get_ops = {
    .wait = {give_back_get},
    .name = "Queue.get_async",
    .attempt = get_attempt,
    .granted = get_granted,
    .leave = leave_takers,
    .timed_out = get_timed_out,
};

/* consume(): the same, but the end of the queue ends the iteration. */

static enum cxb_step
ended(AwaitObject *self, enum cxb_step step)
{
    if (step == CXB_FAILED && PyErr_ExceptionMatches(self->state->ShutDown)) {
        PyErr_SetNone(PyExc_StopAsyncIteration);
    }
    return step;
}

static enum cxb_step
next_attempt(AwaitObject *self, struct cx_node *node, PyObject **result)
{
    return ended(self, get_attempt(self, node, result));
}

static enum cxb_step
next_granted(AwaitObject *self, struct cx_node *node, PyObject **result)
{
    return ended(self, get_granted(self, node, result));
}

static const struct cxb_await_ops next_ops = {
    .wait = {give_back_get},
    .name = "Consumer.__anext__",
    .attempt = next_attempt,
    .granted = next_granted,
    .leave = leave_takers,
    .timed_out = get_timed_out,
};

/* get_many */

static PyObject *
compat_try_get_many(AwaitObject *self)
{
    return cxb_compat(queue_of(self), "try_get_many", "n", self->n);
}

static enum cxb_step
with_rest(AwaitObject *self, PyObject *first, PyObject **result)
{
    return cxb_finished(cxb_queue_with_rest(queue_of(self), first, self->n), result);
}

static enum cxb_step
get_many_attempt(AwaitObject *self, struct cx_node *node, PyObject **result)
{
    QueueObject *q = queue_of(self);
    struct cx_queue_op op;
    if (self->n == 0) {
        return cxb_finished(PyList_New(0), result);
    }
    cx_queue_op_init(&op, NULL, 1);
    enum cx_status status = cxb_queue_try_get(q, &op, node);
    switch (status) {
    case CX_OK:
        return with_rest(self, op.item, result);
    case CX_WAIT:
        return CXB_MUST_WAIT;
    case CX_MOVED:
        return compat_attempt(self, node, &q->core.takers, compat_try_get_many, self->state->Empty,
                              result);
    case CX_EMPTY:
        return self->block ? CXB_MUST_WAIT : failed(self, status);
    default:
        return failed(self, status);
    }
}

static enum cxb_step
get_many_granted(AwaitObject *self, struct cx_node *node, PyObject **result)
{
    return node->status == CX_OK ? with_rest(self, node->item, result)
                                 : get_granted(self, node, result);
}

static const struct cxb_await_ops get_many_ops = {
    .wait = {give_back_get},
    .name = "Queue.get_many_async",
    .attempt = get_many_attempt,
    .granted = get_many_granted,
    .leave = leave_takers,
    .timed_out = get_timed_out,
};

/* put */

static PyObject *
compat_try_put(AwaitObject *self)
{
    return cxb_compat(queue_of(self), "try_put", "O", self->item);
}

/* One item goes in, or its node is enlisted. */
static enum cx_status
put_one(AwaitObject *self, PyObject *item, struct cx_node *node)
{
    struct cx_queue_op op;
    if (cxb_queue_weigh(queue_of(self), item, &self->weight) < 0) {
        return CX_INTR;
    }
    cx_queue_op_init(&op, Py_NewRef(item), self->weight);
    enum cx_status status = cxb_queue_try_put(queue_of(self), &op, node);
    if (status != CX_OK) {
        Py_DECREF(item); /* a task's node promises a slot and carries no item */
    }
    if (status == CX_TOO_BIG) {
        (void)cxb_queue_too_big(queue_of(self), self->weight);
        return CX_INTR;
    }
    return status;
}

/* The granted slot of `node` becomes the item. */
static enum cx_status
fill_slot(AwaitObject *self, PyObject *item, struct cx_node *node)
{
    struct cx_queue_op op;
    if (node->status != CX_AGAIN) {
        return node->status;
    }
    cx_queue_op_init(&op, Py_NewRef(item), node->weight);
    enum cx_status status = cxb_queue_fill(queue_of(self), &op);
    if (status != CX_OK) {
        Py_DECREF(item);
    }
    return status;
}

static bool
may_wait(AwaitObject *self)
{
    return self->block && queue_of(self)->core.overflow == CX_BLOCK;
}

static enum cxb_step
put_attempt(AwaitObject *self, struct cx_node *node, PyObject **result)
{
    QueueObject *q = queue_of(self);
    enum cx_status status = put_one(self, self->item, node);
    switch (status) {
    case CX_OK:
        return cxb_finished(Py_NewRef(Py_None), result);
    case CX_WAIT:
        return CXB_MUST_WAIT;
    case CX_MOVED:
        return compat_attempt(self, node, &q->core.givers, compat_try_put, self->state->Full,
                              result);
    case CX_FULL:
        return may_wait(self) ? CXB_MUST_WAIT : failed(self, status);
    default:
        return failed(self, status);
    }
}

static enum cxb_step
put_granted(AwaitObject *self, struct cx_node *node, PyObject **result)
{
    enum cx_status status = fill_slot(self, self->item, node);
    switch (status) {
    case CX_OK:
        return cxb_finished(Py_NewRef(Py_None), result);
    case CX_MOVED:
        return CXB_MUST_WAIT;
    default:
        return failed(self, status);
    }
}

static enum cxb_step
put_timed_out(AwaitObject *self, PyObject **result)
{
    (void)result;
    return failed(self, CX_FULL);
}

static const struct cxb_await_ops put_ops = {
    .wait = {give_back_put},
    .name = "Queue.put_async",
    .attempt = put_attempt,
    .granted = put_granted,
    .leave = leave_givers,
    .timed_out = put_timed_out,
};

/* put_many: item is a tuple, done says how many of it are in. */

static PyObject *
compat_try_put_many(AwaitObject *self)
{
    PyObject *reached = cxb_compat(queue_of(self), "try_put_many", "On", self->item, self->done);
    Py_ssize_t done = reached == NULL ? -1 : PyLong_AsSsize_t(reached);
    if (done < 0) {
        Py_XDECREF(reached);
        if (self->done > 0 && PyErr_ExceptionMatches(self->state->ShutDown)) {
            PyErr_Clear();
            return PyLong_FromSsize_t(self->done);
        }
        return NULL;
    }
    self->done = done;
    if (done < PyTuple_GET_SIZE(self->item) && may_wait(self)) {
        Py_DECREF(reached);
        PyErr_SetNone(self->state->Full);
        return NULL;
    }
    return reached;
}

static enum cxb_step
put_many_ended(AwaitObject *self, enum cx_status why, PyObject **result)
{
    if (why == CX_CLOSED && self->done == 0) {
        return failed(self, why);
    }
    return cxb_finished(PyLong_FromSsize_t(self->done), result);
}

static enum cxb_step
put_many_attempt(AwaitObject *self, struct cx_node *node, PyObject **result)
{
    QueueObject *q = queue_of(self);
    for (;;) {
        enum cx_status why;
        Py_ssize_t reached = cxb_queue_put_batch(q, self->item, self->done, &why);
        if (reached < 0) {
            return CXB_FAILED;
        }
        self->done = reached;
        if (reached == PyTuple_GET_SIZE(self->item)) {
            return put_many_ended(self, CX_OK, result);
        }
        if (why == CX_FULL && may_wait(self)) {
            if (node == NULL) {
                return CXB_MUST_WAIT;
            }
            why = put_one(self, PyTuple_GET_ITEM(self->item, self->done), node);
        }
        switch (why) {
        case CX_OK:
            self->done++;
            break;
        case CX_WAIT:
            return CXB_MUST_WAIT;
        case CX_INTR:
            return CXB_FAILED;
        case CX_MOVED:
            return compat_attempt(self, node, &q->core.givers, compat_try_put_many,
                                  self->state->Full, result);
        default:
            return put_many_ended(self, why, result);
        }
    }
}

static enum cxb_step
put_many_granted(AwaitObject *self, struct cx_node *node, PyObject **result)
{
    enum cx_status status = fill_slot(self, PyTuple_GET_ITEM(self->item, self->done), node);
    switch (status) {
    case CX_OK:
        self->done++;
        return put_many_attempt(self, NULL, result);
    case CX_MOVED:
        return CXB_MUST_WAIT;
    case CX_CLOSED:
        return put_many_ended(self, status, result);
    default:
        return failed(self, status);
    }
}

static enum cxb_step
put_many_timed_out(AwaitObject *self, PyObject **result)
{
    return put_many_ended(self, CX_FULL, result);
}

static const struct cxb_await_ops put_many_ops = {
    .wait = {give_back_put},
    .name = "Queue.put_many_async",
    .attempt = put_many_attempt,
    .granted = put_many_granted,
    .leave = leave_givers,
    .timed_out = put_many_timed_out,
};

/* join */

static PyObject *
compat_try_join(AwaitObject *self)
{
    PyObject *joined = cxb_compat(queue_of(self), "try_join", "");
    if (joined == Py_False) {
        Py_DECREF(joined);
        PyErr_SetNone(self->state->Full);
        return NULL;
    }
    if (joined != NULL) {
        Py_SETREF(joined, Py_NewRef(Py_None));
    }
    return joined;
}

static enum cxb_step
join_timed_out(AwaitObject *self, PyObject **result)
{
    (void)self;
    (void)result;
    PyErr_SetNone(PyExc_TimeoutError);
    return CXB_FAILED;
}

static enum cxb_step
join_attempt(AwaitObject *self, struct cx_node *node, PyObject **result)
{
    QueueObject *q = queue_of(self);
    switch (cx_queue_join(&q->core, node)) {
    case CX_OK:
        return cxb_finished(Py_NewRef(Py_None), result);
    case CX_WAIT:
        return CXB_MUST_WAIT;
    case CX_FULL:
        return self->block ? CXB_MUST_WAIT : join_timed_out(self, result);
    default:
        return compat_attempt(self, node, &q->core.joiners, compat_try_join, self->state->Full,
                              result);
    }
}

static enum cxb_step
join_granted(AwaitObject *self, struct cx_node *node, PyObject **result)
{
    (void)self;
    return node->status == CX_MOVED ? CXB_MUST_WAIT : cxb_finished(Py_NewRef(Py_None), result);
}

static const struct cxb_await_ops join_ops = {
    .wait = {give_back_join},
    .name = "Queue.join_async",
    .attempt = join_attempt,
    .granted = join_granted,
    .leave = leave_joiners,
    .timed_out = join_timed_out,
};

/* What the methods call. */

static PyObject *
start(QueueObject *q, const struct cxb_await_ops *ops, PyObject *item, Py_ssize_t n, bool block,
      PyObject *timeout)
{
    struct cxb_limit limit;
    if (cxb_limit_parse(&limit, block, timeout) < 0) {
        Py_XDECREF(item);
        return NULL;
    }
    AwaitObject *self = (AwaitObject *)cxb_await_new(q->state, ops, (PyObject *)q, item,
                                                     limit.block, &limit.timeout);
    if (self != NULL) {
        self->n = n;
    }
    return (PyObject *)self;
}

PyObject *
cxb_queue_put_async(QueueObject *q, PyObject *item, bool block, PyObject *timeout)
{
    return start(q, &put_ops, Py_NewRef(item), 0, block, timeout);
}

PyObject *
cxb_queue_get_async(QueueObject *q, bool block, PyObject *timeout)
{
    return start(q, &get_ops, NULL, 0, block, timeout);
}

PyObject *
cxb_queue_join_async(QueueObject *q, PyObject *timeout)
{
    return start(q, &join_ops, NULL, 0, true, timeout);
}

PyObject *
cxb_queue_put_many_async(QueueObject *q, PyObject *items, bool block, PyObject *timeout)
{
    PyObject *tuple = PySequence_Tuple(items);
    return tuple == NULL ? NULL : start(q, &put_many_ops, tuple, 0, block, timeout);
}

PyObject *
cxb_queue_get_many_async(QueueObject *q, Py_ssize_t max, bool block, PyObject *timeout)
{
    return start(q, &get_many_ops, NULL, max, block, timeout);
}

PyObject *
cxb_queue_anext(QueueObject *q)
{
    return start(q, &next_ops, NULL, 0, true, Py_None);
}

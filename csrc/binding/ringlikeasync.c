// SPDX-License-Identifier: MIT
#include "binding/ringlike.h"

/* An awaitable's name and tables depend on what it waits for. */
enum flavour { OBJECTS, INTS, SPSC, STACK, FLAVOURS };

static enum flavour
flavour_of(const RingObject *q)
{
    switch (q->core->kind) {
    case CX_KIND_SPSC:
        return SPSC;
    case CX_KIND_STACK:
        return STACK;
    default:
        return q->ints ? INTS : OBJECTS;
    }
}

static RingObject *
ring_of(AwaitObject *self)
{
    return (RingObject *)self->owner;
}

static enum cxb_step
failed(AwaitObject *self, enum cx_ringqueue_side side, enum cx_status why)
{
    (void)cxb_ring_raise(ring_of(self), side, why);
    return CXB_FAILED;
}

/* Enlists.  False: there is something now, and the node can be enlisted again. */
static bool
enlist(AwaitObject *self, enum cx_ringqueue_side side, struct cx_node *node)
{
    if (cx_ringqueue_wait(ring_of(self)->core, side, node) == CX_WAIT) {
        return true;
    }
    cx_waiter_arm(node->waiter);
    return false;
}

/* The four operations try as often as their node, once enlisted, finds that it need not wait. */

static enum cxb_step
get_attempt(AwaitObject *self, struct cx_node *node, PyObject **result)
{
    RingObject *q = ring_of(self);
    do {
        enum cx_status why;
        uint64_t word;
        if (cxb_ring_try_get(q, &word, 1, &why) == 1) {
            return cxb_finished(cxb_ring_item(q, word), result);
        }
        if (why != CX_EMPTY || !self->block) {
            return failed(self, CX_GETTERS, why);
        }
    } while (node != NULL && !enlist(self, CX_GETTERS, node));
    return CXB_MUST_WAIT;
}

static enum cxb_step
get_many_attempt(AwaitObject *self, struct cx_node *node, PyObject **result)
{
    if (self->n == 0) {
        return cxb_finished(PyList_New(0), result);
    }
    do {
        enum cx_status why;
        PyObject *list = cxb_ring_take_list(ring_of(self), self->n, &why);
        if (list != NULL) {
            return cxb_finished(list, result);
        }
        if (why == CX_INTR) {
            return CXB_FAILED;
        }
        if (why != CX_EMPTY || !self->block) {
            return failed(self, CX_GETTERS, why);
        }
    } while (node != NULL && !enlist(self, CX_GETTERS, node));
    return CXB_MUST_WAIT;
}

static enum cxb_step
put_attempt(AwaitObject *self, struct cx_node *node, PyObject **result)
{
    RingObject *q = ring_of(self);
    do {
        enum cx_status why;
        uint64_t word;
        if (!cxb_ring_word(q, self->item, &word)) {
            return CXB_FAILED;
        }
        if (cxb_ring_try_put(q, &word, 1, &why) == 1) {
            return cxb_finished(Py_NewRef(Py_None), result);
        }
        cxb_ring_drop(q, &word, 1);
        if (why != CX_FULL || !self->block) {
            return failed(self, CX_PUTTERS, why);
        }
    } while (node != NULL && !enlist(self, CX_PUTTERS, node));
    return CXB_MUST_WAIT;
}

/* Puts items of the tuple from `done` on: false if the ring takes no more now, or with an exception
 * (*why is CX_INTR). */
static bool
put_rest(AwaitObject *self, enum cx_status *why)
{
    RingObject *q = ring_of(self);
    uint64_t words[64];
    while (self->done < PyTuple_GET_SIZE(self->item)) {
        size_t n = 0;
        Py_ssize_t rest = PyTuple_GET_SIZE(self->item) - self->done;
        while (n < Py_ARRAY_LENGTH(words) && (Py_ssize_t)n < rest) {
            PyObject *item = PyTuple_GET_ITEM(self->item, self->done + (Py_ssize_t)n);
            if (!cxb_ring_word(q, item, &words[n])) {
                cxb_ring_drop(q, words, n);
                *why = CX_INTR;
                return false;
            }
            n++;
        }
        size_t k = cxb_ring_try_put(q, words, n, why);
        cxb_ring_drop(q, words + k, n - k);
        self->done += (Py_ssize_t)k;
        if (k == 0) {
            return false;
        }
    }
    return true;
}

static enum cxb_step
put_many_attempt(AwaitObject *self, struct cx_node *node, PyObject **result)
{
    do {
        enum cx_status why;
        if (put_rest(self, &why) || (why == CX_CLOSED && self->done > 0) ||
            (why == CX_FULL && !self->block)) {
            return cxb_finished(PyLong_FromSsize_t(self->done), result);
        }
        if (why != CX_FULL) {
            return why == CX_INTR ? CXB_FAILED : failed(self, CX_PUTTERS, why);
        }
    } while (node != NULL && !enlist(self, CX_PUTTERS, node));
    return CXB_MUST_WAIT;
}

/* The end of the ring ends the iteration. */
static enum cxb_step
next_attempt(AwaitObject *self, struct cx_node *node, PyObject **result)
{
    enum cxb_step step = get_attempt(self, node, result);
    if (step == CXB_FAILED && PyErr_ExceptionMatches(self->state->ShutDown)) {
        PyErr_SetNone(PyExc_StopAsyncIteration);
    }
    return step;
}

/* A grant says only "look again". */

static enum cxb_step
get_granted(AwaitObject *self, struct cx_node *node, PyObject **result)
{
    (void)node;
    return self->ops->attempt(self, NULL, result);
}

static void
pass_on(PyObject *owner, enum cx_ringqueue_side side)
{
    RingObject *q = (RingObject *)owner;
    struct cx_wakes wakes = CX_WAKES_INIT;
    cx_ringqueue_pass_on(q->core, side, &wakes);
    cxb_deliver(q->state, &wakes);
}

static void
give_back_get(PyObject *owner, struct cx_node *node)
{
    (void)node;
    pass_on(owner, CX_GETTERS);
}

static void
give_back_put(PyObject *owner, struct cx_node *node)
{
    (void)node;
    pass_on(owner, CX_PUTTERS);
}

static void
leave_getters(PyObject *owner, struct cx_node *node)
{
    cx_ringqueue_unlink(((RingObject *)owner)->core, CX_GETTERS, node);
}

static void
leave_putters(PyObject *owner, struct cx_node *node)
{
    cx_ringqueue_unlink(((RingObject *)owner)->core, CX_PUTTERS, node);
}

static enum cxb_step
get_timed_out(AwaitObject *self, PyObject **result)
{
    (void)result;
    return failed(self, CX_GETTERS, CX_EMPTY);
}

static enum cxb_step
put_timed_out(AwaitObject *self, PyObject **result)
{
    (void)result;
    return failed(self, CX_PUTTERS, CX_FULL);
}

static enum cxb_step
put_many_timed_out(AwaitObject *self, PyObject **result)
{
    return cxb_finished(PyLong_FromSsize_t(self->done), result);
}

#define GET_OPS(coroutine, try, is_native)                                                         \
    {.wait = {give_back_get},                                                                      \
     .name = coroutine,                                                                            \
     .attempt = try,                                                                               \
     .granted = get_granted,                                                                       \
     .leave = leave_getters,                                                                       \
     .timed_out = get_timed_out,                                                                   \
     .watch = is_native ? CXB_WATCH_NEEDED : CXB_WATCH_NEVER}
#define PUT_OPS(coroutine, try, late, is_native)                                                   \
    {.wait = {give_back_put},                                                                      \
     .name = coroutine,                                                                            \
     .attempt = try,                                                                               \
     .granted = get_granted,                                                                       \
     .leave = leave_putters,                                                                       \
     .timed_out = late,                                                                            \
     .watch = is_native ? CXB_WATCH_NEEDED : CXB_WATCH_NEVER}

static const struct cxb_await_ops get_ops[FLAVOURS] = {
    [OBJECTS] = GET_OPS("RingQueue.get_async", get_attempt, false),
    [INTS] = GET_OPS("RingQueue.get_async", get_attempt, true),
    [SPSC] = GET_OPS("SpscQueue.get_async", get_attempt, false),
    [STACK] = GET_OPS("Stack.pop_async", get_attempt, false),
};

static const struct cxb_await_ops get_many_ops[FLAVOURS] = {
    [OBJECTS] = GET_OPS("RingQueue.get_many_async", get_many_attempt, false),
    [INTS] = GET_OPS("RingQueue.get_many_async", get_many_attempt, true),
    [SPSC] = GET_OPS("SpscQueue.get_many_async", get_many_attempt, false),
    [STACK] = GET_OPS("Stack.pop_many_async", get_many_attempt, false),
};

static const struct cxb_await_ops next_ops[FLAVOURS] = {
    [OBJECTS] = GET_OPS("RingIterator.__anext__", next_attempt, false),
    [INTS] = GET_OPS("RingIterator.__anext__", next_attempt, true),
    [SPSC] = GET_OPS("RingIterator.__anext__", next_attempt, false),
    [STACK] = GET_OPS("RingIterator.__anext__", next_attempt, false),
};

/* A stack is never full. */
static const struct cxb_await_ops put_ops[FLAVOURS] = {
    [OBJECTS] = PUT_OPS("RingQueue.put_async", put_attempt, put_timed_out, false),
    [INTS] = PUT_OPS("RingQueue.put_async", put_attempt, put_timed_out, true),
    [SPSC] = PUT_OPS("SpscQueue.put_async", put_attempt, put_timed_out, false),
};

static const struct cxb_await_ops put_many_ops[FLAVOURS] = {
    [OBJECTS] = PUT_OPS("RingQueue.put_many_async", put_many_attempt, put_many_timed_out, false),
    [INTS] = PUT_OPS("RingQueue.put_many_async", put_many_attempt, put_many_timed_out, true),
    [SPSC] = PUT_OPS("SpscQueue.put_many_async", put_many_attempt, put_many_timed_out, false),
};

PyObject *
cxb_ring_get_async(RingObject *q, bool block, PyObject *timeout)
{
    struct cxb_limit limit;
    if (cxb_limit_parse(&limit, block, timeout) < 0) {
        return NULL;
    }
    return cxb_await_new(q->state, &get_ops[flavour_of(q)], (PyObject *)q, NULL, limit.block,
                         &limit.timeout);
}

PyObject *
cxb_ring_get_many_async(RingObject *q, Py_ssize_t max, bool block, PyObject *timeout)
{
    struct cxb_limit limit;
    if (cxb_limit_parse(&limit, block, timeout) < 0) {
        return NULL;
    }
    PyObject *await = cxb_await_new(q->state, &get_many_ops[flavour_of(q)], (PyObject *)q, NULL,
                                    limit.block, &limit.timeout);
    if (await != NULL) {
        ((AwaitObject *)await)->n = max;
    }
    return await;
}

PyObject *
cxb_ring_put_async(RingObject *q, PyObject *item, bool block, PyObject *timeout)
{
    struct cxb_limit limit;
    if (cxb_limit_parse(&limit, block, timeout) < 0) {
        return NULL;
    }
    return cxb_await_new(q->state, &put_ops[flavour_of(q)], (PyObject *)q, Py_NewRef(item),
                         limit.block, &limit.timeout);
}

PyObject *
cxb_ring_put_many_async(RingObject *q, PyObject *items, bool block, PyObject *timeout)
{
    struct cxb_limit limit;
    if (cxb_limit_parse(&limit, block, timeout) < 0) {
        return NULL;
    }
    PyObject *tuple = PySequence_Tuple(items);
    for (Py_ssize_t i = 0; q->ints && tuple != NULL && i < PyTuple_GET_SIZE(tuple); i++) {
        uint64_t word; /* all of them fit, or none goes in */
        if (!cxb_ring_word(q, PyTuple_GET_ITEM(tuple, i), &word)) {
            Py_CLEAR(tuple);
        }
    }
    if (tuple == NULL) {
        return NULL;
    }
    return cxb_await_new(q->state, &put_many_ops[flavour_of(q)], (PyObject *)q, tuple, limit.block,
                         &limit.timeout);
}

/* The iterator, which takes items until the ring is shut down and empty.  It always has its ring; a
 * cycle through both is broken in the ring. */

typedef struct {
    PyObject_HEAD
    RingObject *ring;
} RingIterObject;

PyObject *
cxb_ring_iter(RingObject *q)
{
    PyTypeObject *type = q->state->ringiter_type;
    RingIterObject *self = (RingIterObject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->ring = (RingObject *)Py_NewRef((PyObject *)q);
    }
    return (PyObject *)self;
}

static PyObject *
ringiter_next(RingIterObject *self)
{
    PyObject *item = cxb_ring_get(self->ring, true, NULL);
    if (item == NULL && PyErr_ExceptionMatches(self->ring->state->ShutDown)) {
        PyErr_Clear();
    }
    return item;
}

static PyObject *
ringiter_anext(RingIterObject *self)
{
    RingObject *q = self->ring;
    return cxb_await_new(q->state, &next_ops[flavour_of(q)], (PyObject *)q, NULL, true, NULL);
}

static PyObject *
ringiter_repr(RingIterObject *self)
{
    return PyUnicode_FromFormat("<iterator of %R>", self->ring);
}

static int
ringiter_traverse(RingIterObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)self->ring);
    return 0;
}

static void
ringiter_dealloc(RingIterObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_CLEAR(self->ring);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot ringiter_slots[] = {
    {Py_tp_dealloc, ringiter_dealloc}, {Py_tp_traverse, ringiter_traverse},
    {Py_tp_repr, ringiter_repr},       {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, ringiter_next},   {Py_am_aiter, PyObject_SelfIter},
    {Py_am_anext, ringiter_anext},     {0, NULL},
};

PyType_Spec cxb_ringiter_spec = {
    .name = "concx._core.RingIterator",
    .basicsize = sizeof(RingIterObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = ringiter_slots,
};

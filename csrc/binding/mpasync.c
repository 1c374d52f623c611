// SPDX-License-Identifier: MIT
#include "binding/block.h"
#include "binding/errors.h"
#include "binding/mpwatch.h"

#define DOC(text) PyDoc_STR(text)
#define BATCH 64 /* messages that are put at once */

static MpQueueObject *
queue_of(AwaitObject *self)
{
    return (MpQueueObject *)self->owner;
}

/* --- who waits -------------------------------------------------------------------------------- */

/* For how many there is something to try; any number if it cannot be told. */
static uint64_t
ready(MpQueueObject *q, enum cxb_mpside side)
{
    struct cx_shmring *ring = &q->ring;
    uint64_t most = ring->shared->most, n = cx_shmring_len(ring);
    if (side == CXB_JOINERS) {
        return cx_shmring_all_done(ring) ? UINT64_MAX : 0;
    }
    if (cx_load_acquire(&ring->shared->closed) != CX_SHMRING_OPEN) {
        return UINT64_MAX;
    }
    return side == CXB_GETTERS ? n : most == 0 ? UINT64_MAX : most > n ? most - n : 0;
}

static void
await_bell(MpQueueObject *q, enum cxb_mpside side)
{
    struct cx_shmring_shared *s = q->ring.shared;
    cx_shmring_await(side == CXB_GETTERS ? &s->items : side == CXB_PUTTERS ? &s->room : &s->joined);
}

bool
cxb_mpqueue_look(MpQueueObject *q)
{
    bool waited = false;
    for (int side = 0; side < CXB_SIDES; side++) {
        struct cx_turnstile *ts = &q->tasks[side];
        if (!cx_turnstile_waiting(ts)) {
            continue;
        }
        waited = true;
        await_bell(q, side); /* for those who are left */
        uint64_t n = ready(q, side);
        while (n > 0 && cx_turnstile_waiting(ts)) {
            struct cx_wakes wakes = CX_WAKES_INIT;
            cx_turnstile_wake(ts, n, &wakes);
            n -= wakes.count < n ? wakes.count : n;
            cxb_deliver(q->state, &wakes);
        }
    }
    return waited;
}

static void
leave(AwaitObject *self, enum cxb_mpside side, struct cx_node *node)
{
    if (cx_waiter_decide(node->waiter, CX_CANCELLED)) {
        cx_turnstile_remove(&queue_of(self)->tasks[side], node);
    }
    else if (cx_waiter_settle(node->waiter, CX_RETURNED)) {
        (void)cxb_mpqueue_look(queue_of(self));
    }
}

typedef enum cxb_step (*try_function)(AwaitObject *, PyObject **);

/* Tries; enlists the node and tries again. */
static enum cxb_step
attempt(AwaitObject *self, struct cx_node *node, enum cxb_mpside side, try_function once,
        PyObject **result)
{
    enum cxb_step step = once(self, result);
    if (step != CXB_MUST_WAIT || node == NULL) {
        return step;
    }
    if (cxb_mpwatch_add(self->face, queue_of(self)) < 0) {
        return CXB_FAILED;
    }
    cx_turnstile_enlist(&queue_of(self)->tasks[side], node);
    await_bell(queue_of(self), side);
    step = once(self, result);
    if (step != CXB_MUST_WAIT) {
        PyObject *error = cxb_error_set_aside();
        leave(self, side, node);
        cxb_error_put_back(error);
    }
    return step;
}

/* A grant says only "look again". */
static enum cxb_step
look_again(AwaitObject *self, struct cx_node *node, PyObject **result)
{
    (void)node;
    return self->ops->attempt(self, NULL, result);
}

static void
pass_on(PyObject *owner, struct cx_node *node)
{
    (void)node;
    (void)cxb_mpqueue_look((MpQueueObject *)owner);
}

static void
leave_getters(PyObject *owner, struct cx_node *node)
{
    cx_turnstile_remove(&((MpQueueObject *)owner)->tasks[CXB_GETTERS], node);
}

static void
leave_putters(PyObject *owner, struct cx_node *node)
{
    cx_turnstile_remove(&((MpQueueObject *)owner)->tasks[CXB_PUTTERS], node);
}

static void
leave_joiners(PyObject *owner, struct cx_node *node)
{
    cx_turnstile_remove(&((MpQueueObject *)owner)->tasks[CXB_JOINERS], node);
}

static enum cxb_step
failed(AwaitObject *self, enum cx_status status)
{
    if (status != CX_INTR) {
        (void)cxb_mpqueue_raise(queue_of(self), status);
    }
    return CXB_FAILED;
}

/* --- get -------------------------------------------------------------------------------------- */

/* After an attempt to take: whether to wait, or what to raise. */
static enum cxb_step
not_taken(AwaitObject *self, enum cx_status status)
{
    bool waits = self->block && (status == CX_EMPTY || status == CX_AGAIN);
    return waits ? CXB_MUST_WAIT : failed(self, status == CX_AGAIN ? CX_EMPTY : status);
}

static enum cxb_step
try_get(AwaitObject *self, PyObject **result)
{
    struct cxb_mpqueue_getting getting = {.hurries = true, .raw = self->weight != 0};
    enum cx_status status;
    do {
        status = cxb_mpqueue_try_get(queue_of(self), &getting, result);
        if (status == CX_OK) {
            return CXB_DONE;
        }
        status = status == CX_INTR ? status : cxb_mpqueue_pause(queue_of(self), status, &getting);
    } while (status == CX_OK);
    return not_taken(self, status);
}

static enum cxb_step
get_attempt(AwaitObject *self, struct cx_node *node, PyObject **result)
{
    return attempt(self, node, CXB_GETTERS, try_get, result);
}

static enum cxb_step
try_get_many(AwaitObject *self, PyObject **result)
{
    struct cxb_mpqueue_getting getting = {.hurries = true};
    PyObject *list = PyList_New(0);
    enum cx_status status =
        list == NULL ? CX_INTR : cxb_mpqueue_take_many(queue_of(self), list, self->n, &getting);
    if (status == CX_OK) {
        return cxb_finished(list, result);
    }
    Py_XDECREF(list);
    return not_taken(self, status);
}

static enum cxb_step
get_many_attempt(AwaitObject *self, struct cx_node *node, PyObject **result)
{
    return attempt(self, node, CXB_GETTERS, try_get_many, result);
}

static enum cxb_step
get_timed_out(AwaitObject *self, PyObject **result)
{
    (void)result;
    return failed(self, CX_EMPTY);
}

/* --- put -------------------------------------------------------------------------------------- */

/* Puts what it can, `done` messages are in then; CX_AGAIN: somebody is inside for longer. */
static enum cx_status
put_some(AwaitObject *self, const struct cx_shmring_message *messages, uint64_t n)
{
    struct cx_shmlock_busy busy = {0};
    uint64_t put;
    for (bool slept = false;; slept = true) {
        enum cx_status status = cxb_mpqueue_try_put(queue_of(self), messages, n, &put, &busy);
        self->done += (Py_ssize_t)put;
        if (status != CX_WAIT || slept) {
            return status == CX_WAIT ? CX_AGAIN : status;
        }
        if (cxb_wait_shared(busy.word, busy.seen, cx_deadline_after(CXB_A_MOMENT)) == CXB_ERROR) {
            return CX_INTR;
        }
    }
}

static enum cxb_step
not_put(AwaitObject *self, enum cx_status status)
{
    bool waits = self->block && (status == CX_FULL || status == CX_AGAIN);
    return waits ? CXB_MUST_WAIT : failed(self, status == CX_AGAIN ? CX_FULL : status);
}

static PyObject *
put_message(MpQueueObject *q, const struct cx_shmring_message *message, void *arg)
{
    AwaitObject *self = arg;
    (void)q;
    enum cx_status status = put_some(self, message, 1);
    enum cxb_step step = status == CX_OK ? CXB_DONE : not_put(self, status);
    return step == CXB_FAILED ? NULL : Py_NewRef(step == CXB_DONE ? Py_None : Py_NotImplemented);
}

/* `weight`: the kind of message; `n`: the item is pickled already. */
static enum cxb_step
try_put(AwaitObject *self, PyObject **result)
{
    if (self->weight == CXB_MESSAGE_PICKLE && self->n == 0) {
        PyObject *data = cxb_mpqueue_dumps(self->state, self->item);
        if (data == NULL) {
            return CXB_FAILED;
        }
        Py_SETREF(self->item, data);
        self->n = 1;
    }
    PyObject *done = cxb_mpqueue_with_message(queue_of(self), self->item, (uint32_t)self->weight,
                                              self, put_message);
    if (done == Py_NotImplemented) {
        Py_DECREF(done);
        return CXB_MUST_WAIT;
    }
    return cxb_finished(done, result);
}

static enum cxb_step
put_attempt(AwaitObject *self, struct cx_node *node, PyObject **result)
{
    return attempt(self, node, CXB_PUTTERS, try_put, result);
}

static enum cxb_step
put_timed_out(AwaitObject *self, PyObject **result)
{
    (void)result;
    return failed(self, CX_FULL);
}

/* The next BATCH of the pickles. */
static enum cx_status
put_batch(AwaitObject *self)
{
    struct cx_shmring_message messages[BATCH] = {{0}};
    Py_buffer views[BATCH];
    Py_ssize_t n = 0, left = PyList_GET_SIZE(self->item) - self->done;
    enum cx_status status = CX_OK;
    for (; n < left && n < BATCH && status == CX_OK; n += status == CX_OK) {
        PyObject *data = PyList_GET_ITEM(self->item, self->done + n);
        if (PyObject_GetBuffer(data, &views[n], PyBUF_SIMPLE) < 0) {
            status = CX_INTR;
        }
        else {
            messages[n] = (struct cx_shmring_message){views[n].buf, (uint64_t)views[n].len,
                                                      CXB_MESSAGE_PICKLE};
        }
    }
    status = status == CX_OK ? put_some(self, messages, (uint64_t)n) : status;
    while (n > 0) {
        PyBuffer_Release(&views[--n]);
    }
    return status;
}

static enum cxb_step
try_put_many(AwaitObject *self, PyObject **result)
{
    if (self->n == 0) {
        PyObject *pickles = cxb_mpqueue_dumps_all(queue_of(self), self->item);
        if (pickles == NULL) {
            return CXB_FAILED;
        }
        Py_SETREF(self->item, pickles);
        self->n = 1;
    }
    while (self->done < PyList_GET_SIZE(self->item)) {
        enum cx_status status = put_batch(self);
        bool ends = (status == CX_FULL || status == CX_AGAIN) && !self->block;
        if (ends || (status == CX_CLOSED && self->done > 0)) {
            break;
        }
        if (status != CX_OK) {
            return not_put(self, status);
        }
    }
    return cxb_finished(PyLong_FromSsize_t(self->done), result);
}

static enum cxb_step
put_many_attempt(AwaitObject *self, struct cx_node *node, PyObject **result)
{
    return attempt(self, node, CXB_PUTTERS, try_put_many, result);
}

static enum cxb_step
put_many_timed_out(AwaitObject *self, PyObject **result)
{
    return cxb_finished(PyLong_FromSsize_t(self->done), result);
}

/* --- join ------------------------------------------------------------------------------------- */

static enum cxb_step
try_join(AwaitObject *self, PyObject **result)
{
    bool done = cx_shmring_all_done(&queue_of(self)->ring);
    return done || !self->block ? cxb_finished(PyBool_FromLong(done), result) : CXB_MUST_WAIT;
}

static enum cxb_step
join_attempt(AwaitObject *self, struct cx_node *node, PyObject **result)
{
    return attempt(self, node, CXB_JOINERS, try_join, result);
}

static enum cxb_step
join_timed_out(AwaitObject *self, PyObject **result)
{
    return cxb_finished(PyBool_FromLong(cx_shmring_all_done(&queue_of(self)->ring)), result);
}

/* --- the methods ------------------------------------------------------------------------------ */

#define OPS(coroutine, verb, list, late)                                                           \
    {.wait = {pass_on},                                                                            \
     .name = coroutine,                                                                            \
     .attempt = verb##_attempt,                                                                    \
     .granted = look_again,                                                                        \
     .leave = leave_##list,                                                                        \
     .timed_out = late##_timed_out}

static const struct cxb_await_ops get_ops = OPS("Queue.get_async", get, getters, get),
                                  get_many_ops =
                                      OPS("Queue.get_many_async", get_many, getters, get),
                                  put_ops = OPS("Queue.put_async", put, putters, put),
                                  put_many_ops =
                                      OPS("Queue.put_many_async", put_many, putters, put_many),
                                  join_ops = OPS("Queue.join_async", join, joiners, join);

/* Steals `item`. */
static PyObject *
start(MpQueueObject *q, const struct cxb_await_ops *ops, PyObject *item, PyObject *block,
      PyObject *timeout)
{
    struct cxb_limit limit;
    if (cxb_mp_limit(block, timeout, &limit) < 0) {
        Py_XDECREF(item);
        return NULL;
    }
    return cxb_await_new(q->state, ops, (PyObject *)q, item, limit.block, &limit.timeout);
}

static PyObject *
get_async(MpQueueObject *q, const char *name, PyObject *const *args, Py_ssize_t nargs,
          PyObject *kwnames, bool raw)
{
    const struct cxb_signature signature = {name, 0, {"block", "timeout", NULL}};
    PyObject *out[2] = {NULL};
    if (cxb_bind(&signature, args, nargs, kwnames, out) < 0 || cxb_mpqueue_open(q) < 0) {
        return NULL;
    }
    PyObject *await = start(q, &get_ops, NULL, out[0], out[1]);
    if (await != NULL) {
        ((AwaitObject *)await)->weight = raw;
    }
    return await;
}

static PyObject *
queue_get_async(MpQueueObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return get_async(q, "get_async", args, nargs, kwnames, false);
}

static PyObject *
queue_get_bytes_async(MpQueueObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return get_async(q, "get_bytes_async", args, nargs, kwnames, true);
}

static PyObject *
queue_get_many_async(MpQueueObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const struct cxb_signature signature = {
        "get_many_async", 1, {"max_items", "block", "timeout", NULL}};
    PyObject *out[3] = {NULL};
    Py_ssize_t most;
    if (cxb_bind(&signature, args, nargs, kwnames, out) < 0 || cxb_mpqueue_open(q) < 0 ||
        cxb_max_items(out[0], &most) < 0) {
        return NULL;
    }
    PyObject *await = start(q, &get_many_ops, NULL, out[1], out[2]);
    if (await != NULL) {
        ((AwaitObject *)await)->n = most;
    }
    return await;
}

static PyObject *
put_async(MpQueueObject *q, const char *name, const char *what, PyObject *const *args,
          Py_ssize_t nargs, PyObject *kwnames, int64_t kind)
{
    const struct cxb_signature signature = {name, 1, {what, "block", "timeout", NULL}};
    PyObject *out[3] = {NULL};
    if (cxb_bind(&signature, args, nargs, kwnames, out) < 0 || cxb_mpqueue_open(q) < 0) {
        return NULL;
    }
    PyObject *await = start(q, &put_ops, Py_NewRef(out[0]), out[1], out[2]);
    if (await != NULL) {
        ((AwaitObject *)await)->weight = kind;
    }
    return await;
}

static PyObject *
queue_put_async(MpQueueObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return put_async(q, "put_async", "obj", args, nargs, kwnames, CXB_MESSAGE_PICKLE);
}

static PyObject *
queue_put_bytes_async(MpQueueObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return put_async(q, "put_bytes_async", "data", args, nargs, kwnames, CXB_MESSAGE_BYTES);
}

static PyObject *
queue_put_many_async(MpQueueObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const struct cxb_signature signature = {
        "put_many_async", 1, {"items", "block", "timeout", NULL}};
    PyObject *out[3] = {NULL};
    if (cxb_bind(&signature, args, nargs, kwnames, out) < 0 || cxb_mpqueue_open(q) < 0) {
        return NULL;
    }
    PyObject *items = PySequence_List(out[0]);
    return items == NULL ? NULL : start(q, &put_many_ops, items, out[1], out[2]);
}

static PyObject *
queue_join_async(MpQueueObject *q, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const struct cxb_signature signature = {"join_async", 0, {"timeout", NULL}};
    PyObject *out[1] = {NULL};
    return cxb_bind(&signature, args, nargs, kwnames, out) < 0
               ? NULL
               : start(q, &join_ops, NULL, NULL, out[0]);
}

PyMethodDef cxb_mpqueue_async_methods[] = {
    {"get_async", CXB_FASTCALL(queue_get_async),
     DOC("get_async($self, block=True, timeout=None)\n--\n\n`get` for a task: await it.")},
    {"put_async", CXB_FASTCALL(queue_put_async),
     DOC("put_async($self, obj, block=True, timeout=None)\n--\n\n`put` for a task: await it.")},
    {"get_bytes_async", CXB_FASTCALL(queue_get_bytes_async),
     DOC("get_bytes_async($self, block=True, timeout=None)\n--\n\n`get_bytes` for a task.")},
    {"put_bytes_async", CXB_FASTCALL(queue_put_bytes_async),
     DOC("put_bytes_async($self, data, block=True, timeout=None)\n--\n\n`put_bytes` for a task.")},
    {"get_many_async", CXB_FASTCALL(queue_get_many_async),
     DOC("get_many_async($self, max_items, block=True, timeout=None)\n--\n\n"
         "`get_many` for a task.")},
    {"put_many_async", CXB_FASTCALL(queue_put_many_async),
     DOC("put_many_async($self, items, block=True, timeout=None)\n--\n\n"
         "`put_many` for a task; what is in stays in if it is cancelled.")},
    {"_join_async", CXB_FASTCALL(queue_join_async),
     DOC("_join_async($self, timeout=None)\n--\n\n`_join` for a task.")},
    {NULL, NULL, 0, NULL},
};

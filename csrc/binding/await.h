// SPDX-License-Identifier: MIT
/* binding/await.h - the awaitable behind every *_async method.
 *
 * A C coroutine: send, throw, close, __await__ (so collections.abc.Coroutine), awaited directly or
 * wrapped in a Task.  It tries first and suspends only if it must; then it enlists a task's waiter
 * and yields a future of the running loop, which the loop's port resolves after the grant.
 *
 *   send    GRANTED becomes TAKEN, and the operation's `granted` finishes it.
 *   throw, close, finaliser (the last two in any thread)
 *           WAITING becomes CANCELLED and the node is unlinked; else GRANTED becomes RETURNED and
 *           the grant is given back; then the exception goes on.
 *   timer   WAITING becomes TIMED_OUT.
 *
 * What an operation is comes in a table of functions.
 */
#ifndef CX_BINDING_AWAIT_H
#define CX_BINDING_AWAIT_H

#include "binding/loopport.h"
#include "binding/timeout.h"

typedef struct AwaitObject AwaitObject;

enum cxb_step {
    CXB_FAILED = -1, /* an exception is set */
    CXB_DONE = 0,    /* *result is set */
    CXB_MUST_WAIT    /* nothing changed (node NULL), or the node is enlisted */
};

/* Whether the loop watches an event descriptor, so that it can be told outside the interpreter. */
enum cxb_watch {
    CXB_WATCH_NEVER,
    CXB_WATCH_WISHED, /* it need not */
    CXB_WATCH_NEEDED  /* threads that have no interpreter may grant */
};

struct cxb_await_ops {
    struct cxb_wait_ops wait; /* first: what the port needs */
    const char *name;         /* "Queue.get_async" */
    /* Tries; enlists `node` if there is one and it must wait. */
    enum cxb_step (*attempt)(AwaitObject *self, struct cx_node *node, PyObject **result);
    /* The grant in `node` was taken.  CXB_MUST_WAIT: look again. */
    enum cxb_step (*granted)(AwaitObject *self, struct cx_node *node, PyObject **result);
    /* Unlinks a node that its owner has decided; wakes whom that concerns. */
    void (*leave)(PyObject *owner, struct cx_node *node);
    /* The time is up: an exception, or a result after all. */
    enum cxb_step (*timed_out)(AwaitObject *self, PyObject **result);
    /* An exception is thrown in while it waits; may be NULL.  0 or more, or -1 with an error. */
    int (*thrown)(PyObject *owner, PyObject *error);
    enum cxb_watch watch;
};

enum cxb_phase { CXB_CREATED, CXB_SUSPENDED, CXB_FINISHED };

struct AwaitObject {
    PyObject_HEAD
    const struct cxb_await_ops *ops;
    struct cxb_state *state;
    PyObject *owner;    /* what is waited for */
    PyObject *item;     /* the operation's: an item or a tuple of them */
    Py_ssize_t n, done; /* the operation's */
    int64_t weight;     /* the operation's */
    struct cxb_timeout timeout;
    int64_t deadline; /* 0: the wait has not begun */
    enum cxb_phase phase;
    uint32_t running;         /* being stepped, thrown into or closed; exchanged */
    bool block;               /* false: never waits */
    struct cx_waiter *waiter; /* while suspended */
    LoopPortObject *face;     /* keeps the port of its loop known */
    PyObject *timer;
};

/* A new awaitable; steals `item` (may be NULL).  `timeout` NULL: none. */
PyObject *cxb_await_new(struct cxb_state *state, const struct cxb_await_ops *ops, PyObject *owner,
                        PyObject *item, bool block, const struct cxb_timeout *timeout);

/* The end of an attempt with a value to hand over, or with NULL and an exception. */
static inline enum cxb_step
cxb_finished(PyObject *value, PyObject **result)
{
    *result = value;
    return value == NULL ? CXB_FAILED : CXB_DONE;
}

#endif

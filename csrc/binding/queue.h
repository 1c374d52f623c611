// SPDX-License-Identifier: MIT
/* binding/queue.h - what the files of the queue family share: the object and its operations.
 *
 * queue.c       QueueBase, the type under Queue, LifoQueue and PriorityQueue
 * queuemethods.c their methods
 * simplequeue.c SimpleQueue
 * queueops.c    put, get and join of a thread
 * queuebulk.c   many items, and the whole queue: peek, clear, shutdown, statistics, GC
 * queueasync.c  the same for tasks
 * queuemode.c   the compatibility mode: how an operation gets from C to Python
 * consumer.c    what consume() returns
 *
 * Ownership: the engine owns one reference to each item it stores, and a waiting giver's node one
 * to its item.  Every operation runs `cxb_queue_after` outside the guard.
 */
#ifndef CX_BINDING_QUEUE_H
#define CX_BINDING_QUEUE_H

#include "binding/await.h"
#include "binding/block.h"
#include "binding/errors.h"
#include "binding/kwargs.h"
#include "core/queue.h"

typedef struct {
    PyObject_HEAD
    struct cx_queue core;
    struct cxb_state *state;
    PyObject *maxsize;  /* as it was given */
    PyObject *weigher;  /* NULL: none */
    PyObject *compat;   /* the state of the compatibility mode; NULL: native */
    PyObject *lazy[4];  /* mutex, not_empty, not_full, all_tasks_done once asked for */
    PyObject *weakrefs; /* SimpleQueue's; the Python classes have their own */
    struct cxb_waits waits;
    bool own_put, own_get; /* overridden: the _nowait forms go through them; relaxed */
    bool own_hooks;        /* a hook is overridden: never native */
    bool simple;           /* a SimpleQueue: no compatibility mode */
} QueueObject;

/* queueops.c.  `item` is borrowed. */
void cxb_queue_setup(QueueObject *q, struct cxb_state *state, enum cx_discipline discipline,
                     bool weighted);
void cxb_queue_after(QueueObject *q, struct cx_queue_op *op);
void cxb_queue_deliver(QueueObject *q, struct cx_wakes *wakes);
int cxb_queue_weigh(QueueObject *q, PyObject *item, int64_t *weight);
enum cx_status cxb_queue_try_put(QueueObject *q, struct cx_queue_op *op, struct cx_node *node);
enum cx_status cxb_queue_try_get(QueueObject *q, struct cx_queue_op *op, struct cx_node *node);
enum cx_status cxb_queue_try_peek(QueueObject *q, struct cx_queue_op *op);
enum cx_status cxb_queue_fill(QueueObject *q, struct cx_queue_op *op);
void cxb_queue_give_back(QueueObject *q, struct cx_node *node);
void cxb_queue_leave(QueueObject *q, struct cx_waitlist *list, struct cx_node *node);
PyObject *cxb_queue_too_big(QueueObject *q, int64_t weight);
PyObject *cxb_queue_put(QueueObject *q, PyObject *item, bool block, PyObject *timeout);
PyObject *cxb_queue_get(QueueObject *q, bool block, PyObject *timeout);
PyObject *cxb_queue_put_within(QueueObject *q, PyObject *item, struct cxb_limit *limit);
PyObject *cxb_queue_get_within(QueueObject *q, struct cxb_limit *limit);
PyObject *cxb_queue_join(QueueObject *q);

/* queuebulk.c */
PyObject *cxb_queue_put_many(QueueObject *q, PyObject *items, bool block, PyObject *timeout);
PyObject *cxb_queue_get_many(QueueObject *q, Py_ssize_t max, bool block, PyObject *timeout);
/* Puts items of a tuple from an index on, as far as they go without waiting: the index reached, and
 * what stopped it; -1 with an exception. */
Py_ssize_t cxb_queue_put_batch(QueueObject *q, PyObject *items, Py_ssize_t from,
                               enum cx_status *why);
/* Appends what is there until the list has `max` items; 0, or -1 with an exception. */
int cxb_queue_get_batch(QueueObject *q, PyObject *list, Py_ssize_t max);
PyObject *cxb_queue_peek(QueueObject *q);
PyObject *cxb_queue_with_rest(QueueObject *q, PyObject *first, Py_ssize_t max);
/* -1 and false: the queue has moved to its compatibility mode, nothing was done. */
Py_ssize_t cxb_queue_clear(QueueObject *q);
bool cxb_queue_shutdown(QueueObject *q, bool immediate);
PyObject *cxb_queue_account(QueueObject *q); /* the fields of QueueStats */
PyObject *cxb_queue_stats(QueueObject *q);
int cxb_queue_traverse(QueueObject *q, visitproc visit, void *arg);
void cxb_queue_drop_content(QueueObject *q);

/* queueasync.c */
PyObject *cxb_queue_put_async(QueueObject *q, PyObject *item, bool block, PyObject *timeout);
PyObject *cxb_queue_get_async(QueueObject *q, bool block, PyObject *timeout);
PyObject *cxb_queue_join_async(QueueObject *q, PyObject *timeout);
PyObject *cxb_queue_put_many_async(QueueObject *q, PyObject *items, bool block, PyObject *timeout);
PyObject *cxb_queue_get_many_async(QueueObject *q, Py_ssize_t max, bool block, PyObject *timeout);
PyObject *cxb_queue_anext(QueueObject *q);

/* queuemethods.c: put and get come first. */
PyObject *cxb_queue_qsize(QueueObject *q, PyObject *unused);

static inline bool
cxb_queue_is_moved(QueueObject *q)
{
    return cx_load_acquire(&q->compat) != NULL;
}

/* queuemode.c: calls _queue_compat.<name>(q, ...) for operations that met CX_MOVED.  The format has
 * a letter for each argument: O borrowed and N owned objects, b bool, n Py_ssize_t, s text. */
PyObject *cxb_compat(QueueObject *q, const char *name, const char *format, ...);
/* The same for what an operation in flight must tell it and nobody can be told of failing. */
void cxb_compat_quietly(QueueObject *q, const char *name);
extern PyMethodDef cxb_queue_mode_methods[];
extern PyGetSetDef cxb_queue_mode_getset[];

/* consumer.c */
PyObject *cxb_consumer_new(QueueObject *q);

#endif

// SPDX-License-Identifier: MIT
/* binding/taskqueue.h - TaskQueue: the tasks of a pool and the loop of its workers.
 *
 * The executor that users see holds a queue; so does every worker, which therefore may outlive the
 * executor and runs what is left.  Workers are Python threads whose target calls run().  A worker
 * that waits for a queued task of its own queue makes the call itself (cxb_task_help); one that
 * must sleep says so, and a spare worker is started if all others sleep too.
 */
#ifndef CX_BINDING_TASKQUEUE_H
#define CX_BINDING_TASKQUEUE_H

#include "binding/future.h"
#include "core/pool.h"

/* Durations: bucket i counts those below 2**i microseconds and not below half of that. */
#define CXB_BUCKETS 32

/* One worker; only its own thread writes, relaxed. */
struct cxb_worker {
    struct cxb_worker *next;
    struct cx_pool_slot *slot; /* or NULL */
    FutureObject *current;     /* borrowed from the worker's frame */
    uint64_t completed, failed, cancelled;
    uint64_t waits[CXB_BUCKETS], runs[CXB_BUCKETS]; /* of one task in CXB_MEASURED */
};
#define CXB_MEASURED 16

typedef struct {
    PyObject_HEAD
    struct cx_pool core;
    struct cxb_state *state;
    struct cxb_worker *workers; /* guarded by the core's guard */
    struct cxb_worker past;     /* the sums of those that have ended; likewise */
    PyObject *start; /* start() starts a worker that is counted; False: nobody is there to do so */
    int64_t idle;    /* how long a worker sleeps before it ends, ns; CX_FOREVER */
    PyObject *weakrefs;
} TaskQueueObject;

/* taskworker.c */

/* The calling thread, if it works for this queue, or NULL. */
struct cxb_worker *cxb_worker_here(TaskQueueObject *q);

/* run() and block(fn, *args). */
PyObject *cxb_worker_run(TaskQueueObject *q, PyObject *unused);
PyObject *cxb_worker_block(PyObject *unused, PyObject *const *args, Py_ssize_t nargs);

/* Adds a worker's counts to a sum. */
void cxb_worker_add(struct cxb_worker *sum, const struct cxb_worker *worker);

/* Around a sleep that may be a worker's: if all workers sleep and tasks wait, a spare one is started.
 * Keeps the exception in flight. */
TaskQueueObject *cxb_worker_blocks(void);
void cxb_worker_unblocks(TaskQueueObject *q);

/* Makes the call of a queued future that this thread has started, in place of a worker. */
void cxb_task_help(FutureObject *f);

/* taskqueue.c */

/* Starts a worker that is counted: 0, or -1 with an exception; counted no more where it fails. */
int cxb_task_queue_start(TaskQueueObject *q);

/* What submit does with a new future, which stays the caller's: 0, or -1 with an exception.
 * `on_full` is one of the following. */
enum cxb_on_full { CXB_BLOCK, CXB_RAISE, CXB_CALLER_RUNS };
int cxb_task_queue_submit(TaskQueueObject *q, FutureObject *f, enum cxb_on_full on_full,
                          PyObject *executor);

#endif

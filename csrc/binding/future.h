// SPDX-License-Identifier: MIT
/* binding/future.h - FutureBase: concurrent.futures.Future over core/future.
 *
 * The public class is `class Future(FutureBase, concurrent.futures.Future)`.  A future that a pool
 * made carries its task: function and arguments, dropped when it has run.
 *
 * Whoever changes the state delivers the news outside every lock: wakes first, then observers
 * (wait and as_completed), then callbacks, in the order in which they were added.  Callbacks for an
 * event loop are links: a task's waiter whose wake the loop's port brings (futurelink.c).
 *
 * The private attributes of the standard class are descriptors.  Touching `_condition` or
 * `_waiters` builds a shim; from then on every change is made with that condition held, tells the
 * shim's waiters, and notifies, so that the standard library's wait and as_completed work.
 */
#ifndef CX_BINDING_FUTURE_H
#define CX_BINDING_FUTURE_H

#include "binding/await.h"
#include "core/future.h"

struct cxb_later; /* binding/block.h */

#define CXB_INLINE_ARGS 4

/* Whether two callbacks are the same one; calls no Python code. */
bool cxb_same_callback(const void *a, const void *b);

/* A call to be made: positional arguments, then the values of `kwnames`. */
struct cxb_task {
    PyObject *fn; /* NULL: none, or it has run */
    PyObject *kwnames;
    Py_ssize_t count; /* of all arguments */
    union {
        PyObject *few[CXB_INLINE_ARGS + 1]; /* from the second on; the first is the callee's */
        PyObject **many;                    /* likewise, allocated */
    } args;
};

/* What legacy callers made of a future. */
struct cxb_shim {
    PyObject *condition;
    PyObject *waiters;            /* a list */
    PyObject *result, *exception; /* as assigned */
    PyObject *retired;            /* a list: former values, for readers that are on their way */
};

typedef struct {
    PyObject_HEAD
    struct cx_future core;
    struct cxb_state *state;
    struct cxb_shim *shim;
    PyObject *pool; /* whose task this is */
    struct cxb_task task;
    struct cxb_job *job; /* of a pool of processes, until it is settled; its hub's guard */
    int64_t priority;    /* of a task: the smallest first */
    uint64_t order;      /* of tasks of one priority */
    int64_t since;       /* when it was submitted; 0: nobody measures */
} FutureObject;

/* Imports what futures need of the standard library, once: 0, or -1 with an exception. */
int cxb_future_prepare(struct cxb_state *state);

/* A pending future of a subtype of FutureBase, without a task; NULL with an exception. */
FutureObject *cxb_future_alloc(struct cxb_state *state, PyTypeObject *type);

/* futuretask.c */

/* Takes references to the call: 0, or -1 with MemoryError. */
int cxb_task_set(struct cxb_task *task, PyObject *fn, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames);
/* Makes the call; the arguments are the task's until cxb_task_clear. */
PyObject *cxb_task_call(struct cxb_task *task);
void cxb_task_clear(struct cxb_task *task);
int cxb_task_traverse(struct cxb_task *task, visitproc visit, void *arg);

/* futureops.c: what changes the state.  The int ones: 0, or -1 with an exception. */

/* Takes the value over, also where it fails: CX_OK, or CX_CLOSED if it was done (no exception is
 * set), or CX_INTR with an exception.  `later` (may be NULL) is empty, and may get a wake. */
enum cx_status cxb_future_settle(FutureObject *f, enum cx_future_state to, PyObject *value_steal,
                                 struct cxb_later *later);
/* The exception that is set becomes the outcome. */
enum cx_status cxb_future_fail(FutureObject *f);
/* 1, 0 if it is too late, or -1 with an exception. */
int cxb_future_cancel(FutureObject *f);
/* A cancelled future is told of to its observers. */
int cxb_future_notify(FutureObject *f);
/* The result, a new reference, or NULL with the outcome's exception; it is done. */
PyObject *cxb_future_outcome(FutureObject *f);
/* Blocks until it is done. */
int cxb_future_await(FutureObject *f, PyObject *timeout);
/* Calls a callback whose time has come and frees its node. */
int cxb_future_call(FutureObject *f, struct cx_told *told);
/* Wakes who waits for a future that a legacy caller has made done. */
void cxb_future_wake(FutureObject *f);
PyObject *cxb_future_state_name(FutureObject *f);
/* InvalidStateError, as the standard library words it; NULL. */
PyObject *cxb_future_invalid(FutureObject *f);

/* procjob.c: what a pool of processes knows better than the state does. */

/* Whether it is a task of such a pool that is not settled; without the guard, so only a hint. */
static inline bool
cxb_future_has_job(FutureObject *f)
{
    return cx_load_relaxed(&f->job) != NULL;
}

/* Whether a worker has begun the call; then the future is running. */
bool cxb_job_begun(FutureObject *f);
/* Looks for a moment whether the outcome comes, so that no thread has to be woken for it. */
void cxb_job_look(FutureObject *f);
/* Takes the call back, so that it can be cancelled; false: a worker has begun it. */
bool cxb_job_withdraw(FutureObject *f);

/* futurelegacy.c */
extern PyGetSetDef cxb_future_legacy[];
/* Enters the condition of a future that has one: 1, 0 if it has none, or -1 with an exception. */
int cxb_shim_enter(FutureObject *f);
/* Tells the standard library's waiters of the state, notifies, leaves. */
void cxb_shim_leave(FutureObject *f, bool tell);
int cxb_shim_traverse(FutureObject *f, visitproc visit, void *arg);
void cxb_shim_clear(FutureObject *f);

/* futurelink.c */

/* Whether a callback is to be delivered on the loop that runs here: that loop, None or NULL. */
PyObject *cxb_link_loop(FutureObject *f, PyObject *fn, PyObject *context);
/* fn(future) is called by `loop`, in `context` unless that is None. */
int cxb_link_call(FutureObject *f, PyObject *loop, PyObject *fn, PyObject *context);
/* Takes such callbacks away again: how many, or -1. */
Py_ssize_t cxb_link_remove(FutureObject *f, PyObject *fn);
/* A future of the running loop with the same outcome to come. */
PyObject *cxb_link_future(FutureObject *f);

/* futureasync.c */
PyObject *cxb_future_iter(FutureObject *f);
/* The exception as asyncio has it, a new reference. */
PyObject *cxb_asyncio_error(FutureObject *f, PyObject *error);
/* cxb_future_outcome in asyncio's exceptions. */
PyObject *cxb_future_outcome_async(FutureObject *f);

#endif

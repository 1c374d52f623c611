// SPDX-License-Identifier: MIT
/* What a pool's worker does: the loop, calls in place of a worker, and what it counts. */
#include "binding/block.h"
#include "binding/taskqueue.h"

/* A loop of calls into C alone never looks whether another thread wants the interpreter.  Whoever
 * waits for the GIL asks for it when his time-out (sys.getswitchinterval) has passed without a sign,
 * and giving it up is such a sign: so it stays given up until he has had the time to wake up. */
#define SLICE (CX_SECOND / 50)
#define PAUSE 20000 /* ns */
#define LOOK_EVERY 64

static CX_THREAD_LOCAL TaskQueueObject *here;
static CX_THREAD_LOCAL struct cxb_worker *mine;

struct cxb_worker *
cxb_worker_here(TaskQueueObject *q)
{
    return here == q ? mine : NULL;
}

TaskQueueObject *
cxb_worker_blocks(void)
{
    TaskQueueObject *q = here;
    if (q != NULL && cx_pool_block(&q->core)) {
        PyObject *error = cxb_error_set_aside();
        if (cxb_task_queue_start(q) < 0) {
            PyErr_WriteUnraisable((PyObject *)q);
        }
        cxb_error_put_back(error);
    }
    return q;
}

void
cxb_worker_unblocks(TaskQueueObject *q)
{
    if (q != NULL) {
        cx_pool_unblock(&q->core);
    }
}

/* block(fn, *args): a call that may sleep for long. */
PyObject *
cxb_worker_block(PyObject *unused, PyObject *const *args, Py_ssize_t nargs)
{
    (void)unused;
    if (nargs < 1) {
        PyErr_SetString(PyExc_TypeError, "block() missing 1 required positional argument: 'fn'");
        return NULL;
    }
    TaskQueueObject *q = cxb_worker_blocks();
    PyObject *result = PyObject_Vectorcall(args[0], args + 1, (size_t)(nargs - 1), NULL);
    cxb_worker_unblocks(q);
    return result;
}

/* Makes the call; `q` is the queue whose worker becomes available by that, or NULL. */
static enum cx_future_state
run(FutureObject *f, TaskQueueObject *q, struct cxb_later *later)
{
    PyObject *result = cxb_task_call(&f->task);
    enum cx_future_state to = result != NULL ? CX_FINISHED : CX_FAILED;
    PyObject *value = result != NULL ? result : cxb_error_set_aside();
    cxb_task_clear(&f->task); /* who sees the outcome sees the arguments gone */
    if (q != NULL) {
        cx_pool_finishing(&q->core);
    }
    if (cxb_future_settle(f, to, value, later) == CX_INTR) {
        PyErr_WriteUnraisable((PyObject *)f); /* a callback's SystemExit ends no worker */
    }
    return to;
}

/* Of a counter that only this thread writes. */
static void
count_one(uint64_t *counter)
{
    cx_store_relaxed(counter, cx_load_relaxed(counter) + 1);
}

void
cxb_task_help(FutureObject *f)
{
    enum cx_future_state to = run(f, NULL, NULL);
    if (mine != NULL) {
        count_one(to == CX_FAILED ? &mine->failed : &mine->completed);
        if (cx_pool_take_back(mine->slot, f)) {
            Py_DECREF((PyObject *)f); /* the queue's */
        }
    }
}

static void
count_duration(uint64_t *buckets, int64_t ns)
{
    uint64_t us = ns > 0 ? (uint64_t)ns / 1000 : 0;
    int i = us == 0 ? 0 : 64 - __builtin_clzll(us);
    count_one(&buckets[i < CXB_BUCKETS ? i : CXB_BUCKETS - 1]);
}

static void
run_next(TaskQueueObject *q, struct cxb_worker *worker, FutureObject *f, struct cxb_later *later)
{
    if (cx_future_start(&f->core)) {
        int64_t began = f->since == 0 ? 0 : cx_now();
        cx_store_relaxed(&worker->current, f);
        enum cx_future_state to = run(f, q, later);
        cx_store_relaxed(&worker->current, NULL);
        count_one(to == CX_FAILED ? &worker->failed : &worker->completed);
        if (CX_UNLIKELY(began != 0)) {
            count_duration(worker->waits, began - f->since);
            count_duration(worker->runs, cx_now() - began);
        }
    }
    else {
        enum cx_future_state now = cx_future_state(&f->core);
        if (now == CX_CALLED_OFF || now == CX_NOTIFIED) {
            cxb_task_clear(&f->task);
            count_one(&worker->cancelled);
        }
        cx_pool_finishing(&q->core);
        if (cxb_future_notify(f) < 0) {
            PyErr_WriteUnraisable((PyObject *)f);
        }
    }
    Py_DECREF((PyObject *)f);
}

void
cxb_worker_add(struct cxb_worker *sum, const struct cxb_worker *worker)
{
    sum->completed += cx_load_relaxed(&worker->completed);
    sum->failed += cx_load_relaxed(&worker->failed);
    sum->cancelled += cx_load_relaxed(&worker->cancelled);
    for (int i = 0; i < CXB_BUCKETS; i++) {
        sum->waits[i] += cx_load_relaxed(&worker->waits[i]);
        sum->runs[i] += cx_load_relaxed(&worker->runs[i]);
    }
}

static void
worker_enlist(TaskQueueObject *q, struct cxb_worker *worker)
{
    cx_guard_take(&q->core.guard);
    worker->next = q->workers;
    q->workers = worker;
    cx_guard_release(&q->core.guard);
}

static void
worker_leave(TaskQueueObject *q, struct cxb_worker *worker)
{
    cx_guard_take(&q->core.guard);
    struct cxb_worker **link = &q->workers;
    while (*link != NULL && *link != worker) {
        link = &(*link)->next;
    }
    if (*link == worker) {
        *link = worker->next;
    }
    cxb_worker_add(&q->past, worker);
    cx_guard_release(&q->core.guard);
    PyMem_RawFree(worker);
}

/* Lets others have the interpreter if this thread has had it for long. */
static void
give_way(uint32_t *calls, int64_t *since, struct cxb_later *later)
{
    if ((++*calls & (LOOK_EVERY - 1)) == 0) {
        int64_t now = cx_now();
        if (now - *since > SLICE) {
            Py_BEGIN_ALLOW_THREADS
            cxb_deliver_late(later);
#if CX_WITH_GIL
            nanosleep(&(struct timespec){0, PAUSE}, NULL);
#endif
            Py_END_ALLOW_THREADS
            *since = cx_now();
        }
    }
}

/* The worker's loop: 0 at its end, or -1 with an exception.  Under a GIL it keeps the wake of whom
 * the last outcome concerns until it has given the GIL up, or has the next task: whoever is woken
 * before finds the GIL taken, and sleeps once more. */
static int
work(TaskQueueObject *q, struct cxb_worker *worker, struct cx_waiter *waiter)
{
    struct cxb_later later = CXB_LATER_INIT;
    bool woken = false;
    uint32_t calls = 0;
    int64_t since = cx_now();
    for (;;) {
        void *task;
        struct cx_wakes wakes = CX_WAKES_INIT;
        enum cx_status status =
            cx_pool_next(&q->core, worker->slot, &waiter->node, woken, &task, &wakes);
        woken = false;
        cxb_deliver(q->state, &wakes);
        if (status != CX_WAIT) {
            cxb_deliver_late(&later);
        }
        if (status == CX_OK) {
            run_next(q, worker, task, CX_WITH_GIL ? &later : NULL);
            give_way(&calls, &since, &later);
            continue;
        }
        if (status == CX_CLOSED) {
            return 0;
        }
        switch (cxb_wait_after(&later, waiter, cx_deadline_after(q->idle))) {
        case CXB_GRANTED:
        case CXB_ERROR_LATE:
            woken = true;
            break;
        case CXB_FORKED:
            return 0;
        case CXB_TIMED_OUT:
            if (cx_pool_retire(&q->core, &waiter->node)) {
                return 0;
            }
            break;
        case CXB_ERROR:
            cx_pool_leave(&q->core, &waiter->node);
            break;
        }
        if (PyErr_Occurred()) {
            PyErr_WriteUnraisable((PyObject *)q); /* a signal handler's; workers go on */
        }
        since = cx_now();
        cx_waiter_arm(waiter);
    }
}

PyObject *
cxb_worker_run(TaskQueueObject *q, PyObject *unused)
{
    (void)unused;
    struct cxb_worker *worker = PyMem_RawCalloc(1, sizeof *worker);
    struct cx_waiter *waiter = cx_waiter_borrow();
    if (worker == NULL || waiter == NULL) {
        PyMem_RawFree(worker);
        if (waiter != NULL) {
            cx_waiter_return(waiter);
        }
        cx_pool_lost(&q->core);
        return PyErr_NoMemory();
    }
    worker->slot = cx_pool_take_slot(&q->core);
    worker_enlist(q, worker);
    here = q;
    mine = worker;
    int failed = work(q, worker, waiter);
    here = NULL;
    mine = NULL;
    cx_pool_leave_slot(&q->core, worker->slot);
    worker_leave(q, worker);
    cx_waiter_return(waiter);
    return failed < 0 ? NULL : Py_NewRef(Py_None);
}

// SPDX-License-Identifier: MIT
#include "binding/taskqueue.h"

#include "binding/block.h"
#include "binding/errors.h"
#include "core/fork.h"

/* More workers than this share the rest: every one that falls asleep looks into all slots. */
#define MOST_SLOTS 64

int
cxb_task_queue_start(TaskQueueObject *q)
{
    PyObject *started = PyObject_CallNoArgs(q->start);
    if (started == Py_False) {
        cx_pool_lost(&q->core); /* the executor is gone */
    }
    Py_XDECREF(started);
    return started == NULL ? -1 : 0;
}

/* --- submitting -------------------------------------------------------------------------------- */

static int
refuse(PyObject *executor)
{
    PyObject *never = PyObject_CallMethod(executor, "_refuse", NULL);
    if (never != NULL) {
        Py_DECREF(never);
        PyErr_SetString(PyExc_RuntimeError, "cannot schedule new futures after shutdown");
    }
    return -1;
}

/* Sleeps until there may be room: 0, or -1 with an exception. */
static int
await_room(TaskQueueObject *q, struct cx_waiter *waiter)
{
    switch (cxb_wait(waiter, CX_FOREVER)) {
    case CXB_ERROR:
        cx_pool_leave(&q->core, &waiter->node);
        return -1;
    case CXB_ERROR_LATE: {
        struct cx_wakes wakes = CX_WAKES_INIT;
        cx_pool_pass_on(&q->core, &wakes);
        cxb_deliver(q->state, &wakes);
        return -1;
    }
    default:
        return 0;
    }
}

int
cxb_task_queue_submit(TaskQueueObject *q, FutureObject *f, enum cxb_on_full on_full,
                      PyObject *executor)
{
    static CX_THREAD_LOCAL uint32_t calls;
    if (CX_UNLIKELY((++calls & (CXB_MEASURED - 1)) == 0)) {
        f->since = cx_now();
    }
    struct cx_pool_call call = CX_POOL_CALL_INIT;
    struct cxb_worker *worker = cxb_worker_here(q);
    enum cx_status status = cx_pool_submit_inside(&q->core, worker == NULL ? NULL : worker->slot,
                                                  Py_NewRef((PyObject *)f), &call);
    while (CX_UNLIKELY(status == CX_FULL) && on_full == CXB_BLOCK) {
        struct cx_waiter *waiter = cx_waiter_borrow();
        int failed = -1;
        if (waiter == NULL) {
            status = CX_NOMEM;
            break;
        }
        status = cx_pool_submit(&q->core, f, &waiter->node, &call);
        if (status == CX_WAIT) {
            failed = await_room(q, waiter);
            status = failed < 0 ? CX_INTR : CX_FULL;
        }
        cx_waiter_return(waiter);
    }
    if (CX_LIKELY(status == CX_OK)) {
        cxb_deliver(q->state, &call.wakes);
        return call.start ? cxb_task_queue_start(q) : 0;
    }
    Py_DECREF((PyObject *)f); /* the queue's */
    if (status == CX_CLOSED) {
        return refuse(executor);
    }
    if (status == CX_FULL && on_full == CXB_CALLER_RUNS) {
        if (cx_future_start(&f->core)) {
            cxb_task_help(f);
        }
        return 0;
    }
    cxb_raise(q->state, status);
    return -1;
}

/* --- for the executor -------------------------------------------------------------------------- */

static PyObject *
taskqueue_qsize(TaskQueueObject *q, PyObject *unused)
{
    (void)unused;
    struct cx_pool_stats stats;
    cx_pool_look(&q->core, &stats);
    return PyLong_FromSize_t(stats.queued);
}

static PyObject *
taskqueue_close(TaskQueueObject *q, PyObject *unused)
{
    (void)unused;
    bool more;
    do {
        struct cx_wakes wakes = CX_WAKES_INIT;
        more = cx_pool_close(&q->core, &wakes);
        cxb_deliver(q->state, &wakes);
    } while (more);
    Py_RETURN_NONE;
}

/* The standard library's exit hook puts None for every worker that it is to end. */
static PyObject *
taskqueue_put(TaskQueueObject *q, PyObject *item)
{
    if (item != Py_None) {
        PyErr_Format(PyExc_TypeError, "a pool's queue takes None only, which closes it, got %R",
                     item);
        return NULL;
    }
    return taskqueue_close(q, NULL);
}

/* A worker ends before it has run the queue. */
static PyObject *
taskqueue_lost(TaskQueueObject *q, PyObject *unused)
{
    (void)unused;
    cx_pool_lost(&q->core);
    Py_RETURN_NONE;
}

/* A task that nobody has begun, as its future; None if there is none. */
static PyObject *
taskqueue_drain(TaskQueueObject *q, PyObject *unused)
{
    (void)unused;
    struct cx_wakes wakes = CX_WAKES_INIT;
    PyObject *task = cx_pool_drain(&q->core, &wakes);
    cxb_deliver(q->state, &wakes);
    return task == NULL ? Py_NewRef(Py_None) : task;
}

/* In the child of a fork: the workers are gone, and what they ran with them. */
static PyObject *
taskqueue_after_fork(TaskQueueObject *q, PyObject *unused)
{
    (void)unused;
    struct cxb_worker *mine = cxb_worker_here(q);
    cx_pool_repair(&q->core, mine == NULL ? NULL : mine->slot);
    PyObject *lost = PyList_New(0);
    for (struct cxb_worker *worker = q->workers; lost != NULL && worker != NULL;
         worker = worker->next) {
        FutureObject *f = cx_load_relaxed(&worker->current);
        if (worker != mine && f != NULL && PyList_Append(lost, (PyObject *)f) < 0) {
            Py_CLEAR(lost);
        }
    }
    q->workers = NULL; /* they are on no thread's list; a few bytes each stay behind */
    return lost;
}

static PyObject *
tuple_of(const uint64_t *buckets)
{
    PyObject *tuple = PyTuple_New(CXB_BUCKETS);
    for (Py_ssize_t i = 0; tuple != NULL && i < CXB_BUCKETS; i++) {
        PyObject *count = PyLong_FromUnsignedLongLong(buckets[i]);
        if (count == NULL) {
            Py_CLEAR(tuple);
        }
        else {
            PyTuple_SET_ITEM(tuple, i, count);
        }
    }
    return tuple;
}

/* (workers, submitted, running, queued, completed, failed, cancelled, stolen, waits, runs) */
static PyObject *
taskqueue_counts(TaskQueueObject *q, PyObject *unused)
{
    (void)unused;
    struct cx_pool_stats stats;
    uint32_t running = 0;
    cx_pool_look(&q->core, &stats);
    cx_guard_take(&q->core.guard);
    struct cxb_worker sum = q->past;
    for (struct cxb_worker *worker = q->workers; worker != NULL; worker = worker->next) {
        cxb_worker_add(&sum, worker);
        running += cx_load_relaxed(&worker->current) != NULL;
    }
    cx_guard_release(&q->core.guard);
    PyObject *waits = tuple_of(sum.waits), *runs = waits == NULL ? NULL : tuple_of(sum.runs);
    if (runs == NULL) {
        Py_XDECREF(waits);
        return NULL;
    }
    return Py_BuildValue("IKInKKKKNN", stats.workers, (unsigned long long)stats.submitted, running,
                         (Py_ssize_t)stats.queued, (unsigned long long)sum.completed,
                         (unsigned long long)sum.failed, (unsigned long long)sum.cancelled,
                         (unsigned long long)stats.stolen, waits, runs);
}

static PyObject *
get_available(TaskQueueObject *q, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(cx_load_relaxed(&q->core.available));
}

/* --- the type ---------------------------------------------------------------------------------- */

static int
before(void *a, void *b)
{
    const FutureObject *x = a, *y = b;
    return x->priority != y->priority ? x->priority < y->priority : x->order < y->order;
}

static PyObject *
taskqueue_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"most", "limit", "idle", "start", "by_priority", NULL};
    struct cxb_state *state = cxb_state_of_type(type);
    unsigned int most;
    Py_ssize_t limit;
    PyObject *idle, *start;
    int by_priority = 0;
    struct cxb_timeout timeout;
    int64_t ns = CX_FOREVER;
    if (state == NULL || cxb_future_prepare(state) < 0 ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "InOO|p:TaskQueue", names, &most, &limit, &idle,
                                     &start, &by_priority) ||
        cxb_timeout_parse(idle, &timeout) < 0) {
        return NULL;
    }
    if (timeout.given) {
        ns = timeout.ns;
    }
    TaskQueueObject *q = (TaskQueueObject *)type->tp_alloc(type, 0);
    if (q != NULL) {
        q->state = state;
        q->start = Py_NewRef(start);
        q->idle = ns;
        cx_pool_init(&q->core, most, limit <= 0 ? SIZE_MAX : (size_t)limit,
                     by_priority ? before : NULL);
        /* One worker has nobody to share with, and keeps the order. */
        if (!CX_WITH_GIL && most > 1 && limit <= 0 && !by_priority &&
            !cx_pool_give_slots(&q->core, Py_MIN(most, MOST_SLOTS))) {
            Py_DECREF((PyObject *)q);
            return PyErr_NoMemory();
        }
    }
    return (PyObject *)q;
}

static int
taskqueue_clear(TaskQueueObject *q)
{
    struct cx_wakes wakes = CX_WAKES_INIT;
    PyObject *task;
    while ((task = cx_pool_drain(&q->core, &wakes)) != NULL) {
        Py_DECREF(task);
    }
    Py_CLEAR(q->start);
    return 0;
}

static int
taskqueue_traverse(TaskQueueObject *q, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(q));
    Py_VISIT(q->start);
    PyObject *task;
    for (size_t i = 0; (task = cx_pool_at(&q->core, i)) != NULL; i++) {
        Py_VISIT(task);
    }
    return 0;
}

static void
taskqueue_dealloc(TaskQueueObject *q)
{
    PyTypeObject *type = Py_TYPE(q);
    PyObject_GC_UnTrack(q);
    if (q->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)q);
    }
    (void)taskqueue_clear(q);
    cx_pool_fini(&q->core);
    type->tp_free(q);
    Py_DECREF(type);
}

static PyMethodDef taskqueue_methods[] = {
    {"run", (PyCFunction)cxb_worker_run, METH_NOARGS, NULL},
    {"block", (PyCFunction)(void (*)(void))cxb_worker_block, METH_FASTCALL | METH_STATIC, NULL},
    {"qsize", (PyCFunction)taskqueue_qsize, METH_NOARGS, NULL},
    {"close", (PyCFunction)taskqueue_close, METH_NOARGS, NULL},
    {"put", (PyCFunction)taskqueue_put, METH_O, NULL},
    {"_lost", (PyCFunction)taskqueue_lost, METH_NOARGS, NULL},
    {"_drain", (PyCFunction)taskqueue_drain, METH_NOARGS, NULL},
    {"_after_fork", (PyCFunction)taskqueue_after_fork, METH_NOARGS, NULL},
    {"_counts", (PyCFunction)taskqueue_counts, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef taskqueue_getset[] = {
    {"_available", (getter)get_available, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef taskqueue_members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(TaskQueueObject, weakrefs), Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot taskqueue_slots[] = {
    {Py_tp_new, taskqueue_new},           {Py_tp_methods, taskqueue_methods},
    {Py_tp_getset, taskqueue_getset},     {Py_tp_members, taskqueue_members},
    {Py_tp_traverse, taskqueue_traverse}, {Py_tp_clear, taskqueue_clear},
    {Py_tp_dealloc, taskqueue_dealloc},   {0, NULL},
};

PyType_Spec cxb_taskqueue_spec = {
    .name = "concx._core.TaskQueue",
    .basicsize = sizeof(TaskQueueObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = taskqueue_slots,
};

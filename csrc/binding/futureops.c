// SPDX-License-Identifier: MIT
#include "binding/block.h"
#include "binding/taskqueue.h"

#define SHORT 1000000 /* ns: time-outs that leave no time to look */

PyObject *
cxb_future_state_name(FutureObject *f)
{
    (void)(cxb_future_has_job(f) && cxb_job_begun(f));
    static const char *const names[] = {
        "PENDING", "RUNNING", "CANCELLED", "CANCELLED_AND_NOTIFIED", "FINISHED", "FINISHED"};
    return PyUnicode_InternFromString(names[cx_future_state(&f->core)]);
}

PyObject *
cxb_future_invalid(FutureObject *f)
{
    PyObject *name = cxb_future_state_name(f);
    if (name != NULL) {
        PyErr_Format(f->state->InvalidStateError, "%U: %R", name, (PyObject *)f);
        Py_DECREF(name);
    }
    return NULL;
}

PyObject *
cxb_future_outcome(FutureObject *f)
{
    switch (cx_future_state(&f->core)) {
    case CX_FINISHED:
        return Py_NewRef((PyObject *)f->core.value);
    case CX_FAILED:
        cxb_error_put_back(Py_NewRef((PyObject *)f->core.value));
        return NULL;
    default:
        PyErr_SetNone(f->state->CancelledError);
        return NULL;
    }
}

/* An Exception of a callback is logged as the standard library does; what else it raised is kept in
 * *first, to be raised when every callback has been called. */
static void
callback_failed(FutureObject *f, PyObject **first)
{
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        PyObject *error = cxb_error_set_aside();
        if (*first == NULL) {
            *first = error;
        }
        else {
            Py_DECREF(error);
        }
        return;
    }
    PyObject *error = cxb_error_set_aside();
    PyObject *log = cxb_import_once(&f->state->log_callback, "concx._futures", "log_callback");
    PyObject *logged =
        log == NULL ? NULL : PyObject_CallFunctionObjArgs(log, (PyObject *)f, error, NULL);
    if (logged == NULL) {
        PyErr_WriteUnraisable((PyObject *)f);
    }
    Py_XDECREF(logged);
    Py_DECREF(error);
}

static void
call_chain(FutureObject *f, struct cx_told *chain, PyObject **first)
{
    while (chain != NULL) {
        struct cx_told *told = chain;
        chain = told->next;
        PyObject *done = PyObject_CallOneArg((PyObject *)told->what, (PyObject *)f);
        if (done == NULL) {
            callback_failed(f, first);
        }
        Py_XDECREF(done);
        Py_DECREF((PyObject *)told->what);
        PyMem_RawFree(told);
    }
}

int
cxb_future_call(FutureObject *f, struct cx_told *told)
{
    PyObject *first = NULL;
    call_chain(f, told, &first);
    if (first != NULL) {
        cxb_error_put_back(first);
        return -1;
    }
    return 0;
}

/* Wakes, then tells: 0, or -1 with what a callback raised that is no Exception. */
static int
deliver(FutureObject *f, struct cx_news *news, struct cxb_later *later)
{
    PyObject *first = NULL;
    if (later != NULL && !news->more && news->observers == NULL && news->callbacks == NULL &&
        cxb_put_off(&news->wakes, later)) {
        return 0;
    }
    cxb_deliver(f->state, &news->wakes);
    while (CX_UNLIKELY(news->more)) {
        cx_future_wake(&f->core, news);
        cxb_deliver(f->state, &news->wakes);
    }
    call_chain(f, news->observers, &first);
    call_chain(f, news->callbacks, &first);
    if (first != NULL) {
        cxb_error_put_back(first);
        return -1;
    }
    return 0;
}

enum cx_status
cxb_future_settle(FutureObject *f, enum cx_future_state to, PyObject *value,
                  struct cxb_later *later)
{
    struct cx_news news = CX_NEWS_INIT;
    enum cx_status status = cx_future_settle(&f->core, to, value, false, &news);
    if (CX_UNLIKELY(status == CX_MOVED)) {
        int entered = cxb_shim_enter(f);
        if (entered < 0) {
            Py_DECREF(value);
            return CX_INTR;
        }
        status = cx_future_settle(&f->core, to, value, true, &news);
        cxb_shim_leave(f, status == CX_OK);
    }
    if (CX_UNLIKELY(status != CX_OK)) {
        Py_DECREF(value);
        return status;
    }
    return deliver(f, &news, later) < 0 ? CX_INTR : CX_OK;
}

enum cx_status
cxb_future_fail(FutureObject *f)
{
    return cxb_future_settle(f, CX_FAILED, cxb_error_set_aside(), NULL);
}

int
cxb_future_cancel(FutureObject *f)
{
    struct cx_news news = CX_NEWS_INIT;
    /* Also of one whose job has just been taken out. */
    bool of_hub = f->pool != NULL && Py_IS_TYPE(f->pool, f->state->prochub_type);
    if (of_hub && !cxb_job_withdraw(f)) {
        return 0;
    }
    enum cx_status status = cx_future_cancel(&f->core, false, &news);
    if (status == CX_MOVED) {
        if (cxb_shim_enter(f) < 0) {
            return -1;
        }
        status = cx_future_cancel(&f->core, true, &news);
        cxb_shim_leave(f, false);
    }
    if (status != CX_OK) {
        return status == CX_AGAIN;
    }
    if (deliver(f, &news, NULL) < 0) {
        return -1;
    }
    /* No worker will come across it and say so. */
    return of_hub && cxb_future_notify(f) < 0 ? -1 : 1;
}

int
cxb_future_notify(FutureObject *f)
{
    struct cx_news news = CX_NEWS_INIT;
    enum cx_status status = cx_future_notify(&f->core, false, &news);
    if (status == CX_MOVED) {
        if (cxb_shim_enter(f) < 0) {
            return -1;
        }
        status = cx_future_notify(&f->core, true, &news);
        cxb_shim_leave(f, status == CX_OK);
    }
    return status == CX_OK ? deliver(f, &news, NULL) : 0;
}

void
cxb_future_wake(FutureObject *f)
{
    struct cx_news news = CX_NEWS_INIT;
    if (cx_future_done(&f->core)) {
        do {
            cx_future_wake(&f->core, &news);
            cxb_deliver(f->state, &news.wakes);
        } while (news.more);
    }
}

/* A negative time-out is over at once, as the standard library has it. */
static int
limit_of(PyObject *timeout, struct cxb_limit *limit)
{
    if (cxb_limit_parse(limit, true, timeout) == 0) {
        return 0;
    }
    if (!PyErr_ExceptionMatches(PyExc_ValueError)) {
        return -1;
    }
    PyObject *error = cxb_error_set_aside();
    PyObject *zero = PyLong_FromLong(0);
    int negative = zero == NULL ? -1 : PyObject_RichCompareBool(timeout, zero, Py_LT);
    Py_XDECREF(zero);
    if (negative > 0) {
        Py_DECREF(error);
        limit->block = false;
        return 0;
    }
    cxb_error_put_back(error);
    return -1;
}

int
cxb_future_await(FutureObject *f, PyObject *timeout)
{
    struct cxb_limit limit;
    if (limit_of(timeout, &limit) < 0) {
        return -1;
    }
    /* Not where a time-out is to be kept: then a spare worker comes, if need be. */
    if (f->pool != NULL && limit.block && !limit.timeout.given &&
        cxb_worker_here((TaskQueueObject *)f->pool) != NULL && cx_future_start(&f->core)) {
        cxb_task_help(f);
        return 0;
    }
    if (cxb_future_has_job(f) && limit.block &&
        (!limit.timeout.given || limit.timeout.ns > SHORT)) {
        cxb_job_look(f);
    }
    while (!cx_future_done(&f->core)) {
        enum cxb_wait how = CXB_TIMED_OUT;
        if (limit.block) {
            struct cx_waiter *waiter = cxb_waiter_borrow(&limit);
            if (waiter == NULL) {
                return -1;
            }
            how = CXB_GRANTED;
            if (cx_future_wait(&f->core, &waiter->node) == CX_WAIT) {
                TaskQueueObject *q = cxb_worker_blocks();
                how = cxb_wait(waiter, limit.deadline);
                cxb_worker_unblocks(q);
                if (how != CXB_GRANTED && how != CXB_ERROR_LATE) {
                    cx_future_leave(&f->core, &waiter->node);
                }
            }
            cx_waiter_return(waiter);
        }
        if (how == CXB_ERROR || how == CXB_ERROR_LATE) {
            return -1;
        }
        if (how == CXB_TIMED_OUT && !cx_future_done(&f->core)) {
            PyErr_SetNone(PyExc_TimeoutError);
            return -1;
        }
    }
    return 0;
}

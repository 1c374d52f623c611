// SPDX-License-Identifier: MIT
#include "binding/future.h"

PyObject *
cxb_asyncio_error(FutureObject *f, PyObject *error)
{
    struct cxb_state *state = f->state;
    PyObject *made = NULL, *type = (PyObject *)Py_TYPE(error);
    PyObject **slot = NULL;
    const char *name = NULL;
    if (type == state->CancelledError) {
        slot = &state->asyncio_cancelled;
        name = "CancelledError";
    }
    else if (type == state->InvalidStateError) {
        slot = &state->asyncio_invalid;
        name = "InvalidStateError";
    }
    else if (!PyErr_GivenExceptionMatches(error, PyExc_StopIteration)) {
        return Py_NewRef(error);
    }
    if (slot == NULL) {
        made = PyObject_CallFunction(PyExc_RuntimeError, "s",
                                     "StopIteration interacts badly with generators and cannot be "
                                     "raised into a Future");
        if (made != NULL) {
            PyException_SetCause(made, Py_NewRef(error));
            PyException_SetContext(made, Py_NewRef(error));
        }
        return made;
    }
    PyObject *its = cxb_import_once(slot, "asyncio.exceptions", name);
    PyObject *args = its == NULL ? NULL : PyObject_GetAttr(error, state->names.args);
    if (args != NULL && (made = PyObject_Call(its, args, NULL)) != NULL) {
        PyObject *traceback = PyException_GetTraceback(error);
        if (traceback != NULL) {
            PyException_SetTraceback(made, traceback);
            Py_DECREF(traceback);
        }
    }
    Py_XDECREF(args);
    return made;
}

PyObject *
cxb_future_outcome_async(FutureObject *f)
{
    switch (cx_future_state(&f->core)) {
    case CX_FINISHED:
        return Py_NewRef((PyObject *)f->core.value);
    case CX_FAILED: {
        PyObject *error = cxb_asyncio_error(f, (PyObject *)f->core.value);
        if (error != NULL) {
            cxb_error_put_back(error);
        }
        return NULL;
    }
    default: {
        PyObject *cancelled =
            cxb_import_once(&f->state->asyncio_cancelled, "asyncio.exceptions", "CancelledError");
        if (cancelled != NULL) {
            PyErr_SetNone(cancelled);
        }
        return NULL;
    }
    }
}

static enum cxb_step
outcome_attempt(AwaitObject *self, struct cx_node *node, PyObject **result)
{
    FutureObject *f = (FutureObject *)self->owner;
    if (!cx_future_done(&f->core) && (node == NULL || cx_future_wait(&f->core, node) == CX_WAIT)) {
        return CXB_MUST_WAIT;
    }
    return cxb_finished(cxb_future_outcome_async(f), result);
}

static enum cxb_step
outcome_granted(AwaitObject *self, struct cx_node *node, PyObject **result)
{
    (void)node;
    return cxb_finished(cxb_future_outcome_async((FutureObject *)self->owner), result);
}

static void
outcome_leave(PyObject *owner, struct cx_node *node)
{
    cx_future_leave(&((FutureObject *)owner)->core, node);
}

static void
outcome_give_back(PyObject *owner, struct cx_node *node)
{
    (void)owner; /* it stays where it is */
    (void)node;
}

/* A task that is cancelled while it waits cancels what it waits for, if that has not begun. */
static int
outcome_thrown(PyObject *owner, PyObject *error)
{
    FutureObject *f = (FutureObject *)owner;
    PyObject *cancelled =
        cxb_import_once(&f->state->asyncio_cancelled, "asyncio.exceptions", "CancelledError");
    if (cancelled == NULL) {
        return -1;
    }
    return PyErr_GivenExceptionMatches(error, cancelled) ? cxb_future_cancel(f) : 0;
}

static const struct cxb_await_ops outcome_ops = {
    .wait = {.give_back = outcome_give_back},
    .name = "Future.__await__",
    .attempt = outcome_attempt,
    .granted = outcome_granted,
    .leave = outcome_leave,
    .thrown = outcome_thrown,
    .watch = CX_WITH_GIL ? CXB_WATCH_WISHED : CXB_WATCH_NEVER,
};

PyObject *
cxb_future_iter(FutureObject *f)
{
    return cxb_await_new(f->state, &outcome_ops, (PyObject *)f, NULL, true, NULL);
}

// SPDX-License-Identifier: MIT
#include "binding/await.h"

#include "binding/block.h"

PyObject *
cxb_await_new(struct cxb_state *state, const struct cxb_await_ops *ops, PyObject *owner,
              PyObject *item, bool block, const struct cxb_timeout *timeout)
{
    AwaitObject *self = (AwaitObject *)state->await_type->tp_alloc(state->await_type, 0);
    if (self == NULL) {
        Py_XDECREF(item);
        return NULL;
    }
    self->ops = ops;
    self->state = state;
    self->owner = Py_NewRef(owner);
    self->item = item;
    self->block = block;
    if (timeout != NULL) {
        self->timeout = *timeout;
    }
    return (PyObject *)self;
}

static void
drop_timer(AwaitObject *self)
{
    if (self->timer != NULL) {
        PyObject *error = cxb_error_set_aside();
        PyObject *cancelled = PyObject_CallMethodNoArgs(self->timer, self->state->names.cancel);
        if (cancelled == NULL) {
            PyErr_WriteUnraisable(self->timer);
        }
        Py_XDECREF(cancelled);
        Py_CLEAR(self->timer);
        cxb_error_put_back(error);
    }
}

/* Lets go of a waiter that is decided and unlinked. */
static void
drop_waiter(AwaitObject *self)
{
    struct cx_waiter *waiter = self->waiter;
    if (waiter != NULL) {
        PyObject *error = cxb_error_set_aside(); /* finalisers may run */
        self->waiter = NULL;
        PyObject *future = cx_xchg_acq_rel(&waiter->future, NULL);
        PyObject *owner = cx_xchg_acq_rel(&waiter->owner, NULL);
        Py_XDECREF(future);
        Py_XDECREF(owner);
        cx_waiter_unref(waiter);
        cxb_error_put_back(error);
    }
}

/* Nobody will resume this: leaves the list, or gives back what was granted. */
static void
abandon(AwaitObject *self)
{
    struct cx_waiter *waiter = self->waiter;
    if (waiter != NULL) {
        if (cx_waiter_decide(waiter, CX_CANCELLED)) {
            self->ops->leave(self->owner, &waiter->node);
        }
        else if (cx_waiter_settle(waiter, CX_RETURNED)) {
            self->ops->wait.give_back(self->owner, &waiter->node);
        }
        drop_waiter(self);
    }
}

static void
finish(AwaitObject *self)
{
    self->phase = CXB_FINISHED;
    Py_CLEAR(self->item);
    Py_CLEAR(self->face);
}

static PyObject *
future_of(const struct cxb_names *names, PyObject *loop)
{
    PyObject *future = PyObject_CallMethodNoArgs(loop, names->create_future);
    if (future != NULL && PyObject_SetAttr(future, names->blocking, Py_True) < 0) {
        Py_CLEAR(future);
    }
    return future;
}

/* The timer of the loop, which runs self._time_is_up. */
static int
start_timer(AwaitObject *self, PyObject *loop)
{
    if (!self->timeout.given || self->timer != NULL) {
        return 0;
    }
    double rest = (double)(self->deadline - cx_now()) / 1e9;
    PyObject *callback = PyObject_GetAttr((PyObject *)self, self->state->names.time_is_up);
    PyObject *delay = PyFloat_FromDouble(rest > 0 ? rest : 0.0);
    if (callback != NULL && delay != NULL) {
        self->timer =
            PyObject_CallMethodObjArgs(loop, self->state->names.call_later, delay, callback, NULL);
    }
    Py_XDECREF(callback);
    Py_XDECREF(delay);
    return self->timer == NULL ? -1 : 0;
}

static int
watch(AwaitObject *self, PyObject *loop)
{
    switch (self->ops->watch) {
    case CXB_WATCH_NEEDED:
        return cxb_port_watch(self->face, loop, true);
    case CXB_WATCH_WISHED:
        if (self->face->unwatchable || cxb_port_watch(self->face, loop, false) == 0) {
            return 0;
        }
        if (!PyErr_ExceptionMatches(PyExc_Exception)) {
            return -1;
        }
        PyErr_Clear();
        self->face->unwatchable = true;
        return 0;
    default:
        return 0;
    }
}

/* Enlists and yields.  CXB_MUST_WAIT: *result is the future to yield. */
static enum cxb_step
suspend(AwaitObject *self, PyObject **result)
{
    PyObject *loop = cxb_running_loop(self->state), *future = NULL;
    enum cxb_step step = CXB_FAILED;
    if (loop == NULL || loop == Py_None) {
        if (loop != NULL) {
            PyErr_SetString(PyExc_RuntimeError, "no running event loop");
        }
        goto out;
    }
    if (self->deadline == 0 && cxb_timeout_start(&self->timeout, &self->deadline) < 0) {
        goto out;
    }
    if (self->face == NULL && (self->face = cxb_port_of_loop(self->state, loop)) == NULL) {
        goto out;
    }
    if (watch(self, loop) < 0) {
        goto out;
    }
    if ((future = future_of(&self->state->names, loop)) == NULL || start_timer(self, loop) < 0) {
        goto out;
    }
    if ((self->waiter = cx_waiter_new(self->face->port)) == NULL) {
        PyErr_NoMemory();
        goto out;
    }
    self->waiter->future = Py_NewRef(future);
    self->waiter->owner = Py_NewRef(self->owner);
    self->waiter->ops = &self->ops->wait;
    step = self->ops->attempt(self, &self->waiter->node, result);
    if (step == CXB_MUST_WAIT) {
        *result = future;
        future = NULL;
        self->phase = CXB_SUSPENDED;
    }
    else {
        drop_waiter(self);
    }
out:
    Py_XDECREF(loop);
    Py_XDECREF(future);
    return step;
}

/* One of: try from the start, go on after a grant, time out. */
static enum cxb_step
resume(AwaitObject *self, PyObject **result)
{
    struct cx_waiter *waiter = self->waiter;
    enum cxb_step step;
    if (waiter == NULL) {
        step = self->ops->attempt(self, NULL, result);
    }
    else if (cx_waiter_settle(waiter, CX_TAKEN)) {
        step = self->ops->granted(self, &waiter->node, result);
        drop_waiter(self);
    }
    else if (CX_COMMIT_STATE(cx_waiter_state(waiter)) == CX_TIMED_OUT) {
        drop_waiter(self);
        return self->ops->timed_out(self, result);
    }
    else {
        /* Resolved by a stranger, or given back by a closed loop: look again. */
        abandon(self);
        step = self->ops->attempt(self, NULL, result);
    }
    if (step == CXB_MUST_WAIT && self->timeout.given && self->deadline != 0 &&
        cx_now() >= self->deadline) {
        return self->ops->timed_out(self, result);
    }
    return step == CXB_MUST_WAIT ? suspend(self, result) : step;
}

/* Whether the future that was yielded is still to come: whoever steps this is a second awaiter. */
static bool
is_awaited(AwaitObject *self)
{
    struct cx_waiter *waiter = self->waiter;
    PyObject *future = waiter == NULL || cx_waiter_state(waiter) != CX_WAITING
                           ? NULL
                           : Py_XNewRef((PyObject *)cx_load_acquire(&waiter->future));
    PyObject *done =
        future == NULL ? NULL : PyObject_CallMethodNoArgs(future, self->state->names.done);
    bool awaited = done == Py_False;
    PyErr_Clear();
    Py_XDECREF(future);
    Py_XDECREF(done);
    return awaited;
}

static bool
begin(AwaitObject *self)
{
    if (cx_xchg_acq_rel(&self->running, 1) != 0) {
        PyErr_Format(PyExc_ValueError, "coroutine '%s' is already executing", self->ops->name);
        return false;
    }
    return true;
}

static void
end(AwaitObject *self)
{
    cx_store_release(&self->running, 0);
}

static PySendResult
await_send(AwaitObject *self, PyObject *value, PyObject **result)
{
    *result = NULL;
    if (!begin(self)) {
        return PYGEN_ERROR;
    }
    enum cxb_step step = CXB_FAILED;
    if (self->phase == CXB_FINISHED) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
    }
    else if (self->phase == CXB_SUSPENDED && is_awaited(self)) {
        PyErr_SetString(PyExc_RuntimeError, "coroutine is being awaited already");
    }
    else if (self->phase == CXB_CREATED && value != NULL && value != Py_None) {
        PyErr_SetString(PyExc_TypeError, "can't send non-None value to a just-started coroutine");
    }
    else if ((step = resume(self, result)) != CXB_MUST_WAIT) {
        drop_timer(self);
        finish(self);
    }
    end(self);
    return step == CXB_DONE ? PYGEN_RETURN : step == CXB_MUST_WAIT ? PYGEN_NEXT : PYGEN_ERROR;
}

static PyObject *
await_step(AwaitObject *self, PyObject *value)
{
    PyObject *result;
    switch (await_send(self, value, &result)) {
    case PYGEN_NEXT:
        return result;
    case PYGEN_RETURN:
        if (result == Py_None) {
            PyErr_SetNone(PyExc_StopIteration);
        }
        else {
            /* Built, not set by value: a tuple or an exception as value would be unpacked. */
            PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, result);
            if (stop != NULL) {
                PyErr_SetObject(PyExc_StopIteration, stop);
                Py_DECREF(stop);
            }
        }
        Py_DECREF(result);
        return NULL;
    default:
        return NULL;
    }
}

static PyObject *
await_iternext(AwaitObject *self)
{
    return await_step(self, Py_None);
}

/* The exception that throw(type[, value[, traceback]]) means; a new reference. */
static PyObject *
exception_of(PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *error = NULL;
    if (nargs < 1 || nargs > 3) {
        PyErr_Format(PyExc_TypeError, "throw() takes 1 to 3 arguments (%zd given)", nargs);
    }
    else if (PyExceptionInstance_Check(args[0])) {
        error = Py_NewRef(args[0]);
    }
    else if (PyExceptionClass_Check(args[0])) {
        PyObject *value = nargs > 1 ? args[1] : Py_None;
        error = value == Py_None                   ? PyObject_CallNoArgs(args[0])
                : PyExceptionInstance_Check(value) ? Py_NewRef(value)
                                                   : PyObject_CallOneArg(args[0], value);
    }
    else {
        PyErr_Format(PyExc_TypeError,
                     "exceptions must be classes or instances deriving from BaseException, not %s",
                     Py_TYPE(args[0])->tp_name);
    }
    if (error != NULL && nargs == 3 && PyTraceBack_Check(args[2])) {
        PyException_SetTraceback(error, args[2]);
    }
    return error;
}

static PyObject *
await_throw(AwaitObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *error = exception_of(args, nargs);
    if (error == NULL || !begin(self)) {
        Py_XDECREF(error);
        return NULL;
    }
    if (self->phase == CXB_FINISHED) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
    }
    else {
        bool waits = self->waiter != NULL;
        abandon(self);
        drop_timer(self);
        finish(self);
        if (waits && self->ops->thrown != NULL && self->ops->thrown(self->owner, error) < 0) {
            PyErr_WriteUnraisable(self->owner);
        }
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    }
    end(self);
    Py_DECREF(error);
    return NULL;
}

static PyObject *
await_close(AwaitObject *self, PyObject *unused)
{
    (void)unused;
    if (!begin(self)) {
        return NULL;
    }
    abandon(self);
    finish(self);
    end(self);
    Py_RETURN_NONE;
}

/* The loop's timer.  Runs in the loop's thread, so the future may be resolved here. */
static PyObject *
await_time_is_up(AwaitObject *self, PyObject *unused)
{
    (void)unused;
    PyObject *future = NULL;
    if (!begin(self)) {
        PyErr_Clear(); /* another thread is closing it */
        Py_RETURN_NONE;
    }
    struct cx_waiter *waiter = self->waiter;
    if (waiter != NULL && cx_waiter_decide(waiter, CX_TIMED_OUT)) {
        self->ops->leave(self->owner, &waiter->node);
        future = cx_xchg_acq_rel(&waiter->future, NULL);
    }
    Py_CLEAR(self->timer);
    end(self);
    cxb_future_resolve(&self->state->names, future);
    Py_RETURN_NONE;
}

static PyObject *
await_self(AwaitObject *self)
{
    return Py_NewRef(self);
}

static PyObject *
await_repr(AwaitObject *self)
{
    static const char *const phases[] = {"created", "suspended", "finished"};
    return PyUnicode_FromFormat("<coroutine %s %s at %p>", self->ops->name, phases[self->phase],
                                self);
}

static PyObject *
await_name(AwaitObject *self, void *unused)
{
    (void)unused;
    return PyUnicode_FromString(self->ops->name);
}

static PyObject *
await_running(AwaitObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong((long)cx_load_relaxed(&self->running));
}

static PyObject *
await_none(AwaitObject *self, void *unused)
{
    (void)self;
    (void)unused;
    Py_RETURN_NONE;
}

static void
await_finalize(AwaitObject *self)
{
    if (self->phase == CXB_FINISHED) {
        return;
    }
    PyObject *error = cxb_error_set_aside();
    if (self->phase == CXB_CREATED) {
        if (PyErr_WarnFormat(PyExc_RuntimeWarning, 1, "coroutine '%s' was never awaited",
                             self->ops->name) < 0) {
            PyErr_WriteUnraisable((PyObject *)self);
        }
    }
    abandon(self);
    self->phase = CXB_FINISHED;
    cxb_error_put_back(error);
}

static int
await_traverse(AwaitObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->owner);
    Py_VISIT(self->item);
    Py_VISIT((PyObject *)self->face);
    Py_VISIT(self->timer);
    if (self->waiter != NULL) {
        /* The future is not visited here: what the task waits for, or the wake that is on its way,
         * keeps it alive (cxb_visit_waiters, token_traverse). */
        Py_VISIT((PyObject *)cx_load_relaxed(&self->waiter->owner));
    }
    return 0;
}

static int
await_clear(AwaitObject *self)
{
    abandon(self);
    self->phase = CXB_FINISHED;
    Py_CLEAR(self->owner);
    Py_CLEAR(self->item);
    Py_CLEAR(self->face);
    Py_CLEAR(self->timer);
    return 0;
}

static void
await_dealloc(AwaitObject *self)
{
    if (PyObject_CallFinalizerFromDealloc((PyObject *)self) < 0) {
        return;
    }
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)await_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef await_methods[] = {
    {"send", (PyCFunction)await_step, METH_O, NULL},
    {"throw", (PyCFunction)(void (*)(void))await_throw, METH_FASTCALL, NULL},
    {"close", (PyCFunction)await_close, METH_NOARGS, NULL},
    {"_time_is_up", (PyCFunction)await_time_is_up, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef await_getset[] = {
    {"__name__", (getter)await_name, NULL, NULL, NULL},
    {"__qualname__", (getter)await_name, NULL, NULL, NULL},
    {"cr_running", (getter)await_running, NULL, NULL, NULL},
    {"cr_await", (getter)await_none, NULL, NULL, NULL},
    {"cr_frame", (getter)await_none, NULL, NULL, NULL},
    {"cr_code", (getter)await_none, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot await_slots[] = {
    {Py_am_await, await_self},      {Py_am_send, await_send},
    {Py_tp_iter, await_self},       {Py_tp_iternext, await_iternext},
    {Py_tp_repr, await_repr},       {Py_tp_finalize, await_finalize},
    {Py_tp_dealloc, await_dealloc}, {Py_tp_traverse, await_traverse},
    {Py_tp_clear, await_clear},     {Py_tp_methods, await_methods},
    {Py_tp_getset, await_getset},   {0, NULL},
};

PyType_Spec cxb_await_spec = {
    .name = "concx._core.Await",
    .basicsize = sizeof(AwaitObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = await_slots,
};

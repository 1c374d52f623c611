// SPDX-License-Identifier: MIT
#include "binding/future.h"

#include "binding/kwargs.h"

#define DOC(text) PyDoc_STR(text)

int
cxb_future_prepare(struct cxb_state *state)
{
    static const char *const module = "concurrent.futures";
    return cxb_import_once(&state->InvalidStateError, module, "InvalidStateError") == NULL ||
                   cxb_import_once(&state->CancelledError, module, "CancelledError") == NULL
               ? -1
               : 0;
}

FutureObject *
cxb_future_alloc(struct cxb_state *state, PyTypeObject *type)
{
    FutureObject *f = (FutureObject *)type->tp_alloc(type, 0);
    if (f != NULL) {
        f->state = state;
        cx_future_init(&f->core);
    }
    return f;
}

static PyObject *
future_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args; /* a subclass's __init__ may take what it likes */
    (void)kwargs;
    struct cxb_state *state = cxb_state_of_type(type);
    return state == NULL || cxb_future_prepare(state) < 0
               ? NULL
               : (PyObject *)cxb_future_alloc(state, type);
}

static int
future_init(FutureObject *f, PyObject *args, PyObject *kwargs)
{
    (void)f;
    if (PyTuple_GET_SIZE(args) > 0 || (kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0)) {
        PyErr_SetString(PyExc_TypeError, "Future() takes no arguments");
        return -1;
    }
    return 0;
}

/* --- asking ------------------------------------------------------------------------------------ */

static const struct cxb_signature result_signature = {"result", 0, {"timeout", NULL}};
static const struct cxb_signature exception_signature = {"exception", 0, {"timeout", NULL}};

static PyObject *
future_result(FutureObject *f, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *timeout = NULL;
    if ((nargs > 0 || kwnames != NULL) &&
        cxb_bind(&result_signature, args, nargs, kwnames, &timeout) < 0) {
        return NULL;
    }
    if (!cx_future_done(&f->core) && cxb_future_await(f, timeout) < 0) {
        return NULL;
    }
    return cxb_future_outcome(f);
}

static PyObject *
future_exception(FutureObject *f, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *timeout = NULL;
    if (cxb_bind(&exception_signature, args, nargs, kwnames, &timeout) < 0 ||
        (!cx_future_done(&f->core) && cxb_future_await(f, timeout) < 0)) {
        return NULL;
    }
    switch (cx_future_state(&f->core)) {
    case CX_FINISHED:
        Py_RETURN_NONE;
    case CX_FAILED:
        return Py_NewRef((PyObject *)f->core.value);
    default:
        return cxb_future_outcome(f);
    }
}

static PyObject *
future_done(FutureObject *f, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(cx_future_done(&f->core));
}

static PyObject *
future_running(FutureObject *f, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong((cxb_future_has_job(f) && cxb_job_begun(f)) ||
                           cx_future_state(&f->core) == CX_RUNNING);
}

static PyObject *
future_cancelled(FutureObject *f, PyObject *unused)
{
    (void)unused;
    enum cx_future_state now = cx_future_state(&f->core);
    return PyBool_FromLong(now == CX_CALLED_OFF || now == CX_NOTIFIED);
}

/* What 3.15's asyncio asks for instead of four questions: (done, cancelled, result, exception). */
static PyObject *
future_snapshot(FutureObject *f, PyObject *unused)
{
    (void)unused;
    enum cx_future_state now = cx_future_state(&f->core);
    bool cancelled = now == CX_CALLED_OFF || now == CX_NOTIFIED;
    return PyTuple_Pack(4, now >= CX_CALLED_OFF ? Py_True : Py_False,
                        cancelled ? Py_True : Py_False,
                        now == CX_FINISHED ? (PyObject *)f->core.value : Py_None,
                        now == CX_FAILED ? (PyObject *)f->core.value : Py_None);
}

/* --- changing ---------------------------------------------------------------------------------- */

static PyObject *
settled(FutureObject *f, enum cx_status status)
{
    return status == CX_OK       ? Py_NewRef(Py_None)
           : status == CX_CLOSED ? cxb_future_invalid(f)
                                 : NULL;
}

static PyObject *
future_set_result(FutureObject *f, PyObject *result)
{
    return settled(f, cxb_future_settle(f, CX_FINISHED, Py_NewRef(result), NULL));
}

/* As in the standard library, an exception of None is a result of None. */
static PyObject *
future_set_exception(FutureObject *f, PyObject *error)
{
    if (error == Py_None) {
        return future_set_result(f, error);
    }
    if (!PyExceptionInstance_Check(error)) {
        PyErr_Format(PyExc_TypeError, "'exception' must be an exception, got %R", error);
        return NULL;
    }
    return settled(f, cxb_future_settle(f, CX_FAILED, Py_NewRef(error), NULL));
}

static PyObject *
future_cancel(FutureObject *f, PyObject *unused)
{
    (void)unused;
    int cancelled = cxb_future_cancel(f);
    return cancelled < 0 ? NULL : PyBool_FromLong(cancelled);
}

static PyObject *
future_set_running(FutureObject *f, PyObject *unused)
{
    (void)unused;
    if (cx_future_start(&f->core)) {
        Py_RETURN_TRUE;
    }
    if (cx_future_state(&f->core) == CX_CALLED_OFF) {
        return cxb_future_notify(f) < 0 ? NULL : Py_NewRef(Py_False);
    }
    PyObject *report =
        cxb_import_once(&f->state->log_state, "concx._futures", "log_unexpected_state");
    PyObject *logged = report == NULL ? NULL : PyObject_CallOneArg(report, (PyObject *)f);
    if (logged != NULL) {
        Py_DECREF(logged);
        PyErr_SetString(PyExc_RuntimeError, "Future in unexpected state");
    }
    return NULL;
}

/* --- being told -------------------------------------------------------------------------------- */

bool
cxb_same_callback(const void *a, const void *b)
{
    PyObject *x = (PyObject *)a, *y = (PyObject *)b;
    if (x == y) {
        return true;
    }
    if (PyMethod_Check(x) && PyMethod_Check(y)) {
        return PyMethod_GET_SELF(x) == PyMethod_GET_SELF(y) &&
               PyMethod_GET_FUNCTION(x) == PyMethod_GET_FUNCTION(y);
    }
    return PyCFunction_Check(x) && PyCFunction_Check(y) &&
           PyCFunction_GET_SELF(x) == PyCFunction_GET_SELF(y) &&
           PyCFunction_GET_FUNCTION(x) == PyCFunction_GET_FUNCTION(y);
}

/* Calls `fn` when it happens, or now: 0, or -1 with an exception. */
static int
tell(FutureObject *f, PyObject *fn, bool observer)
{
    struct cx_told *told = PyMem_RawMalloc(sizeof *told);
    if (told == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    told->what = Py_NewRef(fn);
    if (cx_future_tell(&f->core, told, observer)) {
        return 0;
    }
    told->next = NULL;
    return cxb_future_call(f, told);
}

static PyObject *
future_add_done_callback(FutureObject *f, PyObject *const *args, Py_ssize_t nargs,
                         PyObject *kwnames)
{
    static const struct cxb_signature signature = {"add_done_callback", 1, {"fn", "context", NULL}};
    PyObject *out[2];
    if (nargs > 1) {
        PyErr_Format(PyExc_TypeError,
                     "add_done_callback() takes 1 positional argument but %zd were given", nargs);
        return NULL;
    }
    if (cxb_bind(&signature, args, nargs, kwnames, out) < 0) {
        return NULL;
    }
    PyObject *loop = cxb_link_loop(f, out[0], out[1]);
    int failed = loop == NULL      ? -1
                 : loop == Py_None ? tell(f, out[0], false)
                                   : cxb_link_call(f, loop, out[0], out[1]);
    Py_XDECREF(loop);
    return failed < 0 ? NULL : Py_NewRef(Py_None);
}

static Py_ssize_t
untell(FutureObject *f, PyObject *fn, bool observer)
{
    Py_ssize_t removed = 0;
    struct cx_told *told = cx_future_untell(&f->core, fn, observer, cxb_same_callback);
    while (told != NULL) {
        struct cx_told *next = told->next;
        Py_DECREF((PyObject *)told->what);
        PyMem_RawFree(told);
        told = next;
        removed++;
    }
    return removed;
}

static PyObject *
future_remove_done_callback(FutureObject *f, PyObject *fn)
{
    Py_ssize_t removed = untell(f, fn, false);
    return PyLong_FromSsize_t(removed + cxb_link_remove(f, fn));
}

static PyObject *
future_observe(FutureObject *f, PyObject *fn)
{
    return tell(f, fn, true) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
future_unobserve(FutureObject *f, PyObject *fn)
{
    return PyLong_FromSsize_t(untell(f, fn, true));
}

static PyObject *
future_as_asyncio(FutureObject *f, PyObject *unused)
{
    (void)unused;
    return cxb_link_future(f);
}

/* What gather_async returns: (futures, return_exceptions) -> list. */
static PyObject *
future_outcomes(PyObject *unused, PyObject *args)
{
    (void)unused;
    PyObject *futures;
    int keep;
    if (!PyArg_ParseTuple(args, "O!p:_outcomes", &PyList_Type, &futures, &keep)) {
        return NULL;
    }
    Py_ssize_t n = PyList_GET_SIZE(futures);
    for (Py_ssize_t i = 0; !keep && i < n; i++) {
        FutureObject *f = (FutureObject *)PyList_GET_ITEM(futures, i);
        enum cx_future_state now = cx_future_state(&f->core);
        if (now >= CX_CALLED_OFF && now != CX_FINISHED) {
            return cxb_future_outcome_async(f); /* others may not be done */
        }
    }
    PyObject *list = PyList_New(n);
    for (Py_ssize_t i = 0; list != NULL && i < n; i++) {
        PyObject *outcome = cxb_future_outcome_async((FutureObject *)PyList_GET_ITEM(futures, i));
        if (outcome == NULL && keep) {
            outcome = cxb_error_set_aside();
        }
        if (outcome == NULL) {
            Py_CLEAR(list);
        }
        else {
            PyList_SET_ITEM(list, i, outcome);
        }
    }
    return list;
}

/* The condition's notify_all comes here, after somebody has assigned the state. */
static PyObject *
future_wake(FutureObject *f, PyObject *unused)
{
    (void)unused;
    cxb_future_wake(f);
    Py_RETURN_NONE;
}

/* --- the type ---------------------------------------------------------------------------------- */

static PyObject *
future_repr(FutureObject *f)
{
    static const char *const words[] = {"pending",   "running",  "cancelled",
                                        "cancelled", "finished", "finished"};
    (void)(cxb_future_has_job(f) && cxb_job_begun(f));
    enum cx_future_state now = cx_future_state(&f->core);
    PyObject *name = PyType_GetName(Py_TYPE(f)), *repr = NULL, *kind = NULL;
    if (name != NULL && now >= CX_FINISHED) {
        kind = PyType_GetName(Py_TYPE((PyObject *)f->core.value));
        repr = kind == NULL
                   ? NULL
                   : PyUnicode_FromFormat("<%U at %p state=%s %s %U>", name, (void *)f, words[now],
                                          now == CX_FAILED ? "raised" : "returned", kind);
    }
    else if (name != NULL) {
        repr = PyUnicode_FromFormat("<%U at %p state=%s>", name, (void *)f, words[now]);
    }
    Py_XDECREF(name);
    Py_XDECREF(kind);
    return repr;
}

static void
drop_chain(struct cx_told *chain)
{
    while (chain != NULL) {
        struct cx_told *next = chain->next;
        Py_DECREF((PyObject *)chain->what);
        PyMem_RawFree(chain);
        chain = next;
    }
}

static int
future_clear(FutureObject *f)
{
    cx_guard_take(&f->core.guard);
    struct cx_told *callbacks = f->core.callbacks, *observers = f->core.observers;
    f->core.callbacks = f->core.observers = NULL;
    cx_guard_release(&f->core.guard);
    drop_chain(callbacks);
    drop_chain(observers);
    cxb_task_clear(&f->task);
    cxb_shim_clear(f);
    Py_CLEAR(f->pool);
    return 0;
}

static int
future_traverse(FutureObject *f, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(f));
    Py_VISIT((PyObject *)f->core.value);
    Py_VISIT(f->pool);
    for (struct cx_told *told = f->core.callbacks; told != NULL; told = told->next) {
        Py_VISIT((PyObject *)told->what);
    }
    for (struct cx_told *told = f->core.observers; told != NULL; told = told->next) {
        Py_VISIT((PyObject *)told->what);
    }
    int stop = cxb_task_traverse(&f->task, visit, arg);
    stop = stop != 0 ? stop : cxb_shim_traverse(f, visit, arg);
    return stop != 0 ? stop : cxb_visit_waiters(&f->core.waiters, visit, arg);
}

static void
future_dealloc(FutureObject *f)
{
    PyTypeObject *type = Py_TYPE(f);
    PyObject_GC_UnTrack(f);
    (void)future_clear(f);
    /* Kept by tp_clear: a finaliser may still ask for it. */
    Py_XDECREF((PyObject *)f->core.value);
    type->tp_free(f);
    Py_DECREF(type);
}

PyMethodDef cxb_future_methods[] = {
    {"result", CXB_FASTCALL(future_result),
     DOC("result($self, /, timeout=None)\n--\n\nReturn the result, waiting for it at most "
         "`timeout` seconds.\n\nRaises\n------\nCancelledError\n    If the future was "
         "cancelled.\nTimeoutError\n    If it is not done in time.\nException\n    What the call "
         "raised.")},
    {"exception", CXB_FASTCALL(future_exception),
     DOC("exception($self, /, timeout=None)\n--\n\nReturn the exception that the call raised or "
         "None, waiting for it at most `timeout` seconds.\n\nRaises\n------\nCancelledError\n    "
         "If the future was cancelled.\nTimeoutError\n    If it is not done in time.")},
    {"done", (PyCFunction)future_done, METH_NOARGS,
     DOC("done($self, /)\n--\n\nTell whether it was cancelled or has finished.")},
    {"running", (PyCFunction)future_running, METH_NOARGS,
     DOC("running($self, /)\n--\n\nTell whether the call is being made.")},
    {"cancelled", (PyCFunction)future_cancelled, METH_NOARGS,
     DOC("cancelled($self, /)\n--\n\nTell whether it was cancelled.")},
    {"cancel", (PyCFunction)future_cancel, METH_NOARGS,
     DOC("cancel($self, /)\n--\n\nCancel it unless the call has begun; tell whether it is "
         "cancelled.")},
    {"set_running_or_notify_cancel", (PyCFunction)future_set_running, METH_NOARGS,
     DOC("set_running_or_notify_cancel($self, /)\n--\n\nMark it as running, or tell those who "
         "wait that it was cancelled.\n\nFor executors and tests.  Returns False if it was "
         "cancelled: the call is not to be made.")},
    {"set_result", (PyCFunction)future_set_result, METH_O,
     DOC("set_result($self, result, /)\n--\n\nFinish it with a result.\n\nRaises\n------\n"
         "InvalidStateError\n    If it is done.")},
    {"set_exception", (PyCFunction)future_set_exception, METH_O,
     DOC("set_exception($self, exception, /)\n--\n\nFinish it with an exception.\n\nRaises\n"
         "------\nInvalidStateError\n    If it is done.")},
    {"add_done_callback", CXB_FASTCALL(future_add_done_callback),
     DOC("add_done_callback($self, fn, *, context=None)\n--\n\nCall ``fn(future)`` when it is "
         "done, or now.\n\nThe thread that completes it calls, outside every lock, in the order "
         "of addition.  With a\n`context`, or if `fn` is asyncio's own and a loop runs in this "
         "thread, that loop calls it.\nAn exception of `fn` is logged to "
         "``concurrent.futures``.")},
    {"remove_done_callback", (PyCFunction)future_remove_done_callback, METH_O,
     DOC("remove_done_callback($self, fn, /)\n--\n\nTake a callback away; return how often it "
         "had been added.")},
    {"as_asyncio", (PyCFunction)future_as_asyncio, METH_NOARGS,
     DOC("as_asyncio($self, /)\n--\n\nReturn a future of the running event loop with the same "
         "outcome to come.\n\nCancelling that one cancels this one unless the call has begun.")},
    {"_get_snapshot", (PyCFunction)future_snapshot, METH_NOARGS, NULL},
    {"_observe", (PyCFunction)future_observe, METH_O, NULL},
    {"_unobserve", (PyCFunction)future_unobserve, METH_O, NULL},
    {"_wake", (PyCFunction)future_wake, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef type_methods[] = {
    {"_outcomes", (PyCFunction)future_outcomes, METH_VARARGS | METH_STATIC, NULL},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, DOC("See PEP 585")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot future_slots[] = {
    {Py_tp_methods, type_methods},     {Py_tp_new, future_new},
    {Py_tp_init, future_init},         {Py_tp_repr, future_repr},
    {Py_tp_getset, cxb_future_legacy}, {Py_tp_traverse, future_traverse},
    {Py_tp_clear, future_clear},       {Py_tp_dealloc, future_dealloc},
    {Py_am_await, cxb_future_iter},    {0, NULL},
};

PyType_Spec cxb_futurebase_spec = {
    .name = "concx._core.FutureBase",
    .basicsize = sizeof(FutureObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = future_slots,
};

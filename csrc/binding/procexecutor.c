// SPDX-License-Identifier: MIT
/* ProcessExecutorBase: submit, natively.  The rest of ProcessPoolExecutor is Python (concx/futures). */
#include "binding/kwargs.h"
#include "binding/payload.h"
#include "binding/prochub.h"
#include "binding/timeout.h"

typedef struct {
    PyObject_HEAD
    struct cxb_state *state;
    ProcHubObject *hub;        /* NULL until _attach */
    PyTypeObject *future_type; /* likewise */
    PyObject *dump;            /* None, or what pickles tasks */
    PyObject *fallback;        /* None, or what pickles those that could not be */
    PyObject *post;            /* pickles what not every pickler writes alike */
} ProcExecutorObject;

static PyObject *
executor_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args;
    (void)kwargs;
    struct cxb_state *state = cxb_state_of_type(type);
    ProcExecutorObject *self = state == NULL ? NULL : (ProcExecutorObject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->state = state;
    }
    return (PyObject *)self;
}

static PyObject *
executor_attach(ProcExecutorObject *self, PyObject *args)
{
    PyObject *hub, *future_type, *dump, *fallback, *post;
    if (!PyArg_ParseTuple(args, "O!O!OOO:_attach", self->state->prochub_type, &hub, &PyType_Type,
                          &future_type, &dump, &fallback, &post)) {
        return NULL;
    }
    if (!PyType_IsSubtype((PyTypeObject *)future_type, self->state->futurebase_type)) {
        PyErr_Format(PyExc_TypeError, "not a class of futures: %R", future_type);
        return NULL;
    }
    Py_XSETREF(self->hub, (ProcHubObject *)Py_NewRef(hub));
    Py_XSETREF(self->future_type, (PyTypeObject *)Py_NewRef(future_type));
    Py_XSETREF(self->dump, Py_NewRef(dump));
    Py_XSETREF(self->fallback, Py_NewRef(fallback));
    Py_XSETREF(self->post, Py_NewRef(post));
    Py_RETURN_NONE;
}

/* --- pickling ----------------------------------------------------------------------------------- */

/* The call as a tuple, and whether every pickler writes it alike. */
static PyObject *
pack(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, bool *plain)
{
    PyObject *fn = args[0];
    Py_ssize_t named = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames), n = nargs + named;
    PyObject *task = PyTuple_New(n + (named > 0));
    *plain = PyFunction_Check(fn) || PyCFunction_CheckExact(fn) || Py_IS_TYPE(fn, &PyType_Type);
    if (task == NULL) {
        return NULL;
    }
    if (named > 0) {
        PyTuple_SET_ITEM(task, 0, Py_NewRef(kwnames));
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        *plain = *plain && (i == 0 || cxb_payload_is_plain(args[i], 1));
        PyTuple_SET_ITEM(task, i + (named > 0), Py_NewRef(args[i]));
    }
    return task;
}

static PyObject *
dump(ProcExecutorObject *self, PyObject *task, bool plain)
{
    PyObject *bytes = self->dump != Py_None ? PyObject_CallOneArg(self->dump, task)
                      : plain               ? cxb_payload_dump(self->state, task, true)
                                            : PyObject_CallOneArg(self->post, task);
    if (bytes != NULL || self->fallback == Py_None || !PyErr_ExceptionMatches(PyExc_Exception)) {
        return bytes;
    }
    PyObject *error = cxb_error_set_aside();
    bytes = PyObject_CallFunctionObjArgs(self->fallback, task, error, NULL);
    Py_DECREF(error);
    return bytes;
}

/* --- submit -------------------------------------------------------------------------------------- */

static int
check_open(ProcExecutorObject *self)
{
    ProcHubObject *hub = self->hub;
    if (hub == NULL) {
        PyErr_Format(PyExc_RuntimeError, "%s.__init__ was not called", Py_TYPE(self)->tp_name);
        return -1;
    }
    if (CX_UNLIKELY(cx_load_acquire(&hub->closed) != 0 ||
                    hub->generation != cx_fork_generation())) {
        PyObject *refused = PyObject_CallMethod((PyObject *)self, "_refuse", NULL);
        Py_XDECREF(refused);
        return -1;
    }
    return 0;
}

/* As in the standard library, a worker counts as idle when it has done something. */
static bool
has_idle(ProcHubObject *hub)
{
    bool idle = false;
    cx_guard_take(&hub->guard);
    for (Py_ssize_t i = 0; i < hub->count && !idle; i++) {
        WorkLinkObject *link = hub->links[i];
        idle = link->active && link->inflight == 0 && link->completed > 0 && link->budget != 0;
    }
    cx_guard_release(&hub->guard);
    return idle;
}

/* Workers are started by the first task, or while none is idle. */
static inline bool
should_grow(ProcExecutorObject *self)
{
    return CX_UNLIKELY(cx_load_acquire(&self->hub->growing) != 0) && !has_idle(self->hub);
}

static int
grow(ProcExecutorObject *self)
{
    PyObject *grown = PyObject_CallMethod((PyObject *)self, "_grow", NULL);
    Py_XDECREF(grown);
    return grown == NULL ? -1 : 0;
}

/* What could not be pickled fails its future, as the standard library's does. */
static PyObject *
fail(ProcExecutorObject *self, FutureObject *f)
{
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        Py_DECREF((PyObject *)f);
        return NULL;
    }
    PyObject *error = cxb_error_set_aside();
    PyObject *done =
        PyObject_CallMethod((PyObject *)self, "_unpicklable", "OO", (PyObject *)f, error);
    Py_DECREF(error);
    if (done == NULL) {
        Py_DECREF((PyObject *)f);
        return NULL;
    }
    Py_DECREF(done);
    return (PyObject *)f;
}

/* No worker could be started: the task is not to wait for ever, nor to run although submit raises. */
static PyObject *
take_back(FutureObject *f)
{
    PyObject *error = cxb_error_set_aside();
    if (!cxb_job_withdraw(f) && PyErr_GivenExceptionMatches(error, PyExc_Exception)) {
        Py_DECREF(error);
        return (PyObject *)f; /* another worker has it */
    }
    cxb_error_put_back(error);
    Py_DECREF((PyObject *)f);
    return NULL;
}

static PyObject *
submit(ProcExecutorObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
       int64_t timeout, uint32_t retries)
{
    bool plain;
    if (check_open(self) < 0) {
        return NULL;
    }
    bool grows = should_grow(self);
    FutureObject *f = cxb_future_alloc(self->state, self->future_type);
    PyObject *task = f == NULL ? NULL : pack(args, nargs, kwnames, &plain);
    PyObject *bytes = task == NULL ? NULL : dump(self, task, plain);
    Py_XDECREF(task);
    if (bytes == NULL) {
        PyObject *failed = task == NULL ? (Py_XDECREF((PyObject *)f), NULL) : fail(self, f);
        if (failed != NULL && grows && grow(self) < 0) { /* as if it had been sent */
            Py_CLEAR(failed);
        }
        return failed;
    }
    bool named = kwnames != NULL && PyTuple_GET_SIZE(kwnames) > 0;
    struct cxb_job *job = cxb_job_new(f, args[0], bytes, named ? CXB_TASK_NAMED : CXB_TASK_CALL);
    Py_DECREF(bytes);
    if (job == NULL) {
        Py_DECREF((PyObject *)f);
        return NULL;
    }
    job->timeout = timeout;
    job->retries = retries;
    job->kept = retries > 0;
    f->pool = Py_NewRef((PyObject *)self->hub);
    int deserted = cxb_hub_submit(self->hub, job);
    if (deserted < 0) {
        cxb_job_free(job);
        Py_DECREF((PyObject *)f);
        return check_open(self) < 0 ? NULL : PyErr_Format(PyExc_RuntimeError, "the pool is closed");
    }
    /* The task is there before its workers: what becomes of them, its future tells. */
    if ((grows || deserted > 0) && grow(self) < 0) {
        return take_back(f);
    }
    return (PyObject *)f;
}

static PyObject *
executor_submit(ProcExecutorObject *self, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames)
{
    if (nargs < 1) {
        PyErr_SetString(PyExc_TypeError, "submit() missing 1 required positional argument: 'fn'");
        return NULL;
    }
    return submit(self, args, nargs, kwnames, 0, 0);
}

/* _submit_with(timeout, retries, fn, *args, **kwargs) */
static PyObject *
executor_submit_with(ProcExecutorObject *self, PyObject *const *args, Py_ssize_t nargs,
                     PyObject *kwnames)
{
    struct cxb_timeout timeout;
    int64_t retries;
    if (!cxb_takes("_submit_with", nargs, 3, PY_SSIZE_T_MAX) ||
        cxb_timeout_parse(args[0], &timeout) < 0 ||
        cxb_int64(args[1], 0, "'retries'", &retries) < 0) {
        return NULL;
    }
    if (timeout.given && !timeout.huge && timeout.ns <= 0) {
        PyErr_Format(PyExc_ValueError, "'timeout' must be greater than 0, got %R", args[0]);
        return NULL;
    }
    return submit(self, args + 2, nargs - 2, kwnames,
                  timeout.given && !timeout.huge ? timeout.ns : 0,
                  retries > UINT32_MAX ? UINT32_MAX : (uint32_t)retries);
}

static int
executor_traverse(ProcExecutorObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)self->hub);
    Py_VISIT((PyObject *)self->future_type);
    Py_VISIT(self->dump);
    Py_VISIT(self->fallback);
    Py_VISIT(self->post);
    return 0;
}

static int
executor_clear(ProcExecutorObject *self)
{
    Py_CLEAR(self->hub);
    Py_CLEAR(self->future_type);
    Py_CLEAR(self->dump);
    Py_CLEAR(self->fallback);
    Py_CLEAR(self->post);
    return 0;
}

static void
executor_dealloc(ProcExecutorObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)executor_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

PyMethodDef cxb_procexecutor_methods[] = {
    {"submit", CXB_FASTCALL(executor_submit),
     PyDoc_STR("submit($self, fn, /, *args, **kwargs)\n--\n\nSchedule ``fn(*args, **kwargs)`` in a "
               "worker process and return its `Future`.\n\nThe call is pickled here; what cannot "
               "be pickled is the future's exception.\n\nRaises\n------\nRuntimeError\n    After "
               "``shutdown()``, at the interpreter's exit, or in a forked copy of the pool.\n"
               "BrokenProcessPool\n    If the pool is broken.")},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef private_methods[] = {
    {"_submit_with", CXB_FASTCALL(executor_submit_with), NULL},
    {"_attach", (PyCFunction)executor_attach, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot executor_slots[] = {
    {Py_tp_new, executor_new},           {Py_tp_methods, private_methods},
    {Py_tp_traverse, executor_traverse}, {Py_tp_clear, executor_clear},
    {Py_tp_dealloc, executor_dealloc},   {0, NULL},
};

PyType_Spec cxb_procexecutor_spec = {
    .name = "concx._core.ProcessExecutorBase",
    .basicsize = sizeof(ProcExecutorObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = executor_slots,
};

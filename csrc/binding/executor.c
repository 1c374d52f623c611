// SPDX-License-Identifier: MIT
/* ExecutorBase: submit, natively.  The rest of ThreadPoolExecutor is Python (concx/futures). */
#include "binding/kwargs.h"
#include "binding/taskqueue.h"

typedef struct {
    PyObject_HEAD
    struct cxb_state *state;
    TaskQueueObject *queue;    /* NULL until _attach */
    PyTypeObject *future_type; /* likewise */
    enum cxb_on_full on_full;
    bool copy_context;
} ExecutorObject;

static PyObject *
executor_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args;
    (void)kwargs;
    struct cxb_state *state = cxb_state_of_type(type);
    ExecutorObject *self = state == NULL ? NULL : (ExecutorObject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->state = state;
    }
    return (PyObject *)self;
}

static PyObject *
executor_attach(ExecutorObject *self, PyObject *args)
{
    PyObject *queue, *future_type;
    int on_full, copy_context;
    if (!PyArg_ParseTuple(args, "O!O!ip:_attach", self->state->taskqueue_type, &queue, &PyType_Type,
                          &future_type, &on_full, &copy_context)) {
        return NULL;
    }
    if (!PyType_IsSubtype((PyTypeObject *)future_type, self->state->futurebase_type)) {
        PyErr_Format(PyExc_TypeError, "not a class of futures: %R", future_type);
        return NULL;
    }
    Py_XSETREF(self->queue, (TaskQueueObject *)Py_NewRef(queue));
    Py_XSETREF(self->future_type, (PyTypeObject *)Py_NewRef(future_type));
    self->on_full = (enum cxb_on_full)on_full;
    self->copy_context = copy_context;
    Py_RETURN_NONE;
}

/* The call in a copy of the caller's context: context.run(fn, *args, **kwargs). */
static int
set_in_context(const struct cxb_names *names, struct cxb_task *task, PyObject *const *args,
               Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *context = PyContext_CopyCurrent();
    PyObject *run = context == NULL ? NULL : PyObject_GetAttr(context, names->run);
    int failed = run == NULL ? -1 : cxb_task_set(task, run, args, nargs, kwnames);
    Py_XDECREF(run);
    Py_XDECREF(context);
    return failed;
}

/* A future with its task; `args` begin with the function. */
static FutureObject *
future_of_call(ExecutorObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    FutureObject *f = cxb_future_alloc(self->state, self->future_type);
    if (f == NULL) {
        return NULL;
    }
    int failed = self->copy_context
                     ? set_in_context(&self->state->names, &f->task, args, nargs, kwnames)
                     : cxb_task_set(&f->task, args[0], args + 1, nargs - 1, kwnames);
    if (failed < 0) {
        Py_DECREF((PyObject *)f);
        return NULL;
    }
    f->pool = Py_NewRef((PyObject *)self->queue);
    return f;
}

static int
check_attached(ExecutorObject *self)
{
    if (self->queue == NULL) {
        PyErr_Format(PyExc_RuntimeError, "%s.__init__ was not called", Py_TYPE(self)->tp_name);
        return -1;
    }
    return 0;
}

static PyObject *
executor_submit(ExecutorObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (nargs < 1) {
        PyErr_SetString(PyExc_TypeError, "submit() missing 1 required positional argument: 'fn'");
        return NULL;
    }
    if (check_attached(self) < 0) {
        return NULL;
    }
    FutureObject *f = future_of_call(self, args, nargs, kwnames);
    if (f != NULL && cxb_task_queue_submit(self->queue, f, self->on_full, (PyObject *)self) < 0) {
        Py_CLEAR(f);
    }
    return (PyObject *)f;
}

/* submit of a pool with priorities: the priority comes first. */
static PyObject *
executor_submit_at(ExecutorObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static uint64_t orders; /* of all pools: only the order counts */
    int64_t priority;
    if (cxb_int64(args[0], INT64_MIN, "'priority'", &priority) < 0 || check_attached(self) < 0) {
        return NULL;
    }
    FutureObject *f = future_of_call(self, args + 1, nargs - 1, kwnames);
    if (f == NULL) {
        return NULL;
    }
    f->priority = priority;
    f->order = cx_fetch_add_relaxed(&orders, 1);
    if (cxb_task_queue_submit(self->queue, f, self->on_full, (PyObject *)self) < 0) {
        Py_CLEAR(f);
    }
    return (PyObject *)f;
}

static PyObject *
executor_submit_many(ExecutorObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (!cxb_takes("submit_many", nargs, 2, 2)) {
        return NULL;
    }
    if (check_attached(self) < 0) {
        return NULL;
    }
    PyObject *items = PyObject_GetIter(args[1]), *futures = PyList_New(0), *item = NULL;
    while (items != NULL && futures != NULL && (item = PyIter_Next(items)) != NULL) {
        PyObject *call[2] = {args[0], item};
        PyObject *f = executor_submit(self, call, 2, NULL);
        if (f == NULL || PyList_Append(futures, f) < 0) {
            Py_CLEAR(futures);
        }
        Py_XDECREF(f);
        Py_DECREF(item);
    }
    Py_XDECREF(items);
    if (PyErr_Occurred()) {
        Py_CLEAR(futures);
    }
    return futures;
}

static int
executor_traverse(ExecutorObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)self->queue);
    Py_VISIT((PyObject *)self->future_type);
    return 0;
}

static int
executor_clear(ExecutorObject *self)
{
    Py_CLEAR(self->queue);
    Py_CLEAR(self->future_type);
    return 0;
}

static void
executor_dealloc(ExecutorObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)executor_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

PyMethodDef cxb_executor_methods[] = {
    {"submit", CXB_FASTCALL(executor_submit),
     PyDoc_STR("submit($self, fn, /, *args, **kwargs)\n--\n\nSchedule ``fn(*args, **kwargs)`` and "
               "return its `Future`.\n\nRaises\n------\nRuntimeError\n    After ``shutdown()`` or "
               "at the interpreter's exit.\nBrokenThreadPool\n    If an initializer has failed.\n"
               "queue.Full\n    With ``on_full=\"raise\"``, if `max_queue` tasks wait.")},
    {"submit_many", (PyCFunction)(void (*)(void))executor_submit_many, METH_FASTCALL,
     PyDoc_STR("submit_many($self, fn, iterable, /)\n--\n\nSchedule ``fn(item)`` for every item; "
               "return the list of futures.")},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef private_methods[] = {
    {"_submit_at", CXB_FASTCALL(executor_submit_at), NULL},
    {"_attach", (PyCFunction)executor_attach, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot executor_slots[] = {
    {Py_tp_new, executor_new},           {Py_tp_methods, private_methods},
    {Py_tp_traverse, executor_traverse}, {Py_tp_clear, executor_clear},
    {Py_tp_dealloc, executor_dealloc},   {0, NULL},
};

PyType_Spec cxb_executorbase_spec = {
    .name = "concx._core.ExecutorBase",
    .basicsize = sizeof(ExecutorObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = executor_slots,
};

// SPDX-License-Identifier: MIT
/* Countdown: an observer of n futures that finishes one of its own after the last of them. */
#include "binding/future.h"

typedef struct {
    PyObject_HEAD
    FutureObject *target;
    Py_ssize_t left;
    bool on_error, on_cancel; /* the first of these is enough */
} CountdownObject;

static PyObject *
countdown_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *target;
    Py_ssize_t n;
    int on_error = 0, on_cancel = 0;
    struct cxb_state *state = cxb_state_of_type(type);
    if (state == NULL || (kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0) ||
        !PyArg_ParseTuple(args, "O!n|pp:Countdown", state->futurebase_type, &target, &n, &on_error,
                          &on_cancel)) {
        return NULL;
    }
    CountdownObject *self = (CountdownObject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->target = (FutureObject *)Py_NewRef(target);
        self->left = n;
        self->on_error = on_error;
        self->on_cancel = on_cancel;
    }
    return (PyObject *)self;
}

static PyObject *
countdown_call(CountdownObject *self, PyObject *args, PyObject *kwargs)
{
    (void)kwargs;
    PyObject *future;
    if (!PyArg_ParseTuple(args, "O:Countdown", &future)) {
        return NULL;
    }
    bool last = cx_fetch_add_acq_rel(&self->left, -1) == 1;
    if (!last && (self->on_error || self->on_cancel) &&
        PyObject_TypeCheck(future, self->target->state->futurebase_type)) {
        enum cx_future_state its = cx_future_state(&((FutureObject *)future)->core);
        last = its == CX_FAILED ? self->on_error : its != CX_FINISHED && self->on_cancel;
    }
    if (last && cxb_future_settle(self->target, CX_FINISHED, Py_NewRef(Py_None), NULL) == CX_INTR) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* For futures of others: stop now. */
static PyObject *
countdown_stop(CountdownObject *self, PyObject *unused)
{
    (void)unused;
    if (cxb_future_settle(self->target, CX_FINISHED, Py_NewRef(Py_None), NULL) == CX_INTR) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static int
countdown_traverse(CountdownObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)self->target);
    return 0;
}

static void
countdown_dealloc(CountdownObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_CLEAR(self->target);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef countdown_methods[] = {
    {"stop", (PyCFunction)countdown_stop, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot countdown_slots[] = {
    {Py_tp_new, countdown_new},           {Py_tp_call, countdown_call},
    {Py_tp_traverse, countdown_traverse}, {Py_tp_dealloc, countdown_dealloc},
    {Py_tp_methods, countdown_methods},   {0, NULL},
};

PyType_Spec cxb_countdown_spec = {
    .name = "concx._core.Countdown",
    .basicsize = sizeof(CountdownObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = countdown_slots,
};

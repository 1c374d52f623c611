// SPDX-License-Identifier: MIT
#include "binding/done.h"

typedef struct {
    PyObject_HEAD
    PyObject *value; /* atomic; NULL once it has been awaited */
} DoneObject;

PyObject *
cxb_done_steal(struct cxb_state *state, PyObject *value)
{
    PyTypeObject *type = state->done_type;
    DoneObject *self = value == NULL ? NULL : PyObject_GC_New(DoneObject, type);
    if (self == NULL) {
        Py_XDECREF(value);
        return NULL;
    }
    self->value = value;
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

/* Whoever comes first. */
static PyObject *
take(DoneObject *self)
{
    PyObject *value = cx_xchg_acq_rel(&self->value, NULL);
    if (value == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
    }
    return value;
}

static PySendResult
done_am_send(DoneObject *self, PyObject *sent, PyObject **result)
{
    *result = NULL;
    if (sent != NULL && sent != Py_None) {
        PyErr_SetString(PyExc_TypeError, "can't send non-None value to a just-started coroutine");
        return PYGEN_ERROR;
    }
    *result = take(self);
    return *result == NULL ? PYGEN_ERROR : PYGEN_RETURN;
}

static PyObject *
done_send(DoneObject *self, PyObject *sent)
{
    PyObject *value;
    if (done_am_send(self, sent, &value) == PYGEN_RETURN) {
        /* Built, not set by value: a tuple or an exception as value would be unpacked. */
        PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, value);
        if (stop != NULL) {
            PyErr_SetObject(PyExc_StopIteration, stop);
            Py_DECREF(stop);
        }
        Py_DECREF(value);
    }
    return NULL;
}

static PyObject *
done_next(DoneObject *self)
{
    return done_send(self, Py_None);
}

static PyObject *
done_throw(DoneObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *value = take(self);
    if (value == NULL) {
        return NULL;
    }
    Py_DECREF(value);
    if (nargs < 1 || nargs > 3) {
        return PyErr_Format(PyExc_TypeError, "throw() takes 1 to 3 arguments (%zd given)", nargs);
    }
    PyObject *error = args[0];
    if (PyExceptionInstance_Check(error)) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    }
    else if (PyExceptionClass_Check(error)) {
        PyErr_SetObject(error, nargs > 1 ? args[1] : Py_None);
    }
    else {
        PyErr_Format(PyExc_TypeError,
                     "exceptions must be classes or instances deriving from BaseException, not %s",
                     Py_TYPE(error)->tp_name);
    }
    return NULL;
}

static PyObject *
done_close(DoneObject *self, PyObject *unused)
{
    (void)unused;
    PyObject *value = cx_xchg_acq_rel(&self->value, NULL);
    Py_XDECREF(value);
    Py_RETURN_NONE;
}

static PyObject *
done_self(PyObject *self)
{
    return Py_NewRef(self);
}

static PyObject *
done_name(PyObject *self, void *unused)
{
    (void)self;
    (void)unused;
    return PyUnicode_FromString("cached");
}

static PyObject *
done_none(PyObject *self, void *unused)
{
    (void)self;
    (void)unused;
    Py_RETURN_NONE;
}

static PyObject *
done_false(PyObject *self, void *unused)
{
    (void)self;
    (void)unused;
    Py_RETURN_FALSE;
}

static int
done_traverse(DoneObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->value);
    return 0;
}

static int
done_clear(DoneObject *self)
{
    Py_CLEAR(self->value);
    return 0;
}

static void
done_dealloc(DoneObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF(self->value);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyMethodDef done_methods[] = {
    {"send", (PyCFunction)done_send, METH_O, NULL},
    {"throw", (PyCFunction)(void (*)(void))done_throw, METH_FASTCALL, NULL},
    {"close", (PyCFunction)done_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef done_getset[] = {
    {"__name__", done_name, NULL, NULL, NULL},
    {"__qualname__", done_name, NULL, NULL, NULL},
    {"cr_running", done_false, NULL, NULL, NULL},
    {"cr_await", done_none, NULL, NULL, NULL},
    {"cr_frame", done_none, NULL, NULL, NULL},
    {"cr_code", done_none, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot done_slots[] = {
    {Py_am_await, done_self},        {Py_am_send, done_am_send},
    {Py_tp_iter, done_self},         {Py_tp_iternext, done_next},
    {Py_tp_methods, done_methods},   {Py_tp_getset, done_getset},
    {Py_tp_traverse, done_traverse}, {Py_tp_clear, done_clear},
    {Py_tp_dealloc, done_dealloc},   {0, NULL},
};

PyType_Spec cxb_done_spec = {
    .name = "concx._core.Done",
    .basicsize = sizeof(DoneObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = done_slots,
};

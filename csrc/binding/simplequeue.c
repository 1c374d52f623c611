// SPDX-License-Identifier: MIT
#include "binding/queue.h"

#include <string.h>

static PyObject *
simplequeue_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    struct cxb_state *state = cxb_state_of_type(type);
    if (state == NULL) {
        return NULL;
    }
    if (type == state->simplequeue_type &&
        (PyTuple_GET_SIZE(args) > 0 || (kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0))) {
        PyErr_SetString(PyExc_TypeError, "SimpleQueue() takes no arguments");
        return NULL;
    }
    QueueObject *q = (QueueObject *)type->tp_alloc(type, 0);
    if (q != NULL) {
        cxb_queue_setup(q, state, CX_FIFO, false);
        q->simple = true;
    }
    return (PyObject *)q;
}

static PyObject *
simplequeue_repr(QueueObject *q)
{
    struct cx_queue_view view;
    cx_queue_look(&q->core, &view);
    return PyUnicode_FromFormat("<concx.SimpleQueue size=%zu waiting=%u>", view.len, view.takers);
}

static int
simplequeue_clear(QueueObject *q)
{
    cxb_queue_drop_content(q);
    return 0;
}

static void
simplequeue_dealloc(QueueObject *q)
{
    PyTypeObject *type = Py_TYPE(q);
    PyObject_GC_UnTrack(q);
    if (q->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)q);
    }
    cxb_queue_drop_content(q);
    cx_queue_fini(&q->core);
    type->tp_free(q);
    Py_DECREF(type);
}

static PyObject *
simplequeue_is_shutdown(QueueObject *q, void *unused)
{
    (void)unused;
    struct cx_queue_view view;
    cx_queue_look(&q->core, &view);
    return PyBool_FromLong(view.closed);
}

static PyMethodDef simplequeue_methods[] = {
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, PyDoc_STR("See PEP 585")},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef simplequeue_members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(QueueObject, weakrefs), Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef simplequeue_getset[] = {
    {"is_shutdown", (getter)simplequeue_is_shutdown, NULL,
     PyDoc_STR("Whether shutdown() was called."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot simplequeue_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("SimpleQueue()\n--\n\nAn unbounded FIFO queue.")},
    {Py_tp_new, simplequeue_new},
    {Py_tp_repr, simplequeue_repr},
    {Py_tp_traverse, cxb_queue_traverse},
    {Py_tp_clear, simplequeue_clear},
    {Py_tp_dealloc, simplequeue_dealloc},
    {Py_tp_methods, simplequeue_methods},
    {Py_tp_members, simplequeue_members},
    {Py_tp_getset, simplequeue_getset},
    {0, NULL},
};

PyType_Spec cxb_simplequeue_spec = {
    .name = "concx._core.SimpleQueue",
    .basicsize = sizeof(QueueObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = simplequeue_slots,
};

// SPDX-License-Identifier: MIT
#include "binding/queue.h"

typedef struct {
    PyObject_HEAD
    QueueObject *queue;
} ConsumerObject;

PyObject *
cxb_consumer_new(QueueObject *q)
{
    PyTypeObject *type = q->state->consumer_type;
    ConsumerObject *self = (ConsumerObject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->queue = (QueueObject *)Py_NewRef((PyObject *)q);
    }
    return (PyObject *)self;
}

static PyObject *
consumer_self(PyObject *self)
{
    return Py_NewRef(self);
}

static PyObject *
consumer_next(ConsumerObject *self)
{
    PyObject *item = cxb_queue_get(self->queue, true, Py_None);
    if (item == NULL && PyErr_ExceptionMatches(self->queue->state->ShutDown)) {
        PyErr_Clear();
    }
    return item;
}

static PyObject *
consumer_anext(ConsumerObject *self)
{
    return cxb_queue_anext(self->queue);
}

static int
consumer_traverse(ConsumerObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)self->queue);
    return 0;
}

static int
consumer_clear(ConsumerObject *self)
{
    Py_CLEAR(self->queue);
    return 0;
}

static void
consumer_dealloc(ConsumerObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)consumer_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot consumer_slots[] = {
    {Py_tp_iter, consumer_self},         {Py_tp_iternext, consumer_next},
    {Py_am_aiter, consumer_self},        {Py_am_anext, consumer_anext},
    {Py_tp_traverse, consumer_traverse}, {Py_tp_clear, consumer_clear},
    {Py_tp_dealloc, consumer_dealloc},   {0, NULL},
};

PyType_Spec cxb_consumer_spec = {
    .name = "concx._core.Consumer",
    .basicsize = sizeof(ConsumerObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = consumer_slots,
};

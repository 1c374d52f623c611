// SPDX-License-Identifier: MIT
#include "binding/mpwatch.h"

#include <errno.h>

#define AT_ONCE 32

typedef struct {
    PyObject_HEAD
    struct cxb_state *state;
    LoopPortObject *face; /* which lasts as long as the loop watches */
    struct cx_watch watch;
    PyObject *queues; /* address -> queue */
    bool ticks;       /* the timer is set */
} WatchObject;

static WatchObject *
watch_new(LoopPortObject *face)
{
    PyTypeObject *type = face->state->mpwatch_type;
    PyObject *loop = cxb_weakref_get(face->port->loop), *added = NULL;
    WatchObject *self = (WatchObject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->state = face->state;
        self->face = (LoopPortObject *)Py_NewRef((PyObject *)face);
        self->watch = (struct cx_watch){-1, -1};
        self->queues = PyDict_New();
        if (self->queues != NULL && cx_watch_init(&self->watch) != CX_OK) {
            PyErr_SetFromErrno(PyExc_OSError);
        }
        else if (self->queues != NULL && loop != NULL) {
            added = PyObject_CallMethod(loop, "add_reader", "iO", self->watch.set, self);
        }
        if (added != NULL) {
            face->mpwatch = self;
        }
        Py_DECREF(self); /* the loop holds it */
    }
    Py_XDECREF(loop);
    Py_XDECREF(added);
    return added == NULL ? NULL : self;
}

static void
tick_later(WatchObject *self)
{
    if (!self->ticks) {
        self->ticks = true;
        cx_watch_after(&self->watch, CX_SHM_LOOK);
    }
}

int
cxb_mpwatch_add(LoopPortObject *face, MpQueueObject *queue)
{
    int event = queue->segment->event;
    if (event < 0) {
        PyErr_SetString(PyExc_NotImplementedError,
                        "event loops can wait for queues between processes on Linux only");
        return -1;
    }
    WatchObject *self = face->mpwatch != NULL ? face->mpwatch : watch_new(face);
    PyObject *key = self == NULL ? NULL : PyLong_FromVoidPtr(queue);
    int known = key == NULL ? -1 : PyDict_Contains(self->queues, key);
    if (known == 0 && PyDict_SetItem(self->queues, key, (PyObject *)queue) < 0) {
        known = -1;
    }
    else if (known == 0 && !cx_watch_add(&self->watch, event, (uintptr_t)queue)) {
        PyErr_SetFromErrno(PyExc_OSError);
        PyObject *error = cxb_error_set_aside();
        (void)PyDict_DelItem(self->queues, key);
        cxb_error_put_back(error);
        known = -1;
    }
    Py_XDECREF(key);
    if (known < 0) {
        return -1;
    }
    tick_later(self);
    return 0;
}

/* Looks at one queue, and lets it go if nobody waits for it. */
static void
look_at(WatchObject *self, PyObject *key)
{
    PyObject *queue;
    if (cxb_dict_get(self->queues, key, &queue) > 0) {
        if (!cxb_mpqueue_look((MpQueueObject *)queue)) {
            cx_watch_remove(&self->watch, ((MpQueueObject *)queue)->segment->event);
            if (PyDict_DelItem(self->queues, key) < 0) {
                PyErr_WriteUnraisable((PyObject *)self);
            }
        }
        Py_DECREF(queue);
    }
}

static void
look_at_all(WatchObject *self)
{
    PyObject *keys = PyDict_Keys(self->queues);
    for (Py_ssize_t i = 0; keys != NULL && i < PyList_GET_SIZE(keys); i++) {
        look_at(self, PyList_GET_ITEM(keys, i));
    }
    if (keys == NULL) {
        PyErr_WriteUnraisable((PyObject *)self);
    }
    Py_XDECREF(keys);
    self->ticks = false;
    if (PyDict_GET_SIZE(self->queues) > 0) {
        tick_later(self);
    }
}

static PyObject *
watch_call(WatchObject *self, PyObject *args, PyObject *kwargs)
{
    (void)args;
    (void)kwargs;
    uint64_t tags[AT_ONCE];
    int n = cx_watch_take(&self->watch, tags, AT_ONCE);
    struct cx_port *port = self->face->port;
    /* This is the loop's thread: the port is drained below, so nobody need tell the loop. */
    (void)cx_xchg_acq_rel(&port->armed, 1);
    for (int i = 0; i < n; i++) {
        PyObject *key = tags[i] == CX_WATCH_TIMER ? NULL : PyLong_FromUnsignedLongLong(tags[i]);
        if (tags[i] == CX_WATCH_TIMER) {
            look_at_all(self);
        }
        else if (key == NULL) {
            PyErr_WriteUnraisable((PyObject *)self);
        }
        else {
            look_at(self, key);
        }
        Py_XDECREF(key);
    }
    cxb_port_drain(self->state, port);
    Py_RETURN_NONE;
}

static int
watch_traverse(WatchObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)self->face);
    Py_VISIT(self->queues);
    return 0;
}

static int
watch_clear(WatchObject *self)
{
    Py_CLEAR(self->queues);
    return 0;
}

static void
watch_dealloc(WatchObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    cx_watch_fini(&self->watch);
    if (self->face != NULL && self->face->mpwatch == self) {
        self->face->mpwatch = NULL;
    }
    Py_CLEAR(self->queues);
    Py_XDECREF((PyObject *)self->face);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot watch_slots[] = {
    {Py_tp_call, watch_call},
    {Py_tp_dealloc, watch_dealloc},
    {Py_tp_traverse, watch_traverse},
    {Py_tp_clear, watch_clear},
    {0, NULL},
};

PyType_Spec cxb_mpwatch_spec = {
    .name = "concx._core.LoopWatch",
    .basicsize = sizeof(WatchObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = watch_slots,
};

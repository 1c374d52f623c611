// SPDX-License-Identifier: MIT
/* WorkLink: the pool's end of the segment that it shares with one worker. */
#include "binding/prochub.h"

#include <errno.h>

#include "binding/errors.h"

#define DOC(text) PyDoc_STR(text)

static PyObject *
link_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    struct cxb_state *state = cxb_state_of_type(type);
    WorkLinkObject *self = state == NULL || !PyArg_ParseTuple(args, ":WorkLink") ||
                                   (kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0)
                               ? NULL
                               : (WorkLinkObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->state = state;
    self->pidfd = self->shm.fd = -1;
    cx_shm_install();
    enum cx_status status =
        cx_shm_create(&self->shm, CX_SHM_WORK, cx_worklink_size(), cx_worklink_mapped());
    if (status == CX_OK) {
        status = cx_worklink_create(&self->link, &self->shm);
    }
    if (status != CX_OK) {
        errno = self->shm.error;
        PyErr_SetFromErrno(PyExc_OSError);
        Py_DECREF((PyObject *)self);
        return NULL;
    }
    return (PyObject *)self;
}

static int
link_traverse(WorkLinkObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->tag);
    if (self->large != NULL) {
        Py_VISIT((PyObject *)self->large->future);
        Py_VISIT(self->large->fn);
    }
    if (self->arriving != NULL) {
        Py_VISIT(self->arriving->buffers);
        Py_VISIT(self->arriving->error);
    }
    for (uint32_t i = 0; i < CX_LANE_SLOTS && self->inflight > 0; i++) {
        if (self->jobs[i] != NULL) {
            Py_VISIT((PyObject *)self->jobs[i]->future);
            Py_VISIT(self->jobs[i]->fn);
        }
    }
    return 0;
}

static void
drop(WorkLinkObject *self, struct cxb_job **place)
{
    struct cxb_job *job = *place;
    if (job != NULL) {
        *place = NULL;
        self->inflight--;
        cx_store_relaxed(&job->future->job, NULL);
        cxb_job_free(job);
    }
}

static int
link_clear(WorkLinkObject *self)
{
    struct cxb_arrival *arriving = self->arriving;
    drop(self, &self->large);
    for (uint32_t i = 0; i < CX_LANE_SLOTS && self->inflight > 0; i++) {
        drop(self, &self->jobs[i]);
    }
    self->arriving = NULL;
    if (arriving != NULL) {
        cxb_arrival_clear(arriving);
        PyMem_RawFree(arriving);
    }
    Py_CLEAR(self->tag);
    return 0;
}

static void
link_dealloc(WorkLinkObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)link_clear(self);
    if (self->link.shm != NULL) {
        cx_worklink_fini(&self->link);
    }
    cx_shm_close(&self->shm);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
link_fileno(WorkLinkObject *self, PyObject *unused)
{
    (void)unused;
    return PyLong_FromLong(self->shm.fd);
}

/* stop(): the worker leaves when it has done what it was given. */
static PyObject *
link_stop(WorkLinkObject *self, PyObject *unused)
{
    (void)unused;
    cx_worklink_stop(&self->link);
    Py_RETURN_NONE;
}

static PyObject *
link_get_state(WorkLinkObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(cx_load_acquire(&self->link.shared->state));
}

static PyObject *
link_get_active(WorkLinkObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(cx_load_relaxed(&self->active));
}

static PyObject *
link_get_budget(WorkLinkObject *self, void *unused)
{
    (void)unused;
    int64_t budget = cx_load_relaxed(&self->budget);
    return budget < 0 ? Py_NewRef(Py_None) : PyLong_FromLongLong(budget);
}

static PyMethodDef link_methods[] = {
    {"fileno", (PyCFunction)link_fileno, METH_NOARGS,
     DOC("fileno($self)\n--\n\nThe segment's descriptor.")},
    {"stop", (PyCFunction)link_stop, METH_NOARGS,
     DOC("stop($self)\n--\n\nLet the worker leave when it has nothing to do.")},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef link_getset[] = {
    {"state", (getter)link_get_state, NULL,
     DOC("0 starting, 1 ready, 2 has left, 3 its initializer has failed."), NULL},
    {"active", (getter)link_get_active, NULL, DOC("Whether it is given tasks."), NULL},
    {"budget", (getter)link_get_budget, NULL, DOC("Tasks it may still be given, or None."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot link_slots[] = {
    {Py_tp_new, link_new},
    {Py_tp_doc, (void *)DOC("WorkLink()\n--\n\nWhat a pool and one worker share.")},
    {Py_tp_methods, link_methods},
    {Py_tp_getset, link_getset},
    {Py_tp_traverse, link_traverse},
    {Py_tp_clear, link_clear},
    {Py_tp_dealloc, link_dealloc},
    {0, NULL},
};

PyType_Spec cxb_worklink_spec = {
    .name = "concx._core.WorkLink",
    .basicsize = sizeof(WorkLinkObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = link_slots,
};

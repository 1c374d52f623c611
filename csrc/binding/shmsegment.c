// SPDX-License-Identifier: MIT
#include "binding/shmsegment.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "binding/errors.h"
#include "binding/kwargs.h"
#include "core/shmring.h"

#define DOC(text) PyDoc_STR(text)

PyObject *
cxb_shm_raise(struct cxb_state *state, struct cx_shm *shm, enum cx_status status)
{
    if (status == CX_OSERROR && shm->error == ENOMEM) {
        return PyErr_NoMemory();
    }
    if (status == CX_OSERROR) {
        errno = shm->error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return cxb_raise(state, status);
}

static uint64_t
mapped_of(uint32_t kind)
{
    return kind == CX_SHM_RING ? cx_shmring_mapped() : 0;
}

static SegmentObject *
segment_alloc(PyTypeObject *type)
{
    struct cxb_state *state = cxb_state_of_type(type);
    SegmentObject *self = state == NULL ? NULL : (SegmentObject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->state = state;
        self->shm.fd = self->event = -1;
    }
    return self;
}

static PyObject *
segment_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"kind", "size", NULL};
    unsigned int kind;
    PyObject *size_object;
    int64_t size;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "IO:Segment", names, &kind, &size_object) ||
        cxb_int64(size_object, 0, "'size'", &size) < 0) {
        return NULL;
    }
    SegmentObject *self = segment_alloc(type);
    if (self == NULL) {
        return NULL;
    }
    cx_shm_install();
    uint64_t bytes = kind == CX_SHM_RING ? cx_shmring_size() : (uint64_t)size + CX_SHM_HEADER;
    enum cx_status status = cx_shm_create(&self->shm, kind, bytes, mapped_of(kind));
    if (status != CX_OK) {
        cxb_shm_raise(self->state, &self->shm, status);
        Py_DECREF(self);
        return NULL;
    }
    cx_shmarena_init(&self->arena, &self->shm);
    if (kind == CX_SHM_RING && (self->event = cx_event_new()) < 0 && errno != ENOSYS) {
        PyErr_SetFromErrno(PyExc_OSError);
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static PyObject *
segment_attach(PyTypeObject *type, PyObject *args)
{
    int fd, event = -1;
    unsigned int kind;
    if (!PyArg_ParseTuple(args, "iI|i:attach", &fd, &kind, &event)) {
        return NULL;
    }
    SegmentObject *self = segment_alloc(type);
    if (self == NULL) {
        return NULL;
    }
    cx_shm_install();
    enum cx_status status = event < 0 || cx_event_is(event)
                                ? cx_shm_attach(&self->shm, fd, kind, mapped_of(kind))
                                : CX_DAMAGED;
    if (status != CX_OK) {
        cxb_shm_raise(self->state, &self->shm, status);
        self->shm.fd = -1; /* the caller's */
        Py_DECREF(self);
        return NULL;
    }
    cx_shmarena_init(&self->arena, &self->shm);
    self->arena.next = self->shm.size; /* another process hands blocks out */
    self->event = event;
    return (PyObject *)self;
}

static void
segment_dealloc(SegmentObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    cx_shmarena_fini(&self->arena);
    cx_shm_close(&self->shm);
    if (self->event >= 0) {
        close(self->event);
    }
    type->tp_free(self);
    Py_DECREF(type);
}

static int
segment_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static PyObject *
segment_fileno(SegmentObject *self, PyObject *unused)
{
    (void)unused;
    return PyLong_FromLong(self->shm.fd);
}

static PyObject *
segment_event(SegmentObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromLong(self->event);
}

static PyObject *
segment_id(SegmentObject *self, void *unused)
{
    (void)unused;
    return PyBytes_FromStringAndSize((const char *)self->shm.id, sizeof self->shm.id);
}

static PyObject *
segment_size(SegmentObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(self->shm.size);
}

static PyObject *
segment_kind(SegmentObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(self->shm.kind);
}

static PyObject *
segment_used(SegmentObject *self, void *unused)
{
    (void)unused;
    cx_lock_acquire(&self->lock);
    uint64_t used = self->arena.used;
    cx_lock_release(&self->lock);
    return PyLong_FromUnsignedLongLong(used);
}

static PyObject *
segment_mine(SegmentObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(self->arena.next < self->shm.size && cx_shmarena_mine(&self->arena));
}

/* Making or copying so many bytes is worth leaving the interpreter for. */
#define LARGE (1 << 16)

static enum cx_status
lend(SegmentObject *self, const Py_buffer *view, uint64_t *offset, uint32_t *serial)
{
    cx_lock_acquire(&self->lock);
    enum cx_status status = cx_shmarena_lend(&self->arena, (uint64_t)view->len, offset);
    *serial = self->arena.loans;
    cx_lock_release(&self->lock);
    if (status == CX_OK) {
        memcpy(self->shm.base + *offset, view->buf, (size_t)view->len);
    }
    return status;
}

static PyObject *
segment_lend(SegmentObject *self, PyObject *data)
{
    Py_buffer view;
    uint64_t offset;
    uint32_t serial;
    enum cx_status status;
    if (!cx_shmarena_mine(&self->arena)) {
        Py_RETURN_NONE;
    }
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    if (view.len >= LARGE) {
        Py_BEGIN_ALLOW_THREADS
        status = lend(self, &view, &offset, &serial);
        Py_END_ALLOW_THREADS
    }
    else {
        status = lend(self, &view, &offset, &serial);
    }
    PyBuffer_Release(&view);
    if (status == CX_FULL) {
        Py_RETURN_NONE;
    }
    return status == CX_OK ? Py_BuildValue("KI", (unsigned long long)offset, serial)
                           : cxb_shm_raise(self->state, &self->shm, status);
}

static PyObject *
segment_call_back(SegmentObject *self, PyObject *args)
{
    PyObject *place;
    int64_t offset;
    unsigned int serial;
    if (!PyArg_ParseTuple(args, "OI:call_back", &place, &serial) ||
        cxb_int64(place, 0, "'offset'", &offset) < 0) {
        return NULL;
    }
    if (offset % 64 != 0 || offset < CX_SHM_HEADER + CX_SHMARENA_LINE ||
        (uint64_t)offset >= self->shm.mapped) {
        return cxb_raise(self->state, CX_DAMAGED);
    }
    cx_lock_acquire(&self->lock);
    bool back = cx_shmarena_recall(&self->arena, (uint64_t)offset, serial);
    cx_lock_release(&self->lock);
    return PyBool_FromLong(back);
}

/* held_by(borrower): the offsets of the lent blocks that a process had. */
static PyObject *
segment_held_by(SegmentObject *self, PyObject *borrower)
{
    int64_t who;
    PyObject *offsets = cxb_int64(borrower, 0, "'borrower'", &who) < 0 ? NULL : PyList_New(0);
    for (uint32_t i = 0; offsets != NULL; i++) {
        uint64_t offset = 0;
        cx_lock_acquire(&self->lock);
        bool more = i < self->arena.lents;
        if (more && cx_shmarena_is_with(&self->arena, i, (uint32_t)who)) {
            offset = self->arena.lent[i].offset + CX_SHMARENA_LINE;
        }
        cx_lock_release(&self->lock);
        if (!more) {
            break;
        }
        PyObject *number = offset == 0 ? NULL : PyLong_FromUnsignedLongLong(offset);
        if (offset != 0 && (number == NULL || PyList_Append(offsets, number) < 0)) {
            Py_CLEAR(offsets);
        }
        Py_XDECREF(number);
    }
    return offsets;
}

static PyObject *
segment_lent(SegmentObject *self, void *unused)
{
    (void)unused;
    cx_lock_acquire(&self->lock);
    cx_shmarena_sweep(&self->arena);
    uint32_t lents = self->arena.lents;
    cx_lock_release(&self->lock);
    return PyLong_FromUnsignedLong(lents);
}

static PyMethodDef segment_methods[] = {
    {"lend", (PyCFunction)segment_lend, METH_O,
     DOC("lend($self, data, /)\n--\n\nA copy of the bytes in a block that goes with a message: its "
         "offset and the number of the loan, or None if there is no room.")},
    {"call_back", (PyCFunction)segment_call_back, METH_VARARGS,
     DOC("call_back($self, offset, loan, /)\n--\n\nTake back a lent block whose message did not "
         "arrive; False if it did.")},
    {"held_by", (PyCFunction)segment_held_by, METH_O,
     DOC("held_by($self, borrower, /)\n--\n\nThe offsets of the blocks that a process has "
         "borrowed last, by its pid.")},
    {"attach", (PyCFunction)segment_attach, METH_VARARGS | METH_CLASS,
     DOC("attach($type, fd, kind, event=-1, /)\n--\n\nThe segment behind a descriptor, which it "
         "owns then, and so it does the event of a ring.")},
    {"fileno", (PyCFunction)segment_fileno, METH_NOARGS,
     DOC("fileno($self)\n--\n\nThe descriptor to pass on.")},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef segment_getset[] = {
    {"event", (getter)segment_event, NULL, DOC("The event of a ring; -1: it has none."), NULL},
    {"id", (getter)segment_id, NULL, DOC("Which segment this is, in whatever process."), NULL},
    {"size", (getter)segment_size, NULL, DOC("Bytes, header included."), NULL},
    {"kind", (getter)segment_kind, NULL, DOC("What it holds."), NULL},
    {"used", (getter)segment_used, NULL, DOC("Bytes in blocks that are handed out."), NULL},
    {"lent", (getter)segment_lent, NULL, DOC("How many blocks are lent."), NULL},
    {"mine", (getter)segment_mine, NULL, DOC("Whether this process may take blocks of it."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef segment_members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(SegmentObject, weakrefs), Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot segment_slots[] = {
    {Py_tp_new, segment_new},
    {Py_tp_doc, (void *)DOC("Segment(kind, size)\n--\n\nMemory that processes share.")},
    {Py_tp_methods, segment_methods},
    {Py_tp_getset, segment_getset},
    {Py_tp_members, segment_members},
    {Py_tp_traverse, segment_traverse},
    {Py_tp_dealloc, segment_dealloc},
    {0, NULL},
};

PyType_Spec cxb_segment_spec = {
    .name = "concx._core.Segment",
    .basicsize = sizeof(SegmentObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = segment_slots,
};

// SPDX-License-Identifier: MIT
#include "binding/shmsegment.h"

#include <string.h>

#include "binding/errors.h"
#include "binding/kwargs.h"

#define DOC(text) PyDoc_STR(text)
#define LARGE (UINT64_C(1) << 16) /* making so many bytes is worth leaving the interpreter for */

static BlockObject *
block_alloc(PyTypeObject *type, PyObject *segment)
{
    struct cxb_state *state = cxb_state_of_type(type);
    if (state == NULL) {
        return NULL;
    }
    if (!PyObject_TypeCheck(segment, state->segment_type)) {
        PyErr_Format(PyExc_TypeError, "expected a Segment, got %R", segment);
        return NULL;
    }
    BlockObject *self = (BlockObject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->segment = (SegmentObject *)Py_NewRef(segment);
    }
    return self;
}

/* Takes the block; in another state of the interpreter if that may last. */
static enum cx_status
take(BlockObject *self, uint64_t size, bool zero)
{
    SegmentObject *segment = self->segment;
    bool fresh;
    cx_lock_acquire(&segment->lock);
    enum cx_status status = cx_shmarena_take(&segment->arena, size, &self->block, &fresh);
    cx_lock_release(&segment->lock);
    if (status == CX_OK) {
        self->at = segment->shm.base + self->block.offset;
        if (zero && !fresh) {
            memset(self->at, 0, size);
        }
    }
    return status;
}

static PyObject *
block_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"segment", "size", "zero", NULL};
    PyObject *segment, *size_object;
    int zero = 1;
    int64_t size;
    enum cx_status status;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO|p:Block", names, &segment, &size_object,
                                     &zero) ||
        cxb_int64(size_object, 0, "'size'", &size) < 0) {
        return NULL;
    }
    BlockObject *self = block_alloc(type, segment);
    if (self == NULL) {
        return NULL;
    }
    if (!cx_shmarena_mine(&self->segment->arena)) {
        status = CX_FULL;
    }
    else if ((uint64_t)size >= LARGE) {
        Py_BEGIN_ALLOW_THREADS
        status = take(self, (uint64_t)size, zero);
        Py_END_ALLOW_THREADS
    }
    else {
        status = take(self, (uint64_t)size, zero);
    }
    if (status == CX_OK) {
        self->mine = true;
        return (PyObject *)self;
    }
    if (status == CX_FULL) {
        PyErr_Format(PyExc_MemoryError,
                     "the arena of %llu bytes has no room for another %lld, or it belongs to the "
                     "process that made it",
                     (unsigned long long)self->segment->shm.size, (long long)size);
    }
    else {
        cxb_shm_raise(self->segment->state, &self->segment->shm, status);
    }
    Py_DECREF(self);
    return NULL;
}

static PyObject *
block_attach(PyTypeObject *type, PyObject *args)
{
    PyObject *segment;
    unsigned long long offset, size;
    if (!PyArg_ParseTuple(args, "OKK:attach", &segment, &offset, &size)) {
        return NULL;
    }
    BlockObject *self = block_alloc(type, segment);
    if (self == NULL) {
        return NULL;
    }
    struct cx_shm *shm = &self->segment->shm;
    if (offset < CX_SHM_HEADER || offset % 64 != 0 || offset > shm->mapped ||
        size > shm->mapped - offset) {
        cxb_raise(self->segment->state, CX_DAMAGED);
        Py_DECREF(self);
        return NULL;
    }
    self->block = (struct cx_shmarena_block){.offset = offset, .size = size, .exposed = true};
    self->at = shm->base + offset;
    return (PyObject *)self;
}

static void
block_dealloc(BlockObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    if (self->mine && cx_shmarena_mine(&self->segment->arena)) {
        cx_lock_acquire(&self->segment->lock);
        cx_shmarena_give(&self->segment->arena, &self->block);
        cx_lock_release(&self->segment->lock);
    }
    Py_XDECREF(self->segment);
    type->tp_free(self);
    Py_DECREF(type);
}

static int
block_traverse(BlockObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->segment);
    return 0;
}

static PyObject *
block_expose(BlockObject *self, PyObject *unused)
{
    (void)unused;
    self->block.exposed = true;
    Py_RETURN_NONE;
}

static PyObject *
block_place(BlockObject *self, PyObject *unused)
{
    (void)unused;
    return Py_BuildValue("(OKK)", self->segment, (unsigned long long)self->block.offset,
                         (unsigned long long)self->block.size);
}

static PyObject *
block_create_memoryview(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyMemoryView_FromObject(self);
}

static int
block_getbuffer(BlockObject *self, Py_buffer *view, int flags)
{
    return PyBuffer_FillInfo(view, (PyObject *)self, self->at, (Py_ssize_t)self->block.size, 0,
                             flags);
}

static PyObject *
block_address(BlockObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromVoidPtr(self->at);
}

static PyMethodDef block_methods[] = {
    {"attach", (PyCFunction)block_attach, METH_VARARGS | METH_CLASS,
     DOC("attach($type, segment, offset, size, /)\n--\n\nA block that another process took.")},
    {"expose", (PyCFunction)block_expose, METH_NOARGS,
     DOC("expose($self)\n--\n\nNote that another process is told of it.")},
    {"place", (PyCFunction)block_place, METH_NOARGS,
     DOC("place($self)\n--\n\nSegment, offset, size.")},
    {"create_memoryview", block_create_memoryview, METH_NOARGS,
     DOC("create_memoryview($self)\n--\n\nIts bytes.")},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef block_getset[] = {
    {"address", (getter)block_address, NULL, DOC("Of its first byte, in this process."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef block_members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(BlockObject, weakrefs), Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot block_slots[] = {
    {Py_tp_new, block_new},
    {Py_tp_doc,
     (void *)DOC("Block(segment, size, zero=True)\n--\n\nBytes of a segment, as a buffer.")},
    {Py_tp_methods, block_methods},
    {Py_tp_getset, block_getset},
    {Py_tp_members, block_members},
    {Py_bf_getbuffer, block_getbuffer},
    {Py_tp_traverse, block_traverse},
    {Py_tp_dealloc, block_dealloc},
    {0, NULL},
};

PyType_Spec cxb_block_spec = {
    .name = "concx._core.Block",
    .basicsize = sizeof(BlockObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = block_slots,
};

PyObject *
cxb_blocked_new(PyTypeObject *type, PyObject *block, uint64_t size)
{
    struct cxb_state *state = cxb_state_of_type(type);
    if (state == NULL) {
        return NULL;
    }
    if (!PyObject_TypeCheck(block, state->block_type) ||
        ((BlockObject *)block)->block.size < size) {
        PyErr_Format(PyExc_TypeError, "expected a Block of %llu bytes, got %R",
                     (unsigned long long)size, block);
        return NULL;
    }
    BlockedObject *self = (BlockedObject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->state = state;
        self->block = (BlockObject *)Py_NewRef(block);
    }
    return (PyObject *)self;
}

int
cxb_blocked_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((BlockedObject *)self)->block);
    return 0;
}

void
cxb_blocked_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF(((BlockedObject *)self)->block);
    type->tp_free(self);
    Py_DECREF(type);
}

PyObject *
cxb_blocked_block(PyObject *self, PyObject *unused)
{
    (void)unused;
    return Py_NewRef(((BlockedObject *)self)->block);
}

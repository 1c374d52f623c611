// SPDX-License-Identifier: MIT
#include "binding/shmsegment.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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

/* A place that another process told: CX_OK or CX_DAMAGED. */
static enum cx_status
place_at(BlockObject *self, uint64_t offset, uint64_t size)
{
    struct cx_shm *shm = &self->segment->shm;
    if (offset < CX_SHM_HEADER || offset % 64 != 0 || offset > shm->mapped ||
        size > shm->mapped - offset) {
        return CX_DAMAGED;
    }
    self->block = (struct cx_shmarena_block){.offset = offset, .size = size};
    self->at = shm->base + offset;
    return CX_OK;
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
    if (place_at(self, offset, size) != CX_OK) {
        cxb_raise(self->segment->state, CX_DAMAGED);
        Py_DECREF(self);
        return NULL;
    }
    self->block.exposed = true;
    return (PyObject *)self;
}

/* A lent block: through the segment's mapping, or through one of its own whose writes nobody else sees. */
static enum cx_status
borrow(BlockObject *self, bool over, bool private)
{
    struct cx_shm *shm = &self->segment->shm;
    self->lent = self->at;
    cx_shmarena_sign(self->lent, cx_owner_self());
    self->borrowed = cx_shmarena_borrow(self->lent, over);
    if (!self->borrowed) {
        return CX_DAMAGED;
    }
    self->block.forks = cx_shm_forks();
    self->generation = cx_fork_generation();
    if (private) {
        uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
        uint64_t from = self->block.offset / page * page;
        self->remapped = self->block.offset + self->block.size - from;
        void *at =
            mmap(NULL, self->remapped, PROT_READ | PROT_WRITE, MAP_PRIVATE, shm->fd, (off_t)from);
        if (at == MAP_FAILED) {
            shm->error = errno;
            return CX_OSERROR;
        }
        self->mapping = at;
        self->at = (char *)at + (self->block.offset - from);
    }
    return CX_OK;
}

static PyObject *
block_borrow(PyTypeObject *type, PyObject *args)
{
    PyObject *segment;
    unsigned long long offset, size;
    int over = 1, private = 0;
    if (!PyArg_ParseTuple(args, "OKK|pp:borrow", &segment, &offset, &size, &over, &private)) {
        return NULL;
    }
    BlockObject *self = block_alloc(type, segment);
    if (self == NULL) {
        return NULL;
    }
    enum cx_status status = offset < CX_SHM_HEADER + CX_SHMARENA_LINE ? CX_DAMAGED : CX_OK;
    status = status == CX_OK ? place_at(self, offset, size) : status;
    status = status == CX_OK ? borrow(self, over, private) : status;
    if (status != CX_OK) {
        cxb_shm_raise(self->segment->state, &self->segment->shm, status);
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

/* Whether nobody else can know the block through this one: no child has inherited it. */
static bool
is_mine_alone(const BlockObject *self)
{
    return !self->block.exposed && self->block.forks == cx_shm_forks() &&
           self->generation == cx_fork_generation();
}

static void
block_dealloc(BlockObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    if (self->mapping != NULL) {
        munmap(self->mapping, self->remapped);
    }
    if (self->borrowed && is_mine_alone(self)) {
        cx_shmarena_return(self->lent);
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
    {"borrow", (PyCFunction)block_borrow, METH_VARARGS | METH_CLASS,
     DOC("borrow($type, segment, offset, size, over=True, private=False, /)\n--\n\nA block that "
         "another process lent, given back when this object goes: taken over from its message, or "
         "one of several; `private`: what is written here nobody else sees.")},
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

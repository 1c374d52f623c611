// SPDX-License-Identifier: MIT
/* binding/shmsegment.h - what the types over shared memory stand on: a segment, and a block of one.
 *
 * A Block holds its Segment; whoever uses a block's memory, a memoryview too, holds the Block.  The
 * memory goes when the last of them goes, in every process.  A ring has an event as well, made and
 * passed on with it.
 */
#ifndef CX_BINDING_SHMSEGMENT_H
#define CX_BINDING_SHMSEGMENT_H

#include "binding/module.h"
#include "core/shmarena.h"
#include "core/lock.h"
#include "core/watch.h"

typedef struct {
    PyObject_HEAD
    struct cxb_state *state;
    struct cx_shm shm;
    struct cx_shmarena arena;
    struct cx_lock lock; /* of the arena */
    int event;           /* of a ring, for event loops (core/watch.h); -1: none */
    PyObject *weakrefs;
} SegmentObject;

typedef struct {
    PyObject_HEAD
    SegmentObject *segment;
    struct cx_shmarena_block block;
    char *at;
    bool mine;         /* handed out by this process, or by the one that it was forked from */
    bool borrowed;     /* lent by another process, to be given back */
    char *lent;        /* where, if it is mapped anew */
    uint64_t remapped; /* bytes that are mapped anew, from `mapping` on */
    void *mapping;
    uint32_t generation; /* of forks: in which it was borrowed */
    PyObject *weakrefs;
} BlockObject;

/* The head of every object that lives in one block. */
typedef struct {
    PyObject_HEAD
    struct cxb_state *state;
    BlockObject *block;
} BlockedObject;

/* OSError for shm->error, or what else the status means; NULL. */
PyObject *cxb_shm_raise(struct cxb_state *state, struct cx_shm *shm, enum cx_status status);

/* An instance of `type` over `block`, which must be a Block of at least `size` bytes; NULL with an
 * exception. */
PyObject *cxb_blocked_new(PyTypeObject *type, PyObject *block, uint64_t size);
int cxb_blocked_traverse(PyObject *self, visitproc visit, void *arg);
void cxb_blocked_dealloc(PyObject *self);
/* The method _block(): what an object over a block is pickled by. */
PyObject *cxb_blocked_block(PyObject *self, PyObject *unused);

#endif

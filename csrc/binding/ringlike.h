// SPDX-License-Identifier: MIT
/* binding/ringlike.h - what RingQueue, SpscQueue and Stack have in common.
 *
 * All three are a cx_ringqueue (core/ringqueue.h) whose words are either references, which the ring
 * owns, or int64 values.  ringlike.c has what threads call, ringlikeasync.c what tasks await and the
 * iterator; each type's own file has its names, arguments and documentation.
 *
 * Ownership: the object holds one count of its core; native producers (binding/capi.c) hold others,
 *            and only of int64 rings.  When the object dies, its ring is closed for them.
 */
#ifndef CX_BINDING_RINGLIKE_H
#define CX_BINDING_RINGLIKE_H

#include "binding/await.h"
#include "binding/block.h"
#include "binding/errors.h"
#include "binding/kwargs.h"
#include "core/ringqueue.h"

typedef struct {
    PyObject_HEAD
    struct cx_ringqueue *core;
    struct cxb_state *state;
    PyObject *weakrefs;
    bool ints;           /* words are int64, not references */
    uint64_t high_water; /* the greatest length that was looked at, relaxed */
    struct cxb_waits waits;
} RingObject;

/* A new object of a subtype of one of the three; NULL with an exception. */
PyObject *cxb_ring_new(PyTypeObject *type, enum cx_ringqueue_kind kind, uint64_t capacity,
                       bool ints);
/* A capacity from 1 to what there can be memory for: false with an exception. */
bool cxb_ring_capacity(PyObject *object, const char *name, uint64_t *capacity);

/* An item becomes a word, which owns a reference to it: false with an exception. */
bool cxb_ring_word(const RingObject *q, PyObject *item, uint64_t *word);
/* A word becomes an item; its reference goes along.  NULL without memory. */
PyObject *cxb_ring_item(const RingObject *q, uint64_t word);
void cxb_ring_drop(const RingObject *q, const uint64_t *words, size_t n);

/* Puts (takes) as many of n words as can be at once, and delivers the wakes: how many; if none, why.
 * CX_AGAIN is not answered: to Python a ring in which somebody is in the way is full (empty). */
size_t cxb_ring_try_put(RingObject *q, const uint64_t *words, size_t n, enum cx_status *why);
size_t cxb_ring_try_get(RingObject *q, uint64_t *words, size_t n, enum cx_status *why);
/* Takes what is there, `max` at most, as a new list; NULL without an exception if nothing is. */
PyObject *cxb_ring_take_list(RingObject *q, Py_ssize_t max, enum cx_status *why);
/* The exception of a put (a get) that failed. */
PyObject *cxb_ring_raise(RingObject *q, enum cx_ringqueue_side side, enum cx_status why);

/* One item and many, for a thread. */
PyObject *cxb_ring_put(RingObject *q, PyObject *item, bool block, PyObject *timeout);
PyObject *cxb_ring_get(RingObject *q, bool block, PyObject *timeout);
PyObject *cxb_ring_put_many(RingObject *q, PyObject *items, bool block, PyObject *timeout);
PyObject *cxb_ring_get_many(RingObject *q, Py_ssize_t max, bool block, PyObject *timeout);

/* The same for a task. */
PyObject *cxb_ring_put_async(RingObject *q, PyObject *item, bool block, PyObject *timeout);
PyObject *cxb_ring_get_async(RingObject *q, bool block, PyObject *timeout);
PyObject *cxb_ring_put_many_async(RingObject *q, PyObject *items, bool block, PyObject *timeout);
PyObject *cxb_ring_get_many_async(RingObject *q, Py_ssize_t max, bool block, PyObject *timeout);

/* The length now, noted for the statistics. */
size_t cxb_ring_look(RingObject *q);
/* Drops what is in it now: how many, as an int. */
PyObject *cxb_ring_discard_all(RingObject *q);
void cxb_ring_shutdown(RingObject *q, bool immediate);
PyObject *cxb_ring_iter(RingObject *q);
int cxb_ring_traverse(RingObject *q, visitproc visit, void *arg);
int cxb_ring_clear(RingObject *q);
void cxb_ring_dealloc(RingObject *q);

/* ringlikemethods.c: the methods of RingQueue and SpscQueue, and what Stack shares with them. */

/* get and get_many under whatever name; `async` for the twin. */
PyObject *cxb_ring_call_get(RingObject *q, const char *function, PyObject *const *args,
                            Py_ssize_t nargs, PyObject *kwnames, bool async);
PyObject *cxb_ring_call_get_many(RingObject *q, const char *function, PyObject *const *args,
                                 Py_ssize_t nargs, PyObject *kwnames, bool async);
PyObject *cxb_ring_m_empty(RingObject *q, PyObject *unused);
PyObject *cxb_ring_m_clear(RingObject *q, PyObject *unused);
PyObject *cxb_ring_m_shutdown(RingObject *q, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kwnames);
PyObject *cxb_ring_m_stats(RingObject *q, PyObject *unused);
PyObject *cxb_ring_m_sizeof(RingObject *q, PyObject *unused);
PyObject *cxb_ring_m_reduce(RingObject *q, PyObject *unused);
PyObject *cxb_ring_is_shutdown(RingObject *q, void *unused);
PyObject *cxb_ring_capacity_get(RingObject *q, void *unused);
PyObject *cxb_ring_repr(RingObject *q);
Py_ssize_t cxb_ring_len(RingObject *q);

extern PyMethodDef cxb_ring_queue_methods[];
extern PyMemberDef cxb_ring_members[];

#endif

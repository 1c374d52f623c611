// SPDX-License-Identifier: MIT
/* binding/mpqueue.h - the queue between processes: a ring of messages, and what they are.
 *
 * A message is pickled before it is put and unpickled after it is taken, so no Python runs while the
 * ring is locked, and an error while pickling is the caller's.
 */
#ifndef CX_BINDING_MPQUEUE_H
#define CX_BINDING_MPQUEUE_H

#include "binding/mpwait.h"
#include "core/shmring.h"

enum { CXB_MESSAGE_PICKLE, CXB_MESSAGE_BYTES };

typedef struct {
    PyObject_HEAD
    struct cxb_state *state;
    SegmentObject *segment;
    struct cx_shmring ring;
    bool closed; /* by this process, for itself */
    bool simple; /* a SimpleQueue, whose twin is a pipe */
    bool used;   /* this process has put: then the twin's close() closes its pipe */
} MpQueueObject;

/* Another thread or process is inside the ring: 0 look again, -1 an exception. */
int cxb_mpqueue_wait_inside(const struct cx_shmlock_busy *busy);
/* 0, or -1 with the standard ValueError, or OSError of a SimpleQueue. */
int cxb_mpqueue_open(MpQueueObject *self);
PyObject *cxb_mpqueue_raise(MpQueueObject *self, enum cx_status status);

/* A bytes-like object; NULL with an exception. */
PyObject *cxb_mpqueue_dumps(struct cxb_state *state, PyObject *object);
/* `whole`: the message's bytes as an object, if there is one. */
PyObject *cxb_mpqueue_loads(struct cxb_state *state, const struct cx_shmring_message *message,
                            PyObject *whole);

/* Waits for room until the deadline (0: not at all): how many went in, or -1 with an exception. */
int64_t cxb_mpqueue_put(MpQueueObject *self, const struct cx_shmring_message *messages, uint64_t n,
                        int64_t deadline);

/* A get under way; zero but for the deadline. */
struct cxb_mpqueue_getting {
    struct cx_shmlock_busy busy;
    int64_t deadline;
    bool rung, slept;
};
/* After cx_shmring_take gave no message: CX_OK look again; another status ends it. */
enum cx_status cxb_mpqueue_pause(MpQueueObject *self, enum cx_status status,
                                 struct cxb_mpqueue_getting *getting);
/* After it gave one. */
void cxb_mpqueue_taken(MpQueueObject *self, const struct cxb_mpqueue_getting *getting);

PyObject *cxb_mpqueue_put_many(MpQueueObject *self, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kwnames);
PyObject *cxb_mpqueue_get_many(MpQueueObject *self, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kwnames);

#endif

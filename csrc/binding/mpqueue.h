// SPDX-License-Identifier: MIT
/* binding/mpqueue.h - the queue between processes: a ring of messages, and what they are.
 *
 * A message is pickled before it is put and unpickled after it is taken, so no Python runs while the
 * ring is locked, and an error while pickling is the caller's.
 *
 * Threads wait on words in the ring.  Tasks wait in lists of this process; their loops watch the ring's
 * event (binding/mpwatch.h), and a wake only says "look again": a task takes its message when it
 * runs, so one that is cancelled before has taken none.
 */
#ifndef CX_BINDING_MPQUEUE_H
#define CX_BINDING_MPQUEUE_H

#include "binding/await.h"
#include "binding/mpwait.h"
#include "core/shmring.h"
#include "core/turnstile.h"

enum { CXB_MESSAGE_PICKLE, CXB_MESSAGE_BYTES };
enum cxb_mpside { CXB_GETTERS, CXB_PUTTERS, CXB_JOINERS, CXB_SIDES };

typedef struct {
    PyObject_HEAD
    struct cxb_state *state;
    SegmentObject *segment;
    struct cx_shmring ring;
    bool closed; /* by this process, for itself */
    bool simple; /* a SimpleQueue, whose twin is a pipe */
    bool used;   /* this process has put: then the twin's close() closes its pipe */
    struct cx_turnstile tasks[CXB_SIDES]; /* of this process, that wait */
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

/* One attempt, without waiting for room. */
enum cx_status cxb_mpqueue_try_put(MpQueueObject *self, const struct cx_shmring_message *messages,
                                   uint64_t n, uint64_t *put, struct cx_shmlock_busy *busy);
/* Calls fn with a bytes-like object as a message; NULL with an exception. */
PyObject *cxb_mpqueue_with_message(MpQueueObject *self, PyObject *data, uint32_t kind, void *arg,
                                   PyObject *(*fn)(MpQueueObject *,
                                                   const struct cx_shmring_message *, void *));

/* Nanoseconds for which a task may hold its loop up while another is inside. */
#define CXB_A_MOMENT INT64_C(1000000)

/* A get under way; zero but for the deadline. */
struct cxb_mpqueue_getting {
    struct cx_shmlock_busy busy;
    int64_t deadline;
    uint32_t heard; /* what listening answered; 0: it does not */
    bool slept;
    bool hurries; /* a task's: waits a moment only while another is inside, then CX_AGAIN */
    bool raw;     /* bytes, whatever the message is */
};
/* One message, decoded, as far as one is there: CX_OK; CX_INTR with an exception; or as cx_shmring_take. */
enum cx_status cxb_mpqueue_try_get(MpQueueObject *self, struct cxb_mpqueue_getting *getting,
                                   PyObject **object);
/* Up to `most` messages into a list, of which the first may be waited for; statuses as above. */
enum cx_status cxb_mpqueue_take_many(MpQueueObject *self, PyObject *list, Py_ssize_t most,
                                     struct cxb_mpqueue_getting *getting);
/* The pickles of a list's items, a new list. */
PyObject *cxb_mpqueue_dumps_all(MpQueueObject *self, PyObject *items);
/* After cx_shmring_take gave no message: CX_OK look again; another status ends it. */
enum cx_status cxb_mpqueue_pause(MpQueueObject *self, enum cx_status status,
                                 struct cxb_mpqueue_getting *getting);
/* After it gave one. */
void cxb_mpqueue_taken(MpQueueObject *self, const struct cxb_mpqueue_getting *getting);

/* Wakes the tasks of this process for which there is something: whether any waited. */
bool cxb_mpqueue_look(MpQueueObject *self);

PyObject *cxb_mpqueue_put_many(MpQueueObject *self, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kwnames);
PyObject *cxb_mpqueue_get_many(MpQueueObject *self, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kwnames);

#endif

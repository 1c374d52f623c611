// SPDX-License-Identifier: MIT
/* binding/prochub.h - the pool's end of a pool of processes: tasks, the links to workers, one poll.
 *
 * ProcHub holds what was submitted.  A job is in the backlog, or in a slot of one WorkLink, where the
 * worker may take it and the hub may take it back; it is gone when its future is settled.  Whoever
 * submits puts jobs into slots; the manager thread takes results out, settles futures, and
 * sleeps in poll(): on one event descriptor, which workers write only if they find the bell of their
 * results set, and on one pidfd for each worker.  A thread in result() may take its own result out
 * (procwatch.c); all else is the manager's.
 *
 * What to do about a worker that has ended, or a task that is out of time, is Python's to decide
 * (concx/futures/_manager.py); poll() returns such events.
 *
 * The guard protects the backlog, the table of links and the jobs in them, and `pending`.  It is taken
 * before the one of a future, never inside it.
 */
#ifndef CX_BINDING_PROCHUB_H
#define CX_BINDING_PROCHUB_H

#include "binding/future.h"
#include "binding/pieces.h"
#include "binding/procwire.h"

struct cxb_job {
    struct cxb_job *next, *prev; /* in the backlog */
    FutureObject *future;
    PyObject *fn;
    Py_buffer payload;
    PyObject *letter;      /* NULL, or what it has lent: taken back when this goes */
    struct cxb_bulk *bulk; /* NULL, or what follows it in pieces */
    struct WorkLink *link; /* NULL: in the backlog */
    uint64_t id;
    int64_t timeout; /* ns; 0: none */
    int64_t begun;   /* if it is its link's `large` */
    uint32_t number; /* in the lane */
    uint32_t kind, retries;
    bool expired, kept;
    int error; /* errno of a put that failed */
};

struct cxb_jobs {
    struct cxb_job *first, *last;
};

typedef struct WorkLink {
    PyObject_HEAD
    struct cxb_state *state;
    struct cx_shm shm;
    struct cx_worklink link;
    int pidfd;
    PyObject *tag;                       /* what Python knows the worker by; NULL: not added */
    struct cxb_job *jobs[CX_LANE_SLOTS]; /* by number */
    struct cxb_job
        *large;     /* has begun and asked for its pieces: its slot is nobody's (procpieces.h) */
    uint32_t first; /* no job below this number */
    uint32_t inflight;
    uint64_t completed;
    /* Written under the guard, atomically: read without it. */
    int64_t budget;               /* tasks that it may still be given; negative: any number */
    bool active;                  /* gets tasks; a spare one does not */
    bool damaged;                 /* its segment holds what cannot be */
    bool full;                    /* in this round */
    bool taking;                  /* somebody takes results out; the guard's */
    bool again;                   /* meanwhile somebody else wanted to */
    bool accused;                 /* its damage was told of; of who takes */
    struct cxb_arrival *arriving; /* a result in pieces, or NULL; of who takes */
    /* The manager's. */
    bool ended; /* its pidfd has said so, and poll() has told; written under the guard, too */
} WorkLinkObject;

typedef struct {
    PyObject_HEAD
    struct cxb_state *state;
    struct cx_guard guard;
    struct cxb_jobs backlog;
    WorkLinkObject **links;
    Py_ssize_t count, room;
    WorkLinkObject **seen; /* the manager's copy of the table; it alone takes links away */
    Py_ssize_t seen_count, seen_room;
    uint64_t next_id, pending; /* jobs whose futures are not settled */
    uint64_t submitted;
    uint64_t completed, failed; /* atomic: whoever takes results counts */
    int eventfd;
    uint32_t woken;   /* atomic: wake() was called */
    uint32_t closed;  /* atomic: submit refuses */
    uint32_t growing; /* atomic: more workers may be started; submit asks if none is idle */
    uint32_t generation;
    bool looked_at;        /* a thread looks for a result (procwatch.c); these are the guard's */
    uint32_t luck, passes; /* how often lately it saw one; how often nobody looked */
    PyObject *on_log;
    PyObject *late; /* events for the manager from another thread, or NULL */
    PyObject *weakrefs;
} ProcHubObject;

/* What is left to do when the guard is left. */
struct cxb_errands {
    uint32_t *bells[16]; /* of workers that sleep */
    int count;
    bool wake; /* the manager: a link was found damaged */
    struct cxb_job *failed;
};
#define CXB_ERRANDS_INIT {{NULL}, 0, false, NULL}

/* procjob.c */

/* A job that holds what is given, its payload pickled already: bytes, (bytes, letter), or those and
 * the buffers that follow in pieces; NULL with an exception. */
struct cxb_job *cxb_job_new(FutureObject *f, PyObject *fn, PyObject *payload, uint32_t kind);
/* Another payload in the place of its own: 0 or -1 with an exception. */
int cxb_job_load(struct cxb_job *job, PyObject *payload);
void cxb_job_free(struct cxb_job *job);
/* Takes the job over: 0; 1 if no worker gets tasks, so somebody has to start one; or -1 if the hub is
 * closed (no exception is set; the job is the caller's). */
int cxb_hub_submit(ProcHubObject *hub, struct cxb_job *job);
/* Under the guard: jobs of the backlog go into slots; then of busy workers into those of dry ones. */
void cxb_hub_dispatch(ProcHubObject *hub, struct cxb_errands *errands);
void cxb_hub_balance(ProcHubObject *hub, struct cxb_errands *errands);
/* Outside of it. */
void cxb_hub_run_errands(ProcHubObject *hub, struct cxb_errands *errands);
/* Under the guard: a job that was detached is the next one again. */
void cxb_hub_requeue(ProcHubObject *hub, struct cxb_job *job);
/* Under the guard: a job leaves; the caller frees it outside. */
void cxb_hub_detach(ProcHubObject *hub, struct cxb_job *job);
/* Without it: whether no job is left. */
bool cxb_hub_is_done(ProcHubObject *hub);
/* Under the guard: the job that a worker must have begun first, or NULL. */
struct cxb_job *cxb_link_oldest(WorkLinkObject *link);
/* Under the guard: whether the worker has begun a job of its link, and since when. */
bool cxb_job_is_taken(const struct cxb_job *job, int64_t *begun);
/* Under the guard: jobs that were not begun go from a link to the front of the backlog. */
void cxb_link_revoke(ProcHubObject *hub, WorkLinkObject *link, uint32_t most);
/* Under the guard: the jobs that a worker which has ended had begun, chained by `next`; with `retry`
 * those with retries left go to the front of the backlog instead. */
struct cxb_job *cxb_link_lost(ProcHubObject *hub, WorkLinkObject *link, bool retry);
/* Lets poll() return, or only look. */
void cxb_hub_wake(ProcHubObject *hub);
void cxb_hub_kick(ProcHubObject *hub);

#endif

// SPDX-License-Identifier: MIT
/* core/pool.h - tasks in order, and the workers that take them.
 *
 * Whoever submits wakes a worker only if one sleeps and no woken one is still on its way to look
 * (`searching`); a worker that takes a task and leaves others behind wakes the next one first, so
 * that a task that blocks holds nothing back.  A wake says "look again": the worker takes what is
 * there then, and goes on without sleeping as long as there is something.
 *
 * A worker is counted from the moment somebody decides to start it until it leaves.  It is
 * `available` while it runs no task; it becomes so before it publishes an outcome, so that who sees
 * the outcome and submits again finds it available and starts no other.  A worker that waits in a
 * join is `blocked`; if all are, and tasks wait, one more than the bound may be started.
 *
 * Where there is no GIL, a pool without bound or order may give its workers slots: what a worker
 * submits goes into its slot's deque, without the guard, and whoever finds nothing else steals it.
 * Tasks from outside come first in, first out; so do those of one worker, but for stolen ones.
 * Whoever pushes and then sees no sleeper is seen by whoever falls asleep: a fence between the two
 * steps of each.
 *
 * Progress:  submit_inside and a worker with tasks of its own take no guard; every other operation
 *            holds it for a few steps, close for one per sleeper.
 * Synchronization: none needed; each function takes the guard itself.  Wakes are delivered by the
 *            caller, outside every lock (core/port.h).
 * Ownership: a submitted task is the pool's until next, or drain, hands it out.
 * Fork:      in the child there are no workers: cx_pool_repair.
 */
#ifndef CX_CORE_POOL_H
#define CX_CORE_POOL_H

#include "core/deque.h"
#include "core/heap.h"
#include "core/lock.h"
#include "core/status.h"
#include "core/waiter.h"

struct cx_pool_slot {
    struct cx_deque deque;
    uint64_t submitted, stolen; /* by its worker, who alone writes them, relaxed */
    uint32_t turns;             /* likewise */
    bool taken;                 /* by a worker; guarded */
};

struct cx_pool {
    struct cx_guard guard;
    struct cx_heap tasks; /* first in, first out, unless there is an order */
    cx_less less;
    struct cx_waitlist idle;       /* workers asleep */
    struct cx_waitlist submitters; /* waiting for room */
    size_t limit;                  /* of tasks */
    uint32_t most;                 /* workers, but for spare ones */
    uint32_t searching, blocked;
    uint32_t workers;   /* atomic, written under the guard; so are closed and sleepers */
    uint32_t available; /* atomic */
    uint32_t closed;
    uint32_t sleepers; /* somebody sleeps and nobody searches */
    uint64_t submitted;
    struct cx_pool_slot *slots; /* NULL: none */
    uint32_t slot_limit;
    uint32_t slot_count; /* atomic, written under the guard: so many have ever been taken */
};

/* What a submit found. */
struct cx_pool_call {
    struct cx_wakes wakes;
    bool start; /* a worker is to be started; it is counted */
};
#define CX_POOL_CALL_INIT {CX_WAKES_INIT, false}

/* `limit` SIZE_MAX: no bound.  `less` is the order of the tasks, which it decides at once; NULL:
 * first in, first out. */
void cx_pool_init(struct cx_pool *p, uint32_t most, size_t limit, cx_less less);
void cx_pool_fini(struct cx_pool *p);
/* Slots for `limit` workers, before anybody uses the pool; false: no memory. */
CX_NODISCARD bool cx_pool_give_slots(struct cx_pool *p, uint32_t limit);

/* The calling worker's slot until leave_slot, NULL if none is free; it may hold tasks already. */
struct cx_pool_slot *cx_pool_take_slot(struct cx_pool *p);
void cx_pool_leave_slot(struct cx_pool *p, struct cx_pool_slot *slot);

/* CX_OK, CX_CLOSED, CX_NOMEM; CX_FULL, or CX_WAIT if `node` was enlisted until there is room. */
CX_NODISCARD enum cx_status cx_pool_submit(struct cx_pool *p, void *task, struct cx_node *node,
                                           struct cx_pool_call *call);
/* The same for a task that comes from a worker of this pool, into its slot (may be NULL). */
CX_NODISCARD enum cx_status cx_pool_submit_inside(struct cx_pool *p, struct cx_pool_slot *slot,
                                                  void *task, struct cx_pool_call *call);
/* True if `task` was the worker's latest, still in its slot, and is now the caller's again. */
bool cx_pool_take_back(struct cx_pool_slot *slot, void *task);

/* Unlinks a node, a submitter's or a worker's, that its owner has decided. */
void cx_pool_leave(struct cx_pool *p, struct cx_node *node);

/* A submitter that was woken does not look: the next one does. */
void cx_pool_pass_on(struct cx_pool *p, struct cx_wakes *wakes);

/* A worker's next task: CX_OK; CX_WAIT: `node` was enlisted; CX_CLOSED: the worker is to end and is
 * counted no more.  `woken`: it comes from a sleep that a wake ended. */
CX_NODISCARD enum cx_status cx_pool_next(struct cx_pool *p, struct cx_pool_slot *slot,
                                         struct cx_node *node, bool woken, void **task,
                                         struct cx_wakes *wakes);

/* A worker whose sleep nobody ended and who has decided so: true if it is to end. */
CX_NODISCARD bool cx_pool_retire(struct cx_pool *p, struct cx_node *node);

/* The task has run: its worker is available, before the outcome is published. */
static inline void
cx_pool_finishing(struct cx_pool *p)
{
    cx_fetch_add_relaxed(&p->available, 1);
}

/* A worker waits in a join, and no more.  block: true if a spare worker is to be started. */
CX_NODISCARD bool cx_pool_block(struct cx_pool *p);
void cx_pool_unblock(struct cx_pool *p);

/* A worker that was counted could not be started, or ended without asking. */
void cx_pool_lost(struct cx_pool *p);

/* No more submits; workers end when nothing is left.  Repeated until false: `wakes` was full. */
CX_NODISCARD bool cx_pool_close(struct cx_pool *p, struct cx_wakes *wakes);

/* Takes out a task that waits, oldest first; NULL if there is none. */
void *cx_pool_drain(struct cx_pool *p, struct cx_wakes *wakes);

/* How many tasks wait, and what has happened so far. */
struct cx_pool_stats {
    size_t queued;
    uint64_t submitted, stolen;
    uint32_t workers;
};
void cx_pool_look(struct cx_pool *p, struct cx_pool_stats *stats);

/* The i-th of the tasks that wait, for the collector, while nobody is inside; NULL after the last. */
void *cx_pool_at(const struct cx_pool *p, size_t i);

/* In the child of a fork: no workers, nobody waits; `own` is the slot of the calling one, if any. */
void cx_pool_repair(struct cx_pool *p, const struct cx_pool_slot *own);

#endif

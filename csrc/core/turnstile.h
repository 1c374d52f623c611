// SPDX-License-Identifier: MIT
/* core/turnstile.h - waiting in front of a lock-free structure.
 *
 * Nothing is handed over here: a wake only says "look again" (the node's status is CX_AGAIN), and
 * whoever comes first takes what there is.  Then three rules hold together, or wake-ups are lost:
 *  1. A waiter looks again after it has enlisted and before it sleeps.
 *  2. A waiter that was claimed and leaves without having looked passes the wake on.
 *  3. After every operation that succeeded, if there still are waiters and the next cell is ready,
 *     one more is woken (the chained wake).  Without it two producers lose a wake-up: one publishes
 *     behind a cell that the other has claimed and not published; its wake finds nothing to take,
 *     and when the other publishes, one wake stands for two items.
 *
 * Between waker and waiter stands a Dekker handshake.  Each writes, fences, then reads what the other
 * has written, so at least one of them sees the other:
 *
 *      waker    [F1] publish or free a cell;       StoreLoad;  read the count of waiters
 *      waiter   [F2] enlist (the count goes up);   StoreLoad;  look at the cell again
 *
 * Acquire and release cannot order a store before a later load; hence the two sequentially consistent
 * fences, one in cx_turnstile_announce and one in cx_turnstile_enlist.  Where the GIL excludes and no
 * native thread takes part, the waker's fence is left out.
 *
 * Progress:  announce and waiting: wait-free.  The rest holds the turnstile's lock for a few steps per
 *            node; only who waits, or has found somebody waiting, gets there.
 * Synchronization: none needed; each function takes the lock itself.  Wakes are delivered by the
 *            caller, outside every lock (core/port.h).
 * Fork:      the list forgets its nodes and the lock is free in the child.
 */
#ifndef CX_CORE_TURNSTILE_H
#define CX_CORE_TURNSTILE_H

#include "core/lock.h"
#include "core/waiter.h"

struct cx_turnstile {
    struct cx_lock lock;
    struct cx_waitlist list;
    uint64_t waits; /* nodes ever enlisted; guarded by the lock */
};

static inline void
cx_turnstile_init(struct cx_turnstile *ts)
{
    *ts = (struct cx_turnstile){.lock = CX_LOCK_INIT};
    cx_waitlist_init(&ts->list);
}

/* The waker's fence: once per operation, after the structure was changed and before `waiting` is
 * asked of any turnstile.  `native`: threads without the interpreter may be waiting or waking. */
static inline void
cx_turnstile_announce(bool native)
{
    if ((!CX_WITH_GIL || native) && !CX_BUG(NO_WAKER_FENCE)) {
        cx_fence_seq_cst(); /* [F1] pairs with [F2] in cx_turnstile_enlist */
    }
}

static inline bool
cx_turnstile_waiting(const struct cx_turnstile *ts)
{
    return CX_UNLIKELY(cx_waitlist_count(&ts->list) != 0);
}

/* Enlists an armed node.  The caller looks again (rule 1) before it sleeps. */
void cx_turnstile_enlist(struct cx_turnstile *ts, struct cx_node *node);

/* The owner of the node decides `verdict` and leaves.  False: a waker had claimed it first; the
 * caller looks again, or passes the wake on (rule 2). */
CX_NODISCARD bool cx_turnstile_leave(struct cx_turnstile *ts, struct cx_node *node,
                                     enum cx_commit verdict);

/* Unlinks a node whose waiter has been decided elsewhere. */
void cx_turnstile_remove(struct cx_turnstile *ts, struct cx_node *node);

/* Claims up to n waiters, as many as `wakes` has room for; those that left meanwhile do not count. */
void cx_turnstile_wake(struct cx_turnstile *ts, size_t n, struct cx_wakes *wakes);

/* After a fork: forgets those who do not exist in this process (any other function does so too). */
void cx_turnstile_repair(struct cx_turnstile *ts);

uint64_t cx_turnstile_waits(struct cx_turnstile *ts);

#endif

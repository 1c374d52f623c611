// SPDX-License-Identifier: MIT
/* core/future.h - one outcome that comes once, who waits for it and what is to be told.
 *
 *      PENDING --start--> RUNNING --settle--> FINISHED | FAILED
 *         |  \------------settle-----------/
 *         \--cancel--> CANCELLED --notify--> NOTIFIED
 *
 * CANCELLED wakes who waits for the outcome and detaches the callbacks; NOTIFIED, FINISHED and
 * FAILED also detach the observers.  Callbacks and observers are chains of nodes that the caller
 * made; the core links and detaches them and never calls them.
 *
 * Synchronization: none needed; whoever writes takes the guard, readers of the state do not.
 * Progress:   state: wait-free.  start: one compare-and-swap.  The rest holds the guard for a few
 *             steps and one for each waiter.
 * Ordering:   [T1] the state is released after the value is written; [T2] readers acquire it.
 * Ownership:  the value is the caller's; it is written once, before the state that says so, and
 *             stays until the caller takes it out.
 * Legacy:     while `legacy` is set, who settles, cancels or notifies must first hold what the
 *             binding calls the condition; CX_MOVED says so, and nothing was changed.
 * Fork:       waiters of another generation are forgotten; the state stays as it was.
 */
#ifndef CX_CORE_FUTURE_H
#define CX_CORE_FUTURE_H

#include "core/lock.h"
#include "core/status.h"
#include "core/waiter.h"

enum cx_future_state {
    CX_PENDING = 0,
    CX_RUNNING,
    CX_CALLED_OFF, /* cancelled, nobody was notified */
    CX_NOTIFIED,   /* cancelled and notified */
    CX_FINISHED,
    CX_FAILED
};

/* One callback or observer, in the order of the latest first. */
struct cx_told {
    struct cx_told *next;
    void *what;
};

struct cx_future {
    uint32_t state;
    bool legacy;
    struct cx_guard guard;
    struct cx_waitlist waiters;
    struct cx_told *callbacks, *observers;
    void *value;
};

/* What a change of state has detached: the caller wakes, then tells. */
struct cx_news {
    struct cx_wakes wakes;
    struct cx_told *callbacks, *observers; /* oldest first */
    bool more;                             /* waiters are left: see cx_future_wake */
};
#define CX_NEWS_INIT {CX_WAKES_INIT, NULL, NULL, false}

void cx_future_init(struct cx_future *f);

static inline enum cx_future_state
cx_future_state(const struct cx_future *f)
{
    return (enum cx_future_state)cx_load_acquire(&f->state); /* [T2] pairs with [T1] */
}

static inline bool
cx_future_done(const struct cx_future *f)
{
    return cx_future_state(f) >= CX_CALLED_OFF;
}

/* PENDING becomes RUNNING.  False: it is something else. */
CX_NODISCARD bool cx_future_start(struct cx_future *f);

/* PENDING or RUNNING becomes `to` (FINISHED, FAILED) with a value.  CX_CLOSED: it was done before.
 * `locked`: the condition is held. */
CX_NODISCARD enum cx_status cx_future_settle(struct cx_future *f, enum cx_future_state to,
                                             void *value, bool locked, struct cx_news *news);

/* PENDING becomes CALLED_OFF: CX_OK; CX_AGAIN: it was cancelled before; CX_CLOSED: too late. */
CX_NODISCARD enum cx_status cx_future_cancel(struct cx_future *f, bool locked,
                                             struct cx_news *news);

/* CALLED_OFF becomes NOTIFIED: CX_OK; CX_CLOSED: it is not CALLED_OFF. */
CX_NODISCARD enum cx_status cx_future_notify(struct cx_future *f, bool locked,
                                             struct cx_news *news);

/* Claims more waiters of a future that is done, until `news->more` is false. */
void cx_future_wake(struct cx_future *f, struct cx_news *news);

/* Enlists an armed node: CX_WAIT; CX_OK: it is done. */
CX_NODISCARD enum cx_status cx_future_wait(struct cx_future *f, struct cx_node *node);

/* Unlinks a node that its owner has decided. */
void cx_future_leave(struct cx_future *f, struct cx_node *node);

/* Adds a callback or an observer.  False: it has happened already and the node is the caller's. */
CX_NODISCARD bool cx_future_tell(struct cx_future *f, struct cx_told *told, bool observer);

/* Detaches every node for which `same`, which does not call out, says so. */
struct cx_told *cx_future_untell(struct cx_future *f, const void *what, bool observer,
                                 bool (*same)(const void *, const void *));

/* From now on changes need the condition. */
void cx_future_make_legacy(struct cx_future *f);

/* Writes state and value as they are said to be, telling nobody; for legacy assignments. */
void *cx_future_assign(struct cx_future *f, enum cx_future_state state, void *value);

#endif

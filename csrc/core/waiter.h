// SPDX-License-Identifier: MIT
/* core/waiter.h - the wait protocol: who waits, who wakes, and who decides.
 *
 * A waiter is one sleep of a thread or of an asyncio task.  Its commit word leaves WAITING exactly
 * once, by compare-and-swap: a waker GRANTs it, or its owner decides TIMED_OUT, CANCELLED or RETRY.
 * A node is the membership of a waiter in one wait list; several nodes of one waiter (a select)
 * share its commit word, and GRANTED carries the index of the node that won.
 *
 * A waker claims: under the exclusion of the list it unlinks the node and commits the waiter in one
 * step; only the wake itself happens outside.  A waker that loses the commit goes on to the next.
 * What it hands over (status, item, stamp) it writes into the node before the commit.
 *
 * A task decides a second time, because it can be cancelled, closed or collected after the grant
 * and before it runs: GRANTED goes to TAKEN (it resumed) or RETURNED (whoever gives back first).
 *
 *      WAITING --grant--> GRANTED(i) --task resumes--> TAKEN
 *         |                    \--throw, close, finaliser, closed loop--> RETURNED
 *         \--owner--> TIMED_OUT | CANCELLED | RETRY
 *
 * Synchronization ("X": the caller holds the exclusion of the list, "-": none needed):
 *   push, remove, first, grant   X        count, decide, resume, give_back, state   -
 * Progress:   everything here is wait-free but for the pool of thread waiters (a mutex).
 * Ordering:   [W1] the commit of a grant releases the node; [W2] the owner that sees it acquires.
 * Memory:     a thread waiter is never freed, only reused: a late wake hits a word that is still a
 *             commit word and is spurious there.  A task waiter is counted; a grant takes a count
 *             for the port that will carry it.  Nodes are part of their waiter, never on a stack.
 * Fork:       a list that meets a new generation forgets its nodes; their owners are gone.
 */
#ifndef CX_CORE_WAITER_H
#define CX_CORE_WAITER_H

#include "core/atomic.h"
#include "core/status.h"

enum cx_commit {
    CX_WAITING = 0,
    CX_GRANTED,
    CX_TIMED_OUT,
    CX_CANCELLED,
    CX_RETRY,
    CX_TAKEN,
    CX_RETURNED
};
#define CX_COMMIT_BITS 3
#define CX_COMMIT_STATE(word) ((enum cx_commit)((word) & ((1u << CX_COMMIT_BITS) - 1)))
#define CX_COMMIT_INDEX(word) ((word) >> CX_COMMIT_BITS)

enum cx_waiter_kind { CX_THREAD, CX_TASK };

struct cx_port;
struct cx_waitlist;

struct cx_node {
    struct cx_node *prev, *next;
    struct cx_waitlist *list; /* NULL: not linked */
    struct cx_waiter *waiter;
    uint32_t index;          /* which case of its waiter this is */
    enum cx_status status;   /* what the granter says */
    void *item;              /* to a taker: the item handed over; from a giver: the item it holds */
    int64_t weight;          /* of the item */
    uint64_t stamp;          /* when the grant was made, in grants of the list's owner */
    struct cx_waiter *spent; /* chains waiters whose given-back item was taken again */
};

struct cx_waiter {
    uint32_t commit; /* state | index << CX_COMMIT_BITS; a thread sleeps on it */
    uint32_t refs;   /* tasks only */
    enum cx_waiter_kind kind;
    uint32_t generation;
    uint32_t spins;         /* threads: how long the next spin may be; the owner's */
    int32_t waker_cpu;      /* threads: where the last waker ran, a hint; relaxed */
    struct cx_port *port;   /* tasks: where the wake goes (core/port.h) */
    void *future;           /* tasks: the loop's future; whoever exchanges it to NULL owns it */
    void *owner;            /* tasks: what is waited for; likewise */
    const void *ops;        /* tasks: the binding's way to give a grant back to the owner */
    struct cx_waiter *next; /* in the pool, or among what a port has pending */
    struct cx_node node;    /* the first case; all that most waits need */
};

struct cx_waitlist {
    struct cx_node *head, *tail;
    uint32_t count; /* written under the exclusion, read by anyone */
    uint32_t generation;
};

/* Wakes that were claimed under an exclusion and are delivered outside (core/port.h). */
#define CX_WAKES 16
struct cx_wakes {
    uint32_t count;
    struct cx_waiter *waiters[CX_WAKES];
};
#define CX_WAKES_INIT {0, {0}}

void cx_waitlist_init(struct cx_waitlist *list);

static inline uint32_t
cx_waitlist_count(const struct cx_waitlist *list)
{
    return cx_load_relaxed(&list->count);
}

void cx_waitlist_push(struct cx_waitlist *list, struct cx_node *node);
/* Unlinks; nothing happens if a waker did so already. */
void cx_waitlist_remove(struct cx_waitlist *list, struct cx_node *node);
/* The node that has waited longest, or NULL. */
struct cx_node *cx_waitlist_first(struct cx_waitlist *list);

/* True if there is no room for the two wakes that one step may claim. */
static inline bool
cx_wakes_full(const struct cx_wakes *wakes)
{
    return wakes->count > CX_WAKES - 2;
}

/* Claims the node: unlinks it and commits its waiter.  True: the waiter is in `wakes` (which must
 * not be full) and the node belongs to its owner from here on.  False: another list or the owner
 * was first, the node is unlinked and what was to be handed over is still the caller's. */
CX_NODISCARD bool cx_waiter_grant(struct cx_node *node, enum cx_status status,
                                  struct cx_wakes *wakes);

/* Makes a waiter of one node ready for a new sleep. */
void cx_waiter_arm(struct cx_waiter *waiter);

static inline uint32_t
cx_waiter_state(const struct cx_waiter *waiter)
{
    return cx_load_acquire(&waiter->commit); /* [W2] pairs with [W1] in cx_waiter_grant */
}

/* The owner's decision: WAITING becomes `verdict`.  False: it was granted first. */
CX_NODISCARD bool cx_waiter_decide(struct cx_waiter *waiter, enum cx_commit verdict);

/* A task's second step: GRANTED becomes TAKEN or RETURNED.  False: somebody else was first. */
CX_NODISCARD bool cx_waiter_settle(struct cx_waiter *waiter, enum cx_commit verdict);

/* A thread's waiter, ready to be enlisted; given back when the wait is over and it is unlinked.
 * NULL without memory.  Waits nest (a signal handler may wait inside a wait). */
struct cx_waiter *cx_waiter_borrow(void);
void cx_waiter_return(struct cx_waiter *waiter);

void cx_waiter_install(void);

#endif

// SPDX-License-Identifier: MIT
/* core/ringqueue.h - a lock-free ring or stack that can be waited for.
 *
 * The composition under RingQueue (core/ring.h), SpscQueue (core/spsc.h) and Stack (core/stack.h):
 * the structure, a turnstile for those who wait for an item and one for those who wait for room.
 * An operation touches the structure first; only one that has found nothing enlists, and only one
 * that has found somebody enlisted takes a lock.
 *
 * How to wait, for an item as for room (cx_ringqueue_put_native is the model):
 *
 *      for (;;) {
 *          if cx_ringqueue_get(...) succeeds, or says CX_CLOSED: done         (deliver the wakes)
 *          arm the waiter
 *          if cx_ringqueue_wait(q, CX_GETTERS, node) says CX_AGAIN: continue
 *          sleep until the waiter is committed, or the deadline, or an interruption
 *          if it was granted and nothing else happened: continue
 *          if cx_ringqueue_leave(q, CX_GETTERS, node, verdict, wakes): give up
 *          else it was granted after all: the wake has been passed on         (deliver the wakes)
 *      }
 *
 * Nothing is held while waiting, so giving up at any point loses nothing and takes nothing.  Waiters
 * are woken in the order in which they came, but one that comes just then may be faster; who finds
 * nothing after a wake waits at the end.
 *
 * Progress:  put and get as the structure below, while nobody waits.
 * Ordering:  what was done before a put is visible after the get that returns its word.
 * Synchronization ("X": excluded from everything, "-": nothing needed):
 *   put, get, wait, leave, close, wake_all, len, closed, ref, unref   -      visit   X
 *   SPSC: one putter and one getter at a time, as in spsc.h; waiting is for anybody.
 * Ownership: words are 64 bits that are never looked at.  Counted; the last unref frees it, and
 *            whatever words are in it are forgotten.  Native threads may hold counts.
 * Fork:      the first operation in a child repairs (claims of lost threads are forgotten), under
 *            a lock, so that a child with several threads repairs once.
 */
#ifndef CX_CORE_RINGQUEUE_H
#define CX_CORE_RINGQUEUE_H

#include "core/ring.h"
#include "core/spsc.h"
#include "core/stack.h"
#include "core/turnstile.h"

enum cx_ringqueue_kind { CX_KIND_RING, CX_KIND_SPSC, CX_KIND_STACK };
enum cx_ringqueue_side { CX_GETTERS, CX_PUTTERS };

struct cx_ringqueue {
    /* read only, but for the generation after a fork */
    enum cx_ringqueue_kind kind;
    bool native; /* threads without the interpreter take part; set before the first one does */
    uint32_t generation;
    uint32_t refs;
    union {
        struct cx_ring ring;
        struct cx_spsc spsc;
        struct cx_stack stack;
    } store;
    CX_ALIGNED struct cx_turnstile sides[2]; /* by enum cx_ringqueue_side */
    struct cx_lock repair_lock;
    uint64_t cleared; /* words taken by clear, not by a get */
};

struct cx_ringqueue_stats {
    uint64_t puts, gets, blocked_puts, blocked_gets;
    uint32_t waiting_puts, waiting_gets;
};

/* NULL without memory, or for a capacity that cannot be; a stack has none. */
struct cx_ringqueue *cx_ringqueue_new(enum cx_ringqueue_kind kind, uint64_t capacity);
struct cx_ringqueue *cx_ringqueue_ref(struct cx_ringqueue *q);
void cx_ringqueue_unref(struct cx_ringqueue *q);

/* Puts the first words of n > 0, as many as there is room for: how many.  None: *why is CX_FULL,
 * CX_CLOSED, CX_NOMEM (stack), CX_BUSY (spsc), or CX_AGAIN: a consumer is in the way and was given
 * time; to be treated like CX_FULL.  `wakes` must be empty, and is to be delivered in any case. */
size_t cx_ringqueue_put(struct cx_ringqueue *q, const uint64_t *words, size_t n,
                        enum cx_status *why, struct cx_wakes *wakes);
/* Takes up to n > 0 words: how many.  None: *why is CX_EMPTY, CX_CLOSED, CX_BUSY, or CX_AGAIN: a
 * producer is in the way and was given time; to be treated like CX_EMPTY. */
size_t cx_ringqueue_get(struct cx_ringqueue *q, uint64_t *words, size_t n, enum cx_status *why,
                        struct cx_wakes *wakes);

/* Enlists an armed node after a put (get) has failed.  CX_WAIT: sleep; it may have been granted
 * already.  CX_AGAIN: there is something now; decided and unlinked, arm it to use it again. */
enum cx_status cx_ringqueue_wait(struct cx_ringqueue *q, enum cx_ringqueue_side side,
                                 struct cx_node *node);
/* Unlinks a node whose waiter its owner has decided. */
static inline void
cx_ringqueue_unlink(struct cx_ringqueue *q, enum cx_ringqueue_side side, struct cx_node *node)
{
    cx_turnstile_remove(&q->sides[side], node);
}

/* Decides and unlinks.  False: it had been granted, and the wake goes to the next through `wakes`. */
CX_NODISCARD bool cx_ringqueue_leave(struct cx_ringqueue *q, enum cx_ringqueue_side side,
                                     struct cx_node *node, enum cx_commit verdict,
                                     struct cx_wakes *wakes);
/* A granted waiter will not look: wakes the next in its place. */
void cx_ringqueue_pass_on(struct cx_ringqueue *q, enum cx_ringqueue_side side,
                          struct cx_wakes *wakes);

/* No put succeeds after it; gets do until nothing is left.  True: this call closed it.  Then call
 * cx_ringqueue_wake_all and deliver, until it answers false. */
bool cx_ringqueue_close(struct cx_ringqueue *q);
bool cx_ringqueue_wake_all(struct cx_ringqueue *q, struct cx_wakes *wakes);

/* get on behalf of clear, from any thread: does not count as one, and is never CX_BUSY. */
size_t cx_ringqueue_discard(struct cx_ringqueue *q, uint64_t *words, size_t n, enum cx_status *why,
                            struct cx_wakes *wakes);

size_t cx_ringqueue_len(struct cx_ringqueue *q);
bool cx_ringqueue_closed(const struct cx_ringqueue *q);
uint64_t cx_ringqueue_capacity(const struct cx_ringqueue *q); /* stack: UINT64_MAX */
size_t cx_ringqueue_bytes(const struct cx_ringqueue *q);
void cx_ringqueue_look(struct cx_ringqueue *q, struct cx_ringqueue_stats *stats);
int cx_ringqueue_visit(struct cx_ringqueue *q, int (*fn)(uint64_t word, void *arg), void *arg);

/* A whole put for a thread without the interpreter: CX_OK, CX_FULL (deadline passed), CX_CLOSED,
 * CX_NOMEM.  A deadline of 0 never waits.  Signals do not end it.  `native` must be set. */
enum cx_status cx_ringqueue_put_native(struct cx_ringqueue *q, uint64_t word, int64_t deadline);

#endif

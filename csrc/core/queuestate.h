// SPDX-License-Identifier: MIT
/* core/queuestate.h - the queue as a whole: what it is made of, its life, its settings, its content.
 *
 * core/queue.h has the operations on items, and the contract of both.
 */
#ifndef CX_CORE_QUEUESTATE_H
#define CX_CORE_QUEUESTATE_H

#include "core/heap.h"
#include "core/lock.h"
#include "core/waiter.h"

enum cx_discipline { CX_FIFO, CX_LIFO, CX_PRIORITY };
enum cx_overflow { CX_BLOCK, CX_RAISE, CX_DROP_OLDEST, CX_DROP_NEWEST };

struct cx_queue_stats {
    uint64_t puts, gets, blocked_puts, blocked_gets, dropped, high_water;
};

struct cx_queue {
    struct cx_guard guard;
    bool plain; /* fifo or lifo, not weighted, open, native: the inline paths apply */
    bool closed;
    bool drained; /* closed at once: what comes back is dropped */
    bool moved;   /* switched to the compatibility mode: nothing is native any more */
    uint8_t discipline, overflow;
    struct cx_heap store;
    struct cx_node *returned; /* items given back, oldest grant first; keeps their waiters */
    size_t returned_count;
    int64_t limit;      /* items; INT64_MAX: none; read anywhere, relaxed */
    int64_t max_weight; /* INT64_MAX: none */
    int64_t reserved;   /* slots granted and not filled yet */
    int64_t weight, reserved_weight;
    int64_t unfinished;
    uint64_t grants; /* stamps items handed to takers */
    struct cx_waitlist takers, givers, joiners;
    cx_less less;               /* priority queues */
    void (*retain)(void *item); /* adds a reference; called under the guard */
    struct cx_queue_stats stats;
};

void cx_queue_init(struct cx_queue *q, enum cx_discipline discipline, bool weighted);
/* Frees the memory; the store must have been emptied. */
void cx_queue_fini(struct cx_queue *q);

/* Items in it; under the guard. */
static inline int64_t
cx_queue_len(const struct cx_queue *q)
{
    return (int64_t)(q->store.b.count + q->returned_count);
}

struct cx_queue_view {
    size_t len;
    bool closed, moved;
    int64_t reserved, unfinished, weight;
    uint32_t takers, givers, joiners;
    struct cx_queue_stats stats;
};

/* OK, WAIT, MOVED; FULL where it would wait and there is no node. */
enum cx_status cx_queue_join(struct cx_queue *q, struct cx_node *node);
/* False, and nothing happens, if the queue has moved. */
CX_NODISCARD bool cx_queue_close(struct cx_queue *q, bool drained);
void cx_queue_move(struct cx_queue *q);
/* Hands over the whole store (and what was given back, see cx_queue_pop_returned).  False with
 * nothing in them: `done` was asked of a queue that has moved. */
CX_NODISCARD bool cx_queue_take_all(struct cx_queue *q, struct cx_buffer *store,
                                    struct cx_node **returned, bool done);
void *cx_queue_pop_returned(struct cx_node **returned, struct cx_waiter **spent);
/* Outside the guard, because the last count of a task's waiter lets go of its loop. */
void cx_queue_recycle(struct cx_waiter **spent);
void cx_queue_set_limit(struct cx_queue *q, int64_t limit);
void cx_queue_set_unfinished(struct cx_queue *q, int64_t unfinished);
/* For the compatibility mode: enlists, and wakes at most n with CX_MOVED (look again); how many of
 * the n are still to be woken by another call. */
void cx_queue_enlist(struct cx_queue *q, struct cx_waitlist *list, struct cx_node *node);
size_t cx_queue_wake(struct cx_queue *q, struct cx_waitlist *list, size_t n,
                     struct cx_wakes *wakes);
void cx_queue_look(struct cx_queue *q, struct cx_queue_view *view);

#endif

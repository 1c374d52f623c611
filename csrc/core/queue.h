// SPDX-License-Identifier: MIT
/* core/queue.h - the engine of Queue, LifoQueue, PriorityQueue and SimpleQueue.
 *
 * A growable store with three wait lists (takers, givers, joiners) under one guard.  Whoever finds
 * the other side waiting hands over: a giver puts its item into the taker's node, a taker moves the
 * giver's item into the store and wakes it.  Nobody barges: room that is promised is reserved.
 *
 *  - A taker is granted an item.  One that leaves after its grant gives the item back; it comes out
 *    again before everything else, in the order of the grants (it may exceed the limit).
 *  - A giving thread of a fifo or lifo queue leaves its item in its node, and a taker moves it: the
 *    put is done at that moment.  A giving task, and every giver of a priority queue (whose order
 *    may need Python code), is granted a slot: room that is reserved until cx_queue_fill or release.
 *  - A joiner is granted when nothing is unfinished.
 *
 * Progress:  each operation holds the guard for O(1) steps (heap O(log n), grants at most CX_WAKES);
 *            those that can owe more wakes say so (cx_wakes_full) and cx_queue_settle goes on.
 * Ordering:  what was done before a put is visible after the get that returns its item.
 * Synchronization: every function takes the guard itself.  None runs Python, drops a reference or
 *            wakes anybody.
 * Ownership: items are pointers that are never dereferenced; put takes one over when it answers
 *            CX_OK or CX_WAIT, get hands one out.  Before the guard is left with CX_UNDECIDED, the
 *            pair in question is retained through `retain`.
 * LP:        marked in queue.c; every grant is the LP of the operation that it completes.
 */
#ifndef CX_CORE_QUEUE_H
#define CX_CORE_QUEUE_H

#include "core/queuestate.h"

/* One put or get that is under way. */
struct cx_queue_op {
    void *item; /* to put; or what came out */
    int64_t weight;
    void *evicted;         /* an item that overflow or a change pushed out: the caller's to drop */
    struct cx_wakes wakes; /* to deliver, whatever the status */
    struct cx_waiter *spent; /* to recycle outside the guard (cx_queue_recycle) */
    struct cx_heap_plan plan;
};

static inline void
cx_queue_op_init(struct cx_queue_op *op, void *item, int64_t weight)
{
    op->item = item;
    op->weight = weight;
    op->evicted = NULL;
    op->wakes.count = 0;
    op->spent = NULL;
    cx_heap_plan_init(&op->plan);
}

/* The common case, inline: true if the item was stored and nobody had to be told. */
static inline bool
cx_queue_put_fast(struct cx_queue *q, void *item)
{
    struct cx_buffer *b = &q->store.b;
    bool done = false;
    cx_guard_take(&q->guard);
    if (CX_LIKELY(q->plain && q->takers.head == NULL && b->count < b->capacity &&
                  cx_queue_len(q) + q->reserved < q->limit)) {
        b->items[cx_buffer_slot(b, b->count)] = item;
        uint64_t count = ++b->count; /* LP */
        q->stats.puts++;
        q->unfinished++;
        if (count > q->stats.high_water) {
            q->stats.high_water = count;
        }
        done = true;
    }
    cx_guard_release(&q->guard);
    return done;
}

/* True if an item was taken and nobody had to be told. */
static inline bool
cx_queue_get_fast(struct cx_queue *q, void **item)
{
    bool done = false;
    cx_guard_take(&q->guard);
    if (CX_LIKELY(q->plain && q->store.b.count > 0 && q->returned == NULL &&
                  q->givers.head == NULL)) {
        struct cx_buffer *b = &q->store.b;
        *item = q->discipline == CX_FIFO ? cx_buffer_pop_front(b) : cx_buffer_pop_back(b); /* LP */
        q->stats.gets++;
        done = true;
    }
    cx_guard_release(&q->guard);
    return done;
}

/* Each function that has a `wakes` or an op leaves in it what must be delivered (core/port.h); if
 * cx_wakes_full says so afterwards, deliver and call cx_queue_settle until it does not. */

/* OK, WAIT (node enlisted), FULL, CLOSED, MOVED, TOO_BIG, NOMEM, UNDECIDED (answer, call again),
 * AGAIN (drop op->evicted, call again).  node NULL: never waits. */
enum cx_status cx_queue_put(struct cx_queue *q, struct cx_queue_op *op, struct cx_node *node);
/* OK, WAIT, EMPTY, CLOSED, MOVED, NOMEM, UNDECIDED. */
enum cx_status cx_queue_get(struct cx_queue *q, struct cx_queue_op *op, struct cx_node *node);
/* As many of n items as go in, or come out, at once; 0 where only the single form knows (a priority
 * queue, waiting takers, weights).  After some were taken, settle. */
size_t cx_queue_put_batch(struct cx_queue *q, void *const *items, size_t n);
size_t cx_queue_get_batch(struct cx_queue *q, void **items, size_t n);
/* The item that would come out next, retained: OK, EMPTY, CLOSED, MOVED, NOMEM, UNDECIDED. */
enum cx_status cx_queue_peek(struct cx_queue *q, struct cx_queue_op *op);
/* A granted slot becomes an item: OK, CLOSED, MOVED, NOMEM, UNDECIDED.  Gone unless UNDECIDED. */
enum cx_status cx_queue_fill(struct cx_queue *q, struct cx_queue_op *op);
/* A granted slot is given up. */
void cx_queue_release(struct cx_queue *q, int64_t weight, struct cx_wakes *wakes);
/* A granted item comes back with its waiter, which a thread thereby gives away.  What is returned
 * must be dropped: the queue was shut down and emptied meanwhile. */
void *cx_queue_give_back(struct cx_queue *q, struct cx_node *node, struct cx_wakes *wakes);
/* The owner of a node that it has decided leaves the list. */
void cx_queue_leave(struct cx_queue *q, struct cx_waitlist *list, struct cx_node *node,
                    struct cx_wakes *wakes);
/* One item is done: OK, EMPTY (none was unfinished). */
enum cx_status cx_queue_done(struct cx_queue *q, struct cx_wakes *wakes);
/* Grants whatever is due; more is due as long as `wakes` comes back full. */
void cx_queue_settle(struct cx_queue *q, struct cx_wakes *wakes);
#endif

// SPDX-License-Identifier: MIT
/* core/ring.h - a bounded ring for any number of producers and consumers.
 *
 * After D. Vyukov's bounded MPMC queue: every cell carries a sequence that says whose turn it is.
 * Position p lives in cell p & mask and its lap is p & ~mask; the sequence is
 *
 *      lap          free: the producer that claims p may write
 *      lap + 1      published: the consumer that claims p may read
 *      lap + size   free for position p + size
 *
 * so zeroed memory is an empty ring, and untouched cells cost no page.  What differs from the paper:
 *  - The capacity is exactly what was asked, though the storage is a power of two (at least two:
 *    with one cell "published" and "free again" are the same number).
 *  - A position is claimed by compare-and-swap only after its cell was seen ready.  Nobody takes a
 *    ticket and then waits, so a caller can give up at any time and strand nothing.
 *  - n cells are claimed by one compare-and-swap.  A cell that was seen ready stays ready until its
 *    position is claimed, so seeing them one by one is enough.
 *  - The top bit of `tail` closes the ring: a push is before the close or fails, never after it.
 *  - "Empty" and "full" are exact.  When the cell in front belongs to somebody between claim and
 *    publication, the answer is CX_AGAIN.
 *
 * Progress:  try_push, try_pop: a claim is lock-free; CX_AGAIN is where Vyukov's queue is not: a
 *            stalled producer hides what is behind it.  len, close: lock-free.
 * Synchronization ("X": excluded from everything, "-": nothing needed):
 *   try_push, try_pop, len, closed, close, item_ready, room_ready   -      repair, visit, fini   X
 * Ordering:  [R1] a cell is published by release, [A1] read by acquire; [R2] freed by release,
 *            [A2] found free by acquire.  Claims order nothing.  "Empty" loads head, then tail;
 *            "full" loads tail, then head: the first load is an acquire, so that the second is the
 *            instant at which the answer is true.
 * Ownership: a cell holds 64 bits that the ring does not look at; push takes them, pop hands them out.
 * Fork:      a producer or consumer of another thread may be lost between claim and publication;
 *            repair closes the gap.
 */
#ifndef CX_CORE_RING_H
#define CX_CORE_RING_H

#include "core/atomic.h"
#include "core/status.h"

#define CX_RING_CLOSED (UINT64_C(1) << 63)
#define CX_RING_MAX (UINT64_C(1) << 40) /* cells */

struct cx_ring_cell {
    uint64_t seq;
    uint64_t word; /* guarded by seq */
};

struct cx_ring {
    /* read only */
    struct cx_ring_cell *cells;
    uint64_t mask;
    uint64_t capacity;
    /* producers: the next position to write, with CX_RING_CLOSED; a past value of head */
    CX_ALIGNED uint64_t tail;
    uint64_t head_seen;
    /* consumers: the next position to read */
    CX_ALIGNED uint64_t head;
};

/* CX_OK, or CX_NOMEM (also for a capacity of 0 or beyond CX_RING_MAX). */
enum cx_status cx_ring_init(struct cx_ring *ring, uint64_t capacity);
/* Frees the cells, whatever they hold. */
void cx_ring_fini(struct cx_ring *ring);

/* Pushes the first words of n, as many as there is room for, all at one instant; n > 0.  Answers
 * how many; if none, *why is CX_FULL, CX_CLOSED or CX_AGAIN. */
size_t cx_ring_try_push(struct cx_ring *ring, const uint64_t *words, size_t n, enum cx_status *why);
/* Pops up to n words, oldest first, at one instant; n > 0.  Answers how many; if none, *why is
 * CX_EMPTY, CX_CLOSED (closed, and nothing will come any more) or CX_AGAIN. */
size_t cx_ring_try_pop(struct cx_ring *ring, uint64_t *words, size_t n, enum cx_status *why);

/* Whether a pop (a push) would find something to do: a word (room), or that the ring is closed. */
bool cx_ring_item_ready(struct cx_ring *ring);
bool cx_ring_room_ready(struct cx_ring *ring);

/* How many positions were claimed by producers and not yet by consumers, at one instant. */
size_t cx_ring_len(struct cx_ring *ring);

/* No push succeeds after it.  True: this call closed the ring. */
bool cx_ring_close(struct cx_ring *ring);

static inline bool
cx_ring_closed(const struct cx_ring *ring)
{
    return (cx_load_acquire(&ring->tail) & CX_RING_CLOSED) != 0;
}

/* Words pushed and popped since the beginning. */
static inline uint64_t
cx_ring_pushed(const struct cx_ring *ring)
{
    return cx_load_relaxed(&ring->tail) & ~CX_RING_CLOSED;
}

static inline uint64_t
cx_ring_popped(const struct cx_ring *ring)
{
    return cx_load_relaxed(&ring->head);
}

/* After a fork: forgets claims that were never published and closes the gaps. */
void cx_ring_repair(struct cx_ring *ring);

/* Calls fn with each word until it answers other than 0; answers that. */
int cx_ring_visit(struct cx_ring *ring, int (*fn)(uint64_t word, void *arg), void *arg);

#endif

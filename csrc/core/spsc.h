// SPDX-License-Identifier: MIT
/* core/spsc.h - a bounded ring for one producer and one consumer.
 *
 * After L. Lamport's ring, with each side's copy of the other side's index ("cached indices", as in
 * J. Giacomoni et al., "FastForward", and P. Lee et al., "MCRingBuffer"): an index crosses from one
 * core to the other once per fill or drain of the ring and not once per item.
 *
 * Each side has a word of its own that says a thread is inside.  One that finds another thread inside
 * is answered CX_BUSY and touches nothing, so misuse is an error and not a torn ring.  The producer's
 * word also closes the ring: the close and every push are ordered by that word, so no push is after
 * the close.  Where the GIL excludes (CX_WITH_GIL), the words hold only the closed bit.
 *
 * Progress:  try_push, try_pop: wait-free.  close: lock-free.
 * Synchronization: one producer and one consumer at a time, which may be different threads over
 *            time if something else orders them; try_clear, len, closed, close, *_ready from anywhere;
 *            repair, visit and fini are excluded from everything.
 * Ordering:  [R1] tail is released after the words, [A1] acquired by the consumer; [R2] head is
 *            released after the words were read, [A2] acquired by the producer; [R3] a side is left
 *            by release, [A3] entered by acquire, so that its next user sees its private fields.
 * Ownership: as ring.h.
 * Fork:      a lost thread may be inside: repair throws it out.  What it had not published is gone.
 */
#ifndef CX_CORE_SPSC_H
#define CX_CORE_SPSC_H

#include "core/atomic.h"
#include "core/status.h"

#define CX_SPSC_INSIDE 1u
#define CX_SPSC_CLOSED 2u
#define CX_SPSC_CLEARING 4u /* with INSIDE: not the consumer, but somebody who empties the ring */
#define CX_SPSC_MAX (UINT64_C(1) << 40) /* words */

struct cx_spsc {
    /* read only */
    uint64_t *words;
    uint64_t mask;
    uint64_t capacity;
    /* producer; put_side: the closer too */
    CX_ALIGNED uint64_t tail;
    uint64_t head_seen;
    uint32_t put_side;
    /* consumer */
    CX_ALIGNED uint64_t head;
    uint64_t tail_seen;
    uint32_t get_side;
};

/* CX_OK, or CX_NOMEM (also for a capacity of 0 or beyond CX_SPSC_MAX). */
enum cx_status cx_spsc_init(struct cx_spsc *ring, uint64_t capacity);
void cx_spsc_fini(struct cx_spsc *ring);

/* As cx_ring_try_push: how many of n > 0; if none, CX_FULL, CX_CLOSED or CX_BUSY.
 * CX_CLOSED also tells a producer that a consumer may have seen it inside and be asleep. */
size_t cx_spsc_try_push(struct cx_spsc *ring, const uint64_t *words, size_t n, enum cx_status *why);
/* As cx_ring_try_pop; if none, CX_EMPTY, CX_CLOSED, CX_BUSY, or CX_AGAIN: somebody empties the ring,
 * or it is closed and the producer is still inside with what may be the last word. */
size_t cx_spsc_try_pop(struct cx_spsc *ring, uint64_t *words, size_t n, enum cx_status *why);
/* The same from any thread, to empty the ring; CX_BUSY: the consumer is inside. */
size_t cx_spsc_try_clear(struct cx_spsc *ring, uint64_t *words, size_t n, enum cx_status *why);

/* Whether a pop (a push) would find something to do: a word (room), or that the ring is closed. */
bool cx_spsc_item_ready(const struct cx_spsc *ring);
bool cx_spsc_room_ready(const struct cx_spsc *ring);

/* Exact at one instant. */
size_t cx_spsc_len(const struct cx_spsc *ring);

/* No push succeeds after it.  True: this call closed the ring. */
bool cx_spsc_close(struct cx_spsc *ring);

static inline bool
cx_spsc_closed(const struct cx_spsc *ring)
{
    return (cx_load_acquire(&ring->put_side) & CX_SPSC_CLOSED) != 0;
}

void cx_spsc_repair(struct cx_spsc *ring);
int cx_spsc_visit(const struct cx_spsc *ring, int (*fn)(uint64_t word, void *arg), void *arg);

#endif

// SPDX-License-Identifier: MIT
#include "core/spsc.h"

#include <stdlib.h>

enum cx_status
cx_spsc_init(struct cx_spsc *ring, uint64_t capacity)
{
    uint64_t size = 1;
    if (capacity == 0 || capacity > CX_SPSC_MAX) {
        return CX_NOMEM;
    }
    while (size < capacity) {
        size *= 2;
    }
    *ring = (struct cx_spsc){.mask = size - 1, .capacity = capacity};
    ring->words = calloc(size, sizeof *ring->words);
    return ring->words != NULL ? CX_OK : CX_NOMEM;
}

void
cx_spsc_fini(struct cx_spsc *ring)
{
    free(ring->words);
    ring->words = NULL;
}

#if CX_WITH_GIL

static inline bool
enter(uint32_t *side, uint32_t as, enum cx_status *why)
{
    (void)as;
    *why = CX_CLOSED;
    return CX_LIKELY((cx_load_relaxed(side) & CX_SPSC_CLOSED) == 0);
}

static inline bool
leave(uint32_t *side, uint32_t as)
{
    (void)side;
    (void)as;
    return false;
}

#else

static inline bool
enter(uint32_t *side, uint32_t as, enum cx_status *why)
{
    uint32_t word = 0;
    if (CX_LIKELY(cx_cas_acquire(side, &word, as))) { /* [A3] pairs with [R3] */
        return true;
    }
    *why = word & CX_SPSC_CLEARING ? CX_AGAIN : word & CX_SPSC_INSIDE ? CX_BUSY : CX_CLOSED;
    return false;
}

/* True: the ring was closed meanwhile. */
static inline bool
leave(uint32_t *side, uint32_t as)
{
    /* [R3] pairs with [A3] */
    return (cx_fetch_add_acq_rel(side, -as) & CX_SPSC_CLOSED) != 0;
}

#endif

size_t
cx_spsc_try_push(struct cx_spsc *ring, const uint64_t *words, size_t n, enum cx_status *why)
{
    if (CX_UNLIKELY(!enter(&ring->put_side, CX_SPSC_INSIDE, why))) {
        return 0;
    }
    uint64_t tail = cx_load_relaxed(&ring->tail);
    uint64_t room = ring->capacity - (tail - ring->head_seen);
    if (room < n) {
        ring->head_seen = cx_load_acquire(&ring->head); /* [A2] with [R2]; LP of "full" */
        room = ring->capacity - (tail - ring->head_seen);
    }
    uint64_t k = room < n ? room : n;
    for (uint64_t i = 0; i < k; i++) {
        ring->words[(tail + i) & ring->mask] = words[i];
    }
    if (CX_LIKELY(k > 0)) {
        cx_store_release(&ring->tail, tail + k); /* LP [R1] pairs with [A1] */
    }
    bool closed = leave(&ring->put_side, CX_SPSC_INSIDE);
    if (CX_UNLIKELY(k == 0)) {
        *why = closed ? CX_CLOSED : CX_FULL;
    }
    return k;
}

/* There was nothing to pop.  Once the ring is closed and its producer outside, nothing will come. */
static enum cx_status
why_nothing(const struct cx_spsc *ring, uint64_t head)
{
    uint32_t side = cx_load_acquire(&ring->put_side); /* [A3] pairs with [R3] */
    if (!(side & CX_SPSC_CLOSED)) {
        return CX_EMPTY;
    }
    if (side & CX_SPSC_INSIDE || cx_load_acquire(&ring->tail) != head) {
        return CX_AGAIN;
    }
    return CX_CLOSED;
}

static inline size_t
pop_as(struct cx_spsc *ring, uint32_t as, uint64_t *words, size_t n, enum cx_status *why)
{
    if (CX_UNLIKELY(!enter(&ring->get_side, as, why))) {
        return 0;
    }
    uint64_t head = cx_load_relaxed(&ring->head);
    uint64_t there = ring->tail_seen - head;
    if (there < n) {
        ring->tail_seen = cx_load_acquire(&ring->tail); /* [A1] with [R1]; LP of "empty" */
        there = ring->tail_seen - head;
    }
    uint64_t k = there < n ? there : n;
    for (uint64_t i = 0; i < k; i++) {
        words[i] = ring->words[(head + i) & ring->mask];
    }
    if (CX_LIKELY(k > 0)) {
        cx_store_release(&ring->head, head + k); /* LP [R2] pairs with [A2] */
    }
    else {
        *why = why_nothing(ring, head);
    }
    (void)leave(&ring->get_side, as);
    return k;
}

size_t
cx_spsc_try_pop(struct cx_spsc *ring, uint64_t *words, size_t n, enum cx_status *why)
{
    return pop_as(ring, CX_SPSC_INSIDE, words, n, why);
}

size_t
cx_spsc_try_clear(struct cx_spsc *ring, uint64_t *words, size_t n, enum cx_status *why)
{
    return pop_as(ring, CX_SPSC_INSIDE | CX_SPSC_CLEARING, words, n, why);
}

bool
cx_spsc_item_ready(const struct cx_spsc *ring)
{
    /* In this order: a producer that has left before the word is read has published before. */
    uint32_t side = cx_load_acquire(&ring->put_side);
    uint64_t head = cx_load_acquire(&ring->head);
    return cx_load_acquire(&ring->tail) != head || side == CX_SPSC_CLOSED;
}

bool
cx_spsc_room_ready(const struct cx_spsc *ring)
{
    return cx_spsc_len(ring) < ring->capacity || cx_spsc_closed(ring);
}

size_t
cx_spsc_len(const struct cx_spsc *ring)
{
    uint64_t tail = cx_load_acquire(&ring->tail);
    for (;;) {
        uint64_t head = cx_load_acquire(&ring->head); /* LP: tail stood still around it */
        uint64_t now = cx_load_acquire(&ring->tail);
        if (now == tail) {
            return (size_t)(tail - head);
        }
        tail = now;
    }
}

bool
cx_spsc_close(struct cx_spsc *ring)
{
    uint32_t side = cx_load_relaxed(&ring->put_side);
    while (!(side & CX_SPSC_CLOSED)) {
        if (cx_cas_acq_rel(&ring->put_side, &side, side | CX_SPSC_CLOSED)) { /* LP */
            return true;
        }
    }
    return false;
}

void
cx_spsc_repair(struct cx_spsc *ring)
{
    cx_store_relaxed(&ring->put_side, cx_load_relaxed(&ring->put_side) & CX_SPSC_CLOSED);
    cx_store_relaxed(&ring->get_side, 0);
    ring->head_seen = cx_load_relaxed(&ring->head);
    ring->tail_seen = cx_load_relaxed(&ring->tail);
}

int
cx_spsc_visit(const struct cx_spsc *ring, int (*fn)(uint64_t, void *), void *arg)
{
    uint64_t tail = cx_load_relaxed(&ring->tail);
    for (uint64_t pos = cx_load_relaxed(&ring->head); pos != tail; pos++) {
        int answer = fn(ring->words[pos & ring->mask], arg);
        if (answer != 0) {
            return answer;
        }
    }
    return 0;
}

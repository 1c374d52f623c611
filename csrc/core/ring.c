// SPDX-License-Identifier: MIT
#include "core/ring.h"

#include <stdlib.h>

enum cx_status
cx_ring_init(struct cx_ring *ring, uint64_t capacity)
{
    uint64_t size = 2;
    if (capacity == 0 || capacity > CX_RING_MAX) {
        return CX_NOMEM;
    }
    while (size < capacity) {
        size *= 2;
    }
    *ring = (struct cx_ring){.mask = size - 1, .capacity = capacity};
    ring->cells = calloc(size, sizeof *ring->cells);
    return ring->cells != NULL ? CX_OK : CX_NOMEM;
}

void
cx_ring_fini(struct cx_ring *ring)
{
    free(ring->cells);
    ring->cells = NULL;
}

static inline struct cx_ring_cell *
cell_at(const struct cx_ring *ring, uint64_t pos)
{
    return &ring->cells[pos & ring->mask];
}

static inline bool
is_free(const struct cx_ring *ring, uint64_t pos)
{
    return cx_load_acquire(&cell_at(ring, pos)->seq) == (pos & ~ring->mask); /* [A2] with [R2] */
}

static inline bool
is_published(const struct cx_ring *ring, uint64_t pos)
{
    return cx_load_acquire(&cell_at(ring, pos)->seq) ==
           (pos & ~ring->mask) + 1; /* [A1] with [R1] */
}

/* Room as seen from a tail without the closed bit.  An old value of head only makes it smaller, so
 * head itself, which consumers write all the time, is read only if that is not room enough.  A tail
 * that is no longer true can make it larger; the claim then fails. */
static inline int64_t
room_at(struct cx_ring *ring, uint64_t tail, size_t wanted)
{
    int64_t capacity = (int64_t)ring->capacity;
    int64_t room = capacity - (int64_t)(tail - cx_load_relaxed(&ring->head_seen));
    if (CX_UNLIKELY(room < (int64_t)wanted)) {
        uint64_t head = cx_load_relaxed(&ring->head); /* LP of "full": tail was loaded before */
        cx_store_relaxed(&ring->head_seen, head);
        room = capacity - (int64_t)(tail - head);
    }
    return room;
}

size_t
cx_ring_try_push(struct cx_ring *ring, const uint64_t *words, size_t n, enum cx_status *why)
{
    uint64_t tail = cx_load_acquire(&ring->tail);
    for (;;) {
        if (CX_UNLIKELY(tail & CX_RING_CLOSED)) {
            *why = CX_CLOSED;
            return 0;
        }
        int64_t room = room_at(ring, tail, n);
        if (room <= 0) {
            *why = CX_FULL;
            return 0;
        }
        uint64_t most = (uint64_t)room < n ? (uint64_t)room : n;
        uint64_t k = 0;
        while (k < most && is_free(ring, tail + k)) {
            k++;
        }
        if (k == 0) {
            uint64_t now = cx_load_acquire(&ring->tail);
            if (now == tail) {
                *why = CX_AGAIN; /* a consumer has claimed the cell and not freed it */
                return 0;
            }
            tail = now;
            continue;
        }
        /* Acquire, so that a failure is as good as a fresh load. */
        if (CX_LIKELY(cx_cas_acquire(&ring->tail, &tail, tail + k))) { /* LP */
            for (uint64_t i = 0; i < k; i++) {
                struct cx_ring_cell *cell = cell_at(ring, tail + i);
                cell->word = words[i];
                /* [R1] publishes the word; pairs with [A1] */
                cx_store_release(&cell->seq, ((tail + i) & ~ring->mask) + 1);
            }
            return k;
        }
    }
}

size_t
cx_ring_try_pop(struct cx_ring *ring, uint64_t *words, size_t n, enum cx_status *why)
{
    uint64_t head = cx_load_acquire(&ring->head);
    for (;;) {
        uint64_t k = 0;
        while (k < n && is_published(ring, head + k)) {
            k++;
        }
        if (k == 0) {
            uint64_t tail = cx_load_acquire(&ring->tail); /* LP of "empty" */
            if ((tail & ~CX_RING_CLOSED) == head) {
                *why = tail & CX_RING_CLOSED ? CX_CLOSED : CX_EMPTY;
                return 0;
            }
            uint64_t now = cx_load_acquire(&ring->head);
            if (now == head) {
                *why = CX_AGAIN; /* a producer has claimed the cell and not published it */
                return 0;
            }
            head = now;
            continue;
        }
        if (CX_LIKELY(cx_cas_acquire(&ring->head, &head, head + k))) { /* LP */
            for (uint64_t i = 0; i < k; i++) {
                struct cx_ring_cell *cell = cell_at(ring, head + i);
                words[i] = cell->word;
                /* [R2] frees the cell for the next lap; pairs with [A2] */
                cx_store_release(&cell->seq, ((head + i) & ~ring->mask) + ring->mask + 1);
            }
            return k;
        }
    }
}

bool
cx_ring_item_ready(struct cx_ring *ring)
{
    uint64_t head = cx_load_acquire(&ring->head);
    for (;;) {
        if (is_published(ring, head)) {
            return true;
        }
        uint64_t tail = cx_load_acquire(&ring->tail);
        if (tail == (head | CX_RING_CLOSED)) {
            return true;
        }
        uint64_t now = cx_load_acquire(&ring->head);
        if (now == head) {
            return false;
        }
        head = now; /* others went ahead: what was seen says nothing about the cell in front */
    }
}

bool
cx_ring_room_ready(struct cx_ring *ring)
{
    uint64_t tail = cx_load_acquire(&ring->tail);
    for (;;) {
        if (tail & CX_RING_CLOSED || (room_at(ring, tail, 1) > 0 && is_free(ring, tail))) {
            return true;
        }
        uint64_t now = cx_load_acquire(&ring->tail);
        if (now == tail) {
            return false;
        }
        tail = now;
    }
}

size_t
cx_ring_len(struct cx_ring *ring)
{
    uint64_t tail = cx_load_acquire(&ring->tail);
    for (;;) {
        uint64_t head = cx_load_acquire(&ring->head); /* LP: tail stood still around it */
        uint64_t now = cx_load_acquire(&ring->tail);
        if (now == tail) {
            return (size_t)((tail & ~CX_RING_CLOSED) - head);
        }
        tail = now;
    }
}

bool
cx_ring_close(struct cx_ring *ring)
{
    uint64_t tail = cx_load_relaxed(&ring->tail);
    while (!(tail & CX_RING_CLOSED)) {
        if (cx_cas_acq_rel(&ring->tail, &tail, tail | CX_RING_CLOSED)) { /* LP */
            return true;
        }
    }
    return false;
}

void
cx_ring_repair(struct cx_ring *ring)
{
    uint64_t closed = cx_load_relaxed(&ring->tail) & CX_RING_CLOSED;
    uint64_t end = cx_load_relaxed(&ring->tail) & ~CX_RING_CLOSED;
    uint64_t head = cx_load_relaxed(&ring->head);
    uint64_t kept = head;
    for (uint64_t pos = head; pos != end; pos++) {
        if (is_published(ring, pos)) {
            cell_at(ring, kept++)->word = cell_at(ring, pos)->word;
        }
    }
    for (uint64_t i = 0; i <= ring->mask; i++) {
        uint64_t pos = head + i;
        cx_store_relaxed(&cell_at(ring, pos)->seq, (pos & ~ring->mask) + (pos < kept ? 1 : 0));
    }
    cx_store_relaxed(&ring->head_seen, head);
    cx_store_release(&ring->tail, kept | closed);
}

int
cx_ring_visit(struct cx_ring *ring, int (*fn)(uint64_t, void *), void *arg)
{
    uint64_t end = cx_load_relaxed(&ring->tail) & ~CX_RING_CLOSED;
    for (uint64_t pos = cx_load_relaxed(&ring->head); pos != end; pos++) {
        int answer = is_published(ring, pos) ? fn(cell_at(ring, pos)->word, arg) : 0;
        if (answer != 0) {
            return answer;
        }
    }
    return 0;
}

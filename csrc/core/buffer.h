// SPDX-License-Identifier: MIT
/* core/buffer.h - a growable circular array of pointers, each with a weight if asked for.
 *
 * Progress:  amortised O(1); growth and shrinking copy.  Nothing blocks.
 * Synchronization: the caller excludes every operation.
 * Ownership: pointers are stored and never dereferenced.
 * Order:     memory is made before anything changes: a push that answers false changed nothing.
 */
#ifndef CX_CORE_BUFFER_H
#define CX_CORE_BUFFER_H

#include "core/config.h"

struct cx_buffer {
    void **items;     /* capacity of them, a power of two, or none yet */
    int64_t *weights; /* beside the items; NULL unless weighted */
    size_t head;      /* index of the oldest */
    size_t count;
    size_t capacity;
    bool weighted;
};

void cx_buffer_init(struct cx_buffer *b, bool weighted);
void cx_buffer_fini(struct cx_buffer *b);

/* Makes room for one more. */
CX_NODISCARD bool cx_buffer_grow(struct cx_buffer *b);
/* Gives memory back if most of it is unused. */
void cx_buffer_shrink(struct cx_buffer *b);

static inline size_t
cx_buffer_slot(const struct cx_buffer *b, size_t i)
{
    return (b->head + i) & (b->capacity - 1);
}

/* The i-th oldest, i < count. */
static inline void *
cx_buffer_at(const struct cx_buffer *b, size_t i)
{
    return b->items[cx_buffer_slot(b, i)];
}

static inline int64_t
cx_buffer_weight(const struct cx_buffer *b, size_t i)
{
    return b->weights == NULL ? 1 : b->weights[cx_buffer_slot(b, i)];
}

static inline void
cx_buffer_set(struct cx_buffer *b, size_t i, void *item, int64_t weight)
{
    size_t slot = cx_buffer_slot(b, i);
    b->items[slot] = item;
    if (CX_UNLIKELY(b->weights != NULL)) {
        b->weights[slot] = weight;
    }
}

CX_NODISCARD static inline bool
cx_buffer_push(struct cx_buffer *b, void *item, int64_t weight)
{
    if (CX_UNLIKELY(b->count == b->capacity) && !cx_buffer_grow(b)) {
        return false;
    }
    cx_buffer_set(b, b->count++, item, weight);
    return true;
}

/* Removes the oldest; the buffer is not empty. */
static inline void *
cx_buffer_pop_front(struct cx_buffer *b)
{
    void *item = b->items[b->head];
    b->head = (b->head + 1) & (b->capacity - 1);
    b->count--;
    if (CX_UNLIKELY(b->capacity > 64 && b->count < b->capacity / 8)) {
        cx_buffer_shrink(b);
    }
    return item;
}

/* Removes the newest; the buffer is not empty. */
static inline void *
cx_buffer_pop_back(struct cx_buffer *b)
{
    void *item = cx_buffer_at(b, --b->count);
    if (CX_UNLIKELY(b->capacity > 64 && b->count < b->capacity / 8)) {
        cx_buffer_shrink(b);
    }
    return item;
}

/* Bytes allocated beyond the structure itself. */
size_t cx_buffer_bytes(const struct cx_buffer *b);

#endif

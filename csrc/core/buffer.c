// SPDX-License-Identifier: MIT
#include "core/buffer.h"

#include <stdlib.h>
#include <string.h>

#define LEAST_CAPACITY 8

void
cx_buffer_init(struct cx_buffer *b, bool weighted)
{
    *b = (struct cx_buffer){.weighted = weighted};
}

void
cx_buffer_fini(struct cx_buffer *b)
{
    free(b->items);
    free(b->weights);
    cx_buffer_init(b, b->weighted);
}

/* Copies `count` words of `size` bytes that start at `head` of a ring to the start of `to`. */
static void
unroll(void *to, const void *from, size_t size, const struct cx_buffer *b)
{
    size_t first = b->capacity - b->head < b->count ? b->capacity - b->head : b->count;
    if (b->count == 0) {
        return;
    }
    memcpy(to, (const char *)from + b->head * size, first * size);
    memcpy((char *)to + first * size, from, (b->count - first) * size);
}

static bool
resize(struct cx_buffer *b, size_t capacity)
{
    if (capacity > SIZE_MAX / 2 / sizeof(void *)) {
        return false;
    }
    void **items = malloc(capacity * sizeof *items);
    int64_t *weights = b->weighted ? malloc(capacity * sizeof *weights) : NULL;
    if (items == NULL || (b->weighted && weights == NULL)) {
        free(items);
        free(weights);
        return false;
    }
    unroll(items, b->items, sizeof *items, b);
    if (b->weighted) {
        unroll(weights, b->weights, sizeof *weights, b);
    }
    free(b->items);
    free(b->weights);
    b->items = items;
    b->weights = weights;
    b->head = 0;
    b->capacity = capacity;
    return true;
}

bool
cx_buffer_grow(struct cx_buffer *b)
{
    return resize(b, b->capacity == 0 ? LEAST_CAPACITY : b->capacity * 2);
}

void
cx_buffer_shrink(struct cx_buffer *b)
{
    /* Half, so that a quarter stays free and the next push does not grow at once.  Without memory
     * the large array simply stays. */
    (void)resize(b, b->capacity / 2);
}

size_t
cx_buffer_bytes(const struct cx_buffer *b)
{
    return b->capacity * (sizeof *b->items + (b->weighted ? sizeof *b->weights : 0));
}

// SPDX-License-Identifier: MIT
#include "core/ghost.h"

#include "core/pages.h"

#define WIDTH 16 /* cells of a bucket */
#define FILL 12  /* on average */
#define AGES 1024
#define STEPS 256 /* of age, until a ghost is gone */

bool
cx_ghost_allocate(struct cx_ghost *ghost, uint32_t capacity)
{
    uint32_t buckets = capacity / FILL + 1;
    uint32_t *cells = cx_pages_take((size_t)buckets * WIDTH * sizeof *cells);
    if (cells == NULL) {
        return false;
    }
    *ghost = (struct cx_ghost){.cells = cells, .buckets = buckets, .capacity = capacity};
    ghost->step = capacity / STEPS + 1;
    return true;
}

void
cx_ghost_fini(struct cx_ghost *ghost)
{
    cx_pages_give(ghost->cells, cx_ghost_bytes(ghost));
    *ghost = (struct cx_ghost){0};
}

size_t
cx_ghost_bytes(const struct cx_ghost *ghost)
{
    return (size_t)ghost->buckets * WIDTH * sizeof *ghost->cells;
}

static uint64_t
spread(uint64_t hash)
{
    hash = (hash ^ hash >> 29) * UINT64_C(0xBF58476D1CE4E5B9);
    return hash ^ hash >> 32;
}

static uint32_t *
bucket_of(const struct cx_ghost *ghost, uint64_t mixed)
{
    return ghost->cells + ((mixed >> 32) * ghost->buckets >> 32) * WIDTH;
}

/* Not 0, which is an empty cell. */
static uint32_t
print_of(uint64_t mixed)
{
    return ((uint32_t)mixed & ~(uint32_t)(AGES - 1)) | (mixed & ~(uint64_t)(AGES - 1) ? 0 : AGES);
}

static bool
is_gone(const struct cx_ghost *ghost, uint32_t cell)
{
    uint32_t age = (uint32_t)(ghost->came / ghost->step - cell) & (AGES - 1);
    return (uint64_t)age * ghost->step >= ghost->capacity;
}

void
cx_ghost_add(struct cx_ghost *ghost, uint64_t hash)
{
    if (ghost->cells == NULL) {
        return;
    }
    uint64_t mixed = spread(hash);
    uint32_t *bucket = bucket_of(ghost, mixed), best = 0;
    uint32_t now = (uint32_t)(ghost->came / ghost->step);
    for (uint32_t i = 0; i < WIDTH; i++) { /* without a branch, for the vectorizer */
        uint32_t age = bucket[i] == 0 ? AGES : (now - bucket[i]) & (AGES - 1);
        uint32_t rank = age * WIDTH + i;
        best = rank > best ? rank : best;
    }
    ghost->came++;
    bucket[best % WIDTH] = print_of(mixed) | (now & (AGES - 1));
}

bool
cx_ghost_take(struct cx_ghost *ghost, uint64_t hash)
{
    if (ghost->cells == NULL) {
        return false;
    }
    uint64_t mixed = spread(hash);
    uint32_t print = print_of(mixed), *bucket = bucket_of(ghost, mixed), any = 0;
    for (uint32_t i = 0; i < WIDTH; i++) {
        any |= (bucket[i] ^ print) < AGES;
    }
    for (uint32_t *cell = bucket; any && cell < bucket + WIDTH; cell++) {
        if ((*cell ^ print) < AGES) { /* an empty cell has no print */
            bool known = !is_gone(ghost, *cell);
            *cell = 0;
            return known;
        }
    }
    return false;
}

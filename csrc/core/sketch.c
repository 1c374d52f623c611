// SPDX-License-Identifier: MIT
#include "core/sketch.h"

#include "core/pages.h"

#define BLOCK 8   /* words */
#define SAMPLES 8 /* sightings per entry, until counters are halved */

static uint64_t
spread(uint64_t hash)
{
    hash = (hash ^ hash >> 32) * UINT64_C(0xD6E8FEB86659FD93);
    return hash ^ hash >> 32;
}

/* Two words, 32 counters, per entry: with half as many, strangers of a loop look known. */
static uint32_t
words_for(uint64_t capacity)
{
    uint32_t words = BLOCK;
    while (words < 2 * capacity && words < UINT32_C(1) << 30) {
        words *= 2;
    }
    return words;
}

bool
cx_sketch_allocate(struct cx_sketch *sketch, uint32_t capacity)
{
    uint32_t words = words_for(capacity);
    void *memory = cx_pages_take(words * sizeof *sketch->words);
    if (memory == NULL) {
        return false;
    }
    *sketch = (struct cx_sketch){.words = memory, .mask = words / BLOCK - 1};
    sketch->sample = capacity > UINT32_MAX / SAMPLES ? UINT32_MAX : capacity * SAMPLES;
    return true;
}

void
cx_sketch_fini(struct cx_sketch *sketch)
{
    cx_pages_give(sketch->words, cx_sketch_bytes(sketch));
    *sketch = (struct cx_sketch){0};
}

size_t
cx_sketch_bytes(const struct cx_sketch *sketch)
{
    return sketch->words == NULL ? 0 : (sketch->mask + (size_t)1) * BLOCK * sizeof *sketch->words;
}

void
cx_sketch_inherit(struct cx_sketch *fresh, const struct cx_sketch *old)
{
    /* A hash's block in the old one is the low bits of its block in the new one. */
    for (uint32_t i = 0; old->words != NULL && i < (fresh->mask + 1) * BLOCK; i++) {
        fresh->words[i] = old->words[i & (((old->mask + 1) * BLOCK) - 1)];
    }
    fresh->seen = old->seen;
}

static void
halve(struct cx_sketch *sketch)
{
    uint32_t odd = 0; /* counters that lose a half */
    for (uint32_t i = 0; i < (sketch->mask + 1) * BLOCK; i++) {
        odd += (uint32_t)__builtin_popcountll(sketch->words[i] & UINT64_C(0x1111111111111111));
        sketch->words[i] = sketch->words[i] >> 1 & UINT64_C(0x7777777777777777);
    }
    /* Four counters a sighting. */
    sketch->seen = (sketch->seen - (odd / 4 < sketch->seen ? odd / 4 : sketch->seen)) / 2;
}

/* The word and the shift of counter `i` of a spread hash. */
static uint64_t *
place(const struct cx_sketch *sketch, uint64_t hash, unsigned i, unsigned *shift)
{
    uint32_t piece = (uint32_t)(hash >> 32) >> 8 * i;
    *shift = 4 * (piece >> 1 & 15);
    return &sketch->words[((uint32_t)hash & sketch->mask) * BLOCK + 2 * i + (piece & 1)];
}

void
cx_sketch_see(struct cx_sketch *sketch, uint64_t hash)
{
    bool grown = false;
    if (sketch->words == NULL) {
        return;
    }
    hash = spread(hash);
    for (unsigned i = 0; i < 4; i++) {
        unsigned shift;
        uint64_t *word = place(sketch, hash, i, &shift);
        if ((*word >> shift & 15) != 15) {
            *word += UINT64_C(1) << shift;
            grown = true;
        }
    }
    if (grown && ++sketch->seen >= sketch->sample) {
        halve(sketch);
    }
}

unsigned
cx_sketch_count(const struct cx_sketch *sketch, uint64_t hash)
{
    unsigned least = sketch->words == NULL ? 0 : 15;
    hash = spread(hash);
    for (unsigned i = 0; i < 4 && sketch->words != NULL; i++) {
        unsigned shift;
        const uint64_t *word = place(sketch, hash, i, &shift);
        unsigned count = *word >> shift & 15;
        least = count < least ? count : least;
    }
    return least;
}

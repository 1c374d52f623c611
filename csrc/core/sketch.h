// SPDX-License-Identifier: MIT
/* core/sketch.h - how often hashes were seen of late, roughly: four-bit counters that fade.
 *
 * A count-min sketch after G. Einziger, R. Friedman and B. Manes, "TinyLFU" (2017), with the layout of
 * Caffeine's: the four counters of a hash lie in one block of 64 bytes, so that a look costs one cache
 * line.  A count is never too low (up to 15, since the last halving) and sometimes too high.  After
 * eight sightings per entry every counter is halved, which costs some nanoseconds an entry at once.
 *
 * Progress:        wait-free; seen() now and then takes time in proportion to the sketch.
 * Synchronization: the caller excludes every operation; cx_sketch_allocate is made outside.
 */
#ifndef CX_CORE_SKETCH_H
#define CX_CORE_SKETCH_H

#include "core/config.h"

struct cx_sketch {
    uint64_t *words; /* NULL: nothing is remembered, every count is 0 */
    uint32_t mask;   /* number of blocks of eight words, a power of two, less one */
    uint32_t seen;   /* sightings since the last halving */
    uint32_t sample; /* how many there may be */
};

/* For that many hashes; false: no memory. */
CX_NODISCARD bool cx_sketch_allocate(struct cx_sketch *sketch, uint32_t capacity);
void cx_sketch_fini(struct cx_sketch *sketch);

size_t cx_sketch_bytes(const struct cx_sketch *sketch);

/* Lets a larger, fresh sketch know what this one does. */
void cx_sketch_inherit(struct cx_sketch *fresh, const struct cx_sketch *old);

void cx_sketch_see(struct cx_sketch *sketch, uint64_t hash);
/* 0 to 15 */
unsigned cx_sketch_count(const struct cx_sketch *sketch, uint64_t hash);

#endif

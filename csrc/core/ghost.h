// SPDX-License-Identifier: MIT
/* core/ghost.h - hashes that left not long ago: a queue that is only asked whether it holds one.
 *
 * A ghost is 32 bits: a print of the hash and when it came, counted in 256ths of the capacity.  Ghosts
 * lie in buckets of 16, one cache line each, three quarters full; what came longer ago than `capacity`
 * others is gone, and makes room first.  So the oldest go, to within half a percent and what buckets
 * overflow.  A print of 22 bits mistakes a stranger for a ghost once in 300,000 times.
 *
 * Progress:        wait-free.
 * Synchronization: the caller excludes every operation; cx_ghost_allocate is made outside.
 */
#ifndef CX_CORE_GHOST_H
#define CX_CORE_GHOST_H

#include "core/config.h"

struct cx_ghost {
    uint32_t *cells; /* NULL: nobody is remembered */
    uint32_t buckets;
    uint32_t capacity;
    uint64_t came; /* how many, ever */
    uint32_t step; /* of age, in ghosts */
};

CX_NODISCARD bool cx_ghost_allocate(struct cx_ghost *ghost, uint32_t capacity);
void cx_ghost_fini(struct cx_ghost *ghost);

size_t cx_ghost_bytes(const struct cx_ghost *ghost);

void cx_ghost_add(struct cx_ghost *ghost, uint64_t hash);
/* Whether it was there; it is not any more. */
bool cx_ghost_take(struct cx_ghost *ghost, uint64_t hash);

#endif

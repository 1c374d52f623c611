// SPDX-License-Identifier: MIT
/* core/counter.h - a sum that many threads add to, each in a cell of its own.
 *
 * A thread keeps to one cell, by a number that it gets at its first use of any counter; with at least
 * as many cells as threads none shares a cache line.  The sum reads all cells, one after the other:
 * exact if nobody adds meanwhile, otherwise it holds every add that happened before the call, none
 * that happened after, and any of those in between.
 *
 * Progress:  add is lock-free (wait-free where each thread has its cell); sum is wait-free.
 * Under a GIL one cell is all there is.
 */
#ifndef CX_CORE_COUNTER_H
#define CX_CORE_COUNTER_H

#include "core/atomic.h"

struct cx_counter_cell {
    int64_t value CX_ALIGNED; /* atomic */
};

struct cx_counter {
    struct cx_counter_cell *cells;
    uint32_t mask;
};

/* `cells` is a power of two; false: no memory. */
CX_NODISCARD bool cx_counter_init(struct cx_counter *c, uint32_t cells);
void cx_counter_fini(struct cx_counter *c);

extern CX_THREAD_LOCAL uint32_t cx_counter_mine; /* the thread's number plus one; 0: it has none */
uint32_t cx_counter_enlist(void);

/* The calling thread's number, from 0 on; threads that have ended keep theirs. */
static inline uint32_t
cx_counter_thread(void)
{
#ifdef CX_MC
    return mc_thread_number();
#else
    uint32_t mine = cx_counter_mine;
    return (CX_LIKELY(mine != 0) ? mine : cx_counter_enlist()) - 1;
#endif
}

/* False: the cell would leave 64 bits, and keeps its value. */
CX_NODISCARD static inline bool
cx_counter_add(struct cx_counter *c, int64_t n)
{
    int64_t *value = &c->cells[c->mask == 0 ? 0 : cx_counter_thread() & c->mask].value;
    int64_t old = cx_load_relaxed(value), sum;
    do {
        if (__builtin_add_overflow(old, n, &sum)) {
            return false;
        }
    } while (!cx_cas_release(value, &old, sum)); /* [C1] pairs with [C2] */
    return true;
}

/* The sum as high * 2**64 + low. */
void cx_counter_sum(const struct cx_counter *c, int64_t *high, uint64_t *low);

#endif

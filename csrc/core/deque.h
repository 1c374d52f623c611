// SPDX-License-Identifier: MIT
/* core/deque.h - the tasks of one worker, which others may steal.
 *
 * The owner pushes at the bottom and can pop what it pushed last; anybody takes the oldest at the
 * top.  D. Chase, Y. Lev: Dynamic Circular Work-Stealing Deque (SPAA 2005), with the orders of
 * N. M. Lê, A. Pop, A. Cohen, F. Zappa Nardelli: Correct and Efficient Work-Stealing for Weak
 * Memory Models (PPoPP 2013).
 *
 * Progress:  push and pop are wait-free but for the allocation when it grows; steal is lock-free,
 *            and says CX_AGAIN where another one was faster.
 * Memory:    it grows by doubling and never shrinks; what it outgrew stays until fini, because a
 *            thief may be reading it: less than the cells in use, in all.
 * Ownership: it stores pointers, never NULL, and never follows them.
 * Fork:      whole in the child, but for what the owner was about to push or has just popped.
 */
#ifndef CX_CORE_DEQUE_H
#define CX_CORE_DEQUE_H

#include "core/atomic.h"
#include "core/status.h"

struct cx_deque_cells {
    struct cx_deque_cells *outgrown;
    uint64_t mask;
    void *cell[]; /* atomic */
};

struct cx_deque {
    uint64_t top CX_ALIGNED;    /* atomic; the oldest, if it is before bottom */
    uint64_t bottom CX_ALIGNED; /* atomic; written by the owner: where the next one goes */
    struct cx_deque_cells *cells;
};

/* `capacity`, a power of two, is what it begins with; false: no memory. */
CX_NODISCARD bool cx_deque_init(struct cx_deque *d, uint64_t capacity);
void cx_deque_fini(struct cx_deque *d);

/* The owner's.  push: false, no memory, and nothing was changed.  pop: NULL, it is empty. */
CX_NODISCARD bool cx_deque_push(struct cx_deque *d, void *item);
CX_NODISCARD void *cx_deque_pop(struct cx_deque *d);

/* The owner's: what pop would hand out, were there no thieves; NULL, it is empty. */
void *cx_deque_newest(struct cx_deque *d);

/* Anybody's, the owner's too: CX_OK, CX_EMPTY, or CX_AGAIN. */
CX_NODISCARD enum cx_status cx_deque_steal(struct cx_deque *d, void **item);

/* Anybody's: how many there were at some moment of the call. */
size_t cx_deque_count(const struct cx_deque *d);

/* While nobody is inside (the collector's): the i-th oldest. */
void *cx_deque_at(const struct cx_deque *d, size_t i);

#endif

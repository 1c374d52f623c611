// SPDX-License-Identifier: MIT
/* core/heap.h - a binary min-heap whose comparisons may happen outside every lock.
 *
 * The algorithm is that of CPython's heapq, comparison for comparison, so equal items leave in the
 * same order.  A comparison that the callback cannot decide at once (it would run Python code)
 * interrupts the operation: the heap is untouched, the plan remembers how far it came and which
 * pair is in question.  The caller leaves its exclusion, compares, answers and calls again.  If
 * the heap changed meanwhile, its version says so and the plan starts over; some other operation
 * then succeeded, so the heap as a whole makes progress.
 *
 * Synchronization: the caller excludes every operation, but not between CX_UNDECIDED and the answer.
 * Ownership: pointers are stored; the pair in question is kept alive by the caller, who takes its
 *            references before it leaves the exclusion.
 */
#ifndef CX_CORE_HEAP_H
#define CX_CORE_HEAP_H

#include "core/buffer.h"
#include "core/status.h"

/* 1: a < b.  0: not.  -1: undecided.  Called under the exclusion. */
typedef int (*cx_less)(void *a, void *b);

struct cx_heap {
    struct cx_buffer b; /* head stays 0 */
    uint64_t version;   /* counts changes */
};

struct cx_heap_plan {
    uint64_t version; /* of the heap the plan was made for; 0: no plan */
    void *a, *b;      /* in question: a < b? */
    int answer;       /* -1: none yet */
    bool rising;      /* a pop has reached a leaf and now moves the last item up */
    uint32_t depth;   /* a pop: how many levels the hole has sunk */
    uint64_t path;    /* a pop: bit i says which child the hole took at level i */
    size_t pos;       /* where the hole is */
};

static inline void
cx_heap_init(struct cx_heap *heap, bool weighted)
{
    cx_buffer_init(&heap->b, weighted);
    heap->version = 1;
}

static inline void
cx_heap_plan_init(struct cx_heap_plan *plan)
{
    *plan = (struct cx_heap_plan){.answer = -1};
}

/* CX_OK, CX_UNDECIDED or CX_NOMEM. */
enum cx_status cx_heap_push(struct cx_heap *heap, struct cx_heap_plan *plan, void *item,
                            int64_t weight, cx_less less);

/* CX_OK, CX_UNDECIDED or CX_EMPTY. */
enum cx_status cx_heap_pop(struct cx_heap *heap, struct cx_heap_plan *plan, void **item,
                           int64_t *weight, cx_less less);

#endif

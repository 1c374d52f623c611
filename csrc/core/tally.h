// SPDX-License-Identifier: MIT
/* core/tally.h - hits and misses, counted exactly by any number of threads.
 *
 * The thread that counts first owns a cell in the tally itself and adds to it without a locked
 * instruction.  When a second one comes, cells for the others are allocated: the threads with the
 * first numbers (core/counter.h) own one each, the rest share some and add atomically.  A tally that one
 * thread uses, as most do, is small and costs two loads and a store.
 *
 * A sum holds every count that happened before it was asked for.  Resetting moves the base, so that
 * no count made meanwhile is lost.
 *
 * Progress:  add is wait-free but for a thread's first; sum is wait-free; reset takes a lock of the caller's.
 * Under a GIL it is two numbers.
 */
#ifndef CX_CORE_TALLY_H
#define CX_CORE_TALLY_H

#include "core/counter.h"

enum cx_tally_kind { CX_HITS, CX_MISSES, CX_TALLY_KINDS };

#if CX_WITH_GIL

struct cx_tally {
    int64_t count[CX_TALLY_KINDS];
};

#define cx_tally_add(t, kind) ((void)(t)->count[kind]++)
#define cx_tally_is_alone(t) true

#else

struct cx_tally_cell {
    int64_t count[CX_TALLY_KINDS] CX_ALIGNED; /* atomic */
};

struct cx_tally_cells {
    uint32_t owned; /* so many have an owner; as many are shared */
    struct cx_tally_cell cell[];
};

struct cx_tally {
    uint32_t owner;                /* atomic; the first thread's number plus one */
    bool is_common;                /* atomic; another thread has counted */
    struct cx_tally_cells *others; /* atomic */
    char apart[CX_CACHELINE];
    int64_t count[CX_TALLY_KINDS]; /* atomic; the owner's */
    char apart_too[CX_CACHELINE];
    int64_t base[CX_TALLY_KINDS]; /* atomic; subtracted */
};

/* Whether no other thread has counted, or none that anything orders before this one. */
static inline bool
cx_tally_is_alone(const struct cx_tally *t)
{
    return cx_load_relaxed(&t->owner) == cx_counter_thread() + 1 && !cx_load_relaxed(&t->is_common);
}

void cx_tally_add_slow(struct cx_tally *t, enum cx_tally_kind kind);

static inline void
cx_tally_add(struct cx_tally *t, enum cx_tally_kind kind)
{
    if (CX_LIKELY(cx_load_relaxed(&t->owner) == cx_counter_thread() + 1)) {
        int64_t *count = &t->count[kind];
        cx_store_release(count, cx_load_relaxed(count) + 1); /* [T1] pairs with [T2] */
        return;
    }
    cx_tally_add_slow(t, kind);
}

#endif

void cx_tally_init(struct cx_tally *t);
void cx_tally_fini(struct cx_tally *t);
int64_t cx_tally_sum(const struct cx_tally *t, enum cx_tally_kind kind);
/* Both sums become 0; one call at a time. */
void cx_tally_reset(struct cx_tally *t);

#endif

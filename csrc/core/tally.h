// SPDX-License-Identifier: MIT
/* core/tally.h - hits and misses, counted exactly by any number of threads.
 *
 * The thread that counts first owns a cell in the tally itself and adds to it without a locked
 * instruction.  When a second one comes, cells for the others are allocated: the threads with the
 * first numbers (core/counter.h) own one each, the rest share some and add atomically.  A tally that one
 * thread uses, as most do, is small and costs two loads and a store.
 *
 * Whoever counts says so first (cx_tally_arrive), before it reads what the tally is about.  The owner is
 * alone (cx_tally_is_alone) until a second thread has arrived, and knows it by a plain load: the
 * arrival goes through membarrier, as the sections of core/rcu.h do.  What the owner has unlinked before
 * it found itself alone, nobody will ever read.
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
#include "core/rcu.h"

enum cx_tally_kind { CX_HITS, CX_MISSES, CX_TALLY_KINDS };

#if CX_WITH_GIL

struct cx_tally {
    int64_t count[CX_TALLY_KINDS];
};

#define cx_tally_add(t, kind) ((void)(t)->count[kind]++)
#define cx_tally_arrive(t) ((void)(t))
#define cx_tally_is_alone(t) ((void)(t), true)

#else

struct cx_tally_cell {
    int64_t count[CX_TALLY_KINDS] CX_ALIGNED; /* atomic */
};

struct cx_tally_cells {
    uint32_t owned; /* so many have an owner; as many are shared */
    struct cx_tally_cell cell[];
};

struct cx_tally {
    uint32_t owner;    /* atomic; the first thread's number plus one */
    uint32_t arrivals; /* atomic; 0: the owner's alone; 1: another comes; 2: it is there */
    struct cx_tally_cells *others; /* atomic */
    char apart[CX_CACHELINE];
    int64_t count[CX_TALLY_KINDS]; /* atomic; the owner's */
    char apart_too[CX_CACHELINE];
    int64_t base[CX_TALLY_KINDS]; /* atomic; subtracted */
};

void cx_tally_arrive_slow(struct cx_tally *t);

static inline void
cx_tally_arrive(struct cx_tally *t)
{
    if (CX_UNLIKELY(cx_load_relaxed(&t->owner) != cx_counter_thread() + 1 &&
                    cx_load_acquire(&t->arrivals) != 2)) { /* [T4] pairs with [T3] */
        cx_tally_arrive_slow(t);
    }
}

/* Whether the calling thread is the only one that has arrived.  Without membarrier it never says so. */
static inline bool
cx_tally_is_alone(const struct cx_tally *t)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST); /* after what was unlinked; membarrier does the rest */
    return cx_load_relaxed(&t->owner) == cx_counter_thread() + 1 &&
           cx_load_relaxed(&t->arrivals) == 0;
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

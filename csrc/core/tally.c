// SPDX-License-Identifier: MIT
#include "core/tally.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if CX_WITH_GIL

void
cx_tally_init(struct cx_tally *t)
{
    *t = (struct cx_tally){{0}};
}

void
cx_tally_fini(struct cx_tally *t)
{
    (void)t;
}

int64_t
cx_tally_sum(const struct cx_tally *t, enum cx_tally_kind kind)
{
    return t->count[kind];
}

void
cx_tally_reset(struct cx_tally *t)
{
    cx_tally_init(t);
}

#else

#define MOST_OWNED 64

void
cx_tally_init(struct cx_tally *t)
{
    memset(t, 0, sizeof *t);
}

void
cx_tally_fini(struct cx_tally *t)
{
    free(t->others);
    t->others = NULL;
}

/* Cells for all but the first thread; NULL: no memory. */
static CX_COLD struct cx_tally_cells *
make_cells(struct cx_tally *t)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t owned = 4;
    while (owned < MOST_OWNED && (long)owned < 2 * cpus) {
        owned *= 2;
    }
    size_t size = sizeof(struct cx_tally_cells) + 2 * owned * sizeof(struct cx_tally_cell);
    struct cx_tally_cells *made = aligned_alloc(CX_CACHELINE, size), *known = NULL;
    if (made == NULL) {
        return NULL;
    }
    memset(made, 0, size);
    made->owned = owned;
    if (cx_cas_acq_rel(&t->others, &known, made)) {
        return made;
    }
    free(made);
    return known;
}

#if defined(CX_WITH_URCU)
#define HAS_BARRIER false
#else
#define HAS_BARRIER (!cx_rcu_state.is_fenced)
#endif

/* The first becomes the owner.  Of the others each makes sure for itself that the owner knows, until
 * one has said that it does. */
CX_COLD void
cx_tally_arrive_slow(struct cx_tally *t)
{
    uint32_t nobody = 0;
    if (HAS_BARRIER && cx_cas_relaxed(&t->owner, &nobody, cx_counter_thread() + 1)) {
        return;
    }
    cx_store_relaxed(&t->arrivals, 1);
    if (!CX_BUG(TALLY_NO_BARRIER)) {
        (void)cx_rcu_try_advance(); /* a barrier in every running thread */
    }
    cx_store_release(&t->arrivals, 2); /* [T3] pairs with [T4] */
}

/* The owner's cell is nobody else's, so what has no cell goes to the base, which is subtracted. */
void
cx_tally_add_slow(struct cx_tally *t, enum cx_tally_kind kind)
{
    uint32_t number = cx_counter_thread();
    struct cx_tally_cells *cells = cx_load_acquire(&t->others);
    if (CX_UNLIKELY(cells == NULL) && (cells = make_cells(t)) == NULL) {
        (void)cx_fetch_add_relaxed(&t->base[kind], -1);
        return;
    }
    if (CX_LIKELY(number < cells->owned)) {
        int64_t *count = &cells->cell[number].count[kind];
        cx_store_release(count, cx_load_relaxed(count) + 1); /* [T1] pairs with [T2] */
    }
    else {
        uint32_t shared = cells->owned + (number & (cells->owned - 1));
        (void)cx_fetch_add_acq_rel(&cells->cell[shared].count[kind], 1); /* [T1] */
    }
}

/* Of everything since the beginning. */
static int64_t
total(const struct cx_tally *t, enum cx_tally_kind kind)
{
    int64_t sum = cx_load_acquire(&t->count[kind]); /* [T2] pairs with [T1] */
    const struct cx_tally_cells *cells = cx_load_acquire(&t->others);
    for (uint32_t i = 0; cells != NULL && i < 2 * cells->owned; i++) {
        sum += cx_load_acquire(&cells->cell[i].count[kind]); /* [T2] */
    }
    return sum;
}

int64_t
cx_tally_sum(const struct cx_tally *t, enum cx_tally_kind kind)
{
    int64_t base = cx_load_relaxed(&t->base[kind]);
    return total(t, kind) - base;
}

void
cx_tally_reset(struct cx_tally *t)
{
    for (int kind = 0; kind < CX_TALLY_KINDS; kind++) {
        int64_t sum = cx_tally_sum(t, kind);
        if (CX_BUG(TALLY_RESET_ZEROES)) {
            cx_store_relaxed(&t->count[kind], 0);
            continue;
        }
        (void)cx_fetch_add_relaxed(&t->base[kind], sum);
    }
}

#endif

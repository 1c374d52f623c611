// SPDX-License-Identifier: MIT
#include "core/deque.h"

#include <stdlib.h>

static struct cx_deque_cells *
cells_new(uint64_t capacity, struct cx_deque_cells *outgrown)
{
    struct cx_deque_cells *cells = calloc(1, sizeof *cells + capacity * sizeof cells->cell[0]);
    if (cells != NULL) {
        cells->mask = capacity - 1;
        cells->outgrown = outgrown;
    }
    return cells;
}

bool
cx_deque_init(struct cx_deque *d, uint64_t capacity)
{
    *d = (struct cx_deque){.cells = cells_new(capacity, NULL)};
    return d->cells != NULL;
}

void
cx_deque_fini(struct cx_deque *d)
{
    while (d->cells != NULL) {
        struct cx_deque_cells *outgrown = d->cells->outgrown;
        free(d->cells);
        d->cells = outgrown;
    }
}

static CX_COLD struct cx_deque_cells *
grow(struct cx_deque *d, struct cx_deque_cells *old, uint64_t top, uint64_t bottom)
{
    struct cx_deque_cells *cells = cells_new((old->mask + 1) * 2, old);
    for (uint64_t i = top; cells != NULL && i != bottom; i++) {
        cells->cell[i & cells->mask] = cx_load_relaxed(&old->cell[i & old->mask]);
    }
    if (cells != NULL) {
        cx_store_release(&d->cells, cells); /* pairs with steal */
    }
    return cells;
}

bool
cx_deque_push(struct cx_deque *d, void *item)
{
    uint64_t bottom = cx_load_relaxed(&d->bottom);
    uint64_t top = cx_load_acquire(&d->top); /* pairs with steal: its cell has been read */
    struct cx_deque_cells *cells = cx_load_relaxed(&d->cells);
    if (CX_UNLIKELY(bottom - top > cells->mask) && (cells = grow(d, cells, top, bottom)) == NULL) {
        return false;
    }
    cx_store_relaxed(&cells->cell[bottom & cells->mask], item);
    cx_store_release(&d->bottom, bottom + 1); /* LP; pairs with steal */
    return true;
}

void *
cx_deque_newest(struct cx_deque *d)
{
    uint64_t bottom = cx_load_relaxed(&d->bottom);
    struct cx_deque_cells *cells = cx_load_relaxed(&d->cells);
    return bottom == cx_load_relaxed(&d->top)
               ? NULL
               : cx_load_relaxed(&cells->cell[(bottom - 1) & cells->mask]);
}

void *
cx_deque_pop(struct cx_deque *d)
{
    uint64_t bottom = cx_load_relaxed(&d->bottom);
    struct cx_deque_cells *cells = cx_load_relaxed(&d->cells);
    if (bottom == cx_load_relaxed(&d->top)) {
        return NULL;
    }
    bottom--;
    cx_store_relaxed(&d->bottom, bottom);
    /* A thief that reads bottom after this does not take the item, or is seen here. */
    CX_UNLESS_BUG(DEQUE_NO_POP_FENCE, cx_fence_seq_cst());
    uint64_t top = cx_load_relaxed(&d->top);
    void *item = NULL;
    if (top <= bottom) {
        item = cx_load_relaxed(&cells->cell[bottom & cells->mask]); /* LP where top < bottom */
    }
    if (top >= bottom) {
        /* The last one: whoever moves top has it. */
        if (top == bottom && !CX_BUG(DEQUE_POP_NO_CAS) && !cx_cas_acq_rel(&d->top, &top, top + 1)) {
            item = NULL;
        }
        cx_store_relaxed(&d->bottom, bottom + 1);
    }
    return item;
}

enum cx_status
cx_deque_steal(struct cx_deque *d, void **item)
{
    uint64_t top = cx_load_acquire(&d->top);
    cx_fence_seq_cst();                            /* pairs with that of pop */
    uint64_t bottom = cx_load_acquire(&d->bottom); /* pairs with push */
    if (top >= bottom) {
        return CX_EMPTY;
    }
    struct cx_deque_cells *cells = cx_load_acquire(&d->cells); /* pairs with grow */
    *item = cx_load_relaxed(&cells->cell[top & cells->mask]);
    return cx_cas_acq_rel(&d->top, &top, top + 1) ? CX_OK : CX_AGAIN; /* LP */
}

size_t
cx_deque_count(const struct cx_deque *d)
{
    uint64_t top = cx_load_acquire(&d->top), bottom = cx_load_acquire(&d->bottom);
    return top < bottom ? (size_t)(bottom - top) : 0;
}

void *
cx_deque_at(const struct cx_deque *d, size_t i)
{
    return cx_load_relaxed(&d->cells->cell[(d->top + i) & d->cells->mask]);
}

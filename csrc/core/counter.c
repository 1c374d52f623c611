// SPDX-License-Identifier: MIT
#include "core/counter.h"

#include <stdlib.h>

bool
cx_counter_init(struct cx_counter *c, uint32_t cells)
{
    c->cells = aligned_alloc(CX_CACHELINE, cells * sizeof *c->cells);
    c->mask = cells - 1;
    for (uint32_t i = 0; c->cells != NULL && i < cells; i++) {
        c->cells[i].value = 0;
    }
    return c->cells != NULL;
}

void
cx_counter_fini(struct cx_counter *c)
{
    free(c->cells);
    c->cells = NULL;
}

CX_THREAD_LOCAL uint32_t cx_counter_mine;

CX_COLD uint32_t
cx_counter_enlist(void)
{
    static uint32_t threads;
    return cx_counter_mine = cx_fetch_add_relaxed(&threads, 1) + 1;
}

void
cx_counter_sum(const struct cx_counter *c, int64_t *high, uint64_t *low)
{
    *high = 0;
    *low = 0;
    for (uint32_t i = 0; i <= c->mask; i++) {
        int64_t value = cx_load_acquire(&c->cells[i].value); /* [C2] pairs with [C1] */
        uint64_t before = *low;
        *low += (uint64_t)value;
        *high += (value < 0 ? -1 : 0) + (*low < before ? 1 : 0);
    }
}

// SPDX-License-Identifier: MIT
/* tests/core/mc/ledger.h - who put what and who got what, in a model with items.
 *
 * Items are the numbers 1 .. LEDGER_ITEMS.  Everything is plain: only one thread runs at a time.
 */
#ifndef CX_MC_LEDGER_H
#define CX_MC_LEDGER_H

#include "mc.h"

#define LEDGER_ITEMS 8

enum fate { UNBORN, PUT, GOT };

struct ledger {
    uint8_t fate[LEDGER_ITEMS + 1];
    uint8_t by[LEDGER_ITEMS + 1];           /* which producer put it */
    uint8_t newest[MC_THREADS][MC_THREADS]; /* consumer, producer: the newest item got */
    bool ordered;
};

/* An item that may be in the structure from now on. */
static inline void
ledger_put(struct ledger *l, uintptr_t item)
{
    l->by[item] = (uint8_t)mc_self();
    if (l->fate[item] == UNBORN) {
        l->fate[item] = PUT;
    }
}

/* An item that was not put after all. */
static inline void
ledger_unput(struct ledger *l, uintptr_t item)
{
    mc_check(l->fate[item] == PUT, MC_DUPLICATED, "a put that failed was got");
    l->fate[item] = UNBORN;
}

static inline void
ledger_got(struct ledger *l, uintptr_t item)
{
    mc_check(item >= 1 && item <= LEDGER_ITEMS, "nonsense item", "that was never put");
    mc_check(l->fate[item] != GOT, MC_DUPLICATED, "got twice");
    mc_check(l->fate[item] == PUT, MC_DUPLICATED, "got, though its put failed");
    l->fate[item] = GOT;
    uint8_t *newest = &l->newest[mc_self()][l->by[item]];
    mc_check(!l->ordered || *newest < item, MC_ORDER, "items of one producer out of order");
    *newest = (uint8_t)item;
}

/* How many were put and not got. */
static inline int
ledger_left(const struct ledger *l)
{
    int left = 0;
    for (int i = 1; i <= LEDGER_ITEMS; i++) {
        left += l->fate[i] == PUT;
    }
    return left;
}

#endif

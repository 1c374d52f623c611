// SPDX-License-Identifier: MIT
/* tests/core/mc/wakes.h - wakes in a model without event loops. */
#ifndef CX_MC_WAKES_H
#define CX_MC_WAKES_H

#include "core/port.h"

#include "mc.h"

static inline void
deliver(struct cx_wakes *wakes)
{
    struct cx_port *edges[CX_WAKES];
    size_t told = cx_wakes_deliver(wakes, edges);
    mc_check(told == 0, "nonsense wake", "there is no loop here");
}

#endif

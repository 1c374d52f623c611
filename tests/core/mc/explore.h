// SPDX-License-Identifier: MIT
/* tests/core/mc/explore.h - runs one model through its schedules. */
#ifndef CX_MC_EXPLORE_H
#define CX_MC_EXPLORE_H

#include "world.h"

struct mc_result {
    const char *violation, *detail; /* NULL: none */
    bool exhausted;                 /* every schedule within the bound was covered */
    int tried, done;              /* bounds: tried last, and covered (-1: without one; -2: none) */
    uint64_t states, steps, ends; /* distinct states, operations run, executions that ended */
    int depth;                    /* of the violation's trace */
    double seconds;
};

/* Explores with 0, 1, .. bound preemptions, or without a bound if that is -1. */
void mc_explore(const struct mc_model *model, int bound, bool tso, double limit,
                struct mc_result *r);
void mc_print_trace(const struct mc_result *r);

#endif

// SPDX-License-Identifier: MIT
/* core/wheel.h - a hierarchical timer wheel: what has expired, in time that grows with its number alone.
 *
 * After G. Varghese and A. Lauck, "Hashed and Hierarchical Timing Wheels" (1987), scheme 7.  Five levels
 * of 64 buckets; a bucket of the first is 2^24 ns (16.8 ms) wide, of each further one 64 times the last:
 * 1.07 s, 69 s, 73 min, 3.3 days; what lies beyond 208 days waits in the last bucket and is put off
 * again.  The wheel turns when it is asked, never ahead of the time it is given.  A bucket of a higher
 * level that comes due is dealt out to lower ones node by node, so that a turn can stop anywhere and go
 * on later: each call is bounded by its budget, however many nodes fall due at once.
 *
 * A node may be put off by writing a later deadline into it, without a word to the wheel, which finds
 * out when the old one has passed.  A deadline may not be brought forward like that: remove and add.
 *
 * Progress:        add and remove are O(1); next is bounded by its budget.
 * Synchronization: the caller excludes every operation.
 * Ownership:       nodes live in an array of the caller's, which may move between calls.
 */
#ifndef CX_CORE_WHEEL_H
#define CX_CORE_WHEEL_H

#include "core/config.h"

#define CX_WHEEL_TICK 24 /* log2 of a tick in ns */
#define CX_WHEEL_LEVELS 5
#define CX_WHEEL_END UINT32_MAX        /* there is none */
#define CX_WHEEL_MORE (UINT32_MAX - 1) /* the budget is used up before that is known */

struct cx_wheel_node {
    int64_t deadline; /* ns; atomic: who puts it off need not be excluded */
    uint32_t prev, next;
};

struct cx_wheel {
    int64_t tick;   /* buckets of earlier ticks are empty */
    uint32_t count; /* nodes in the wheel */
    uint32_t look;  /* in the present bucket, where an exact look goes on; CX_WHEEL_END: nowhere */
    bool is_due;    /* the tick begins buckets of higher levels, which may not be dealt out yet */
    uint64_t taken[CX_WHEEL_LEVELS]; /* a bit for each bucket that has a node */
    uint32_t head[CX_WHEEL_LEVELS][64];
};

void cx_wheel_init(struct cx_wheel *wheel, int64_t now);

void cx_wheel_add(struct cx_wheel *wheel, struct cx_wheel_node *nodes, uint32_t node);
void cx_wheel_remove(struct cx_wheel *wheel, struct cx_wheel_node *nodes, uint32_t node);

/* Turns the wheel towards `now` and takes out one node that has expired; or CX_WHEEL_END, or
 * CX_WHEEL_MORE.  The budget is of nodes looked at.  Without `exact` what expired in the present tick
 * may be left for later; with it, nodes that are not due are looked at twice at most. */
uint32_t cx_wheel_next(struct cx_wheel *wheel, struct cx_wheel_node *nodes, int64_t now, bool exact,
                       uint32_t *budget);

#endif

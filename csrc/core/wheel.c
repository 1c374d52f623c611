// SPDX-License-Identifier: MIT
#include "core/wheel.h"

#include "core/atomic.h"

#include <string.h>

/* The `prev` of a bucket's first node says which bucket it is. */
#define BUCKET UINT32_C(0x80000000)

static int64_t
tick_of(int64_t ns)
{
    return ns >> CX_WHEEL_TICK;
}

void
cx_wheel_init(struct cx_wheel *wheel, int64_t now)
{
    *wheel = (struct cx_wheel){.tick = tick_of(now), .look = CX_WHEEL_END};
    memset(wheel->head, 0xFF, sizeof wheel->head);
}

void
cx_wheel_add(struct cx_wheel *wheel, struct cx_wheel_node *nodes, uint32_t node)
{
    int64_t tick = tick_of(cx_load_relaxed(&nodes[node].deadline));
    uint64_t ahead = tick > wheel->tick ? (uint64_t)(tick - wheel->tick) : 0;
    unsigned level = 0;
    while (level < CX_WHEEL_LEVELS - 1 && ahead >> 6 * (level + 1) != 0) {
        level++;
    }
    uint64_t at = (uint64_t)(ahead > 0 ? tick : wheel->tick) >> 6 * level;
    if (ahead >> 6 * CX_WHEEL_LEVELS != 0) {
        at = ((uint64_t)wheel->tick >> 6 * level) + 63; /* as far as the wheel reaches */
    }
    unsigned slot = at & 63;
    uint32_t first = wheel->head[level][slot];
    nodes[node].prev = BUCKET | level << 6 | slot;
    nodes[node].next = first;
    if (first != CX_WHEEL_END) {
        nodes[first].prev = node;
    }
    wheel->head[level][slot] = node;
    wheel->taken[level] |= UINT64_C(1) << slot;
    wheel->count++;
}

void
cx_wheel_remove(struct cx_wheel *wheel, struct cx_wheel_node *nodes, uint32_t node)
{
    uint32_t prev = nodes[node].prev, next = nodes[node].next;
    if (wheel->look == node) {
        wheel->look = next;
    }
    if (next != CX_WHEEL_END) {
        nodes[next].prev = prev;
    }
    if (prev & BUCKET) {
        unsigned level = prev >> 6 & 7, slot = prev & 63;
        wheel->head[level][slot] = next;
        if (next == CX_WHEEL_END) {
            wheel->taken[level] &= ~(UINT64_C(1) << slot);
        }
    }
    else {
        nodes[prev].next = next;
    }
    wheel->count--;
}

/* Deals out the buckets of higher levels that begin with this tick; false: the budget is used up. */
static bool
deal_out(struct cx_wheel *wheel, struct cx_wheel_node *nodes, uint32_t *budget)
{
    for (unsigned level = 1; level < CX_WHEEL_LEVELS; level++) {
        if ((wheel->tick & ((INT64_C(1) << 6 * level) - 1)) != 0) {
            break;
        }
        unsigned slot = (uint64_t)wheel->tick >> 6 * level & 63;
        uint32_t node;
        while ((node = wheel->head[level][slot]) != CX_WHEEL_END) {
            if (*budget == 0) {
                return false;
            }
            --*budget;
            cx_wheel_remove(wheel, nodes, node);
            cx_wheel_add(wheel, nodes, node); /* to a lower level, or far ahead in the last */
        }
    }
    wheel->is_due = false;
    return true;
}

/* Goes on to the next tick at which there may be something to do, not beyond `end`. */
static void
turn(struct cx_wheel *wheel, int64_t end)
{
    unsigned slot = wheel->tick & 63;
    uint64_t later = slot == 63 ? 0 : wheel->taken[0] >> (slot + 1);
    int64_t next = wheel->tick;
    if (wheel->count == 0) {
        next = end;
    }
    else if (later != 0) {
        next += 1 + __builtin_ctzll(later);
    }
    else {
        unsigned level =
            0; /* the lowest one that holds anything: all before its next bucket is empty */
        while (level < CX_WHEEL_LEVELS - 1 && wheel->taken[level] == 0) {
            level++;
        }
        unsigned bits = 6 * (level == 0 ? 1 : level);
        next = (int64_t)((((uint64_t)next >> bits) + 1) << bits);
    }
    wheel->tick = next < end ? next : end;
    wheel->is_due = (wheel->tick & 63) == 0;
    wheel->look = CX_WHEEL_END;
}

/* One node of the present bucket that has expired.  Where it stopped, the next call goes on. */
static uint32_t
look_closely(struct cx_wheel *wheel, struct cx_wheel_node *nodes, int64_t now, uint32_t *budget)
{
    if (wheel->look == CX_WHEEL_END) {
        wheel->look = wheel->head[0][wheel->tick & 63];
    }
    while (wheel->look != CX_WHEEL_END) {
        uint32_t node = wheel->look;
        if (*budget == 0) {
            return CX_WHEEL_MORE;
        }
        --*budget;
        wheel->look = nodes[node].next;
        if (cx_load_relaxed(&nodes[node].deadline) <= now) {
            cx_wheel_remove(wheel, nodes, node);
            return node;
        }
    }
    return CX_WHEEL_END;
}

uint32_t
cx_wheel_next(struct cx_wheel *wheel, struct cx_wheel_node *nodes, int64_t now, bool exact,
              uint32_t *budget)
{
    int64_t end = tick_of(now);
    for (;;) {
        if (wheel->is_due && !deal_out(wheel, nodes, budget)) {
            return CX_WHEEL_MORE;
        }
        if (wheel->tick >= end) {
            return wheel->tick == end && exact ? look_closely(wheel, nodes, now, budget)
                                               : CX_WHEEL_END;
        }
        uint32_t node = wheel->head[0][wheel->tick & 63];
        if (node == CX_WHEEL_END) {
            turn(wheel, end);
            continue;
        }
        if (*budget == 0) {
            return CX_WHEEL_MORE;
        }
        --*budget;
        cx_wheel_remove(wheel, nodes, node);
        if (cx_load_relaxed(&nodes[node].deadline) <= now) {
            return node;
        }
        cx_wheel_add(wheel, nodes, node); /* it was put off */
    }
}

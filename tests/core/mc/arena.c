// SPDX-License-Identifier: MIT
/* The memory of an execution: one arena, a slice of it for the setup and for each thread. */
#include "world.h"

#include <string.h>

#include "core/waiter.h"

char mc_arena[ARENA_SIZE] __attribute__((aligned(64)));

/* Blocks are headed by a word: size << 1 | live. */
#define HEADER 16

char *
mc_slice(int i)
{
    return i == 0 ? mc_arena : mc_arena + (size_t)(i + 1) * ARENA_SLICE;
}

void *
mc_aligned(size_t alignment, size_t size)
{
    int i = mc_running + 1;
    size_t room = i == 0 ? 2 * ARENA_SLICE : ARENA_SLICE;
    size_t at = world.used[i] + HEADER;
    at = (at + alignment - 1) / alignment * alignment;
    size = (size + 15) / 16 * 16;
    if (at + size > room) {
        mc_fail("arena too small", "enlarge ARENA_SLICE");
        return NULL;
    }
    char *block = mc_slice(i) + at;
    /* Freed space is not used again: a late touch is seen. */
    memset(mc_slice(i) + world.used[i], 0, at + size - world.used[i]);
    world.used[i] = at + size;
    ((uint64_t *)(void *)block)[-1] = size << 1 | 1;
    world.live++;
    return block;
}

void *
mc_calloc(size_t n, size_t size)
{
    return mc_aligned(16, n * size);
}

void
mc_free(void *p)
{
    if (p == NULL) {
        return;
    }
    uint64_t *header = (uint64_t *)p - 1;
    if ((*header & 1) == 0) {
        mc_fail(MC_FREED, "freed twice");
    }
    *header &= ~UINT64_C(1);
    world.live--;
    memset(p, 0xDD, *header >> 1);
}

int
mc_live_blocks(void)
{
    return (int)world.live;
}

int
mc_borrowed(void)
{
    return (int)world.borrowed;
}

/* The pool of waiter.c, which is compiled out; here too a late wake can meet a reused waiter. */
struct cx_waiter *
cx_waiter_borrow(void)
{
    struct cx_waiter *waiter = world.pool;
    if (waiter != NULL) {
        world.pool = waiter->next;
        waiter->next = NULL;
    }
    else {
        waiter = mc_calloc(1, sizeof *waiter);
        world.live--; /* counted by itself */
    }
    waiter->kind = CX_THREAD;
    world.borrowed++;
    cx_waiter_arm(waiter);
    return waiter;
}

void
cx_waiter_return(struct cx_waiter *waiter)
{
    waiter->next = world.pool;
    world.pool = waiter;
    world.borrowed--;
}

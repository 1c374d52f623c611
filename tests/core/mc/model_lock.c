// SPDX-License-Identifier: MIT
/* lock.c itself, under names of its own: mutual exclusion, and nobody sleeps while the lock is free.
 * Every other model runs over abstract_lock.c. */
#include "mc_hooks.h"
#undef cx_xchg_release
#define cx_xchg_release(p, v) cx_xchg_acquire(p, v)
#define cx_lock_pause real_lock_pause
#define cx_lock_sleep real_lock_sleep
#define cx_lock_acquire_slow real_lock_acquire_slow
#define cx_lock_release_slow real_lock_release_slow
#include "core/lock.c"

#include "models.h"

struct state {
    struct cx_lock lock;
    uint32_t inside, other;
    uint32_t entered; /* plain: guarded by the lock */
};

static struct state *state;

static void
body(void *arg)
{
    for (int round = 0; round < (int)(intptr_t)arg; round++) {
        cx_lock_acquire(&state->lock);
        mc_check(cx_xchg_acquire(&state->inside, 1) == 0, "exclusion broken", "two inside");
        state->entered++;
        cx_store_relaxed(&state->inside, 0);
        cx_lock_release(&state->lock);
    }
}

void
model_lock_setup(void)
{
    state = calloc(1, sizeof *state);
    mc_name(&state->lock, sizeof state->lock, "lock");
    mc_name(&state->inside, sizeof state->inside, "inside");
    mc_thread("A", body, (void *)2);
    mc_thread("B", body, (void *)(intptr_t)(mc_variant() == 2 ? 2 : 1));
    if (mc_variant() == 3) {
        mc_thread("C", body, (void *)1);
    }
}

void
model_lock_finish(bool deadlock)
{
    mc_check(!deadlock, MC_LOST_WAKEUP, "a thread sleeps for a lock that is free");
    mc_check(state->entered == 4, MC_LOST_ITEM, "an entry was lost");
    mc_check(state->lock.word == 0, MC_LEFT_IN_LIST, "the lock is still held");
}

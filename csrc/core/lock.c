// SPDX-License-Identifier: MIT
#include "core/lock.h"

#include "core/clock.h"
#include "core/park.h"

#ifdef CX_MC
#define SPINS 1 /* each spin is a state of its own */
#else
#define SPINS 40
#endif

void (*cx_lock_pause)(struct cx_lock *) = cx_lock_sleep;

void
cx_lock_sleep(struct cx_lock *lock)
{
    uint32_t word = cx_load_relaxed(&lock->word);
    if (word == 0 || cx_lock_is_lost(word)) {
        return;
    }
    /* Held becomes waited-for, so that the release wakes; a release in between changes the word. */
    if ((word & 2) == 0 && !cx_cas_relaxed(&lock->word, &word, word | 2)) {
        return;
    }
    (void)cx_park(&lock->word, word | 2, CX_FOREVER);
}

void
cx_lock_acquire_slow(struct cx_lock *lock)
{
    uint32_t mine = cx_lock_held();
    for (int spins = 0;; spins++) {
        uint32_t word = cx_load_relaxed(&lock->word);
        if (word == 0 || cx_lock_is_lost(word)) {
            if (cx_cas_acquire(&lock->word, &word, mine)) { /* [L1] pairs with [L2] */
                return;
            }
        }
        else if (spins < SPINS) {
            cx_pause();
        }
        else {
            cx_lock_pause(lock);
            /* A sleeper that was woken alone cannot know whether others sleep. */
            CX_UNLESS_BUG(LOCK_FORGETS_SLEEPERS, mine |= 2);
        }
    }
}

void
cx_lock_release_slow(struct cx_lock *lock)
{
    CX_UNLESS_BUG(LOCK_NO_WAKE, cx_unpark(&lock->word, 1));
}

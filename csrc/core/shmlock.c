// SPDX-License-Identifier: MIT
#include "core/shmlock.h"

#include <limits.h>

#include "core/clock.h"

/* Looks at a held lock before asking the system about its owner: a critical section is shorter. */
#define SPINS 200

enum cx_status
cx_shmlock_take(uint32_t *word, bool recover, bool slept, uint32_t *seen)
{
    uint32_t me =
        cx_owner_self() | (slept && !CX_BUG(SHM_LOCK_FORGETS_SLEEPERS) ? CX_SHM_WAITED : 0);
    for (;;) {
        uint32_t now = cx_load_relaxed(word), owner = now & ~CX_SHM_WAITED;
        if (owner == 0) {
            CX_KILL_POINT();
            if (cx_cas_acquire(word, &now, me)) { /* LP; [L1] pairs with [L2] */
                CX_KILL_POINT();
                return CX_OK;
            }
            continue;
        }
        if (owner == CX_OWNER_DIED || !cx_owner_alive(owner)) {
            if (owner == CX_OWNER_DIED && !recover) {
                return CX_DIED;
            }
            uint32_t then = recover ? me | CX_SHM_WAITED : CX_OWNER_DIED;
            if (CX_BUG(SHM_LOCK_INHERITED_BLINDLY)) {
                now = cx_load_relaxed(word); /* whoever it is by now */
            }
            if (cx_cas_acquire(word, &now, then)) { /* [L1] */
                CX_KILL_POINT();
                if (!recover) {
                    (void)cx_unpark_shared(word, INT_MAX);
                }
                return CX_DIED;
            }
            continue;
        }
        if ((now & CX_SHM_WAITED) == 0 && !cx_cas_relaxed(word, &now, now | CX_SHM_WAITED)) {
            continue;
        }
        CX_KILL_POINT();
        *seen = now | CX_SHM_WAITED;
        return CX_WAIT;
    }
}

bool
cx_shmlock_release(uint32_t *word)
{
    CX_KILL_POINT();
    uint32_t now = cx_xchg_release(word, 0); /* LP; [L2] pairs with [L1] */
    CX_KILL_POINT();
    if ((now & CX_SHM_WAITED) != 0) {
        (void)cx_unpark_shared(word, 1);
    }
    return (now & ~CX_SHM_WAITED) != 0;
}

enum cx_status
cx_shmlock_enter(uint32_t *word, struct cx_shmlock_busy *busy)
{
    for (int i = 0; i < SPINS && cx_load_relaxed(word) != 0; i++) {
        cx_pause();
    }
    bool slept = busy->word != NULL;
    busy->word = word;
    return cx_shmlock_take(word, true, slept, &busy->seen);
}

enum cx_status
cx_shmsem_take(uint32_t *word, uint32_t *seen)
{
    for (;;) {
        uint32_t now = cx_load_relaxed(word);
        CX_KILL_POINT();
        if ((now & ~CX_SHM_WAITED) != 0) {
            if (cx_cas_acquire(word, &now, now - 1)) { /* LP; [L3] pairs with [L4] */
                CX_KILL_POINT();
                return CX_OK;
            }
        }
        else if (now == CX_SHM_WAITED || cx_cas_relaxed(word, &now, CX_SHM_WAITED)) {
            CX_KILL_POINT();
            *seen = CX_SHM_WAITED;
            return CX_WAIT;
        }
    }
}

bool
cx_shmsem_give(uint32_t *word, uint32_t most)
{
    uint32_t now = cx_load_relaxed(word);
    do {
        if ((now & ~CX_SHM_WAITED) >= most) {
            return false;
        }
        CX_KILL_POINT();
    } while (!cx_cas_release(word, &now, now + 1)); /* LP; [L4] pairs with [L3] */
    CX_KILL_POINT();
    now++;
    if ((now & CX_SHM_WAITED) != 0 && cx_unpark_shared(word, 1) == 0) {
        /* Nobody sleeps.  One who lies down at this very moment looks again within CX_SHM_LOOK: a bit
         * cleared too early costs time and no permit. */
        (void)cx_cas_relaxed(word, &now, now & ~CX_SHM_WAITED);
        CX_KILL_POINT();
    }
    return true;
}

enum cx_status
cx_shmevent_look(uint32_t *word, uint32_t *seen)
{
    uint32_t now = cx_load_acquire(word); /* [L5] pairs with [L6] */
    for (;;) {
        if ((now & 1) != 0) {
            return CX_OK;
        }
        if ((now & CX_SHM_WAITED) != 0 || cx_cas_acquire(word, &now, now | CX_SHM_WAITED)) {
            CX_KILL_POINT();
            *seen = now | CX_SHM_WAITED;
            return CX_WAIT;
        }
    }
}

bool
cx_shmevent_happened(const uint32_t *word, uint32_t seen)
{
    uint32_t now = cx_load_acquire(word); /* [L5] */
    return ((now ^ seen) & ~CX_SHM_WAITED) != 0;
}

void
cx_shmevent_set(uint32_t *word)
{
    uint32_t now = cx_load_relaxed(word), then;
    do {
        if ((now & 1) != 0) {
            return;
        }
        CX_KILL_POINT();
        then =
            ((now & ~CX_SHM_WAITED) + (CX_BUG(SHM_EVENT_NO_GENERATION) ? 0 : 2)) % CX_SHM_WAITED |
            1;
    } while (!cx_cas_acq_rel(word, &now, then)); /* LP; [L6] pairs with [L5] */
    CX_KILL_POINT();
    if ((now & CX_SHM_WAITED) != 0) {
        (void)cx_unpark_shared(word, INT_MAX);
    }
}

void
cx_shmevent_clear(uint32_t *word)
{
    uint32_t now = cx_load_relaxed(word);
    while ((now & 1) != 0 && !cx_cas_acq_rel(word, &now, now & ~1u)) { /* LP */
    }
    CX_KILL_POINT();
}

void
cx_shmbell_set(uint32_t *word)
{
    cx_store_relaxed(word, 1);
    CX_KILL_POINT();
    /* The sleeper's store before its look, against the publisher's store before its: without both
     * fences each may read the old value, and nobody is woken. */
    CX_UNLESS_BUG(SHM_BELL_NO_SET_FENCE, cx_fence_seq_cst());
}

void
cx_shmbell_ring(uint32_t *word, int n)
{
    CX_UNLESS_BUG(SHM_BELL_NO_RING_FENCE, cx_fence_seq_cst()); /* see cx_shmbell_set */
    if (cx_load_relaxed(word) != 0) {
        CX_KILL_POINT();
        cx_store_relaxed(word, 0);
        CX_KILL_POINT();
        (void)cx_unpark_shared(word, n);
    }
}

uint32_t
cx_shmchime_listen(uint32_t *word)
{
    uint32_t now = cx_load_relaxed(word);
    while ((now & 1) == 0 && !cx_cas_relaxed(word, &now, now | 1)) {
    }
    CX_KILL_POINT();
    CX_UNLESS_BUG(SHM_CHIME_NO_LISTEN_FENCE, cx_fence_seq_cst()); /* see cx_shmbell_set */
    return now | 1;
}

void
cx_shmchime_strike(uint32_t *word, int n)
{
    CX_UNLESS_BUG(SHM_CHIME_NO_STRIKE_FENCE, cx_fence_seq_cst()); /* see cx_shmbell_set */
    uint32_t now = cx_load_relaxed(word);
    while ((now & 1) != 0) {
        CX_KILL_POINT();
        /* Counted, so that one who listens anew hides it from nobody who has not parked yet. */
        uint32_t then = CX_BUG(SHM_CHIME_NOT_COUNTED) ? now - 1 : now + 1;
        if (cx_cas_relaxed(word, &now, then)) {
            CX_KILL_POINT();
            (void)cx_unpark_shared(word, n);
            return;
        }
    }
}

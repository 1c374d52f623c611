// SPDX-License-Identifier: MIT
/* core/shmlock.h - words in shared memory that processes wait on: lock, semaphore, event, doorbell.
 *
 * Each is one 32-bit word, so every change is one atomic step, and a process that dies leaves a word
 * that is either as before or as after.  A lock's word names its owner (core/shm.h): whoever finds
 * it held asks whether the owner still runs.  Semaphores and events have no owner.
 *
 * The functions try; who must wait parks on the word (cx_park_shared) while it holds *seen, at most
 * CX_SHM_LOOK at a time, because the process that would have woken it may have died, and tries again.
 *
 *   lock       0 free; CX_OWNER_DIED the owner died; else owner; top bit: waited for
 *   semaphore  value; top bit: waited for
 *   event      generation << 1 | is set; top bit: waited for
 *   doorbell   1 somebody sleeps, 0 nobody does
 *   chime      how often it was struck << 1 | somebody listens
 *
 * Progress:  every try is lock-free.  After U. Drepper, "Futexes Are Tricky".
 * Ordering:  what came before a release, give, set or ring is seen after the take that follows it.
 * Fork:      the child is another owner; nothing is repaired.
 */
#ifndef CX_CORE_SHMLOCK_H
#define CX_CORE_SHMLOCK_H

#include "core/park.h"
#include "core/shm.h"

#define CX_SHM_LOOK (INT64_C(100000000)) /* nanoseconds */
#define CX_SHM_WAITED 0x80000000u
#define CX_OWNER_DIED 0x7fc00000u /* no owner: its pid is 0 */

/* A lock: CX_OK taken; CX_WAIT park on *seen; CX_DIED its owner died.  With `recover` it is then the
 * caller's; without, it stays as it is until somebody releases it.  `slept`: the caller has waited,
 * so others may. */
enum cx_status cx_shmlock_take(uint32_t *word, bool recover, bool slept, uint32_t *seen);
/* A free lock, by its new owner; false: see cx_shmlock_take. */
static inline bool
cx_shmlock_try(uint32_t *word, uint32_t me)
{
    uint32_t expected = 0;
    CX_KILL_POINT();
    bool taken = cx_cas_acquire(word, &expected, me); /* LP; [L1] pairs with [L2] */
    CX_KILL_POINT();
    return taken;
}
/* Frees it, whoever holds it; false: it was free. */
bool cx_shmlock_release(uint32_t *word);

/* Where the one who found a critical section occupied has to park; zero before the first try. */
struct cx_shmlock_busy {
    const uint32_t *word;
    uint32_t seen;
};

/* For critical sections of the core: looks for a while, then CX_WAIT with *busy.  CX_DIED: entered, but
 * an owner died inside, and what it left half done is the caller's to repair. */
enum cx_status cx_shmlock_enter(uint32_t *word, struct cx_shmlock_busy *busy);

/* A semaphore: CX_OK or CX_WAIT. */
enum cx_status cx_shmsem_take(uint32_t *word, uint32_t *seen);
/* False: it is at `most` already. */
bool cx_shmsem_give(uint32_t *word, uint32_t most);

static inline uint32_t
cx_shmsem_value(const uint32_t *word)
{
    return cx_load_acquire(word) & ~CX_SHM_WAITED;
}

/* An event: CX_OK it is set; CX_WAIT park on *seen. */
enum cx_status cx_shmevent_look(uint32_t *word, uint32_t *seen);
/* Whether it has been set since it was *seen. */
bool cx_shmevent_happened(const uint32_t *word, uint32_t seen);
void cx_shmevent_set(uint32_t *word);
void cx_shmevent_clear(uint32_t *word);

/* A doorbell, of one sleeper: it sets it, looks again for what it waits for, and parks while it is 1.
 * With two, the one that sets it hides from the other that it was rung: those need a chime. */
void cx_shmbell_set(uint32_t *word);
/* After what somebody may wait for was published: wakes n if any sleeps. */
void cx_shmbell_ring(uint32_t *word, int n);

/* A chime, of any number of sleepers: each listens, looks again, and parks while the word is what
 * listening answered.  One that was woken listens before it looks, for others may still sleep. */
CX_NODISCARD uint32_t cx_shmchime_listen(uint32_t *word);
/* After what somebody may wait for was published: wakes n if any sleeps. */
void cx_shmchime_strike(uint32_t *word, int n);

#endif

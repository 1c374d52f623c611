// SPDX-License-Identifier: MIT
/* core/lock.h - the short lock of the core, and the guard of structures that the GIL may exclude.
 *
 * cx_lock is three-state (free, held, held and waited for), after U. Drepper, "Futexes Are Tricky".
 * It is held for a few dozen instructions: no Python, no reference dropped, no wake inside, and
 * malloc only to grow a structure.  It is not fair and not recursive.
 *
 * cx_guard is a cx_lock on free-threaded builds and in the core's own tests, and nothing at all
 * where the GIL excludes (CX_WITH_GIL): there, whoever runs between take and release holds the GIL
 * and gives it up to nobody.
 *
 * Progress:  try wait-free; acquire blocks; release wait-free but for one system call if waited for.
 * Ordering:  what was written before a release is visible after the acquire that follows it.
 * Detached:  a thread that finds the lock held spins, then calls cx_lock_pause, which the binding
 *            replaces by one that leaves the interpreter while it sleeps.  The pause returns when
 *            the lock looks free and never owns it: the lock is only ever taken by an attached
 *            thread (or one without the interpreter), so a stop-the-world finds it free.
 * Fork:      a lock that a lost thread held is free in the child; see cx_lock_acquire.
 */
#ifndef CX_CORE_LOCK_H
#define CX_CORE_LOCK_H

#include "core/fork.h"

struct cx_lock {
    uint32_t word; /* 0 free; otherwise generation << 2 | 1 held | 2 waited for */
};

#define CX_LOCK_INIT {0}

/* Sleeps until the lock looks free; replaced by the binding before any other thread exists. */
extern void (*cx_lock_pause)(struct cx_lock *lock);

/* The pause of a thread that has no interpreter to leave. */
void cx_lock_sleep(struct cx_lock *lock);

/* Contended path of cx_lock_acquire. */
void cx_lock_acquire_slow(struct cx_lock *lock);
/* Contended path of cx_lock_release. */
void cx_lock_release_slow(struct cx_lock *lock);

/* The word of a lock that this process holds; a fork changes it. */
static inline uint32_t
cx_lock_held(void)
{
    return cx_fork_generation() << 2 | 1;
}

/* Whether that word is of a lock whose holder a fork has lost; then it can be taken. */
static inline bool
cx_lock_is_lost(uint32_t word)
{
    return word != 0 && word >> 2 != cx_lock_held() >> 2;
}

static inline bool
cx_lock_try(struct cx_lock *lock)
{
    uint32_t expected = 0;
    return cx_cas_acquire(&lock->word, &expected, cx_lock_held()); /* [L1] pairs with [L2] */
}

static inline void
cx_lock_acquire(struct cx_lock *lock)
{
    if (CX_UNLIKELY(!cx_lock_try(lock))) {
        cx_lock_acquire_slow(lock);
    }
}

static inline void
cx_lock_release(struct cx_lock *lock)
{
    /* [L2] pairs with [L1] */
    if (CX_UNLIKELY(cx_xchg_release(&lock->word, 0) & 2)) {
        cx_lock_release_slow(lock);
    }
}

#if CX_WITH_GIL

struct cx_guard {
    char none[1];
};
#define cx_guard_init(g) ((void)(g))
#define cx_guard_take(g) ((void)(g))
#define cx_guard_try(g) ((void)(g), true)
#define cx_guard_release(g) ((void)(g))

#else

struct cx_guard {
    struct cx_lock lock;
};
#define cx_guard_init(g) ((void)((g)->lock.word = 0))
#define cx_guard_take(g) cx_lock_acquire(&(g)->lock)
#define cx_guard_try(g) cx_lock_try(&(g)->lock)
#define cx_guard_release(g) cx_lock_release(&(g)->lock)

#endif

#endif

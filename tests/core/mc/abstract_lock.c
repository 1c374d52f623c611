// SPDX-License-Identifier: MIT
/* The contended lock as one step: whoever finds it held goes on when it is free, owning it.  Every
 * model but the lock's own runs over this, so that lock.c's steps do not multiply with theirs. */
#include "core/lock.h"

#include "world.h"

void (*cx_lock_pause)(struct cx_lock *) = NULL;

void
cx_lock_acquire_slow(struct cx_lock *lock)
{
    mc_lock_wait(lock);
}

void
cx_lock_release_slow(struct cx_lock *lock)
{
    (void)lock;
    mc_fail("lock broken", "the abstract lock is never waited for");
}

// SPDX-License-Identifier: MIT
/* The same sections and grace periods over liburcu, flavour bp (CX_WITH_URCU).
 *
 * A section is nine nanoseconds instead of two, because the library keeps its reader in a thread-local
 * of the general model; a grace period is waited for, with all signals of the thread blocked.
 */
#include "core/rcu.h"

#if defined(CX_WITH_URCU) && !CX_WITH_GIL

#include <pthread.h>
#include <urcu/urcu-bp.h>

static uint64_t begun = 1, ended; /* atomic; grace periods by number */

static void
install(void)
{
    pthread_atfork(urcu_bp_before_fork, urcu_bp_after_fork_parent, urcu_bp_after_fork_child);
}

void
cx_rcu_install(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
}

void
cx_rcu_enter(void)
{
    urcu_bp_read_lock();
}

void
cx_rcu_exit(void)
{
    urcu_bp_read_unlock();
}

uint64_t
cx_rcu_stamp(void)
{
    cx_fence_seq_cst();
    return cx_load_relaxed(&begun);
}

bool
cx_rcu_try_advance(void)
{
    uint64_t number = cx_fetch_add_acq_rel(&begun, 1);
    cx_rcu_detached(urcu_bp_synchronize_rcu);
    uint64_t before = cx_load_relaxed(&ended);
    while (before < number && !cx_cas_release(&ended, &before, number)) {
    }
    return true;
}

/* A grace period that began after the stamp has ended. */
bool
cx_rcu_is_over(uint64_t stamp)
{
    return cx_load_acquire(&ended) >= stamp;
}

void
cx_rcu_wait(void)
{
    (void)cx_rcu_try_advance();
}

#endif

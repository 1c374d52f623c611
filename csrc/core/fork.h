// SPDX-License-Identifier: MIT
/* core/fork.h - which process this is, counted in forks.
 *
 * Only the forking thread survives in a child.  Whatever another thread had locked, enlisted or
 * half published belongs to a generation that is gone: structures stamp themselves with the
 * generation and repair or forget at their first use in the child.
 *
 * Progress: wait-free.  cx_fork_install is idempotent and must have run before the first stamp.
 */
#ifndef CX_CORE_FORK_H
#define CX_CORE_FORK_H

#include "core/atomic.h"

extern uint32_t cx_fork_generation_word; /* written only in a child, before it has threads */

static inline uint32_t
cx_fork_generation(void)
{
    return cx_load_relaxed(&cx_fork_generation_word);
}

/* Registers the handler that counts; `child` hooks (at most eight, process lifetime) run after it
 * in every child. */
void cx_fork_install(void (*child)(void));

#endif

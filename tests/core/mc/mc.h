// SPDX-License-Identifier: MIT
/* tests/core/mc/mc.h - a model checker for the core's real source.
 *
 * A model is a handful of threads over structures of the core.  The checker runs them as coroutines
 * and explores, depth first, every order of their atomic operations, up to a bound on preemptions
 * (switches away from a thread that could have gone on) or without one.  Every byte that the
 * threads can see lies in one arena and on their stacks, so a state is copied, restored and
 * recognised as a whole: one that was met before with as many preemptions left is not entered again.
 *
 * Store-buffer mode: a store goes into its thread's buffer, which its own loads see and others do
 * not, until the checker lets the oldest entry out, at any later point.  Read-modify-writes, fences
 * and parking empty the buffer first.  That is x86-TSO, and shows a missing StoreLoad fence.  The
 * release of a lock is a store here, though x86 makes it a read-modify-write: aarch64 does not
 * order it before later loads.
 *
 * What a model can use: everything of the core, the functions below, memory from calloc; never a
 * variable of its own outside the arena that changes, nor a system call.
 */
#ifndef CX_MC_MC_H
#define CX_MC_MC_H

#include "core/atomic.h"
#include "core/park.h"

#define MC_THREADS 6

/* An execution that goes wrong is reported by one of these names, or by one of the model's own. */
#define MC_LOST_WAKEUP "lost wake-up"
#define MC_LOST_ITEM "lost item"
#define MC_DUPLICATED "duplicated item"
#define MC_LEFT_IN_LIST "waiter left in list"
#define MC_ORDER "order broken"
#define MC_LEAK "memory leaked"
#define MC_FREED "freed memory touched"

struct mc_model {
    const char *name;
    int variant;                   /* the model's own parameter, see mc_variant */
    void (*setup)(void);           /* before the threads; makes everything; mc_thread for each */
    void (*finish)(bool deadlock); /* no thread can go on; deadlock: some have not ended */
    const char *says;              /* one line */
    int ci_bound;     /* preemptions in CI, sequentially consistent; -1: all schedules */
    int ci_tso_bound; /* the same with store buffers; -2: not run */
};

/* setup: adds a thread.  Its body starts when all threads exist. */
void mc_thread(const char *name, void (*body)(void *), void *arg);
/* setup: what a trace calls this memory. */
void mc_name(const void *p, size_t size, const char *name);

/* setup: operations on this memory are no schedule points; nothing must depend on it (statistics),
 * or nobody write it. */
void mc_quiet(const void *p, size_t size);

/* The variant of the model that runs. */
int mc_variant(void);
/* The index of the running thread. */
int mc_self(void);
/* 0 .. n - 1, each explored. */
int mc_choose(int n);
/* Sleeps until *word == value, without taking part in the wait protocol. */
void mc_await(const uint32_t *word, uint32_t value);
/* Ends the execution as a violation. */
void mc_fail(const char *violation, const char *detail);
/* finish: whether a thread has ended. */
bool mc_ended(int thread);
/* finish: blocks of the arena that were allocated and not freed. */
int mc_live_blocks(void);
/* finish: thread waiters that were borrowed and not returned. */
int mc_borrowed(void);

static inline void
mc_check(bool ok, const char *violation, const char *detail)
{
    if (!ok) {
        mc_fail(violation, detail);
    }
}

extern const struct mc_model mc_models[];
extern const size_t mc_model_count;

#endif

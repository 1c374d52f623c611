// SPDX-License-Identifier: MIT
#include "core/rcu.h"

static void
run(void (*wait)(void))
{
    wait();
}

void (*cx_rcu_detached)(void (*wait)(void)) = run;

#if CX_WITH_GIL

void
cx_rcu_install(void)
{
}

uint64_t
cx_rcu_stamp(void)
{
    return 0;
}

bool
cx_rcu_try_advance(void)
{
    return true;
}

bool
cx_rcu_is_over(uint64_t stamp)
{
    (void)stamp;
    return true;
}

void
cx_rcu_wait(void)
{
}

#elif !defined(CX_WITH_URCU)

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#if defined(__linux__) && !defined(CX_MC)
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#ifndef CX_MC
struct cx_rcu cx_rcu_state = {.epoch = 1, .is_fenced = true};
CX_THREAD_LOCAL struct cx_rcu_slot *cx_rcu_mine;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key; /* tells when a thread ends */
#endif

#if defined(__linux__) && defined(SYS_membarrier) && !defined(CX_MC) && !defined(CX_TSAN)
#define HAS_MEMBARRIER 1

static long
membarrier(int command)
{
    return syscall(SYS_membarrier, command, 0, 0);
}
#endif

/* Every running thread of this process passes a full fence, or does so by itself in enter. */
static void
fence_all(void)
{
#ifdef CX_MC
    if (!cx_rcu_state.is_fenced) {
        mc_barrier();
        return;
    }
#endif
#ifdef HAS_MEMBARRIER
    if (CX_LIKELY(!cx_rcu_state.is_fenced)) {
        (void)membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
        return;
    }
#endif
    cx_fence_seq_cst(); /* [B2] pairs with [B1] in cx_rcu_enter */
}

#ifndef CX_MC

static void
on_thread_end(void *slot)
{
    cx_rcu_mine = NULL;
    cx_store_release(&((struct cx_rcu_slot *)slot)->is_taken, 0); /* [S1] pairs with [S2] */
}

/* Only the forking thread lives on, and it is in no section. */
static void
in_child(void)
{
    struct cx_rcu_slot *slot = cx_load_acquire(&cx_rcu_state.slots);
    for (; slot != NULL; slot = slot->next) {
        cx_store_relaxed(&slot->epoch, 0);
        cx_store_relaxed(&slot->is_taken, slot == cx_rcu_mine);
    }
    cx_store_relaxed(&cx_rcu_state.shared.epoch, 0);
}

static void
install(void)
{
    pthread_key_create(&key, on_thread_end);
#ifdef HAS_MEMBARRIER
    cx_rcu_state.is_fenced = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) != 0;
#endif
    cx_fork_install(in_child);
}

void
cx_rcu_install(void)
{
    pthread_once(&once, install);
}

#endif

static struct cx_rcu_slot *
slot_get(void)
{
    struct cx_rcu_slot *slot = cx_load_acquire(&cx_rcu_state.slots), *first;
    for (; slot != NULL; slot = slot->next) {
        uint32_t is_taken = 0;
        /* [S2] pairs with [S1] */
        if (cx_load_relaxed(&slot->is_taken) == 0 &&
            cx_cas_acquire(&slot->is_taken, &is_taken, 1)) {
            return slot;
        }
    }
    if ((slot = aligned_alloc(CX_CACHELINE, sizeof *slot)) == NULL) {
        return NULL;
    }
    *slot = (struct cx_rcu_slot){.is_taken = 1};
    first = cx_load_relaxed(&cx_rcu_state.slots);
    do {
        slot->next = first;
    } while (!cx_cas_release(&cx_rcu_state.slots, &first, slot)); /* pairs with slot_get */
    return slot;
}

CX_COLD struct cx_rcu_slot *
cx_rcu_register(void)
{
    struct cx_rcu_slot *slot = slot_get();
#ifndef CX_MC
    cx_rcu_install();
    if (slot != NULL && pthread_setspecific(key, slot) != 0) {
        cx_store_release(&slot->is_taken, 0);
        slot = NULL;
    }
#endif
    if (slot == NULL) {
        cx_lock_acquire(&cx_rcu_state.shared_lock);
        return &cx_rcu_state.shared;
    }
    cx_rcu_mine = slot;
    return slot;
}

CX_COLD void
cx_rcu_exit_shared(void)
{
    cx_store_release(&cx_rcu_state.shared.epoch, 0);
    cx_lock_release(&cx_rcu_state.shared_lock);
}

uint64_t
cx_rcu_stamp(void)
{
    /* Whoever still sees what was unlinked has seen no later epoch than this one. */
    CX_UNLESS_BUG(RCU_NO_STAMP_FENCE, cx_fence_seq_cst());
    return cx_load_relaxed(&cx_rcu_state.epoch);
}

static bool
is_elsewhere(const struct cx_rcu_slot *slot, uint64_t epoch)
{
    uint64_t seen = cx_load_acquire(&slot->epoch); /* [E2] pairs with [E1] */
    return seen != 0 && seen != epoch;
}

bool
cx_rcu_try_advance(void)
{
    uint64_t epoch = cx_load_acquire(&cx_rcu_state.epoch);
    fence_all();
    struct cx_rcu_slot *slot = cx_load_acquire(&cx_rcu_state.slots);
    for (; slot != NULL; slot = slot->next) {
        if (!CX_BUG(RCU_NO_SCAN) && is_elsewhere(slot, epoch)) {
            return false;
        }
    }
    return !is_elsewhere(&cx_rcu_state.shared, epoch) &&
           cx_cas_acq_rel(&cx_rcu_state.epoch, &epoch, epoch + 1); /* LP */
}

/* A reader that can see it holds back the epoch after the next. */
bool
cx_rcu_is_over(uint64_t stamp)
{
    return cx_load_acquire(&cx_rcu_state.epoch) >= stamp + (CX_BUG(RCU_ONE_EPOCH) ? 1 : 2);
}

/* A section is short, so its thread only has to get a processor. */
void
cx_rcu_wait(void)
{
    uint64_t stamp = cx_rcu_stamp();
    while (!cx_rcu_is_over(stamp)) {
        if (!cx_rcu_try_advance()) {
#ifdef CX_MC
            cx_pause();
#else
            sched_yield();
#endif
        }
    }
}

#endif

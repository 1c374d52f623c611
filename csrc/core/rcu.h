// SPDX-License-Identifier: MIT
/* core/rcu.h - readers that take no lock, and when what they may be reading can be freed.
 *
 * Epoch-based reclamation, after K. Fraser, "Practical lock-freedom" (2004), with the readers' fence
 * moved to the other side by membarrier(2), as in liburcu: a section costs two plain stores.  A reader
 * writes the epoch it saw into its thread's slot while it is inside; the epoch goes on by one when every
 * slot that is in use holds the present one.  What was unlinked before the epoch was read as `stamp`
 * has no reader left once cx_rcu_is_over(stamp).  Nobody waits, no thread is started, no signal blocked.
 *
 *     reader:  cx_rcu_enter(); p = cx_load_acquire(&shared); use p; cx_rcu_exit();
 *     writer:  unlink p (under a lock of its own); stamp = cx_rcu_stamp();
 *     later:   cx_rcu_try_advance(); if (cx_rcu_is_over(stamp)) free p;
 *
 * A section does not nest, runs no Python, allocates nothing, waits for no lock and does not leave the
 * interpreter.  On a GIL build (CX_WITH_GIL) nobody can be inside while another thread holds the GIL:
 * sections are nothing, and a writer frees what it unlinked as soon as it is done.
 *
 *                enter   exit   stamp   try_advance
 *   stamp         [1]                    fence    [1] a fence on this side, membarrier for the other:
 *   try_advance   [1]     [2]            CAS          the slot is seen, or what was unlinked is seen
 *                                                 [2] release/acquire: the reader's loads are done
 *
 * Progress: enter and exit are wait-free after a thread's first; try_advance is lock-free.
 * Fork:     the child has one thread, and that one is in no section; the handler clears the slots.
 *
 * With CX_WITH_URCU the sections are liburcu's (flavour bp) and cx_rcu_try_advance waits for a grace
 * period of it through cx_rcu_detached; docs/explanation/reclamation.md compares the two.
 */
#ifndef CX_CORE_RCU_H
#define CX_CORE_RCU_H

#include "core/lock.h"

/* Before the first section; idempotent. */
void cx_rcu_install(void);

/* The present epoch, for what was unlinked before the call. */
uint64_t cx_rcu_stamp(void);

/* Moves the epoch on if no reader is in an older one; true: it moved.  Outside sections and locks. */
bool cx_rcu_try_advance(void);

/* Whether nobody can be reading any more what was unlinked before `stamp` was taken. */
bool cx_rcu_is_over(uint64_t stamp);

/* Comes back when every section that was entered before the call is over.  Outside sections and locks. */
void cx_rcu_wait(void);

/* Runs `wait` where it may take long; replaced by the binding by one that leaves the interpreter. */
extern void (*cx_rcu_detached)(void (*wait)(void));

#if CX_WITH_GIL

#define cx_rcu_enter() ((void)0)
#define cx_rcu_exit() ((void)0)

#elif defined(CX_WITH_URCU)

void cx_rcu_enter(void);
void cx_rcu_exit(void);

#else

struct cx_rcu_slot {
    uint64_t epoch CX_ALIGNED; /* atomic; 0: in no section.  Written by its thread alone. */
    uint32_t is_taken;         /* atomic; some thread's */
    struct cx_rcu_slot *next;  /* slots are never freed: threads that end leave theirs to others */
};

struct cx_rcu {
    uint64_t epoch;            /* atomic, from 1 on */
    struct cx_rcu_slot *slots; /* atomic; grows at its head */
    bool is_fenced;            /* there is no membarrier: readers fence for themselves */
    /* For threads that there was no memory for; the lock is held for a section. */
    struct cx_lock shared_lock;
    struct cx_rcu_slot shared;
};

#ifdef CX_MC
/* The model's, in its arena. */
extern struct cx_rcu *mc_rcu;
struct cx_rcu_slot **mc_rcu_mine(void);
#define cx_rcu_state (*mc_rcu)
#define cx_rcu_mine (*mc_rcu_mine())
#else
extern struct cx_rcu cx_rcu_state;
extern CX_THREAD_LOCAL struct cx_rcu_slot *cx_rcu_mine;
#endif

/* A slot for this thread; without memory one that all such threads share, one at a time. */
struct cx_rcu_slot *cx_rcu_register(void);
/* Leaves the shared slot. */
void cx_rcu_exit_shared(void);

static inline void
cx_rcu_enter(void)
{
    struct cx_rcu_slot *slot = cx_rcu_mine;
    if (CX_UNLIKELY(slot == NULL)) {
        slot = cx_rcu_register();
    }
    /* Acquire: what was unlinked before the epoch began is seen as unlinked. */
    cx_store_relaxed(&slot->epoch, cx_load_acquire(&cx_rcu_state.epoch));
    if (CX_UNLIKELY(cx_rcu_state.is_fenced)) {
        CX_UNLESS_BUG(RCU_NO_READER_FENCE, cx_fence_seq_cst()); /* [B1] pairs with [B2] */
    }
    else {
        __atomic_signal_fence(__ATOMIC_SEQ_CST); /* the compiler's half; membarrier is the other */
    }
}

static inline void
cx_rcu_exit(void)
{
    struct cx_rcu_slot *slot = cx_rcu_mine;
    if (CX_UNLIKELY(slot == NULL)) {
        cx_rcu_exit_shared();
        return;
    }
    cx_store_release(&slot->epoch, 0); /* [E1] pairs with [E2] in cx_rcu_try_advance */
}

#endif

#endif

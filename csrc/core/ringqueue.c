// SPDX-License-Identifier: MIT
#include "core/ringqueue.h"

#include <sched.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/park.h"
#include "core/port.h"

struct cx_ringqueue *
cx_ringqueue_new(enum cx_ringqueue_kind kind, uint64_t capacity)
{
    struct cx_ringqueue *q = aligned_alloc(CX_CACHELINE, sizeof *q);
    enum cx_status status = CX_OK;
    if (q == NULL) {
        return NULL;
    }
    *q = (struct cx_ringqueue){.kind = kind, .refs = 1, .generation = cx_fork_generation()};
    cx_turnstile_init(&q->sides[CX_GETTERS]);
    cx_turnstile_init(&q->sides[CX_PUTTERS]);
    switch (kind) {
    case CX_KIND_RING:
        status = cx_ring_init(&q->store.ring, capacity);
        break;
    case CX_KIND_SPSC:
        status = cx_spsc_init(&q->store.spsc, capacity);
        break;
    case CX_KIND_STACK:
        cx_stack_init(&q->store.stack);
        break;
    }
    if (status != CX_OK) {
        free(q);
        return NULL;
    }
    return q;
}

struct cx_ringqueue *
cx_ringqueue_ref(struct cx_ringqueue *q)
{
    cx_fetch_add_relaxed(&q->refs, 1);
    return q;
}

void
cx_ringqueue_unref(struct cx_ringqueue *q)
{
    if (cx_fetch_add_acq_rel(&q->refs, (uint32_t)-1) != 1) {
        return;
    }
    switch (q->kind) {
    case CX_KIND_RING:
        cx_ring_fini(&q->store.ring);
        break;
    case CX_KIND_SPSC:
        cx_spsc_fini(&q->store.spsc);
        break;
    case CX_KIND_STACK:
        cx_stack_fini(&q->store.stack);
        break;
    }
    free(q);
}

static CX_COLD void
repair(struct cx_ringqueue *q)
{
    cx_lock_acquire(&q->repair_lock);
    if (cx_load_relaxed(&q->generation) != cx_fork_generation()) {
        if (q->kind == CX_KIND_RING) {
            cx_ring_repair(&q->store.ring);
        }
        else if (q->kind == CX_KIND_SPSC) {
            cx_spsc_repair(&q->store.spsc);
        }
        cx_turnstile_repair(&q->sides[CX_GETTERS]);
        cx_turnstile_repair(&q->sides[CX_PUTTERS]);
        /* [G1] pairs with [G2]: who finds the generation right finds the ring repaired. */
        cx_store_release(&q->generation, cx_fork_generation());
    }
    cx_lock_release(&q->repair_lock);
}

static inline void
survive_fork(struct cx_ringqueue *q)
{
    if (CX_UNLIKELY(cx_load_acquire(&q->generation) != cx_fork_generation())) { /* [G2] */
        repair(q);
    }
}

/* Gives a thread that is between claim and publication, a few instructions, time to get out. */
static bool
be_patient(uint32_t *tries)
{
#ifdef CX_MC
    (void)tries;
    return false;
#else
    if (*tries < 64) {
        cx_pause();
    }
    else if (*tries < 192) {
        sched_yield();
    }
    else {
        return false;
    }
    ++*tries;
    return true;
#endif
}

static inline size_t
store_push(struct cx_ringqueue *q, const uint64_t *words, size_t n, enum cx_status *why)
{
    switch (q->kind) {
    case CX_KIND_RING:
        return cx_ring_try_push(&q->store.ring, words, n, why);
    case CX_KIND_SPSC:
        return cx_spsc_try_push(&q->store.spsc, words, n, why);
    default:
        return cx_stack_push(&q->store.stack, words, n, why);
    }
}

static inline size_t
store_pop(struct cx_ringqueue *q, uint64_t *words, size_t n, enum cx_status *why)
{
    switch (q->kind) {
    case CX_KIND_RING:
        return cx_ring_try_pop(&q->store.ring, words, n, why);
    case CX_KIND_SPSC:
        return cx_spsc_try_pop(&q->store.spsc, words, n, why);
    default:
        return cx_stack_pop(&q->store.stack, words, n, why);
    }
}

static bool
ready(struct cx_ringqueue *q, enum cx_ringqueue_side side)
{
    bool getters = side == CX_GETTERS;
    switch (q->kind) {
    case CX_KIND_RING:
        return getters ? cx_ring_item_ready(&q->store.ring) : cx_ring_room_ready(&q->store.ring);
    case CX_KIND_SPSC:
        return getters ? cx_spsc_item_ready(&q->store.spsc) : cx_spsc_room_ready(&q->store.spsc);
    default:
        return getters ? cx_stack_item_ready(&q->store.stack) : true;
    }
}

/* Rule 3: the operation was on `side`, and what it left may be enough for another. */
static inline void
chain(struct cx_ringqueue *q, enum cx_ringqueue_side side, struct cx_wakes *wakes)
{
    if (!CX_BUG(NO_CHAIN) && cx_turnstile_waiting(&q->sides[side]) && ready(q, side)) {
        cx_turnstile_wake(&q->sides[side], 1, wakes);
    }
}

/* After k words went in or out on `side`.  Where the GIL excludes, one that is woken wakes the next
 * when it has the GIL; elsewhere some may as well run at once, and the chain sees to the rest. */
static inline void
tell_others(struct cx_ringqueue *q, enum cx_ringqueue_side side, size_t k, struct cx_wakes *wakes)
{
    enum cx_ringqueue_side other = side == CX_GETTERS ? CX_PUTTERS : CX_GETTERS;
    cx_turnstile_announce(q->native);
    if (cx_turnstile_waiting(&q->sides[other])) {
        size_t most = CX_WITH_GIL ? 1 : k < CX_WAKES / 2 ? k : CX_WAKES / 2;
        cx_turnstile_wake(&q->sides[other], most, wakes);
    }
    chain(q, side, wakes);
}

size_t
cx_ringqueue_put(struct cx_ringqueue *q, const uint64_t *words, size_t n, enum cx_status *why,
                 struct cx_wakes *wakes)
{
    uint32_t tries = 0;
    survive_fork(q);
    for (;;) {
        size_t k = store_push(q, words, n, why);
        if (CX_LIKELY(k > 0)) {
            tell_others(q, CX_PUTTERS, k, wakes);
            return k;
        }
        if (*why == CX_CLOSED) {
            /* A getter that saw this putter inside a closed ring may have gone to sleep. */
            CX_UNLESS_BUG(CLOSE_NO_TELL, tell_others(q, CX_PUTTERS, 1, wakes));
        }
        if (*why != CX_AGAIN || !be_patient(&tries)) {
            return 0;
        }
    }
}

size_t
cx_ringqueue_get(struct cx_ringqueue *q, uint64_t *words, size_t n, enum cx_status *why,
                 struct cx_wakes *wakes)
{
    uint32_t tries = 0;
    survive_fork(q);
    for (;;) {
        size_t k = store_pop(q, words, n, why);
        if (CX_LIKELY(k > 0)) {
            tell_others(q, CX_GETTERS, k, wakes);
            return k;
        }
        if (*why == CX_CLOSED) {
            CX_UNLESS_BUG(CLOSE_NO_CHAIN, chain(q, CX_GETTERS, wakes)); /* the end is for all */
        }
        if (*why != CX_AGAIN || !be_patient(&tries)) {
            return 0;
        }
    }
}

enum cx_status
cx_ringqueue_wait(struct cx_ringqueue *q, enum cx_ringqueue_side side, struct cx_node *node)
{
    struct cx_turnstile *ts = &q->sides[side];
    survive_fork(q);
    cx_turnstile_enlist(ts, node);
    if (!CX_BUG(NO_RECHECK) && ready(q, side) && cx_turnstile_leave(ts, node, CX_RETRY)) {
        return CX_AGAIN;
    }
    return CX_WAIT;
}

bool
cx_ringqueue_leave(struct cx_ringqueue *q, enum cx_ringqueue_side side, struct cx_node *node,
                   enum cx_commit verdict, struct cx_wakes *wakes)
{
    if (cx_turnstile_leave(&q->sides[side], node, verdict)) {
        return true;
    }
    CX_UNLESS_BUG(LEAVE_NO_PASS_ON, cx_ringqueue_pass_on(q, side, wakes));
    return false;
}

void
cx_ringqueue_pass_on(struct cx_ringqueue *q, enum cx_ringqueue_side side, struct cx_wakes *wakes)
{
    CX_UNLESS_BUG(NO_PASS_ON, cx_turnstile_wake(&q->sides[side], 1, wakes));
}

bool
cx_ringqueue_close(struct cx_ringqueue *q)
{
    survive_fork(q);
    switch (q->kind) {
    case CX_KIND_RING:
        return cx_ring_close(&q->store.ring);
    case CX_KIND_SPSC:
        return cx_spsc_close(&q->store.spsc);
    default:
        return cx_stack_close(&q->store.stack);
    }
}

bool
cx_ringqueue_wake_all(struct cx_ringqueue *q, struct cx_wakes *wakes)
{
    CX_UNLESS_BUG(CLOSE_NO_FENCE, cx_turnstile_announce(q->native));
    cx_turnstile_wake(&q->sides[CX_GETTERS], CX_WAKES, wakes);
    cx_turnstile_wake(&q->sides[CX_PUTTERS], CX_WAKES, wakes);
    return cx_wakes_full(wakes);
}

size_t
cx_ringqueue_discard(struct cx_ringqueue *q, uint64_t *words, size_t n, enum cx_status *why,
                     struct cx_wakes *wakes)
{
    size_t k;
    if (q->kind != CX_KIND_SPSC) {
        k = cx_ringqueue_get(q, words, n, why, wakes);
    }
    else {
        survive_fork(q);
        /* The consumer, or another that clears, is inside for a few instructions. */
        while ((k = cx_spsc_try_clear(&q->store.spsc, words, n, why)) == 0 &&
               (*why == CX_BUSY || *why == CX_AGAIN)) {
            sched_yield();
        }
        if (k > 0) {
            tell_others(q, CX_GETTERS, k, wakes);
        }
    }
    cx_fetch_add_relaxed(&q->cleared, k);
    return k;
}

size_t
cx_ringqueue_len(struct cx_ringqueue *q)
{
    survive_fork(q);
    switch (q->kind) {
    case CX_KIND_RING:
        return cx_ring_len(&q->store.ring);
    case CX_KIND_SPSC:
        return cx_spsc_len(&q->store.spsc);
    default:
        return cx_stack_len(&q->store.stack);
    }
}

bool
cx_ringqueue_closed(const struct cx_ringqueue *q)
{
    switch (q->kind) {
    case CX_KIND_RING:
        return cx_ring_closed(&q->store.ring);
    case CX_KIND_SPSC:
        return cx_spsc_closed(&q->store.spsc);
    default:
        return cx_stack_closed(&q->store.stack);
    }
}

uint64_t
cx_ringqueue_capacity(const struct cx_ringqueue *q)
{
    switch (q->kind) {
    case CX_KIND_RING:
        return q->store.ring.capacity;
    case CX_KIND_SPSC:
        return q->store.spsc.capacity;
    default:
        return UINT64_MAX;
    }
}

size_t
cx_ringqueue_bytes(const struct cx_ringqueue *q)
{
    switch (q->kind) {
    case CX_KIND_RING:
        return sizeof *q + (q->store.ring.mask + 1) * sizeof(struct cx_ring_cell);
    case CX_KIND_SPSC:
        return sizeof *q + (q->store.spsc.mask + 1) * sizeof(uint64_t);
    default:
        return sizeof *q + cx_stack_bytes(&q->store.stack);
    }
}

void
cx_ringqueue_look(struct cx_ringqueue *q, struct cx_ringqueue_stats *stats)
{
    survive_fork(q);
    switch (q->kind) {
    case CX_KIND_RING:
        stats->gets = cx_ring_popped(&q->store.ring);
        stats->puts = cx_ring_pushed(&q->store.ring);
        break;
    case CX_KIND_SPSC:
        stats->gets = cx_load_relaxed(&q->store.spsc.head);
        stats->puts = cx_load_relaxed(&q->store.spsc.tail);
        break;
    case CX_KIND_STACK:
        stats->gets = cx_load_relaxed(&q->store.stack.popped);
        stats->puts = cx_load_relaxed(&q->store.stack.pushed);
        break;
    }
    stats->gets -= cx_load_relaxed(&q->cleared);
    stats->blocked_gets = cx_turnstile_waits(&q->sides[CX_GETTERS]);
    stats->blocked_puts = cx_turnstile_waits(&q->sides[CX_PUTTERS]);
    stats->waiting_gets = cx_waitlist_count(&q->sides[CX_GETTERS].list);
    stats->waiting_puts = cx_waitlist_count(&q->sides[CX_PUTTERS].list);
}

int
cx_ringqueue_visit(struct cx_ringqueue *q, int (*fn)(uint64_t, void *), void *arg)
{
    switch (q->kind) {
    case CX_KIND_RING:
        return cx_ring_visit(&q->store.ring, fn, arg);
    case CX_KIND_SPSC:
        return cx_spsc_visit(&q->store.spsc, fn, arg);
    default:
        return cx_stack_visit(&q->store.stack, fn, arg);
    }
}

#ifndef CX_MC

/* Sleeps until the waiter is committed.  False: the deadline came first and the wait is over. */
static bool
sleep_native(struct cx_ringqueue *q, struct cx_waiter *waiter, int64_t deadline,
             struct cx_wakes *wakes)
{
    while (CX_COMMIT_STATE(cx_waiter_state(waiter)) == CX_WAITING) {
        if (cx_park(&waiter->commit, CX_WAITING, deadline) == CX_TIMEOUT) {
            /* If it was granted after all, look once more. */
            if (cx_ringqueue_leave(q, CX_PUTTERS, &waiter->node, CX_TIMED_OUT, wakes)) {
                return false;
            }
            cx_wakes_deliver_native(wakes);
        }
    }
    return true;
}

enum cx_status
cx_ringqueue_put_native(struct cx_ringqueue *q, uint64_t word, int64_t deadline)
{
    struct cx_wakes wakes = CX_WAKES_INIT;
    struct cx_waiter *waiter = NULL;
    enum cx_status status = CX_OK;
    for (;;) {
        size_t k = cx_ringqueue_put(q, &word, 1, &status, &wakes);
        cx_wakes_deliver_native(&wakes);
        if (k > 0) {
            status = CX_OK;
            break;
        }
        if (status != CX_FULL && status != CX_AGAIN) {
            break;
        }
        status = CX_FULL;
        if (deadline <= 0 || (waiter != NULL && cx_now() >= deadline)) {
            break;
        }
        if (waiter == NULL && (waiter = cx_waiter_borrow()) == NULL) {
            status = CX_NOMEM;
            break;
        }
        cx_waiter_arm(waiter);
        if (cx_ringqueue_wait(q, CX_PUTTERS, &waiter->node) == CX_WAIT &&
            !sleep_native(q, waiter, deadline, &wakes)) {
            break;
        }
    }
    if (waiter != NULL) {
        cx_waiter_return(waiter);
    }
    return status;
}

#endif

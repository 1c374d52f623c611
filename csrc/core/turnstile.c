// SPDX-License-Identifier: MIT
#include "core/turnstile.h"

void
cx_turnstile_enlist(struct cx_turnstile *ts, struct cx_node *node)
{
    cx_lock_acquire(&ts->lock);
    cx_waitlist_push(&ts->list, node);
    ts->waits++;
    cx_lock_release(&ts->lock);
    CX_UNLESS_BUG(NO_WAITER_FENCE, cx_fence_seq_cst()); /* [F2] pairs with [F1] in announce */
}

bool
cx_turnstile_leave(struct cx_turnstile *ts, struct cx_node *node, enum cx_commit verdict)
{
    if (!cx_waiter_decide(node->waiter, verdict)) {
        return false; /* the waker has unlinked it */
    }
    CX_UNLESS_BUG(LEAVER_STAYS_LISTED, cx_turnstile_remove(ts, node));
    return true;
}

void
cx_turnstile_remove(struct cx_turnstile *ts, struct cx_node *node)
{
    cx_lock_acquire(&ts->lock);
    cx_waitlist_remove(&ts->list, node);
    cx_lock_release(&ts->lock);
}

void
cx_turnstile_wake(struct cx_turnstile *ts, size_t n, struct cx_wakes *wakes)
{
    struct cx_node *node;
    if (!cx_turnstile_waiting(ts)) {
        return;
    }
    cx_lock_acquire(&ts->lock);
    while (n > 0 && !cx_wakes_full(wakes) && (node = cx_waitlist_first(&ts->list)) != NULL) {
        bool granted = cx_waiter_grant(node, CX_AGAIN, wakes);
        n -= granted || CX_BUG(WAKE_COUNTS_LEAVERS);
    }
    cx_lock_release(&ts->lock);
}

void
cx_turnstile_repair(struct cx_turnstile *ts)
{
    cx_lock_acquire(&ts->lock);
    (void)cx_waitlist_first(&ts->list);
    cx_lock_release(&ts->lock);
}

uint64_t
cx_turnstile_waits(struct cx_turnstile *ts)
{
    cx_lock_acquire(&ts->lock);
    uint64_t waits = ts->waits;
    cx_lock_release(&ts->lock);
    return waits;
}

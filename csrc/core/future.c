// SPDX-License-Identifier: MIT
#include "core/future.h"

void
cx_future_init(struct cx_future *f)
{
    *f = (struct cx_future){.state = CX_PENDING};
    cx_guard_init(&f->guard);
    cx_waitlist_init(&f->waiters);
}

bool
cx_future_start(struct cx_future *f)
{
    uint32_t expected = CX_PENDING;
    return cx_cas_acq_rel(&f->state, &expected, CX_RUNNING); /* LP */
}

/* Latest first becomes oldest first. */
static struct cx_told *
reversed(struct cx_told *chain)
{
    struct cx_told *turned = NULL;
    while (chain != NULL) {
        struct cx_told *next = chain->next;
        chain->next = turned;
        turned = chain;
        chain = next;
    }
    return turned;
}

static void
claim_waiters(struct cx_future *f, struct cx_news *news)
{
    struct cx_node *node;
    news->more = false;
    while ((node = cx_waitlist_first(&f->waiters)) != NULL) {
        if (cx_wakes_full(&news->wakes)) {
            news->more = true;
            return;
        }
        if (!cx_waiter_grant(node, CX_OK, &news->wakes)) {
            continue; /* it left meanwhile, and needs no wake */
        }
    }
}

static void
detach_callbacks(struct cx_future *f, struct cx_news *news)
{
    if (f->callbacks != NULL) {
        news->callbacks = reversed(f->callbacks);
        f->callbacks = NULL;
    }
}

static void
detach_observers(struct cx_future *f, struct cx_news *news)
{
    if (f->observers != NULL) {
        news->observers = reversed(f->observers);
        f->observers = NULL;
    }
}

enum cx_status
cx_future_settle(struct cx_future *f, enum cx_future_state to, void *value, bool locked,
                 struct cx_news *news)
{
    enum cx_status status = CX_OK;
    cx_guard_take(&f->guard);
    uint32_t now = cx_load_relaxed(&f->state);
    if (now > CX_RUNNING) {
        status = CX_CLOSED;
    }
    else if (f->legacy && !locked) {
        status = CX_MOVED;
    }
    else {
        f->value = value;
        /* An exchange: cx_future_start does not take the guard. */
        (void)cx_xchg_acq_rel(&f->state, (uint32_t)to); /* LP [T1] pairs with [T2] */
        claim_waiters(f, news);
        detach_callbacks(f, news);
        detach_observers(f, news);
    }
    cx_guard_release(&f->guard);
    return status;
}

enum cx_status
cx_future_cancel(struct cx_future *f, bool locked, struct cx_news *news)
{
    enum cx_status status = CX_OK;
    cx_guard_take(&f->guard);
    uint32_t now = cx_load_relaxed(&f->state);
    if (now == CX_PENDING && f->legacy && !locked) {
        status = CX_MOVED;
    }
    else if (now == CX_CALLED_OFF || now == CX_NOTIFIED) {
        status = CX_AGAIN;
    }
    else if (now != CX_PENDING || !cx_cas_acq_rel(&f->state, &now, CX_CALLED_OFF)) { /* LP [T1] */
        status = CX_CLOSED; /* it was started, or settled */
    }
    else {
        claim_waiters(f, news);
        detach_callbacks(f, news);
    }
    cx_guard_release(&f->guard);
    return status;
}

enum cx_status
cx_future_notify(struct cx_future *f, bool locked, struct cx_news *news)
{
    enum cx_status status = CX_OK;
    cx_guard_take(&f->guard);
    if (cx_load_relaxed(&f->state) != CX_CALLED_OFF) {
        status = CX_CLOSED;
    }
    else if (f->legacy && !locked) {
        status = CX_MOVED;
    }
    else {
        cx_store_release(&f->state, CX_NOTIFIED); /* LP [T1] */
        detach_observers(f, news);
    }
    cx_guard_release(&f->guard);
    return status;
}

void
cx_future_wake(struct cx_future *f, struct cx_news *news)
{
    cx_guard_take(&f->guard);
    claim_waiters(f, news);
    cx_guard_release(&f->guard);
}

enum cx_status
cx_future_wait(struct cx_future *f, struct cx_node *node)
{
    enum cx_status status = CX_OK;
    cx_guard_take(&f->guard);
    if (!cx_future_done(f) || CX_BUG(FUTURE_WAITS_LATE)) {
        cx_waitlist_push(&f->waiters, node);
        status = CX_WAIT;
    }
    cx_guard_release(&f->guard);
    return status;
}

void
cx_future_leave(struct cx_future *f, struct cx_node *node)
{
    cx_guard_take(&f->guard);
    cx_waitlist_remove(&f->waiters, node);
    cx_guard_release(&f->guard);
}

bool
cx_future_tell(struct cx_future *f, struct cx_told *told, bool observer)
{
    struct cx_told **chain = observer ? &f->observers : &f->callbacks;
    cx_guard_take(&f->guard);
    enum cx_future_state now = cx_future_state(f);
    bool late = observer ? now >= CX_NOTIFIED : now >= CX_CALLED_OFF;
    if (!late || CX_BUG(FUTURE_TELLS_LATE)) {
        told->next = *chain;
        *chain = told;
    }
    cx_guard_release(&f->guard);
    return !late || CX_BUG(FUTURE_TELLS_LATE);
}

struct cx_told *
cx_future_untell(struct cx_future *f, const void *what, bool observer,
                 bool (*same)(const void *, const void *))
{
    struct cx_told **link = observer ? &f->observers : &f->callbacks;
    struct cx_told *taken = NULL;
    cx_guard_take(&f->guard);
    while (*link != NULL) {
        struct cx_told *told = *link;
        if (same(told->what, what)) {
            *link = told->next;
            told->next = taken;
            taken = told;
        }
        else {
            link = &told->next;
        }
    }
    cx_guard_release(&f->guard);
    return taken;
}

void
cx_future_make_legacy(struct cx_future *f)
{
    cx_guard_take(&f->guard);
    f->legacy = true;
    cx_guard_release(&f->guard);
}

void *
cx_future_assign(struct cx_future *f, enum cx_future_state state, void *value)
{
    cx_guard_take(&f->guard);
    void *old = f->value;
    f->value = value;
    cx_store_release(&f->state, (uint32_t)state); /* [T1] */
    cx_guard_release(&f->guard);
    return old;
}

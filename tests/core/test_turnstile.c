// SPDX-License-Identifier: MIT
/* Waiting in front of a lock-free structure: claims, order, leaving, batches, and a lock-free flag. */
#include "harness.h"

#include "core/port.h"
#include "core/turnstile.h"

static void
test_smoke(void)
{
    struct cx_turnstile ts;
    struct cx_wakes wakes = CX_WAKES_INIT;
    struct cx_waiter *a = cx_waiter_borrow(), *b = cx_waiter_borrow();
    cx_turnstile_init(&ts);
    CHECK(!cx_turnstile_waiting(&ts));
    cx_turnstile_wake(&ts, 5, &wakes);
    CHECK_EQ(wakes.count, 0);
    cx_turnstile_enlist(&ts, &a->node);
    cx_turnstile_enlist(&ts, &b->node);
    CHECK(cx_turnstile_waiting(&ts));
    cx_turnstile_wake(&ts, 1, &wakes); /* the one that came first */
    CHECK_EQ(wakes.count, 1);
    CHECK(wakes.waiters[0] == a);
    CHECK_EQ(CX_COMMIT_STATE(cx_waiter_state(a)), CX_GRANTED);
    CHECK_EQ(a->node.status, CX_AGAIN);
    CHECK_EQ(CX_COMMIT_STATE(cx_waiter_state(b)), CX_WAITING);
    cx_turnstile_wake(&ts, 1, &wakes);
    CHECK_EQ(wakes.count, 2);
    CHECK(!cx_turnstile_waiting(&ts));
    CHECK_EQ(cx_turnstile_waits(&ts), 2);
    deliver(&wakes);
    cx_waiter_return(a);
    cx_waiter_return(b);
}

static void
test_cancel(void)
{
    struct cx_turnstile ts;
    struct cx_wakes wakes = CX_WAKES_INIT;
    struct cx_waiter *a = cx_waiter_borrow(), *b = cx_waiter_borrow();
    cx_turnstile_init(&ts);
    cx_turnstile_enlist(&ts, &a->node);
    cx_turnstile_enlist(&ts, &b->node);
    CHECK(cx_turnstile_leave(&ts, &a->node, CX_CANCELLED));
    cx_turnstile_wake(&ts, 1, &wakes); /* b, not a */
    CHECK_EQ(wakes.count, 1);
    CHECK(wakes.waiters[0] == b);
    CHECK(!cx_turnstile_leave(&ts, &b->node, CX_TIMED_OUT)); /* too late: claimed */
    CHECK_EQ(CX_COMMIT_STATE(cx_waiter_state(b)), CX_GRANTED);
    deliver(&wakes);
    /* Decided but not unlinked yet: a waker skips it and unlinks. */
    cx_waiter_arm(a);
    cx_waiter_arm(b);
    cx_turnstile_enlist(&ts, &a->node);
    cx_turnstile_enlist(&ts, &b->node);
    CHECK(cx_waiter_decide(a, CX_TIMED_OUT));
    cx_turnstile_wake(&ts, 1, &wakes);
    CHECK_EQ(wakes.count, 1);
    CHECK(wakes.waiters[0] == b);
    CHECK(!cx_turnstile_waiting(&ts));
    cx_turnstile_remove(&ts, &a->node);
    deliver(&wakes);
    cx_waiter_return(a);
    cx_waiter_return(b);
}

static void
test_capacity(void)
{
    struct cx_turnstile ts;
    struct cx_wakes wakes = CX_WAKES_INIT;
    struct cx_waiter *waiters[40];
    uint32_t woken = 0;
    cx_turnstile_init(&ts);
    for (int i = 0; i < 40; i++) {
        waiters[i] = cx_waiter_borrow();
        cx_turnstile_enlist(&ts, &waiters[i]->node);
    }
    do { /* in batches of what wakes can hold, in order */
        cx_turnstile_wake(&ts, SIZE_MAX, &wakes);
        for (uint32_t i = 0; i < wakes.count; i++) {
            CHECK(wakes.waiters[i] == waiters[woken + i]);
        }
        woken += wakes.count;
        deliver(&wakes);
    } while (cx_turnstile_waiting(&ts));
    CHECK_EQ(woken, 40);
    for (int i = 0; i < 40; i++) {
        cx_waiter_return(waiters[i]);
    }
}

/* The smallest lock-free structure: a count of tokens.  Everything the header says, in twenty lines. */
struct tokens {
    struct cx_turnstile ts;
    uint64_t count, taken, wakes;
    uint32_t producers_left;
};

static bool
take_token(struct tokens *t)
{
    uint64_t count = cx_load_relaxed(&t->count);
    while (count > 0) {
        if (cx_cas_acq_rel(&t->count, &count, count - 1)) {
            return true;
        }
    }
    return false;
}

static void
tell(struct tokens *t)
{
    struct cx_wakes wakes = CX_WAKES_INIT;
    cx_turnstile_announce(true);
    if (cx_turnstile_waiting(&t->ts)) {
        cx_turnstile_wake(&t->ts, 1, &wakes);
        cx_fetch_add_relaxed(&t->wakes, wakes.count);
        deliver(&wakes);
    }
}

/* A token, or false after the deadline. */
static bool
wait_token(struct tokens *t, int64_t deadline)
{
    struct cx_waiter *waiter = cx_waiter_borrow();
    bool got;
    while (!(got = take_token(t))) {
        cx_waiter_arm(waiter);
        cx_turnstile_enlist(&t->ts, &waiter->node);
        if (cx_load_relaxed(&t->count) > 0 && cx_turnstile_leave(&t->ts, &waiter->node, CX_RETRY)) {
            continue;
        }
        while (CX_COMMIT_STATE(cx_waiter_state(waiter)) == CX_WAITING) {
            if (cx_park(&waiter->commit, CX_WAITING, deadline) == CX_TIMEOUT) {
                if (cx_turnstile_leave(&t->ts, &waiter->node, CX_TIMED_OUT)) {
                    goto out;
                }
                tell(t); /* passes the wake on */
            }
        }
    }
    if (cx_load_relaxed(&t->count) > 0) {
        tell(t); /* the chained wake */
    }
out:
    cx_waiter_return(waiter);
    return got;
}

#define TOKENS 20000u

static void
trade_tokens(struct worker *self)
{
    struct tokens *t = self->shared;
    if (self->id < 2) {
        for (uint32_t i = 0; i < TOKENS; i++) {
            cx_fetch_add_acq_rel(&t->count, 1);
            tell(t);
        }
        return;
    }
    for (uint32_t i = 0; i < TOKENS; i++) {
        CHECK(wait_token(t, CX_FOREVER));
        cx_fetch_add_relaxed(&t->taken, 1);
    }
}

static void
test_mpmc(void)
{
    struct tokens t = {.count = 0};
    cx_turnstile_init(&t.ts);
    run_threads(4, trade_tokens, &t);
    CHECK_EQ(t.taken, 2 * TOKENS);
    CHECK_EQ(t.count, 0);
    CHECK(!cx_turnstile_waiting(&t.ts));
    CHECK(t.wakes <= cx_turnstile_waits(&t.ts)); /* never a wake without a waiter */
}

/* Takers give up all the time; no token is lost over it. */
static void
impatient(struct worker *self)
{
    struct tokens *t = self->shared;
    if (self->id < 2) {
        for (uint32_t i = 0; i < TOKENS / 10; i++) {
            cx_fetch_add_acq_rel(&t->count, 1);
            tell(t);
            if (rng_below(&self->rng, 4) == 0) {
                sched_yield();
            }
        }
        cx_fetch_add_acq_rel(&t->producers_left, (uint32_t)-1);
        return;
    }
    while (cx_load_acquire(&t->producers_left) > 0) {
        if (wait_token(t, cx_now() + rng_below(&self->rng, 60) * 1000)) {
            cx_fetch_add_relaxed(&t->taken, 1);
        }
    }
}

static void
test_timeout(void)
{
    struct tokens t = {.producers_left = 2};
    cx_turnstile_init(&t.ts);
    CHECK(!wait_token(&t, cx_now() + MILLISECOND));
    run_threads(5, impatient, &t);
    while (wait_token(&t, cx_now())) {
        t.taken++;
    }
    CHECK_EQ(t.taken, 2 * (TOKENS / 10));
    CHECK(!cx_turnstile_waiting(&t.ts));
}

/* Nodes and locks of an earlier generation are nobody's. */
static void
test_fork(void)
{
    struct cx_turnstile ts;
    struct cx_wakes wakes = CX_WAKES_INIT;
    struct cx_waiter *a = cx_waiter_borrow(), *b;
    cx_turnstile_init(&ts);
    cx_turnstile_enlist(&ts, &a->node);
    cx_lock_acquire(&ts.lock); /* by a thread that is lost */
    cx_fork_generation_word++;
    b = cx_waiter_borrow();
    cx_turnstile_enlist(&ts, &b->node);
    cx_turnstile_wake(&ts, 5, &wakes);
    CHECK_EQ(wakes.count, 1);
    CHECK(wakes.waiters[0] == b);
    CHECK_EQ(CX_COMMIT_STATE(cx_waiter_state(a)), CX_WAITING);
    cx_turnstile_remove(&ts, &a->node);
    CHECK(!cx_turnstile_waiting(&ts));
    deliver(&wakes);
    cx_waiter_return(a);
    cx_waiter_return(b);
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    cx_waiter_install();
    RUN(test_smoke);
    RUN(test_cancel);
    RUN(test_capacity);
    RUN(test_mpmc);
    RUN(test_timeout);
    RUN(test_fork);
    return harness_end();
}

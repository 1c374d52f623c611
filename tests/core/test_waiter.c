// SPDX-License-Identifier: MIT
/* The wait protocol: lists, commits, time-outs, cancellation, and a select over two lists. */
#include "harness.h"

#include "core/lock.h"
#include "core/port.h"
#include "core/waiter.h"

static void
test_smoke(void)
{
    struct cx_waitlist list;
    struct cx_wakes wakes = CX_WAKES_INIT;
    struct cx_waiter *w[3];
    cx_waitlist_init(&list);
    CHECK(cx_waitlist_first(&list) == NULL);
    for (int i = 0; i < 3; i++) {
        w[i] = cx_waiter_borrow();
        cx_waitlist_push(&list, &w[i]->node);
    }
    CHECK_EQ(cx_waitlist_count(&list), 3);
    cx_waitlist_remove(&list, &w[1]->node);
    cx_waitlist_remove(&list, &w[1]->node); /* a second time: nothing */
    CHECK_EQ(cx_waitlist_count(&list), 2);
    CHECK(cx_waitlist_first(&list) == &w[0]->node);
    CHECK(cx_waiter_grant(&w[0]->node, CX_AGAIN, &wakes));
    CHECK_EQ(CX_COMMIT_STATE(cx_waiter_state(w[0])), CX_GRANTED);
    CHECK_EQ(w[0]->node.status, CX_AGAIN);
    CHECK(!cx_waiter_decide(w[0], CX_TIMED_OUT));
    CHECK(cx_waiter_decide(w[2], CX_CANCELLED));
    CHECK(cx_waitlist_first(&list) == &w[2]->node);
    CHECK(!cx_waiter_grant(&w[2]->node, CX_OK, &wakes)); /* decided: unlinked, not granted */
    CHECK_EQ(cx_waitlist_count(&list), 0);
    CHECK_EQ(wakes.count, 1);
    CHECK(wakes.waiters[0] == w[0]);
    for (int i = 0; i < 3; i++) {
        cx_waiter_return(w[i]);
    }
}

static void
test_pool(void)
{
    struct cx_waiter *a = cx_waiter_borrow(), *b = cx_waiter_borrow(); /* waits nest */
    CHECK(a != NULL && b != NULL && a != b);
    cx_waiter_return(b);
    struct cx_waiter *again = cx_waiter_borrow();
    CHECK(again == b);
    CHECK_EQ(cx_waiter_state(again), CX_WAITING);
    cx_waiter_return(again);
    cx_waiter_return(a);
}

/* A counter of permits under a lock: takers sleep, givers hand a permit over.  Every permit that is
 * given is taken, by a taker that got it or by one that gave up and passed it on. */
struct permits {
    struct cx_lock lock;
    struct cx_waitlist list;
    int64_t free;                                    /* guarded */
    int64_t given, taken, late, cancelled, passed;   /* atomic */
    struct cx_waiter *sleeping[HARNESS_MAX_THREADS]; /* whom a canceller can reach, atomic */
    uint32_t givers_left;
    int rounds;
};

static void
give(struct permits *p)
{
    struct cx_wakes wakes = CX_WAKES_INIT;
    struct cx_node *node;
    cx_lock_acquire(&p->lock);
    while ((node = cx_waitlist_first(&p->list)) != NULL && !cx_waiter_grant(node, CX_OK, &wakes)) {
    }
    if (node == NULL) {
        p->free++;
    }
    cx_lock_release(&p->lock);
    deliver(&wakes);
}

/* Sleeps for a permit for at most `deadline`.  True: got it. */
static bool
take(struct permits *p, int id, int64_t deadline)
{
    struct cx_waiter *w = cx_waiter_borrow();
    cx_lock_acquire(&p->lock);
    bool got = p->free > 0;
    if (got) {
        p->free--;
    }
    else {
        cx_waitlist_push(&p->list, &w->node);
    }
    cx_lock_release(&p->lock);
    if (!got) {
        enum cx_status status = CX_OK;
        __atomic_store_n(&p->sleeping[id], w, __ATOMIC_RELEASE);
        while (cx_waiter_state(w) == CX_WAITING && status != CX_TIMEOUT) {
            status = cx_park(&w->commit, CX_WAITING, deadline);
        }
        __atomic_store_n(&p->sleeping[id], NULL, __ATOMIC_RELEASE);
        if (status == CX_TIMEOUT && cx_waiter_decide(w, CX_TIMED_OUT)) {
            cx_fetch_add_relaxed(&p->late, 1);
        }
        got = CX_COMMIT_STATE(cx_waiter_state(w)) == CX_GRANTED;
        cx_lock_acquire(&p->lock);
        cx_waitlist_remove(&p->list, &w->node);
        cx_lock_release(&p->lock);
    }
    cx_waiter_return(w);
    return got;
}

static void
permits_body(struct worker *self)
{
    struct permits *p = self->shared;
    if (self->id == 0) { /* cancels whoever sleeps; waiters are never freed, so late is harmless */
        while (cx_load_acquire(&p->givers_left) > 0) {
            int who = (int)rng_below(&self->rng, (uint32_t)self->count);
            struct cx_waiter *w = __atomic_load_n(&p->sleeping[who], __ATOMIC_ACQUIRE);
            if (w != NULL && cx_waiter_decide(w, CX_CANCELLED)) {
                cx_fetch_add_relaxed(&p->cancelled, 1);
                cx_unpark(&w->commit, 1);
            }
            sched_yield();
        }
        return;
    }
    if (self->id <= 2) {
        for (int i = 0; i < p->rounds; i++) {
            cx_fetch_add_relaxed(&p->given, 1);
            give(p);
            if (rng_below(&self->rng, 4) == 0) {
                sched_yield();
            }
        }
        cx_fetch_add_acq_rel(&p->givers_left, (uint32_t)-1);
        return;
    }
    while (cx_load_acquire(&p->givers_left) > 0) {
        int64_t wait = (int64_t)rng_below(&self->rng, 200) * 1000;
        if (!take(p, self->id, cx_now() + wait)) {
            continue;
        }
        if (rng_below(&self->rng, 8) == 0) { /* leaves after the grant: gives it back */
            cx_fetch_add_relaxed(&p->passed, 1);
            give(p);
        }
        else {
            cx_fetch_add_relaxed(&p->taken, 1);
        }
    }
}

static void
test_cancel(void)
{
    struct permits p = {.givers_left = 2, .rounds = 3000};
    cx_waitlist_init(&p.list);
    run_threads(6, permits_body, &p);
    CHECK_EQ(p.given, p.taken + p.free);
    CHECK_EQ(cx_waitlist_count(&p.list), 0);
    CHECK(p.list.head == NULL && p.list.tail == NULL);
}

/* A select: one waiter, a node in each of two lists.  Whoever grants first wins, the other finds the
 * commit taken, and the owner unlinks both. */
struct two {
    struct cx_lock lock[2];
    struct cx_waitlist list[2];
    int64_t granted[2], seen[2], refused[2];
    uint32_t rounds_left;
};

static void
select_body(struct worker *self)
{
    struct two *two = self->shared;
    if (self->id < 2) {
        while (cx_load_acquire(&two->rounds_left) > 0) {
            struct cx_wakes wakes = CX_WAKES_INIT;
            cx_lock_acquire(&two->lock[self->id]);
            struct cx_node *node = cx_waitlist_first(&two->list[self->id]);
            if (node != NULL) {
                if (cx_waiter_grant(node, CX_OK, &wakes)) {
                    two->granted[self->id]++;
                }
                else {
                    two->refused[self->id]++;
                }
            }
            cx_lock_release(&two->lock[self->id]);
            deliver(&wakes);
            if (node == NULL) {
                sched_yield();
            }
        }
        return;
    }
    struct cx_waiter *w = cx_waiter_borrow();
    struct cx_node *second = calloc(1, sizeof *second);
    struct cx_node *nodes[2] = {&w->node, second};
    while (cx_load_acquire(&two->rounds_left) > 0) {
        cx_waiter_arm(w);
        *second = (struct cx_node){.waiter = w, .index = 1};
        for (int i = 0; i < 2; i++) {
            cx_lock_acquire(&two->lock[i]);
            cx_waitlist_push(&two->list[i], nodes[i]);
            cx_lock_release(&two->lock[i]);
        }
        while (cx_waiter_state(w) == CX_WAITING) {
            (void)cx_park(&w->commit, CX_WAITING, CX_FOREVER);
        }
        uint32_t word = cx_waiter_state(w);
        CHECK_EQ(CX_COMMIT_STATE(word), CX_GRANTED);
        two->seen[CX_COMMIT_INDEX(word)]++;
        for (int i = 0; i < 2; i++) {
            cx_lock_acquire(&two->lock[i]);
            cx_waitlist_remove(&two->list[i], nodes[i]);
            cx_lock_release(&two->lock[i]);
        }
        cx_fetch_add_acq_rel(&two->rounds_left, (uint32_t)-1);
    }
    free(second);
    cx_waiter_return(w);
}

static void
test_select(void)
{
    struct two two = {.rounds_left = 3000};
    cx_waitlist_init(&two.list[0]);
    cx_waitlist_init(&two.list[1]);
    run_threads(3, select_body, &two);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(two.granted[i], two.seen[i]);
        CHECK_EQ(cx_waitlist_count(&two.list[i]), 0);
    }
    CHECK_EQ(two.seen[0] + two.seen[1], 3000);
}

static void
test_settle(void)
{
    struct cx_port *port = cx_port_new(NULL, NULL);
    struct cx_waitlist list;
    cx_waitlist_init(&list);
    for (int taken = 0; taken < 2; taken++) {
        struct cx_wakes wakes = CX_WAKES_INIT;
        struct cx_waiter *w = cx_waiter_new(port);
        CHECK(!cx_waiter_settle(w, CX_TAKEN)); /* not granted yet */
        cx_waitlist_push(&list, &w->node);
        CHECK(cx_waiter_grant(&w->node, CX_OK, &wakes));
        CHECK_EQ(w->refs, 2);
        CHECK(cx_waiter_settle(w, taken ? CX_TAKEN : CX_RETURNED));
        CHECK(!cx_waiter_settle(w, taken ? CX_RETURNED : CX_TAKEN));
        CHECK_EQ(CX_COMMIT_STATE(cx_waiter_state(w)), taken ? CX_TAKEN : CX_RETURNED);
        cx_waiter_unref(wakes.waiters[0]);
        cx_waiter_unref(w);
    }
    CHECK_EQ(port->refs, 1);
    cx_port_unref(port);
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    cx_waiter_install();
    RUN(test_smoke);
    RUN(test_pool);
    RUN(test_settle);
    RUN(test_cancel);
    RUN(test_select);
    return harness_end();
}

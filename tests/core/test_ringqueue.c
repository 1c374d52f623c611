// SPDX-License-Identifier: MIT
/* Ring, SPSC ring and stack with waiting: hand-over, time-outs, shutdown, wakes, fork. */
#include "harness.h"

#include <sys/wait.h>

#include "core/port.h"
#include "core/ringqueue.h"

static const enum cx_ringqueue_kind kinds[] = {CX_KIND_RING, CX_KIND_SPSC, CX_KIND_STACK};

#define EACH_KIND(kind)                                                                            \
    for (int each = 0; each < 3; each++)                                                           \
        for (enum cx_ringqueue_kind kind = kinds[each], *once = &kind; once != NULL; once = NULL)

static enum cx_status
put(struct cx_ringqueue *q, uint64_t word)
{
    struct cx_wakes wakes = CX_WAKES_INIT;
    enum cx_status why = CX_OK;
    size_t k = cx_ringqueue_put(q, &word, 1, &why, &wakes);
    deliver(&wakes);
    return k == 1 ? CX_OK : why;
}

static enum cx_status
get(struct cx_ringqueue *q, uint64_t *word)
{
    struct cx_wakes wakes = CX_WAKES_INIT;
    enum cx_status why = CX_OK;
    size_t k = cx_ringqueue_get(q, word, 1, &why, &wakes);
    deliver(&wakes);
    return k == 1 ? CX_OK : why;
}

/* The loop that the header describes, for both sides. */
static enum cx_status
wait_for(struct cx_ringqueue *q, enum cx_ringqueue_side side, uint64_t *word, int64_t deadline)
{
    struct cx_wakes wakes = CX_WAKES_INIT;
    struct cx_waiter *waiter = cx_waiter_borrow();
    enum cx_status status;
    for (;;) {
        status = side == CX_GETTERS ? get(q, word) : put(q, *word);
        if (status == CX_OK || status == CX_CLOSED || cx_now() >= deadline) {
            break;
        }
        cx_waiter_arm(waiter);
        if (cx_ringqueue_wait(q, side, &waiter->node) == CX_AGAIN) {
            continue;
        }
        while (CX_COMMIT_STATE(cx_waiter_state(waiter)) == CX_WAITING) {
            if (cx_park(&waiter->commit, CX_WAITING, deadline) == CX_TIMEOUT) {
                if (cx_ringqueue_leave(q, side, &waiter->node, CX_TIMED_OUT, &wakes)) {
                    goto out;
                }
                deliver(&wakes);
            }
        }
    }
out:
    cx_waiter_return(waiter);
    return status;
}

static void
shut_down(struct cx_ringqueue *q)
{
    struct cx_wakes wakes = CX_WAKES_INIT;
    bool more;
    (void)cx_ringqueue_close(q);
    do {
        more = cx_ringqueue_wake_all(q, &wakes);
        deliver(&wakes);
    } while (more);
}

static void
test_smoke(void)
{
    EACH_KIND(kind)
    {
        struct cx_ringqueue *q = cx_ringqueue_new(kind, 3);
        struct cx_ringqueue_stats stats;
        uint64_t word = 0;
        CHECK_EQ(get(q, &word), CX_EMPTY);
        for (uint64_t i = 1; i <= 3; i++) {
            CHECK_EQ(put(q, i), CX_OK);
        }
        CHECK_EQ(cx_ringqueue_len(q), 3);
        for (uint64_t i = 1; i <= 3; i++) {
            CHECK_EQ(get(q, &word), CX_OK);
            CHECK_EQ(word, kind == CX_KIND_STACK ? 4 - i : i);
        }
        CHECK_EQ(get(q, &word), CX_EMPTY);
        cx_ringqueue_look(q, &stats);
        CHECK_EQ(stats.puts, 3);
        CHECK_EQ(stats.gets, 3);
        CHECK_EQ(stats.blocked_gets + stats.blocked_puts, 0);
        CHECK(cx_ringqueue_bytes(q) >= sizeof *q);
        cx_ringqueue_unref(q);
    }
}

static void
test_capacity(void)
{
    CHECK(cx_ringqueue_new(CX_KIND_RING, 0) == NULL);
    CHECK(cx_ringqueue_new(CX_KIND_SPSC, 0) == NULL);
    for (int i = 0; i < 2; i++) {
        struct cx_ringqueue *q = cx_ringqueue_new(kinds[i], 5);
        CHECK_EQ(cx_ringqueue_capacity(q), 5);
        for (uint64_t j = 0; j < 5; j++) {
            CHECK_EQ(put(q, j), CX_OK);
        }
        CHECK_EQ(put(q, 5), CX_FULL);
        cx_ringqueue_unref(q);
    }
    struct cx_ringqueue *stack = cx_ringqueue_new(CX_KIND_STACK, 0);
    CHECK(cx_ringqueue_capacity(stack) == UINT64_MAX);
    cx_ringqueue_unref(stack);
}

static void
test_len(void)
{
    EACH_KIND(kind)
    {
        struct cx_ringqueue *q = cx_ringqueue_new(kind, 100);
        struct cx_wakes wakes = CX_WAKES_INIT;
        struct cx_ringqueue_stats stats;
        uint64_t words[100] = {0};
        enum cx_status why;
        CHECK_EQ(cx_ringqueue_put(q, words, 60, &why, &wakes), 60);
        CHECK_EQ(cx_ringqueue_len(q), 60);
        CHECK_EQ(cx_ringqueue_get(q, words, 20, &why, &wakes), 20);
        CHECK_EQ(cx_ringqueue_discard(q, words, 30, &why, &wakes), 30);
        CHECK_EQ(cx_ringqueue_len(q), 10);
        cx_ringqueue_look(q, &stats);
        CHECK_EQ(stats.puts, 60);
        CHECK_EQ(stats.gets, 20);
        cx_ringqueue_unref(q);
    }
}

static void
test_timeout(void)
{
    EACH_KIND(kind)
    {
        struct cx_ringqueue *q = cx_ringqueue_new(kind, 1);
        struct cx_ringqueue_stats stats;
        uint64_t word = 0;
        int64_t began = cx_now();
        CHECK_EQ(wait_for(q, CX_GETTERS, &word, began + 5 * MILLISECOND), CX_EMPTY);
        CHECK(cx_now() >= began + 5 * MILLISECOND);
        CHECK_EQ(put(q, 1), CX_OK);
        if (kind != CX_KIND_STACK) {
            CHECK_EQ(wait_for(q, CX_PUTTERS, &word, cx_now() + MILLISECOND), CX_FULL);
        }
        cx_ringqueue_look(q, &stats);
        CHECK_EQ(stats.waiting_gets + stats.waiting_puts, 0);
        CHECK_EQ(stats.blocked_gets, 1);
        cx_ringqueue_unref(q);
    }
}

/* A claimed waiter that leaves passes its wake on; one that leaves in time takes none. */
static void
test_cancel(void)
{
    EACH_KIND(kind)
    {
        struct cx_ringqueue *q = cx_ringqueue_new(kind, 4);
        struct cx_wakes wakes = CX_WAKES_INIT, passed = CX_WAKES_INIT;
        struct cx_waiter *w[3];
        uint64_t word = 1;
        enum cx_status why;
        for (int i = 0; i < 3; i++) {
            w[i] = cx_waiter_borrow();
            CHECK_EQ(cx_ringqueue_wait(q, CX_GETTERS, &w[i]->node), CX_WAIT);
        }
        CHECK(cx_ringqueue_leave(q, CX_GETTERS, &w[0]->node, CX_CANCELLED, &passed));
        CHECK_EQ(passed.count, 0);
        CHECK_EQ(cx_ringqueue_put(q, &word, 1, &why, &wakes), 1);
        CHECK_EQ(wakes.count, 1);
        CHECK(wakes.waiters[0] == w[1]);
        CHECK(!cx_ringqueue_leave(q, CX_GETTERS, &w[1]->node, CX_CANCELLED, &passed));
        CHECK_EQ(passed.count, 1);
        CHECK(passed.waiters[0] == w[2]);
        deliver(&wakes);
        deliver(&passed);
        /* There is something: nobody need wait for it. */
        cx_waiter_arm(w[0]);
        CHECK_EQ(cx_ringqueue_wait(q, CX_GETTERS, &w[0]->node), CX_AGAIN);
        for (int i = 0; i < 3; i++) {
            cx_waiter_return(w[i]);
        }
        cx_ringqueue_unref(q);
    }
}

/* One batch, several waiters; and the chain: one wake for two items that became visible together. */
static void
test_chain(void)
{
    struct cx_ringqueue *q = cx_ringqueue_new(CX_KIND_RING, 8);
    struct cx_wakes wakes = CX_WAKES_INIT;
    struct cx_waiter *a = cx_waiter_borrow(), *b = cx_waiter_borrow();
    struct cx_ring *ring = &q->store.ring;
    uint64_t word;
    enum cx_status why;
    cx_store_relaxed(&ring->tail, 1); /* producer P has claimed cell 0 */
    CHECK_EQ(cx_ringqueue_wait(q, CX_GETTERS, &a->node), CX_WAIT);
    word = 11;
    CHECK_EQ(cx_ringqueue_put(q, &word, 1, &why, &wakes), 1); /* Q publishes cell 1 and wakes a */
    CHECK_EQ(wakes.count, 1);
    wakes.count = 0;
    CHECK_EQ(cx_ringqueue_get(q, &word, 1, &why, &wakes), 0); /* a finds nothing and waits again */
    CHECK_EQ(why, CX_AGAIN);
    cx_waiter_arm(a);
    CHECK_EQ(cx_ringqueue_wait(q, CX_GETTERS, &a->node), CX_WAIT);
    CHECK_EQ(cx_ringqueue_wait(q, CX_GETTERS, &b->node), CX_WAIT);
    ring->cells[0].word = 10;
    cx_store_release(&ring->cells[0].seq, 1); /* P publishes, and wakes one for two items */
    cx_turnstile_wake(&q->sides[CX_GETTERS], 1, &wakes);
    CHECK_EQ(wakes.count, 1);
    wakes.count = 0;
    CHECK_EQ(cx_ringqueue_get(q, &word, 1, &why, &wakes), 1); /* a takes 10 and wakes b */
    CHECK_EQ(word, 10);
    CHECK_EQ(wakes.count, 1);
    CHECK(wakes.waiters[0] == b);
    wakes.count = 0;
    cx_waiter_return(a);
    cx_waiter_return(b);
    cx_ringqueue_unref(q);
}

#define PER_PUTTER 5000u

struct crowd {
    struct cx_ringqueue *q;
    int putters;
    bool impatient;
    uint32_t putters_left;
    uint64_t in, out, count_in, count_out;
};

static void
crowd_put(struct worker *self, struct crowd *crowd)
{
    for (uint32_t i = 0; i < PER_PUTTER;) {
        uint64_t word = (uint64_t)self->id * PER_PUTTER + i;
        int64_t patience = (int64_t)rng_below(&self->rng, 50) * 1000;
        int64_t deadline = crowd->impatient ? cx_now() + patience : CX_FOREVER;
        enum cx_status status = wait_for(crowd->q, CX_PUTTERS, &word, deadline);
        if (status == CX_OK) {
            cx_fetch_add_relaxed(&crowd->in, word);
            cx_fetch_add_relaxed(&crowd->count_in, 1);
            i++;
        }
        else {
            CHECK(status == CX_FULL || status == CX_AGAIN);
        }
    }
    if (cx_fetch_add_acq_rel(&crowd->putters_left, (uint32_t)-1) == 1) {
        shut_down(crowd->q); /* the last one turns out the light */
    }
}

static void
crowd_body(struct worker *self)
{
    struct crowd *crowd = self->shared;
    uint64_t word;
    enum cx_status status = CX_OK;
    if (self->id < crowd->putters) {
        crowd_put(self, crowd);
        return;
    }
    while (status != CX_CLOSED) {
        int64_t patience = (int64_t)rng_below(&self->rng, 50) * 1000;
        int64_t deadline = crowd->impatient ? cx_now() + patience : CX_FOREVER;
        status = wait_for(crowd->q, CX_GETTERS, &word, deadline);
        if (status == CX_OK) {
            cx_fetch_add_relaxed(&crowd->out, word);
            cx_fetch_add_relaxed(&crowd->count_out, 1);
        }
        else {
            CHECK(status == CX_CLOSED ||
                  (crowd->impatient && (status == CX_EMPTY || status == CX_AGAIN)));
        }
    }
}

static void
run_crowd(enum cx_ringqueue_kind kind, uint64_t capacity, int putters, int getters, bool impatient)
{
    struct crowd crowd = {.q = cx_ringqueue_new(kind, capacity),
                          .putters = putters,
                          .putters_left = (uint32_t)putters,
                          .impatient = impatient};
    struct cx_ringqueue_stats stats;
    run_threads(putters + getters, crowd_body, &crowd);
    CHECK_EQ(crowd.count_in, (uint64_t)putters * PER_PUTTER);
    CHECK_EQ(crowd.count_out, crowd.count_in);
    CHECK_EQ(crowd.in, crowd.out);
    CHECK_EQ(cx_ringqueue_len(crowd.q), 0);
    cx_ringqueue_look(crowd.q, &stats);
    CHECK_EQ(stats.waiting_gets + stats.waiting_puts, 0);
    CHECK_EQ(stats.puts, crowd.count_in);
    cx_ringqueue_unref(crowd.q);
}

static void
test_spsc(void)
{
    EACH_KIND(kind)
    {
        run_crowd(kind, 1, 1, 1, false);
        run_crowd(kind, 16, 1, 1, true);
    }
}

static void
test_mpmc(void)
{
    run_crowd(CX_KIND_RING, 1, 2, 2, false);
    run_crowd(CX_KIND_RING, 3, 3, 2, true);
    run_crowd(CX_KIND_RING, 64, 2, 3, false);
    run_crowd(CX_KIND_STACK, 0, 2, 2, false);
    run_crowd(CX_KIND_STACK, 0, 3, 3, true);
}

/* Many sleepers, more than one batch of wakes, all told of the end; with an item left for one. */
struct sleepers {
    struct cx_ringqueue *q;
    enum cx_ringqueue_side side;
    uint64_t closed, got;
};

static void
sleep_body(struct worker *self)
{
    struct sleepers *s = self->shared;
    uint64_t word = 5;
    if (self->id == 0) {
        struct cx_ringqueue_stats stats;
        do {
            cx_ringqueue_look(s->q, &stats);
            sched_yield();
        } while (stats.waiting_gets + stats.waiting_puts < (uint32_t)self->count - 1);
        shut_down(s->q);
        return;
    }
    enum cx_status status = wait_for(s->q, s->side, &word, CX_FOREVER);
    cx_fetch_add_relaxed(status == CX_CLOSED ? &s->closed : &s->got, 1);
}

static void
test_shutdown(void)
{
    EACH_KIND(kind)
    {
        struct sleepers s = {.q = cx_ringqueue_new(kind, 2), .side = CX_GETTERS};
        uint64_t word = 0;
        run_threads(HARNESS_MAX_THREADS, sleep_body, &s);
        CHECK_EQ(s.closed, HARNESS_MAX_THREADS - 1);
        CHECK(cx_ringqueue_closed(s.q));
        CHECK(!cx_ringqueue_close(s.q));
        CHECK_EQ(put(s.q, 1), CX_CLOSED);
        CHECK_EQ(get(s.q, &word), CX_CLOSED);
        cx_ringqueue_unref(s.q);
    }
    for (int i = 0; i < 2; i++) {
        struct sleepers s = {.q = cx_ringqueue_new(kinds[i], 2), .side = CX_PUTTERS};
        uint64_t word = 0;
        CHECK_EQ(put(s.q, 1), CX_OK);
        CHECK_EQ(put(s.q, 2), CX_OK);
        run_threads(kinds[i] == CX_KIND_RING ? 8 : 2, sleep_body, &s);
        CHECK_EQ(s.got, 0);
        CHECK_EQ(get(s.q, &word), CX_OK); /* what is in stays to be had */
        CHECK_EQ(get(s.q, &word), CX_OK);
        CHECK_EQ(get(s.q, &word), CX_CLOSED);
        cx_ringqueue_unref(s.q);
    }
}

#define NATIVE 20000u

struct native {
    struct cx_ringqueue *q;
    uint64_t sum;
};

static void
native_body(struct worker *self)
{
    struct native *n = self->shared;
    uint64_t word;
    if (self->id > 0) {
        for (uint64_t i = 1; i <= NATIVE; i++) {
            CHECK_EQ(cx_ringqueue_put_native(n->q, i, CX_FOREVER), CX_OK);
        }
        return;
    }
    for (uint64_t i = 0; i < NATIVE * (uint64_t)(self->count - 1); i++) {
        CHECK_EQ(wait_for(n->q, CX_GETTERS, &word, CX_FOREVER), CX_OK);
        n->sum += word;
    }
    CHECK_EQ(put(n->q, 1), CX_OK);
    CHECK_EQ(put(n->q, 1), CX_OK);
    CHECK_EQ(cx_ringqueue_put_native(n->q, 1, 0), CX_FULL);
    CHECK_EQ(cx_ringqueue_put_native(n->q, 1, cx_now() + MILLISECOND), CX_FULL);
    shut_down(n->q);
    CHECK_EQ(cx_ringqueue_put_native(n->q, 1, CX_FOREVER), CX_CLOSED);
}

static void
test_native(void)
{
    struct native n = {.q = cx_ringqueue_new(CX_KIND_RING, 2)};
    n.q->native = true;
    run_threads(3, native_body, &n);
    CHECK_EQ(n.sum, 2 * (uint64_t)NATIVE * (NATIVE + 1) / 2);
    cx_ringqueue_unref(n.q);
}

/* A child of a process whose other threads were in the middle of things. */
static int
in_child(struct cx_ringqueue *q)
{
    uint64_t word = 0;
    struct cx_ringqueue_stats stats;
    cx_ringqueue_look(q, &stats);
    CHECK_EQ(stats.waiting_gets, 0);
    CHECK_EQ(cx_ringqueue_len(q), 2);
    CHECK_EQ(get(q, &word), CX_OK);
    CHECK_EQ(word, 21);
    CHECK_EQ(get(q, &word), CX_OK);
    CHECK_EQ(word, 22);
    CHECK_EQ(get(q, &word), CX_EMPTY);
    CHECK_EQ(wait_for(q, CX_GETTERS, &word, cx_now() + MILLISECOND), CX_EMPTY);
    CHECK_EQ(put(q, 1), CX_OK);
    CHECK_EQ(get(q, &word), CX_OK);
    return __atomic_load_n(&harness_failures, __ATOMIC_RELAXED) == 0 ? 0 : 1;
}

static void
test_fork(void)
{
    struct cx_ringqueue *q = cx_ringqueue_new(CX_KIND_RING, 4);
    struct cx_waiter *waiter = cx_waiter_borrow();
    int status = -1;
    cx_waiter_arm(waiter);
    CHECK_EQ(cx_ringqueue_wait(q, CX_GETTERS, &waiter->node), CX_WAIT); /* another thread's */
    cx_store_relaxed(&q->store.ring.tail, 1);                           /* another thread's claim */
    CHECK_EQ(cx_ring_try_push(&q->store.ring, (uint64_t[]){21, 22}, 2, &(enum cx_status){0}), 2);
    cx_lock_acquire(&q->sides[CX_GETTERS].lock);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(10);
        _exit(in_child(q));
    }
    cx_lock_release(&q->sides[CX_GETTERS].lock);
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK_EQ(status, 0);
    cx_ringqueue_unlink(q, CX_GETTERS, &waiter->node);
    cx_waiter_return(waiter);
    cx_ringqueue_unref(q);
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    cx_waiter_install();
    RUN(test_smoke);
    RUN(test_capacity);
    RUN(test_len);
    RUN(test_timeout);
    RUN(test_cancel);
    RUN(test_chain);
    RUN(test_spsc);
    RUN(test_mpmc);
    RUN(test_shutdown);
    RUN(test_native);
    RUN(test_fork);
    return harness_end();
}

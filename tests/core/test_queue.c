// SPDX-License-Identifier: MIT
/* The engine of Queue: disciplines, limits, hand-over, slots, giving back, overflow, shutdown. */
#include "harness.h"

#include "core/port.h"
#include "core/queue.h"

static int
less(void *a, void *b)
{
    return (uintptr_t)a < (uintptr_t)b;
}

static void
retain(void *item)
{
    (void)item;
}

static void
make(struct cx_queue *q, enum cx_discipline discipline, int64_t limit)
{
    cx_queue_init(q, discipline, false);
    q->limit = limit;
    q->less = less;
    q->retain = retain;
}

/* Leaves with the wakes, and settles what did not go into them. */
static void
settle(struct cx_queue *q, struct cx_wakes *wakes)
{
    bool more;
    do {
        more = cx_wakes_full(wakes);
        deliver(wakes);
        if (more) {
            cx_queue_settle(q, wakes);
        }
    } while (more);
    deliver(wakes);
}

static enum cx_status
put(struct cx_queue *q, uintptr_t item)
{
    struct cx_queue_op op;
    cx_queue_op_init(&op, (void *)item, 1);
    enum cx_status status = cx_queue_put(q, &op, NULL);
    settle(q, &op.wakes);
    return status;
}

static enum cx_status
get(struct cx_queue *q, uintptr_t *item)
{
    struct cx_queue_op op;
    cx_queue_op_init(&op, NULL, 1);
    enum cx_status status = cx_queue_get(q, &op, NULL);
    settle(q, &op.wakes);
    cx_queue_recycle(&op.spent);
    *item = (uintptr_t)op.item;
    return status;
}

static void
expect(struct cx_queue *q, uintptr_t item)
{
    uintptr_t got = 0;
    CHECK_EQ(get(q, &got), CX_OK);
    CHECK_EQ(got, item);
}

static void
test_smoke(void)
{
    static const uintptr_t in[4] = {3, 1, 4, 2};
    static const uintptr_t out[3][4] = {{3, 1, 4, 2}, {2, 4, 1, 3}, {1, 2, 3, 4}};
    for (int d = CX_FIFO; d <= CX_PRIORITY; d++) {
        struct cx_queue q;
        uintptr_t none;
        make(&q, (enum cx_discipline)d, INT64_MAX);
        CHECK_EQ(get(&q, &none), CX_EMPTY);
        for (int i = 0; i < 4; i++) {
            CHECK_EQ(put(&q, in[i]), CX_OK);
        }
        for (int i = 0; i < 4; i++) {
            expect(&q, out[d][i]);
        }
        CHECK_EQ(get(&q, &none), CX_EMPTY);
        CHECK_EQ(q.stats.puts, 4);
        CHECK_EQ(q.stats.gets, 4);
        CHECK_EQ(q.stats.high_water, 4);
        CHECK_EQ(q.unfinished, 4);
        cx_queue_fini(&q);
    }
}

static void
test_fast(void)
{
    struct cx_queue q;
    void *item;
    make(&q, CX_FIFO, 2);
    CHECK(!cx_queue_put_fast(&q, (void *)1)); /* no memory yet: the slow path makes it */
    CHECK_EQ(put(&q, 1), CX_OK);
    CHECK(cx_queue_put_fast(&q, (void *)2));
    CHECK(!cx_queue_put_fast(&q, (void *)3)); /* full */
    CHECK(cx_queue_get_fast(&q, &item) && item == (void *)1);
    CHECK(cx_queue_get_fast(&q, &item) && item == (void *)2);
    CHECK(!cx_queue_get_fast(&q, &item));
    cx_queue_fini(&q);
}

static void
test_capacity(void)
{
    struct cx_queue q;
    uintptr_t item;
    make(&q, CX_FIFO, 3);
    for (uintptr_t i = 1; i <= 3; i++) {
        CHECK_EQ(put(&q, i), CX_OK);
    }
    CHECK_EQ(put(&q, 4), CX_FULL);
    expect(&q, 1);
    CHECK_EQ(put(&q, 4), CX_OK);
    CHECK_EQ(put(&q, 5), CX_FULL);
    while (get(&q, &item) == CX_OK) {
    }
    cx_queue_fini(&q);
}

static void
test_overflow(void)
{
    struct cx_queue q;
    struct cx_queue_op op;
    make(&q, CX_FIFO, 2);
    CHECK_EQ(put(&q, 1), CX_OK);
    CHECK_EQ(put(&q, 2), CX_OK);
    q.overflow = CX_DROP_NEWEST;
    cx_queue_op_init(&op, (void *)3, 1);
    CHECK_EQ(cx_queue_put(&q, &op, NULL), CX_OK);
    CHECK(op.evicted == (void *)3);
    q.overflow = CX_DROP_OLDEST;
    cx_queue_op_init(&op, (void *)4, 1);
    CHECK_EQ(cx_queue_put(&q, &op, NULL), CX_AGAIN);
    CHECK(op.evicted == (void *)1);
    op.evicted = NULL;
    CHECK_EQ(cx_queue_put(&q, &op, NULL), CX_OK);
    CHECK_EQ(q.stats.dropped, 2);
    CHECK_EQ(q.unfinished, 2); /* a dropped item is done */
    q.overflow = CX_RAISE;
    struct cx_waiter *w = cx_waiter_borrow();
    cx_queue_op_init(&op, (void *)5, 1);
    CHECK_EQ(cx_queue_put(&q, &op, &w->node), CX_FULL);
    cx_waiter_return(w);
    expect(&q, 2);
    expect(&q, 4);
    cx_queue_fini(&q);
}

static void
test_weights(void)
{
    struct cx_queue q;
    struct cx_queue_op op;
    cx_queue_init(&q, CX_FIFO, true);
    q.max_weight = 10;
    cx_queue_op_init(&op, (void *)1, 11);
    CHECK_EQ(cx_queue_put(&q, &op, NULL), CX_TOO_BIG);
    cx_queue_op_init(&op, (void *)2, 7);
    CHECK_EQ(cx_queue_put(&q, &op, NULL), CX_OK);
    cx_queue_op_init(&op, (void *)3, 4);
    CHECK_EQ(cx_queue_put(&q, &op, NULL), CX_FULL);
    cx_queue_op_init(&op, (void *)4, 3);
    CHECK_EQ(cx_queue_put(&q, &op, NULL), CX_OK);
    CHECK_EQ(q.weight, 10);
    expect(&q, 2);
    CHECK_EQ(q.weight, 3);
    expect(&q, 4);
    CHECK_EQ(q.weight, 0);
    cx_queue_fini(&q);
}

/* Two takers are handed 1 and 2 and both give back, the later first: they come out again in the
 * order of the grants, before everything else. */
static void
test_give_back(void)
{
    for (int order = 0; order < 2; order++) {
        struct cx_queue q;
        struct cx_queue_op op;
        struct cx_waiter *w[2];
        struct cx_wakes wakes = CX_WAKES_INIT;
        make(&q, CX_FIFO, INT64_MAX);
        for (int i = 0; i < 2; i++) {
            w[i] = cx_waiter_borrow();
            cx_queue_op_init(&op, NULL, 1);
            CHECK_EQ(cx_queue_get(&q, &op, &w[i]->node), CX_WAIT);
        }
        for (uintptr_t i = 1; i <= 3; i++) {
            CHECK_EQ(put(&q, i), CX_OK);
        }
        CHECK(w[0]->node.item == (void *)1 && w[1]->node.item == (void *)2);
        CHECK(cx_queue_give_back(&q, &w[1 - order]->node, &wakes) == NULL);
        CHECK(cx_queue_give_back(&q, &w[order]->node, &wakes) == NULL);
        CHECK_EQ(wakes.count, 0);
        CHECK_EQ(cx_queue_len(&q), 3);
        CHECK_EQ(q.stats.gets, 0);
        expect(&q, 1);
        expect(&q, 2);
        expect(&q, 3);
        CHECK(q.returned == NULL);
        cx_queue_fini(&q);
    }
}

/* A giver of a priority queue is granted a slot; filled or released, the next one gets its turn. */
static void
test_slots(void)
{
    for (int filled = 0; filled < 2; filled++) {
        struct cx_queue q;
        struct cx_queue_op op[2];
        struct cx_waiter *w[2];
        make(&q, CX_PRIORITY, 1);
        CHECK_EQ(put(&q, 9), CX_OK);
        for (uintptr_t i = 0; i < 2; i++) {
            w[i] = cx_waiter_borrow();
            cx_queue_op_init(&op[i], (void *)(i + 1), 1);
            CHECK_EQ(cx_queue_put(&q, &op[i], &w[i]->node), CX_WAIT);
        }
        expect(&q, 9);
        CHECK_EQ(CX_COMMIT_STATE(cx_waiter_state(w[0])), CX_GRANTED);
        CHECK_EQ(w[0]->node.status, CX_AGAIN);
        CHECK_EQ(q.reserved, 1);
        CHECK_EQ(put(&q, 5), CX_FULL); /* the slot is promised */
        if (filled) {
            CHECK_EQ(cx_queue_fill(&q, &op[0]), CX_OK);
            CHECK_EQ(cx_waiter_state(w[1]), CX_WAITING);
            expect(&q, 1);
        }
        else {
            cx_queue_release(&q, 1, &op[0].wakes);
            settle(&q, &op[0].wakes);
        }
        CHECK_EQ(CX_COMMIT_STATE(cx_waiter_state(w[1])), CX_GRANTED);
        CHECK_EQ(cx_queue_fill(&q, &op[1]), CX_OK);
        expect(&q, 2);
        CHECK_EQ(q.reserved, 0);
        cx_waiter_return(w[0]);
        cx_waiter_return(w[1]);
        cx_queue_fini(&q);
    }
}

#define ITEMS 20000

/* Putters and getters with time-outs, cancellation and give-backs over one small queue. */
struct traffic {
    struct cx_queue q;
    uint8_t got[ITEMS + 1]; /* atomic */
    uint32_t next, taken, putters, put, refused;
    bool gives_back;
};

static enum cx_commit
sleep_until(struct traffic *t, struct cx_waitlist *list, struct cx_waiter *w, int64_t deadline)
{
    enum cx_status status = CX_OK;
    struct cx_wakes wakes = CX_WAKES_INIT;
    while (cx_waiter_state(w) == CX_WAITING && status != CX_TIMEOUT) {
        status = cx_park(&w->commit, CX_WAITING, deadline);
    }
    if (status == CX_TIMEOUT && cx_waiter_decide(w, CX_TIMED_OUT)) {
        cx_queue_leave(&t->q, list, &w->node, &wakes);
        settle(&t->q, &wakes);
    }
    return CX_COMMIT_STATE(cx_waiter_state(w));
}

static void
traffic_put(struct traffic *t, struct rng *rng, uint32_t item)
{
    for (bool in = false; !in;) {
        struct cx_queue_op op;
        if (cx_queue_put_fast(&t->q, (void *)(uintptr_t)item)) {
            break;
        }
        struct cx_waiter *w = cx_waiter_borrow();
        cx_queue_op_init(&op, (void *)(uintptr_t)item, 1);
        enum cx_status status = cx_queue_put(&t->q, &op, &w->node);
        settle(&t->q, &op.wakes);
        if (status == CX_WAIT) {
            int64_t deadline = cx_now() + (int64_t)rng_below(rng, 300) * 1000;
            status = CX_TIMEOUT;
            if (sleep_until(t, &t->q.givers, w, deadline) == CX_GRANTED) {
                status = w->node.status;
                if (status == CX_AGAIN) {
                    status = cx_queue_fill(&t->q, &op);
                    settle(&t->q, &op.wakes);
                }
            }
        }
        cx_waiter_return(w);
        CHECK(status == CX_OK || status == CX_TIMEOUT);
        in = status == CX_OK;
    }
    cx_fetch_add_relaxed(&t->put, 1);
}

static void
traffic_get(struct traffic *t, struct rng *rng)
{
    struct cx_queue_op op;
    void *item;
    if (!cx_queue_get_fast(&t->q, &item)) {
        struct cx_waiter *w = cx_waiter_borrow();
        cx_queue_op_init(&op, NULL, 1);
        enum cx_status status = cx_queue_get(&t->q, &op, &w->node);
        settle(&t->q, &op.wakes);
        cx_queue_recycle(&op.spent);
        item = op.item;
        if (status == CX_WAIT) {
            int64_t deadline = cx_now() + (int64_t)rng_below(rng, 300) * 1000;
            if (sleep_until(t, &t->q.takers, w, deadline) != CX_GRANTED) {
                cx_waiter_return(w);
                return;
            }
            if (t->gives_back && rng_below(rng, 3) == 0) {
                CHECK(cx_queue_give_back(&t->q, &w->node, &op.wakes) == NULL);
                settle(&t->q, &op.wakes);
                return;
            }
            item = w->node.item;
        }
        cx_waiter_return(w);
    }
    CHECK_EQ(__atomic_fetch_add(&t->got[(uintptr_t)item], 1, __ATOMIC_RELAXED), 0);
    cx_fetch_add_acq_rel(&t->taken, 1);
}

static void
traffic_body(struct worker *self)
{
    struct traffic *t = self->shared;
    if (self->id < 3) {
        uint32_t item;
        while ((item = cx_fetch_add_relaxed(&t->next, 1) + 1) <= ITEMS) {
            traffic_put(t, &self->rng, item);
        }
        return;
    }
    while (cx_load_acquire(&t->taken) < ITEMS) {
        traffic_get(t, &self->rng);
    }
}

static void
traffic(enum cx_discipline discipline, int64_t limit, bool gives_back)
{
    static struct traffic t;
    memset(&t, 0, sizeof t);
    make(&t.q, discipline, limit);
    t.gives_back = gives_back;
    run_threads(6, traffic_body, &t);
    CHECK_EQ(t.taken, ITEMS);
    CHECK_EQ(t.put, ITEMS);
    CHECK_EQ(cx_queue_len(&t.q), 0);
    CHECK_EQ(t.q.reserved, 0);
    CHECK_EQ(t.q.stats.puts, ITEMS);
    CHECK_EQ(t.q.stats.gets, ITEMS);
    CHECK_EQ(cx_waitlist_count(&t.q.takers), 0);
    CHECK_EQ(cx_waitlist_count(&t.q.givers), 0);
    cx_queue_fini(&t.q);
}

static void
test_mpmc(void)
{
    traffic(CX_FIFO, INT64_MAX, false);
    traffic(CX_FIFO, 1, false);
    traffic(CX_LIFO, 4, false);
    traffic(CX_PRIORITY, 2, false);
}

static void
test_cancel(void)
{
    traffic(CX_FIFO, 2, true);
    traffic(CX_PRIORITY, 2, true);
    traffic(CX_LIFO, 2, true);
}

static void
test_shutdown(void)
{
    struct cx_queue q;
    struct cx_queue_op op;
    struct cx_wakes wakes = CX_WAKES_INIT;
    struct cx_waiter *giver = cx_waiter_borrow(), *joiner = cx_waiter_borrow();
    make(&q, CX_FIFO, 1);
    CHECK_EQ(put(&q, 1), CX_OK);
    cx_queue_op_init(&op, (void *)2, 1);
    CHECK_EQ(cx_queue_put(&q, &op, &giver->node), CX_WAIT);
    CHECK_EQ(cx_queue_join(&q, &joiner->node), CX_WAIT);
    CHECK(cx_queue_close(&q, false));
    cx_queue_settle(&q, &wakes);
    settle(&q, &wakes);
    CHECK_EQ(CX_COMMIT_STATE(cx_waiter_state(giver)), CX_GRANTED);
    CHECK_EQ(giver->node.status, CX_CLOSED);
    CHECK_EQ(cx_waiter_state(joiner), CX_WAITING);
    CHECK_EQ(put(&q, 3), CX_CLOSED);
    expect(&q, 1);
    uintptr_t item;
    CHECK_EQ(get(&q, &item), CX_CLOSED);
    CHECK_EQ(cx_queue_done(&q, &wakes), CX_OK);
    settle(&q, &wakes);
    CHECK_EQ(CX_COMMIT_STATE(cx_waiter_state(joiner)), CX_GRANTED);
    CHECK_EQ(cx_queue_done(&q, &wakes), CX_EMPTY);
    cx_waiter_return(giver);
    cx_waiter_return(joiner);
    cx_queue_fini(&q);
}

/* More waiters than one call wakes: settle goes on until all are told. */
static void
test_many_waiters(void)
{
    enum { MANY = 3 * CX_WAKES };
    struct cx_queue q;
    struct cx_queue_op op;
    struct cx_wakes wakes = CX_WAKES_INIT;
    struct cx_waiter *w[MANY];
    make(&q, CX_FIFO, INT64_MAX);
    for (int i = 0; i < MANY; i++) {
        w[i] = cx_waiter_borrow();
        cx_queue_op_init(&op, NULL, 1);
        CHECK_EQ(cx_queue_get(&q, &op, &w[i]->node), CX_WAIT);
    }
    CHECK(cx_queue_close(&q, false));
    cx_queue_settle(&q, &wakes);
    CHECK(cx_wakes_full(&wakes));
    settle(&q, &wakes);
    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(CX_COMMIT_STATE(cx_waiter_state(w[i])), CX_GRANTED);
        CHECK_EQ(w[i]->node.status, CX_CLOSED);
        cx_waiter_return(w[i]);
    }
    cx_queue_fini(&q);
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    cx_waiter_install();
    RUN(test_smoke);
    RUN(test_fast);
    RUN(test_capacity);
    RUN(test_overflow);
    RUN(test_weights);
    RUN(test_give_back);
    RUN(test_slots);
    RUN(test_shutdown);
    RUN(test_many_waiters);
    RUN(test_mpmc);
    RUN(test_cancel);
    return harness_end();
}

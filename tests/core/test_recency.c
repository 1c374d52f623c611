// SPDX-License-Identifier: MIT
/* Who was used longest ago: stamps and a lazy heap against a list that is kept in order. */
#include "harness.h"

#include "core/recency.h"

#define MOST 64

static struct cx_used subject[MOST];
static int order[MOST], known; /* the model: subjects, oldest first */

static int
index_of(int one)
{
    for (int i = 0; i < known; i++) {
        if (order[i] == one) {
            return i;
        }
    }
    return -1;
}

static void
model_remove(int one)
{
    int at = index_of(one);
    for (int i = at; i + 1 < known; i++) {
        order[i] = order[i + 1];
    }
    known--;
}

static void
ensure_room(struct cx_recency *r)
{
    if (cx_recency_is_full(r, (size_t)known)) {
        struct cx_recency_room room;
        CHECK(cx_recency_room(&room, 2 * (size_t)known + 1));
        cx_recency_grow(r, &room);
        cx_recency_room_free(&room);
    }
}

/* `churn` of ten steps remove and add, the others use. */
static void
against_model(int most, int churn, int steps)
{
    struct cx_recency r;
    struct rng rng = {harness_seed * 1000 + (uint64_t)(most * 10 + churn)};
    cx_recency_init(&r);
    known = 0;
    for (int step = 0; step < steps; step++) {
        int one = (int)rng_below(&rng, (uint32_t)most), at = index_of(one);
        if (at < 0) {
            ensure_room(&r);
            cx_recency_add(&r, &subject[one], cx_stamp_alone());
            order[known++] = one;
        }
        else if ((int)rng_below(&rng, 10) < churn) {
            cx_recency_remove(&r, &subject[one]);
            model_remove(one);
        }
        else {
            cx_recency_use(&r, &subject[one], step % 2 == 0 ? cx_stamp() : cx_stamp_alone());
            model_remove(one);
            order[known++] = one;
        }
        if (known > 0 && rng_below(&rng, 3) == 0) {
            int oldest = (int)(cx_recency_oldest(&r) - subject);
            if (!CHECK_EQ(oldest, order[0])) {
                break;
            }
            if (rng_below(&rng, 2) == 0) {
                cx_recency_remove(&r, &subject[oldest]);
                model_remove(oldest);
            }
        }
    }
    cx_recency_fini(&r);
}

static void
test_order(void)
{
    for (int churn = 0; churn < 10; churn += 3) {
        against_model(1, churn, 2000);
        against_model(7, churn, 20000);
        against_model(MOST, churn, 40000);
    }
}

/* Removals leave gaps in the queue; it is packed when it is full of them. */
static void
test_gaps(void)
{
    struct cx_recency r;
    struct cx_recency_room room;
    cx_recency_init(&r);
    CHECK(cx_recency_room(&room, 8));
    cx_recency_grow(&r, &room);
    cx_recency_add(&r, &subject[0], cx_stamp_alone());
    for (int turn = 0; turn < 100; turn++) {
        cx_recency_add(&r, &subject[1], cx_stamp_alone());
        cx_recency_add(&r, &subject[2], cx_stamp_alone());
        cx_recency_remove(&r, &subject[1]);
        CHECK(cx_recency_oldest(&r) == &subject[0]);
        cx_recency_remove(&r, &subject[2]);
    }
    CHECK(!cx_recency_is_full(&r, 1));
    cx_recency_clear(&r, &room);
    CHECK(cx_recency_is_full(&r, 0) && cx_recency_memory(&r) == 0);
    cx_recency_room_free(&room);
    cx_recency_fini(&r);
}

/* A stamp that was taken early and comes late keeps the queue in order. */
static void
test_late(void)
{
    struct cx_recency r;
    struct cx_recency_room room;
    uint64_t early = cx_stamp(), late = cx_stamp();
    cx_recency_init(&r);
    CHECK(cx_recency_room(&room, 8));
    cx_recency_grow(&r, &room);
    cx_recency_add(&r, &subject[0], late);
    cx_recency_add(&r, &subject[1], early);
    CHECK(cx_recency_oldest(&r) == &subject[0]);
    cx_recency_fini(&r);
}

static void
test_stamps_grow(void)
{
    uint64_t before = cx_stamp();
    for (int i = 0; i < 1000; i++) {
        uint64_t now = i % 3 == 0 ? cx_stamp() : cx_stamp_alone();
        CHECK(now > before);
        before = now;
    }
}

static struct cx_recency crowded;
static uint32_t is_over; /* atomic */

static void
use_all(struct worker *self)
{
    if (self->id == 0) {
        for (int turn = 0; turn < 20000; turn++) {
            struct cx_used *oldest = cx_recency_oldest(&crowded);
            cx_recency_remove(&crowded, oldest);
            cx_recency_add(&crowded, oldest, cx_stamp());
        }
        cx_store_release(&is_over, 1);
        return;
    }
    while (!cx_load_acquire(&is_over)) {
        cx_recency_use(&crowded, &subject[rng_below(&self->rng, MOST)], cx_stamp());
    }
}

/* Uses at any time: the owner always finds one, and all of them are found once the uses end. */
static void
test_uses_meanwhile(void)
{
    struct cx_recency_room room;
    bool seen[MOST] = {false};
    cx_recency_init(&crowded);
    CHECK(cx_recency_room(&room, MOST));
    cx_recency_grow(&crowded, &room);
    for (int i = 0; i < MOST; i++) {
        cx_recency_add(&crowded, &subject[i], cx_stamp());
    }
    run_threads(3, use_all, NULL);
    for (int i = 0; i < MOST; i++) {
        struct cx_used *oldest = cx_recency_oldest(&crowded);
        CHECK(!seen[oldest - subject]);
        seen[oldest - subject] = true;
        cx_recency_remove(&crowded, oldest);
    }
    cx_recency_fini(&crowded);
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    RUN(test_order);
    RUN(test_gaps);
    RUN(test_late);
    RUN(test_stamps_grow);
    RUN(test_uses_meanwhile);
    return harness_end();
}

// SPDX-License-Identifier: MIT
/* The ring of one producer and one consumer: capacity, order, closing, and the guard of its sides. */
#include "harness.h"

#include "core/spsc.h"

#define SUBJECT struct cx_spsc
#define SUBJECT_MAX CX_SPSC_MAX
#define subject_init cx_spsc_init
#define subject_fini cx_spsc_fini
#define subject_push cx_spsc_try_push
#define subject_pop cx_spsc_try_pop
#define subject_len cx_spsc_len
#define subject_close cx_spsc_close
#define subject_item_ready cx_spsc_item_ready
#define subject_room_ready cx_spsc_room_ready
#include "subject.h"

static int
add_up(uint64_t word, void *arg)
{
    uint64_t *sum = arg;
    *sum += word;
    return word == 99;
}

static void
test_len(void)
{
    struct cx_spsc ring;
    uint64_t words[5] = {1, 2, 3, 4, 5}, sum = 0;
    enum cx_status why;
    CHECK_EQ(cx_spsc_init(&ring, 5), CX_OK);
    CHECK_EQ(cx_spsc_try_push(&ring, words, 3, &why), 3);
    CHECK_EQ(cx_spsc_len(&ring), 3);
    CHECK_EQ(cx_spsc_try_push(&ring, words, 5, &why), 2);
    CHECK_EQ(cx_spsc_len(&ring), 5);
    CHECK_EQ(cx_spsc_try_push(&ring, words, 5, &why), 0);
    CHECK_EQ(why, CX_FULL);
    CHECK_EQ(cx_spsc_visit(&ring, add_up, &sum), 0);
    CHECK_EQ(sum, 1 + 2 + 3 + 1 + 2);
    CHECK_EQ(cx_spsc_try_pop(&ring, words, 4, &why), 4);
    CHECK_EQ(words[3], 1);
    CHECK_EQ(cx_spsc_len(&ring), 1);
    cx_spsc_fini(&ring);
}

static void
test_shutdown(void)
{
    struct cx_spsc ring;
    uint64_t word = 0;
    CHECK_EQ(cx_spsc_init(&ring, 2), CX_OK);
    CHECK_EQ(push(&ring, 1), CX_OK);
    CHECK(cx_spsc_close(&ring));
    CHECK(!cx_spsc_close(&ring));
    CHECK(cx_spsc_closed(&ring));
    CHECK_EQ(push(&ring, 2), CX_CLOSED);
    CHECK_EQ(pop(&ring, &word), CX_OK);
    CHECK(cx_spsc_item_ready(&ring));
    CHECK(cx_spsc_room_ready(&ring));
    CHECK_EQ(pop(&ring, &word), CX_CLOSED);
    cx_spsc_fini(&ring);
}

/* A thread inside a side keeps others out; a closed ring waits for the last producer. */
static void
test_misuse(void)
{
    struct cx_spsc ring;
    uint64_t word = 0;
    enum cx_status why;
    CHECK_EQ(cx_spsc_init(&ring, 2), CX_OK);
    CHECK_EQ(push(&ring, 1), CX_OK);
    cx_store_relaxed(&ring.put_side, CX_SPSC_INSIDE);
    CHECK_EQ(push(&ring, 2), CX_BUSY);
    CHECK_EQ(cx_spsc_len(&ring), 1);
    CHECK_EQ(pop(&ring, &word), CX_OK);
    CHECK(cx_spsc_close(&ring));
    CHECK_EQ(push(&ring, 2), CX_BUSY);
    CHECK_EQ(pop(&ring, &word), CX_AGAIN); /* the producer may still bring something */
    CHECK(!cx_spsc_item_ready(&ring));
    cx_store_release(&ring.put_side, CX_SPSC_CLOSED);
    CHECK_EQ(pop(&ring, &word), CX_CLOSED);
    cx_store_relaxed(&ring.get_side, CX_SPSC_INSIDE);
    CHECK_EQ(pop(&ring, &word), CX_BUSY);
    CHECK_EQ(cx_spsc_try_clear(&ring, &word, 1, &why), 0);
    CHECK_EQ(why, CX_BUSY);
    /* One who empties the ring is no second consumer: wait for him. */
    cx_store_relaxed(&ring.get_side, CX_SPSC_INSIDE | CX_SPSC_CLEARING);
    CHECK_EQ(pop(&ring, &word), CX_AGAIN);
    cx_spsc_fini(&ring);
}

/* Any thread may empty the ring under the hands of its consumer. */
struct clearing {
    struct cx_spsc ring;
    uint64_t popped, cleared;
};

static void
clear_body(struct worker *self)
{
    struct clearing *c = self->shared;
    uint64_t words[4];
    enum cx_status why;
    if (self->id == 0) {
        for (uint64_t i = 0; i < 50000;) {
            i += push(&c->ring, i) == CX_OK;
        }
        CHECK(cx_spsc_close(&c->ring));
        return;
    }
    do {
        size_t k = self->id == 1 ? cx_spsc_try_pop(&c->ring, words, 4, &why)
                                 : cx_spsc_try_clear(&c->ring, words, 4, &why);
        if (k > 0) {
            cx_fetch_add_relaxed(self->id == 1 ? &c->popped : &c->cleared, k);
            why = CX_OK;
        }
        CHECK(self->id > 1 || why != CX_BUSY);
    } while (why != CX_CLOSED);
}

static void
test_clear(void)
{
    struct clearing c = {.popped = 0};
    CHECK_EQ(cx_spsc_init(&c.ring, 8), CX_OK);
    run_threads(4, clear_body, &c);
    CHECK_EQ(c.popped + c.cleared, 50000);
    cx_spsc_fini(&c.ring);
}

static void
test_fork(void)
{
    struct cx_spsc ring;
    uint64_t word = 0;
    CHECK_EQ(cx_spsc_init(&ring, 4), CX_OK);
    CHECK_EQ(push(&ring, 1), CX_OK);
    CHECK_EQ(push(&ring, 2), CX_OK);
    cx_store_relaxed(&ring.put_side, CX_SPSC_INSIDE); /* both threads are lost inside */
    cx_store_relaxed(&ring.get_side, CX_SPSC_INSIDE);
    ring.head_seen = ring.tail_seen = 77; /* torn */
    cx_spsc_repair(&ring);
    CHECK_EQ(push(&ring, 3), CX_OK);
    for (uint64_t i = 1; i <= 3; i++) {
        CHECK_EQ(pop(&ring, &word), CX_OK);
        CHECK_EQ(word, i);
    }
    cx_spsc_close(&ring);
    cx_spsc_repair(&ring);
    CHECK_EQ(push(&ring, 3), CX_CLOSED);
    cx_spsc_fini(&ring);
}

#define ITEMS 100000u
#define BATCH 16

struct pair {
    struct cx_spsc ring;
    uint32_t batch;
    uint64_t items;
};

static void
stream(struct worker *self)
{
    struct pair *pair = self->shared;
    uint64_t words[BATCH], next = 0;
    enum cx_status why;
    while (next < pair->items) {
        size_t n = 1 + rng_below(&self->rng, pair->batch);
        size_t k;
        n = n < pair->items - next ? n : pair->items - next;
        if (self->id == 0) {
            for (size_t i = 0; i < n; i++) {
                words[i] = next + i;
            }
            k = cx_spsc_try_push(&pair->ring, words, n, &why);
            CHECK(k > 0 || why == CX_FULL);
        }
        else {
            k = cx_spsc_try_pop(&pair->ring, words, n, &why);
            CHECK(k > 0 || why == CX_EMPTY);
            for (size_t i = 0; i < k; i++) {
                CHECK(words[i] == next + i);
            }
        }
        if (k == 0) {
            sched_yield();
        }
        next += k;
    }
}

static void
test_spsc(void)
{
    uint64_t capacities[] = {1, 3, 64, 1000};
    for (size_t i = 0; i < 4; i++) {
        struct pair pair = {.batch = i % 2 == 0 ? 1 : BATCH, .items = i == 0 ? ITEMS / 50 : ITEMS};
        CHECK_EQ(cx_spsc_init(&pair.ring, capacities[i]), CX_OK);
        run_threads(2, stream, &pair);
        CHECK_EQ(cx_spsc_len(&pair.ring), 0);
        cx_spsc_fini(&pair.ring);
    }
}

struct crowd {
    struct cx_spsc ring;
    uint64_t pushed, popped, sum_in, sum_out;
};

/* Four threads where two are allowed: every call either works or says so. */
static void
abuse(struct worker *self)
{
    struct crowd *crowd = self->shared;
    enum cx_status status;
    uint64_t word;
    for (uint64_t i = 0; i < 20000; i++) {
        if (self->id < 2) {
            word = i + 1;
            status = push(&crowd->ring, word);
            cx_fetch_add_relaxed(&crowd->pushed, status == CX_OK);
            cx_fetch_add_relaxed(&crowd->sum_in, status == CX_OK ? word : 0);
        }
        else {
            status = pop(&crowd->ring, &word);
            cx_fetch_add_relaxed(&crowd->popped, status == CX_OK);
            cx_fetch_add_relaxed(&crowd->sum_out, status == CX_OK ? word : 0);
        }
        CHECK(status == CX_OK || status == CX_FULL || status == CX_EMPTY || status == CX_BUSY);
    }
}

static void
test_misuse_race(void)
{
    struct crowd crowd = {.pushed = 0};
    uint64_t word;
    CHECK_EQ(cx_spsc_init(&crowd.ring, 32), CX_OK);
    run_threads(4, abuse, &crowd);
    while (pop(&crowd.ring, &word) == CX_OK) {
        crowd.popped++;
        crowd.sum_out += word;
    }
    CHECK_EQ(crowd.pushed, crowd.popped);
    CHECK_EQ(crowd.sum_in, crowd.sum_out);
    cx_spsc_fini(&crowd.ring);
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    RUN(test_smoke);
    RUN(test_capacity);
    RUN(test_len);
    RUN(test_spsc);
    RUN(test_misuse);
    RUN(test_misuse_race);
    RUN(test_clear);
    RUN(test_shutdown);
    RUN(test_shutdown_race);
    RUN(test_fork);
    return harness_end();
}

// SPDX-License-Identifier: MIT
/* The bounded ring: exact capacity, order, exact "empty" and "full", closing, lost claims. */
#include "harness.h"

#include "core/ring.h"

#define SUBJECT struct cx_ring
#define SUBJECT_MAX CX_RING_MAX
#define subject_init cx_ring_init
#define subject_fini cx_ring_fini
#define subject_push cx_ring_try_push
#define subject_pop cx_ring_try_pop
#define subject_len cx_ring_len
#define subject_close cx_ring_close
#define subject_item_ready cx_ring_item_ready
#define subject_room_ready cx_ring_room_ready
#include "subject.h"

static void
test_batches(void)
{
    struct cx_ring ring;
    uint64_t in[16], out[16], next_in = 0, next_out = 0;
    struct rng rng = {harness_seed};
    enum cx_status why;
    CHECK_EQ(cx_ring_init(&ring, 11), CX_OK);
    for (int i = 0; i < 5000; i++) {
        size_t n = 1 + rng_below(&rng, 16), room = 11 - (next_in - next_out);
        for (size_t j = 0; j < n; j++) {
            in[j] = next_in + j;
        }
        size_t k = cx_ring_try_push(&ring, in, n, &why);
        CHECK_EQ(k, n < room ? n : room);
        CHECK(k > 0 || why == CX_FULL);
        next_in += k;
        n = 1 + rng_below(&rng, 16);
        k = cx_ring_try_pop(&ring, out, n, &why);
        CHECK_EQ(k, n < next_in - next_out ? n : next_in - next_out);
        for (size_t j = 0; j < k; j++) {
            CHECK_EQ(out[j], next_out);
            next_out++;
        }
    }
    CHECK_EQ(cx_ring_pushed(&ring), next_in);
    CHECK_EQ(cx_ring_popped(&ring), next_out);
    cx_ring_fini(&ring);
}

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
    struct cx_ring ring;
    uint64_t word, sum = 0;
    CHECK_EQ(cx_ring_init(&ring, 5), CX_OK);
    CHECK_EQ(cx_ring_len(&ring), 0);
    for (uint64_t i = 1; i <= 5; i++) {
        CHECK_EQ(push(&ring, i), CX_OK);
        CHECK_EQ(cx_ring_len(&ring), i);
    }
    CHECK_EQ(pop(&ring, &word), CX_OK);
    CHECK_EQ(cx_ring_len(&ring), 4);
    CHECK_EQ(cx_ring_visit(&ring, add_up, &sum), 0);
    CHECK_EQ(sum, 2 + 3 + 4 + 5);
    CHECK_EQ(push(&ring, 99), CX_OK);
    CHECK_EQ(push(&ring, 100), CX_FULL);
    CHECK_EQ(cx_ring_visit(&ring, add_up, &sum), 1);
    CHECK(cx_ring_close(&ring));
    CHECK_EQ(cx_ring_len(&ring), 5);
    cx_ring_fini(&ring);
}

/* Claims that are not published, as a stalled thread leaves them. */
static void
test_in_flight(void)
{
    struct cx_ring ring;
    uint64_t word = 0;
    CHECK_EQ(cx_ring_init(&ring, 3), CX_OK);
    cx_store_relaxed(&ring.tail, 1); /* a producer has claimed 0 */
    CHECK_EQ(push(&ring, 11), CX_OK);
    CHECK_EQ(pop(&ring, &word), CX_AGAIN); /* neither empty nor to be had */
    CHECK(!cx_ring_item_ready(&ring));
    CHECK_EQ(cx_ring_len(&ring), 2);
    ring.cells[0].word = 10;
    cx_store_release(&ring.cells[0].seq, 1); /* it publishes */
    CHECK_EQ(pop(&ring, &word), CX_OK);
    CHECK_EQ(word, 10);
    CHECK_EQ(pop(&ring, &word), CX_OK);
    CHECK_EQ(word, 11);
    cx_ring_fini(&ring);

    CHECK_EQ(cx_ring_init(&ring, 2), CX_OK);
    CHECK_EQ(push(&ring, 1), CX_OK);
    CHECK_EQ(push(&ring, 2), CX_OK);
    cx_store_relaxed(&ring.head, 1); /* a consumer has claimed 0 */
    CHECK_EQ(push(&ring, 3), CX_AGAIN);
    CHECK(!cx_ring_room_ready(&ring));
    cx_store_release(&ring.cells[0].seq, 2); /* it frees the cell */
    CHECK_EQ(push(&ring, 3), CX_OK);
    CHECK_EQ(push(&ring, 4), CX_FULL);
    cx_ring_fini(&ring);
}

static void
test_shutdown(void)
{
    struct cx_ring ring;
    uint64_t word = 0;
    CHECK_EQ(cx_ring_init(&ring, 2), CX_OK);
    CHECK_EQ(push(&ring, 1), CX_OK);
    CHECK(!cx_ring_closed(&ring));
    CHECK(cx_ring_close(&ring));
    CHECK(!cx_ring_close(&ring));
    CHECK(cx_ring_closed(&ring));
    CHECK_EQ(push(&ring, 2), CX_CLOSED);
    CHECK(cx_ring_room_ready(&ring));
    CHECK_EQ(pop(&ring, &word), CX_OK);
    CHECK_EQ(word, 1);
    CHECK(cx_ring_item_ready(&ring));
    CHECK_EQ(pop(&ring, &word), CX_CLOSED);
    cx_ring_fini(&ring);
}

static int
collect(uint64_t word, void *arg)
{
    uint64_t **next = arg;
    *(*next)++ = word;
    return 0;
}

/* Whatever a lost thread had claimed is forgotten; the rest keeps its order, and the ring its room. */
static void
test_fork(void)
{
    struct rng rng = {harness_seed};
    for (int round = 0; round < 300; round++) {
        struct cx_ring ring;
        uint64_t capacity = 1 + rng_below(&rng, 9), word, kept[16], there[16], *end = there;
        size_t count = 0;
        CHECK_EQ(cx_ring_init(&ring, capacity), CX_OK);
        for (uint32_t i = rng_below(&rng, 30); i > 0; i--) { /* somewhere in some lap */
            CHECK_EQ(push(&ring, 0), CX_OK);
            CHECK_EQ(pop(&ring, &word), CX_OK);
        }
        uint64_t tail = ring.tail, fill = rng_below(&rng, (uint32_t)capacity + 1);
        for (uint64_t i = 0; i < fill; i++) {
            if (rng_below(&rng, 3) == 0) {
                cx_store_relaxed(&ring.tail, tail + i + 1); /* claimed, not published */
            }
            else {
                CHECK_EQ(push(&ring, 100 + i), CX_OK);
                kept[count++] = 100 + i;
            }
        }
        if (count > 0 && kept[0] == 100 && rng_below(&rng, 2)) {
            cx_store_relaxed(&ring.head, ring.head + 1); /* claimed, not freed */
            memmove(kept, kept + 1, --count * sizeof kept[0]);
        }
        cx_ring_repair(&ring);
        CHECK_EQ(cx_ring_len(&ring), count);
        (void)cx_ring_visit(&ring, collect, &end);
        CHECK_EQ(end - there, count);
        CHECK(memcmp(there, kept, count * sizeof kept[0]) == 0);
        for (uint64_t i = count; i < capacity; i++) {
            CHECK_EQ(push(&ring, i), CX_OK);
        }
        CHECK_EQ(push(&ring, 0), CX_FULL);
        for (size_t i = 0; i < capacity; i++) {
            CHECK_EQ(pop(&ring, &word), CX_OK);
            CHECK_EQ(word, i < count ? kept[i] : i);
        }
        CHECK_EQ(pop(&ring, &word), CX_EMPTY);
        cx_ring_fini(&ring);
    }
}

#define PER_PRODUCER 20000u
#define BATCH 8

struct crowd {
    struct cx_ring ring;
    int producers;
    uint32_t batch;
    uint64_t popped, sum;
};

static void
produce(struct worker *self, struct crowd *crowd)
{
    uint64_t words[BATCH];
    uint32_t next = 0;
    enum cx_status why;
    while (next < PER_PRODUCER) {
        size_t n = 1 + rng_below(&self->rng, crowd->batch);
        n = n < PER_PRODUCER - next ? n : PER_PRODUCER - next;
        for (size_t i = 0; i < n; i++) {
            words[i] = (uint64_t)self->id << 32 | (next + i);
        }
        size_t k = cx_ring_try_push(&crowd->ring, words, n, &why);
        if (k == 0) {
            CHECK(why == CX_FULL || why == CX_AGAIN);
            sched_yield();
        }
        next += (uint32_t)k;
    }
}

static void
consume(struct worker *self, struct crowd *crowd)
{
    uint64_t words[BATCH], all = (uint64_t)crowd->producers * PER_PRODUCER;
    int64_t last[HARNESS_MAX_THREADS];
    enum cx_status why;
    for (int i = 0; i < HARNESS_MAX_THREADS; i++) {
        last[i] = -1;
    }
    while (cx_load_relaxed(&crowd->popped) < all) {
        size_t n = 1 + rng_below(&self->rng, crowd->batch);
        size_t k = cx_ring_try_pop(&crowd->ring, words, n, &why);
        if (k == 0) {
            CHECK(why == CX_EMPTY || why == CX_AGAIN);
            sched_yield();
        }
        for (size_t i = 0; i < k; i++) {
            int64_t number = (int64_t)(words[i] & UINT32_MAX);
            int64_t *before = &last[words[i] >> 32];
            CHECK(number > *before); /* each producer's words come out in order */
            *before = number;
            cx_fetch_add_relaxed(&crowd->sum, (uint64_t)number);
        }
        CHECK(cx_ring_len(&crowd->ring) <= crowd->ring.capacity);
        cx_fetch_add_relaxed(&crowd->popped, k);
    }
}

static void
work(struct worker *self)
{
    struct crowd *crowd = self->shared;
    if (self->id < crowd->producers) {
        produce(self, crowd);
    }
    else {
        consume(self, crowd);
    }
}

static void
run_crowd(uint64_t capacity, int producers, int consumers, uint32_t batch)
{
    struct crowd crowd = {.producers = producers, .batch = batch};
    uint64_t each = (uint64_t)PER_PRODUCER * (PER_PRODUCER - 1) / 2;
    CHECK_EQ(cx_ring_init(&crowd.ring, capacity), CX_OK);
    run_threads(producers + consumers, work, &crowd);
    CHECK_EQ(crowd.popped, (uint64_t)producers * PER_PRODUCER);
    CHECK_EQ(crowd.sum, (uint64_t)producers * each);
    CHECK_EQ(cx_ring_len(&crowd.ring), 0);
    cx_ring_fini(&crowd.ring);
}

static void
test_spsc(void)
{
    run_crowd(64, 1, 1, 1);
    run_crowd(5, 1, 1, BATCH);
}

static void
test_mpmc(void)
{
    run_crowd(1, 2, 2, 1);
    run_crowd(3, 2, 2, BATCH);
    run_crowd(64, 3, 2, 1);
    run_crowd(100, 2, 3, BATCH);
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    RUN(test_smoke);
    RUN(test_capacity);
    RUN(test_batches);
    RUN(test_len);
    RUN(test_in_flight);
    RUN(test_spsc);
    RUN(test_mpmc);
    RUN(test_shutdown);
    RUN(test_shutdown_race);
    RUN(test_fork);
    return harness_end();
}

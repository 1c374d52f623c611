// SPDX-License-Identifier: MIT
/* Hits and misses: exact with any number of threads, and after a reset. */
#include "harness.h"

#include "core/tally.h"

#define EACH 20000

static struct cx_tally tally;

static void
test_alone(void)
{
    cx_tally_init(&tally);
    CHECK(!cx_tally_is_alone(&tally)); /* nobody has arrived */
    cx_tally_arrive(&tally);
    for (int i = 0; i < 5; i++) {
        cx_tally_add(&tally, CX_HITS);
    }
    cx_tally_add(&tally, CX_MISSES);
    CHECK_EQ(cx_tally_is_alone(&tally), !cx_rcu_state.is_fenced);
    CHECK_EQ(tally.others == NULL, !cx_rcu_state.is_fenced); /* it stays small */
    CHECK_EQ(cx_tally_sum(&tally, CX_HITS), 5);
    CHECK_EQ(cx_tally_sum(&tally, CX_MISSES), 1);
    cx_tally_reset(&tally);
    CHECK_EQ(cx_tally_sum(&tally, CX_HITS), 0);
    cx_tally_add(&tally, CX_HITS);
    CHECK_EQ(cx_tally_sum(&tally, CX_HITS), 1);
    CHECK_EQ(cx_tally_sum(&tally, CX_MISSES), 0);
    cx_tally_fini(&tally);
}

static void
count(struct worker *self)
{
    int64_t before = 0;
    cx_tally_arrive(&tally);
    for (int i = 0; i < EACH; i++) {
        cx_tally_add(&tally, i % 4 == self->id % 4 ? CX_MISSES : CX_HITS);
        if (i % 1000 == 0) {
            int64_t now = cx_tally_sum(&tally, CX_HITS);
            CHECK(now >= before);
            before = now;
        }
    }
}

/* The second round's threads have higher numbers, and share cells. */
static void
test_threads(void)
{
    cx_tally_init(&tally);
    for (int round = 1; round <= 3; round++) {
        run_threads(8, count, NULL);
        CHECK_EQ(cx_tally_sum(&tally, CX_HITS), round * 8 * EACH / 4 * 3);
        CHECK_EQ(cx_tally_sum(&tally, CX_MISSES), round * 8 * EACH / 4);
        cx_tally_arrive(&tally);
        CHECK(!cx_tally_is_alone(&tally));
    }
    cx_tally_reset(&tally);
    CHECK_EQ(cx_tally_sum(&tally, CX_HITS) + cx_tally_sum(&tally, CX_MISSES), 0);
    cx_tally_fini(&tally);
}

static int *published, *left; /* atomic */
static uint32_t is_over;      /* atomic */

/* The owner frees what it has unlinked as soon as it finds itself alone; a reader that has arrived
 * never meets it, as ASan and the value tell. */
static void
own_or_read(struct worker *self)
{
    if (self->id == 0) {
        cx_tally_arrive(&tally);
        for (int i = 0; i < 3000; i++) {
            int *next = malloc(sizeof *next), *old = cx_load_relaxed(&published);
            *next = 7;
            cx_store_release(&published, next);
            if (!cx_tally_is_alone(&tally)) {
                left = old;
                break;
            }
            cx_store_relaxed(old, 0);
            free(old);
        }
        cx_store_release(&is_over, 1);
        return;
    }
    WAIT_UNTIL(cx_load_relaxed(&tally.owner) != 0 || cx_load_acquire(&is_over));
    for (uint32_t i = rng_below(&self->rng, 2000); i > 0; i--) {
        cx_pause();
    }
    cx_tally_arrive(&tally);
    for (int i = 0; i < 200; i++) {
        CHECK_EQ(cx_load_relaxed(cx_load_acquire(&published)), 7);
    }
}

static void
test_arrivals(void)
{
    for (int round = 0; round < 300; round++) {
        cx_tally_init(&tally);
        published = malloc(sizeof *published);
        *published = 7;
        left = NULL;
        cx_store_relaxed(&is_over, 0);
        run_threads(3, own_or_read, NULL);
        free(published);
        free(left);
        cx_tally_fini(&tally);
    }
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    cx_rcu_install();
    RUN(test_alone);
    RUN(test_threads);
    RUN(test_arrivals);
    return harness_end();
}

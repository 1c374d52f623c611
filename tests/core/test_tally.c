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
    CHECK(!cx_tally_is_alone(&tally)); /* nobody has counted */
    for (int i = 0; i < 5; i++) {
        cx_tally_add(&tally, CX_HITS);
    }
    cx_tally_add(&tally, CX_MISSES);
    CHECK(cx_tally_is_alone(&tally));
    CHECK(tally.others == NULL); /* and it stays small */
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
        CHECK(!cx_tally_is_alone(&tally));
    }
    cx_tally_reset(&tally);
    CHECK_EQ(cx_tally_sum(&tally, CX_HITS) + cx_tally_sum(&tally, CX_MISSES), 0);
    cx_tally_fini(&tally);
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    RUN(test_alone);
    RUN(test_threads);
    return harness_end();
}

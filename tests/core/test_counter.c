// SPDX-License-Identifier: MIT
/* The striped sum: cells, carries beyond 64 bits, and many threads. */
#include "harness.h"

#include "core/counter.h"

static void
test_smoke(void)
{
    struct cx_counter c;
    int64_t high;
    uint64_t low;
    CHECK(cx_counter_init(&c, 4));
    cx_counter_sum(&c, &high, &low);
    CHECK(high == 0 && low == 0);
    CHECK(cx_counter_add(&c, 5));
    CHECK(cx_counter_add(&c, -7));
    cx_counter_sum(&c, &high, &low);
    CHECK(high == -1 && (int64_t)low == -2);
    CHECK(cx_counter_add(&c, INT64_MIN + 2));
    CHECK(!cx_counter_add(&c, -1)); /* the cell stays */
    cx_counter_sum(&c, &high, &low);
    CHECK(high == -1 && (int64_t)low == INT64_MIN);
    cx_counter_fini(&c);
}

static void
test_carry(void)
{
    struct cx_counter c;
    int64_t high;
    uint64_t low;
    CHECK(cx_counter_init(&c, 4));
    for (int i = 0; i < 4; i++) {
        c.cells[i].value = INT64_MAX;
    }
    cx_counter_sum(&c, &high, &low);
    CHECK(high == 1 && low == UINT64_MAX - 3); /* 4 * (2**63 - 1) */
    c.cells[0].value = c.cells[1].value = INT64_MIN;
    cx_counter_sum(&c, &high, &low);
    CHECK(high == -1 && (int64_t)low == -2);
    cx_counter_fini(&c);
}

#define ADDS 100000

static void
add_all(struct worker *self)
{
    struct cx_counter *c = self->shared;
    for (int i = 0; i < ADDS; i++) {
        CHECK(cx_counter_add(c, self->id + 1));
    }
}

static void
test_threads(void)
{
    for (uint32_t cells = 1; cells <= 8; cells *= 8) {
        struct cx_counter c;
        int64_t high;
        uint64_t low;
        CHECK(cx_counter_init(&c, cells));
        run_threads(4, add_all, &c);
        cx_counter_sum(&c, &high, &low);
        CHECK(high == 0 && low == (uint64_t)ADDS * 10);
        cx_counter_fini(&c);
    }
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    RUN(test_smoke);
    RUN(test_carry);
    RUN(test_threads);
    return harness_end();
}

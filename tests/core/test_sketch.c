// SPDX-License-Identifier: MIT
/* The sketch: never too low before a halving, rarely too high, halves, and hands on what it knows. */
#include "harness.h"

#include "core/sketch.h"

static void
test_counts(void)
{
    struct cx_sketch sketch;
    uint32_t over = 0;
    CHECK(cx_sketch_allocate(&sketch, 1000));
    for (uint64_t hash = 0; hash < 500; hash++) {
        for (uint64_t i = 0; i < hash % 14; i++) {
            cx_sketch_see(&sketch, hash);
        }
    }
    for (uint64_t hash = 0; hash < 500; hash++) {
        CHECK(cx_sketch_count(&sketch, hash) >= hash % 14);
        over += cx_sketch_count(&sketch, hash) > hash % 14;
    }
    CHECK(over < 50);
    cx_sketch_fini(&sketch);
    CHECK_EQ(cx_sketch_count(&sketch, 1), 0);
}

static void
test_halves(void)
{
    struct cx_sketch sketch;
    CHECK(cx_sketch_allocate(&sketch, 64));
    for (int i = 0; i < 12; i++) {
        cx_sketch_see(&sketch, 7);
    }
    uint32_t before = sketch.seen;
    for (uint64_t hash = 1000; sketch.seen >= before; hash++) {
        before = sketch.seen;
        cx_sketch_see(&sketch, hash);
    }
    CHECK(cx_sketch_count(&sketch, 7) < 12);
    CHECK(cx_sketch_count(&sketch, 7) >= 6);
    cx_sketch_fini(&sketch);
}

static void
test_inherits(void)
{
    struct cx_sketch small, large;
    CHECK(cx_sketch_allocate(&small, 16));
    CHECK(cx_sketch_allocate(&large, 4096));
    for (uint64_t hash = 1; hash <= 8; hash++) {
        for (uint64_t i = 0; i < hash; i++) {
            cx_sketch_see(&small, hash * 77);
        }
    }
    cx_sketch_inherit(&large, &small);
    for (uint64_t hash = 1; hash <= 8; hash++) {
        CHECK_EQ(cx_sketch_count(&large, hash * 77), cx_sketch_count(&small, hash * 77));
    }
    cx_sketch_fini(&small);
    cx_sketch_fini(&large);
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    RUN(test_counts);
    RUN(test_halves);
    RUN(test_inherits);
    return harness_end();
}

// SPDX-License-Identifier: MIT
/* Ghosts: remembered for as many newcomers as the capacity says, forgotten after, found once. */
#include "harness.h"

#include "core/ghost.h"

static uint64_t
hash_of(uint64_t i)
{
    struct rng rng = {i};
    return rng_next(&rng);
}

static void
test_order(uint32_t capacity)
{
    struct cx_ghost ghost;
    uint32_t lost = 0, late = 0, total = 3 * capacity;
    CHECK(cx_ghost_allocate(&ghost, capacity));
    for (uint64_t i = 0; i < total; i++) {
        cx_ghost_add(&ghost, hash_of(i));
    }
    for (uint64_t i = 0; i < total; i++) {
        uint64_t age = total - i; /* 1: came last */
        bool found = cx_ghost_take(&ghost, hash_of(i));
        lost += !found && age < capacity - capacity / 100;
        late += found && age > capacity + capacity / 100 + 1;
        CHECK(!cx_ghost_take(&ghost, hash_of(i)) || late > 0);
    }
    CHECK(lost <= capacity / 10); /* overflowing buckets */
    CHECK(late <= 1);
    cx_ghost_fini(&ghost);
}

static void
test_sizes(void)
{
    test_order(28);
    test_order(1000);
    test_order(90000);
}

static void
test_strangers(void)
{
    struct cx_ghost ghost;
    uint32_t mistaken = 0;
    CHECK(cx_ghost_allocate(&ghost, 5000));
    for (uint64_t i = 0; i < 5000; i++) {
        cx_ghost_add(&ghost, hash_of(i));
    }
    for (uint64_t i = 5000; i < 305000; i++) {
        mistaken += cx_ghost_take(&ghost, hash_of(i));
    }
    CHECK(mistaken < 10);
    cx_ghost_fini(&ghost);
    CHECK(!cx_ghost_take(&ghost, hash_of(1)));
    cx_ghost_add(&ghost, hash_of(1)); /* without cells: nothing */
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    RUN(test_sizes);
    RUN(test_strangers);
    return harness_end();
}

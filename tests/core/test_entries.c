// SPDX-License-Identifier: MIT
/* The table against an array: equal hashes, removals in the middle of a probe, growth, columns. */
#include "harness.h"

#include "core/entries.h"

#define KEYS 3000

/* A key is its number plus one. */
static bool all_undecided;

static int
same(void *stored, void *probe)
{
    return stored == probe ? 1 : all_undecided ? -1 : 0;
}

static void *
key_of(uint32_t i)
{
    return (void *)(uintptr_t)(i + 1);
}

static void
grow(struct cx_entries *e, unsigned columns, uint32_t most)
{
    struct cx_growth growth;
    cx_entries_plan(e, columns, most, &growth);
    CHECK(cx_growth_allocate(&growth));
    cx_entries_adopt(e, &growth);
    cx_growth_free(&growth);
}

/* `spread` is how many hashes there are. */
static void
churn(uint64_t spread, int rounds, uint32_t keys)
{
    struct cx_entries e;
    struct rng rng = {harness_seed + spread};
    static uint32_t slot[KEYS];
    memset(slot, 0xFF, sizeof slot);
    CHECK(cx_entries_init(&e));
    uint32_t count = 0;
    for (int i = 0; i < rounds; i++) {
        uint32_t key = rng_below(&rng, keys), at = CX_NONE;
        enum cx_status status = cx_entries_find(&e, key % spread, same, key_of(key), &at);
        CHECK_EQ(status, slot[key] == CX_NONE ? CX_EMPTY : CX_OK);
        CHECK_EQ(at, slot[key]);
        if (status == CX_OK && rng_below(&rng, 2)) {
            CHECK_EQ((uintptr_t)e.at[at].value, key * 2 + 1);
            cx_entries_remove(&e, at);
            slot[key] = CX_NONE;
            count--;
        }
        else if (status == CX_EMPTY) {
            if (!cx_entries_has_slot(&e)) {
                grow(&e, rng_below(&rng, 8), UINT32_MAX);
            }
            slot[key] =
                cx_entries_add(&e, key_of(key), (void *)(uintptr_t)(key * 2 + 1), key % spread);
            count++;
        }
        if (!CHECK_EQ(e.count, count)) {
            break;
        }
    }
    uint32_t seen = 0;
    for (uint32_t at = cx_entries_next(&e, 0); at != CX_NONE; at = cx_entries_next(&e, at + 1)) {
        CHECK_EQ(slot[(uintptr_t)e.at[at].key - 1], at);
        seen++;
    }
    CHECK_EQ(seen, count);
    CHECK((e.mask + (uint64_t)1) * 3 >= (uint64_t)e.capacity * 4);
    cx_entries_fini(&e);
}

static void
test_against_an_array(void)
{
    churn(UINT64_MAX, 60000, KEYS);
    churn(50, 60000, KEYS / 10); /* long probes */
    churn(1, 4000, 40);          /* equal hashes */
}

static void
test_undecided(void)
{
    struct cx_entries e;
    uint32_t at = CX_NONE;
    CHECK(cx_entries_init(&e));
    cx_entries_add(&e, key_of(1), NULL, 9);
    cx_entries_add(&e, key_of(2), NULL, 9);
    all_undecided = true;
    CHECK_EQ(cx_entries_find(&e, 9, same, key_of(2), &at), CX_UNDECIDED);
    CHECK_EQ((uintptr_t)e.at[at].key, (uintptr_t)key_of(1));
    CHECK_EQ(cx_entries_find(&e, 8, same, key_of(2), &at), CX_EMPTY); /* another hash: not asked */
    all_undecided = false;
    cx_entries_fini(&e);
}

/* Growth ends at the bound; columns come later and keep what was there. */
static void
test_growth(void)
{
    struct cx_entries e;
    struct cx_growth growth;
    CHECK(cx_entries_init(&e));
    for (uint32_t i = 0; i < 100; i++) {
        if (!cx_entries_has_slot(&e)) {
            grow(&e, 0, 100);
        }
        cx_entries_add(&e, key_of(i), NULL, i);
    }
    CHECK_EQ(e.capacity, 100);
    CHECK(!cx_entries_has_slot(&e));
    cx_entries_plan(&e, 0, 100, &growth);
    CHECK(!cx_growth_allocate(&growth));
    CHECK_EQ(cx_entries_columns(&e), 0);
    cx_entries_remove(&e, 50);
    grow(&e, CX_WEIGHT | CX_IDLE, 100);
    CHECK_EQ(cx_entries_columns(&e), CX_WEIGHT | CX_IDLE);
    CHECK_EQ(e.capacity, 100);
    CHECK_EQ(cx_entries_weight(&e, 7), 1);
    e.weight[7] = 5;
    grow(&e, CX_WHEN, 100);
    CHECK_EQ(cx_entries_weight(&e, 7), 5);
    CHECK_EQ(cx_entries_add(&e, key_of(100), NULL, 100), 50);
    CHECK_EQ(cx_entries_weight(&e, 50), 1);
    cx_entries_fini(&e);
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    RUN(test_against_an_array);
    RUN(test_undecided);
    RUN(test_growth);
    return harness_end();
}

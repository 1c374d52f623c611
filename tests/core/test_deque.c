// SPDX-License-Identifier: MIT
/* The deque of a worker: both ends, growth, and thieves against the owner. */
#include "harness.h"

#include "core/deque.h"

static uintptr_t
steal(struct cx_deque *d)
{
    void *item = NULL;
    return cx_deque_steal(d, &item) == CX_OK ? (uintptr_t)item : 0;
}

static void
test_smoke(void)
{
    struct cx_deque d;
    CHECK(cx_deque_init(&d, 2));
    CHECK(cx_deque_pop(&d) == NULL);
    CHECK(cx_deque_newest(&d) == NULL);
    CHECK_EQ(steal(&d), 0);
    for (uintptr_t i = 1; i <= 5; i++) {
        CHECK(cx_deque_push(&d, (void *)i)); /* grows twice */
        CHECK(cx_deque_newest(&d) == (void *)i);
        CHECK_EQ(cx_deque_count(&d), i);
    }
    CHECK(cx_deque_at(&d, 0) == (void *)1 && cx_deque_at(&d, 4) == (void *)5);
    CHECK_EQ(steal(&d), 1);
    CHECK_EQ((uintptr_t)cx_deque_pop(&d), 5);
    CHECK_EQ(steal(&d), 2);
    CHECK_EQ((uintptr_t)cx_deque_pop(&d), 4);
    CHECK_EQ((uintptr_t)cx_deque_pop(&d), 3);
    CHECK(cx_deque_pop(&d) == NULL);
    CHECK_EQ(steal(&d), 0);
    CHECK_EQ(cx_deque_count(&d), 0);
    CHECK(cx_deque_push(&d, (void *)6));
    CHECK_EQ(steal(&d), 6);
    cx_deque_fini(&d);
}

/* Round and round in cells that are as many as items, so that every index wraps. */
static void
test_wraps(void)
{
    struct cx_deque d;
    uintptr_t in = 0, out = 0;
    CHECK(cx_deque_init(&d, 4));
    for (int round = 0; round < 1000; round++) {
        for (int i = 0; i < 4; i++) {
            CHECK(cx_deque_push(&d, (void *)++in));
        }
        for (int i = 0; i < 4; i++) {
            CHECK_EQ(steal(&d), ++out);
        }
    }
    CHECK(d.cells->outgrown == NULL);
    cx_deque_fini(&d);
}

#define ITEMS 200000u

struct loot {
    struct cx_deque deque;
    uint8_t got[ITEMS + 1];
    uint32_t left;
};

static void
take(struct loot *loot, void *item)
{
    CHECK_EQ(__atomic_fetch_add(&loot->got[(uintptr_t)item], 1, __ATOMIC_RELAXED), 0);
    __atomic_fetch_sub(&loot->left, 1, __ATOMIC_RELAXED);
}

static void
loot_body(struct worker *self)
{
    struct loot *loot = self->shared;
    if (self->id == 0) {
        for (uintptr_t i = 1; i <= ITEMS;) {
            for (uint32_t n = 1 + rng_below(&self->rng, 5); n > 0 && i <= ITEMS; n--, i++) {
                CHECK(cx_deque_push(&loot->deque, (void *)i));
            }
            for (uint32_t n = rng_below(&self->rng, 5); n > 0; n--) {
                void *item = cx_deque_pop(&loot->deque);
                if (item != NULL) {
                    take(loot, item);
                }
            }
        }
    }
    else {
        uintptr_t newest = 0;
        while (__atomic_load_n(&loot->left, __ATOMIC_RELAXED) > 0) {
            void *item;
            if (cx_deque_steal(&loot->deque, &item) == CX_OK) {
                CHECK((uintptr_t)item > newest); /* the oldest first */
                newest = (uintptr_t)item;
                take(loot, item);
            }
        }
    }
}

static void
test_thieves(void)
{
    static struct loot loot;
    for (int thieves = 1; thieves <= 3; thieves++) {
        loot = (struct loot){.left = ITEMS};
        CHECK(cx_deque_init(&loot.deque, 2));
        run_threads(1 + thieves, loot_body, &loot);
        CHECK_EQ(cx_deque_count(&loot.deque), 0);
        for (uint32_t i = 1; i <= ITEMS; i++) {
            CHECK_EQ(loot.got[i], 1);
        }
        cx_deque_fini(&loot.deque);
    }
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    RUN(test_smoke);
    RUN(test_wraps);
    RUN(test_thieves);
    return harness_end();
}

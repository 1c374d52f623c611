// SPDX-License-Identifier: MIT
/* The growable circular array, against a plain array as model. */
#include "harness.h"

#include "core/buffer.h"

#define MODEL_SIZE 5000

struct model {
    uintptr_t items[MODEL_SIZE]; /* oldest first */
    int64_t weights[MODEL_SIZE];
    size_t count;
};

static void
compare(const struct cx_buffer *b, const struct model *m)
{
    CHECK_EQ(b->count, m->count);
    for (size_t i = 0; i < m->count; i++) {
        if (!CHECK_EQ((uintptr_t)cx_buffer_at(b, i), m->items[i]) ||
            !CHECK_EQ(cx_buffer_weight(b, i), b->weighted ? m->weights[i] : 1)) {
            return;
        }
    }
}

static void
churn(bool weighted, uint64_t seed)
{
    static struct model m;
    struct cx_buffer b;
    struct rng rng = {seed};
    uintptr_t next = 1;
    m.count = 0;
    cx_buffer_init(&b, weighted);
    CHECK_EQ(cx_buffer_bytes(&b), 0);
    for (int round = 0; round < 40; round++) {
        uint32_t pushes = rng_below(&rng, round % 4 == 0 ? 800 : 60);
        for (uint32_t i = 0; i < pushes && m.count < MODEL_SIZE; i++) {
            int64_t weight = (int64_t)rng_below(&rng, 10);
            CHECK(cx_buffer_push(&b, (void *)next, weight));
            m.items[m.count] = next++;
            m.weights[m.count++] = weight;
        }
        uint32_t pops = rng_below(&rng, round % 4 == 2 ? 900 : 60);
        for (uint32_t i = 0; i < pops && m.count > 0; i++) {
            if (rng_below(&rng, 2) == 0) {
                CHECK_EQ((uintptr_t)cx_buffer_pop_front(&b), m.items[0]);
                m.count--;
                memmove(m.items, m.items + 1, m.count * sizeof m.items[0]);
                memmove(m.weights, m.weights + 1, m.count * sizeof m.weights[0]);
            }
            else {
                CHECK_EQ((uintptr_t)cx_buffer_pop_back(&b), m.items[--m.count]);
            }
        }
        compare(&b, &m);
        CHECK(b.capacity >= b.count && (b.capacity & (b.capacity - 1)) == 0);
    }
    cx_buffer_fini(&b);
    CHECK_EQ(cx_buffer_bytes(&b), 0);
}

static void
test_model(void)
{
    for (uint64_t i = 0; i < 20; i++) {
        churn(i % 2 == 1, harness_seed * 100 + i);
    }
}

static void
test_capacity(void)
{
    struct cx_buffer b;
    cx_buffer_init(&b, false);
    for (uintptr_t i = 0; i < 10000; i++) {
        CHECK(cx_buffer_push(&b, (void *)i, 1));
    }
    size_t most = cx_buffer_bytes(&b);
    CHECK(most >= 10000 * sizeof(void *));
    for (uintptr_t i = 0; i < 9990; i++) {
        CHECK_EQ((uintptr_t)cx_buffer_pop_front(&b), i);
    }
    CHECK(cx_buffer_bytes(&b) * 8 < most); /* most of the memory was given back */
    for (uintptr_t i = 9999; i >= 9990; i--) {
        CHECK_EQ((uintptr_t)cx_buffer_pop_back(&b), i);
    }
    CHECK_EQ(b.count, 0);
    cx_buffer_fini(&b);
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    RUN(test_capacity);
    RUN(test_model);
    return harness_end();
}

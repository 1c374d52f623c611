// SPDX-License-Identifier: MIT
/* The heap: order and tie order of a textbook heap with the same comparisons, questions that are
 * answered outside, and plans that start over because the heap changed. */
#include "harness.h"

#include "core/heap.h"

/* Items are numbers: priority << 32 | serial number; only the priority is compared. */
static uintptr_t
item_of(uint32_t priority, uint32_t serial)
{
    return (uintptr_t)priority << 32 | serial;
}

static int comparisons;
static int undecided_in; /* every n-th comparison is left undecided; 0: none */

static bool
really_less(void *a, void *b)
{
    return (uintptr_t)a >> 32 < (uintptr_t)b >> 32;
}

static int
less(void *a, void *b)
{
    comparisons++;
    if (undecided_in > 0 && comparisons % undecided_in == 0) {
        return -1;
    }
    return really_less(a, b);
}

static enum cx_status
push(struct cx_heap *heap, uintptr_t item)
{
    struct cx_heap_plan plan;
    enum cx_status status;
    cx_heap_plan_init(&plan);
    while ((status = cx_heap_push(heap, &plan, (void *)item, 1, less)) == CX_UNDECIDED) {
        plan.answer = really_less(plan.a, plan.b);
    }
    return status;
}

static enum cx_status
pop(struct cx_heap *heap, uintptr_t *item)
{
    struct cx_heap_plan plan;
    enum cx_status status;
    void *out = NULL;
    int64_t weight = 0;
    cx_heap_plan_init(&plan);
    while ((status = cx_heap_pop(heap, &plan, &out, &weight, less)) == CX_UNDECIDED) {
        plan.answer = really_less(plan.a, plan.b);
    }
    *item = (uintptr_t)out;
    return status;
}

/* The textbook: an array heap whose push sifts up, and whose pop sinks the hole to a leaf along the
 * smaller children (the right one unless the left is smaller) and then lets the last item rise. */
struct textbook {
    uintptr_t a[4096];
    size_t count;
};

static void
rise(struct textbook *t, size_t pos)
{
    uintptr_t item = t->a[pos];
    while (pos > 0 && item >> 32 < t->a[(pos - 1) / 2] >> 32) {
        t->a[pos] = t->a[(pos - 1) / 2];
        pos = (pos - 1) / 2;
    }
    t->a[pos] = item;
}

static void
textbook_push(struct textbook *t, uintptr_t item)
{
    t->a[t->count] = item;
    rise(t, t->count++);
}

static uintptr_t
textbook_pop(struct textbook *t)
{
    uintptr_t least = t->a[0], last = t->a[--t->count];
    size_t pos = 0, child;
    if (t->count == 0) {
        return least;
    }
    while ((child = 2 * pos + 1) < t->count) {
        if (child + 1 < t->count && !(t->a[child] >> 32 < t->a[child + 1] >> 32)) {
            child++;
        }
        t->a[pos] = t->a[child];
        pos = child;
    }
    t->a[pos] = last;
    rise(t, pos);
    return least;
}

static void
churn(uint64_t seed, uint32_t priorities)
{
    static struct textbook t;
    struct cx_heap heap;
    struct rng rng = {seed};
    uint32_t serial = 0;
    t.count = 0;
    cx_heap_init(&heap, false);
    for (int i = 0; i < 3000; i++) {
        if (t.count == 0 || (t.count < 4000 && rng_below(&rng, 100) < 55)) {
            uintptr_t item = item_of(rng_below(&rng, priorities), serial++);
            CHECK_EQ(push(&heap, item), CX_OK);
            textbook_push(&t, item);
        }
        else {
            uintptr_t item = 0;
            CHECK_EQ(pop(&heap, &item), CX_OK);
            if (!CHECK_EQ(item, textbook_pop(&t))) {
                break;
            }
        }
    }
    while (t.count > 0) {
        uintptr_t item = 0;
        CHECK_EQ(pop(&heap, &item), CX_OK);
        if (!CHECK_EQ(item, textbook_pop(&t))) {
            break;
        }
    }
    uintptr_t none;
    CHECK_EQ(pop(&heap, &none), CX_EMPTY);
    cx_buffer_fini(&heap.b);
}

static void
test_order(void)
{
    undecided_in = 0;
    churn(harness_seed, 1000000);
    churn(harness_seed + 1, 5); /* many ties */
    churn(harness_seed + 2, 1);
}

static void
test_undecided(void)
{
    for (undecided_in = 1; undecided_in <= 5; undecided_in++) {
        churn(harness_seed + 10 + (uint64_t)undecided_in, 7);
    }
    undecided_in = 0;
}

/* While a comparison is made outside, others push and pop: the plan starts over, the heap stays one,
 * and no more is asked in all than the heap's changes explain. */
static void
test_changed_meanwhile(void)
{
    struct rng rng = {harness_seed};
    struct cx_heap heap;
    uint64_t in = 0, out = 0;
    cx_heap_init(&heap, false);
    for (uint32_t i = 0; i < 2000; i++) {
        struct cx_heap_plan plan;
        void *item = (void *)item_of(rng_below(&rng, 50), i);
        int64_t weight;
        enum cx_status status;
        bool pushes = rng_below(&rng, 3) > 0;
        cx_heap_plan_init(&plan);
        undecided_in = 1;
        for (int again = 0;; again++) {
            status = pushes ? cx_heap_push(&heap, &plan, item, 1, less)
                            : cx_heap_pop(&heap, &plan, &item, &weight, less);
            if (status != CX_UNDECIDED) {
                break;
            }
            plan.answer = really_less(plan.a, plan.b);
            if (again == 1) { /* somebody else is faster, once */
                undecided_in = 0;
                uintptr_t other = item_of(rng_below(&rng, 50), 100000 + i);
                CHECK_EQ(push(&heap, other), CX_OK);
                in += other;
                if (rng_below(&rng, 2) == 0) {
                    CHECK_EQ(pop(&heap, &other), CX_OK);
                    out += other;
                }
                undecided_in = 1;
            }
        }
        CHECK(status == CX_OK || (!pushes && status == CX_EMPTY));
        in += pushes ? (uintptr_t)item : 0;
        out += !pushes && status == CX_OK ? (uintptr_t)item : 0;
        for (size_t k = 1; k < heap.b.count; k++) {
            CHECK(!really_less(cx_buffer_at(&heap.b, k), cx_buffer_at(&heap.b, (k - 1) / 2)));
        }
    }
    undecided_in = 0;
    uintptr_t item, last = 0;
    while (pop(&heap, &item) == CX_OK) {
        CHECK(last <= item >> 32);
        last = item >> 32;
        out += item;
    }
    CHECK_EQ(in, out);
    cx_buffer_fini(&heap.b);
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    RUN(test_order);
    RUN(test_undecided);
    RUN(test_changed_meanwhile);
    return harness_end();
}

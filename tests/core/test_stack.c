// SPDX-License-Identifier: MIT
/* The Treiber stack: order, length, growth, closing, and what the tag of its head is for. */
#include "harness.h"

#include "core/stack.h"

/* The same source once more, with the tag left out, under other names. */
#define CX_BUG_STACK_NO_TAG 1
#define cx_stack_init untagged_init
#define cx_stack_fini untagged_fini
#define cx_stack_push untagged_push
#define cx_stack_pop untagged_pop
#define cx_stack_len untagged_len
#define cx_stack_close untagged_close
#define cx_stack_bytes untagged_bytes
#define cx_stack_visit untagged_visit
void cx_stack_init(struct cx_stack *stack);
void cx_stack_fini(struct cx_stack *stack);
size_t cx_stack_push(struct cx_stack *stack, const uint64_t *words, size_t n, enum cx_status *why);
size_t cx_stack_pop(struct cx_stack *stack, uint64_t *words, size_t n, enum cx_status *why);
size_t cx_stack_len(const struct cx_stack *stack);
bool cx_stack_close(struct cx_stack *stack);
size_t cx_stack_bytes(const struct cx_stack *stack);
int cx_stack_visit(const struct cx_stack *stack, int (*fn)(uint64_t, void *), void *arg);
#include "core/stack.c"
#undef cx_stack_init
#undef cx_stack_fini
#undef cx_stack_push
#undef cx_stack_pop
#undef cx_stack_len
#undef cx_stack_close
#undef cx_stack_bytes
#undef cx_stack_visit

static enum cx_status
init(struct cx_stack *stack, uint64_t capacity)
{
    (void)capacity;
    cx_stack_init(stack);
    return CX_OK;
}

#define SUBJECT struct cx_stack
#define subject_init init
#define subject_fini cx_stack_fini
#define subject_push cx_stack_push
#define subject_pop cx_stack_pop
#define subject_len cx_stack_len
#define subject_close cx_stack_close
#include "subject.h"

static void
test_smoke(void)
{
    struct cx_stack stack;
    uint64_t word = 0;
    cx_stack_init(&stack);
    CHECK_EQ(pop(&stack, &word), CX_EMPTY);
    CHECK(!cx_stack_item_ready(&stack));
    CHECK_EQ(push(&stack, 1), CX_OK);
    CHECK_EQ(push(&stack, UINT64_MAX), CX_OK);
    CHECK(cx_stack_item_ready(&stack));
    CHECK_EQ(pop(&stack, &word), CX_OK);
    CHECK(word == UINT64_MAX);
    CHECK_EQ(pop(&stack, &word), CX_OK);
    CHECK_EQ(word, 1);
    CHECK_EQ(pop(&stack, &word), CX_EMPTY);
    cx_stack_fini(&stack);
}

/* Unbounded; popped nodes are used again. */
static void
test_capacity(void)
{
    struct cx_stack stack;
    uint64_t word;
    cx_stack_init(&stack);
    CHECK_EQ(cx_stack_bytes(&stack), 0);
    for (uint64_t i = 0; i < 100000; i++) {
        CHECK_EQ(push(&stack, i), CX_OK);
    }
    CHECK_EQ(cx_stack_len(&stack), 100000);
    size_t bytes = cx_stack_bytes(&stack);
    CHECK(bytes >= 100000 * sizeof(struct cx_stack_node));
    for (int round = 0; round < 3; round++) {
        for (uint64_t i = 100000; i > 0; i--) {
            CHECK_EQ(pop(&stack, &word), CX_OK);
            CHECK_EQ(word, i - 1);
        }
        CHECK_EQ(cx_stack_len(&stack), 0);
        for (uint64_t i = 0; i < 100000; i++) {
            CHECK_EQ(push(&stack, i), CX_OK);
        }
    }
    CHECK_EQ(cx_stack_bytes(&stack), bytes);
    cx_stack_fini(&stack);
}

static int
add_up(uint64_t word, void *arg)
{
    uint64_t *sum = arg;
    *sum = *sum * 10 + word;
    return word == 2;
}

static void
test_len(void)
{
    struct cx_stack stack;
    struct rng rng = {harness_seed};
    uint64_t words[300], model = 0, top = 0;
    enum cx_status why;
    cx_stack_init(&stack);
    CHECK_EQ(cx_stack_len(&stack), 0);
    for (int i = 0; i < 2000; i++) { /* words count up from the bottom: the model is the length */
        size_t n = 1 + rng_below(&rng, 300);
        if (rng_below(&rng, 2)) {
            for (size_t j = 0; j < n; j++) {
                words[j] = model + j;
            }
            CHECK_EQ(cx_stack_push(&stack, words, n, &why), n);
            model += n;
        }
        else {
            size_t k = cx_stack_pop(&stack, words, n, &why);
            CHECK_EQ(k, n < model ? n : model);
            for (size_t j = 0; j < k; j++) {
                CHECK_EQ(words[j], model - 1 - j);
            }
            model -= k;
        }
        CHECK_EQ(cx_stack_len(&stack), model);
    }
    CHECK_EQ(stack.pushed - stack.popped, model);
    cx_stack_fini(&stack);
    cx_stack_init(&stack);
    for (uint64_t i = 1; i <= 4; i++) {
        CHECK_EQ(push(&stack, i), CX_OK);
    }
    CHECK_EQ(cx_stack_visit(&stack, add_up, &top), 1);
    CHECK_EQ(top, 432);
    cx_stack_fini(&stack);
}

static void
test_shutdown(void)
{
    struct cx_stack stack;
    uint64_t word = 0;
    cx_stack_init(&stack);
    CHECK_EQ(push(&stack, 1), CX_OK);
    CHECK(cx_stack_close(&stack));
    CHECK(!cx_stack_close(&stack));
    CHECK(cx_stack_closed(&stack));
    CHECK_EQ(push(&stack, 2), CX_CLOSED);
    CHECK_EQ(cx_stack_len(&stack), 1);
    CHECK_EQ(pop(&stack, &word), CX_OK);
    CHECK(cx_stack_item_ready(&stack));
    CHECK_EQ(pop(&stack, &word), CX_CLOSED);
    CHECK_EQ(push(&stack, 2), CX_CLOSED);
    cx_stack_fini(&stack);
}

/* A pop is stopped between its look at the head (A, whose successor is B) and its swap, while others
 * pop A and B and push a new word, which gets the node A.  Then it goes on.  Answers whether its swap
 * went through, and what the next pop finds. */
static bool
pop_across_aba(bool tagged, uint64_t *found)
{
    size_t (*push_to)(struct cx_stack *, const uint64_t *, size_t, enum cx_status *) =
        tagged ? cx_stack_push : untagged_push;
    size_t (*pop_from)(struct cx_stack *, uint64_t *, size_t, enum cx_status *) =
        tagged ? cx_stack_pop : untagged_pop;
    uint64_t words[3] = {'C', 'B', 'A'}, fresh = 'D';
    struct cx_stack stack;
    enum cx_status why;
    cx_stack_init(&stack);
    CHECK_EQ(push_to(&stack, words, 3, &why), 3);

    uint64_t head = cx_load_acquire(&stack.head);
    uint32_t a = CX_STACK_INDEX(head), b = node_at(&stack, a)->next;

    CHECK_EQ(pop_from(&stack, words, 2, &why), 2);
    CHECK_EQ(words[1], 'B');
    CHECK_EQ(push_to(&stack, &fresh, 1, &why), 1);
    CHECK_EQ(CX_STACK_INDEX(stack.head), a); /* the same node, another item */

    uint64_t step = tagged ? UINT64_C(1) << 32 : 0;
    bool swapped = cx_cas_acq_rel(&stack.head, &head, ((head & TAG_MASK) + step) | b);
    CHECK_EQ(pop_from(&stack, found, 1, &why), 1);
    cx_stack_fini(&stack);
    return swapped;
}

static void
test_aba(void)
{
    uint64_t found = 0;
    CHECK(!pop_across_aba(true, &found)); /* the tag has moved on: the slow pop starts over */
    CHECK_EQ(found, 'D');
    CHECK(pop_across_aba(false, &found)); /* without it D is lost and B comes out twice */
    CHECK_EQ(found, 'B');
}

#define PER_THREAD 20000u
#define BATCH 7

struct crowd {
    struct cx_stack stack;
    uint32_t batch;
    uint64_t in, out, count_in, count_out;
};

/* Every thread pushes and pops: nodes change hands as fast as they can. */
static void
churn(struct worker *self)
{
    struct crowd *crowd = self->shared;
    uint64_t words[BATCH];
    enum cx_status why;
    for (uint64_t i = 0; i < PER_THREAD; i++) {
        size_t n = 1 + rng_below(&self->rng, crowd->batch), k;
        uint64_t sum = 0;
        if (rng_below(&self->rng, 2)) {
            for (size_t j = 0; j < n; j++) {
                words[j] = rng_next(&self->rng) >> 16;
                sum += words[j];
            }
            CHECK_EQ(cx_stack_push(&crowd->stack, words, n, &why), n);
            cx_fetch_add_relaxed(&crowd->in, sum);
            cx_fetch_add_relaxed(&crowd->count_in, n);
        }
        else {
            k = cx_stack_pop(&crowd->stack, words, n, &why);
            for (size_t j = 0; j < k; j++) {
                sum += words[j];
            }
            cx_fetch_add_relaxed(&crowd->out, sum);
            cx_fetch_add_relaxed(&crowd->count_out, k);
        }
        CHECK(cx_stack_len(&crowd->stack) <= (size_t)self->count * PER_THREAD * BATCH);
    }
}

static void
run_crowd(int threads, uint32_t batch)
{
    struct crowd crowd = {.batch = batch};
    uint64_t word;
    cx_stack_init(&crowd.stack);
    run_threads(threads, churn, &crowd);
    CHECK_EQ(cx_stack_len(&crowd.stack), crowd.count_in - crowd.count_out);
    while (pop(&crowd.stack, &word) == CX_OK) {
        crowd.out += word;
        crowd.count_out++;
    }
    CHECK_EQ(crowd.in, crowd.out);
    CHECK_EQ(crowd.count_in, crowd.count_out);
    CHECK_EQ(crowd.stack.pushed, crowd.count_in);
    CHECK_EQ(crowd.stack.popped, crowd.count_out);
    cx_stack_fini(&crowd.stack);
}

static void
test_spsc(void)
{
    run_crowd(2, 1);
}

static void
test_mpmc(void)
{
    run_crowd(4, 1);
    run_crowd(4, BATCH);
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    RUN(test_smoke);
    RUN(test_capacity);
    RUN(test_len);
    RUN(test_aba);
    RUN(test_spsc);
    RUN(test_mpmc);
    RUN(test_shutdown);
    RUN(test_shutdown_race);
    return harness_end();
}

// SPDX-License-Identifier: MIT
/* Epochs, sections and batches: nothing is released while a reader may see it, everything later. */
#include "harness.h"

#include "core/limbo.h"

#include <sys/wait.h>

static void
test_epochs(void)
{
    uint64_t stamp = cx_rcu_stamp();
    CHECK(!cx_rcu_is_over(stamp));
    CHECK(cx_rcu_try_advance());
    CHECK(
        !cx_rcu_is_over(stamp)); /* one is not enough: a reader of the epoch before may be inside */
    CHECK(cx_rcu_try_advance());
    CHECK(cx_rcu_is_over(stamp));
}

static void
test_own_section_holds(void)
{
    cx_rcu_enter();
    uint64_t stamp = cx_rcu_stamp();
    CHECK(cx_rcu_try_advance());  /* it is in the present epoch */
    CHECK(!cx_rcu_try_advance()); /* and now it is not */
    CHECK(!cx_rcu_is_over(stamp));
    cx_rcu_exit();
    CHECK(cx_rcu_try_advance());
    CHECK(cx_rcu_is_over(stamp));
}

static void
test_batches(void)
{
    struct cx_limbo limbo = {.open = NULL};
    CHECK(!cx_limbo_has_room(&limbo, 1));
    cx_limbo_open(&limbo, cx_batch_new());
    CHECK(cx_limbo_has_room(&limbo, CX_BATCH_ITEMS) &&
          !cx_limbo_has_room(&limbo, CX_BATCH_ITEMS + 1));
    for (uintptr_t i = 1; i <= 5; i++) {
        cx_limbo_add(&limbo, (void *)i, 12);
        CHECK_EQ(cx_limbo_seal_if_due(&limbo), i == 5);
    }
    CHECK(limbo.open == NULL && limbo.waiting == 5);
    CHECK(cx_limbo_take(&limbo) == NULL); /* its time is to come */
    CHECK(cx_rcu_try_advance() && cx_rcu_try_advance());
    struct cx_batch *ripe = cx_limbo_take(&limbo);
    if (CHECK(ripe != NULL)) {
        CHECK(ripe->count == 5 && ripe->item[4] == (void *)5 && ripe->next == NULL);
    }
    CHECK(limbo.waiting == 0 && limbo.first == NULL && limbo.last == NULL);
    free(ripe);
}

static void
test_batches_in_order(void)
{
    struct cx_limbo limbo = {.open = NULL};
    for (uintptr_t i = 1; i <= 3; i++) {
        cx_limbo_open(&limbo, cx_batch_new());
        cx_limbo_add(&limbo, (void *)i, CX_LIMBO_WEIGHT);
        CHECK(cx_limbo_seal_if_due(&limbo));
        CHECK(cx_rcu_try_advance());
    }
    struct cx_batch *ripe = cx_limbo_take(&limbo); /* stamps e, e+1, e+2 at epoch e+3 */
    CHECK(ripe->item[0] == (void *)1 && ripe->next->item[0] == (void *)2);
    CHECK(ripe->next->next == NULL && limbo.waiting == 1);
    free(ripe->next);
    free(ripe);
    cx_limbo_open(&limbo, cx_batch_new());
    cx_limbo_add(&limbo, (void *)4, 1);
    ripe = cx_limbo_take_all(&limbo);
    CHECK(ripe->item[0] == (void *)3 && ripe->next->item[0] == (void *)4);
    CHECK(limbo.waiting == 0 && limbo.open == NULL);
    free(ripe->next);
    free(ripe);
}

/* One writer replaces a block again and again; readers look at it and find it whole. */
#define BLOCK 64
#define REPLACEMENTS 3000

struct shared {
    struct cx_lock lock;
    uint64_t *block; /* atomic; all its words are equal */
    uint32_t ended;
    struct cx_limbo limbo; /* the writer's */
    size_t most_waiting;
};

static uint64_t *
block_new(uint64_t word)
{
    uint64_t *block = malloc(BLOCK * sizeof *block);
    for (int i = 0; i < BLOCK; i++) {
        block[i] = word;
    }
    return block;
}

static void
release(struct cx_batch *ripe)
{
    while (ripe != NULL) {
        struct cx_batch *next = ripe->next;
        for (uint32_t i = 0; i < ripe->count; i++) {
            memset(ripe->item[i], 0xee, BLOCK * sizeof(uint64_t));
            free(ripe->item[i]);
        }
        free(ripe);
        ripe = next;
    }
}

static void
replace_blocks(struct shared *s)
{
    struct cx_limbo *limbo = &s->limbo;
    for (uint64_t i = 1; i <= REPLACEMENTS; i++) {
        if (!cx_limbo_has_room(limbo, 1)) {
            cx_limbo_open(limbo, cx_batch_new());
        }
        uint64_t *old = cx_xchg_acq_rel(&s->block, block_new(i));
        cx_limbo_add(limbo, old, 10);
        if (cx_limbo_seal_if_due(limbo)) {
            while (!cx_rcu_try_advance()) {
                sched_yield(); /* a reader was put off inside */
            }
            (void)cx_rcu_try_advance();
            release(cx_limbo_take(limbo));
        }
        s->most_waiting = limbo->waiting > s->most_waiting ? limbo->waiting : s->most_waiting;
    }
    cx_store_release(&s->ended, 1);
}

static void
replace_or_read(struct worker *self)
{
    struct shared *s = self->shared;
    if (self->id == 0) {
        replace_blocks(s);
        return;
    }
    uint64_t latest = 0;
    while (cx_load_acquire(&s->ended) == 0) {
        cx_rcu_enter();
        uint64_t *block = cx_load_acquire(&s->block);
        uint64_t first = block[0];
        bool is_whole = true;
        for (int i = 1; i < BLOCK; i++) {
            is_whole = is_whole && block[i] == first;
        }
        cx_rcu_exit();
        CHECK(is_whole && first >= latest);
        latest = first;
    }
}

static void
test_readers_see_whole_blocks(void)
{
    struct shared s = {.block = block_new(0)};
    run_threads(4, replace_or_read, &s);
    release(cx_limbo_take_all(&s.limbo)); /* the readers have ended */
    CHECK_EQ(s.block[0], REPLACEMENTS);
    CHECK(s.most_waiting < 1000); /* bounded, though replaced without end */
    free(s.block);
}

static void
pass_through(struct worker *self)
{
    (void)self;
    cx_rcu_enter();
    cx_rcu_exit();
}

static void
test_slots_are_used_again(void)
{
    for (int i = 0; i < 100; i++) {
        run_threads(4, pass_through, NULL);
    }
    int count = 0;
    for (struct cx_rcu_slot *slot = cx_rcu_state.slots; slot != NULL; slot = slot->next) {
        count++;
    }
    CHECK(count <= 8);
}

static void *
stay_inside(void *arg)
{
    uint32_t *step = arg;
    cx_rcu_enter();
    cx_store_release(step, 1);
    WAIT_UNTIL(cx_load_acquire(step) == 2);
    cx_rcu_exit();
    return NULL;
}

/* A thread that was inside does not exist in the child, and holds nothing back there. */
static void
test_fork(void)
{
    pthread_t thread;
    uint32_t step = 0;
    int status = -1;
    pthread_create(&thread, NULL, stay_inside, &step);
    WAIT_UNTIL(cx_load_acquire(&step) == 1);
    (void)cx_rcu_try_advance();
    CHECK(!cx_rcu_try_advance());
    pid_t pid = fork();
    if (pid == 0) {
        uint64_t stamp = cx_rcu_stamp();
        _exit(cx_rcu_try_advance() && cx_rcu_try_advance() && cx_rcu_is_over(stamp) ? 0 : 1);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(!cx_rcu_try_advance());
    cx_store_release(&step, 2);
    pthread_join(thread, NULL);
    CHECK(cx_rcu_try_advance());
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    cx_rcu_install();
    RUN(test_epochs);
    RUN(test_own_section_holds);
    RUN(test_batches);
    RUN(test_batches_in_order);
    RUN(test_readers_see_whole_blocks);
    RUN(test_slots_are_used_again);
    RUN(test_fork);
    return harness_end();
}

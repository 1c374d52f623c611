// SPDX-License-Identifier: MIT
/* The short lock: exclusion, sleeping, the pause hook. */
#include "harness.h"

#include "core/lock.h"

static struct cx_lock lock = CX_LOCK_INIT;

static void
test_smoke(void)
{
    CHECK(cx_lock_try(&lock));
    CHECK(!cx_lock_try(&lock));
    cx_lock_release(&lock);
    CHECK(cx_lock_try(&lock));
    cx_lock_release(&lock);
    CHECK_EQ(lock.word, 0);
}

struct counter {
    struct cx_lock lock;
    uint64_t value; /* guarded */
    uint64_t rounds;
};

static void
count_body(struct worker *self)
{
    struct counter *counter = self->shared;
    for (uint64_t i = 0; i < counter->rounds; i++) {
        cx_lock_acquire(&counter->lock);
        counter->value++;
        if (rng_below(&self->rng, 64) == 0) {
            sched_yield(); /* so that others find it held, and sleep */
        }
        cx_lock_release(&counter->lock);
    }
}

static void
test_mpmc(void)
{
    struct counter counter = {CX_LOCK_INIT, 0, 5000};
    run_threads(6, count_body, &counter);
    CHECK_EQ(counter.value, 6 * counter.rounds);
    CHECK_EQ(counter.lock.word, 0);
}

static int pauses; /* atomic */

static void
counting_pause(struct cx_lock *contended)
{
    __atomic_fetch_add(&pauses, 1, __ATOMIC_RELAXED);
    cx_lock_sleep(contended);
}

static void
hold_body(struct worker *self)
{
    struct counter *counter = self->shared;
    if (self->id == 0) {
        cx_lock_acquire(&counter->lock);
        cx_store_release(&counter->rounds, 1);
        WAIT_UNTIL(__atomic_load_n(&pauses, __ATOMIC_RELAXED) >= 2);
        counter->value++;
        cx_lock_release(&counter->lock);
        return;
    }
    WAIT_UNTIL(cx_load_acquire(&counter->rounds) == 1);
    cx_lock_acquire(&counter->lock);
    counter->value++;
    cx_lock_release(&counter->lock);
}

/* Whoever finds the lock held for long goes through the hook, and each of two sleepers is woken. */
static void
test_pause(void)
{
    struct counter counter = {CX_LOCK_INIT, 0, 0};
    cx_lock_pause = counting_pause;
    run_threads(3, hold_body, &counter);
    cx_lock_pause = cx_lock_sleep;
    CHECK_EQ(counter.value, 3);
    CHECK_EQ(counter.lock.word, 0);
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    RUN(test_smoke);
    RUN(test_mpmc);
    RUN(test_pause);
    return harness_end();
}

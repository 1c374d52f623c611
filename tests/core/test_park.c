// SPDX-License-Identifier: MIT
/* Parking: values that differ, wake-ups, deadlines, interruptions. */
#include "harness.h"

static void
test_smoke(void)
{
    uint32_t word = 1;
    CHECK_EQ(cx_park(&word, 0, CX_FOREVER), CX_OK); /* the word differs: no sleep */
    cx_unpark(&word, 1);                            /* nobody sleeps */
}

static void
test_timeout(void)
{
    uint32_t word = 0;
    int64_t began = cx_now(), deadline = began + 20 * MILLISECOND;
    enum cx_status status;
    while ((status = cx_park(&word, 0, deadline)) == CX_INTR) {
    }
    CHECK_EQ(status, CX_TIMEOUT);
    CHECK(cx_now() >= deadline);
    CHECK_EQ(cx_park(&word, 0, began), CX_TIMEOUT); /* a deadline that has passed */
    CHECK_EQ(cx_park(&word, 1, began), CX_OK);      /* the word comes first */
}

struct turn {
    uint32_t word; /* whose turn it is */
    uint32_t rounds;
};

/* Two threads pass the turn to and fro; a lost wake-up hangs. */
static void
ping_pong(struct worker *self)
{
    struct turn *turn = self->shared;
    uint32_t me = (uint32_t)self->id;
    for (uint32_t i = 0; i < turn->rounds; i++) {
        uint32_t word;
        while ((word = cx_load_acquire(&turn->word)) != me) {
            enum cx_status status = cx_park(&turn->word, word, CX_FOREVER);
            CHECK(status == CX_OK || status == CX_INTR);
        }
        cx_store_release(&turn->word, 1 - me);
        cx_unpark(&turn->word, 1);
    }
}

static void
test_spsc(void)
{
    struct turn turn = {0, 2000};
    run_threads(2, ping_pong, &turn);
    CHECK_EQ(turn.word, 0);
}

struct crowd {
    uint32_t gate;
    uint32_t asleep, through;
};

static void
crowd_body(struct worker *self)
{
    struct crowd *crowd = self->shared;
    if (self->id == 0) {
        WAIT_UNTIL(cx_load_acquire(&crowd->asleep) == (uint32_t)self->count - 1);
        cx_store_release(&crowd->gate, 1);
        cx_unpark(&crowd->gate, INT32_MAX);
        return;
    }
    cx_fetch_add_acq_rel(&crowd->asleep, 1);
    while (cx_load_acquire(&crowd->gate) == 0) {
        (void)cx_park(&crowd->gate, 0, CX_FOREVER);
    }
    cx_fetch_add_acq_rel(&crowd->through, 1);
}

static void
test_wakes_all(void)
{
    for (int i = 0; i < 20; i++) {
        struct crowd crowd = {0, 0, 0};
        run_threads(6, crowd_body, &crowd);
        CHECK_EQ(crowd.through, 5);
    }
}

static int signals;

static void
on_signal(int sig)
{
    (void)sig;
    __atomic_fetch_add(&signals, 1, __ATOMIC_RELAXED);
}

struct sleeper {
    uint32_t word;
    uint32_t asleep;
    pthread_t thread;
    int interrupted;
};

static void
interrupt_body(struct worker *self)
{
    struct sleeper *sleeper = self->shared;
    if (self->id == 0) {
        sleeper->thread = pthread_self();
        cx_store_release(&sleeper->asleep, 1);
        while (cx_load_acquire(&sleeper->word) == 0) {
            if (cx_park(&sleeper->word, 0, cx_now() + CX_SECOND * 10) == CX_INTR) {
                sleeper->interrupted++;
            }
        }
        return;
    }
    WAIT_UNTIL(cx_load_acquire(&sleeper->asleep) == 1);
    for (int i = 0; i < 50 && __atomic_load_n(&signals, __ATOMIC_RELAXED) == i; i++) {
        usleep(1000); /* so that most of them find it asleep; none of them has to */
        pthread_kill(sleeper->thread, SIGUSR1);
        WAIT_UNTIL(__atomic_load_n(&signals, __ATOMIC_RELAXED) > i);
    }
    usleep(1000);
    cx_store_release(&sleeper->word, 1);
    cx_unpark(&sleeper->word, 1);
}

static void
test_interrupt(void)
{
    struct sigaction action = {.sa_handler = on_signal}, before;
    struct sleeper sleeper = {.word = 0};
    sigaction(SIGUSR1, &action, &before);
    run_threads(2, interrupt_body, &sleeper);
    sigaction(SIGUSR1, &before, NULL);
    CHECK_EQ(signals, 50);
#if CX_FUTEX && !defined(CX_TSAN) /* TSan holds a signal back until a call that it knows */
    CHECK(sleeper.interrupted > 0);
#endif
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    RUN(test_smoke);
    RUN(test_timeout);
    RUN(test_spsc);
    RUN(test_wakes_all);
    RUN(test_interrupt);
    return harness_end();
}

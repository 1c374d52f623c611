// SPDX-License-Identifier: MIT
/* One outcome: the states, who is told of what and when, waiters, races of everybody with everybody. */
#include "harness.h"

#include "core/future.h"

static int value_a, value_b;

static void
test_smoke(void)
{
    struct cx_future f;
    struct cx_news news = CX_NEWS_INIT;
    cx_future_init(&f);
    CHECK_EQ(cx_future_state(&f), CX_PENDING);
    CHECK(cx_future_start(&f));
    CHECK(!cx_future_start(&f));
    CHECK_EQ(cx_future_cancel(&f, false, &news), CX_CLOSED);
    CHECK_EQ(cx_future_settle(&f, CX_FINISHED, &value_a, false, &news), CX_OK);
    CHECK(cx_future_done(&f));
    CHECK(f.value == &value_a);
    CHECK_EQ(cx_future_settle(&f, CX_FAILED, &value_b, false, &news), CX_CLOSED);
    CHECK(f.value == &value_a);
    CHECK_EQ(cx_future_cancel(&f, false, &news), CX_CLOSED);
    CHECK_EQ(cx_future_notify(&f, false, &news), CX_CLOSED);
    CHECK_EQ(news.wakes.count, 0);
}

static void
test_cancel(void)
{
    struct cx_future f;
    struct cx_news news = CX_NEWS_INIT;
    struct cx_told callback = {NULL, &value_a}, observer = {NULL, &value_b};
    cx_future_init(&f);
    CHECK(cx_future_tell(&f, &callback, false));
    CHECK(cx_future_tell(&f, &observer, true));
    CHECK_EQ(cx_future_cancel(&f, false, &news), CX_OK);
    CHECK(news.callbacks == &callback);
    CHECK(news.observers == NULL); /* told when it is known that nothing will run */
    CHECK(!cx_future_start(&f));
    CHECK_EQ(cx_future_cancel(&f, false, &news), CX_AGAIN);
    CHECK_EQ(cx_future_settle(&f, CX_FINISHED, &value_a, false, &news), CX_CLOSED);
    CHECK_EQ(cx_future_notify(&f, false, &news), CX_OK);
    CHECK(news.observers == &observer);
    CHECK_EQ(cx_future_notify(&f, false, &news), CX_CLOSED);
    CHECK_EQ(cx_future_state(&f), CX_NOTIFIED);
    CHECK(!cx_future_tell(&f, &callback, false));
    CHECK(!cx_future_tell(&f, &observer, true));
}

static bool
same(const void *a, const void *b)
{
    return a == b;
}

static void
test_told(void)
{
    struct cx_future f;
    struct cx_news news = CX_NEWS_INIT;
    struct cx_told told[5] = {
        {NULL, &value_a}, {NULL, &value_b}, {NULL, &value_a}, {NULL, &value_b}, {NULL, &value_a}};
    cx_future_init(&f);
    for (int i = 0; i < 5; i++) {
        CHECK(cx_future_tell(&f, &told[i], false));
    }
    struct cx_told *taken = cx_future_untell(&f, &value_b, false, same);
    CHECK(taken != NULL && taken->what == &value_b);
    CHECK(taken->next != NULL && taken->next->what == &value_b && taken->next->next == NULL);
    CHECK(cx_future_untell(&f, &value_b, false, same) == NULL);
    CHECK_EQ(cx_future_settle(&f, CX_FAILED, &value_a, false, &news), CX_OK);
    CHECK(news.callbacks == &told[0]); /* in the order of addition */
    CHECK(told[0].next == &told[2] && told[2].next == &told[4] && told[4].next == NULL);
}

static void
test_legacy(void)
{
    struct cx_future f;
    struct cx_news news = CX_NEWS_INIT;
    cx_future_init(&f);
    cx_future_make_legacy(&f);
    CHECK_EQ(cx_future_settle(&f, CX_FINISHED, &value_a, false, &news), CX_MOVED);
    CHECK_EQ(cx_future_cancel(&f, false, &news), CX_MOVED);
    CHECK_EQ(cx_future_state(&f), CX_PENDING);
    CHECK_EQ(cx_future_cancel(&f, true, &news), CX_OK);
    CHECK_EQ(cx_future_notify(&f, false, &news), CX_MOVED);
    CHECK_EQ(cx_future_notify(&f, true, &news), CX_OK);
    CHECK(cx_future_assign(&f, CX_FINISHED, &value_b) == NULL);
    CHECK_EQ(cx_future_state(&f), CX_FINISHED);
}

static void
test_waiters(void)
{
    struct cx_future f;
    struct cx_news news = CX_NEWS_INIT;
    struct cx_waiter *waiters[40];
    uint32_t woken = 0;
    cx_future_init(&f);
    for (int i = 0; i < 40; i++) {
        waiters[i] = cx_waiter_borrow();
        CHECK_EQ(cx_future_wait(&f, &waiters[i]->node), CX_WAIT);
    }
    CHECK(cx_waiter_decide(waiters[7], CX_TIMED_OUT));
    cx_future_leave(&f, &waiters[7]->node);
    CHECK(cx_waiter_decide(waiters[9], CX_CANCELLED)); /* decided, and still linked */
    CHECK_EQ(cx_future_settle(&f, CX_FINISHED, &value_a, false, &news), CX_OK);
    for (;;) {
        woken += news.wakes.count;
        deliver(&news.wakes);
        if (!news.more) {
            break;
        }
        cx_future_wake(&f, &news);
    }
    CHECK_EQ(woken, 38);
    struct cx_waiter *late = cx_waiter_borrow();
    CHECK_EQ(cx_future_wait(&f, &late->node), CX_OK);
    cx_waiter_return(late);
    for (int i = 0; i < 40; i++) {
        cx_waiter_return(waiters[i]);
    }
}

/* Two settle, one cancels, one starts, one waits, one is told: one wins, and all learn of it. */
#define RACES 400
#define RACERS 5

struct race {
    struct cx_future f;
    struct cx_told told;
    uint32_t ready, won, heard;
};

static void
hear(struct race *r, struct cx_news *news)
{
    for (struct cx_told *t = news->callbacks; t != NULL; t = t->next) {
        CHECK(t == &r->told);
        __atomic_fetch_add(&r->heard, 1, __ATOMIC_RELAXED);
    }
    while (news->more) {
        deliver(&news->wakes);
        cx_future_wake(&r->f, news);
    }
    deliver(&news->wakes);
}

static void
race(struct race *r, struct worker *self)
{
    struct cx_news news = CX_NEWS_INIT;
    if (self->id == 0 && !cx_future_tell(&r->f, &r->told, false)) {
        __atomic_fetch_add(&r->heard, 1, __ATOMIC_RELAXED);
    }
    if (self->id <= 1) {
        struct cx_waiter *w = cx_waiter_borrow();
        if (cx_future_wait(&r->f, &w->node) == CX_WAIT) {
            while (CX_COMMIT_STATE(cx_waiter_state(w)) == CX_WAITING) {
                CHECK(cx_park(&w->commit, CX_WAITING, cx_deadline_after(10 * CX_SECOND)) !=
                      CX_TIMEOUT);
            }
        }
        CHECK(cx_future_done(&r->f));
        cx_waiter_return(w);
        return;
    }
    enum cx_status status;
    if (self->id == 2) {
        status = cx_future_cancel(&r->f, false, &news);
    }
    else {
        (void)(self->id == 3 && cx_future_start(&r->f));
        status = cx_future_settle(&r->f, CX_FINISHED, self, false, &news);
    }
    if (status == CX_OK) {
        __atomic_fetch_add(&r->won, 1, __ATOMIC_RELAXED);
        hear(r, &news);
    }
}

static void
race_body(struct worker *self)
{
    struct race *races = self->shared;
    for (int i = 0; i < RACES; i++) {
        __atomic_fetch_add(&races[i].ready, 1, __ATOMIC_ACQ_REL);
        WAIT_UNTIL(__atomic_load_n(&races[i].ready, __ATOMIC_ACQUIRE) == RACERS);
        race(&races[i], self);
    }
}

static void
test_races(void)
{
    struct race *races = calloc(RACES, sizeof *races);
    for (int i = 0; i < RACES; i++) {
        cx_future_init(&races[i].f);
        races[i].told.what = &value_a;
    }
    run_threads(RACERS, race_body, races);
    for (int i = 0; i < RACES; i++) {
        CHECK_EQ(races[i].won, 1);
        CHECK_EQ(races[i].heard, 1);
    }
    free(races);
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    cx_waiter_install();
    RUN(test_smoke);
    RUN(test_cancel);
    RUN(test_told);
    RUN(test_legacy);
    RUN(test_waiters);
    RUN(test_races);
    return harness_end();
}

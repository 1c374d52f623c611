// SPDX-License-Identifier: MIT
/* Tasks and workers: order, who is woken and started, bounds, ends, and many of both at once. */
#include "harness.h"

#include "core/pool.h"

static int task_a, task_b;

/* Submits without waiting; what is woken is delivered. */
static enum cx_status
submit(struct cx_pool *p, void *task, bool *start)
{
    struct cx_pool_call call = CX_POOL_CALL_INIT;
    enum cx_status status = cx_pool_submit(p, task, NULL, &call);
    deliver(&call.wakes);
    if (start != NULL) {
        *start = call.start;
    }
    return status;
}

static size_t
count(struct cx_pool *p)
{
    struct cx_pool_stats stats;
    cx_pool_look(p, &stats);
    return stats.queued;
}

static void
test_smoke(void)
{
    struct cx_pool p;
    struct cx_wakes wakes = CX_WAKES_INIT;
    struct cx_waiter *w = cx_waiter_borrow();
    void *task = NULL;
    bool start;
    cx_pool_init(&p, 2, SIZE_MAX, NULL);
    CHECK_EQ(submit(&p, &task_a, &start), CX_OK);
    CHECK(start); /* nobody is there yet */
    CHECK_EQ(submit(&p, &task_b, &start), CX_OK);
    CHECK(start);
    CHECK_EQ(submit(&p, &task_a, &start), CX_OK);
    CHECK(!start); /* two are all there may be */
    CHECK_EQ(cx_pool_next(&p, NULL, &w->node, false, &task, &wakes), CX_OK);
    CHECK(task == &task_a);
    cx_pool_finishing(&p);
    CHECK_EQ(cx_pool_next(&p, NULL, &w->node, false, &task, &wakes), CX_OK);
    CHECK(task == &task_b);
    cx_pool_finishing(&p);
    CHECK_EQ(count(&p), 1);
    CHECK(cx_pool_drain(&p, &wakes) == &task_a);
    CHECK(cx_pool_drain(&p, &wakes) == NULL);
    CHECK_EQ(cx_pool_next(&p, NULL, &w->node, false, &task, &wakes), CX_WAIT);
    CHECK_EQ(submit(&p, &task_b, &start), CX_OK);
    CHECK(!start); /* one sleeps, and has been woken */
    CHECK_EQ(CX_COMMIT_STATE(cx_waiter_state(w)), CX_GRANTED);
    cx_waiter_arm(w);
    CHECK_EQ(cx_pool_next(&p, NULL, &w->node, true, &task, &wakes), CX_OK);
    CHECK_EQ(p.searching, 0);
    cx_pool_finishing(&p);
    CHECK(!cx_pool_close(&p, &wakes));
    CHECK_EQ(submit(&p, &task_a, NULL), CX_CLOSED);
    CHECK_EQ(cx_pool_next(&p, NULL, &w->node, false, &task, &wakes), CX_CLOSED);
    CHECK_EQ(p.workers, 1); /* the one that was to be started */
    cx_pool_lost(&p);
    CHECK_EQ(p.workers, 0);
    CHECK_EQ(p.available, 0);
    cx_waiter_return(w);
    cx_pool_fini(&p);
}

/* One wake is on its way: no second one, until the woken worker leaves something behind. */
static void
test_wakes(void)
{
    struct cx_pool p;
    struct cx_wakes wakes = CX_WAKES_INIT;
    struct cx_waiter *a = cx_waiter_borrow(), *b = cx_waiter_borrow();
    void *task;
    cx_pool_init(&p, 2, SIZE_MAX, NULL);
    p.workers = p.available = 2;
    CHECK_EQ(cx_pool_next(&p, NULL, &a->node, false, &task, &wakes), CX_WAIT);
    CHECK_EQ(cx_pool_next(&p, NULL, &b->node, false, &task, &wakes), CX_WAIT);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(submit(&p, &task_a, NULL), CX_OK);
    }
    CHECK_EQ(CX_COMMIT_STATE(cx_waiter_state(a)), CX_GRANTED);
    CHECK_EQ(CX_COMMIT_STATE(cx_waiter_state(b)), CX_WAITING);
    cx_waiter_arm(a);
    CHECK_EQ(cx_pool_next(&p, NULL, &a->node, true, &task, &wakes), CX_OK);
    CHECK_EQ(CX_COMMIT_STATE(cx_waiter_state(b)), CX_GRANTED); /* the task may block */
    CHECK_EQ(wakes.count, 1);
    deliver(&wakes);
    cx_waiter_return(a);
    cx_waiter_return(b);
    while (cx_pool_drain(&p, &wakes) != NULL) {
    }
    cx_pool_fini(&p);
}

static void
test_bound(void)
{
    struct cx_pool p;
    struct cx_pool_call call = CX_POOL_CALL_INIT;
    struct cx_wakes wakes = CX_WAKES_INIT;
    struct cx_waiter *a = cx_waiter_borrow(), *b = cx_waiter_borrow();
    cx_pool_init(&p, 1, 1, NULL);
    CHECK_EQ(submit(&p, &task_a, NULL), CX_OK);
    CHECK_EQ(submit(&p, &task_b, NULL), CX_FULL);
    CHECK_EQ(cx_pool_submit(&p, &task_b, &a->node, &call), CX_WAIT);
    CHECK_EQ(cx_pool_submit(&p, &task_b, &b->node, &call), CX_WAIT);
    CHECK(cx_pool_drain(&p, &wakes) == &task_a);
    CHECK_EQ(CX_COMMIT_STATE(cx_waiter_state(a)), CX_GRANTED);
    CHECK_EQ(CX_COMMIT_STATE(cx_waiter_state(b)), CX_WAITING);
    deliver(&wakes);
    cx_pool_pass_on(&p, &wakes); /* a goes away without having looked */
    CHECK_EQ(CX_COMMIT_STATE(cx_waiter_state(b)), CX_GRANTED);
    deliver(&wakes);
    cx_waiter_arm(a);
    CHECK_EQ(submit(&p, &task_a, NULL), CX_OK);
    CHECK_EQ(cx_pool_submit(&p, &task_b, &a->node, &call), CX_WAIT);
    CHECK(cx_waiter_decide(a, CX_CANCELLED));
    cx_pool_leave(&p, &a->node);
    CHECK(cx_pool_drain(&p, &wakes) == &task_a);
    CHECK_EQ(wakes.count, 0);
    cx_waiter_return(a);
    cx_waiter_return(b);
    cx_pool_fini(&p);
}

/* All workers sleep in joins and a task waits: a spare one, which goes when it is needed no more. */
static void
test_spare(void)
{
    struct cx_pool p;
    struct cx_wakes wakes = CX_WAKES_INIT;
    struct cx_waiter *w = cx_waiter_borrow();
    void *task;
    bool start;
    cx_pool_init(&p, 1, SIZE_MAX, NULL);
    CHECK_EQ(submit(&p, &task_a, &start), CX_OK);
    CHECK(start);
    CHECK_EQ(cx_pool_next(&p, NULL, &w->node, false, &task, &wakes), CX_OK);
    CHECK(!cx_pool_block(&p)); /* nothing waits */
    CHECK_EQ(submit(&p, &task_b, &start), CX_OK);
    CHECK(start);
    CHECK_EQ(p.workers, 2);
    CHECK_EQ(cx_pool_next(&p, NULL, &w->node, false, &task, &wakes), CX_OK);
    cx_pool_unblock(&p);
    cx_pool_finishing(&p);
    CHECK_EQ(cx_pool_next(&p, NULL, &w->node, false, &task, &wakes), CX_CLOSED);
    CHECK_EQ(p.workers, 1);
    cx_pool_finishing(&p);
    CHECK_EQ(submit(&p, &task_b, &start), CX_OK);
    CHECK(!start);
    CHECK_EQ(cx_pool_next(&p, NULL, &w->node, false, &task, &wakes), CX_OK);
    CHECK_EQ(submit(&p, &task_b, &start), CX_OK);
    CHECK(!start);
    CHECK(cx_pool_block(&p));
    cx_pool_lost(&p); /* it could not be started */
    cx_pool_unblock(&p);
    (void)cx_pool_drain(&p, &wakes);
    cx_waiter_return(w);
    cx_pool_fini(&p);
}

static void
test_retire(void)
{
    struct cx_pool p;
    struct cx_wakes wakes = CX_WAKES_INIT;
    struct cx_waiter *w = cx_waiter_borrow();
    void *task;
    cx_pool_init(&p, 2, SIZE_MAX, NULL);
    p.workers = p.available = 1;
    CHECK_EQ(cx_pool_next(&p, NULL, &w->node, false, &task, &wakes), CX_WAIT);
    CHECK(cx_waiter_decide(w, CX_TIMED_OUT));
    CHECK_EQ(submit(&p, &task_a, NULL), CX_OK); /* its wake finds nobody */
    CHECK(!cx_pool_retire(&p, &w->node));       /* so the worker must not go */
    cx_waiter_arm(w);
    CHECK_EQ(cx_pool_next(&p, NULL, &w->node, false, &task, &wakes), CX_OK);
    cx_pool_finishing(&p);
    CHECK_EQ(cx_pool_next(&p, NULL, &w->node, false, &task, &wakes), CX_WAIT);
    CHECK(cx_waiter_decide(w, CX_TIMED_OUT));
    CHECK(cx_pool_retire(&p, &w->node));
    CHECK_EQ(p.workers, 0);
    cx_waiter_return(w);
    cx_pool_fini(&p);
}

static int
less(void *a, void *b)
{
    return *(int *)a < *(int *)b;
}

static void
test_order(void)
{
    struct cx_pool p;
    struct cx_wakes wakes = CX_WAKES_INIT;
    int keys[] = {5, 1, 4, 2, 3};
    cx_pool_init(&p, 1, SIZE_MAX, less);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(submit(&p, &keys[i], NULL), CX_OK);
    }
    for (int k = 1; k <= 5; k++) {
        int *task = cx_pool_drain(&p, &wakes);
        CHECK(task != NULL && *task == k);
    }
    CHECK(cx_pool_drain(&p, &wakes) == NULL);
    cx_pool_fini(&p);
}

static int tasks[100];

/* A full-grown pool of two workers with slots; the first is about to run a task, the second looks. */
static void
init_slots(struct cx_pool *p, struct cx_pool_slot *slots[2])
{
    cx_pool_init(p, 2, SIZE_MAX, NULL);
    CHECK(cx_pool_give_slots(p, 2));
    slots[0] = cx_pool_take_slot(p);
    slots[1] = cx_pool_take_slot(p);
    CHECK(slots[0] != NULL && slots[1] != NULL && slots[0] != slots[1]);
    CHECK(cx_pool_take_slot(p) == NULL);
    p->workers = 2;
    p->available = 1;
}

static void
submit_inside(struct cx_pool *p, struct cx_pool_slot *slot, struct cx_pool_call *call)
{
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(cx_pool_submit_inside(p, slot, &tasks[i], call), CX_OK);
    }
}

/* What a worker submits goes into its slot; the other one takes the oldest of it. */
static void
test_slots(void)
{
    struct cx_pool p;
    struct cx_pool_slot *slots[2];
    struct cx_pool_call call = CX_POOL_CALL_INIT;
    struct cx_wakes wakes = CX_WAKES_INIT;
    struct cx_waiter *a = cx_waiter_borrow(), *b = cx_waiter_borrow();
    void *task;
    init_slots(&p, slots);
    CHECK_EQ(cx_pool_next(&p, slots[1], &b->node, false, &task, &wakes), CX_WAIT);
    submit_inside(&p, slots[0], &call);
    CHECK_EQ(call.wakes.count, 1); /* one is on the way */
    CHECK_EQ(CX_COMMIT_STATE(cx_waiter_state(b)), CX_GRANTED);
    deliver(&call.wakes);
    CHECK_EQ(count(&p), 100);
    CHECK(cx_pool_at(&p, 99) == &tasks[99] && cx_pool_at(&p, 100) == NULL);
    CHECK_EQ(submit(&p, &task_b, NULL), CX_OK);
    CHECK(cx_pool_at(&p, 0) == &task_b && cx_pool_at(&p, 1) == &tasks[0]);
    CHECK_EQ(cx_pool_next(&p, slots[0], &a->node, false, &task, &wakes), CX_OK);
    CHECK(task == &tasks[0]);
    cx_waiter_arm(b);
    CHECK_EQ(cx_pool_next(&p, slots[1], &b->node, true, &task, &wakes), CX_OK);
    CHECK(task == &task_b); /* from outside first */
    CHECK_EQ(cx_pool_next(&p, slots[1], &b->node, false, &task, &wakes), CX_OK);
    CHECK(task == &tasks[1]);
    CHECK(!cx_pool_take_back(slots[0], &tasks[98]));
    CHECK(cx_pool_take_back(slots[0], &tasks[99]));
    CHECK(cx_pool_take_back(slots[0], &tasks[98]));
    CHECK_EQ(submit(&p, &task_b, NULL), CX_OK);
    int before_b = 0; /* a worker with tasks of its own comes to those from outside, too */
    do {
        CHECK_EQ(cx_pool_next(&p, slots[0], &a->node, false, &task, &wakes), CX_OK);
    } while (task != &task_b && ++before_b < 100);
    CHECK(before_b < 61);
    struct cx_pool_stats stats;
    cx_pool_look(&p, &stats);
    CHECK_EQ(stats.submitted, 102);
    CHECK_EQ(stats.stolen, 1);
    CHECK_EQ(stats.queued, 96 - (size_t)before_b);
    while (cx_pool_drain(&p, &wakes) != NULL) {
    }
    cx_waiter_return(a);
    cx_waiter_return(b);
    cx_pool_fini(&p);
}

/* Before the pool is full-grown, after its end, and in the child of a fork. */
static void
test_slot_ends(void)
{
    struct cx_pool p;
    struct cx_pool_slot *slots[2];
    struct cx_pool_call call = CX_POOL_CALL_INIT;
    struct cx_wakes wakes = CX_WAKES_INIT;
    init_slots(&p, slots);
    p.workers = 1;
    p.available = 0;
    CHECK_EQ(cx_pool_submit_inside(&p, slots[0], &task_a, &call), CX_OK);
    CHECK(call.start); /* like one from outside */
    CHECK_EQ(cx_deque_count(&slots[0]->deque), 0);
    CHECK(cx_pool_drain(&p, &wakes) == &task_a);
    submit_inside(&p, slots[0], &call);
    CHECK_EQ(cx_deque_count(&slots[0]->deque), 100);
    CHECK(!cx_pool_close(&p, &wakes));
    CHECK_EQ(cx_pool_submit_inside(&p, slots[0], &task_a, &call), CX_CLOSED);
    cx_pool_leave_slot(&p, slots[1]);
    cx_pool_repair(&p, slots[0]); /* the other one is free, and what waits still waits */
    CHECK(cx_pool_take_slot(&p) == slots[1]);
    CHECK(cx_pool_take_slot(&p) == NULL);
    int drained = 0;
    while (cx_pool_drain(&p, &wakes) != NULL) {
        drained++;
    }
    CHECK_EQ(drained, 100);
    cx_pool_fini(&p);
}

/* Submitters with a bound, workers that sleep: every task runs once, and everybody comes to an end. */
#define TASKS 3000
#define CHILDREN 8
#define ALL (TASKS + TASKS / 4 * CHILDREN)

struct traffic {
    struct cx_pool pool;
    uint8_t ran[ALL + 1];
    uint32_t submitters;
    uint32_t refused;
};

static void
sleep_on(struct cx_waiter *w)
{
    while (CX_COMMIT_STATE(cx_waiter_state(w)) == CX_WAITING) {
        CHECK(cx_park(&w->commit, CX_WAITING, cx_deadline_after(10 * CX_SECOND)) != CX_TIMEOUT);
    }
}

static void
submit_all(struct traffic *t, uintptr_t first, uintptr_t step)
{
    struct cx_waiter *w = cx_waiter_borrow();
    for (uintptr_t i = first; i <= TASKS;) {
        struct cx_pool_call call = CX_POOL_CALL_INIT;
        cx_waiter_arm(w);
        enum cx_status status = cx_pool_submit(&t->pool, (void *)i, &w->node, &call);
        deliver(&call.wakes);
        if (status == CX_WAIT) {
            sleep_on(w);
        }
        else {
            CHECK_EQ(status, CX_OK);
            i += step;
        }
    }
    cx_waiter_return(w);
    if (__atomic_sub_fetch(&t->submitters, 1, __ATOMIC_ACQ_REL) == 0) {
        struct cx_wakes wakes = CX_WAKES_INIT;
        while (cx_pool_close(&t->pool, &wakes)) {
            deliver(&wakes);
        }
        deliver(&wakes);
    }
}

/* Of the tasks that are submitted from outside, every fourth brings some more. */
static void
have_children(struct traffic *t, struct cx_pool_slot *slot, uintptr_t task)
{
    if (task <= TASKS && task % 4 == 0) {
        for (uintptr_t i = 0; i < CHILDREN; i++) {
            struct cx_pool_call call = CX_POOL_CALL_INIT;
            void *child = (void *)(TASKS + (task / 4 - 1) * CHILDREN + i + 1);
            enum cx_status status = cx_pool_submit_inside(&t->pool, slot, child, &call);
            deliver(&call.wakes);
            if (status != CX_OK) { /* closed already, or full: the caller runs it */
                CHECK_EQ(__atomic_fetch_add(&t->ran[(uintptr_t)child], 1, __ATOMIC_RELAXED), 0);
                __atomic_fetch_add(&t->refused, 1, __ATOMIC_RELAXED);
            }
        }
    }
}

static void
work_all(struct traffic *t, struct rng *rng)
{
    struct cx_waiter *w = cx_waiter_borrow();
    struct cx_pool_slot *slot = cx_pool_take_slot(&t->pool);
    bool woken = false;
    for (;;) {
        struct cx_wakes wakes = CX_WAKES_INIT;
        void *task;
        cx_waiter_arm(w);
        enum cx_status status = cx_pool_next(&t->pool, slot, &w->node, woken, &task, &wakes);
        deliver(&wakes);
        woken = false;
        if (status == CX_CLOSED) {
            break;
        }
        if (status == CX_OK) {
            CHECK_EQ(__atomic_fetch_add(&t->ran[(uintptr_t)task], 1, __ATOMIC_RELAXED), 0);
            if (rng_below(rng, 16) == 0) {
                sched_yield();
            }
            have_children(t, slot, (uintptr_t)task);
            cx_pool_finishing(&t->pool);
            continue;
        }
        sleep_on(w);
        woken = true;
    }
    cx_pool_leave_slot(&t->pool, slot);
    cx_waiter_return(w);
}

static void
traffic_body(struct worker *self)
{
    struct traffic *t = self->shared;
    if (self->id < 3) {
        submit_all(t, (uintptr_t)self->id + 1, 3);
    }
    else {
        work_all(t, &self->rng);
    }
}

static void
test_mpmc(void)
{
    static const size_t limits[] = {1, 7, SIZE_MAX, SIZE_MAX};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct traffic t = {.submitters = 3};
        cx_pool_init(&t.pool, 3, limits[i], NULL);
        CHECK(i < 3 || cx_pool_give_slots(&t.pool, 2)); /* one of the three has none */
        t.pool.workers = t.pool.available = 3;
        run_threads(6, traffic_body, &t);
        for (int k = 1; k <= ALL; k++) {
            CHECK_EQ(t.ran[k], 1);
        }
        struct cx_pool_stats stats;
        cx_pool_look(&t.pool, &stats);
        CHECK_EQ(stats.workers, 0);
        CHECK_EQ(stats.queued, 0);
        CHECK_EQ(stats.submitted, ALL - t.refused);
        cx_pool_fini(&t.pool);
    }
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    cx_waiter_install();
    RUN(test_smoke);
    RUN(test_wakes);
    RUN(test_bound);
    RUN(test_spare);
    RUN(test_retire);
    RUN(test_order);
    RUN(test_slots);
    RUN(test_slot_ends);
    RUN(test_mpmc);
    return harness_end();
}

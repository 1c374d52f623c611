// SPDX-License-Identifier: MIT
/* A pool's tasks and workers (core/pool.h): who is woken, chains, bounds, retirement, the end.
 * Workers wait as binding/taskqueue.c does. */
#include "core/pool.h"
#include "core/clock.h"
#include "core/port.h"

#include "ledger.h"
#include "models.h"
#include "wakes.h"

enum todo { NOTHING, SUBMITS, WORKS, CLOSES };

enum how {
    TIMED = 1, /* a worker's sleep may time out, and then it ends; a submitter's, and it gives up */
    QUITS = 2, /* a submitter that was woken may leave without looking */
    HOLDS = 4, /* the first task comes to an end only after the last */
    STAYS = 8  /* so does every one that comes from outside */
};

struct role {
    enum todo todo;
    int arg; /* how many tasks */
    int how;
};

struct variant {
    size_t limit;
    int children; /* more than 0: workers have slots, and the first task submits so many */
    struct role roles[MC_THREADS];
};

static const struct variant variants[] = {
    [0] = {SIZE_MAX, 0, {{SUBMITS, 2, 0}, {SUBMITS, 1, 0}, {WORKS, 0, 0}, {WORKS, 0, 0}}},
    [1] = {SIZE_MAX, 0, {{SUBMITS, 3, HOLDS}, {WORKS, 0, HOLDS}, {WORKS, 0, HOLDS}}},
    [2] = {SIZE_MAX, 0, {{SUBMITS, 2, 0}, {WORKS, 0, TIMED}, {WORKS, 0, TIMED}}},
    [3] = {1, 0, {{SUBMITS, 2, 0}, {SUBMITS, 1, 0}, {WORKS, 0, 0}}},
    [4] = {1, 0, {{SUBMITS, 2, 0}, {SUBMITS, 1, TIMED}, {SUBMITS, 1, QUITS}, {WORKS, 0, 0}}},
    [5] = {SIZE_MAX, 0, {{SUBMITS, 2, 0}, {WORKS, 0, 0}, {WORKS, 0, 0}, {CLOSES, 0, 0}}},
    [6] = {1, 0, {{SUBMITS, 2, 0}, {SUBMITS, 1, 0}, {WORKS, 0, 0}, {CLOSES, 0, 0}}},
    [7] = {SIZE_MAX, 2, {{SUBMITS, 2, 0}, {WORKS, 0, 0}, {WORKS, 0, 0}}},
    [8] = {SIZE_MAX, 2, {{SUBMITS, 1, 0}, {WORKS, 0, HOLDS}, {WORKS, 0, HOLDS}}},
    [9] = {SIZE_MAX,
           1,
           {{SUBMITS, 1, 0},
            {SUBMITS, 1, 0},
            {WORKS, 0, STAYS},
            {WORKS, 0, STAYS},
            {WORKS, 0, STAYS}}},
    [10] = {SIZE_MAX, 2, {{SUBMITS, 1, 0}, {WORKS, 0, TIMED}, {WORKS, 0, TIMED}}},
    [11] = {SIZE_MAX, 2, {{SUBMITS, 1, 0}, {WORKS, 0, 0}, {WORKS, 0, 0}, {CLOSES, 0, 0}}},
};

struct state {
    struct cx_pool p;
    struct ledger ledger;
    int submitters; /* not yet done */
    uint32_t last_ran;
    int last;
    int starts; /* workers that a submitter was told to start; the model has none */
};

static struct state *s;
static const struct variant *v;

/* False: the time was up first. */
static bool
sleep_on(struct cx_waiter *w, int how)
{
    enum cx_status status = CX_OK;
    while (cx_waiter_state(w) == CX_WAITING && status != CX_TIMEOUT) {
        status = cx_park(&w->commit, CX_WAITING, how & TIMED ? 1 : CX_FOREVER);
    }
    return !cx_waiter_decide(w, CX_TIMED_OUT);
}

/* False: refused, or gave up. */
static bool
submit(uintptr_t task, int how)
{
    struct cx_waiter *w = cx_waiter_borrow();
    enum cx_status status;
    ledger_put(&s->ledger, task);
    do {
        struct cx_pool_call call = CX_POOL_CALL_INIT;
        cx_waiter_arm(w);
        status = cx_pool_submit(&s->p, (void *)task, &w->node, &call);
        deliver(&call.wakes);
        s->starts += call.start;
        if (status == CX_WAIT && !sleep_on(w, how)) {
            cx_pool_leave(&s->p, &w->node);
            status = CX_TIMEOUT;
        }
        else if (status == CX_WAIT && how & QUITS && mc_choose(2) == 1) {
            struct cx_wakes wakes = CX_WAKES_INIT;
            CX_UNLESS_BUG(POOL_NO_PASS_ON, cx_pool_pass_on(&s->p, &wakes));
            deliver(&wakes);
            status = CX_TIMEOUT;
        }
    } while (status == CX_WAIT);
    cx_waiter_return(w);
    if (status != CX_OK) {
        ledger_unput(&s->ledger, task);
    }
    return status == CX_OK;
}

static void
submit_children(struct cx_pool_slot *slot)
{
    for (int i = v->children; i > 0; i--) {
        struct cx_pool_call call = CX_POOL_CALL_INIT;
        uintptr_t task = (uintptr_t)(s->last - i + 1);
        ledger_put(&s->ledger, task);
        enum cx_status status = cx_pool_submit_inside(&s->p, slot, (void *)task, &call);
        deliver(&call.wakes);
        s->starts += call.start;
        if (status != CX_OK) {
            ledger_unput(&s->ledger, task);
        }
    }
}

static void
run(uintptr_t task, struct cx_pool_slot *slot, int how)
{
    ledger_got(&s->ledger, task);
    if (task == 1) {
        submit_children(slot);
    }
    if ((how & HOLDS && task == 1) || (how & STAYS && (int)task <= s->last - v->children)) {
        mc_await(&s->last_ran, 1);
    }
    if ((int)task == s->last) {
        cx_store_release(&s->last_ran, 1);
    }
}

static void
work(int how)
{
    struct cx_waiter *w = cx_waiter_borrow();
    struct cx_pool_slot *slot = cx_pool_take_slot(&s->p);
    bool woken = false, ends = false;
    while (!ends) {
        struct cx_wakes wakes = CX_WAKES_INIT;
        void *task;
        cx_waiter_arm(w);
        enum cx_status status = cx_pool_next(&s->p, slot, &w->node, woken, &task, &wakes);
        deliver(&wakes);
        woken = false;
        if (status == CX_OK) {
            run((uintptr_t)task, slot, how);
            cx_pool_finishing(&s->p);
        }
        else if (status == CX_CLOSED) {
            ends = true;
        }
        else if (sleep_on(w, how)) {
            woken = true;
        }
        else {
            ends = cx_pool_retire(&s->p, &w->node);
        }
    }
    cx_pool_leave_slot(&s->p, slot);
    cx_waiter_return(w);
}

static void
body(void *arg)
{
    const struct role *role = arg;
    uintptr_t first = 1;
    for (const struct role *other = v->roles; other < role; other++) {
        first += other->todo == SUBMITS ? (uintptr_t)other->arg : 0;
    }
    switch (role->todo) {
    case SUBMITS:
        for (int i = 0; i < role->arg && submit(first + (uintptr_t)i, role->how); i++) {
        }
        break;
    case WORKS:
        work(role->how);
        break;
    case CLOSES: {
        struct cx_wakes wakes = CX_WAKES_INIT;
        while (cx_pool_close(&s->p, &wakes)) {
            deliver(&wakes);
        }
        deliver(&wakes);
        break;
    }
    default:
        break;
    }
}

void
model_pool_setup(void)
{
    static const char *const names[] = {"", "submitter", "worker", "closer"};
    v = &variants[mc_variant()];
    s = calloc(1, sizeof *s);
    cx_pool_init(&s->p, MC_THREADS, v->limit, NULL);
    s->last = v->children;
    mc_name(&s->p.guard, sizeof s->p.guard, "guard");
    mc_name(&s->p.idle, sizeof s->p.idle, "idle");
    mc_name(&s->p.submitters, sizeof s->p.submitters, "submitters");
    for (const struct role *r = v->roles; r->todo != NOTHING; r++) {
        s->last += r->todo == SUBMITS ? r->arg : 0;
        s->p.workers += r->todo == WORKS;
        s->p.available += r->todo == WORKS;
        mc_thread(names[r->todo], body, (void *)(uintptr_t)r);
    }
    if (v->children > 0) {
        s->p.most = s->p.workers; /* full-grown: children go into slots */
        mc_check(cx_pool_give_slots(&s->p, s->p.workers), "no memory", "for slots");
    }
}

static int
left(enum todo todo)
{
    int n = 0;
    for (int i = 0; v->roles[i].todo != NOTHING; i++) {
        n += v->roles[i].todo == todo && !mc_ended(i);
    }
    return n;
}

void
model_pool_finish(bool deadlock)
{
    int workers = left(WORKS), submitters = left(SUBMITS);
    struct cx_pool_stats stats;
    cx_pool_look(&s->p, &stats);
    size_t queued = stats.queued;
    (void)deadlock;
    mc_check(queued == 0 || workers == 0, MC_LOST_WAKEUP, "a worker sleeps beside a task");
    mc_check(queued == 0 || s->starts > 0 || s->p.closed, MC_LOST_WAKEUP,
             "a task is left, and nobody will come");
    mc_check(submitters == 0 || (queued >= s->p.limit && workers == 0), MC_LOST_WAKEUP,
             "a submitter sleeps beside room");
    mc_check(!s->p.closed || workers == 0, MC_LOST_WAKEUP, "a worker sleeps after the end");
    mc_check((int)stats.workers == workers + s->starts, "wrong count", "of workers");
    mc_check((int)cx_waitlist_count(&s->p.idle) == workers, MC_LEFT_IN_LIST, "a worker");
    mc_check(s->p.searching == 0, "wrong count", "of those who search");
    mc_check((int)cx_waitlist_count(&s->p.submitters) == submitters, MC_LEFT_IN_LIST,
             "a submitter");
    mc_check(ledger_left(&s->ledger) - submitters == (int)queued, MC_LOST_ITEM,
             "it was submitted and never ran");
    cx_pool_fini(&s->p);
}

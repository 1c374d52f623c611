// SPDX-License-Identifier: MIT
/* One outcome (core/future.h): who settles, cancels, starts, waits and is told, all at once. */
#include "core/future.h"
#include "core/clock.h"
#include "core/port.h"

#include "models.h"
#include "wakes.h"

enum todo { NOTHING, SETTLES, RUNS, CANCELS, WAITS, TELLS, OBSERVES };

enum how { TIMED = 1 };

struct role {
    enum todo todo;
    int how;
};

static const struct role variants[][MC_THREADS] = {
    [0] = {{RUNS, 0}, {CANCELS, 0}, {WAITS, 0}, {TELLS, 0}},
    [1] = {{SETTLES, 0}, {SETTLES, 0}, {WAITS, TIMED}, {TELLS, 0}},
    [2] = {{RUNS, 0}, {CANCELS, 0}, {OBSERVES, 0}, {TELLS, 0}},
    [3] = {{SETTLES, 0}, {CANCELS, 0}, {WAITS, TIMED}, {WAITS, 0}},
};

struct state {
    struct cx_future f;
    struct cx_told callback, observer;
    int won, heard, seen, values[MC_THREADS];
};

static struct state *s;
static const struct role *roles;

static void
spread(struct cx_news *news)
{
    deliver(&news->wakes);
    s->heard += news->callbacks != NULL;
    s->seen += news->observers != NULL;
}

static void
wait_for_it(int how)
{
    struct cx_waiter *w = cx_waiter_borrow();
    if (cx_future_wait(&s->f, &w->node) == CX_WAIT) {
        enum cx_status status = CX_OK;
        while (cx_waiter_state(w) == CX_WAITING && status != CX_TIMEOUT) {
            status = cx_park(&w->commit, CX_WAITING, how & TIMED ? 1 : CX_FOREVER);
        }
        if (cx_waiter_decide(w, CX_TIMED_OUT)) {
            cx_future_leave(&s->f, &w->node);
            cx_waiter_return(w);
            return;
        }
    }
    mc_check(cx_future_done(&s->f), "woken too early", "it is not done");
    cx_waiter_return(w);
}

static void
body(void *arg)
{
    const struct role *role = arg;
    struct cx_news news = CX_NEWS_INIT;
    enum cx_status status = CX_CLOSED;
    switch (role->todo) {
    case RUNS:
        if (!cx_future_start(&s->f)) {
            /* As a worker does: it was cancelled, which is made known. */
            if (cx_future_notify(&s->f, false, &news) == CX_OK) {
                spread(&news);
            }
            return;
        }
        status = cx_future_settle(&s->f, CX_FINISHED, &s->values[mc_self()], false, &news);
        mc_check(status == CX_OK, "wrong answer", "nobody else may settle what runs");
        break;
    case SETTLES:
        status = cx_future_settle(&s->f, CX_FINISHED, &s->values[mc_self()], false, &news);
        break;
    case CANCELS:
        status = cx_future_cancel(&s->f, false, &news);
        break;
    case WAITS:
        wait_for_it(role->how);
        return;
    case TELLS:
        s->heard += !cx_future_tell(&s->f, &s->callback, false);
        return;
    case OBSERVES:
        s->seen += !cx_future_tell(&s->f, &s->observer, true);
        return;
    default:
        return;
    }
    if (status == CX_OK) {
        s->won++;
        spread(&news);
    }
}

void
model_future_setup(void)
{
    static const char *const names[] = {"",       "settler", "runner",  "canceller",
                                        "waiter", "teller",  "observer"};
    roles = variants[mc_variant()];
    s = calloc(1, sizeof *s);
    cx_future_init(&s->f);
    mc_name(&s->f.state, sizeof s->f.state, "state");
    mc_name(&s->f.guard, sizeof s->f.guard, "guard");
    for (const struct role *r = roles; r->todo != NOTHING; r++) {
        mc_thread(names[r->todo], body, (void *)(uintptr_t)r);
    }
}

static bool
has(enum todo todo)
{
    for (const struct role *r = roles; r->todo != NOTHING; r++) {
        if (r->todo == todo) {
            return true;
        }
    }
    return false;
}

void
model_future_finish(bool deadlock)
{
    mc_check(!deadlock, MC_LOST_WAKEUP, "somebody waits for what is done");
    mc_check(cx_future_done(&s->f), "wrong state", "nothing came of it");
    mc_check(s->won == 1, "wrong count", "of those who decided");
    mc_check(!has(TELLS) || s->heard == 1, s->heard == 0 ? MC_LOST_ITEM : MC_DUPLICATED,
             "the callback");
    mc_check(!has(OBSERVES) || s->seen == 1, s->seen == 0 ? MC_LOST_ITEM : MC_DUPLICATED,
             "the observer");
    mc_check(cx_waitlist_count(&s->f.waiters) == 0, MC_LEFT_IN_LIST, "a waiter");
}

// SPDX-License-Identifier: MIT
/* A thread in result() looks for a moment whether its worker is done: then nobody has to be woken.
 *
 * It takes completions and nothing else.  The manager's bell, its deadlines and the deaths of workers
 * stay the manager's; while somebody looks, a worker only omits to wake it for a result, and whoever
 * has looked says so before it looks once more (cx_lane_unwatch). */
#include "binding/block.h"

#include "binding/procresult.h"
#include "core/clock.h"

#define LOOK (CX_SECOND / 10000) /* as long as two wakes of a sleeping processor take */
#define MOST_LUCK 8
#define RARELY 16

/* Whether the future is told to nobody but those who wait: a callback is the manager's to make. */
static bool
is_plain(FutureObject *f)
{
    cx_guard_take(&f->core.guard);
    bool plain = f->core.callbacks == NULL && f->core.observers == NULL;
    cx_guard_release(&f->core.guard);
    return plain;
}

/* Whether it was worth it lately; if it was not, sometimes. */
static bool
feels_lucky(ProcHubObject *hub)
{
    return hub->luck > 0 || hub->passes++ % RARELY == 0;
}

/* The link to look at, with a reference; NULL: wait as for any other future. */
static WorkLinkObject *
begin(ProcHubObject *hub, FutureObject *f, uint64_t *id, uint32_t *at)
{
    WorkLinkObject *link = NULL;
    cx_guard_take(&hub->guard);
    struct cxb_job *job = f->job;
    if (job != NULL && job->link != NULL && job->link->inflight == 1 && !job->link->taking &&
        !job->link->damaged && !hub->looked_at && hub->backlog.first == NULL && is_plain(f) &&
        feels_lucky(hub) && !cx_worklink_is_here(&job->link->link, true)) {
        link = (WorkLinkObject *)Py_NewRef((PyObject *)job->link);
        hub->looked_at = true;
        *id = job->id;
        *at = link->link.results.at;
    }
    cx_guard_release(&hub->guard);
    return link;
}

static bool
look(FutureObject *f, struct cx_lane *lane, uint32_t at)
{
    int64_t until = cx_now() + LOOK;
    bool waits = false;
    cx_lane_watch(lane);
    do {
        for (int i = 0; i < 16 && !waits; i++) {
            waits = cx_load_acquire(&lane->shared->published) != at;
            cx_pause();
        }
    } while (!waits && !cx_future_done(&f->core) && cx_now() < until);
    return cx_lane_unwatch(lane, at) || waits;
}

/* What follows from a result that was taken here; the manager hears of the rest. */
static void
finish(ProcHubObject *hub, WorkLinkObject *link, PyObject *events)
{
    struct cxb_errands errands = CXB_ERRANDS_INIT;
    cx_guard_take(&hub->guard);
    bool left = cxb_link_release(link);
    cxb_hub_dispatch(hub, &errands);
    cxb_hub_balance(hub, &errands);
    bool over = cx_load_relaxed(&hub->closed) != 0 && hub->pending == 0;
    cx_guard_release(&hub->guard);
    cxb_hub_run_errands(hub, &errands);
    if (PyList_GET_SIZE(events) > 0) {
        cxb_hub_tell(hub, events);
    }
    else if (over) {
        cxb_hub_wake(hub);
    }
    else if (left) {
        cxb_hub_kick(hub);
    }
}

/* Takes the result, if it is the one that is waited for. */
static void
take(ProcHubObject *hub, WorkLinkObject *link, FutureObject *f, uint64_t id)
{
    PyObject *aside = cxb_error_set_aside();
    PyObject *events = PyList_New(0);
    bool mine = false;
    PyErr_Clear(); /* without memory for a list the manager does it */
    if (events != NULL) {
        cx_guard_take(&hub->guard);
        mine = !link->damaged && is_plain(f) && cxb_link_claim(link);
        cx_guard_release(&hub->guard);
    }
    if (!mine) {
        cxb_hub_kick(hub);
    }
    else {
        if (cxb_result_is_of(link, id) && cxb_link_take(hub, link, events) < 0) {
            PyErr_WriteUnraisable((PyObject *)hub);
        }
        finish(hub, link, events);
    }
    Py_XDECREF(events);
    cxb_error_put_back(aside);
}

void
cxb_job_look(FutureObject *f)
{
    ProcHubObject *hub = (ProcHubObject *)f->pool;
    uint64_t id;
    uint32_t at;
    bool found;
    WorkLinkObject *link = hub->generation != cx_fork_generation() ? NULL : begin(hub, f, &id, &at);
    if (link == NULL) {
        return;
    }
    Py_BEGIN_ALLOW_THREADS
    found = look(f, &link->link.results, at);
    Py_END_ALLOW_THREADS
    cx_guard_take(&hub->guard);
    hub->looked_at = false;
    bool lucky = found || cx_future_done(&f->core);
    hub->luck = !lucky ? hub->luck / 2 : hub->luck < MOST_LUCK ? hub->luck + 1 : MOST_LUCK;
    cx_guard_release(&hub->guard);
    if (found) {
        take(hub, link, f, id);
    }
    Py_DECREF((PyObject *)link);
}

// SPDX-License-Identifier: MIT
/* A thread that waits for the only task of a worker takes the result itself: one wake less. */
#include "binding/block.h"

#include <sched.h>

#include "binding/prochub.h"
#include "core/clock.h"

#define LOOK 15000 /* ns that it looks before it sleeps: a wake costs more */

/* The link to watch, with a reference; NULL: wait as for any other future. */
static WorkLinkObject *
begin(ProcHubObject *hub, FutureObject *f)
{
    WorkLinkObject *link = NULL;
    cx_guard_take(&hub->guard);
    struct cxb_job *job = f->job;
    if (job != NULL && job->link != NULL && job->link->inflight == 1 && !job->link->watched &&
        !job->link->ended && !job->link->damaged && !job->link->holds &&
        hub->backlog.first == NULL) {
        link = job->link;
        link->watched = true;
        Py_INCREF((PyObject *)link);
    }
    cx_guard_release(&hub->guard);
    return link;
}

static void
end(ProcHubObject *hub, WorkLinkObject *link)
{
    uint32_t *bell = &link->link.shared->results.bell;
    cx_guard_take(&hub->guard);
    link->watched = false;
    cx_guard_release(&hub->guard);
    (void)cx_xchg_acq_rel(bell, CXB_BELL_POLL); /* the manager sleeps, as far as is known */
    cx_fence_seq_cst();                         /* see cx_shmbell_set */
    /* Others may wait behind a busy worker, and this one may have nothing to do now. */
    if (hub->pending > 0 || cx_lane_waits(&link->link.results) || link->holds || link->ended ||
        cx_load_acquire(&hub->closed) != 0) {
        cxb_hub_wake(hub);
    }
    Py_DECREF((PyObject *)link);
}

/* Looks for a moment, then sleeps; without the interpreter. */
static void
wait_for_result(struct cx_lane *lane, int64_t deadline)
{
    uint32_t *bell = &lane->shared->bell;
    int64_t now = cx_now(), look = now + LOOK;
    (void)cx_xchg_acq_rel(bell, CXB_BELL_LOOK);
    while (now < look && !cx_lane_waits(lane)) {
        for (int i = 0; i < 20; i++) {
            cx_pause();
        }
        now = cx_now();
    }
    if (cx_lane_waits(lane)) {
        return;
    }
    (void)cx_xchg_acq_rel(bell, CXB_BELL_PARK);
    cx_fence_seq_cst(); /* see cx_shmbell_set */
    if (!cx_lane_waits(lane)) {
        int64_t until = now + CX_SHM_LOOK;
        (void)cx_park_shared(bell, CXB_BELL_PARK, until < deadline ? until : deadline);
    }
}

int
cxb_job_watch(FutureObject *f, int64_t deadline)
{
    ProcHubObject *hub = (ProcHubObject *)f->pool;
    WorkLinkObject *link = hub->generation != cx_fork_generation() ? NULL : begin(hub, f);
    int failed = 0;
    if (link == NULL) {
        return 0;
    }
    while (cxb_future_has_job(f) && !cx_load_relaxed(&link->ended) && failed == 0 &&
           cx_now() < deadline) {
        Py_BEGIN_ALLOW_THREADS
        wait_for_result(&link->link.results, deadline);
        Py_END_ALLOW_THREADS
        if (PyErr_CheckSignals() < 0) {
            failed = -1;
        }
        else if (cxb_link_drain(hub, link, NULL) < 0) {
            PyErr_WriteUnraisable((PyObject *)hub);
        }
        else {
            failed = PyErr_Occurred() ? -1 : 0;
            if (link->holds || link->damaged) {
                break;
            }
        }
    }
    end(hub, link);
    return failed;
}

void
cxb_link_unwatch(ProcHubObject *hub, WorkLinkObject *link)
{
    for (;;) {
        cx_guard_take(&hub->guard);
        cx_store_relaxed(&link->ended, true);
        bool watched = link->watched;
        cx_guard_release(&hub->guard);
        if (!watched) {
            return;
        }
        Py_BEGIN_ALLOW_THREADS(void)
        cx_unpark_shared(&link->link.shared->results.bell, 1);
        (void)sched_yield();
        Py_END_ALLOW_THREADS
    }
}

// SPDX-License-Identifier: MIT
#include "binding/procpieces.h"

#include <unistd.h>

#include "binding/block.h"
#include "core/clock.h"

#define AT(number) ((number) & (CX_LANE_SLOTS - 1))
#define LOOK_FOR_OWNER (CX_SECOND / 2)

/* --- tasks: the pool -------------------------------------------------------------------------- */

static void
ring_worker(WorkLinkObject *link)
{
    if (cx_lane_answers(&link->link.tasks)) {
        (void)cx_unpark_shared(&link->link.tasks.shared->bell, 1);
    }
}

int
cxb_link_want(ProcHubObject *hub, WorkLinkObject *link, uint64_t id)
{
    cx_guard_take(&hub->guard);
    struct cxb_job *job = cxb_link_oldest(link);
    bool right = job != NULL && job->id == id && job->bulk != NULL && link->large == NULL &&
                 cxb_job_is_taken(job, &job->begun);
    if (right) {
        (void)!cx_future_start(&job->future->core);
        /* Its pieces will come by the place of its slot. */
        link->jobs[AT(job->number)] = NULL;
        cx_store_relaxed(&link->large, job);
        cxb_bulk_begin(job->bulk, CXB_TASK_PIECE, id);
        cxb_link_revoke(hub, link, UINT32_MAX);
    }
    cx_guard_release(&hub->guard);
    if (right) {
        ring_worker(link); /* it passes what was taken back */
    }
    return !right;
}

bool
cxb_link_can_pour(WorkLinkObject *link)
{
    return cxb_link_pours(link) && !link->damaged &&
           cx_pieces_fit(&link->large->bulk->pieces, &link->link.tasks);
}

/* One piece: whether there was one to put. */
static bool
pour(ProcHubObject *hub, WorkLinkObject *link)
{
    enum cx_status status = CX_FULL;
    cx_guard_take(&hub->guard);
    if (cxb_link_pours(link) && !link->damaged) {
        status = cx_pieces_put(&link->large->bulk->pieces, &link->link.tasks);
        if (status != CX_OK && status != CX_FULL) {
            cx_store_relaxed(&link->damaged, true); /* the next look at its results tells */
            cx_store_relaxed(&link->active, false);
        }
    }
    cx_guard_release(&hub->guard);
    if (status == CX_OK) {
        ring_worker(link);
    }
    return status != CX_FULL;
}

Py_ssize_t
cxb_hub_pour(ProcHubObject *hub)
{
    Py_ssize_t n = 0;
    for (Py_ssize_t i = 0; i < hub->seen_count; i++) {
        WorkLinkObject *link = hub->seen[i];
        for (int k = 0; k < CX_PIECES && cx_load_relaxed(&link->large) != NULL && pour(hub, link);
             k++) {
            n++;
        }
    }
    return n;
}

/* --- results: the pool ------------------------------------------------------------------------ */

int
cxb_link_expect(WorkLinkObject *link, const struct cx_lane_message *m)
{
    struct cxb_arrival *arrival = link->arriving != NULL || m->flags >> CXB_BULK == 0
                                      ? NULL
                                      : PyMem_RawCalloc(1, sizeof *arrival);
    if (arrival == NULL) {
        return 1;
    }
    link->arriving = arrival;
    if (cxb_arrival_begin(arrival, link->tag, m, CXB_RESULT_PIECE) < 0) {
        arrival->error = cxb_error_set_aside();
    }
    return 0;
}

int
cxb_link_arrive(WorkLinkObject *link, const struct cx_lane_message *m)
{
    if (link->arriving == NULL || cxb_arrival_get(link->arriving, m) != CX_OK) {
        return 1;
    }
    return cx_pieces_done(&link->arriving->pieces) ? 2 : 0;
}

PyObject *
cxb_link_arrived(WorkLinkObject *link)
{
    struct cxb_arrival *arrival = link->arriving;
    PyObject *object = NULL;
    link->arriving = NULL;
    if (arrival->error != NULL) {
        cxb_error_put_back(Py_NewRef(arrival->error));
    }
    else {
        object = cxb_arrival_load(arrival, link->tag, NULL);
    }
    cxb_arrival_clear(arrival);
    PyMem_RawFree(arrival);
    return object;
}

/* --- tasks: the worker ------------------------------------------------------------------------ */

/* There may be room. */
static void
tell_manager(struct cx_worklink *link, int eventfd)
{
    uint64_t one = 1;
    if (cx_lane_answers(&link->results)) {
        (void)!write(eventfd, &one, sizeof one);
    }
}

/* Sleeps until there is a piece, and takes it. */
static enum cx_status
await_piece(struct cxb_arrival *arrival, struct cx_worklink *link, int eventfd,
            struct cx_lane_message *m)
{
    int64_t looked = cx_now();
    for (;;) {
        uint32_t *bell = &link->tasks.shared->bell;
        cx_shmbell_set(bell);
        enum cx_status status = cx_pieces_take(&link->tasks, arrival->pieces.kind, m);
        tell_manager(link, eventfd); /* of what was passed, too */
        bool stops = cx_load_acquire(&link->shared->stop) != 0;
        if (status != CX_EMPTY || stops) {
            cx_store_relaxed(bell, 0);
            return status != CX_EMPTY ? status : CX_CLOSED;
        }
        if (cxb_wait_shared(bell, 1, CX_FOREVER) == CXB_ERROR) {
            return CX_INTR;
        }
        if (cx_now() - looked >= LOOK_FOR_OWNER) {
            looked = cx_now();
            if (!cx_owner_alive(link->shared->owner)) {
                return CX_CLOSED;
            }
        }
    }
}

enum cx_status
cxb_arrival_wait(struct cxb_arrival *arrival, struct cx_worklink *link, int eventfd)
{
    while (!cx_pieces_done(&arrival->pieces)) {
        struct cx_lane_message m;
        enum cx_status status = cx_pieces_take(&link->tasks, arrival->pieces.kind, &m);
        if (status == CX_EMPTY) {
            status = await_piece(arrival, link, eventfd, &m);
        }
        if (status == CX_OK) {
            status = cxb_arrival_get(arrival, &m);
        }
        if (status == CX_OK || status == CX_OSERROR) {
            cx_lane_pass(&link->tasks);
            tell_manager(link, eventfd);
        }
        if (status != CX_OK) {
            return status;
        }
    }
    return CX_OK;
}

// SPDX-License-Identifier: MIT
#include "binding/procpieces.h"

#include <errno.h>
#include <unistd.h>

#include "binding/errors.h"

#define AT(number) ((number) & (CX_LANE_SLOTS - 1))

/* --- jobs ------------------------------------------------------------------------------------- */

int
cxb_job_load(struct cxb_job *job, PyObject *payload)
{
    PyObject *data = payload, *letter = NULL, *buffers = NULL;
    struct cxb_bulk *bulk = NULL;
    Py_buffer view;
    if ((PyTuple_CheckExact(payload) &&
         !PyArg_ParseTuple(payload, "OO|O", &data, &letter, &buffers)) ||
        (buffers != NULL && (bulk = cxb_bulk_new(buffers)) == NULL)) {
        return -1;
    }
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        cxb_bulk_free(bulk);
        return -1;
    }
    if (job->payload.obj != NULL) {
        PyBuffer_Release(&job->payload);
    }
    cxb_bulk_free(job->bulk);
    job->payload = view;
    job->bulk = bulk;
    Py_XSETREF(job->letter, Py_XNewRef(letter));
    return 0;
}

struct cxb_job *
cxb_job_new(FutureObject *f, PyObject *fn, PyObject *payload, uint32_t kind)
{
    struct cxb_job *job = PyMem_RawCalloc(1, sizeof *job);
    if (job == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    if (cxb_job_load(job, payload) < 0) {
        PyMem_RawFree(job);
        return NULL;
    }
    job->future = (FutureObject *)Py_NewRef((PyObject *)f);
    job->fn = Py_NewRef(fn);
    job->kind = kind;
    return job;
}

void
cxb_job_free(struct cxb_job *job)
{
    PyBuffer_Release(&job->payload);
    cxb_bulk_free(job->bulk);
    Py_XDECREF(job->letter);
    Py_DECREF(job->fn);
    Py_DECREF((PyObject *)job->future);
    PyMem_RawFree(job);
}

static void
append(struct cxb_jobs *jobs, struct cxb_job *job)
{
    job->next = NULL;
    job->prev = jobs->last;
    *(jobs->last != NULL ? &jobs->last->next : &jobs->first) = job;
    jobs->last = job;
}

static void
prepend(struct cxb_jobs *jobs, struct cxb_job *job)
{
    job->prev = NULL;
    job->next = jobs->first;
    *(jobs->first != NULL ? &jobs->first->prev : &jobs->last) = job;
    jobs->first = job;
}

static void
unlink_job(struct cxb_jobs *jobs, struct cxb_job *job)
{
    *(job->prev != NULL ? &job->prev->next : &jobs->first) = job->next;
    *(job->next != NULL ? &job->next->prev : &jobs->last) = job->prev;
}

/* --- into slots and back ---------------------------------------------------------------------- */

struct cxb_job *
cxb_link_oldest(WorkLinkObject *link)
{
    if (CX_UNLIKELY(link->large != NULL)) {
        return link->large;
    }
    for (; link->first != link->link.tasks.at; link->first++) {
        struct cxb_job *job = link->jobs[AT(link->first)];
        if (job != NULL && job->number == link->first) {
            return job;
        }
    }
    return NULL;
}

bool
cxb_job_is_taken(const struct cxb_job *job, int64_t *begun)
{
    if (job->link->large == job) {
        *begun = job->begun;
        return true;
    }
    return cx_lane_claim(&job->link->link.tasks, job->number, begun) == CX_CLAIM_TAKEN;
}

/* Whether the worker will not begin it any more. */
static bool
take_back(struct cxb_job *job)
{
    return job->link->large != job && cx_lane_revoke(&job->link->link.tasks, job->number);
}

static void
take_out(WorkLinkObject *link, struct cxb_job *job)
{
    if (CX_UNLIKELY(link->large == job)) {
        cx_store_relaxed(&link->large, NULL);
    }
    else {
        link->jobs[AT(job->number)] = NULL;
    }
    link->inflight--;
    job->link = NULL;
}

void
cxb_hub_detach(ProcHubObject *hub, struct cxb_job *job)
{
    if (job->link != NULL) {
        take_out(job->link, job);
    }
    else {
        unlink_job(&hub->backlog, job);
    }
    cx_store_relaxed(&job->future->job, NULL);
    hub->pending--;
}

void
cxb_hub_requeue(ProcHubObject *hub, struct cxb_job *job)
{
    hub->pending++;
    cx_store_relaxed(&job->future->job, job);
    prepend(&hub->backlog, job);
}

bool
cxb_hub_is_done(ProcHubObject *hub)
{
    cx_guard_take(&hub->guard);
    bool done = hub->pending == 0;
    cx_guard_release(&hub->guard);
    return done;
}

/* The one with the least to do. */
static WorkLinkObject *
choose(ProcHubObject *hub)
{
    WorkLinkObject *best = NULL;
    for (Py_ssize_t i = 0; i < hub->count; i++) {
        WorkLinkObject *link = hub->links[i];
        if (link->active && !link->full && link->budget != 0 && !cxb_link_pours(link) &&
            (best == NULL || link->inflight < best->inflight)) {
            best = link;
        }
    }
    return best;
}

static enum cx_status
put(WorkLinkObject *link, struct cxb_job *job)
{
    struct cx_lane *lane = &link->link.tasks;
    struct cx_lane_message m = {.data = job->payload.buf,
                                .length = (uint64_t)job->payload.len,
                                .id = job->id,
                                .kind = job->kind,
                                .flags = (job->timeout != 0 ? CXB_TASK_TIMED : 0) |
                                         (job->letter != NULL ? CXB_PARCEL : 0) |
                                         (job->kept ? CXB_TASK_KEPT : 0)};
    if (CX_UNLIKELY(job->bulk != NULL)) {
        m.flags |= CXB_PIECES | job->bulk->size << CXB_BULK;
    }
    if (link->jobs[AT(lane->at)] != NULL) {
        return CX_FULL; /* done, but its result was not taken yet */
    }
    enum cx_status status = cx_lane_put(lane, &m, &job->number);
    if (status == CX_OK) {
        cx_worklink_note(&link->link, true);
        link->jobs[AT(job->number)] = job;
        link->inflight++;
        cx_store_relaxed(&link->budget, link->budget - (link->budget > 0));
        job->link = link;
    }
    return status;
}

void
cxb_hub_dispatch(ProcHubObject *hub, struct cxb_errands *errands)
{
    WorkLinkObject *link;
    struct cxb_job *job;
    for (Py_ssize_t i = 0; i < hub->count; i++) {
        hub->links[i]->full = false;
    }
    while ((job = hub->backlog.first) != NULL && (link = choose(hub)) != NULL) {
        enum cx_status status = put(link, job);
        if (status == CX_OK) {
            unlink_job(&hub->backlog, job);
            if (cx_lane_answers(&link->link.tasks)) {
                uint32_t *bell = &link->link.tasks.shared->bell;
                if (errands->count < (int)Py_ARRAY_LENGTH(errands->bells)) {
                    errands->bells[errands->count++] = bell;
                }
                else {
                    (void)cx_unpark_shared(bell, 1);
                }
            }
        }
        else if (status == CX_FULL) {
            link->full = true;
        }
        else if (status == CX_DAMAGED) {
            cx_store_relaxed(&link->damaged, true);
            cx_store_relaxed(&link->active, false);
            errands->wake = true;
        }
        else {
            job->error = status == CX_TOO_BIG ? EMSGSIZE : link->link.tasks.area.error;
            cxb_hub_detach(hub, job);
            job->next = errands->failed;
            errands->failed = job;
        }
    }
}

void
cxb_link_revoke(ProcHubObject *hub, WorkLinkObject *link, uint32_t most)
{
    for (uint32_t n = link->link.tasks.at; n != link->first && most > 0; n--) {
        struct cxb_job *job = link->jobs[AT(n - 1)];
        if (job == NULL || job->number != n - 1) {
            continue;
        }
        if (!cx_lane_revoke(&link->link.tasks, n - 1)) {
            return; /* it was begun, and so were all before it */
        }
        take_out(link, job);
        cx_store_relaxed(&link->budget, link->budget + (link->budget >= 0));
        prepend(&hub->backlog, job);
        most--;
    }
}

struct cxb_job *
cxb_link_lost(ProcHubObject *hub, WorkLinkObject *link, bool retry)
{
    struct cxb_job *lost = NULL, *job;
    while ((job = cxb_link_oldest(link)) != NULL) {
        (void)!cx_future_start(&job->future->core);
        if (retry && job->retries > 0 && !job->expired) {
            job->retries--;
            take_out(link, job);
            prepend(&hub->backlog, job);
        }
        else {
            cxb_hub_detach(hub, job);
            job->next = lost;
            lost = job;
        }
    }
    return lost;
}

void
cxb_hub_balance(ProcHubObject *hub, struct cxb_errands *errands)
{
    for (Py_ssize_t rounds = 0; rounds < hub->count; rounds++) {
        WorkLinkObject *dry = NULL, *busy = NULL;
        for (Py_ssize_t i = 0; i < hub->count; i++) {
            WorkLinkObject *link = hub->links[i];
            if (link->active && link->inflight == 0 && link->budget != 0) {
                dry = link;
            }
            if (busy == NULL || link->inflight > busy->inflight) {
                busy = link;
            }
        }
        if (hub->backlog.first != NULL || dry == NULL || busy->inflight < 2) {
            return;
        }
        cxb_link_revoke(hub, busy, busy->inflight / 2);
        if (hub->backlog.first == NULL) {
            return;
        }
        cxb_hub_dispatch(hub, errands);
    }
}

void
cxb_hub_run_errands(ProcHubObject *hub, struct cxb_errands *errands)
{
    for (int i = 0; i < errands->count; i++) {
        (void)cx_unpark_shared(errands->bells[i], 1);
    }
    if (errands->wake) {
        cxb_hub_wake(hub);
    }
    while (errands->failed != NULL) {
        struct cxb_job *job = errands->failed;
        PyObject *aside = cxb_error_set_aside();
        errands->failed = job->next;
        cxb_raise_errno(job->error);
        if (cxb_future_fail(job->future) == CX_INTR) {
            PyErr_WriteUnraisable((PyObject *)hub);
        }
        cxb_job_free(job);
        cxb_error_put_back(aside);
    }
}

int
cxb_hub_submit(ProcHubObject *hub, struct cxb_job *job)
{
    struct cxb_errands errands = CXB_ERRANDS_INIT;
    cx_guard_take(&hub->guard);
    bool closed = cx_load_relaxed(&hub->closed) != 0, deserted = false;
    if (!closed) {
        job->id = ++hub->next_id;
        hub->pending++;
        hub->submitted++;
        cx_store_relaxed(&job->future->job, job);
        append(&hub->backlog, job);
        cxb_hub_dispatch(hub, &errands);
        deserted = hub->backlog.first != NULL;
        for (Py_ssize_t i = 0; i < hub->count && deserted; i++) {
            deserted = !hub->links[i]->active;
        }
    }
    cx_guard_release(&hub->guard);
    cxb_hub_run_errands(hub, &errands);
    return closed ? -1 : deserted;
}

void
cxb_hub_kick(ProcHubObject *hub)
{
    uint64_t one = 1;
    if (hub->generation == cx_fork_generation()) {
        (void)!write(hub->eventfd, &one, sizeof one);
    }
}

void
cxb_hub_wake(ProcHubObject *hub)
{
    if (hub->generation == cx_fork_generation()) {
        cx_store_release(&hub->woken, 1);
        cxb_hub_kick(hub);
    }
}

/* --- what a future asks ------------------------------------------------------------------------- */

bool
cxb_job_begun(FutureObject *f)
{
    ProcHubObject *hub = (ProcHubObject *)f->pool;
    bool begun = false;
    int64_t since;
    if (hub->generation != cx_fork_generation()) {
        return false;
    }
    cx_guard_take(&hub->guard);
    struct cxb_job *job = f->job;
    if (job != NULL && job->link != NULL) {
        begun = cxb_job_is_taken(job, &since);
    }
    cx_guard_release(&hub->guard);
    if (begun) {
        (void)!cx_future_start(&f->core);
    }
    return begun;
}

bool
cxb_job_withdraw(FutureObject *f)
{
    ProcHubObject *hub = (ProcHubObject *)f->pool;
    if (hub->generation != cx_fork_generation()) {
        return true;
    }
    cx_guard_take(&hub->guard);
    struct cxb_job *job = f->job;
    /* A task that is tried again was begun, wherever it waits now. */
    bool back = job == NULL ||
                (cx_future_state(&f->core) != CX_RUNNING && (job->link == NULL || take_back(job)));
    if (back && job != NULL) {
        WorkLinkObject *link = job->link;
        if (link != NULL) {
            cx_store_relaxed(&link->budget, link->budget + (link->budget >= 0));
        }
        cxb_hub_detach(hub, job);
    }
    bool wake = cx_load_relaxed(&hub->closed) != 0 && hub->pending == 0;
    cx_guard_release(&hub->guard);
    if (!back) {
        (void)!cx_future_start(&f->core);
        return false;
    }
    if (job != NULL) {
        cxb_job_free(job);
    }
    if (wake) {
        cxb_hub_wake(hub);
    }
    return true;
}

/* --- methods ---------------------------------------------------------------------------------- */

static struct cxb_job *
any_job(ProcHubObject *hub)
{
    if (hub->backlog.first != NULL) {
        return hub->backlog.first;
    }
    for (Py_ssize_t i = 0; i < hub->count; i++) {
        struct cxb_job *job = cxb_link_oldest(hub->links[i]);
        if (job != NULL) {
            return job;
        }
    }
    return NULL;
}

/* take_all(): the futures of all jobs, which are gone then. */
static PyObject *
hub_take_all(ProcHubObject *hub, PyObject *unused)
{
    PyObject *futures = PyList_New(0);
    (void)unused;
    while (futures != NULL) {
        cx_guard_take(&hub->guard);
        struct cxb_job *job = any_job(hub);
        if (job != NULL) {
            /* No worker begins it any more, and nobody cancels what was begun. */
            if (job->link != NULL && !take_back(job)) {
                (void)!cx_future_start(&job->future->core);
            }
            cxb_hub_detach(hub, job);
        }
        cx_guard_release(&hub->guard);
        if (job == NULL) {
            break;
        }
        int failed = PyList_Append(futures, (PyObject *)job->future);
        cxb_job_free(job);
        if (failed < 0) {
            Py_CLEAR(futures);
        }
    }
    return futures;
}

/* queued(): the futures of the jobs that were not begun.  The first one of each worker counts as begun: it
 * takes that at this moment, or as soon as it has started. */
static PyObject *
hub_queued(ProcHubObject *hub, PyObject *unused)
{
    (void)unused;
    PyObject *futures = PyList_New(0);
    struct cxb_job **found = NULL;
    Py_ssize_t n = 0, room = 0;
    if (hub->generation != cx_fork_generation()) {
        return futures; /* the guard may have been somebody's at the fork */
    }
    cx_guard_take(&hub->guard);
    room = (Py_ssize_t)hub->pending;
    found = PyMem_RawMalloc(sizeof(*found) * (size_t)(room + 1));
    for (Py_ssize_t i = 0; found != NULL && i < hub->count; i++) {
        WorkLinkObject *link = hub->links[i];
        struct cxb_job *oldest = cxb_link_oldest(link);
        for (uint32_t k = link->first; k != link->link.tasks.at && n < room; k++) {
            struct cxb_job *job = link->jobs[AT(k)];
            if (job != NULL && job != oldest && job->number == k &&
                cx_lane_claim(&link->link.tasks, job->number, NULL) == CX_CLAIM_READY) {
                found[n++] = job;
            }
        }
    }
    for (struct cxb_job *job = hub->backlog.first; found != NULL && job != NULL && n < room;
         job = job->next) {
        found[n++] = job;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        Py_INCREF((PyObject *)found[i]->future);
        found[i] = (struct cxb_job *)(void *)found[i]->future;
    }
    cx_guard_release(&hub->guard);
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *future = (PyObject *)(void *)found[i];
        if (futures != NULL && PyList_Append(futures, future) < 0) {
            Py_CLEAR(futures);
        }
        Py_DECREF(future);
    }
    if (found == NULL) {
        Py_CLEAR(futures);
        return PyErr_NoMemory();
    }
    PyMem_RawFree(found);
    return futures;
}

/* counts(): submitted, begun or queued, completed, failed, in the backlog and READY. */
static PyObject *
hub_counts(ProcHubObject *hub, PyObject *unused)
{
    (void)unused;
    uint64_t running = 0;
    int64_t since;
    bool ours = hub->generation == cx_fork_generation(); /* else the guard may be somebody's */
    if (ours) {
        cx_guard_take(&hub->guard);
    }
    for (Py_ssize_t i = 0; i < hub->count; i++) {
        struct cxb_job *job = cxb_link_oldest(hub->links[i]);
        running += job != NULL && cxb_job_is_taken(job, &since);
    }
    uint64_t submitted = hub->submitted, queued = hub->pending - running;
    if (ours) {
        cx_guard_release(&hub->guard);
    }
    return Py_BuildValue("KKKKK", (unsigned long long)submitted, (unsigned long long)running,
                         (unsigned long long)queued,
                         (unsigned long long)cx_load_relaxed(&hub->completed),
                         (unsigned long long)cx_load_relaxed(&hub->failed));
}

PyMethodDef cxb_hub_job_methods[] = {
    {"counts", (PyCFunction)hub_counts, METH_NOARGS,
     PyDoc_STR("counts($self)\n--\n\nJobs submitted, running, queued, completed, failed.")},
    {"take_all", (PyCFunction)hub_take_all, METH_NOARGS,
     PyDoc_STR("take_all($self)\n--\n\nGive up all jobs; the list of their futures.")},
    {"queued", (PyCFunction)hub_queued, METH_NOARGS,
     PyDoc_STR("queued($self)\n--\n\nThe futures of the jobs that were not begun.")},
    {NULL, NULL, 0, NULL},
};

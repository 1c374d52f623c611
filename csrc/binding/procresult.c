// SPDX-License-Identifier: MIT
/* What comes back from the workers. */
#include "binding/procresult.h"

#include <unistd.h>

#include "binding/errors.h"
#include "binding/payload.h"
#include "binding/procpieces.h"

#define AT_ONCE 256 /* results of one link, before the others' turn */

int
cxb_hub_event(PyObject *events, const char *what, WorkLinkObject *link, PyObject *detail)
{
    PyObject *event = detail == NULL ? NULL : Py_BuildValue("sOO", what, link->tag, detail);
    int failed = event == NULL ? -1 : PyList_Append(events, event);
    Py_XDECREF(event);
    Py_XDECREF(detail);
    return failed;
}

/* The job whose result this must be, taken out; NULL if it is not. */
static struct cxb_job *
finished(ProcHubObject *hub, WorkLinkObject *link, uint64_t id)
{
    cx_guard_take(&hub->guard);
    struct cxb_job *job = cxb_link_oldest(link);
    if (job != NULL && job->id == id) {
        /* Nobody cancels what was run, though its result is still to be read. */
        (void)!cx_future_start(&job->future->core);
        cxb_hub_detach(hub, job);
        link->completed++;
    }
    else {
        job = NULL;
    }
    cx_guard_release(&hub->guard);
    return job;
}

static void
settle(ProcHubObject *hub, struct cxb_job *job, enum cx_future_state to, PyObject *value)
{
    if (cxb_future_settle(job->future, to, value, NULL) == CX_INTR) {
        PyErr_WriteUnraisable((PyObject *)hub); /* a callback's SystemExit ends no manager */
    }
}

/* A result that cannot be read: its exception is the future's, and Python hears of it. */
static int
unreadable(ProcHubObject *hub, WorkLinkObject *link, struct cxb_job *job, PyObject *error,
           PyObject *events)
{
    PyObject *detail = Py_BuildValue("OO", (PyObject *)job->future, error);
    (void)hub;
    Py_DECREF(error);
    return cxb_hub_event(events, "unreadable", link, detail);
}

static int
take_log(ProcHubObject *hub, const struct cx_lane_message *m)
{
    PyObject *record = cxb_payload_load(hub->state, m->data, m->length);
    PyObject *done = record == NULL ? NULL : PyObject_CallOneArg(hub->on_log, record);
    if (done == NULL) {
        PyErr_WriteUnraisable(hub->on_log);
    }
    Py_XDECREF(record);
    Py_XDECREF(done);
    return 0;
}

/* A task that could not be read where it lies goes again, in another form. */
static void
send_again(ProcHubObject *hub, struct cxb_job *job)
{
    struct cxb_errands errands = CXB_ERRANDS_INIT;
    PyObject *data =
        job->letter == NULL
            ? PyErr_Format(PyExc_RuntimeError, "a worker misses memory that was not lent to it")
            : PyObject_CallMethod(job->letter, "again", NULL);
    if (data == NULL || cxb_job_load(job, data) < 0) {
        Py_XDECREF(data);
        cx_fetch_add_relaxed(&hub->failed, 1);
        settle(hub, job, CX_FAILED, cxb_error_set_aside());
        cxb_job_free(job);
        return;
    }
    Py_DECREF(data);
    cx_guard_take(&hub->guard);
    cxb_hub_requeue(hub, job);
    cxb_hub_dispatch(hub, &errands);
    cx_guard_release(&hub->guard);
    cxb_hub_run_errands(hub, &errands);
}

/* The object that was sent: as it lies in the message, or as the worker's link reads it. */
static PyObject *
load_result(ProcHubObject *hub, WorkLinkObject *link, const struct cx_lane_message *m)
{
    if (CX_UNLIKELY(m->kind == CXB_RESULT_PIECE)) {
        return cxb_link_arrived(link);
    }
    return (m->flags & CXB_PARCEL) == 0
               ? cxb_payload_load(hub->state, m->data, m->length)
               : cxb_payload_load_with(link->tag, m->data, m->length, NULL);
}

static int
take_mail(WorkLinkObject *link)
{
    PyObject *done = PyObject_CallMethod(link->tag, "receive", NULL);
    if (done == NULL) {
        PyErr_WriteUnraisable(link->tag);
    }
    Py_XDECREF(done);
    return 0;
}

static bool
is_oldest(ProcHubObject *hub, WorkLinkObject *link, uint64_t id)
{
    cx_guard_take(&hub->guard);
    struct cxb_job *job = cxb_link_oldest(link);
    bool is = job != NULL && job->id == id;
    cx_guard_release(&hub->guard);
    return is;
}

/* What is no result: 0 or 1 as below; 2: it is one, or its last piece. */
static int
take_other(ProcHubObject *hub, WorkLinkObject *link, const struct cx_lane_message *m)
{
    switch (m->kind) {
    case CXB_RESULT_LOG:
        return take_log(hub, m);
    case CXB_RESULT_MAIL:
        return take_mail(link);
    case CXB_RESULT_WANT:
        return cxb_link_want(hub, link, m->id);
    case CXB_RESULT_PIECE:
        return cxb_link_arrive(link, m);
    case CXB_RESULT_VALUE:
        if ((m->flags & CXB_PIECES) != 0) {
            return !is_oldest(hub, link, m->id) || cxb_link_expect(link, m);
        }
        break;
    default:
        break;
    }
    /* Nothing else comes before the pieces of a result have. */
    return m->kind < CXB_RESULT_VALUE || m->kind > CXB_RESULT_UNREACHABLE || link->arriving != NULL
               ? 1
               : 2;
}

/* One result: 0, 1 if the link is damaged, or -1 with an exception. */
static int
take_result(ProcHubObject *hub, WorkLinkObject *link, const struct cx_lane_message *m,
            PyObject *events)
{
    PyObject *value;
    int failed = 0, other = take_other(hub, link, m);
    if (other != 2) {
        return other;
    }
    struct cxb_job *job = finished(hub, link, m->id);
    if (job == NULL) {
        return 1;
    }
    if (m->kind == CXB_RESULT_UNREACHABLE) {
        send_again(hub, job);
        return 0;
    }
    if (m->kind == CXB_RESULT_NONE) {
        cx_fetch_add_relaxed(&hub->completed, 1);
        settle(hub, job, CX_FINISHED, Py_NewRef(Py_None));
    }
    else if ((value = load_result(hub, link, m)) == NULL) {
        failed = unreadable(hub, link, job, cxb_error_set_aside(), events);
    }
    else if (m->kind == CXB_RESULT_VALUE || m->kind == CXB_RESULT_PIECE) {
        cx_fetch_add_relaxed(&hub->completed, 1);
        settle(hub, job, CX_FINISHED, value);
    }
    else if (!PyExceptionInstance_Check(value) || m->kind == CXB_RESULT_UNREADABLE) {
        failed = unreadable(hub, link, job, value, events);
    }
    else {
        cx_fetch_add_relaxed(&hub->failed, 1);
        settle(hub, job, CX_FAILED, value);
    }
    cxb_job_free(job);
    return failed;
}

/* A result for which there is no memory here: its job fails. */
static int
unmapped(ProcHubObject *hub, WorkLinkObject *link, const struct cx_lane_message *m)
{
    struct cxb_job *job = m->kind == CXB_RESULT_LOG ? NULL : finished(hub, link, m->id);
    if (job == NULL) {
        return m->kind == CXB_RESULT_LOG ? 0 : 1;
    }
    hub->failed++;
    cxb_raise_errno(link->link.results.area.error);
    settle(hub, job, CX_FAILED, cxb_error_set_aside());
    cxb_job_free(job);
    return 0;
}

/* Tells once of a link that holds what cannot be: 0 or -1. */
static int
accuse(ProcHubObject *hub, WorkLinkObject *link, PyObject *events)
{
    if (link->accused) {
        return 0;
    }
    link->accused = true;
    cx_guard_take(&hub->guard);
    cx_store_relaxed(&link->damaged, true);
    cx_store_relaxed(&link->active, false);
    cx_guard_release(&hub->guard);
    return cxb_hub_event(events, "damaged", link, Py_NewRef(Py_None));
}

bool
cxb_link_claim(WorkLinkObject *link)
{
    if (link->taking) {
        link->again = true;
        return false;
    }
    link->taking = true;
    return true;
}

bool
cxb_link_release(WorkLinkObject *link)
{
    bool again = link->again;
    link->taking = link->again = false;
    return again || (!link->damaged && cx_lane_waits(&link->link.results));
}

bool
cxb_result_is_of(WorkLinkObject *link, uint64_t id)
{
    struct cx_lane_message m;
    return cx_lane_peek(&link->link.results, &m) && m.id == id &&
           (m.kind == CXB_RESULT_NONE ||
            (m.kind == CXB_RESULT_VALUE && (m.flags & CXB_PLAIN) != 0));
}

int
cxb_link_take(ProcHubObject *hub, WorkLinkObject *link, PyObject *events)
{
    struct cx_lane *lane = &link->link.results;
    struct cx_lane_message m;
    if (cx_load_relaxed(&link->damaged)) {
        return accuse(hub, link, events);
    }
    enum cx_status status = cx_lane_take(lane, &m);
    if (status == CX_EMPTY) {
        return 0;
    }
    int failed = status == CX_OK        ? take_result(hub, link, &m, events)
                 : status == CX_OSERROR ? unmapped(hub, link, &m)
                                        : 1;
    if (failed < 0) {
        return -1;
    }
    if (failed > 0) {
        return accuse(hub, link, events);
    }
    cx_lane_pass(lane);
    return 1;
}

Py_ssize_t
cxb_link_drain(ProcHubObject *hub, WorkLinkObject *link, PyObject *events)
{
    Py_ssize_t n = 0;
    int more = 1;
    cx_guard_take(&hub->guard);
    bool mine = cxb_link_claim(link);
    cx_guard_release(&hub->guard);
    if (!mine) {
        return -2;
    }
    while (n < AT_ONCE && (more = cxb_link_take(hub, link, events)) > 0) {
        n++;
    }
    cx_guard_take(&hub->guard);
    (void)cxb_link_release(link); /* who is here will look again */
    cx_guard_release(&hub->guard);
    return more < 0 ? -1 : n;
}

void
cxb_hub_tell(ProcHubObject *hub, PyObject *events)
{
    PyObject *before;
    do {
        cx_guard_take(&hub->guard);
        before = hub->late;
        hub->late = before == NULL ? Py_NewRef(events) : NULL;
        cx_guard_release(&hub->guard);
        if (before != NULL) { /* both, in order */
            Py_ssize_t end = PyList_GET_SIZE(before);
            if (PyList_SetSlice(before, end, end, events) < 0) {
                PyErr_WriteUnraisable((PyObject *)hub);
            }
            events = before;
        }
    } while (before != NULL);
    cxb_hub_wake(hub);
}

/* Adds what other threads have met: 0, or -1 with an exception. */
static int
take_late(ProcHubObject *hub, PyObject *events)
{
    cx_guard_take(&hub->guard);
    PyObject *late = hub->late;
    hub->late = NULL;
    cx_guard_release(&hub->guard);
    Py_ssize_t end = PyList_GET_SIZE(events);
    int failed = late == NULL ? 0 : PyList_SetSlice(events, end, end, late);
    Py_XDECREF(late);
    return failed;
}

Py_ssize_t
cxb_hub_drain(ProcHubObject *hub, PyObject *events)
{
    Py_ssize_t all = 0;
    for (Py_ssize_t i = 0; i < hub->seen_count; i++) {
        Py_ssize_t n = cxb_link_drain(hub, hub->seen[i], events);
        if (n == -1) {
            return -1;
        }
        all += n > 0 ? n : 0;
    }
    return take_late(hub, events) < 0 ? -1 : all;
}

/* --- sleep ------------------------------------------------------------------------------------ */

bool
cxb_hub_lie_down(ProcHubObject *hub)
{
    for (Py_ssize_t i = 0; i < hub->seen_count; i++) {
        cx_shmbell_set(&hub->seen[i]->link.results.shared->bell);
    }
    for (Py_ssize_t i = 0; i < hub->seen_count; i++) {
        WorkLinkObject *link = hub->seen[i];
        cx_guard_take(&hub->guard);
        link->again = link->again || link->taking; /* who takes looks once more for us */
        bool waits = (!link->taking && !link->damaged && cx_lane_waits(&link->link.results)) ||
                     cxb_link_can_pour(link);
        cx_guard_release(&hub->guard);
        if (waits) {
            return false;
        }
    }
    return cx_load_acquire(&hub->woken) == 0;
}

void
cxb_hub_get_up(ProcHubObject *hub)
{
    uint64_t count;
    for (Py_ssize_t i = 0; i < hub->seen_count; i++) {
        cx_store_relaxed(&hub->seen[i]->link.results.shared->bell, 0);
    }
    (void)!read(hub->eventfd, &count, sizeof count);
}

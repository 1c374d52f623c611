// SPDX-License-Identifier: MIT
/* What comes back from the workers. */
#include "binding/errors.h"
#include "binding/payload.h"
#include "binding/prochub.h"

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
count(uint64_t *counter)
{
    cx_store_relaxed(counter, *counter + 1);
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

/* One result: 0, 1 if the link is damaged, or -1 with an exception. */
static int
take_result(ProcHubObject *hub, WorkLinkObject *link, const struct cx_lane_message *m,
            PyObject *events)
{
    PyObject *value;
    int failed = 0;
    if (m->kind == CXB_RESULT_LOG) {
        return take_log(hub, m);
    }
    if (m->kind < CXB_RESULT_VALUE || m->kind > CXB_RESULT_UNREADABLE) {
        return 1;
    }
    struct cxb_job *job = finished(hub, link, m->id);
    if (job == NULL) {
        return 1;
    }
    if (m->kind == CXB_RESULT_NONE) {
        count(&hub->completed);
        settle(hub, job, CX_FINISHED, Py_NewRef(Py_None));
    }
    else if ((value = cxb_payload_load(hub->state, m->data, m->length)) == NULL) {
        failed = unreadable(hub, link, job, cxb_error_set_aside(), events);
    }
    else if (m->kind == CXB_RESULT_VALUE) {
        count(&hub->completed);
        settle(hub, job, CX_FINISHED, value);
    }
    else if (!PyExceptionInstance_Check(value) || m->kind == CXB_RESULT_UNREADABLE) {
        failed = unreadable(hub, link, job, value, events);
    }
    else {
        count(&hub->failed);
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

Py_ssize_t
cxb_link_drain(ProcHubObject *hub, WorkLinkObject *link, PyObject *events)
{
    struct cx_lane *lane = &link->link.results;
    Py_ssize_t n = 0;
    if (cx_load_relaxed(&link->damaged)) {
        return accuse(hub, link, events);
    }
    for (; n < AT_ONCE; n++) {
        struct cx_lane_message m;
        enum cx_status status = cx_lane_take(lane, &m);
        if (status == CX_EMPTY) {
            break;
        }
        int failed = status == CX_OK        ? take_result(hub, link, &m, events)
                     : status == CX_OSERROR ? unmapped(hub, link, &m)
                                            : 1;
        if (failed < 0) {
            return -1;
        }
        if (failed > 0) {
            return accuse(hub, link, events) < 0 ? -1 : n;
        }
        cx_lane_pass(lane);
    }
    return n;
}

Py_ssize_t
cxb_hub_drain(ProcHubObject *hub, PyObject *events)
{
    Py_ssize_t all = 0;
    for (Py_ssize_t i = 0; i < hub->seen_count; i++) {
        Py_ssize_t n = cxb_link_drain(hub, hub->seen[i], events);
        if (n < 0) {
            return -1;
        }
        all += n;
    }
    return all;
}

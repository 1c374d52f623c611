// SPDX-License-Identifier: MIT
#include "binding/procpieces.h"
#include "binding/procresult.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "binding/block.h"
#include "binding/kwargs.h"
#include "core/clock.h"

#define DOC(text) PyDoc_STR(text)

static PyObject *
hub_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"on_log", NULL};
    PyObject *on_log;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:ProcHub", names, &on_log)) {
        return NULL;
    }
    struct cxb_state *state = cxb_state_of_type(type);
    ProcHubObject *hub = state == NULL || cxb_future_prepare(state) < 0
                             ? NULL
                             : (ProcHubObject *)type->tp_alloc(type, 0);
    if (hub == NULL) {
        return NULL;
    }
    hub->state = state;
    hub->on_log = Py_NewRef(on_log);
    hub->generation = cx_fork_generation();
    cx_guard_init(&hub->guard);
    hub->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (hub->eventfd < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        Py_DECREF((PyObject *)hub);
        return NULL;
    }
    return (PyObject *)hub;
}

static int
hub_traverse(ProcHubObject *hub, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(hub));
    Py_VISIT(hub->on_log);
    Py_VISIT(hub->late);
    for (Py_ssize_t i = 0; i < hub->count; i++) {
        Py_VISIT((PyObject *)hub->links[i]);
    }
    for (struct cxb_job *job = hub->backlog.first; job != NULL; job = job->next) {
        Py_VISIT((PyObject *)job->future);
        Py_VISIT(job->fn);
    }
    return 0;
}

static int
hub_clear(ProcHubObject *hub)
{
    struct cxb_job *job;
    while ((job = hub->backlog.first) != NULL) {
        cxb_hub_detach(hub, job);
        cxb_job_free(job);
    }
    while (hub->count > 0) {
        Py_DECREF((PyObject *)hub->links[--hub->count]);
    }
    Py_CLEAR(hub->on_log);
    Py_CLEAR(hub->late);
    return 0;
}

static void
hub_dealloc(ProcHubObject *hub)
{
    PyTypeObject *type = Py_TYPE(hub);
    PyObject_GC_UnTrack(hub);
    if (hub->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)hub);
    }
    (void)hub_clear(hub);
    PyMem_RawFree(hub->links);
    PyMem_RawFree(hub->seen);
    if (hub->eventfd >= 0) {
        close(hub->eventfd);
    }
    type->tp_free(hub);
    Py_DECREF(type);
}

/* --- links ------------------------------------------------------------------------------------- */

static int
make_room(ProcHubObject *hub)
{
    cx_guard_take(&hub->guard);
    bool full = hub->count == hub->room;
    Py_ssize_t room = hub->room == 0 ? 8 : hub->room * 2;
    cx_guard_release(&hub->guard);
    if (!full) {
        return 0;
    }
    WorkLinkObject **links = PyMem_RawMalloc(sizeof(*links) * (size_t)room);
    if (links == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    cx_guard_take(&hub->guard);
    WorkLinkObject **old = hub->links;
    for (Py_ssize_t i = 0; i < hub->count; i++) {
        links[i] = old[i];
    }
    hub->links = links;
    hub->room = room;
    cx_guard_release(&hub->guard);
    PyMem_RawFree(old);
    return 0;
}

/* add(link, tag, pidfd, active, budget): a worker that has been started; None is any budget. */
static PyObject *
hub_add(ProcHubObject *hub, PyObject *args)
{
    PyObject *object, *tag, *budget;
    int pidfd, active;
    int64_t most = -1;
    struct cxb_errands errands = CXB_ERRANDS_INIT;
    if (!PyArg_ParseTuple(args, "O!OipO:add", hub->state->worklink_type, &object, &tag, &pidfd,
                          &active, &budget) ||
        (budget != Py_None && cxb_int64(budget, 1, "'budget'", &most) < 0) || make_room(hub) < 0) {
        return NULL;
    }
    WorkLinkObject *link = (WorkLinkObject *)Py_NewRef(object);
    link->tag = Py_NewRef(tag);
    link->pidfd = pidfd;
    cx_store_relaxed(&link->budget, most);
    cx_guard_take(&hub->guard);
    cx_store_relaxed(&link->active, active != 0);
    hub->links[hub->count++] = link;
    cxb_hub_dispatch(hub, &errands);
    cx_guard_release(&hub->guard);
    cxb_hub_run_errands(hub, &errands);
    cxb_hub_wake(hub); /* poll() looks at its pidfd from now on */
    Py_RETURN_NONE;
}

/* activate(link): a spare worker gets tasks from now on. */
static PyObject *
hub_activate(ProcHubObject *hub, PyObject *object)
{
    struct cxb_errands errands = CXB_ERRANDS_INIT;
    WorkLinkObject *link = (WorkLinkObject *)object;
    if (!PyObject_TypeCheck(object, hub->state->worklink_type)) {
        return PyErr_Format(PyExc_TypeError, "activate() takes a WorkLink, got %R", object);
    }
    cx_guard_take(&hub->guard);
    cx_store_relaxed(&link->active, !link->ended && !link->damaged);
    cxb_hub_dispatch(hub, &errands);
    cx_guard_release(&hub->guard);
    cxb_hub_run_errands(hub, &errands);
    Py_RETURN_NONE;
}

/* (future, fn, expired) of each job of a chain, which is freed; NULL with an exception. */
static PyObject *
tell_lost(struct cxb_job *job)
{
    PyObject *lost = PyList_New(0);
    while (job != NULL) {
        struct cxb_job *next = job->next;
        PyObject *one = lost == NULL ? NULL
                                     : Py_BuildValue("OOO", (PyObject *)job->future, job->fn,
                                                     job->expired ? Py_True : Py_False);
        if (lost != NULL && (one == NULL || PyList_Append(lost, one) < 0)) {
            Py_CLEAR(lost);
        }
        Py_XDECREF(one);
        cxb_job_free(job);
        job = next;
    }
    return lost;
}

/* Under the guard: takes a link out of the table, whose reference becomes the caller's; false: it is not
 * in it. */
static bool
take_link(ProcHubObject *hub, WorkLinkObject *link)
{
    Py_ssize_t i = 0;
    while (i < hub->count && hub->links[i] != link) {
        i++;
    }
    if (i == hub->count) {
        return false;
    }
    for (; i + 1 < hub->count; i++) {
        hub->links[i] = hub->links[i + 1];
    }
    hub->count--;
    hub->seen_count = 0; /* until the next look */
    return true;
}

/* bury(link, retry): forgets a worker that has ended; what it had not begun goes to the others.  A list
 * with (future, fn, expired) of the task that it had begun; with `retry` that task goes to another worker if
 * it has retries left.  More than one are lost only with a link that was damaged. */
static PyObject *
hub_bury(ProcHubObject *hub, PyObject *args)
{
    PyObject *object;
    int retry;
    struct cxb_errands errands = CXB_ERRANDS_INIT;
    if (!PyArg_ParseTuple(args, "O!p:bury", hub->state->worklink_type, &object, &retry)) {
        return NULL;
    }
    WorkLinkObject *link = (WorkLinkObject *)object;
    cx_guard_take(&hub->guard);
    cx_store_relaxed(&link->active, false);
    cxb_link_revoke(hub, link, UINT32_MAX);
    struct cxb_job *jobs = cxb_link_lost(hub, link, retry != 0);
    bool known = take_link(hub, link);
    cxb_hub_dispatch(hub, &errands);
    cx_guard_release(&hub->guard);
    cxb_hub_run_errands(hub, &errands);
    PyObject *lost = tell_lost(jobs);
    if (known) {
        Py_CLEAR(link->tag); /* which holds the link */
        Py_DECREF((PyObject *)link);
    }
    return lost;
}

/* --- poll -------------------------------------------------------------------------------------- */

/* The links as they are now: 0, or -1 with an exception. */
static int
look_round(ProcHubObject *hub)
{
    for (;;) {
        cx_guard_take(&hub->guard);
        Py_ssize_t count = hub->count;
        bool fits = count <= hub->seen_room;
        for (Py_ssize_t i = 0; fits && i < count; i++) {
            hub->seen[i] = hub->links[i];
        }
        hub->seen_count = fits ? count : 0;
        cx_guard_release(&hub->guard);
        if (fits) {
            return 0;
        }
        PyMem_RawFree(hub->seen);
        hub->seen = PyMem_RawMalloc(sizeof(*hub->seen) * 2 * (size_t)count);
        hub->seen_room = hub->seen == NULL ? 0 : 2 * count;
        if (hub->seen == NULL) {
            PyErr_NoMemory();
            return -1;
        }
    }
}

/* Tells of tasks that are out of time, once; *until is when the next one will be. */
static int
check_times(ProcHubObject *hub, PyObject *events, int64_t *until)
{
    for (Py_ssize_t i = 0; i < hub->seen_count; i++) {
        WorkLinkObject *link = hub->seen[i];
        int64_t begun, deadline;
        cx_guard_take(&hub->guard);
        struct cxb_job *job = cxb_link_oldest(link);
        bool timed =
            job != NULL && job->timeout != 0 && !job->expired && cxb_job_is_taken(job, &begun);
        bool late = timed && (deadline = begun + job->timeout) <= cx_now();
        if (late) {
            job->expired = true;
        }
        else if (timed && deadline < *until) {
            *until = deadline;
        }
        cx_guard_release(&hub->guard);
        if (late && cxb_hub_event(events, "expired", link, Py_NewRef(Py_None)) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Sleeps, then tells of workers that have ended: 0, or -1 with an exception. */
static int
sleep_until(ProcHubObject *hub, int64_t until, PyObject *events)
{
    Py_ssize_t count = hub->seen_count;
    struct pollfd few[17], *fds = few;
    if (count + 1 > (Py_ssize_t)Py_ARRAY_LENGTH(few) &&
        (fds = PyMem_RawMalloc(sizeof(*fds) * (size_t)(count + 1))) == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    fds[0] = (struct pollfd){.fd = hub->eventfd, .events = POLLIN};
    for (Py_ssize_t i = 0; i < count; i++) {
        WorkLinkObject *link = hub->seen[i];
        fds[i + 1] = (struct pollfd){.fd = link->ended ? -1 : link->pidfd, .events = POLLIN};
    }
    int64_t left = until == CX_FOREVER ? -1 : until - cx_now();
    struct timespec wait = {0};
    if (left > 0) {
        wait = (struct timespec){left / CX_SECOND, left % CX_SECOND};
    }
    int ready, error;
    if (cxb_hub_lie_down(hub)) {
        Py_BEGIN_ALLOW_THREADS
        ready = ppoll(fds, (nfds_t)count + 1, until == CX_FOREVER ? NULL : &wait, NULL);
        error = errno;
        Py_END_ALLOW_THREADS
    }
    else {
        wait = (struct timespec){0};
        ready = ppoll(fds, (nfds_t)count + 1, &wait, NULL);
        error = errno;
    }
    cxb_hub_get_up(hub);
    int failed = 0;
    if (ready < 0 && error != EINTR) {
        errno = error;
        PyErr_SetFromErrno(PyExc_OSError);
        failed = -1;
    }
    for (Py_ssize_t i = 0; ready > 0 && failed == 0 && i < count; i++) {
        if (fds[i + 1].revents != 0) {
            WorkLinkObject *link = hub->seen[i];
            cx_guard_take(&hub->guard);
            link->ended = true;
            cx_guard_release(&hub->guard);
            failed = cxb_hub_event(events, "ended", link, Py_NewRef(Py_None));
        }
    }
    if (fds != few) {
        PyMem_RawFree(fds);
    }
    return failed;
}

/* One look at all results, and what follows from them. */
static Py_ssize_t
work_off(ProcHubObject *hub, PyObject *events)
{
    struct cxb_errands errands = CXB_ERRANDS_INIT;
    Py_ssize_t n = look_round(hub) < 0 ? -1 : cxb_hub_drain(hub, events);
    n += n < 0 ? 0 : cxb_hub_pour(hub);
    cx_guard_take(&hub->guard);
    cxb_hub_dispatch(hub, &errands);
    cxb_hub_balance(hub, &errands);
    cx_guard_release(&hub->guard);
    cxb_hub_run_errands(hub, &errands);
    return n;
}

static bool
is_finished(ProcHubObject *hub)
{
    return cx_load_acquire(&hub->closed) != 0 && cxb_hub_is_done(hub);
}

static PyObject *
hub_poll(ProcHubObject *hub, PyObject *unused)
{
    (void)unused;
    PyObject *events = PyList_New(0);
    while (events != NULL) {
        int64_t until = CX_FOREVER;
        Py_ssize_t n = work_off(hub, events);
        if (n < 0 || check_times(hub, events, &until) < 0) {
            Py_CLEAR(events);
            break;
        }
        if (cx_xchg_acquire(&hub->woken, 0) != 0 || PyList_GET_SIZE(events) > 0 ||
            is_finished(hub)) {
            break;
        }
        if (n == 0 && sleep_until(hub, until, events) < 0) {
            Py_CLEAR(events);
        }
    }
    return events;
}

/* sleep(timeout): poll() that waits although there is nothing left to do, for workers to end. */
static PyObject *
hub_sleep(ProcHubObject *hub, PyObject *timeout)
{
    struct cxb_timeout limit;
    int64_t until = CX_FOREVER;
    if (cxb_timeout_parse(timeout, &limit) < 0 ||
        (limit.given && cxb_timeout_start(&limit, &until) < 0)) {
        return NULL;
    }
    PyObject *events = PyList_New(0);
    if (events != NULL && (work_off(hub, events) < 0 ||
                           (PyList_GET_SIZE(events) == 0 && sleep_until(hub, until, events) < 0))) {
        Py_CLEAR(events);
    }
    if (events != NULL) {
        (void)cx_xchg_acquire(&hub->woken, 0);
    }
    return events;
}

/* drain(link): what a worker that has ended left; events. */
static PyObject *
hub_drain(ProcHubObject *hub, PyObject *object)
{
    PyObject *events = PyList_New(0);
    if (!PyObject_TypeCheck(object, hub->state->worklink_type)) {
        Py_XDECREF(events);
        return PyErr_Format(PyExc_TypeError, "drain() takes a WorkLink, got %R", object);
    }
    Py_ssize_t n = 1;
    while (events != NULL && (n > 0 || n == -2)) {
        n = cxb_link_drain(hub, (WorkLinkObject *)object, events);
        if (n == -1) {
            Py_CLEAR(events);
        }
        else if (n == -2) { /* for as long as a result takes to be read */
            Py_BEGIN_ALLOW_THREADS(void)
            sched_yield();
            Py_END_ALLOW_THREADS
        }
    }
    return events;
}

static PyObject *
hub_close(ProcHubObject *hub, PyObject *unused)
{
    (void)unused;
    cx_store_release(&hub->closed, 1);
    cxb_hub_wake(hub);
    Py_RETURN_NONE;
}

static PyObject *
hub_wake(ProcHubObject *hub, PyObject *unused)
{
    (void)unused;
    cxb_hub_wake(hub);
    Py_RETURN_NONE;
}

static PyObject *
hub_fileno(ProcHubObject *hub, PyObject *unused)
{
    (void)unused;
    return PyLong_FromLong(hub->eventfd);
}

static PyObject *
get_flag(uint32_t *flag)
{
    return PyBool_FromLong(cx_load_acquire(flag) != 0);
}

static PyObject *
hub_get_closed(ProcHubObject *hub, void *unused)
{
    (void)unused;
    return get_flag(&hub->closed);
}

static PyObject *
hub_get_growing(ProcHubObject *hub, void *unused)
{
    (void)unused;
    return get_flag(&hub->growing);
}

static int
hub_set_growing(ProcHubObject *hub, PyObject *value, void *unused)
{
    (void)unused;
    int truth = value == NULL ? 0 : PyObject_IsTrue(value);
    if (truth >= 0) {
        cx_store_release(&hub->growing, (uint32_t)truth);
    }
    return truth < 0 ? -1 : 0;
}

static PyObject *
hub_get_pending(ProcHubObject *hub, void *unused)
{
    (void)unused;
    return PyBool_FromLong(!cxb_hub_is_done(hub));
}

static PyObject *
hub_get_foreign(ProcHubObject *hub, void *unused)
{
    (void)unused;
    return PyBool_FromLong(hub->generation != cx_fork_generation());
}

static PyMethodDef hub_methods[] = {
    {"add", (PyCFunction)hub_add, METH_VARARGS,
     DOC("add($self, link, tag, pidfd, active, budget, /)\n--\n\nA worker that was started.")},
    {"activate", (PyCFunction)hub_activate, METH_O,
     DOC("activate($self, link, /)\n--\n\nGive tasks to a spare worker.")},
    {"bury", (PyCFunction)hub_bury, METH_VARARGS,
     DOC("bury($self, link, retry, /)\n--\n\nForget a worker that has ended; what it had begun.")},
    {"poll", (PyCFunction)hub_poll, METH_NOARGS,
     DOC("poll($self)\n--\n\nSettle futures until something happens: a list of events.")},
    {"sleep", (PyCFunction)hub_sleep, METH_O,
     DOC("sleep($self, timeout, /)\n--\n\nWait for events although there may be no jobs.")},
    {"drain", (PyCFunction)hub_drain, METH_O,
     DOC("drain($self, link, /)\n--\n\nTake the results that an ended worker left.")},
    {"close", (PyCFunction)hub_close, METH_NOARGS,
     DOC("close($self)\n--\n\nRefuse jobs from now on.")},
    {"wake", (PyCFunction)hub_wake, METH_NOARGS, DOC("wake($self)\n--\n\nLet poll() return.")},
    {"wakeup", (PyCFunction)hub_wake, METH_NOARGS,
     DOC("wakeup($self)\n--\n\nwake(), by the name that the standard library calls.")},
    {"fileno", (PyCFunction)hub_fileno, METH_NOARGS,
     DOC("fileno($self)\n--\n\nThe event descriptor that workers write.")},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef hub_getset[] = {
    {"closed", (getter)hub_get_closed, NULL, DOC("Whether close() was called."), NULL},
    {"growing", (getter)hub_get_growing, (setter)hub_set_growing,
     DOC("Whether submit() has to ask for workers if none is idle."), NULL},
    {"pending", (getter)hub_get_pending, NULL, DOC("Whether jobs are not done."), NULL},
    {"foreign", (getter)hub_get_foreign, NULL, DOC("Whether this is a forked copy."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef hub_members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(ProcHubObject, weakrefs), Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot hub_slots[] = {
    {Py_tp_new, hub_new},
    {Py_tp_doc, (void *)DOC("ProcHub(on_log)\n--\n\nThe jobs of a pool of processes.")},
    {Py_tp_methods, hub_methods},
    {Py_tp_getset, hub_getset},
    {Py_tp_members, hub_members},
    {Py_tp_traverse, hub_traverse},
    {Py_tp_clear, hub_clear},
    {Py_tp_dealloc, hub_dealloc},
    {0, NULL},
};

PyType_Spec cxb_prochub_spec = {
    .name = "concx._core.ProcHub",
    .basicsize = sizeof(ProcHubObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = hub_slots,
};

// SPDX-License-Identifier: MIT
/* ProcWorker: a worker's end of its link, and its loop. */
#include "binding/block.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "binding/errors.h"
#include "binding/payload.h"
#include "binding/procpieces.h"
#include "core/clock.h"

#define DOC(text) PyDoc_STR(text)
#define LOOK_FOR_OWNER (CX_SECOND / 2)
#define LOOK (CX_SECOND / 20000) /* for a task, before sleeping */
#define MOST_LUCK 8
#define RARELY 16

typedef struct {
    PyObject_HEAD
    struct cxb_state *state;
    struct cx_shm shm;
    struct cx_worklink link;
    struct cx_lock lock; /* of the lane of results: log records come from any thread */
    PyObject *fail;      /* fail(exception[, result that raised it]) -> what is sent for it */
    PyObject *desk;      /* NULL, or what reads and writes parcels (concx/futures/_mail.py) */
    int eventfd;
    int64_t looked; /* for the owner */
    unsigned long long most, done;
    unsigned long long most_rss; /* bytes; 0: any */
    bool plain;                  /* the result that is on its way */
    uint32_t luck, passes; /* of look(): how often lately a task came, how often it was not tried */
} ProcWorkerObject;

static PyObject *
worker_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"fd", "eventfd", "fail", "max_tasks", "max_rss", NULL};
    int fd, eventfd;
    PyObject *fail;
    unsigned long long most, most_rss;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "iiOKK:ProcWorker", names, &fd, &eventfd, &fail,
                                     &most, &most_rss)) {
        return NULL;
    }
    struct cxb_state *state = cxb_state_of_type(type);
    ProcWorkerObject *self = state == NULL ? NULL : (ProcWorkerObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->state = state;
    self->fail = Py_NewRef(fail);
    self->eventfd = eventfd;
    self->most = most;
    self->most_rss = most_rss;
    cx_shm_install();
    enum cx_status status = cx_shm_attach(&self->shm, fd, CX_SHM_WORK, cx_worklink_mapped());
    if (status != CX_OK) {
        self->shm.fd = -1; /* the caller's */
        if (status == CX_OSERROR) {
            errno = self->shm.error;
            PyErr_SetFromErrno(PyExc_OSError);
        }
        else {
            cxb_raise(state, status);
        }
        Py_DECREF((PyObject *)self);
        return NULL;
    }
    cx_worklink_attach(&self->link, &self->shm);
    return (PyObject *)self;
}

static int
worker_traverse(ProcWorkerObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->fail);
    Py_VISIT(self->desk);
    return 0;
}

static int
worker_clear(ProcWorkerObject *self)
{
    Py_CLEAR(self->fail);
    Py_CLEAR(self->desk);
    return 0;
}

static void
worker_dealloc(ProcWorkerObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)worker_clear(self);
    if (self->link.shm != NULL) {
        cx_worklink_fini(&self->link);
    }
    cx_shm_close(&self->shm);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Whether the pool's process has gone. */
static bool
is_orphan(ProcWorkerObject *self)
{
    int64_t now = cx_now();
    if (now - self->looked < LOOK_FOR_OWNER) {
        return false;
    }
    self->looked = now;
    return !cx_owner_alive(self->link.shared->owner);
}

static void
tell_manager(ProcWorkerObject *self)
{
    uint64_t one = 1;
    if (cx_lane_answers(&self->link.results)) {
        (void)!write(self->eventfd, &one, sizeof one);
    }
}

/* Of a result: whoever looks at the lane sees it. */
static void
tell_pool(ProcWorkerObject *self)
{
    if (!cx_lane_is_watched(&self->link.results)) {
        tell_manager(self);
    }
}

/* --- what goes out ------------------------------------------------------------------------------ */

/* A message, or the next one of pieces. */
static enum cx_status
put(ProcWorkerObject *self, const struct cx_lane_message *m, struct cx_pieces *pieces)
{
    uint32_t number;
    cx_lock_acquire(&self->lock);
    enum cx_status status = CX_LIKELY(pieces == NULL) ? cx_lane_put(&self->link.results, m, &number)
                                                      : cx_pieces_put(pieces, &self->link.results);
    cx_lock_release(&self->lock);
    return status;
}

/* CX_OK; CX_CLOSED: the pool has gone; what cx_lane_put says of a message that cannot go; CX_INTR with
 * an exception. */
static enum cx_status
send_this(ProcWorkerObject *self, const struct cx_lane_message *m, struct cx_pieces *pieces)
{
    uint32_t *room = &self->link.results.shared->room;
    for (;;) {
        enum cx_status status = put(self, m, pieces);
        if (status == CX_OK) {
            tell_pool(self);
            return CX_OK;
        }
        if (status != CX_FULL) {
            return status;
        }
        tell_pool(self);
        cx_shmbell_set(room);
        status = put(self, m, pieces);
        if (status == CX_OK) {
            tell_pool(self);
        }
        if (status != CX_FULL) {
            return status;
        }
        if (cxb_wait_shared(room, 1, CX_FOREVER) == CXB_ERROR) {
            return CX_INTR;
        }
        if (is_orphan(self)) {
            return CX_CLOSED;
        }
    }
}

static enum cx_status
send(ProcWorkerObject *self, const struct cx_lane_message *m)
{
    return send_this(self, m, NULL);
}

static enum cx_status
send_pieces(ProcWorkerObject *self, struct cx_pieces *pieces)
{
    enum cx_status status = CX_OK;
    while (status == CX_OK && !cx_pieces_done(pieces)) {
        status = send_this(self, NULL, pieces);
    }
    return status;
}

/* The exception in flight, of a result's pickling if there is one, is sent: as send(). */
static enum cx_status
send_error(ProcWorkerObject *self, uint64_t id, uint32_t kind, PyObject *result)
{
    PyObject *error = cxb_error_set_aside();
    PyObject *bytes = PyObject_CallFunctionObjArgs(self->fail, error, result, NULL);
    Py_buffer view;
    Py_DECREF(error);
    if (bytes == NULL || PyObject_GetBuffer(bytes, &view, PyBUF_SIMPLE) < 0) {
        Py_XDECREF(bytes);
        return CX_INTR;
    }
    struct cx_lane_message m = {view.buf, (uint64_t)view.len, id, 0, kind};
    enum cx_status status = send(self, &m);
    PyBuffer_Release(&view);
    Py_DECREF(bytes);
    return status;
}

static void
call_back(ProcWorkerObject *self, PyObject *parcel)
{
    PyObject *done = PyObject_CallMethod(self->desk, "call_back", "(O)", parcel);
    if (done == NULL) {
        PyErr_WriteUnraisable(self->desk);
    }
    Py_XDECREF(done);
}

/* A signal that arrives while a result waits for room is the task's, as it were; it is sent after
 * the result.  What the pool has no memory for becomes an error. */
static enum cx_status
send_value(ProcWorkerObject *self, uint64_t id, PyObject *payload)
{
    Py_buffer view;
    PyObject *bytes = payload, *parcel = NULL, *buffers = NULL;
    struct cxb_bulk *bulk = NULL;
    if ((PyTuple_CheckExact(payload) &&
         !PyArg_ParseTuple(payload, "OO|O", &bytes, &parcel, &buffers)) ||
        (buffers != NULL && (bulk = cxb_bulk_new(buffers)) == NULL) ||
        PyObject_GetBuffer(bytes, &view, PyBUF_SIMPLE) < 0) {
        cxb_bulk_free(bulk);
        return send_error(self, id, CXB_RESULT_ERROR, NULL);
    }
    struct cx_lane_message m = {view.buf, (uint64_t)view.len, id,
                                parcel != NULL ? CXB_PARCEL
                                : self->plain  ? CXB_PLAIN
                                               : 0,
                                CXB_RESULT_VALUE};
    if (CX_UNLIKELY(bulk != NULL)) {
        m.flags |= CXB_PIECES | bulk->size << CXB_BULK;
        cxb_bulk_begin(bulk, CXB_RESULT_PIECE, id);
    }
    enum cx_status status = send(self, &m);
    PyBuffer_Release(&view);
    if (CX_UNLIKELY(bulk != NULL)) {
        status = status == CX_OK ? send_pieces(self, &bulk->pieces) : status;
        cxb_bulk_free(bulk);
    }
    if (parcel != NULL && (status == CX_OSERROR || status == CX_TOO_BIG)) {
        call_back(self, parcel);
    }
    if (status == CX_OSERROR || status == CX_TOO_BIG) {
        cxb_raise_errno(status == CX_TOO_BIG ? EMSGSIZE : self->link.results.area.error);
        return send_error(self, id, CXB_RESULT_ERROR, NULL);
    }
    return status;
}

/* --- one task ----------------------------------------------------------------------------------- */

/* Makes the call of an unpickled task: (fn, *args), or (names, fn, *args). */
static PyObject *
call(PyObject *task, uint32_t kind)
{
    Py_ssize_t n = PyTuple_Check(task) ? PyTuple_GET_SIZE(task) : 0;
    bool named = kind == CXB_TASK_NAMED;
    if (n < 1 + named || (named && !PyTuple_Check(PyTuple_GET_ITEM(task, 0)))) {
        PyErr_Format(PyExc_TypeError, "not a task: %R", task);
        return NULL;
    }
    PyObject *names = named ? PyTuple_GET_ITEM(task, 0) : NULL;
    PyObject *const *items = &PyTuple_GET_ITEM(task, named);
    Py_ssize_t nargs = n - 1 - named - (named ? PyTuple_GET_SIZE(names) : 0);
    if (nargs < 0) {
        PyErr_Format(PyExc_TypeError, "not a task: %R", task);
        return NULL;
    }
    return PyObject_Vectorcall(items[0], items + 1, (size_t)nargs, names);
}

/* None: it lies in memory that this process has not got. */
static PyObject *
load_task(ProcWorkerObject *self, const struct cx_lane_message *m)
{
    return (m->flags & CXB_PARCEL) == 0
               ? cxb_payload_load(self->state, m->data, m->length)
               : cxb_payload_load_with(self->desk, m->data, m->length,
                                       (m->flags & CXB_TASK_KEPT) != 0 ? Py_True : Py_False);
}

/* The same of a task whose bulk comes in pieces, as soon as it has asked for them; passes the message. */
static PyObject *
gather_task(ProcWorkerObject *self, const struct cx_lane_message *m, enum cx_status *status)
{
    struct cxb_arrival arrival;
    struct cx_lane_message want = {"", 0, m->id, 0, CXB_RESULT_WANT};
    PyObject *task = NULL;
    int begun = cxb_arrival_begin(&arrival, self->desk, m, CXB_TASK_PIECE);
    cx_lane_pass(&self->link.tasks);
    if (begun > 0 && (*status = send(self, &want)) == CX_OK) {
        *status = cxb_arrival_wait(&arrival, &self->link, self->eventfd);
    }
    if (*status == CX_OSERROR) {
        cxb_raise_errno(self->link.tasks.area.error);
    }
    if (*status == CX_OSERROR || *status == CX_INTR) {
        *status = CX_OK; /* it is the task that has failed */
    }
    else if (begun == 0) {
        task = Py_NewRef(Py_None);
    }
    else if (begun > 0 && *status == CX_OK) {
        task = cxb_arrival_load(&arrival, self->desk,
                                (m->flags & CXB_TASK_KEPT) != 0 ? Py_True : Py_False);
    }
    cxb_arrival_clear(&arrival);
    return task;
}

/* Bytes, (bytes, parcel), or those and the buffers that follow in pieces. */
static PyObject *
dump_result(ProcWorkerObject *self, PyObject *result)
{
    self->plain = cxb_payload_is_plain(result, 2);
    if (self->desk == NULL || self->plain) {
        return cxb_payload_dump(self->state, result, true);
    }
    return PyObject_CallMethod(self->desk, "dump", "(O)", result);
}

static enum cx_status
work(ProcWorkerObject *self, const struct cx_lane_message *m)
{
    PyObject *task;
    uint64_t id = m->id;
    enum cx_status status = CX_OK;
    if (CX_UNLIKELY((m->flags & CXB_PIECES) != 0)) {
        task = gather_task(self, m, &status);
    }
    else {
        task = load_task(self, m);
        cx_lane_pass(&self->link.tasks);
    }
    if (status != CX_OK) {
        return status;
    }
    if (task == NULL) {
        return send_error(self, id, CXB_RESULT_UNREADABLE, NULL);
    }
    if (task == Py_None && (m->flags & CXB_PARCEL) != 0) {
        struct cx_lane_message back = {"", 0, id, 0, CXB_RESULT_UNREACHABLE};
        Py_DECREF(task);
        return send(self, &back);
    }
    PyObject *result = call(task, m->kind), *bytes = NULL;
    bool none = result == Py_None;
    if (result != NULL && !none) {
        bytes = dump_result(self, result);
    }
    if (none) {
        Py_DECREF(result);
        struct cx_lane_message empty = {"", 0, id, 0, CXB_RESULT_NONE};
        Py_DECREF(task); /* before anybody learns of the result */
        return send(self, &empty);
    }
    if (bytes == NULL) {
        status = send_error(self, id, CXB_RESULT_ERROR, result);
        Py_XDECREF(result);
        Py_DECREF(task);
        return status;
    }
    Py_DECREF(result);
    Py_DECREF(task);
    status = send_value(self, id, bytes);
    Py_DECREF(bytes);
    return status;
}

/* --- the loop ----------------------------------------------------------------------------------- */

static bool
is_large(ProcWorkerObject *self)
{
    char text[100];
    int fd = self->most_rss == 0 ? -1 : open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    text[got > 0 ? got : 0] = '\0';
    /* Pages: all, then those that are resident. */
    const char *resident = strchr(text, ' ');
    return resident != NULL &&
           strtoull(resident, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) > self->most_rss;
}

/* Whether a task comes within the time that a wake would take; if that was so lately. */
static bool
look(ProcWorkerObject *self)
{
    bool waits = false;
    cx_worklink_note(&self->link, false);
    if ((self->luck == 0 && self->passes++ % RARELY != 0) ||
        cx_worklink_is_here(&self->link, false)) {
        return false;
    }
    Py_BEGIN_ALLOW_THREADS
    int64_t until = cx_now() + LOOK;
    do {
        for (int i = 0; i < 16 && !waits; i++) {
            waits = cx_lane_waits(&self->link.tasks);
            cx_pause();
        }
    } while (!waits && cx_load_relaxed(&self->link.shared->stop) == 0 && cx_now() < until);
    Py_END_ALLOW_THREADS
    self->luck = !waits ? self->luck / 2 : self->luck < MOST_LUCK ? self->luck + 1 : MOST_LUCK;
    return waits;
}

/* Sleeps until there may be a task: CX_OK; CX_CLOSED leave; CX_INTR with an exception. */
static enum cx_status
idle(ProcWorkerObject *self)
{
    struct cx_lane *tasks = &self->link.tasks;
    if (cx_load_acquire(&self->link.shared->stop) != 0) {
        return cx_lane_waits(tasks) ? CX_OK : CX_CLOSED;
    }
    if (look(self)) {
        return CX_OK;
    }
    cx_shmbell_set(&tasks->shared->bell);
    if (cx_lane_waits(tasks) || cx_load_acquire(&self->link.shared->stop) != 0) {
        cx_store_relaxed(&tasks->shared->bell, 0);
        return CX_OK;
    }
    if (cxb_wait_shared(&tasks->shared->bell, 1, CX_FOREVER) == CXB_ERROR) {
        return CX_INTR;
    }
    return is_orphan(self) ? CX_CLOSED : CX_OK;
}

static PyObject *
worker_run(ProcWorkerObject *self, PyObject *unused)
{
    (void)unused;
    enum cx_status status = CX_OK;
    cx_worklink_tell(&self->link, CX_WORK_READY);
    self->looked = cx_now();
    while (status == CX_OK && (self->most == 0 || self->done < self->most)) {
        struct cx_lane_message m;
        status = cx_lane_take(&self->link.tasks, &m);
        if (status == CX_EMPTY) {
            status = idle(self);
            continue;
        }
        if ((status == CX_OK || status == CX_OSERROR) && m.kind == CXB_TASK_PIECE) {
            /* Of a task that could not be put together. */
            cx_lane_pass(&self->link.tasks);
            status = CX_OK;
        }
        else if (status == CX_OSERROR) { /* no memory for that task */
            cxb_raise_errno(self->link.tasks.area.error);
            status = send_error(self, m.id, CXB_RESULT_ERROR, NULL);
            cx_lane_pass(&self->link.tasks);
            self->done++;
        }
        else if (status == CX_OK) {
            if ((m.flags & CXB_TASK_TIMED) != 0) {
                tell_manager(self); /* which counts the time */
            }
            status = work(self, &m);
            self->done++;
            if (status == CX_OK && (is_large(self) || PyErr_CheckSignals() < 0)) {
                status = PyErr_Occurred() ? CX_INTR : CX_CLOSED;
            }
        }
    }
    if (status != CX_OK && status != CX_CLOSED) {
        return status == CX_INTR ? NULL : cxb_raise(self->state, status);
    }
    cx_worklink_tell(&self->link, CX_WORK_LEFT);
    Py_RETURN_NONE;
}

/* leave(failed=False): said before the process ends without having run to its end. */
static PyObject *
worker_leave(ProcWorkerObject *self, PyObject *args)
{
    int failed = 0;
    if (!PyArg_ParseTuple(args, "|p:leave", &failed)) {
        return NULL;
    }
    cx_worklink_tell(&self->link, failed ? CX_WORK_FAILED : CX_WORK_LEFT);
    Py_RETURN_NONE;
}

/* log(data): a pickled log record. */
static PyObject *
worker_log(ProcWorkerObject *self, PyObject *data)
{
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    struct cx_lane_message m = {view.buf, (uint64_t)view.len, 0, 0, CXB_RESULT_LOG};
    enum cx_status status = send(self, &m);
    PyBuffer_Release(&view);
    if (status == CX_INTR) {
        return NULL;
    }
    return PyBool_FromLong(status == CX_OK);
}

/* ring(): the pool is to look what came beside the lane. */
static PyObject *
worker_ring(ProcWorkerObject *self, PyObject *unused)
{
    (void)unused;
    struct cx_lane_message m = {"", 0, 0, 0, CXB_RESULT_MAIL};
    enum cx_status status = send(self, &m);
    return status == CX_INTR ? NULL : PyBool_FromLong(status == CX_OK);
}

static PyObject *
worker_get_desk(ProcWorkerObject *self, void *unused)
{
    (void)unused;
    return Py_NewRef(self->desk != NULL ? self->desk : Py_None);
}

static int
worker_set_desk(ProcWorkerObject *self, PyObject *desk, void *unused)
{
    (void)unused;
    Py_XSETREF(self->desk, Py_XNewRef(desk));
    return 0;
}

static PyMethodDef worker_methods[] = {
    {"ring", (PyCFunction)worker_ring, METH_NOARGS,
     DOC("ring($self)\n--\n\nLet the pool read what was sent beside the link; whether it will.")},
    {"run", (PyCFunction)worker_run, METH_NOARGS,
     DOC("run($self)\n--\n\nDo tasks until the pool says to stop.")},
    {"leave", (PyCFunction)worker_leave, METH_VARARGS,
     DOC("leave($self, failed=False, /)\n--\n\nSay that this worker ends in good order, or that "
         "its initializer has failed.")},
    {"log", (PyCFunction)worker_log, METH_O,
     DOC("log($self, data, /)\n--\n\nSend a pickled log record; whether it went.")},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef worker_getset[] = {
    {"desk", (getter)worker_get_desk, (setter)worker_set_desk,
     DOC("What reads tasks with lent blocks, and writes results."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot worker_slots[] = {
    {Py_tp_new, worker_new},
    {Py_tp_doc, (void *)DOC("ProcWorker(fd, eventfd, fail, max_tasks, max_rss)\n--\n\nA worker's "
                            "end of its link; takes the segment's descriptor over.")},
    {Py_tp_methods, worker_methods},
    {Py_tp_getset, worker_getset},
    {Py_tp_traverse, worker_traverse},
    {Py_tp_clear, worker_clear},
    {Py_tp_dealloc, worker_dealloc},
    {0, NULL},
};

PyType_Spec cxb_procworker_spec = {
    .name = "concx._core.ProcWorker",
    .basicsize = sizeof(ProcWorkerObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = worker_slots,
};

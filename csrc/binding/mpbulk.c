// SPDX-License-Identifier: MIT
#include "binding/errors.h"
#include "binding/mpqueue.h"

#define DOC(text) PyDoc_STR(text)

/* --- many at once ----------------------------------------------------------------------------- */

/* Pickles of the items, as buffers; the views' number in *n, or -1 with an exception. */
static int
pickle_all(MpQueueObject *self, PyObject *items, Py_buffer *views,
           struct cx_shmring_message *messages, Py_ssize_t *n)
{
    for (*n = 0; *n < PyList_GET_SIZE(items); ++*n) {
        PyObject *item = Py_NewRef(PyList_GET_ITEM(items, *n));
        PyObject *data = cxb_mpqueue_dumps(self->state, item);
        int failed = data == NULL ? -1 : PyObject_GetBuffer(data, &views[*n], PyBUF_SIMPLE);
        Py_DECREF(item);
        Py_XDECREF(data); /* the view keeps it */
        if (failed < 0) {
            return -1;
        }
        messages[*n] =
            (struct cx_shmring_message){views[*n].buf, (uint64_t)views[*n].len, CXB_MESSAGE_PICKLE};
    }
    return 0;
}

PyObject *
cxb_mpqueue_put_many(MpQueueObject *self, PyObject *const *args, Py_ssize_t nargs,
                     PyObject *kwnames)
{
    static const struct cxb_signature signature = {
        "put_many", 1, {"items", "block", "timeout", NULL}};
    PyObject *out[3] = {NULL}, *result = NULL;
    int64_t deadline;
    Py_ssize_t n = 0;
    if (cxb_bind(&signature, args, nargs, kwnames, out) < 0 || cxb_mpqueue_open(self) < 0 ||
        cxb_mp_deadline(out[1], out[2], &deadline) < 0) {
        return NULL;
    }
    PyObject *items = PySequence_List(out[0]);
    if (items == NULL || PyList_GET_SIZE(items) == 0) {
        Py_XDECREF(items);
        return items == NULL ? NULL : PyLong_FromLong(0);
    }
    size_t room = (size_t)PyList_GET_SIZE(items);
    Py_buffer *views = PyMem_Calloc(room, sizeof *views);
    struct cx_shmring_message *messages = PyMem_Calloc(room, sizeof *messages);
    if (views == NULL || messages == NULL) {
        PyErr_NoMemory();
    }
    else if (pickle_all(self, items, views, messages, &n) == 0) {
        int64_t put = cxb_mpqueue_put(self, messages, (uint64_t)n, deadline);
        if (put < 0 && PyErr_ExceptionMatches(self->state->Full)) {
            PyErr_Clear();
            put = 0;
        }
        result = put < 0 ? NULL : PyLong_FromLongLong(put);
    }
    for (Py_ssize_t i = 0; views != NULL && i < n; i++) {
        PyBuffer_Release(&views[i]);
    }
    PyMem_Free(views);
    PyMem_Free(messages);
    Py_DECREF(items);
    return result;
}

PyObject *
cxb_mpqueue_dumps_all(MpQueueObject *self, PyObject *items)
{
    PyObject *pickles = PyList_New(0);
    for (Py_ssize_t i = 0; pickles != NULL && i < PyList_GET_SIZE(items); i++) {
        PyObject *item = Py_NewRef(PyList_GET_ITEM(items, i));
        PyObject *data = cxb_mpqueue_dumps(self->state, item);
        if (data == NULL || PyList_Append(pickles, data) < 0) {
            Py_CLEAR(pickles);
        }
        Py_DECREF(item);
        Py_XDECREF(data);
    }
    return pickles;
}

#define BATCH 256 /* messages that are taken at once */
#define SPACE (UINT64_C(1) << 16)

/* Appends the messages to the list. */
static int
append_all(MpQueueObject *self, PyObject *list, const struct cx_shmring_message *taken, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        PyObject *object = cxb_mpqueue_loads(self->state, &taken[i], NULL);
        int failed = object == NULL ? -1 : PyList_Append(list, object);
        Py_XDECREF(object);
        if (failed < 0) {
            return -1;
        }
    }
    return 0;
}

enum cx_status
cxb_mpqueue_take_many(MpQueueObject *self, PyObject *list, Py_ssize_t most,
                      struct cxb_mpqueue_getting *getting)
{
    struct cx_shmring_message taken[BATCH];
    uint64_t bytes = SPACE, got;
    char *space = PyMem_Malloc(bytes);
    enum cx_status status = CX_OK;
    while (space != NULL && status == CX_OK && PyList_GET_SIZE(list) < most) {
        Py_ssize_t left = most - PyList_GET_SIZE(list);
        status = cx_shmring_take(&self->ring, space, bytes, taken,
                                 left < BATCH ? (uint64_t)left : BATCH, &got, &getting->busy);
        if (status == CX_OK) {
            getting->deadline = 0;
            status = append_all(self, list, taken, got) < 0 ? CX_INTR : CX_OK;
        }
        else if (status == CX_TOO_BIG) {
            PyMem_Free(space);
            bytes = taken[0].length;
            space = PyMem_Malloc(bytes);
            status = CX_OK;
        }
        else if (PyList_GET_SIZE(list) > 0 && (status == CX_EMPTY || status == CX_CLOSED)) {
            status = CX_OK;
            break;
        }
        else {
            status = cxb_mpqueue_pause(self, status, getting);
        }
    }
    if (space == NULL) {
        PyErr_NoMemory();
        return CX_INTR;
    }
    PyMem_Free(space);
    if (status == CX_OK) {
        cxb_mpqueue_taken(self, getting);
    }
    /* What was taken before somebody was met inside is an answer. */
    return status == CX_AGAIN && PyList_GET_SIZE(list) > 0 ? CX_OK : status;
}

PyObject *
cxb_mpqueue_get_many(MpQueueObject *self, PyObject *const *args, Py_ssize_t nargs,
                     PyObject *kwnames)
{
    static const struct cxb_signature signature = {
        "get_many", 1, {"max_items", "block", "timeout", NULL}};
    PyObject *out[3] = {NULL};
    struct cxb_mpqueue_getting getting = {.deadline = 0};
    Py_ssize_t most;
    if (cxb_bind(&signature, args, nargs, kwnames, out) < 0 || cxb_mpqueue_open(self) < 0 ||
        cxb_max_items(out[0], &most) < 0 ||
        cxb_mp_deadline(out[1], out[2], &getting.deadline) < 0) {
        return NULL;
    }
    PyObject *list = PyList_New(0);
    enum cx_status status =
        list == NULL ? CX_INTR : cxb_mpqueue_take_many(self, list, most, &getting);
    if (status != CX_OK) {
        Py_XDECREF(list);
        return status == CX_INTR ? NULL : cxb_mpqueue_raise(self, status);
    }
    return list;
}

/* --- the type --------------------------------------------------------------------------------- */

static PyObject *
queue_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"segment", "most", NULL};
    PyObject *segment, *most_object = Py_None;
    int64_t most = 0;
    struct cxb_state *state = cxb_state_of_type(type);
    if (state == NULL ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:MpQueueBase", names, &segment,
                                     &most_object) ||
        (most_object != Py_None && cxb_int64(most_object, 0, "'maxsize'", &most) < 0)) {
        return NULL;
    }
    if (!PyObject_TypeCheck(segment, state->segment_type) ||
        ((SegmentObject *)segment)->shm.kind != CX_SHM_RING) {
        PyErr_Format(PyExc_TypeError, "expected a Segment with a ring, got %R", segment);
        return NULL;
    }
    MpQueueObject *self = (MpQueueObject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->state = state;
        self->segment = (SegmentObject *)Py_NewRef(segment);
        for (int side = 0; side < CXB_SIDES; side++) {
            cx_turnstile_init(&self->tasks[side]);
        }
        int event = self->segment->event;
        if (most_object == Py_None) {
            cx_shmring_attach(&self->ring, &self->segment->shm, event);
        }
        else {
            cx_shmring_create(&self->ring, &self->segment->shm, event, (uint64_t)most);
        }
    }
    return (PyObject *)self;
}

static int
queue_traverse(MpQueueObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->segment);
    for (int side = 0; side < CXB_SIDES; side++) {
        int stop = cxb_visit_waiters(&self->tasks[side].list, visit, arg);
        if (stop != 0) {
            return stop;
        }
    }
    return 0;
}

static void
queue_dealloc(MpQueueObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->segment != NULL) {
        cx_shmring_fini(&self->ring);
    }
    Py_XDECREF(self->segment);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
queue_qsize(MpQueueObject *self, PyObject *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(cx_shmring_len(&self->ring));
}

static PyObject *
queue_empty(MpQueueObject *self, PyObject *unused)
{
    (void)unused;
    if (self->closed && (self->simple || self->used)) {
        PyErr_Format(PyExc_OSError, "Queue %R is closed", self);
        return NULL;
    }
    return PyBool_FromLong(cx_shmring_len(&self->ring) == 0);
}

static PyObject *
queue_full(MpQueueObject *self, PyObject *unused)
{
    (void)unused;
    uint64_t most = self->ring.shared->most;
    return PyBool_FromLong(most != 0 && cx_shmring_len(&self->ring) >= most);
}

static PyObject *
queue_task_done(MpQueueObject *self, PyObject *unused)
{
    (void)unused;
    if (!cx_shmring_done(&self->ring)) {
        PyErr_SetString(PyExc_ValueError, "task_done() called too many times");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
queue_join(MpQueueObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const struct cxb_signature signature = {"join", 0, {"timeout", NULL}};
    PyObject *out[1] = {NULL};
    int64_t deadline;
    uint32_t *bell = &self->ring.shared->joined.sleepers;
    if (cxb_bind(&signature, args, nargs, kwnames, out) < 0 ||
        cxb_mp_deadline(NULL, out[0], &deadline) < 0) {
        return NULL;
    }
    while (!cx_shmring_all_done(&self->ring)) {
        uint32_t heard = cx_shmchime_listen(bell);
        if (cx_shmring_all_done(&self->ring)) {
            break;
        }
        enum cxb_wait how = deadline == 0 ? CXB_TIMED_OUT : cxb_wait_shared(bell, heard, deadline);
        if (how == CXB_ERROR) {
            return NULL;
        }
        if (how == CXB_TIMED_OUT) {
            Py_RETURN_FALSE;
        }
    }
    Py_RETURN_TRUE;
}

static PyObject *
queue_shutdown(MpQueueObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const struct cxb_signature signature = {"shutdown", 0, {"immediate", NULL}};
    PyObject *out[1] = {NULL};
    struct cx_shmlock_busy busy = {0};
    int immediate = cxb_bind(&signature, args, nargs, kwnames, out) < 0 ? -1 : cxb_truth(out[0], 0);
    if (immediate < 0) {
        return NULL;
    }
    while (cx_shmring_close(&self->ring, immediate, &busy) == CX_WAIT) {
        if (cxb_mpqueue_wait_inside(&busy) < 0) {
            return NULL;
        }
    }
    Py_RETURN_NONE;
}

static PyObject *
queue_stats(MpQueueObject *self, PyObject *unused)
{
    (void)unused;
    struct cx_shmring *ring = &self->ring;
    unsigned long long takes = cx_shmring_takes(ring), puts = cx_shmring_puts(ring);
    Py_ssize_t tasks = 0;
    for (int side = 0; side < CXB_SIDES; side++) {
        cx_turnstile_repair(&self->tasks[side]);
        tasks += (Py_ssize_t)cx_waitlist_count(&self->tasks[side].list);
    }
    return Py_BuildValue("(KKKKKKnO)", (unsigned long long)cx_shmring_len(ring),
                         (unsigned long long)ring->shared->most, puts, takes,
                         (unsigned long long)cx_shmring_unfinished(ring),
                         (unsigned long long)cx_shmring_memory(ring), tasks,
                         cx_load_acquire(&ring->shared->closed) != 0 ? Py_True : Py_False);
}

static PyObject *
queue_segment(MpQueueObject *self, PyObject *unused)
{
    (void)unused;
    return Py_NewRef(self->segment);
}

static PyObject *
queue_maxsize(MpQueueObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(self->ring.shared->most);
}

static PyMethodDef queue_methods[] = {
    {"qsize", (PyCFunction)queue_qsize, METH_NOARGS,
     DOC("qsize($self)\n--\n\nHow many messages are there; exact while nobody puts or gets.")},
    {"empty", (PyCFunction)queue_empty, METH_NOARGS,
     DOC("empty($self)\n--\n\nWhether there is none.")},
    {"full", (PyCFunction)queue_full, METH_NOARGS,
     DOC("full($self)\n--\n\nWhether there are `maxsize`.")},
    {"_task_done", (PyCFunction)queue_task_done, METH_NOARGS,
     DOC("_task_done($self)\n--\n\nOne message is finished with.")},
    {"_join", CXB_FASTCALL(queue_join),
     DOC("_join($self, timeout=None)\n--\n\nWait until all are finished with; False if not in "
         "time.")},
    {"shutdown", CXB_FASTCALL(queue_shutdown),
     DOC("shutdown($self, immediate=False)\n--\n\nLet no process put any more; get() raises "
         "queue.ShutDown once the queue is empty, or at once if `immediate`: what is there is then "
         "dropped and counts as finished with.")},
    {"_stats", (PyCFunction)queue_stats, METH_NOARGS,
     DOC("_stats($self)\n--\n\nSize, maxsize, puts, gets, unfinished, bytes of memory, waiting "
         "tasks, shut down.")},
    {"_segment", (PyCFunction)queue_segment, METH_NOARGS,
     DOC("_segment($self)\n--\n\nWhere it is.")},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef queue_members[] = {
    {"_closed", Py_T_BOOL, offsetof(MpQueueObject, closed), 0, NULL},
    {"_simple", Py_T_BOOL, offsetof(MpQueueObject, simple), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef queue_getset[] = {
    {"_maxsize", (getter)queue_maxsize, NULL, DOC("The most messages; 0 for any number."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot queue_slots[] = {
    {Py_tp_new, queue_new},
    {Py_tp_doc, (void *)DOC("MpQueueBase(segment, most=None)\n--\n\nThe base of the queues between "
                            "processes.")},
    {Py_tp_methods, queue_methods},
    {Py_tp_members, queue_members},
    {Py_tp_getset, queue_getset},
    {Py_tp_traverse, queue_traverse},
    {Py_tp_dealloc, queue_dealloc},
    {0, NULL},
};

PyType_Spec cxb_mpqueue_spec = {
    .name = "concx._core.MpQueueBase",
    .basicsize = sizeof(MpQueueObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = queue_slots,
};

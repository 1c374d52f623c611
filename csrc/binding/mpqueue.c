// SPDX-License-Identifier: MIT
#include "binding/mpqueue.h"

#include <string.h>

#include "binding/errors.h"
#include "binding/payload.h"

#define DOC(text) PyDoc_STR(text)

int
cxb_mpqueue_wait_inside(const struct cx_shmlock_busy *busy)
{
    return cxb_wait_shared(busy->word, busy->seen, CX_FOREVER) == CXB_ERROR ? -1 : 0;
}

int
cxb_mpqueue_open(MpQueueObject *self)
{
    if (CX_UNLIKELY(self->closed)) {
        PyErr_Format(self->simple ? PyExc_OSError : PyExc_ValueError, "Queue %R is closed", self);
        return -1;
    }
    return 0;
}

PyObject *
cxb_mpqueue_raise(MpQueueObject *self, enum cx_status status)
{
    return cxb_shm_raise(self->state, &self->segment->shm, status);
}

/* --- pickling --------------------------------------------------------------------------------- */

PyObject *
cxb_mpqueue_dumps(struct cxb_state *state, PyObject *object)
{
    PyObject *dumps = cxb_payload_is_plain(object, 2)
                          ? cxb_import_once(&state->pickle_dumps, "pickle", "dumps")
                          : cxb_import_once(&state->forking_dumps, "concx._shm", "dumps");
    return dumps == NULL ? NULL : PyObject_CallOneArg(dumps, object);
}

PyObject *
cxb_mpqueue_loads(struct cxb_state *state, const struct cx_shmring_message *message,
                  PyObject *whole)
{
    PyObject *bytes = whole != NULL
                          ? Py_NewRef(whole)
                          : PyBytes_FromStringAndSize(message->data, (Py_ssize_t)message->length);
    if (bytes == NULL || message->kind == CXB_MESSAGE_BYTES) {
        return bytes;
    }
    PyObject *loads = cxb_import_once(&state->pickle_loads, "pickle", "loads");
    PyObject *object = loads == NULL ? NULL : PyObject_CallOneArg(loads, bytes);
    Py_DECREF(bytes);
    return object;
}

/* --- put -------------------------------------------------------------------------------------- */

/* How many bytes are worth leaving the interpreter for. */
#define LARGE (UINT64_C(1) << 16)

enum cx_status
cxb_mpqueue_try_put(MpQueueObject *self, const struct cx_shmring_message *messages, uint64_t n,
                    uint64_t *put, struct cx_shmlock_busy *busy)
{
    enum cx_status status;
    self->used = true;
    if (n > 8 || messages->length > LARGE) {
        Py_BEGIN_ALLOW_THREADS
        status = cx_shmring_put(&self->ring, messages, n, put, busy);
        Py_END_ALLOW_THREADS
        return status;
    }
    return cx_shmring_put(&self->ring, messages, n, put, busy);
}

int64_t
cxb_mpqueue_put(MpQueueObject *self, const struct cx_shmring_message *messages, uint64_t n,
                int64_t deadline)
{
    uint32_t *bell = &self->ring.shared->room.sleepers;
    struct cx_shmlock_busy busy = {0};
    uint64_t all = 0, put;
    uint32_t heard = 0;
    for (;;) {
        enum cx_status status = cxb_mpqueue_try_put(self, messages + all, n - all, &put, &busy);
        all += put;
        if (status == CX_OK) {
            return (int64_t)all;
        }
        if (status == CX_WAIT) {
            if (cxb_mpqueue_wait_inside(&busy) < 0) {
                return all > 0 ? (int64_t)all : -1;
            }
            continue;
        }
        if (status != CX_FULL || deadline == 0) {
            if (all == 0 || status != CX_FULL) {
                (void)cxb_mpqueue_raise(self, status);
            }
            return all > 0 && status == CX_FULL ? (int64_t)all : -1;
        }
        if (heard == 0) {
            heard = cx_shmchime_listen(bell);
            continue;
        }
        enum cxb_wait how = cxb_wait_shared(bell, heard, deadline);
        heard = 0;
        if (how == CXB_ERROR) {
            return -1;
        }
        deadline = how == CXB_TIMED_OUT ? 0 : deadline;
    }
}

PyObject *
cxb_mpqueue_with_message(MpQueueObject *self, PyObject *data, uint32_t kind, void *arg,
                         PyObject *(*fn)(MpQueueObject *, const struct cx_shmring_message *,
                                         void *))
{
    Py_buffer view;
    if (PyBytes_CheckExact(data)) {
        struct cx_shmring_message message = {PyBytes_AS_STRING(data),
                                             (uint64_t)PyBytes_GET_SIZE(data), kind};
        return fn(self, &message, arg);
    }
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    struct cx_shmring_message message = {view.buf, (uint64_t)view.len, kind};
    PyObject *result = fn(self, &message, arg);
    PyBuffer_Release(&view);
    return result;
}

static PyObject *
put_until(MpQueueObject *self, const struct cx_shmring_message *message, void *deadline)
{
    return cxb_mpqueue_put(self, message, 1, *(int64_t *)deadline) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
put_message(MpQueueObject *self, PyObject *data, uint32_t kind, PyObject *block, PyObject *timeout)
{
    int64_t deadline = CX_FOREVER;
    if ((block != NULL || timeout != NULL) && cxb_mp_deadline(block, timeout, &deadline) < 0) {
        return NULL;
    }
    return cxb_mpqueue_with_message(self, data, kind, &deadline, put_until);
}

static PyObject *
queue_put(MpQueueObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const struct cxb_signature signature = {"put", 1, {"obj", "block", "timeout", NULL}};
    PyObject *out[3] = {NULL};
    if (nargs == 1 && kwnames == NULL) {
        out[0] = args[0];
    }
    else if (cxb_bind(&signature, args, nargs, kwnames, out) < 0) {
        return NULL;
    }
    PyObject *data = cxb_mpqueue_open(self) < 0 ? NULL : cxb_mpqueue_dumps(self->state, out[0]);
    PyObject *done =
        data == NULL ? NULL : put_message(self, data, CXB_MESSAGE_PICKLE, out[1], out[2]);
    Py_XDECREF(data);
    return done;
}

static PyObject *
queue_put_nowait(MpQueueObject *self, PyObject *object)
{
    PyObject *data = cxb_mpqueue_open(self) < 0 ? NULL : cxb_mpqueue_dumps(self->state, object);
    PyObject *done =
        data == NULL ? NULL : put_message(self, data, CXB_MESSAGE_PICKLE, Py_False, NULL);
    Py_XDECREF(data);
    return done;
}

static PyObject *
queue_put_bytes(MpQueueObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const struct cxb_signature signature = {
        "put_bytes", 1, {"data", "block", "timeout", NULL}};
    PyObject *out[3] = {NULL};
    if (cxb_bind(&signature, args, nargs, kwnames, out) < 0 || cxb_mpqueue_open(self) < 0) {
        return NULL;
    }
    return put_message(self, out[0], CXB_MESSAGE_BYTES, out[1], out[2]);
}

/* --- get -------------------------------------------------------------------------------------- */

#define SMALL 2048 /* bytes that a message may have to be taken at the first look */

enum cx_status
cxb_mpqueue_pause(MpQueueObject *self, enum cx_status status, struct cxb_mpqueue_getting *getting)
{
    uint32_t *bell = &self->ring.shared->items.sleepers;
    if (status == CX_WAIT) {
        if (!getting->hurries) {
            return cxb_mpqueue_wait_inside(&getting->busy) < 0 ? CX_INTR : CX_OK;
        }
        if (getting->slept) {
            return CX_AGAIN;
        }
        getting->slept = true;
        return cxb_wait_shared(getting->busy.word, getting->busy.seen,
                               cx_deadline_after(CXB_A_MOMENT)) == CXB_ERROR
                   ? CX_INTR
                   : CX_OK;
    }
    if (status != CX_EMPTY || getting->deadline == 0) {
        return status;
    }
    if (getting->heard == 0) {
        getting->heard = cx_shmchime_listen(bell);
        return CX_OK;
    }
    enum cxb_wait how = cxb_wait_shared(bell, getting->heard, getting->deadline);
    getting->heard = 0;
    getting->slept = true;
    if (how == CXB_ERROR) {
        cx_shmchime_strike(bell, 1);
        return CX_INTR;
    }
    if (how == CXB_TIMED_OUT) {
        getting->deadline = 0;
        return CX_OK;
    }
    getting->heard = cx_shmchime_listen(bell); /* others may sleep still */
    return CX_OK;
}

void
cxb_mpqueue_taken(MpQueueObject *self, const struct cxb_mpqueue_getting *getting)
{
    /* One wake may have been given for several messages. */
    if (getting->slept && cx_shmring_len(&self->ring) > 0) {
        cx_shmchime_strike(&self->ring.shared->items.sleepers, 1);
    }
}

enum cx_status
cxb_mpqueue_try_get(MpQueueObject *self, struct cxb_mpqueue_getting *getting, PyObject **object)
{
    char small[SMALL];
    void *space = small;
    uint64_t bytes = SMALL, got;
    PyObject *whole = NULL;
    struct cx_shmring_message message = {0};
    enum cx_status status;
    for (;;) {
        if (bytes > LARGE) {
            Py_BEGIN_ALLOW_THREADS
            status = cx_shmring_take(&self->ring, space, bytes, &message, 1, &got, &getting->busy);
            Py_END_ALLOW_THREADS
        }
        else {
            status = cx_shmring_take(&self->ring, space, bytes, &message, 1, &got, &getting->busy);
        }
        if (status != CX_TOO_BIG) {
            break;
        }
        Py_XSETREF(whole, PyBytes_FromStringAndSize(NULL, (Py_ssize_t)message.length));
        if (whole == NULL) {
            return CX_INTR;
        }
        space = PyBytes_AS_STRING(whole);
        bytes = message.length;
    }
    if (status == CX_OK) {
        cxb_mpqueue_taken(self, getting);
        if (whole != NULL && message.length != bytes) { /* another one came first */
            Py_SETREF(whole, PyBytes_FromStringAndSize(space, (Py_ssize_t)message.length));
            if (whole == NULL) {
                return CX_INTR;
            }
        }
        message.kind = getting->raw ? CXB_MESSAGE_BYTES : message.kind;
        *object = cxb_mpqueue_loads(self->state, &message, whole);
        status = *object == NULL ? CX_INTR : CX_OK;
    }
    Py_XDECREF(whole);
    return status;
}

/* The next message, decoded, or NULL with an exception. */
static PyObject *
take_one(MpQueueObject *self, int64_t deadline, bool raw)
{
    struct cxb_mpqueue_getting getting = {.deadline = deadline, .raw = raw};
    PyObject *object;
    for (;;) {
        enum cx_status status = cxb_mpqueue_try_get(self, &getting, &object);
        if (status == CX_OK) {
            return object;
        }
        if (status != CX_INTR) {
            status = cxb_mpqueue_pause(self, status, &getting);
        }
        if (status != CX_OK) {
            return status == CX_INTR ? NULL : cxb_mpqueue_raise(self, status);
        }
    }
}

static PyObject *
get_with(MpQueueObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
         const char *name, bool raw)
{
    const struct cxb_signature signature = {name, 0, {"block", "timeout", NULL}};
    PyObject *out[2] = {NULL};
    int64_t deadline = CX_FOREVER;
    if ((nargs != 0 || kwnames != NULL) && (cxb_bind(&signature, args, nargs, kwnames, out) < 0 ||
                                            cxb_mp_deadline(out[0], out[1], &deadline) < 0)) {
        return NULL;
    }
    return cxb_mpqueue_open(self) < 0 ? NULL : take_one(self, deadline, raw);
}

static PyObject *
queue_get(MpQueueObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return get_with(self, args, nargs, kwnames, "get", false);
}

static PyObject *
queue_get_nowait(MpQueueObject *self, PyObject *unused)
{
    (void)unused;
    return cxb_mpqueue_open(self) < 0 ? NULL : take_one(self, 0, false);
}

static PyObject *
queue_get_bytes(MpQueueObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return get_with(self, args, nargs, kwnames, "get_bytes", true);
}

PyMethodDef cxb_mpqueue_methods[] = {
    {"put", CXB_FASTCALL(queue_put),
     DOC("put($self, obj, block=True, timeout=None)\n--\n\nPickle `obj` and add it.\n\nRaises\n"
         "------\nqueue.Full\n    If there was no room within `timeout` seconds.")},
    {"get", CXB_FASTCALL(queue_get),
     DOC("get($self, block=True, timeout=None)\n--\n\nTake the oldest message.\n\nRaises\n------\n"
         "queue.Empty\n    If there was none within `timeout` seconds.")},
    {"put_nowait", (PyCFunction)queue_put_nowait, METH_O,
     DOC("put_nowait($self, obj, /)\n--\n\n``put(obj, False)``.")},
    {"get_nowait", (PyCFunction)queue_get_nowait, METH_NOARGS,
     DOC("get_nowait($self)\n--\n\n``get(False)``.")},
    {"put_bytes", CXB_FASTCALL(queue_put_bytes),
     DOC("put_bytes($self, data, block=True, timeout=None)\n--\n\n"
         "Add bytes as they are; get() returns them as bytes.")},
    {"get_bytes", CXB_FASTCALL(queue_get_bytes),
     DOC("get_bytes($self, block=True, timeout=None)\n--\n\n"
         "Take the oldest message as bytes; of one that put() added, its pickle.")},
    {"put_many", CXB_FASTCALL(cxb_mpqueue_put_many),
     DOC("put_many($self, items, block=True, timeout=None)\n--\n\nAdd the items in order, as many "
         "at once as there is room for; how many went in.")},
    {"get_many", CXB_FASTCALL(cxb_mpqueue_get_many),
     DOC("get_many($self, max_items, block=True, timeout=None)\n--\n\nWait for the first message, "
         "then take what is there, at most `max_items`; a list.")},
    {NULL, NULL, 0, NULL},
};

// SPDX-License-Identifier: MIT
#include "binding/pieces.h"

#include "binding/payload.h"
#include "binding/procwire.h"

/* --- the sender ------------------------------------------------------------------------------- */

struct cxb_bulk *
cxb_bulk_new(PyObject *buffers)
{
    PyObject *items = PySequence_Fast(buffers, "a bulk is a sequence of buffers");
    Py_ssize_t n = items == NULL ? 0 : PySequence_Fast_GET_SIZE(items);
    struct cxb_bulk *bulk =
        items == NULL ? NULL : PyMem_RawCalloc(1, sizeof *bulk + (size_t)n * sizeof *bulk->views);
    if (bulk != NULL) {
        bulk->parts = PyMem_RawCalloc((size_t)n + 1, sizeof *bulk->parts);
    }
    if (bulk == NULL || bulk->parts == NULL) {
        PyMem_RawFree(bulk);
        Py_XDECREF(items);
        return items == NULL ? NULL : (PyErr_NoMemory(), NULL);
    }
    for (; bulk->count < (uint32_t)n; bulk->count++) {
        Py_buffer *view = &bulk->views[bulk->count];
        PyObject *item = PySequence_Fast_GET_ITEM(items, (Py_ssize_t)bulk->count);
        if (PyObject_GetBuffer(item, view, PyBUF_SIMPLE) < 0) {
            cxb_bulk_free(bulk);
            Py_DECREF(items);
            return NULL;
        }
        bulk->parts[bulk->count] = (struct cx_part){view->buf, (uint64_t)view->len};
        bulk->size += (uint64_t)view->len;
    }
    Py_DECREF(items);
    return bulk;
}

void
cxb_bulk_free(struct cxb_bulk *bulk)
{
    for (uint32_t i = 0; bulk != NULL && i < bulk->count; i++) {
        PyBuffer_Release(&bulk->views[i]);
    }
    if (bulk != NULL) {
        PyMem_RawFree(bulk->parts);
    }
    PyMem_RawFree(bulk);
}

void
cxb_bulk_begin(struct cxb_bulk *bulk, uint32_t kind, uint64_t id)
{
    cx_pieces_init(&bulk->pieces, bulk->parts, bulk->count, bulk->size, kind, id);
}

/* --- the receiver ----------------------------------------------------------------------------- */

/* A new object of (size, whether it is bytes), and where its bytes go. */
static PyObject *
make_part(PyObject *what, struct cx_part *part)
{
    Py_ssize_t size;
    int is_bytes;
    if (!PyArg_ParseTuple(what, "np", &size, &is_bytes)) {
        return NULL;
    }
    if (size < 0) {
        return PyErr_Format(PyExc_ValueError, "a part of a message cannot have %zd bytes", size);
    }
    /* Not touched before the data comes. */
    PyObject *object = is_bytes ? PyBytes_FromStringAndSize(NULL, size)
                                : PyByteArray_FromStringAndSize(NULL, size);
    if (object != NULL) {
        part->data = is_bytes ? PyBytes_AS_STRING(object) : PyByteArray_AS_STRING(object);
        part->length = (uint64_t)size;
    }
    return object;
}

/* The objects of reader.expect(): a list, with their places in `arrival`; NULL with an exception. */
static PyObject *
make_parts(struct cxb_arrival *arrival, PyObject *sizes, uint64_t total)
{
    uint64_t sum = 0;
    Py_ssize_t n = PyList_Check(sizes) ? PyList_GET_SIZE(sizes) : -1;
    PyObject *made =
        n < 0 ? PyErr_Format(PyExc_TypeError, "not a list of sizes: %R", sizes) : PyList_New(n);
    if (made == NULL) {
        return NULL;
    }
    arrival->parts = PyMem_RawCalloc((size_t)n + 1, sizeof *arrival->parts);
    if (arrival->parts == NULL) {
        Py_DECREF(made);
        return PyErr_NoMemory();
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *part = make_part(PyList_GET_ITEM(sizes, i), &arrival->parts[i]);
        if (part == NULL) {
            Py_DECREF(made);
            return NULL;
        }
        PyList_SET_ITEM(made, i, part);
        sum += arrival->parts[i].length;
    }
    if (sum != total) {
        Py_DECREF(made);
        return PyErr_Format(PyExc_ValueError, "a message of %llu bytes cannot have parts of %llu",
                            (unsigned long long)total, (unsigned long long)sum);
    }
    return made;
}

int
cxb_arrival_begin(struct cxb_arrival *arrival, PyObject *reader, const struct cx_lane_message *m,
                  uint32_t kind)
{
    uint64_t total = m->flags >> CXB_BULK;
    *arrival = (struct cxb_arrival){.flags = m->flags};
    cx_pieces_init(&arrival->pieces, NULL, 0, total, kind, m->id);
    arrival->head = PyBytes_FromStringAndSize(m->data, (Py_ssize_t)m->length);
    PyObject *sizes =
        arrival->head == NULL ? NULL : PyObject_CallMethod(reader, "expect", "(O)", arrival->head);
    if (sizes == NULL || sizes == Py_None) {
        Py_XDECREF(sizes);
        return sizes == NULL ? -1 : 0;
    }
    arrival->buffers = make_parts(arrival, sizes, total);
    if (arrival->buffers != NULL) {
        cx_pieces_init(&arrival->pieces, arrival->parts, (uint32_t)PyList_GET_SIZE(sizes), total,
                       kind, m->id);
    }
    Py_DECREF(sizes);
    return arrival->buffers == NULL ? -1 : 1;
}

enum cx_status
cxb_arrival_get(struct cxb_arrival *arrival, const struct cx_lane_message *m)
{
    enum cx_status status;
    Py_BEGIN_ALLOW_THREADS
    status = cx_pieces_get(&arrival->pieces, m);
    Py_END_ALLOW_THREADS
    return status;
}

PyObject *
cxb_arrival_load(struct cxb_arrival *arrival, PyObject *reader, PyObject *how)
{
    PyObject *name = PyUnicode_InternFromString("load");
    PyObject *object =
        name == NULL ? NULL
        : how == NULL
            ? PyObject_CallMethodObjArgs(reader, name, arrival->head, arrival->buffers, NULL)
            : PyObject_CallMethodObjArgs(reader, name, arrival->head, how, arrival->buffers, NULL);
    Py_XDECREF(name);
    return object;
}

void
cxb_arrival_clear(struct cxb_arrival *arrival)
{
    Py_CLEAR(arrival->head);
    Py_CLEAR(arrival->buffers);
    Py_CLEAR(arrival->error);
    PyMem_RawFree(arrival->parts);
    arrival->parts = NULL;
}

// SPDX-License-Identifier: MIT
#include "binding/payload.h"

#define COPIED 8192 /* bytes; what is longer is read where it lies */
/* Bytes objects up to this are pickled with the rest: there and back in 12 us, in a block 40. */
#define INLINE (128 << 10)

bool
cxb_payload_is_plain(PyObject *object, int depth)
{
    PyTypeObject *type = Py_TYPE(object);
    if (type == &PyLong_Type || type == &PyUnicode_Type || type == &PyFloat_Type ||
        type == &PyBool_Type || object == Py_None) {
        return true;
    }
    if (type == &PyBytes_Type) {
        return PyBytes_GET_SIZE(object) <= INLINE;
    }
    if (type != &PyTuple_Type || depth == 0 || PyTuple_GET_SIZE(object) > 16) {
        return false;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(object); i++) {
        if (!cxb_payload_is_plain(PyTuple_GET_ITEM(object, i), depth - 1)) {
            return false;
        }
    }
    return true;
}

PyObject *
cxb_payload_dump(struct cxb_state *state, PyObject *object, bool plain)
{
    if (!plain) {
        PyObject *dump = cxb_import_once(&state->payload_dump, "concx._pickled", "dump");
        return dump == NULL ? NULL : PyObject_CallOneArg(dump, object);
    }
    PyObject *dumps = cxb_import_once(&state->pickle_dumps, "pickle", "dumps");
    return dumps == NULL ? NULL : PyObject_CallOneArg(dumps, object);
}

/* Whoever still has the view must not look: what it shows will be overwritten. */
static void
release(PyObject *view)
{
    PyObject *error = cxb_error_set_aside();
    PyObject *released = PyObject_CallMethod(view, "release", NULL);
    if (released == NULL) {
        PyErr_WriteUnraisable(view);
    }
    Py_XDECREF(released);
    cxb_error_put_back(error);
}

PyObject *
cxb_payload_load(struct cxb_state *state, const void *data, uint64_t length)
{
    PyObject *loads = cxb_import_once(&state->pickle_loads, "pickle", "loads"), *bytes, *object;
    if (loads == NULL) {
        return NULL;
    }
    bytes = length <= COPIED
                ? PyBytes_FromStringAndSize(data, (Py_ssize_t)length)
                : PyMemoryView_FromMemory((char *)(uintptr_t)data, (Py_ssize_t)length, PyBUF_READ);
    if (bytes == NULL) {
        return NULL;
    }
    object = PyObject_CallOneArg(loads, bytes);
    if (length > COPIED) {
        release(bytes);
    }
    Py_DECREF(bytes);
    return object;
}

PyObject *
cxb_payload_load_with(PyObject *reader, const void *data, uint64_t length, PyObject *how)
{
    PyObject *view =
        PyMemoryView_FromMemory((char *)(uintptr_t)data, (Py_ssize_t)length, PyBUF_READ);
    PyObject *name = view == NULL ? NULL : PyUnicode_InternFromString("load");
    PyObject *object =
        name == NULL ? NULL : PyObject_CallMethodObjArgs(reader, name, view, how, NULL);
    Py_XDECREF(name);
    if (view != NULL) {
        release(view);
        Py_DECREF(view);
    }
    return object;
}

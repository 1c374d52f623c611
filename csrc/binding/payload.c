// SPDX-License-Identifier: MIT
#include "binding/payload.h"

#define COPIED 8192 /* bytes; what is longer is read where it lies */

bool
cxb_payload_is_plain(PyObject *object, int depth)
{
    PyTypeObject *type = Py_TYPE(object);
    if (type == &PyLong_Type || type == &PyUnicode_Type || type == &PyBytes_Type ||
        type == &PyFloat_Type || type == &PyBool_Type || object == Py_None) {
        return true;
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
        PyObject *error = cxb_error_set_aside();
        PyObject *released = PyObject_CallMethod(bytes, "release", NULL);
        if (released == NULL) {
            PyErr_WriteUnraisable(bytes);
        }
        Py_XDECREF(released);
        cxb_error_put_back(error);
    }
    Py_DECREF(bytes);
    return object;
}

// SPDX-License-Identifier: MIT
#include "binding/errors.h"

#include <errno.h>

PyObject *
cxb_raise(struct cxb_state *state, enum cx_status status)
{
    switch (status) {
    case CX_EMPTY:
        PyErr_SetNone(state->Empty);
        break;
    case CX_FULL:
        PyErr_SetNone(state->Full);
        break;
    case CX_CLOSED:
        PyErr_SetNone(state->ShutDown);
        break;
    case CX_NOMEM:
        PyErr_NoMemory();
        break;
    case CX_INTR:
        break;
    case CX_DIED:
        PyErr_SetString(state->OwnerDied,
                        "the process that held this lock has died; recover() frees it");
        break;
    case CX_DAMAGED:
        PyErr_SetString(
            state->SegmentDamaged,
            "this shared memory is not what it should be: another program wrote into it, "
            "or another version of concx made it");
        break;
    case CX_TOO_BIG:
        PyErr_SetString(PyExc_ValueError, "a message has at most 32 GiB");
        break;
    default:
        PyErr_Format(PyExc_SystemError, "concx: unexpected status %d", (int)status);
        break;
    }
    return NULL;
}

void
cxb_raise_errno(int error)
{
    if (error == ENOMEM) {
        PyErr_NoMemory();
    }
    else {
        errno = error;
        PyErr_SetFromErrno(PyExc_OSError);
    }
}

void
cxb_raise_key(PyObject *key)
{
    PyObject *argument = PyTuple_Pack(1, key);
    if (argument != NULL) {
        PyErr_SetObject(PyExc_KeyError, argument);
        Py_DECREF(argument);
    }
}

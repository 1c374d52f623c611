// SPDX-License-Identifier: MIT
#include "binding/errors.h"

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
    default:
        PyErr_Format(PyExc_SystemError, "concx: unexpected status %d", (int)status);
        break;
    }
    return NULL;
}

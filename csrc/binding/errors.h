// SPDX-License-Identifier: MIT
/* binding/errors.h - the one place that turns a cx_status into an exception. */
#ifndef CX_BINDING_ERRORS_H
#define CX_BINDING_ERRORS_H

#include "binding/module.h"
#include "core/status.h"

/* Sets the exception for a status that is not CX_OK and returns NULL.  A signal's exception is set
 * already (CX_INTR). */
PyObject *cxb_raise(struct cxb_state *state, enum cx_status status);

/* MemoryError for ENOMEM, OSError for another errno. */
void cxb_raise_errno(int error);

/* KeyError(key), of a tuple too with one argument. */
void cxb_raise_key(PyObject *key);

#endif

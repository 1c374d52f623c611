// SPDX-License-Identifier: MIT
/* binding/done.h - a coroutine that has ended before it is awaited: a value for whoever expects to wait.
 *
 * It is a collections.abc.Coroutine, so that create_task, gather and run take it; awaiting it does not
 * suspend.  Like a coroutine it can be awaited once.
 */
#ifndef CX_BINDING_DONE_H
#define CX_BINDING_DONE_H

#include "binding/module.h"

/* Takes the reference over, also where it fails; NULL stays NULL. */
PyObject *cxb_done_steal(struct cxb_state *state, PyObject *value);

#endif

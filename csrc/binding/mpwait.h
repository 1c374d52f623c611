// SPDX-License-Identifier: MIT
/* binding/mpwait.h - what the objects between processes share: arguments of a wait, and its end. */
#ifndef CX_BINDING_MPWAIT_H
#define CX_BINDING_MPWAIT_H

#include "binding/block.h"
#include "binding/kwargs.h"
#include "binding/shmsegment.h"
#include "core/shmlock.h"

/* `block` and `timeout` as multiprocessing has them, where a negative timeout is none: 0, or -1 with an
 * exception.  A deadline of 0: do not wait. */
int cxb_mp_deadline(PyObject *block, PyObject *timeout, int64_t *deadline);

/* The same for a task, whose wait has not begun. */
int cxb_mp_limit(PyObject *block, PyObject *timeout, struct cxb_limit *limit);

/* A waiter leaves by an exception and may have been the one that was woken: another one is. */
void cxb_mp_pass_on(uint32_t *word, bool is_semaphore);

#endif

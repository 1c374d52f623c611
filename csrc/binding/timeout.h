// SPDX-License-Identifier: MIT
/* binding/timeout.h - what users give as `timeout`, made a deadline.
 *
 * None waits for ever; a number is in seconds; a datetime.timedelta is one too.  The errors are the
 * standard library's: ValueError for a negative or NaN value, TypeError for what is no number,
 * OverflowError for more than a lock can wait, that one only when it comes to waiting.
 */
#ifndef CX_BINDING_TIMEOUT_H
#define CX_BINDING_TIMEOUT_H

#include "binding/compat.h"
#include "core/clock.h"

struct cxb_timeout {
    bool given;
    bool huge;  /* more than can be waited */
    int64_t ns; /* if given */
};

/* 0, or -1 with an exception. */
int cxb_timeout_parse(PyObject *object, struct cxb_timeout *timeout);

/* OverflowError for more than can be waited, whatever its sign, as queue.SimpleQueue has it. */
int cxb_timeout_in_range(PyObject *object);

/* The deadline of a wait that starts now: 0, or -1 with OverflowError. */
int cxb_timeout_start(const struct cxb_timeout *timeout, int64_t *deadline);

/* How an operation may wait: whether, how long, until when. */
struct cxb_limit {
    bool block;
    struct cxb_timeout timeout;
    int64_t deadline; /* 0: the wait has not begun */
};

/* Looks at `timeout` only if `block`; a timeout of zero does not block.  0, or -1 with an
 * exception. */
int cxb_limit_parse(struct cxb_limit *limit, bool block, PyObject *timeout);

/* What is left as a Python timeout: None or seconds; a new reference. */
PyObject *cxb_limit_rest(const struct cxb_limit *limit);

#endif

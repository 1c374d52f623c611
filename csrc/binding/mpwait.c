// SPDX-License-Identifier: MIT
#include "binding/mpwait.h"

void
cxb_mp_pass_on(uint32_t *word, bool is_semaphore)
{
    uint32_t now = cx_load_relaxed(word);
    if (is_semaphore ? (now & ~CX_SHM_WAITED) != 0 : now == 0) {
        (void)cx_unpark_shared(word, 1);
    }
}

/* Whether it is a number below zero; -1 with an exception. */
static int
is_negative(PyObject *timeout)
{
    if (timeout == NULL || !PyLong_Check(timeout)) {
        return timeout != NULL && PyFloat_Check(timeout) && PyFloat_AS_DOUBLE(timeout) < 0;
    }
    PyObject *zero = PyLong_FromLong(0);
    int negative = zero == NULL ? -1 : PyObject_RichCompareBool(timeout, zero, Py_LT);
    Py_XDECREF(zero);
    return negative;
}

int
cxb_mp_limit(PyObject *block, PyObject *timeout, struct cxb_limit *limit)
{
    int blocks = cxb_truth(block, 1);
    int negative = blocks > 0 ? is_negative(timeout) : blocks;
    *limit = (struct cxb_limit){.block = false};
    if (blocks <= 0 || negative != 0) {
        return blocks < 0 || negative < 0 ? -1 : 0;
    }
    return cxb_limit_parse(limit, true, timeout);
}

int
cxb_mp_deadline(PyObject *block, PyObject *timeout, int64_t *deadline)
{
    struct cxb_limit limit;
    *deadline = 0;
    if (cxb_mp_limit(block, timeout, &limit) < 0) {
        return -1;
    }
    return limit.block ? cxb_timeout_start(&limit.timeout, deadline) : 0;
}

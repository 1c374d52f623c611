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

int
cxb_mp_deadline(PyObject *block, PyObject *timeout, int64_t *deadline)
{
    struct cxb_timeout limit;
    int blocks = cxb_truth(block, 1);
    *deadline = 0;
    if (blocks <= 0) {
        return blocks;
    }
    if (timeout != NULL && PyFloat_Check(timeout) && PyFloat_AS_DOUBLE(timeout) < 0) {
        return 0;
    }
    if (timeout != NULL && PyLong_Check(timeout)) {
        PyObject *zero = PyLong_FromLong(0);
        int negative = zero == NULL ? -1 : PyObject_RichCompareBool(timeout, zero, Py_LT);
        Py_XDECREF(zero);
        if (negative != 0) {
            return negative < 0 ? -1 : 0;
        }
    }
    if (cxb_timeout_parse(timeout, &limit) < 0) {
        return -1;
    }
    return limit.given && limit.ns == 0 ? 0 : cxb_timeout_start(&limit, deadline);
}

// SPDX-License-Identifier: MIT
#include "binding/timeout.h"

#include <math.h>

#include "binding/names.h"

/* threading.TIMEOUT_MAX, the most that a lock of the standard library waits, in seconds. */
#define MOST_SECONDS 9223372036.0

static int
from_seconds(double seconds, struct cxb_timeout *timeout)
{
    if (isnan(seconds)) {
        PyErr_SetString(PyExc_ValueError, "Invalid value NaN (not a number)");
        return -1;
    }
    if (seconds < 0) {
        PyErr_SetString(PyExc_ValueError, "'timeout' must be a non-negative number");
        return -1;
    }
    timeout->given = true;
    timeout->huge = seconds > MOST_SECONDS;
    timeout->ns = timeout->huge ? INT64_MAX : (int64_t)ceil(seconds * 1e9);
    return 0;
}

/* A number or a timedelta as seconds; an int beyond every float is infinite.  0 or -1. */
static int
to_seconds(PyObject *object, double *seconds)
{
    PyObject *number;
    if (PyFloat_Check(object)) {
        *seconds = PyFloat_AS_DOUBLE(object);
        return 0;
    }
    if (PyIndex_Check(object) || (Py_TYPE(object)->tp_as_number != NULL &&
                                  Py_TYPE(object)->tp_as_number->nb_float != NULL)) {
        number = Py_NewRef(object);
    }
    else {
        PyObject *method = cxb_attribute(object, "total_seconds");
        number = method == NULL ? NULL : PyObject_CallNoArgs(method);
        Py_XDECREF(method);
        if (number == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
            PyErr_Format(PyExc_TypeError,
                         "'timeout' must be a number of seconds, a timedelta or None, not %.200s",
                         Py_TYPE(object)->tp_name);
        }
        if (number == NULL) {
            return -1;
        }
    }
    *seconds = PyFloat_AsDouble(number);
    Py_DECREF(number);
    if (*seconds != -1.0 || !PyErr_Occurred()) {
        return 0;
    }
    if (!PyErr_ExceptionMatches(PyExc_OverflowError)) {
        return -1;
    }
    PyErr_Clear();
    PyObject *zero = PyLong_FromLong(0);
    int negative = zero == NULL ? -1 : PyObject_RichCompareBool(object, zero, Py_LT);
    Py_XDECREF(zero);
    *seconds = negative > 0 ? -HUGE_VAL : HUGE_VAL;
    return negative < 0 ? -1 : 0;
}

int
cxb_timeout_parse(PyObject *object, struct cxb_timeout *timeout)
{
    double seconds;
    *timeout = (struct cxb_timeout){0};
    if (object == Py_None || object == NULL) {
        return 0;
    }
    return to_seconds(object, &seconds) < 0 ? -1 : from_seconds(seconds, timeout);
}

int
cxb_timeout_in_range(PyObject *object)
{
    double seconds = 0;
    if (object != Py_None && object != NULL && to_seconds(object, &seconds) < 0) {
        return -1;
    }
    if (fabs(seconds) > MOST_SECONDS) {
        PyErr_SetString(PyExc_OverflowError, "timeout value is too large");
        return -1;
    }
    return 0;
}

int
cxb_timeout_start(const struct cxb_timeout *timeout, int64_t *deadline)
{
    if (timeout->huge) {
        PyErr_SetString(PyExc_OverflowError, "timeout value is too large");
        return -1;
    }
    *deadline = timeout->given ? cx_deadline_after(timeout->ns) : CX_FOREVER;
    return 0;
}

int
cxb_limit_parse(struct cxb_limit *limit, bool block, PyObject *timeout)
{
    *limit = (struct cxb_limit){.block = block};
    if (block && cxb_timeout_parse(timeout, &limit->timeout) < 0) {
        return -1;
    }
    if (limit->timeout.given && limit->timeout.ns == 0) {
        limit->block = false;
    }
    return 0;
}

PyObject *
cxb_limit_rest(const struct cxb_limit *limit)
{
    if (!limit->timeout.given) {
        Py_RETURN_NONE;
    }
    if (limit->timeout.huge) {
        return PyFloat_FromDouble(HUGE_VAL);
    }
    int64_t rest = limit->deadline == 0 ? limit->timeout.ns : limit->deadline - cx_now();
    return PyFloat_FromDouble(rest > 0 ? (double)rest / 1e9 : 0.0);
}

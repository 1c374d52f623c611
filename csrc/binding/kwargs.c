// SPDX-License-Identifier: MIT
#include "binding/kwargs.h"

static int
index_of(const struct cxb_signature *signature, PyObject *name)
{
    for (int i = 0; signature->names[i] != NULL; i++) {
        if (PyUnicode_CompareWithASCIIString(name, signature->names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

int
cxb_bind(const struct cxb_signature *signature, PyObject *const *args, Py_ssize_t nargs,
         PyObject *kwnames, PyObject **out)
{
    Py_ssize_t most = 0;
    while (signature->names[most] != NULL) {
        out[most] = most < nargs ? args[most] : NULL;
        most++;
    }
    if (nargs > most) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %zd arguments (%zd given)",
                     signature->function, most, nargs);
        return -1;
    }
    Py_ssize_t given = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    for (Py_ssize_t i = 0; i < given; i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i);
        int at = index_of(signature, name);
        if (at < 0) {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'",
                         signature->function, name);
            return -1;
        }
        if (out[at] != NULL) {
            PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%U'",
                         signature->function, name);
            return -1;
        }
        out[at] = args[nargs + i];
    }
    for (int i = 0; i < signature->required; i++) {
        if (out[i] == NULL) {
            PyErr_Format(PyExc_TypeError, "%s() missing required argument: '%s'",
                         signature->function, signature->names[i]);
            return -1;
        }
    }
    return 0;
}

int
cxb_bind_call(const struct cxb_signature *signature, PyObject *const *args, Py_ssize_t nargs,
              PyObject *kwnames, struct cxb_call *call)
{
    PyObject *out[3] = {NULL};
    if (cxb_bind(signature, args, nargs, kwnames, out) < 0) {
        return -1;
    }
    PyObject **waiting = out + signature->required;
    int block = cxb_truth(waiting[0], 1);
    *call = (struct cxb_call){
        .what = signature->required > 0 ? out[0] : NULL, .timeout = waiting[1], .block = block > 0};
    return block < 0 ? -1 : 0;
}

bool
cxb_takes(const char *function, Py_ssize_t nargs, Py_ssize_t least, Py_ssize_t most)
{
    if (nargs >= least && nargs <= most) {
        return true;
    }
    if (least == most) {
        PyErr_Format(PyExc_TypeError, "%s() takes %zd arguments (%zd given)", function, least,
                     nargs);
    }
    else {
        PyErr_Format(PyExc_TypeError, "%s() takes %zd or %zd arguments (%zd given)", function,
                     least, most, nargs);
    }
    return false;
}

int
cxb_int64(PyObject *object, int64_t least, const char *what, int64_t *value)
{
    int overflow = 0;
    PyObject *number = PyNumber_Index(object);
    *value = number == NULL ? -1 : PyLong_AsLongLongAndOverflow(number, &overflow);
    bool fits = number != NULL && overflow == 0 && *value >= least;
    if (number == NULL && PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Format(PyExc_TypeError, "%s must be an int, got %R", what, object);
    }
    else if (number != NULL && !fits) {
        const char *from = least == INT64_MIN ? "-2**63" : least == 0 ? "0" : "1";
        PyErr_Format(least == INT64_MIN ? PyExc_OverflowError : PyExc_ValueError,
                     "%s must be an int from %s to 2**63-1, got %R", what, from, object);
    }
    Py_XDECREF(number);
    return fits ? 0 : -1;
}

int
cxb_max_items(PyObject *object, Py_ssize_t *max)
{
    int64_t value;
    if (cxb_int64(object, 0, "'max_items'", &value) < 0) {
        return -1;
    }
    *max = value > PY_SSIZE_T_MAX ? PY_SSIZE_T_MAX : (Py_ssize_t)value;
    return 0;
}

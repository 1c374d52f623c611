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

int
cxb_max_items(PyObject *object, Py_ssize_t *max)
{
    *max = PyNumber_AsSsize_t(object, PyExc_OverflowError);
    if (*max == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (*max < 0) {
        PyErr_Format(PyExc_ValueError, "'max_items' must be a non-negative number, got %zd", *max);
        return -1;
    }
    return 0;
}

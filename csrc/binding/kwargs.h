// SPDX-License-Identifier: MIT
/* binding/kwargs.h - arguments of vectorcall methods, bound to named parameters.
 *
 * The messages are those of functions written in Python, so that a drop-in fails like its twin.
 */
#ifndef CX_BINDING_KWARGS_H
#define CX_BINDING_KWARGS_H

#include "binding/compat.h"

struct cxb_signature {
    const char *function;
    int required;         /* how many of the names must be given */
    const char *names[8]; /* ends with NULL */
};

/* Borrowed references in out[], NULL where not given.  0, or -1 with TypeError. */
int cxb_bind(const struct cxb_signature *signature, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames, PyObject **out);

/* The arguments of an operation that may wait: ([what,] block=True, timeout=None). */
struct cxb_call {
    PyObject *what; /* NULL where the signature has none */
    PyObject *timeout;
    bool block;
};

/* 0, or -1 with an exception.  `what` comes first if it is required. */
int cxb_bind_call(const struct cxb_signature *signature, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames, struct cxb_call *call);

/* Whether a positional call got as many arguments as its function takes; if not, TypeError. */
bool cxb_takes(const char *function, Py_ssize_t nargs, Py_ssize_t least, Py_ssize_t most);

/* An int of 64 bits that is not less than `least` (1, 0 or INT64_MIN): 0, or -1 with an exception that
 * says what it is and names the value: TypeError, ValueError, or OverflowError if only 64 bits are
 * the bound. */
int cxb_int64(PyObject *object, int64_t least, const char *what, int64_t *value);

/* `max_items`, which is not negative: 0, or -1 with an exception. */
int cxb_max_items(PyObject *object, Py_ssize_t *max);

/* A method of that kind in a method table. */
#define CXB_FASTCALL(function)                                                                     \
    (PyCFunction)(void (*)(void))(function), METH_FASTCALL | METH_KEYWORDS

/* The truth of an argument that may be missing: 0, 1, or -1 with an exception. */
static inline int
cxb_truth(PyObject *object, int missing)
{
    return object == NULL       ? missing
           : object == Py_True  ? 1
           : object == Py_False ? 0
                                : PyObject_IsTrue(object);
}

#endif

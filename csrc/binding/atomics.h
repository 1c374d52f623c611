// SPDX-License-Identifier: MIT
/* binding/atomics.h - what the atomic types share: a word, how it is changed, and what they refuse.
 *
 * Under a GIL a method is one step, so the word is plain; without one, it is changed by
 * compare-and-swap.  Every change releases what came before it and acquires what the last change
 * released; a reader acquires.
 */
#ifndef CX_BINDING_ATOMICS_H
#define CX_BINDING_ATOMICS_H

#include "binding/kwargs.h"
#include "binding/module.h"
#include "binding/share.h"

#if CX_WITH_GIL
#define CXB_WORD_GET(p) (*(p))
#define CXB_WORD_CAS(p, expected, v)                                                               \
    (*(p) == *(expected) ? (*(p) = (v), true) : (*(expected) = *(p), false))
#else
#define CXB_WORD_GET(p) cx_load_acquire(p)
#define CXB_WORD_CAS(p, expected, v) cx_cas_acq_rel(p, expected, v)
#endif

/* (value=..., *, shared=False) of a constructor; *value is NULL if it was not given: 0 or -1. */
int cxb_atomic_arguments(PyObject *args, PyObject *kwargs, const char *format, PyObject **value,
                         int *shared);

/* What `a += 1` comes to: TypeError, because it would bind the name to something else. */
PyObject *cxb_atomic_rebind(PyObject *self, PyObject *other);

/* What `if a:` comes to. */
int cxb_atomic_truth(PyObject *self);

/* For types that own no object. */
int cxb_atomic_traverse(PyObject *self, visitproc visit, void *arg);
void cxb_atomic_dealloc(PyObject *self);

#define CXB_NO_OPERATORS                                                                           \
    {Py_nb_inplace_add, cxb_atomic_rebind}, {Py_nb_inplace_subtract, cxb_atomic_rebind},           \
        {Py_nb_inplace_multiply, cxb_atomic_rebind}, {Py_nb_inplace_or, cxb_atomic_rebind},        \
        {Py_nb_inplace_and, cxb_atomic_rebind}, {Py_nb_inplace_xor, cxb_atomic_rebind},            \
    {                                                                                              \
        Py_nb_bool, cxb_atomic_truth                                                               \
    }

#define CXB_ATOMIC_FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE)

#endif

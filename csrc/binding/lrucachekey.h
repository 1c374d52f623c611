// SPDX-License-Identifier: MIT
/* binding/lrucachekey.h - hashes and comparisons of a call's arguments that run no Python. */
#ifndef CX_BINDING_LRUCACHEKEY_H
#define CX_BINDING_LRUCACHEKEY_H

#include "binding/lrucache.h"

/* The odd number next to 2**64 / golden ratio: a bijection that spreads into the upper bits, which
 * choose the bucket. */
#define CXB_SPREAD UINT64_C(0x9E3779B97F4A7C15)

/* The value of an exact int; false: it has more than 64 bits. */
static inline bool
cxb_int_value(PyObject *number, int64_t *value)
{
    if (CX_LIKELY(cxb_int_is_compact(number))) {
        *value = cxb_int_compact(number);
        return true;
    }
    int overflow;
    *value = PyLong_AsLongLongAndOverflow(number, &overflow);
    return overflow == 0;
}

/* -1 with the exception of a __hash__. */
static inline Py_hash_t
cxb_hash(PyObject *object)
{
    if (PyUnicode_CheckExact(object)) {
        Py_hash_t hash = cx_load_relaxed(&((PyASCIIObject *)object)->hash);
        if (CX_LIKELY(hash != -1)) {
            return hash;
        }
    }
    else if (PyLong_CheckExact(object) && CX_LIKELY(cxb_int_is_compact(object))) {
        Py_hash_t value = (Py_hash_t)cxb_int_compact(object);
        return value == -1 ? -2 : value; /* as int.__hash__, which other numbers agree with */
    }
    return PyObject_Hash(object);
}

/* One step of a hash over several. */
static inline uint64_t
cxb_mix(uint64_t state, Py_hash_t hash)
{
    state ^= (uint64_t)hash * UINT64_C(0xC2B2AE3D27D4EB4F);
    state = state << 31 | state >> 33;
    return state * CXB_SPREAD;
}

static inline bool
cxb_is_ready(PyObject *text)
{
#if PY_VERSION_HEX >= 0x030C0000
    (void)text;
    return true;
#else
    return PyUnicode_IS_READY(text);
#endif
}

static inline enum cxb_sameness
cxb_compare_text(PyObject *a, PyObject *b)
{
    if (CX_UNLIKELY(!cxb_is_ready(a) || !cxb_is_ready(b))) {
        return CXB_UNDECIDED;
    }
    Py_ssize_t length = PyUnicode_GET_LENGTH(a);
    return length == PyUnicode_GET_LENGTH(b) && PyUnicode_KIND(a) == PyUnicode_KIND(b) &&
                   memcmp(PyUnicode_DATA(a), PyUnicode_DATA(b),
                          (size_t)length * PyUnicode_KIND(a)) == 0
               ? CXB_SAME
               : CXB_DIFFERENT;
}

enum cxb_sameness cxb_compare_other(PyObject *a, PyObject *b, int depth);

static inline enum cxb_sameness
cxb_compare(PyObject *a, PyObject *b)
{
    return CX_LIKELY(a == b) ? CXB_SAME : cxb_compare_other(a, b, 0);
}

#endif

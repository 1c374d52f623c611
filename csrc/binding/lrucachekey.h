// SPDX-License-Identifier: MIT
/* binding/lrucachekey.h - hashes of a call's arguments. */
#ifndef CX_BINDING_LRUCACHEKEY_H
#define CX_BINDING_LRUCACHEKEY_H

#include "binding/lrucache.h"
#include "binding/same.h"

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

/* hash(argument), for most ints without a call; -1 with the exception of a __hash__. */
static inline Py_hash_t
cxb_argument_hash(PyObject *object)
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
    return cxb_spread((Py_hash_t)state);
}

#endif

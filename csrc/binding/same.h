// SPDX-License-Identifier: MIT
/* binding/same.h - are two keys equal? answered without Python where that is possible.
 *
 * Under a lock or inside a section no Python may run.  Identity decides, and so do two objects of one
 * exact type among str, int, float, bytes, bool and tuples of such, and types that compare by identity.
 * Anything else is not known here: it is retained, and compared outside.
 */
#ifndef CX_BINDING_SAME_H
#define CX_BINDING_SAME_H

#include "binding/compat.h"

/* 1, 0, or -1: not known; neither is the other. */
int cxb_same_other(PyObject *a, PyObject *b);

/* The same of any two. */
static inline int
cxb_same(void *a, void *b)
{
    return a == b ? 1 : cxb_same_other((PyObject *)a, (PyObject *)b);
}

/* hash(key); -1 with an exception. */
static inline Py_hash_t
cxb_hash(PyObject *key)
{
#if CX_WITH_GIL
    if (PyUnicode_CheckExact(key) && ((PyASCIIObject *)key)->hash != -1) {
        return ((PyASCIIObject *)key)->hash;
    }
#endif
    return PyObject_Hash(key);
}

/* Spreads a hash over 64 bits, one to one: ints are their own hashes.  The top bits are the best. */
static inline uint64_t
cxb_spread(Py_hash_t hash)
{
    return (uint64_t)hash * UINT64_C(0x9E3779B97F4A7C15); /* 2**64 / golden ratio */
}

/* How much an object may hold on to, for cx_limbo_add: little if it is of a type that holds nothing. */
uint32_t cxb_weight(void *object);

#endif

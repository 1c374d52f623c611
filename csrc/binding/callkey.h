// SPDX-License-Identifier: MIT
/* binding/callkey.h - the key of a call: what functools makes a tuple of, without making it.
 *
 * It is made of the positional arguments, the values of the keywords, the tuple of their names as the
 * interpreter passes it, and, where types count, the types of all of them.  One exact int or str stands
 * for itself, and equals no other key.  Of two calls with one shape and one hash, C can often tell whether
 * they are the same; if not, Python is asked outside of all locks.
 */
#ifndef CX_BINDING_CALLKEY_H
#define CX_BINDING_CALLKEY_H

#include "binding/same.h"
#include "core/atomic.h"

/* Of a key: the numbers of positional and keyword arguments, or one of the kinds that stand for
 * themselves. */
#define CXB_SHAPE(nargs, nkw) ((uint64_t)(nargs) << 32 | (uint64_t)(nkw))
#define CXB_TYPED (UINT64_C(1) << 63)              /* with the types of all of them */
#define CXB_SHAPE_INT CXB_SHAPE(1, UINT32_MAX)     /* of 64 bits: equal hashes, equal keys */
#define CXB_SHAPE_BIG CXB_SHAPE(1, UINT32_MAX - 1) /* any other int */
#define CXB_SHAPE_STR CXB_SHAPE(1, UINT32_MAX - 2)

/* A call that is looked up; everything is borrowed from its caller. */
struct cxb_callkey {
    uint64_t hash, shape;
    PyObject *const *args; /* values of keywords behind the positional ones */
    PyObject *kwnames;     /* NULL: none */
    uint32_t count;        /* of args */
    bool is_typed;
};

/* 0, or -1 with the exception of a __hash__. */
int cxb_callkey_init(struct cxb_callkey *probe, bool is_typed, PyObject *const *args,
                     Py_ssize_t nargs, PyObject *kwnames);

/* How many objects a key of that shape is, and a key of that many, each retained. */
size_t cxb_callkey_size(uint64_t shape);
void cxb_callkey_take(const struct cxb_callkey *probe, PyObject **key);

/* What can be told of a key and a call with one hash and one shape without running Python. */
enum cxb_sameness { CXB_UNDECIDED = -1, CXB_DIFFERENT, CXB_SAME }; /* as cxb_same */
enum cxb_sameness cxb_callkey_compare(PyObject *const *key, const struct cxb_callkey *probe);

/* Whether they are equal: 1, 0, or -1 with the exception of an __eq__.  Runs Python. */
int cxb_callkey_equals(PyObject *const *key, const struct cxb_callkey *probe);

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

// SPDX-License-Identifier: MIT
#include "binding/callkey.h"

/* --- hashes ----------------------------------------------------------------------------------- */

static int
hash_bare(struct cxb_callkey *probe, PyObject *key)
{
    int64_t value;
    if (!PyLong_CheckExact(key)) {
        Py_hash_t hash = cxb_argument_hash(key);
        probe->shape = CXB_SHAPE_STR;
        probe->hash = cxb_spread(hash);
        return hash == -1 ? -1 : 0;
    }
    if (cxb_int_value(key, &value)) {
        probe->shape = CXB_SHAPE_INT;
        probe->hash = cxb_spread((Py_hash_t)value);
        return 0;
    }
    Py_hash_t hash = PyObject_Hash(key);
    probe->shape = CXB_SHAPE_BIG;
    probe->hash = cxb_spread(hash);
    return hash == -1 ? -1 : 0;
}

/* A metaclass may have a __hash__ of its own. */
static Py_hash_t
hash_type(PyObject *object)
{
    PyObject *type = (PyObject *)Py_TYPE(object);
    return CX_LIKELY(Py_TYPE(type) == &PyType_Type) ? (Py_hash_t)((uintptr_t)type >> 4)
                                                    : PyObject_Hash(type);
}

/* In the order in which functools asks: arguments, each keyword with its value, types. */
static int
hash_all(struct cxb_callkey *probe, uint32_t nargs)
{
    uint64_t state = probe->shape;
    for (uint32_t i = 0; i < probe->count; i++) {
        Py_hash_t hash = 0;
        if (i >= nargs) {
            if ((hash = cxb_argument_hash(PyTuple_GET_ITEM(probe->kwnames, i - nargs))) == -1) {
                return -1;
            }
            state = cxb_mix(state, hash);
        }
        if ((hash = cxb_argument_hash(probe->args[i])) == -1) {
            return -1;
        }
        state = cxb_mix(state, hash);
    }
    for (uint32_t i = 0; probe->is_typed && i < probe->count; i++) {
        Py_hash_t hash = hash_type(probe->args[i]);
        if (hash == -1 && PyErr_Occurred()) {
            return -1;
        }
        state = cxb_mix(state, hash);
    }
    probe->hash = state;
    return 0;
}

int
cxb_callkey_init(struct cxb_callkey *probe, bool is_typed, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    Py_ssize_t nkw = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    probe->args = args;
    probe->kwnames = nkw == 0 ? NULL : kwnames;
    probe->count = (uint32_t)(nargs + nkw);
    probe->is_typed = is_typed;
    if (CX_UNLIKELY(nargs + nkw >= UINT32_MAX / 2)) {
        (void)PyErr_NoMemory();
        return -1;
    }
    if (nargs == 1 && nkw == 0 && !is_typed &&
        (PyLong_CheckExact(args[0]) || PyUnicode_CheckExact(args[0]))) {
        return hash_bare(probe, args[0]);
    }
    probe->shape = CXB_SHAPE(nargs, nkw) | (is_typed ? CXB_TYPED : 0);
    return hash_all(probe, (uint32_t)nargs);
}

/* --- comparisons ------------------------------------------------------------------------------ */

static inline enum cxb_sameness
compare(PyObject *a, PyObject *b)
{
    return (enum cxb_sameness)cxb_same(a, b);
}

/* The key that stands behind the arguments: names, then types. */
static inline PyObject *const *
rest_of(PyObject *const *key, const struct cxb_callkey *probe)
{
    return key + probe->count + (probe->kwnames != NULL);
}

enum cxb_sameness
cxb_callkey_compare(PyObject *const *key, const struct cxb_callkey *probe)
{
    enum cxb_sameness all = CXB_SAME, one;
    if (probe->shape == CXB_SHAPE_INT) {
        return CXB_SAME; /* their hash is */
    }
    for (uint32_t i = 0; i < probe->count; i++) {
        if ((one = compare(key[i], probe->args[i])) != CXB_SAME) {
            if (one == CXB_DIFFERENT) {
                return one;
            }
            all = one;
        }
    }
    if (probe->kwnames != NULL && (one = compare(key[probe->count], probe->kwnames)) != CXB_SAME) {
        if (one == CXB_DIFFERENT) {
            return one;
        }
        all = one;
    }
    for (uint32_t i = 0; probe->is_typed && i < probe->count; i++) {
        one = compare(rest_of(key, probe)[i], (PyObject *)Py_TYPE(probe->args[i]));
        if (one == CXB_DIFFERENT) {
            return one;
        }
        all = one == CXB_UNDECIDED ? one : all;
    }
    return all;
}

static int
equal(PyObject *a, PyObject *b)
{
    enum cxb_sameness same = compare(a, b);
    return same == CXB_UNDECIDED ? PyObject_RichCompareBool(a, b, Py_EQ) : same == CXB_SAME;
}

int
cxb_callkey_equals(PyObject *const *key, const struct cxb_callkey *probe)
{
    int same = 1;
    for (uint32_t i = 0; same == 1 && i < probe->count; i++) {
        same = equal(key[i], probe->args[i]);
    }
    if (same == 1 && probe->kwnames != NULL) {
        same = equal(key[probe->count], probe->kwnames);
    }
    for (uint32_t i = 0; same == 1 && probe->is_typed && i < probe->count; i++) {
        same = equal(rest_of(key, probe)[i], (PyObject *)Py_TYPE(probe->args[i]));
    }
    return same;
}

/* --- keys ------------------------------------------------------------------------------------- */

size_t
cxb_callkey_size(uint64_t shape)
{
    size_t nkw = (uint32_t)shape, count = (shape & ~CXB_TYPED) >> 32;
    if (CX_LIKELY(nkw == 0 || nkw >= UINT32_MAX - 2)) {
        return shape & CXB_TYPED ? 2 * count : count;
    }
    count += nkw;
    return count + 1 + (shape & CXB_TYPED ? count : 0);
}

void
cxb_callkey_take(const struct cxb_callkey *probe, PyObject **key)
{
    for (uint32_t i = 0; i < probe->count; i++) {
        *key++ = Py_NewRef(probe->args[i]);
    }
    if (probe->kwnames != NULL) {
        *key++ = Py_NewRef(probe->kwnames);
    }
    for (uint32_t i = 0; probe->is_typed && i < probe->count; i++) {
        *key++ = Py_NewRef((PyObject *)Py_TYPE(probe->args[i]));
    }
}

// SPDX-License-Identifier: MIT
#include "binding/lrucachekey.h"

/* --- hashes ----------------------------------------------------------------------------------- */

static int
hash_bare(struct cxb_probe *probe, PyObject *key)
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
hash_all(struct cxb_probe *probe, uint32_t nargs)
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
cxb_probe_init(struct cxb_probe *probe, bool is_typed, PyObject *const *args, Py_ssize_t nargs,
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
rest_of(const struct cxb_item *item, const struct cxb_probe *probe)
{
    return item->key + probe->count + (probe->kwnames != NULL);
}

enum cxb_sameness
cxb_item_compare(const struct cxb_item *item, const struct cxb_probe *probe)
{
    enum cxb_sameness all = CXB_SAME, one;
    if (item->shape == CXB_SHAPE_INT) {
        return CXB_SAME; /* their hash is */
    }
    for (uint32_t i = 0; i < probe->count; i++) {
        if ((one = compare(item->key[i], probe->args[i])) != CXB_SAME) {
            if (one == CXB_DIFFERENT) {
                return one;
            }
            all = one;
        }
    }
    if (probe->kwnames != NULL &&
        (one = compare(item->key[probe->count], probe->kwnames)) != CXB_SAME) {
        if (one == CXB_DIFFERENT) {
            return one;
        }
        all = one;
    }
    for (uint32_t i = 0; probe->is_typed && i < probe->count; i++) {
        one = compare(rest_of(item, probe)[i], (PyObject *)Py_TYPE(probe->args[i]));
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
cxb_item_equals(const struct cxb_item *item, const struct cxb_probe *probe)
{
    int same = 1;
    for (uint32_t i = 0; same == 1 && i < probe->count; i++) {
        same = equal(item->key[i], probe->args[i]);
    }
    if (same == 1 && probe->kwnames != NULL) {
        same = equal(item->key[probe->count], probe->kwnames);
    }
    for (uint32_t i = 0; same == 1 && probe->is_typed && i < probe->count; i++) {
        same = equal(rest_of(item, probe)[i], (PyObject *)Py_TYPE(probe->args[i]));
    }
    return same;
}

/* --- items ------------------------------------------------------------------------------------ */

static inline size_t
key_size(uint64_t shape)
{
    size_t nkw = (uint32_t)shape, count = (shape & ~CXB_TYPED) >> 32;
    if (CX_LIKELY(nkw == 0 || nkw >= UINT32_MAX - 2)) {
        return shape & CXB_TYPED ? 2 * count : count;
    }
    count += nkw;
    return count + 1 + (shape & CXB_TYPED ? count : 0);
}

struct cxb_item *
cxb_item_new(const struct cxb_probe *probe, PyObject *value)
{
    struct cxb_item *item =
        PyMem_Malloc(sizeof *item + key_size(probe->shape) * sizeof item->key[0]);
    if (item == NULL) {
        return (struct cxb_item *)PyErr_NoMemory();
    }
    item->entry = (struct cx_lru_entry){.hash = probe->hash, .pins = 1};
    item->value = Py_NewRef(value);
    item->shape = probe->shape;
    PyObject **key = item->key;
    for (uint32_t i = 0; i < probe->count; i++) {
        *key++ = Py_NewRef(probe->args[i]);
    }
    if (probe->kwnames != NULL) {
        *key++ = Py_NewRef(probe->kwnames);
    }
    for (uint32_t i = 0; probe->is_typed && i < probe->count; i++) {
        *key++ = Py_NewRef((PyObject *)Py_TYPE(probe->args[i]));
    }
    return item;
}

void
cxb_item_free(struct cxb_item *item)
{
    size_t size = key_size(item->shape);
    for (size_t i = 0; i < size; i++) {
        Py_DECREF(item->key[i]);
    }
    Py_XDECREF(item->value); /* NULL: another item has it */
    PyMem_Free(item);
}

size_t
cxb_item_memory(const struct cxb_item *item)
{
    return sizeof *item + key_size(item->shape) * sizeof item->key[0];
}

int
cxb_item_traverse(const struct cxb_item *item, visitproc visit, void *arg)
{
    size_t size = key_size(item->shape);
    for (size_t i = 0; i < size; i++) {
        Py_VISIT(item->key[i]);
    }
    Py_VISIT(item->value);
    return 0;
}

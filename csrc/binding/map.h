// SPDX-License-Identifier: MIT
/* binding/map.h - MapBase and SetBase: a core/map of Python objects.
 *
 * A set is a map whose values are None.  Everything that changes an entry is one call of cxb_map_write:
 * what must be there before, what is there after.  Python code runs before and after it, never inside:
 * keys that C cannot tell apart are retained, compared outside, and the write begins again.
 */
#ifndef CX_BINDING_MAP_H
#define CX_BINDING_MAP_H

#include "binding/module.h"
#include "binding/same.h"
#include "core/counter.h"
#include "core/mapfind.h"

typedef struct {
    PyObject_HEAD
    struct cx_map core;
    struct cxb_state *state;
    struct cx_counter hits, misses; /* without cells unless asked for */
    uint64_t cursor;                /* atomic; where popitem looks next */
    PyObject *flights; /* atomic; a SingleFlight of calls of factories, made by the first */
    PyObject *weakrefs;
} MapObject;

/* A value is an object, or since the last `add` an int of 63 bits as a word (core/mapword.h): threads that
 * count then take no guard and write neither an object nor its reference count. */
static inline bool
cxb_value_is_int(const void *value)
{
    return cx_map_is_word(value);
}

static inline void *
cxb_value_of_int(int64_t n)
{
    return (void *)((uintptr_t)n << 1 | 1);
}

static inline int64_t
cxb_value_int(const void *value)
{
    return (int64_t)((intptr_t)value >> 1);
}

/* In a section or under the guard, so that it stays. */
static inline void
cxb_value_retain(void *value)
{
    if (!cxb_value_is_int(value)) {
        Py_XINCREF((PyObject *)value);
    }
}

static inline void
cxb_value_drop(void *value)
{
    if (!cxb_value_is_int(value)) {
        Py_XDECREF((PyObject *)value);
    }
}

/* The object that a retained value is, or NULL with MemoryError; takes the reference over. */
static inline PyObject *
cxb_value_object(void *value)
{
    return CX_LIKELY(!cxb_value_is_int(value)) ? (PyObject *)value
                                               : PyLong_FromLongLong(cxb_value_int(value));
}

/* What is not there: absent before, or to be removed. */
#define CXB_ABSENT ((PyObject *)NULL)

/* Looks up: 1 with a new reference, 0 absent, -1 with an exception. */
int cxb_map_find(MapObject *self, PyObject *key, PyObject **value);

enum cxb_want {
    CXB_ANYTHING, /* or nothing */
    CXB_NOTHING,  /* no entry */
    CXB_ENTRY,    /* some entry */
    CXB_EXACTLY   /* an entry with this very value */
};

/* If the entry of `key` is as wanted, its value becomes `value` (CXB_ABSENT: it is removed): 1; 0: it was
 * not as wanted; -1 with an exception.  `before` (may be NULL): a new reference to the value that was
 * there, or NULL. */
int cxb_map_write(MapObject *self, PyObject *key, enum cxb_want want, PyObject *expected,
                  PyObject *value, PyObject **before);

/* The same with the spread hash of the key. */
int cxb_map_write_at(MapObject *self, PyObject *key, uint64_t hash, enum cxb_want want,
                     PyObject *expected, PyObject *value, PyObject **before);

/* Adds an exact int to one that is there: 1 and the sum; 0: it is not as simple as that, and nothing was
 * done; -1 with an exception. */
int cxb_map_add_int(MapObject *self, PyObject *key, PyObject *delta, PyObject **sum);

/* A new map of a type that has MapObject without entries. */
MapObject *cxb_map_alloc(PyTypeObject *type, struct cxb_state *state, uint64_t capacity);

/* All entries at one instant, each retained, from PyMem_Malloc: how many, or -1 with an exception. */
Py_ssize_t cxb_map_snapshot(MapObject *self, struct cx_map_node **entries);
/* Drops what a snapshot or a scan has retained. */
void cxb_map_drop(struct cx_map_node *entries, size_t count);

/* Some entry, removed: 1, 0 there is none, or -1 with an exception. */
int cxb_map_pop_any(MapObject *self, PyObject **key, PyObject **value);

/* mapbulk.c: 0 or -1 */
int cxb_map_update(MapObject *self, PyObject *other);

/* mapflight.c: the value, made by a call of `factory` if there is none. */
PyObject *cxb_map_compute_if_absent(MapObject *self, PyObject *key, PyObject *factory);

/* mapiter.c: an iterator of keys, values or items. */
enum cxb_map_part { CXB_KEYS, CXB_VALUES, CXB_ITEMS };
PyObject *cxb_map_iter(MapObject *self, enum cxb_map_part part);

/* What both types have, in map.c. */
PyObject *cxb_map_new(PyTypeObject *type, PyObject *args, PyObject *kwargs);
int cxb_map_traverse(MapObject *self, visitproc visit, void *arg);
int cxb_map_tp_clear(MapObject *self);
void cxb_map_dealloc(MapObject *self);
Py_ssize_t cxb_map_length(MapObject *self);
int cxb_map_contains(MapObject *self, PyObject *key);
PyObject *cxb_map_clear(MapObject *self, PyObject *unused);
PyObject *cxb_map_stats(MapObject *self, PyObject *unused);
PyObject *cxb_map_sizeof(MapObject *self, PyObject *unused);
extern PyMemberDef cxb_map_members[];

#define CXB_MAP_FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC)

#endif

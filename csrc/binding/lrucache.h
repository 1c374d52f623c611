// SPDX-License-Identifier: MIT
/* binding/lrucache.h - functools.lru_cache: a function, and what it has returned.
 *
 * The key of a call is what functools makes its key of, without making it: the positional arguments,
 * the values of the keywords, the tuple of their names as the interpreter passes it, and with
 * `typed` the types of all of them.  One exact int or str stands for itself, and equals no other key.
 */
#ifndef CX_BINDING_LRUCACHE_H
#define CX_BINDING_LRUCACHE_H

#include "binding/module.h"
#include "core/limbo.h"
#include "core/lru.h"
#include "core/tally.h"

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *function; /* NULL once the collector has cleared it */
    struct cxb_state *state;
    bool is_typed;
    struct cx_lru lru;
    struct cx_limbo limbo; /* of the table's guard */
    struct cx_tally tally;
    PyObject *dict, *weakrefs;
} LruCache;

/* Of a key: the numbers of positional and keyword arguments, or one of the kinds that stand for
 * themselves. */
#define CXB_SHAPE(nargs, nkw) ((uint64_t)(nargs) << 32 | (uint64_t)(nkw))
#define CXB_TYPED (UINT64_C(1) << 63)              /* with the types of all of them */
#define CXB_SHAPE_INT CXB_SHAPE(1, UINT32_MAX)     /* of 64 bits: equal hashes, equal keys */
#define CXB_SHAPE_BIG CXB_SHAPE(1, UINT32_MAX - 1) /* any other int */
#define CXB_SHAPE_STR CXB_SHAPE(1, UINT32_MAX - 2)

struct cxb_item {
    struct cx_lru_entry entry; /* first */
    PyObject *value;           /* atomic */
    uint64_t shape;
    PyObject *key[]; /* arguments, values of keywords, their names if any, types */
};

/* A call that is looked up; everything is borrowed from its caller. */
struct cxb_probe {
    uint64_t hash, shape;
    PyObject *const *args; /* values of keywords behind the positional ones */
    PyObject *kwnames;     /* NULL: none */
    uint32_t count;        /* of args */
    bool is_typed;
};

static inline struct cxb_item *
cxb_item_of(struct cx_lru_entry *entry)
{
    return (struct cxb_item *)entry;
}

/* 0, or -1 with the exception of a __hash__. */
int cxb_probe_init(struct cxb_probe *probe, bool is_typed, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames);

/* What can be told of two keys with one hash and one shape without running Python. */
enum cxb_sameness { CXB_UNDECIDED = -1, CXB_DIFFERENT, CXB_SAME }; /* as cxb_same */
enum cxb_sameness cxb_item_compare(const struct cxb_item *item, const struct cxb_probe *probe);

/* Whether they are equal: 1, 0, or -1 with the exception of an __eq__.  Runs Python. */
int cxb_item_equals(const struct cxb_item *item, const struct cxb_probe *probe);

/* A new item with references of its own; NULL with MemoryError. */
struct cxb_item *cxb_item_new(const struct cxb_probe *probe, PyObject *value);
void cxb_item_free(struct cxb_item *item);
size_t cxb_item_memory(const struct cxb_item *item);
int cxb_item_traverse(const struct cxb_item *item, visitproc visit, void *arg);

/* For types whose instances are called: by whether nothing is kept, and whether types count. */
vectorcallfunc cxb_lrucache_vectorcall(size_t capacity, bool is_typed);

/* 1 removed or there, 0 not there, -1 with an exception. */
int cxb_lrucache_invalidate(LruCache *self, const struct cxb_probe *probe);
int cxb_lrucache_contains(LruCache *self, const struct cxb_probe *probe);
/* 0, or -1 with MemoryError. */
int cxb_lrucache_clear(LruCache *self);

#endif

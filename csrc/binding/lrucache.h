// SPDX-License-Identifier: MIT
/* binding/lrucache.h - functools.lru_cache: a function, and what it has returned, by the key of its call. */
#ifndef CX_BINDING_LRUCACHE_H
#define CX_BINDING_LRUCACHE_H

#include "binding/callkey.h"
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

struct cxb_item {
    struct cx_lru_entry entry; /* first */
    PyObject *value;           /* atomic */
    uint64_t shape;
    PyObject *key[]; /* arguments, values of keywords, their names if any, types */
};

static inline struct cxb_item *
cxb_item_of(struct cx_lru_entry *entry)
{
    return (struct cxb_item *)entry;
}

/* cxb_callkey_compare and cxb_callkey_equals, of an item's key. */
enum cxb_sameness cxb_item_compare(const struct cxb_item *item, const struct cxb_callkey *probe);
int cxb_item_equals(const struct cxb_item *item, const struct cxb_callkey *probe);

/* A new item with references of its own; NULL with MemoryError. */
struct cxb_item *cxb_item_new(const struct cxb_callkey *probe, PyObject *value);
void cxb_item_free(struct cxb_item *item);
size_t cxb_item_memory(const struct cxb_item *item);
int cxb_item_traverse(const struct cxb_item *item, visitproc visit, void *arg);

/* For types whose instances are called: by whether nothing is kept, and whether types count. */
vectorcallfunc cxb_lrucache_vectorcall(size_t capacity, bool is_typed);

/* 1 removed or there, 0 not there, -1 with an exception. */
int cxb_lrucache_invalidate(LruCache *self, const struct cxb_callkey *probe);
int cxb_lrucache_contains(LruCache *self, const struct cxb_callkey *probe);
/* 0, or -1 with MemoryError. */
int cxb_lrucache_clear(LruCache *self);

#endif

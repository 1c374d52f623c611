// SPDX-License-Identifier: MIT
/* binding/cached.h - a function over a Cache: what `cached` makes.
 *
 * A hit is made here: the key of the call is looked up without being made (binding/callkey.h).  For what
 * is missed the key is made, an int, a str or a CallKey; a plain function is called here, as a flight of
 * the cache; whatever else there is to decide is decided by `loads`, a concx._load.Loads:
 *
 *     loads.call(key, args, kwargs)   the value, or a coroutine
 *     loads.refresh(key, args, kwargs), loads.put(key, value), loads.peek(key)
 *
 * Where age counts, the values in the cache are Entries: from `check_at` on, `loads` decides.
 *
 * With per_instance the function is a descriptor that makes, for each instance, a function of its own
 * with a cache of its own.  It lives in the instance's __dict__ and knows it weakly, so that an instance
 * and what was cached for it die together; one that a copy of the instance has got is another's.
 */
#ifndef CX_BINDING_CACHED_H
#define CX_BINDING_CACHED_H

#include "binding/cacheload.h"
#include "binding/callkey.h"

typedef struct {
    PyObject_VAR_HEAD Py_hash_t hash;
    uint64_t shape;
    PyObject *key[];
} CallKeyObject;

typedef struct {
    PyObject_HEAD
    PyObject *value;
    int64_t check_at; /* ns of the cache's timer */
} EntryObject;

typedef struct CachedObject {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    struct cxb_state *state;
    PyObject *function; /* NULL once the collector has cleared it, and so the others */
    CacheObject *cache;
    PyObject *loads;
    PyObject *make;          /* () -> (cache, loads), for instances; else NULL */
    struct cx_guard guard;   /* whose turn it is to give an instance its own */
    PyObject *slot;          /* the name of what an instance's __dict__ has */
    PyObject *owner;         /* a weak reference to its instance, or NULL */
    PyObject *key, *copy;    /* callables or NULL */
    PyObject *timeout;       /* or NULL */
    PyObject *ignored;       /* a frozenset of names or NULL */
    uint64_t ignored_places; /* of positional arguments, a bit each */
    uint64_t hits, misses;   /* the cache's at the last cache_clear() */
    bool is_async, is_typed, is_timed, is_plain, is_single;
    PyObject *dict, *weakrefs;
} CachedObject;

/* A call that is looked up. */
#define CXB_KEY_INLINE 12
struct cxb_sought {
    struct cxb_callkey call;
    Py_hash_t hash;
    PyTypeObject *type; /* of CallKeys */
    PyObject *bare;     /* the argument that stands for itself, or NULL; borrowed */
    PyObject *made;     /* what `key` made, or NULL; owned */
    PyObject *kwnames;  /* those that count, or NULL; owned */
    PyObject **args;    /* those that count: `few`, allocated, or NULL */
    PyObject *few[CXB_KEY_INLINE];
};

/* The key of a call without making it: 0, or -1 with an exception.  To be dropped. */
int cxb_sought_init(struct cxb_sought *sought, CachedObject *self, PyObject *const *args,
                    Py_ssize_t nargs, PyObject *kwnames);
void cxb_sought_drop(struct cxb_sought *sought);
/* The key, a new reference; NULL with an exception. */
PyObject *cxb_sought_key(const struct cxb_sought *sought);
/* A cx_same of core/entries.h. */
int cxb_sought_same(void *stored, void *sought);

vectorcallfunc cxb_cached_vectorcall(void);

/* The function of an instance, a new reference; NULL with an exception. */
PyObject *cxb_cached_of(CachedObject *self, PyObject *instance);

#endif

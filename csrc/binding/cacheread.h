// SPDX-License-Identifier: MIT
/* binding/cacheread.h - how a key of a Cache is looked up, and when what has left it is dropped.
 *
 * Without a GIL a look-up takes no lock (core/cacheread.h), and what it may be looking at is dropped after
 * a grace period, by a later operation that removes something; at once where one thread alone uses the
 * cache.
 */
#ifndef CX_BINDING_CACHEREAD_H
#define CX_BINDING_CACHEREAD_H

#include "binding/cache.h"

/* A new reference to the value; NULL if there is none, or with an exception.  A use is counted, in the
 * statistics too; a look is not. */
PyObject *cxb_cache_use(CacheObject *self, PyObject *key);
PyObject *cxb_cache_look(CacheObject *self, PyObject *key);

/* A use by another comparison, counted if it is a hit; NULL: it is not there, or it could not be told, or
 * an exception is set. */
PyObject *cxb_cache_try(CacheObject *self, uint64_t hash, cx_same same, void *probe);

/* How often a use found a value, and how often none, so far. */
static inline uint64_t
cxb_cache_hits(const CacheObject *self)
{
    return (uint64_t)cx_tally_sum(&self->core.tally, CX_HITS) - cx_load_relaxed(&self->late);
}

static inline uint64_t
cxb_cache_misses(const CacheObject *self)
{
    return (uint64_t)cx_tally_sum(&self->core.tally, CX_MISSES) + cx_load_relaxed(&self->late);
}

/* Drops the keys and values of arrays that are the table's no more. */
void cxb_entries_drop(const struct cx_entries *full);

#if CX_WITH_GIL
#define cxb_cache_settle(self) ((void)(self))
#define cxb_cache_retire(self, out) ((void)(self), (void)(out), false)
#define cxb_cache_drop_gone(self) ((void)(self))
#else
/* Drops what is gone and nobody can be reading any more. */
void cxb_cache_settle(CacheObject *self);
/* What cx_cache_swap gave is left to settle; false: it is the caller's, there are no readers. */
bool cxb_cache_retire(CacheObject *self, struct cx_growth *out);
/* All of it: the cache goes. */
void cxb_cache_drop_gone(CacheObject *self);
#endif

#endif

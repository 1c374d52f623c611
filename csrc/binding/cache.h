// SPDX-License-Identifier: MIT
/* binding/cache.h - what the files of Cache share.
 *
 * An operation asks the weigher and the timer first, then does its work in one exclusion of the core,
 * then calls on_evict and drops references (cxb_cache_bury).  Time is in ns, of `timer`, and is not
 * asked for while no entry has ever had a deadline.
 */
#ifndef CX_BINDING_CACHE_H
#define CX_BINDING_CACHE_H

#include "core/cacheread.h"
#include "core/cacheroom.h"

#include "binding/cachekey.h"
#include "binding/errors.h"
#include "binding/kwargs.h"
#include "binding/module.h"

typedef struct {
    PyObject_HEAD
    PyObject *weakrefs;
    struct cxb_state *state;
    PyObject *weigher, *on_evict, *timer; /* NULL: none, none, the monotonic clock */
    int64_t ttl, tti;                     /* ns; 0: none */
    double jitter;
    uint64_t random;                        /* atomic; counts up, each value is spread anew */
    uint8_t is_timed;                       /* atomic; an entry has had a deadline */
    uint8_t is_fine;                        /* atomic; some deadline asks for the exact clock */
    PyObject *flights;                      /* atomic; a SingleFlight of loads, made by the first */
    uint64_t loads, load_failures, load_ns; /* atomic */
    uint64_t late; /* atomic; hits that were found too old, and are misses */
    struct cx_cache core;
} CacheObject;

/* --- time: binding/cachetime.c ------------------------------------------------------------------- */

/* `ttl` or `tti`: None is `otherwise`, an infinite one 0, none; 0, or -1 with an exception. */
int cxb_cache_span(PyObject *object, const char *what, int64_t otherwise, int64_t *span);

/* From now on there are deadlines of entries that live that long. */
void cxb_cache_starts_timing(CacheObject *self, int64_t span);

/* The deadline of what is stored now; CX_FOREVER for a ttl of 0. */
int64_t cxb_cache_deadline(CacheObject *self, int64_t now, int64_t ttl);

int cxb_cache_read_timer(CacheObject *self, int64_t *now);
/* 0, or -1 with an exception of the timer. */
static inline int
cxb_cache_now(CacheObject *self, int64_t *now)
{
    *now = 0;
    return CX_LIKELY(!cx_load_relaxed(&self->is_timed)) ? 0 : cxb_cache_read_timer(self, now);
}

/* --- finding and storing: binding/cachestore.c --------------------------------------------------- */

/* Enters the exclusion and finds the key: CX_OK, CX_EMPTY or CX_TIMEOUT, inside; or -1 with an
 * exception, outside. */
static inline int
cxb_cache_enter(CacheObject *self, struct cxb_probe *probe, int64_t now, uint32_t *at)
{
    for (;;) {
        if (CX_UNLIKELY(!cx_cache_take(&self->core))) {
            PyErr_NoMemory();
            return -1;
        }
        enum cx_status status =
            cx_cache_find(&self->core, (uint64_t)probe->hash, cxb_probe_same, probe, now, at);
        if (CX_LIKELY(status != CX_UNDECIDED)) {
            return (int)status;
        }
        cx_cache_release(&self->core);
        if (cxb_probe_decide(probe) < 0) {
            return -1;
        }
    }
}

/* Like that, but what has expired is removed, into `dead`: CX_OK or CX_EMPTY. */
int cxb_cache_enter_fresh(CacheObject *self, struct cxb_probe *probe, int64_t now, uint32_t *at,
                          struct cx_dead *dead);

/* Tells on_evict of what has left and drops it; any exception in flight stays.  Whose value alone left
 * had `key`, and has `value` now. */
void cxb_cache_bury(CacheObject *self, struct cx_dead *dead, PyObject *key, PyObject *value);

enum cxb_when { CXB_ALWAYS, CXB_IF_ABSENT, CXB_IF_SAME };

struct cxb_store {
    enum cxb_when when;
    PyObject *expected;     /* CXB_IF_SAME: the value that is there, NULL for none; borrowed */
    PyObject *ttl, *tti;    /* NULL or None: the cache's */
    PyObject *weight;       /* NULL or None: the weigher's */
    PyObject *tags;         /* NULL: none */
    const uint32_t *unless; /* NULL, or not if it is set; atomic */
    PyObject *found;        /* out, CXB_IF_ABSENT: a new reference to what was there */
    bool is_refused;        /* out: too heavy */
};

/* 1: stored.  0: refused, or not when it was to be.  -1: an exception. */
int cxb_cache_store(CacheObject *self, PyObject *key, PyObject *value, struct cxb_store *how);

/* Gets room outside of the exclusion: 0, or -1 with an exception. */
int cxb_cache_get_room(CacheObject *self, struct cx_room *room);

/* Takes a key out: its value, or NULL if it is not there, or with an exception. */
PyObject *cxb_cache_take_out(CacheObject *self, PyObject *key);

/* Takes all out: 0, or -1 without memory.  on_evict is told if `told`. */
int cxb_cache_empty(CacheObject *self, bool told);

/* --- tags: binding/cachetags.c ------------------------------------------------------------------- */

/* The tags of an entry to come, held. */
struct cxb_tagging {
    uint32_t *tag;
    uint32_t count;
};

/* 0, or -1 with an exception. */
int cxb_cache_hold_tags(CacheObject *self, PyObject *tags, struct cxb_tagging *tagging);
void cxb_cache_release_tags(CacheObject *self, struct cxb_tagging *tagging);
int cxb_cache_get_tags_room(CacheObject *self, struct cx_tags_room *room);
/* The cache goes. */
void cxb_cache_drop_tags(CacheObject *self);

/* --- more than one entry: binding/cachebulk.c ---------------------------------------------------- */

/* The entry in the first slot from *slot on that has not expired: its key and value as new references,
 * its slot; false: there is none, or with an exception. */
bool cxb_cache_next(CacheObject *self, uint32_t *slot, PyObject **key, PyObject **value);

/* Stores a mapping or pairs, as dict.update does: 0 or -1. */
int cxb_cache_update(CacheObject *self, PyObject *items, const struct cxb_store *how);

/* What the cache holds and may hold, at one instant: 0, or -1 with an exception. */
struct cxb_bounds {
    uint32_t size;
    int64_t maxsize, weight, max_weight;
};
int cxb_cache_bounds(CacheObject *self, struct cxb_bounds *bounds);

/* A bound, maxsize or max_weight: None is INT64_MAX; 0, or -1 with an exception. */
int cxb_cache_bound(PyObject *object, const char *what, int64_t *bound);
PyObject *cxb_cache_bound_get(int64_t bound);

#endif

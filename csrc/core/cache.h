// SPDX-License-Identifier: MIT
/* core/cache.h - a bounded table of keys and values: entries, a policy, a timer wheel, one exclusion.
 *
 * An operation finds the entry of a key, then acts on it, in one exclusion:
 *
 *     cx_cache_take(cache);
 *     status = cx_cache_find(cache, hash, same, probe, now, &at);
 *     ... cx_cache_hit, cx_cache_put, cx_cache_remove ...
 *     cx_cache_release(cache);
 *
 * What leaves goes into the caller's struct cx_dead, to be released outside; an operation that has more
 * than fits answers CX_AGAIN and is called again, the bounds kept all the while.  A put needs room, which
 * is allocated outside (core/cacheroom.h); it evicts before it inserts, so no bound is ever exceeded.
 *
 * Time is the caller's: `now`, in ns, of any clock.  An entry has expired when now >= deadline; find
 * says so exactly (CX_TIMEOUT).  Entries that have expired and that nobody asks for leave with later
 * puts and with cx_cache_expire, and count until then.
 *
 * Progress:        find, hit, remove: O(1) expected.  put: O(1) amortised but for growth, which moves
 *                  the table under the exclusion.  expire: bounded by its budget.
 * Synchronization: everything but init and fini between take and release.
 *                  Without a GIL hits go on beside all of it: core/cacheread.h.
 * Ownership:       who puts gives key and value, who empties a cx_dead gets them, or references of its
 *                  own (`retain`) where readers may be on them.
 * Fork:            in a child whose fork came while a lost thread was inside, cx_cache_take forgets
 *                  the content, which is not to be trusted; it answers false if it cannot (no memory).
 */
#ifndef CX_CORE_CACHE_H
#define CX_CORE_CACHE_H

#include "core/gone.h"
#include "core/lock.h"
#include "core/policy.h"
#include "core/reads.h"
#include "core/tags.h"
#include "core/tally.h"

enum cx_cause { CX_SIZE, CX_EXPIRED, CX_REPLACED, CX_EXPLICIT, CX_CLEARED, CX_CAUSES };

#define CX_DEAD 16

struct cx_dead {
    unsigned count;
    struct {
        void *key; /* NULL: only the value left */
        void *value;
        enum cx_cause cause;
    } item[CX_DEAD];
};

struct cx_cache {
    struct cx_tally tally; /* of uses */
    uint32_t generation;   /* of forks; atomic */
#if !CX_WITH_GIL
    struct cx_reads *reads; /* atomic; NULL until the first, of a policy that has to be told */
    void (*retain)(void *); /* a reference more, for a cx_dead of what readers may be on; or NULL */
#endif
    struct cx_entries entries;
    struct cx_guard guard;
#if !CX_WITH_GIL
    struct cx_gone gone;
#endif
    struct cx_policy policy;
    struct cx_wheel *wheel; /* NULL until an entry has a deadline */
    struct cx_tags *tags;   /* NULL until an entry has a tag */
    int64_t maxsize;        /* INT64_MAX: unbounded */
    int64_t max_weight;     /* INT64_MAX too */
    int64_t weight;         /* of all entries, the pinned ones too */
    uint64_t refused, left[CX_CAUSES];
};

/* A deadline of CX_FOREVER is none; span 0: no time-to-idle. */
struct cx_put {
    void *key, *value;
    uint64_t hash;
    int64_t weight, now, deadline, span;
    bool is_expected, is_known; /* the cache's own, false at first */
    uint32_t at;                /* out: where it is */
};

CX_NODISCARD bool cx_cache_init(struct cx_cache *cache, const struct cx_policy_kind *kind,
                                int64_t maxsize, int64_t max_weight);
void cx_cache_fini(struct cx_cache *cache); /* it is empty */

/* False: no memory in a child. */
#if CX_WITH_GIL
#define cx_cache_take(cache) ((void)(cache), true)
#else
CX_NODISCARD bool cx_cache_take(struct cx_cache *cache);
#endif

static inline void
cx_cache_release(struct cx_cache *cache)
{
    cx_guard_release(&cache->guard);
}

static inline bool
cx_cache_is_late(const struct cx_cache *cache, uint32_t at, int64_t now)
{
    return cache->entries.at[at].is_timed &&
           now >= cx_load_relaxed(&cache->entries.when[at].deadline);
}

/* CX_OK, CX_EMPTY, CX_TIMEOUT (there, and expired) or CX_UNDECIDED. */
static inline enum cx_status
cx_cache_find(const struct cx_cache *cache, uint64_t hash, cx_same same, void *probe, int64_t now,
              uint32_t *at)
{
    enum cx_status status = cx_entries_find(&cache->entries, hash, same, probe, at);
    return status == CX_OK && cx_cache_is_late(cache, *at, now) ? CX_TIMEOUT : status;
}
/* The entry was used: its policy is told, its time-to-idle begins anew. */
void cx_cache_use(struct cx_cache *cache, uint32_t at, int64_t now);
static inline void
cx_cache_hit(struct cx_cache *cache, uint32_t at, int64_t now)
{
    struct cx_entry *entry = &cache->entries.at[at];
    if (cache->policy.kind->hit != NULL || entry->is_idle) {
        cx_cache_use(cache, at, now);
    }
    else {
        cx_entry_warm(entry, cache->policy.kind->most);
    }
}
/* Puts where `at` is, or, CX_NONE, a new entry.  CX_OK.  CX_AGAIN: find it anew.  CX_TOO_BIG: it is
 * heavier than the bound, or all others are pinned; nothing is stored, an entry that was there has left,
 * and key and value stay the caller's.  After CX_OK with an entry that was there, the key does. */
enum cx_status cx_cache_put(struct cx_cache *cache, uint32_t at, struct cx_put *put,
                            struct cx_dead *dead);
/* There is space in `dead`. */
void cx_cache_remove(struct cx_cache *cache, uint32_t at, enum cx_cause cause,
                     struct cx_dead *dead);
void cx_cache_set_time(struct cx_cache *cache, uint32_t at, int64_t deadline, int64_t span,
                       int64_t now);

/* Removes what has expired: CX_OK, CX_AGAIN, or CX_TIMEOUT for the budget. */
enum cx_status cx_cache_expire(struct cx_cache *cache, int64_t now, bool exact, uint32_t *budget,
                               struct cx_dead *dead);

/* Evicts until the bounds hold: CX_OK or CX_AGAIN. */
enum cx_status cx_cache_shrink(struct cx_cache *cache, struct cx_dead *dead);

size_t cx_cache_bytes(const struct cx_cache *cache);
/* Empties it at once into `out`, which was planned empty and allocated. */
void cx_cache_swap(struct cx_cache *cache, struct cx_growth *out);

#endif

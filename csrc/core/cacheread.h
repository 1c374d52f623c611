// SPDX-License-Identifier: MIT
/* core/cacheread.h - hits of a cache without its exclusion, and what becomes of what they may be on.
 *
 *     cx_tally_arrive(&cache->tally);
 *     cx_rcu_enter();
 *     status = cx_cache_read(cache, hash, same, probe, now, &seen);
 *     ... of CX_OK: a reference to seen.value; is_told = cx_cache_note(cache, &seen, now) ...
 *     cx_rcu_exit();
 *
 * What cannot be told so is asked for again inside the exclusion: an expired entry, which has to leave; a
 * table in motion; a use that there is no room to note (core/reads.h).
 *
 *              read    note                          put, remove, expire, grow, clear
 *   read         -       -     what it finds is in the table at some instant of the read: cells are
 *                              published last and cleared first, values and deadlines are atomic
 *   note        [1]     [1]    [1] two bits of the entry, a deadline that only grows, or a buffer
 *
 * A thread that is alone with its cache (core/tally.h) drops what has left at once.  Otherwise it is gone,
 * and waits (core/gone.h); whoever made it so looks, after the exclusion:
 *
 *     if (cx_cache_is_due(cache)) { take; cx_cache_seal(cache); release; cx_rcu_try_advance() twice;
 *         take; cx_cache_reap(cache, &dead, false), until it is false; release; drop; }
 *
 * Progress: read and note are wait-free but for chains of cells that others lengthen, and for uses of
 *           one entry with a time-to-idle, which are lock-free.
 * Under a GIL there is nothing of this: an operation excludes all others anyway.
 */
#ifndef CX_CORE_CACHEREAD_H
#define CX_CORE_CACHEREAD_H

#include "core/cache.h"

#if CX_WITH_GIL

#define cx_cache_is_due(cache) ((void)(cache), false)

#else

struct cx_seen {
    const struct cx_entries *view;
    uint32_t at;
    void *value; /* borrowed, until the section ends */
};

/* In a view of *e: CX_OK, CX_EMPTY, CX_UNDECIDED, or CX_AGAIN. */
static inline enum cx_status
cx_entries_look(const struct cx_entries *e, const struct cx_entries *view, uint64_t hash,
                cx_same same, void *probe, uint32_t *at)
{
    enum cx_status status = cx_entries_find(view, hash, same, probe, at);
    if (CX_LIKELY(status != CX_EMPTY) || CX_BUG(CACHE_NO_MOVES)) {
        return status;
    }
    /* Cells that move back may have passed the reader by. */
    uint32_t moves = cx_load_acquire(&e->moves); /* [E3] pairs with [E4] */
    status = cx_entries_find(view, hash, same, probe, at);
    bool is_sure = (moves & 1) == 0 && cx_load_acquire(&e->moves) == moves; /* [E3] */
    return status != CX_EMPTY || is_sure ? status : CX_AGAIN;
}

/* CX_OK.  CX_EMPTY: it is not there.  CX_UNDECIDED by `same`.  CX_TIMEOUT, CX_AGAIN: ask inside. */
static inline enum cx_status
cx_cache_read(const struct cx_cache *cache, uint64_t hash, cx_same same, void *probe, int64_t now,
              struct cx_seen *seen)
{
    if (CX_UNLIKELY(cx_load_relaxed(&cache->generation) != cx_fork_generation())) {
        return CX_AGAIN;
    }
    const struct cx_entries *view = cx_load_acquire(&cache->entries.view); /* [E8] with [E7] */
    uint32_t at;
    enum cx_status status = cx_entries_look(&cache->entries, view, hash, same, probe, &at);
    if (CX_UNLIKELY(status != CX_OK)) {
        return status;
    }
    const struct cx_entry *entry = &view->at[at];
    /* The deadline first: a value is stored before the deadline that comes with it. */
    if (cx_load_acquire(&entry->is_timed) && now >= cx_load_acquire(&view->when[at].deadline)) {
        return CX_TIMEOUT;
    }
    *seen = (struct cx_seen){view, at, cx_load_acquire(&entry->value)}; /* LP of a hit */
    return CX_OK;
}

/* Of an entry with a time-to-idle; false: it may have been copied before its deadline was put off. */
bool cx_cache_note_idle(const struct cx_cache *cache, const struct cx_seen *seen, int64_t now);

/* In the same section: counts the use; false: it is not counted yet (cx_cache_hit). */
static inline bool
cx_cache_note(const struct cx_cache *cache, const struct cx_seen *seen, int64_t now)
{
    const struct cx_policy_kind *kind = cache->policy.kind;
    struct cx_entry *entry = &seen->view->at[seen->at];
    if (CX_UNLIKELY(cx_load_relaxed(&entry->is_idle)) && !cx_cache_note_idle(cache, seen, now)) {
        return false;
    }
    if (CX_LIKELY(kind->hit == NULL)) {
        cx_entry_warm(entry, kind->most);
        return true;
    }
    struct cx_reads *reads = cx_load_acquire(&cache->reads); /* [B1] pairs with [B2] */
    bool is_alone = cx_tally_is_alone(&cache->tally);
    return reads != NULL && cx_reads_note(reads, seen->at, (uint32_t)entry->hash,
                                          is_alone ? cx_stamp_alone() : cx_stamp());
}

/* Outside: so that uses can be noted, if there is memory. */
void cx_cache_begin_notes(struct cx_cache *cache);

static inline bool
cx_cache_is_due(const struct cx_cache *cache)
{
    return cx_gone_is_due(&cache->gone);
}

/* Inside. */
void cx_cache_seal(struct cx_cache *cache);
/* Fills *dead with what can be dropped, of keys and values with no cause; true: there may be more.
 * `is_over`: nobody can reach the cache any more. */
bool cx_cache_reap(struct cx_cache *cache, struct cx_dead *dead, bool is_over);
/* Arrays that can be freed (core/gone.h), with all that is in them if they are full; NULL: none. */
struct cx_entries *cx_cache_reap_arrays(struct cx_cache *cache, bool is_over);

#endif

#endif

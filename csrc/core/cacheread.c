// SPDX-License-Identifier: MIT
#include "core/cacheread.h"

#if CX_WITH_GIL
typedef int cx_reads_exclude;
#else

bool
cx_cache_note_idle(const struct cx_cache *cache, const struct cx_seen *seen, int64_t now)
{
    const struct cx_entries *e = &cache->entries;
    cx_idle_use(&seen->view->idle[seen->at], &seen->view->when[seen->at].deadline, now);
    /* Before the table was copied, or else the use is told to the copy. */
    CX_UNLESS_BUG(CACHE_NO_IDLE_FENCE, cx_fence_seq_cst()); /* [E6] pairs with [E5] */
    return CX_BUG(CACHE_NO_IDLE_CHECK) ||
           ((cx_load_relaxed(&e->tables) & 1) == 0 && cx_load_relaxed(&e->view) == seen->view);
}

void
cx_cache_begin_notes(struct cx_cache *cache)
{
    struct cx_reads *known = NULL, *made;
    if (cache->policy.kind->hit == NULL || cx_load_acquire(&cache->reads) != NULL ||
        (made = cx_reads_new()) == NULL) {
        return;
    }
    if (!cx_cas_acq_rel(&cache->reads, &known, made)) { /* [B2] pairs with [B1] */
        cx_reads_free(made);
    }
}

void
cx_cache_seal(struct cx_cache *cache)
{
    cx_gone_seal(&cache->gone, cache->entries.count);
}

bool
cx_cache_reap(struct cx_cache *cache, struct cx_dead *dead, bool is_over)
{
    struct cx_entries *e = &cache->entries;
    while (dead->count < CX_DEAD) {
        uint32_t at = cx_gone_take(&cache->gone, e, is_over);
        if (at == CX_NONE) {
            return false;
        }
        dead->item[dead->count].key = e->at[at].key;
        dead->item[dead->count].value = e->at[at].value;
        dead->count++;
        cx_entries_free(e, at);
    }
    return true;
}

struct cx_entries *
cx_cache_reap_arrays(struct cx_cache *cache, bool is_over)
{
    return cx_gone_take_arrays(&cache->gone, is_over);
}

#endif

// SPDX-License-Identifier: MIT
/* core/cacheroom.h - what a put into a cache needs: slots, columns, ghosts, a wheel, made outside.
 *
 *     take; while (cx_cache_plan(cache, put, &room)) {
 *         release; cx_room_allocate(kind, &room); take; cx_cache_adopt(cache, &room); release;
 *         cx_room_free(&room); take; }
 *     cx_cache_put(...);
 *
 * Synchronization: plan, adopt and retire inside the exclusion, the others outside.
 */
#ifndef CX_CORE_CACHEROOM_H
#define CX_CORE_CACHEROOM_H

#include "core/cache.h"

struct cx_room {
    bool wants_entries, wants_memory, wants_wheel;
    struct cx_growth growth;
    struct cx_memory memory;
    struct cx_wheel *wheel;
    int64_t now;
};

/* For how many entries ghosts and sketches are, of a table with so many slots. */
#define CX_LEAST_REMEMBERED 8
static inline uint32_t
cx_cache_remembered(const struct cx_cache *cache, uint32_t slots)
{
    int64_t most = cache->maxsize > CX_LEAST_REMEMBERED ? cache->maxsize : CX_LEAST_REMEMBERED;
    return slots < most ? slots : (uint32_t)most;
}

/* Whether a plain put needs nothing, which is the usual thing; a plan knows of every one. */
static inline bool
cx_cache_has_room(const struct cx_cache *cache, const struct cx_put *put)
{
    const struct cx_entries *e = &cache->entries;
    const struct cx_policy_kind *kind = cache->policy.kind;
    return put->deadline == CX_FOREVER && put->span == 0 && put->weight == 1 &&
           (cx_entries_has_slot(e) || (CX_WITH_GIL && (int64_t)e->count >= cache->maxsize)) &&
           (!(kind->has_ghosts || kind->has_sketch) ||
            cache->policy.memory.capacity >= cx_cache_remembered(cache, e->capacity));
}

/* False: there is room for this put. */
bool cx_cache_plan(const struct cx_cache *cache, const struct cx_put *put, struct cx_room *room);
CX_NODISCARD bool cx_room_allocate(const struct cx_policy_kind *kind, struct cx_room *room);
void cx_room_free(struct cx_room *room);
void cx_cache_adopt(struct cx_cache *cache, struct cx_room *room);

#if !CX_WITH_GIL
/* Arrays that were the table's are gone; false: nobody can be on them, they are the caller's to free. */
CX_NODISCARD bool cx_cache_retire(struct cx_cache *cache, struct cx_growth *out, bool is_full);
#endif

#endif

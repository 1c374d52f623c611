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

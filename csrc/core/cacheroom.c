// SPDX-License-Identifier: MIT
#include "core/cacheroom.h"

#include <stdlib.h>

static unsigned
columns_of(const struct cx_put *put)
{
    return (put->deadline != CX_FOREVER || put->span != 0 ? CX_WHEN : 0) |
           (put->span != 0 ? CX_IDLE : 0) | (put->weight != 1 ? CX_WEIGHT : 0);
}

/* Without a GIL one slot more than entries, for what a put makes gone, and while others wait, for them. */
static bool
lacks_slot(const struct cx_cache *cache, uint32_t *most)
{
    const struct cx_entries *e = &cache->entries;
    *most = cache->maxsize < CX_ENTRIES_MOST ? (uint32_t)cache->maxsize : CX_ENTRIES_MOST;
    if (cx_entries_has_slot(e)) {
        return false;
    }
#if CX_WITH_GIL
    return (int64_t)e->count < cache->maxsize;
#else
    uint32_t gone = cache->gone.slots;
    uint64_t wanted = (uint64_t)*most + 1 + (gone > 0 ? 2 * (uint64_t)gone + CX_GONE_MOST : 0);
    *most = wanted < CX_ENTRIES_MOST ? (uint32_t)wanted : CX_ENTRIES_MOST;
    return true;
#endif
}

bool
cx_cache_plan(const struct cx_cache *cache, const struct cx_put *put, struct cx_room *room)
{
    const struct cx_entries *e = &cache->entries;
    const struct cx_policy_kind *kind = cache->policy.kind;
    unsigned columns = columns_of(put);
    uint32_t most, capacity = e->capacity;
    bool wants_entries = lacks_slot(cache, &most) || (columns & ~cx_entries_columns(e));
    bool lacks_wheel = (columns & CX_WHEN) && cache->wheel == NULL;
    bool has_memory = kind->has_ghosts || kind->has_sketch;
    if (CX_LIKELY(!wants_entries && !lacks_wheel) &&
        (!has_memory || cache->policy.memory.capacity >= cx_cache_remembered(cache, capacity))) {
        return false;
    }
    *room = (struct cx_room){.now = put->now, .wants_entries = wants_entries};
    if (wants_entries) {
        most = most > e->capacity ? most : e->capacity;
        cx_entries_plan(e, columns, most, &room->growth);
        capacity = room->growth.arrays.capacity;
    }
    capacity = cx_cache_remembered(cache, capacity);
    room->wants_memory = has_memory && cache->policy.memory.capacity < capacity;
    room->memory.capacity = capacity;
    room->wants_wheel = lacks_wheel;
    return true;
}

bool
cx_room_allocate(const struct cx_policy_kind *kind, struct cx_room *room)
{
    bool ok = !room->wants_entries || cx_growth_allocate(&room->growth);
    room->wants_entries = ok && room->wants_entries;
    uint32_t capacity = room->memory.capacity;
    room->memory = (struct cx_memory){0};
    ok = ok && (!room->wants_memory || cx_memory_allocate(&room->memory, kind, capacity));
    if (ok && room->wants_wheel) {
        room->wheel = malloc(sizeof *room->wheel);
        ok = room->wheel != NULL;
    }
    if (!ok) {
        cx_room_free(room);
    }
    return ok;
}

void
cx_room_free(struct cx_room *room)
{
    if (room->wants_entries) {
        cx_growth_free(&room->growth);
    }
    cx_memory_free(&room->memory);
    free(room->wheel);
}

#if !CX_WITH_GIL
bool
cx_cache_retire(struct cx_cache *cache, struct cx_growth *out, bool is_full)
{
    bool waits = !cx_tally_is_alone(&cache->tally);
    if (waits) {
        cx_gone_add_arrays(&cache->gone, out->arrays.view, is_full);
    }
    return waits;
}
#endif

void
cx_cache_adopt(struct cx_cache *cache, struct cx_room *room)
{
#if !CX_WITH_GIL
    const struct cx_entries *fresh = room->growth.arrays.view;
#endif
    if (room->wants_entries) {
        cx_entries_adopt(&cache->entries, &room->growth);
#if !CX_WITH_GIL
        bool was_shown = room->growth.arrays.view != fresh; /* or it was too small by now */
        room->wants_entries = !(was_shown && cx_cache_retire(cache, &room->growth, false));
#endif
    }
    if (room->wants_memory) {
        cx_policy_adopt(&cache->policy, &room->memory);
    }
    if (room->wheel != NULL && cache->wheel == NULL) {
        cx_wheel_init(room->wheel, room->now);
        cache->wheel = room->wheel;
        room->wheel = NULL;
    }
}

// SPDX-License-Identifier: MIT
#include "core/cache.h"

#include <stdlib.h>

#define EXPIRED_PER_PUT 8 /* nodes of the wheel: more than a put can add, so the wheel catches up */

bool
cx_cache_init(struct cx_cache *cache, const struct cx_policy_kind *kind, int64_t maxsize,
              int64_t max_weight)
{
    *cache = (struct cx_cache){.maxsize = maxsize, .max_weight = max_weight};
    cx_guard_init(&cache->guard);
    cache->generation = cx_fork_generation();
    if (!cx_entries_init(&cache->entries)) {
        return false;
    }
    if (!cx_policy_init(&cache->policy, kind, &cache->entries)) {
        cx_entries_fini(&cache->entries);
        return false;
    }
    return true;
}

void
cx_cache_fini(struct cx_cache *cache)
{
    cx_entries_fini(&cache->entries);
    cx_policy_fini(&cache->policy);
    cx_tags_free(cache->tags);
    free(cache->wheel);
    cache->tags = NULL;
    cache->wheel = NULL;
}

size_t
cx_cache_bytes(const struct cx_cache *cache)
{
    const struct cx_entries *e = &cache->entries;
    const struct cx_memory *memory = &cache->policy.memory;
    size_t slot = sizeof *e->at + (e->when != NULL ? sizeof *e->when : 0) +
                  (e->idle != NULL ? sizeof *e->idle : 0) +
                  (e->weight != NULL ? sizeof *e->weight : 0);
    size_t bytes = slot * e->capacity + (e->mask + (size_t)1) * sizeof *e->cells;
    bytes += cache->policy.kind->chains * sizeof *cache->policy.chains;
    bytes += cache->wheel != NULL ? sizeof *cache->wheel : 0;
    bytes += cache->tags != NULL ? cx_tags_bytes(cache->tags) : 0;
    return bytes + cx_ghost_bytes(&memory->ghost) + cx_sketch_bytes(&memory->sketch);
}

/* A lock that is held from before the fork was left in the middle of something. */
static bool
was_left_inside(const struct cx_cache *cache)
{
#if CX_WITH_GIL
    (void)cache;
    return false; /* who is inside holds the GIL, and does not fork */
#else
    uint32_t word = cx_load_relaxed(&cache->guard.lock.word);
    return word != 0 && word >> 2 != cx_fork_generation();
#endif
}

static void
empty_wheel(struct cx_cache *cache)
{
    if (cache->wheel != NULL) {
        cx_wheel_init(cache->wheel, cache->wheel->tick * (INT64_C(1) << CX_WHEEL_TICK));
    }
}

bool
cx_cache_take_in_child(struct cx_cache *cache)
{
    bool broken = was_left_inside(cache);
    cx_guard_take(&cache->guard);
    if (cx_load_relaxed(&cache->generation) == cx_fork_generation()) {
        return true;
    }
    if (broken) {
        struct cx_entries fresh;
        if (!cx_entries_init(&fresh)) {
            cx_guard_release(&cache->guard);
            return false;
        }
        cache->entries = fresh; /* what was there is lost: nobody knows what is whole */
        cache->policy.memory = (struct cx_memory){0};
        cache->tags = NULL;
        cx_policy_reset(&cache->policy);
        empty_wheel(cache);
        cache->weight = 0;
    }
    cx_store_relaxed(&cache->generation, cx_fork_generation());
    return true;
}

/* When an entry expires that is used now. */
static int64_t
put_off(int64_t hard, int64_t span, int64_t now)
{
    return hard != CX_FOREVER && hard - now < span ? hard : now + span;
}

void
cx_cache_use(struct cx_cache *cache, uint32_t at, int64_t now)
{
    struct cx_entry *entry = &cache->entries.at[at];
    if (cache->policy.kind->hit == NULL) {
        entry->hot += entry->hot < cache->policy.kind->most;
    }
    else if (entry->chain != CX_PINNED) {
        cache->policy.kind->hit(&cache->policy, at);
    }
    if (entry->is_idle) {
        const struct cx_idle *idle = &cache->entries.idle[at];
        int64_t *deadline = &cache->entries.when[at].deadline;
        int64_t later = put_off(idle->hard, idle->span, now);
        *deadline = later > *deadline ? later : *deadline; /* the wheel finds out */
    }
}

/* --- room ---------------------------------------------------------------------------------------- */

static unsigned
columns_of(const struct cx_put *put)
{
    return (put->deadline != CX_FOREVER || put->span != 0 ? CX_WHEN : 0) |
           (put->span != 0 ? CX_IDLE : 0) | (put->weight != 1 ? CX_WEIGHT : 0);
}

bool
cx_cache_plan(const struct cx_cache *cache, const struct cx_put *put, struct cx_room *room)
{
    const struct cx_entries *e = &cache->entries;
    const struct cx_policy_kind *kind = cache->policy.kind;
    unsigned columns = columns_of(put);
    bool lacks_slot = !cx_entries_has_slot(e) && (int64_t)e->count < cache->maxsize;
    uint32_t capacity = e->capacity;
    uint32_t most = cache->maxsize < CX_ENTRIES_MOST ? (uint32_t)cache->maxsize : CX_ENTRIES_MOST;
    bool lacks_wheel = (columns & CX_WHEN) && cache->wheel == NULL;
    bool wants_entries = lacks_slot || (columns & ~cx_entries_columns(e));
    bool has_memory = kind->has_ghosts || kind->has_sketch;
    if (CX_LIKELY(!wants_entries && !lacks_wheel) &&
        (!has_memory || cache->policy.memory.capacity >= capacity)) {
        return false;
    }
    *room = (struct cx_room){.now = put->now, .wants_entries = wants_entries};
    if (wants_entries) {
        most = most > e->capacity ? most : e->capacity;
        cx_entries_plan(e, columns, most, &room->growth);
        capacity = room->growth.arrays.capacity;
    }
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

void
cx_cache_adopt(struct cx_cache *cache, struct cx_room *room)
{
    if (room->wants_entries) {
        cx_entries_adopt(&cache->entries, &room->growth);
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

/* --- what leaves --------------------------------------------------------------------------------- */

static void
bury(struct cx_cache *cache, struct cx_dead *dead, void *key, void *value, enum cx_cause cause)
{
    dead->item[dead->count].key = key;
    dead->item[dead->count].value = value;
    dead->item[dead->count].cause = cause;
    dead->count++;
    cache->left[cause]++;
}

/* All of it but the wheel, which may have let go of the entry already. */
static void
take_out(struct cx_cache *cache, uint32_t at, enum cx_cause cause, struct cx_dead *dead)
{
    struct cx_entry *entry = &cache->entries.at[at];
    bury(cache, dead, entry->key, entry->value, cause);
    if (cache->tags != NULL) {
        cx_tags_detach(cache->tags, at);
    }
    cx_chain_leave(&cache->policy, at);
    cache->weight -= cx_entries_weight(&cache->entries, at);
    cx_entries_remove(&cache->entries, at); /* LP of a removal */
}

void
cx_cache_remove(struct cx_cache *cache, uint32_t at, enum cx_cause cause, struct cx_dead *dead)
{
    if (cache->entries.at[at].is_timed) {
        cx_wheel_remove(cache->wheel, cache->entries.when, at);
    }
    take_out(cache, at, cause, dead);
}

enum cx_status
cx_cache_expire(struct cx_cache *cache, int64_t now, bool exact, uint32_t *budget,
                struct cx_dead *dead)
{
    while (cache->wheel != NULL) {
        if (dead->count == CX_DEAD) {
            return CX_AGAIN;
        }
        uint32_t at = cx_wheel_next(cache->wheel, cache->entries.when, now, exact, budget);
        if (at >= CX_WHEEL_MORE) {
            return at == CX_WHEEL_MORE ? CX_TIMEOUT : CX_OK;
        }
        take_out(cache, at, CX_EXPIRED, dead);
    }
    return CX_OK;
}

/* Evicts until `more` entries of `weight` fit in: CX_OK, CX_AGAIN, or CX_FULL. */
static enum cx_status
make_way(struct cx_cache *cache, int64_t more, int64_t weight, struct cx_dead *dead)
{
    const struct cx_policy_kind *kind = cache->policy.kind;
    while ((int64_t)cache->entries.count > cache->maxsize - more ||
           cache->weight > cache->max_weight - weight) {
        if (dead->count == CX_DEAD) {
            return CX_AGAIN;
        }
        uint32_t at = kind->victim(&cache->policy);
        if (at == CX_NONE) {
            return CX_FULL;
        }
        if (kind->leave != NULL) {
            kind->leave(&cache->policy, at);
        }
        cx_cache_remove(cache, at, CX_SIZE, dead);
    }
    return CX_OK;
}

enum cx_status
cx_cache_shrink(struct cx_cache *cache, struct cx_dead *dead)
{
    return make_way(cache, 0, 0, dead) == CX_AGAIN ? CX_AGAIN : CX_OK;
}

void
cx_cache_swap(struct cx_cache *cache, struct cx_growth *out)
{
    struct cx_entries full = cache->entries;
    cache->left[CX_CLEARED] += full.count;
    cache->entries = out->arrays; /* LP of clear */
    out->arrays = full;
    cache->weight = 0;
    for (uint32_t at = 0; cache->tags != NULL && at < full.used; at++) {
        cx_tags_detach(cache->tags, at);
    }
    cx_policy_reset(&cache->policy);
    empty_wheel(cache);
}

/* --- put ----------------------------------------------------------------------------------------- */

void
cx_cache_set_time(struct cx_cache *cache, uint32_t at, int64_t deadline, int64_t span, int64_t now)
{
    struct cx_entry *entry = &cache->entries.at[at];
    struct cx_wheel_node *nodes = cache->entries.when;
    int64_t effective = span == 0 ? deadline : put_off(deadline, span, now);
    if (span != 0) {
        cache->entries.idle[at] = (struct cx_idle){.hard = deadline, .span = span};
    }
    entry->is_idle = span != 0;
    if (entry->is_timed && effective != CX_FOREVER && effective >= nodes[at].deadline) {
        nodes[at].deadline = effective; /* the wheel finds out */
        return;
    }
    if (entry->is_timed) {
        cx_wheel_remove(cache->wheel, nodes, at);
    }
    entry->is_timed = effective != CX_FOREVER;
    if (entry->is_timed) {
        nodes[at].deadline = effective;
        cx_wheel_add(cache->wheel, nodes, at);
    }
}

static enum cx_status
refuse(struct cx_cache *cache, uint32_t at, struct cx_dead *dead)
{
    if (at != CX_NONE) {
        cx_cache_remove(cache, at, CX_REPLACED, dead);
    }
    cache->refused++;
    return CX_TOO_BIG;
}

static void
weigh(struct cx_cache *cache, uint32_t at, int64_t weight)
{
    if (cache->entries.weight != NULL) {
        cache->entries.weight[at] = weight;
    }
    cache->weight += weight;
}

static enum cx_status
insert(struct cx_cache *cache, struct cx_put *put, struct cx_dead *dead)
{
    const struct cx_policy_kind *kind = cache->policy.kind;
    if (!put->is_expected && kind->expect != NULL) {
        put->is_known = kind->expect(&cache->policy, put->hash);
        put->is_expected = true;
    }
    enum cx_status status = make_way(cache, 1, put->weight, dead);
    if (status != CX_OK) {
        return status == CX_AGAIN ? status : refuse(cache, CX_NONE, dead);
    }
    uint32_t at = cx_entries_add(&cache->entries, put->key, put->value, put->hash); /* LP */
    put->at = at;
    weigh(cache, at, put->weight);
    if (put->weight == 0) {
        cache->entries.at[at].chain = CX_PINNED;
    }
    else {
        kind->insert(&cache->policy, at, put->is_known);
    }
    if (put->deadline != CX_FOREVER || put->span != 0) {
        cx_cache_set_time(cache, at, put->deadline, put->span, put->now);
    }
    return CX_OK;
}

/* Gives an entry another weight.  While others go for it, it is pinned and weighs nothing. */
static enum cx_status
reweigh(struct cx_cache *cache, uint32_t at, int64_t weight, struct cx_dead *dead)
{
    int64_t old = cx_entries_weight(&cache->entries, at);
    if (old > 0 && weight > 0 && cache->weight - old <= cache->max_weight - weight) {
        cx_chain_reweigh(&cache->policy, at, weight - old);
        weigh(cache, at, weight);
        cache->weight -= old;
        return CX_OK;
    }
    cx_chain_leave(&cache->policy, at);
    cache->weight -= old;
    weigh(cache, at, 0);
    enum cx_status status = make_way(cache, 0, weight, dead);
    if (status == CX_OK) {
        weigh(cache, at, weight);
        if (weight > 0) {
            cache->policy.kind->insert(&cache->policy, at, false);
        }
    }
    return status;
}

enum cx_status
cx_cache_put(struct cx_cache *cache, uint32_t at, struct cx_put *put, struct cx_dead *dead)
{
    if (cache->wheel != NULL) {
        uint32_t budget = EXPIRED_PER_PUT;
        (void)cx_cache_expire(cache, put->now, false, &budget, dead);
    }
    if (dead->count == CX_DEAD) {
        return CX_AGAIN;
    }
    if (put->weight > cache->max_weight || cache->maxsize == 0) {
        return refuse(cache, at, dead);
    }
    if (at == CX_NONE) {
        return insert(cache, put, dead);
    }
    if (put->weight != cx_entries_weight(&cache->entries, at)) {
        enum cx_status status = reweigh(cache, at, put->weight, dead);
        if (status == CX_AGAIN || dead->count == CX_DEAD) {
            return CX_AGAIN;
        }
        if (status == CX_FULL) {
            return refuse(cache, at, dead);
        }
    }
    put->at = at;
    bury(cache, dead, NULL, cache->entries.at[at].value, CX_REPLACED);
    if (cache->tags != NULL) {
        cx_tags_detach(cache->tags, at);
    }
    cache->entries.at[at].value = put->value; /* LP */
    cx_cache_set_time(cache, at, put->deadline, put->span, put->now);
    cx_cache_hit(cache, at, put->now);
    return CX_OK;
}

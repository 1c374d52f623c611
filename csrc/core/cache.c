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
    cx_tally_init(&cache->tally);
#if !CX_WITH_GIL
    cx_gone_init(&cache->gone);
#endif
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
    cx_tally_fini(&cache->tally);
#if !CX_WITH_GIL
    struct cx_entries *gone;
    while ((gone = cx_gone_take_arrays(&cache->gone, true)) != NULL) {
        cx_gone_free_arrays(gone);
    }
    cx_reads_free(cache->reads);
    cache->reads = NULL;
#endif
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
#if !CX_WITH_GIL
    const struct cx_reads *reads = cx_load_acquire(&cache->reads);
    bytes += sizeof *e->view + (reads != NULL ? cx_reads_bytes(reads) : 0);
#endif
    return bytes + cx_ghost_bytes(&memory->ghost) + cx_sketch_bytes(&memory->sketch);
}

static void
empty_wheel(struct cx_cache *cache)
{
    if (cache->wheel != NULL) {
        cx_wheel_init(cache->wheel, cache->wheel->tick * (INT64_C(1) << CX_WHEEL_TICK));
    }
}

#if !CX_WITH_GIL

/* A lock that is held from before the fork was left in the middle of something. */
static bool
was_left_inside(const struct cx_cache *cache)
{
    uint32_t word = cx_load_relaxed(&cache->guard.lock.word);
    return word != 0 && word >> 2 != cx_fork_generation();
}

/* What was there is lost: nobody knows what is whole. */
static void
forget(struct cx_cache *cache, struct cx_growth *fresh)
{
    cx_entries_exchange(&cache->entries, fresh);
    cx_store_release(&cache->entries.moves, (cache->entries.moves | 1) + 1);
    cx_gone_init(&cache->gone);
    cache->policy.memory = (struct cx_memory){0};
    cache->tags = NULL;
    cx_policy_reset(&cache->policy);
    empty_wheel(cache);
    cache->weight = 0;
}

static CX_COLD bool
take_in_child(struct cx_cache *cache)
{
    bool broken = was_left_inside(cache);
    cx_guard_take(&cache->guard);
    if (cx_load_relaxed(&cache->generation) == cx_fork_generation()) {
        return true;
    }
    if (broken) {
        struct cx_growth fresh;
        cx_entries_plan_empty(&fresh);
        if (!cx_growth_allocate(&fresh)) {
            cx_guard_release(&cache->guard);
            return false;
        }
        forget(cache, &fresh);
    }
    cx_store_release(&cache->generation, cx_fork_generation());
    return true;
}

/* What readers have noted, before anything is decided. */
static CX_NOINLINE void
hear(struct cx_cache *cache, struct cx_reads *reads)
{
    struct cx_reads_walk walk;
    struct cx_read read;
    if (!cx_reads_begin(reads, &walk)) {
        return;
    }
    while (cx_reads_next(&walk, &read)) {
        const struct cx_entries *e = &cache->entries;
        if (read.at < e->used && e->at[read.at].key != NULL && e->at[read.at].chain < CX_GONE &&
            (uint32_t)e->at[read.at].hash == read.hash) {
            cache->policy.kind->hit(&cache->policy, read.at);
        }
    }
}

bool
cx_cache_take(struct cx_cache *cache)
{
    cx_tally_arrive(&cache->tally);
    if (CX_UNLIKELY(cx_load_relaxed(&cache->generation) != cx_fork_generation())) {
        return take_in_child(cache);
    }
    cx_guard_take(&cache->guard);
    struct cx_reads *reads = cx_load_acquire(&cache->reads); /* [B1] pairs with [B2] */
    if (reads != NULL && !CX_BUG(CACHE_HEARS_NOTHING)) {
        hear(cache, reads);
    }
    return true;
}

#endif

void
cx_cache_use(struct cx_cache *cache, uint32_t at, int64_t now)
{
    struct cx_entry *entry = &cache->entries.at[at];
    if (cache->policy.kind->hit == NULL) {
        cx_entry_warm(entry, cache->policy.kind->most);
    }
    else if (entry->chain != CX_PINNED) {
        cache->policy.kind->hit(&cache->policy, at);
    }
    if (entry->is_idle) {
        /* The wheel finds out. */
        cx_idle_use(&cache->entries.idle[at], &cache->entries.when[at].deadline, now);
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

/* What has been unlinked or replaced and readers may be on: *dead gets references of its own. */
static inline bool
is_watched(struct cx_cache *cache, void *key, void *value)
{
#if CX_WITH_GIL
    (void)cache, (void)key, (void)value;
    return false;
#else
    if (CX_LIKELY(cx_tally_is_alone(&cache->tally)) || CX_BUG(CACHE_NOT_WATCHED)) {
        return false;
    }
    if (cache->retain != NULL) {
        if (key != NULL) {
            cache->retain(key);
        }
        cache->retain(value);
    }
    return true;
#endif
}

/* All of it but the wheel, which may have let go of the entry already. */
static void
take_out(struct cx_cache *cache, uint32_t at, enum cx_cause cause, struct cx_dead *dead)
{
    struct cx_entry *entry = &cache->entries.at[at];
    if (cache->tags != NULL) {
        cx_tags_detach(cache->tags, at);
    }
    cx_chain_leave(&cache->policy, at);
    cache->weight -= cx_entries_weight(&cache->entries, at);
    bury(cache, dead, entry->key, entry->value, cause);
    cx_entries_unlink(&cache->entries, at); /* LP of a removal */
    if (!is_watched(cache, entry->key, entry->value)) {
        cx_entries_free(&cache->entries, at);
        return;
    }
#if !CX_WITH_GIL
    cx_gone_add(&cache->gone, &cache->entries, at);
#endif
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
    cache->left[CX_CLEARED] += cache->entries.count;
    cx_entries_exchange(&cache->entries, out); /* LP of clear */
    cache->weight = 0;
    for (uint32_t at = 0; cache->tags != NULL && at < out->arrays.used; at++) {
        cx_tags_detach(cache->tags, at);
    }
#if !CX_WITH_GIL
    cx_gone_forget_slots(&cache->gone);
#endif
    cx_policy_reset(&cache->policy);
    empty_wheel(cache);
}

/* --- put ----------------------------------------------------------------------------------------- */

void
cx_cache_set_time(struct cx_cache *cache, uint32_t at, int64_t deadline, int64_t span, int64_t now)
{
    struct cx_entry *entry = &cache->entries.at[at];
    struct cx_wheel_node *nodes = cache->entries.when;
    int64_t effective = span == 0 ? deadline : cx_put_off(deadline, span, now);
    if (span != 0) {
        struct cx_idle *idle = &cache->entries.idle[at];
        cx_store_relaxed(&idle->hard, deadline);
        cx_store_relaxed(&idle->span, span);
    }
    cx_store_relaxed(&entry->is_idle, span != 0);
    if (entry->is_timed && effective != CX_FOREVER &&
        effective >= cx_load_relaxed(&nodes[at].deadline)) {
        cx_store_release(&nodes[at].deadline, effective); /* [I2] with [I1]; the wheel finds out */
        return;
    }
    if (entry->is_timed) {
        cx_wheel_remove(cache->wheel, nodes, at);
    }
    if (effective != CX_FOREVER) {
        cx_store_release(&nodes[at].deadline, effective); /* [I2] */
        cx_wheel_add(cache->wheel, nodes, at);
    }
    cx_store_release(&entry->is_timed, effective != CX_FOREVER);
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
    void *old = cache->entries.at[at].value;
    bury(cache, dead, NULL, old, CX_REPLACED);
    if (cache->tags != NULL) {
        cx_tags_detach(cache->tags, at);
    }
    cx_store_release(&cache->entries.at[at].value, put->value); /* LP */
#if !CX_WITH_GIL
    if (is_watched(cache, NULL, old)) {
        cx_gone_add_value(&cache->gone, &cache->entries, old);
    }
#endif
    cx_cache_set_time(cache, at, put->deadline, put->span, put->now);
    cx_cache_hit(cache, at, put->now);
    return CX_OK;
}

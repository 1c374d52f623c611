// SPDX-License-Identifier: MIT
#include "core/mapstripe.h"

#include <stdlib.h>

/* --- what is unlinked --------------------------------------------------------------------------- */

void
cx_map_retire(struct cx_map_stripe *s, struct cx_map_waste *waste, enum cx_map_kind kind,
              void *item, uint32_t weight)
{
#if CX_WITH_GIL
    (void)s;
    (void)weight;
    switch (kind) {
    case CX_MAP_OBJECT:
        waste->value = item;
        break;
    case CX_MAP_NODE:
        waste->node = item;
        break;
    case CX_MAP_TABLE:
        free(item);
        break;
    case CX_MAP_TABLES:
        waste->tables = item;
        break;
    }
#else
    (void)waste;
    /* The kind goes into the lowest bits. */
    cx_limbo_add(&s->limbo, (void *)((uintptr_t)item | (uintptr_t)kind), weight);
#endif
}

static void
node_release(const struct cx_map_hooks *hooks, struct cx_map_node *node)
{
    void *key = node->key;
    hooks->node_free(node);
    hooks->drop(key);
}

/* Nobody walks them. */
static void
tables_release(const struct cx_map_hooks *hooks, struct cx_map_table *t)
{
    while (t != NULL) {
        struct cx_map_table *next = t->next;
        for (uint64_t b = 0; b < cx_map_buckets(t); b++) {
            struct cx_map_node *node = t->bucket[b] == CX_MAP_MOVED ? NULL : t->bucket[b];
            while (node != NULL) {
                struct cx_map_node *following = node->next;
                void *value = node->value;
                node_release(hooks, node);
                if (cx_map_is_object(value)) {
                    hooks->drop(value);
                }
                node = following;
            }
        }
        free(t);
        t = next;
    }
}

static void
item_release(const struct cx_map_hooks *hooks, void *item)
{
    void *pointer = (void *)((uintptr_t)item & ~(uintptr_t)3);
    switch ((enum cx_map_kind)((uintptr_t)item & 3)) {
    case CX_MAP_OBJECT:
        hooks->drop(pointer);
        break;
    case CX_MAP_NODE:
        node_release(hooks, pointer);
        break;
    case CX_MAP_TABLE:
        free(pointer);
        break;
    case CX_MAP_TABLES:
        tables_release(hooks, pointer);
        break;
    }
}

static void
batches_release(const struct cx_map_hooks *hooks, struct cx_batch *batch)
{
    while (batch != NULL) {
        struct cx_batch *next = batch->next;
        for (uint32_t i = 0; i < cx_load_relaxed(&batch->count); i++) {
            item_release(hooks, batch->item[i]);
        }
        free(batch);
        batch = next;
    }
}

void
cx_map_release(const struct cx_map_hooks *hooks, struct cx_map_waste *waste)
{
    struct cx_map_waste w = *waste; /* what is dropped may come back to the map */
    *waste = (struct cx_map_waste){.node = NULL};
    if (w.value != NULL) {
        hooks->drop(w.value);
    }
    if (w.node != NULL) {
        node_release(hooks, w.node);
    }
    tables_release(hooks, w.tables);
    batches_release(hooks, w.ripe);
}

/* --- what is held ----------------------------------------------------------------------------- */

int
cx_map_visit_tables(const struct cx_map_table *t, int (*visit)(void *object, void *arg), void *arg)
{
    int answer = 0;
    for (; t != NULL; t = cx_load_relaxed(&t->next)) {
        for (uint64_t b = 0; b < cx_map_buckets(t); b++) {
            struct cx_map_node *node = cx_load_relaxed(&t->bucket[b]);
            for (; node != NULL && node != CX_MAP_MOVED; node = cx_load_relaxed(&node->next)) {
                void *value = cx_load_relaxed(&node->value);
                if ((answer = visit(node->key, arg)) != 0 ||
                    (cx_map_is_object(value) && (answer = visit(value, arg)) != 0)) {
                    return answer;
                }
            }
        }
    }
    return 0;
}

static int
visit_item(void *item, int (*visit)(void *object, void *arg), void *arg)
{
    void *pointer = (void *)((uintptr_t)item & ~(uintptr_t)3);
    switch ((enum cx_map_kind)((uintptr_t)item & 3)) {
    case CX_MAP_OBJECT:
        return visit(pointer, arg);
    case CX_MAP_NODE:
        return visit(((struct cx_map_node *)pointer)->key, arg);
    case CX_MAP_TABLES:
        return cx_map_visit_tables(pointer, visit, arg);
    default:
        return 0;
    }
}

int
cx_map_visit_waiting(const struct cx_map *m, int (*visit)(void *object, void *arg), void *arg)
{
    int answer = 0;
    for (uint32_t i = 0; i < cx_map_stripe_count(m); i++) {
        const struct cx_limbo *limbo = &m->stripes[i].limbo;
        const struct cx_batch *batch = limbo->first != NULL ? limbo->first : limbo->open;
        while (batch != NULL && answer == 0) {
            for (uint32_t k = 0; k < cx_load_relaxed(&batch->count) && answer == 0; k++) {
                answer = visit_item(batch->item[k], visit, arg);
            }
            batch = batch == limbo->open ? NULL : batch != limbo->last ? batch->next : limbo->open;
        }
    }
    return answer;
}

/* --- moving ---------------------------------------------------------------------------------- */

/* All buckets of all stripes are in the next table. */
static CX_COLD void
finish(struct cx_map *m, struct cx_map_table *t, struct cx_map_stripe *s,
       struct cx_map_waste *waste)
{
    cx_store_release(&m->table, cx_load_relaxed(&t->next)); /* [T2] pairs with [T1] */
    cx_map_retire(s, waste, CX_MAP_TABLE, t, 1);
}

/* True: that was the last one of all stripes, and the table is gone. */
static bool
move_one(struct cx_map *m, struct cx_map_table *t, struct cx_map_stripe *s, uint64_t bucket,
         struct cx_map_waste *waste)
{
    cx_map_move(t, bucket, &s->run);
    bool is_last = ++s->moved == cx_map_share(m, t) &&
                   cx_fetch_add_acq_rel(&t->stripes_left, (uint32_t)-1) == 1;
    if (is_last) {
        finish(m, t, s, waste);
    }
    return is_last;
}

/* Moves up to `most` buckets of a stripe whose guard is held. */
static void
move_some(struct cx_map *m, struct cx_map_table *t, struct cx_map_stripe *s, uint32_t most,
          struct cx_map_waste *waste)
{
    uint64_t share = cx_map_share(m, t), begin = (uint64_t)(s - m->stripes) * share;
    bool is_last = false;
    while (most > 0 && s->moved < share && !is_last) {
        uint64_t bucket = begin + s->hand++;
        if (cx_load_relaxed(&t->bucket[bucket]) != CX_MAP_MOVED) {
            most--;
            is_last = move_one(m, t, s, bucket, waste);
        }
    }
}

/* The counters of a stripe are about this table from now on. */
static void
turn_to(struct cx_map_stripe *s, const struct cx_map_table *t)
{
    if (s->number != t->number) {
        s->number = t->number;
        s->moved = s->hand = 0;
    }
}

struct cx_map_table *
cx_map_home(struct cx_map *m, struct cx_map_stripe *s, uint64_t hash, bool *is_idle,
            struct cx_map_waste *waste)
{
    struct cx_map_table *t = cx_load_acquire(&m->table); /* [T1] */
    struct cx_map_table *n = cx_load_acquire(&t->next);
    if (CX_LIKELY(n == NULL)) {
        return t;
    }
    turn_to(s, t);
    uint64_t share = cx_map_share(m, t);
    uint32_t most = CX_MAP_STEP;
    bool is_last = false;
    *is_idle = s->moved == share;
    if (cx_load_relaxed(&t->bucket[hash >> t->shift]) != CX_MAP_MOVED) {
        most--;
        is_last = move_one(m, t, s, hash >> t->shift, waste);
    }
    if (!is_last) {
        move_some(m, t, s, most, waste);
    }
    return n;
}

#if !CX_WITH_GIL

/* A child of fork: the other threads are gone, wherever they were. */
static CX_COLD void
repair_stripe(struct cx_map *m, struct cx_map_stripe *s)
{
    struct cx_map_table *t = cx_load_relaxed(&m->table), *n = cx_load_relaxed(&t->next);
    uint64_t index = (uint64_t)(s - m->stripes);
    int64_t count = 0;
    if (n != NULL) {
        cx_map_move_repair(t, &s->run);
        s->number = t->number;
        s->moved = s->hand = 0;
    }
    for (; t != NULL; t = cx_load_relaxed(&t->next)) {
        uint64_t share = cx_map_share(m, t);
        for (uint64_t b = index * share; b < (index + 1) * share; b++) {
            struct cx_map_node **link = &t->bucket[b], *node;
            if (cx_load_relaxed(link) == CX_MAP_MOVED) {
                s->moved++;
                continue;
            }
            while ((node = cx_load_relaxed(link)) != NULL) {
                if (cx_load_relaxed(&node->value) == NULL) { /* removed, and to be unlinked */
                    cx_store_release(link, cx_load_relaxed(&node->next));
                    continue;
                }
                count++;
                link = &node->next;
            }
        }
    }
    cx_store_relaxed(&s->count, count);
}

/* How many stripes have still to be moved is counted anew; a lost thread may have been about to. */
static CX_COLD void
repair_migration(struct cx_map *m)
{
    struct cx_map_table *t = cx_load_relaxed(&m->table);
    uint32_t left = 0;
    if (cx_load_relaxed(&t->next) == NULL) {
        return;
    }
    for (uint32_t i = 0; i < cx_map_stripe_count(m); i++) {
        struct cx_map_stripe *s = &m->stripes[i];
        turn_to(s, t);
        left += s->moved < cx_map_share(m, t);
    }
    cx_store_relaxed(&t->stripes_left, left);
    if (left == 0) {
        cx_store_release(&m->table, cx_load_relaxed(&t->next)); /* the old array stays behind */
    }
}

CX_COLD void
cx_map_repair(struct cx_map *m)
{
    bool was_lost[CX_MAP_STRIPES];
    for (uint32_t i = 0; i < cx_map_stripe_count(m); i++) {
        was_lost[i] = cx_lock_is_lost(cx_load_relaxed(&m->stripes[i].guard.lock.word));
        cx_guard_take(&m->stripes[i].guard);
    }
    if (cx_load_relaxed(&m->generation) != cx_fork_generation()) {
        bool any = false;
        cx_store_relaxed(&m->snapshots, 0);
        for (uint32_t i = 0; i < cx_map_stripe_count(m); i++) {
            if (was_lost[i]) {
                repair_stripe(m, &m->stripes[i]);
                any = true;
            }
        }
        if (any) {
            repair_migration(m);
        }
        cx_store_release(&m->generation, cx_fork_generation());
    }
    for (uint32_t i = cx_map_stripe_count(m); i-- > 0;) {
        cx_guard_release(&m->stripes[i].guard);
    }
}

#else

/* Who forks holds the GIL, so nobody else was at anything. */
void
cx_map_repair(struct cx_map *m)
{
    cx_store_relaxed(&m->generation, cx_fork_generation());
}

#endif

CX_COLD void
cx_map_resize(struct cx_map *m, struct cx_map_stripe *s, int64_t entries)
{
    uint32_t shift = m->largest_shift;
    while (shift > 16 && INT64_C(1) << (64 - shift) < entries) {
        shift--;
    }
    struct cx_map_table *bigger = cx_map_table_new(shift, 0, cx_map_stripe_count(m));
    if (bigger == NULL) {
        return; /* chains get longer until there is memory */
    }
    cx_map_enter(s);
    struct cx_map_table *t = cx_load_acquire(&m->table), *none = NULL;
    bigger->number = t->number + 1;
    bool is_used = t->shift != shift && cx_cas_acq_rel(&t->next, &none, bigger);
    cx_map_exit(s);
    if (!is_used) {
        free(bigger);
    }
}

CX_COLD void
cx_map_help(struct cx_map *m, struct cx_map_stripe *mine, struct cx_map_waste *waste)
{
    uint32_t index = (uint32_t)(mine - m->stripes);
    for (uint32_t tried = 1; tried < cx_map_stripe_count(m); tried++) {
        struct cx_map_stripe *s = &m->stripes[(index + tried) & (cx_map_stripe_count(m) - 1)];
        if (!cx_guard_try(&s->guard)) {
            continue;
        }
        cx_rcu_enter();
        struct cx_map_table *t = cx_load_acquire(&m->table);
        bool is_wanted = cx_load_acquire(&t->next) != NULL && cx_limbo_has_room(&s->limbo, 1);
        if (is_wanted) {
            turn_to(s, t);
            is_wanted = s->moved < cx_map_share(m, t);
            move_some(m, t, s, CX_MAP_STEP, waste);
        }
        cx_map_exit(s);
        if (is_wanted) {
            return;
        }
    }
}

// SPDX-License-Identifier: MIT
#include "core/map.h"

#include <stdlib.h>

/* The shift of the smallest table: eight buckets. */
#ifdef CX_MC
#define SMALLEST 63
#else
#define SMALLEST 61
#endif

bool
cx_map_init(struct cx_map *m, const struct cx_map_hooks *hooks, uint32_t stripe_bits,
            uint64_t capacity)
{
    uint32_t shift = SMALLEST < 64 - stripe_bits ? SMALLEST : 64 - stripe_bits;
    while (shift > 16 && UINT64_C(1) << (64 - shift) < capacity) {
        shift--;
    }
    *m = (struct cx_map){.hooks = hooks, .stripe_bits = stripe_bits, .largest_shift = shift};
    cx_store_relaxed(&m->generation, cx_fork_generation());
    m->table = cx_map_table_new(shift, 1, cx_map_stripe_count(m));
    m->stripes = aligned_alloc(CX_CACHELINE, cx_map_stripe_count(m) * sizeof *m->stripes);
    if (m->table == NULL || m->stripes == NULL) {
        free(m->table);
        free(m->stripes);
        return false;
    }
    for (uint32_t i = 0; i < cx_map_stripe_count(m); i++) {
        m->stripes[i] = (struct cx_map_stripe){.number = 0};
        cx_guard_init(&m->stripes[i].guard);
    }
    return true;
}

void
cx_map_fini(struct cx_map *m)
{
    struct cx_map_waste waste = {.tables = m->table};
    struct cx_batch **end = &waste.ripe;
    for (uint32_t i = 0; i < cx_map_stripe_count(m); i++) {
        for (*end = cx_limbo_take_all(&m->stripes[i].limbo); *end != NULL; end = &(*end)->next) {
        }
    }
    free(m->stripes);
    m->table = NULL;
    m->stripes = NULL;
    cx_map_release(m->hooks, &waste);
}

/* --- writes ---------------------------------------------------------------------------------- */

/* Takes the guard when there is room for what a write can retire. */
bool
cx_map_begin_slow(struct cx_map_op *op)
{
    struct cx_map_stripe *s = op->stripe = cx_map_stripe_of(op->map, op->hash);
    cx_map_mend(op->map);
    cx_map_enter(s);
#if !CX_WITH_GIL
    while (!cx_limbo_has_room(&s->limbo, CX_MAP_RETIRES)) {
        if (op->room != NULL) {
            cx_limbo_open(&s->limbo, op->room); /* seals what was open */
            op->room = NULL;
            op->is_due = true;
            break;
        }
        cx_map_exit(s);
        if ((op->room = cx_batch_new()) == NULL) {
            return false;
        }
        cx_map_enter(s);
    }
#endif
    op->table = cx_map_home(op->map, s, op->hash, &op->is_idle, &op->waste);
    return true;
}

static void
count(struct cx_map_stripe *s, int64_t change)
{
    cx_store_relaxed(&s->count, cx_load_relaxed(&s->count) + change);
}

/* Whether the table has more entries than buckets, or so many buckets more that it should shrink. */
static bool
is_tight(const struct cx_map_op *op)
{
    const struct cx_map *m = op->map;
    int64_t mine = cx_load_relaxed(&op->stripe->count);
    int64_t share = (int64_t)cx_map_share(m, op->table),
            buckets = (int64_t)cx_map_buckets(op->table);
    if (mine > share) {
        return cx_map_count(m) > buckets;
    }
    return op->table->shift < m->largest_shift && mine < share / 8 && cx_map_count(m) < buckets / 8;
}

static inline uint32_t
weight_of(const struct cx_map_op *op, void *object)
{
    return CX_WITH_GIL ? 1 : op->map->hooks->weigh(object); /* there is no limbo under a GIL */
}

void
cx_map_insert(struct cx_map_op *op, void *key, void *value)
{
    struct cx_map_node *node = op->spare;
    struct cx_map_node **link =
        op->near != NULL ? &op->near->next : &op->table->bucket[op->hash >> op->table->shift];
    op->spare = NULL;
    *node = (struct cx_map_node){cx_load_relaxed(link), op->hash, key, value};
    if (cx_map_is_word(value)) {
        cx_map_announce_word(op->stripe);
    }
    cx_store_release(link, node); /* LP; [N2] pairs with [N1] in cx_map_find */
    count(op->stripe, 1);
    op->is_tight = is_tight(op);
}

static void
retire_value(struct cx_map_op *op, void *value)
{
    uint32_t weight = cx_map_is_word(value) ? 0 : weight_of(op, value);
    if (weight > 0) {
        cx_map_retire(op->stripe, &op->waste, CX_MAP_OBJECT, value, weight);
    }
}

bool
cx_map_replace(struct cx_map_op *op, void *there, void *value)
{
    if (cx_map_is_word(value)) {
        cx_map_announce_word(op->stripe);
    }
    if (!cx_map_put(op->node, there, value)) {
        return false;
    }
    retire_value(op, there);
    return true;
}

bool
cx_map_remove(struct cx_map_op *op, void *there)
{
    if (!cx_map_put(op->node, there, NULL)) {
        return false;
    }
    cx_store_release(op->link, cx_load_relaxed(&op->node->next));
    count(op->stripe, -1);
    op->is_tight = is_tight(op);
    cx_map_retire(op->stripe, &op->waste, CX_MAP_NODE, op->node, 1 + weight_of(op, op->node->key));
    retire_value(op, there);
    return true;
}

#if !CX_WITH_GIL

/* What has just been sealed can most often be released now: appends it to the waste.  `s` is one
 * stripe, or NULL for all. */
static CX_COLD void
collect(struct cx_map *m, struct cx_map_stripe *s, struct cx_map_waste *waste)
{
    struct cx_map_stripe *last = s != NULL ? s : &m->stripes[cx_map_stripe_count(m) - 1];
    struct cx_batch **end = &waste->ripe;
    (void)cx_rcu_try_advance();
    (void)cx_rcu_try_advance();
    for (s = s != NULL ? s : m->stripes; s <= last; s++) {
        while (*end != NULL) {
            end = &(*end)->next;
        }
        cx_guard_take(&s->guard);
        *end = cx_limbo_take(&s->limbo);
        cx_guard_release(&s->guard);
    }
}

#endif

void
cx_map_settle_slow(struct cx_map_op *op)
{
    if (CX_UNLIKELY(op->is_tight)) {
        cx_map_resize(op->map, op->stripe, cx_map_count(op->map));
    }
#if !CX_WITH_GIL
    if (CX_UNLIKELY(op->is_due)) {
        collect(op->map, op->stripe, &op->waste);
    }
    if (CX_UNLIKELY(op->is_idle)) {
        cx_map_help(op->map, op->stripe, &op->waste);
    }
    free(op->room);
#endif
    if (op->spare != NULL) {
        op->map->hooks->node_free(op->spare);
    }
    cx_map_release(op->map->hooks, &op->waste);
}

/* --- all at once ----------------------------------------------------------------------------- */

int64_t
cx_map_count(const struct cx_map *m)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < cx_map_stripe_count(m); i++) {
        sum += cx_load_relaxed(&m->stripes[i].count);
    }
    return sum;
}

size_t
cx_map_waiting(const struct cx_map *m)
{
    size_t sum = 0;
    for (uint32_t i = 0; i < cx_map_stripe_count(m); i++) {
        struct cx_map_stripe *s = &m->stripes[i];
        cx_guard_take(&s->guard);
        sum += s->limbo.waiting;
        cx_guard_release(&s->guard);
    }
    return sum;
}

static void
enter_all(struct cx_map *m)
{
    cx_map_mend(m);
    for (uint32_t i = 0; i < cx_map_stripe_count(m); i++) {
        cx_guard_take(&m->stripes[i].guard);
    }
    cx_rcu_enter();
}

static void
leave_all(struct cx_map *m)
{
    cx_rcu_exit();
    for (uint32_t i = cx_map_stripe_count(m); i-- > 0;) {
        cx_guard_release(&m->stripes[i].guard);
    }
}

bool
cx_map_clear(struct cx_map *m)
{
    struct cx_map_table *empty = cx_map_table_new(m->largest_shift, 0, cx_map_stripe_count(m)), *t;
    struct cx_map_waste waste = {.node = NULL};
    struct cx_batch *room = CX_WITH_GIL ? NULL : cx_batch_new();
    if (empty == NULL || (!CX_WITH_GIL && room == NULL)) {
        free(empty);
        free(room);
        return false;
    }
    enter_all(m);
    t = cx_load_relaxed(&m->table);
    empty->number = t->number + 2;      /* t->next has the one between */
    cx_store_release(&m->table, empty); /* LP; [T2] pairs with [T1] */
    for (uint32_t i = 0; i < cx_map_stripe_count(m); i++) {
        cx_store_relaxed(&m->stripes[i].count, 0);
    }
    if (!CX_WITH_GIL && !cx_limbo_has_room(&m->stripes[0].limbo, 1)) {
        cx_limbo_open(&m->stripes[0].limbo, room);
        room = NULL;
    }
    cx_map_retire(&m->stripes[0], &waste, CX_MAP_TABLES, t, CX_LIMBO_WEIGHT);
    for (uint32_t i = 0; i < cx_map_stripe_count(m); i++) {
        cx_limbo_seal(&m->stripes[i].limbo);
    }
    leave_all(m);
    free(room);
#if !CX_WITH_GIL
    collect(m, NULL, &waste);
#endif
    cx_map_release(m->hooks, &waste);
    return true;
}

/* Copies the nodes from a hash on to the end of a bucket, which is where *hash goes (0: the last one).
 * How many there are; above `room`, nothing was copied. */
static size_t
copy_bucket(const struct cx_map *m, const struct cx_map_table *t, uint64_t *hash,
            struct cx_map_node *into, size_t room)
{
    uint64_t from = *hash, end = ((from >> t->shift) + 1) << t->shift;
    struct cx_map_node *head = cx_load_relaxed(&t->bucket[from >> t->shift]), *node;
    size_t found = 0;
    if (head == CX_MAP_MOVED) {
        t = cx_load_relaxed(&t->next);
        uint64_t nearer = ((from >> t->shift) + 1) << t->shift;
        end = nearer - 1 < end - 1 ? nearer : end; /* 0 stands for 2**64 */
        head = cx_load_relaxed(&t->bucket[from >> t->shift]);
    }
    for (node = head; node != NULL; node = cx_load_relaxed(&node->next)) {
        found += node->hash >= from && node->hash <= end - 1;
    }
    for (node = found <= room ? head : NULL; node != NULL; node = cx_load_relaxed(&node->next)) {
        if (node->hash >= from && node->hash <= end - 1) {
            void *value = cx_load_relaxed(&node->value); /* a word may be exchanged meanwhile */
            *into = (struct cx_map_node){NULL, node->hash, node->key, value};
            m->hooks->retain(into->key);
            if (!cx_map_is_word(value)) {
                m->hooks->retain(value);
            }
            into++;
        }
    }
    *hash = found <= room ? end : from;
    return found;
}

#define MOST_BUCKETS 4096 /* that are looked at with a guard held */

size_t
cx_map_scan(struct cx_map *m, uint64_t *cursor, bool *is_end, struct cx_map_node *into, size_t room)
{
    size_t taken = 0;
    *is_end = false;
    while (taken == 0 && !*is_end) {
        struct cx_map_stripe *s = cx_map_stripe_of(m, *cursor);
        cx_map_mend(m);
        cx_map_enter(s);
        const struct cx_map_table *t = cx_load_acquire(&m->table);
        for (int i = 0; i < MOST_BUCKETS && cx_map_stripe_of(m, *cursor) == s && !*is_end; i++) {
            size_t found = copy_bucket(m, t, cursor, into + taken, room - taken);
            if (found > room - taken) {
                taken = taken > 0 ? taken : found;
                break;
            }
            taken += found;
            *is_end = *cursor == 0;
        }
        cx_map_exit(s);
    }
    return taken;
}

/* Under no guard and in no section: from when it comes back until they are let go, words are exchanged
 * under guards only. */
static void
hold_words(struct cx_map *m)
{
    cx_map_mend(m);
#if !CX_WITH_GIL
    bool has_words = false;
    (void)cx_fetch_add_acq_rel(&m->snapshots, 1);
    cx_fence_seq_cst(); /* pairs with cx_map_announce_word */
    for (uint32_t i = 0; i < cx_map_stripe_count(m); i++) {
        has_words = cx_load_relaxed(&m->stripes[i].has_words) || has_words;
    }
    if (has_words && !CX_BUG(MAP_HOLDS_AT_ONCE)) {
        cx_rcu_wait();
    }
#endif
}

static void
let_words_go(struct cx_map *m)
{
#if !CX_WITH_GIL
    (void)cx_fetch_add_acq_rel(&m->snapshots, (uint32_t)-1);
#else
    (void)m;
#endif
}

size_t
cx_map_snapshot(struct cx_map *m, struct cx_map_node *into, size_t room)
{
    hold_words(m);
    enter_all(m); /* LP */
    size_t wanted = (size_t)cx_map_count(m), taken = 0;
    const struct cx_map_table *t = cx_load_relaxed(&m->table);
    if (wanted > 0 && wanted <= room) {
        uint64_t hash = 0;
        do {
            taken += copy_bucket(m, t, &hash, into + taken, room - taken);
        } while (hash != 0);
    }
    leave_all(m);
    let_words_go(m);
    return wanted;
}

// SPDX-License-Identifier: MIT
/* core/map.h - a hash map that readers walk without a lock, and that grows a little with each write.
 *
 * Buckets are chains of nodes in the order of their hashes' top bits (core/maptable.h), so a walk in the
 * order of hashes sees every key that stays, once, whatever the table does meanwhile.  A node stays the
 * same through all tables; its value is replaced in place.  Growing and shrinking publish a second
 * table and move the buckets over, at most CX_MAP_STEP of them with a write.
 *
 * Writers of one range of hashes, a stripe, exclude each other by its guard (core/mapstripe.h).  Keys
 * are compared by the caller: see core/mapfind.h.
 *
 *             find    write   scan, snapshot, clear
 *   find                [1]      RCU                   [1] release/acquire of links, values, tables
 *   write     [1], RCU  guard    guards                RCU: what is unlinked stays for a grace period
 *
 * Progress:  find is wait-free but for chains that others lengthen; all else takes guards.
 * Ownership: the map owns one reference to each key and value and never follows one.  What a write
 *            unlinks is dropped at its end on GIL builds, on others after a grace period, in batches
 *            (core/limbo.h), at the end of a later write.
 * Fork:      what a lost thread left half done in the child, the child's first write finishes.
 */
#ifndef CX_CORE_MAP_H
#define CX_CORE_MAP_H

#include "core/mapword.h"

#define CX_MAP_RETIRES 3 /* items of a limbo, at most, in one write: a value, a node, a table */

/* One write. */
struct cx_map_op {
    struct cx_map *map;
    uint64_t hash;
    struct cx_map_stripe *stripe;
    struct cx_map_table *table; /* where the key belongs */
    struct cx_map_node **link;  /* atomic; what points to `node` */
    struct cx_map_node *node;   /* of the key, or NULL */
    struct cx_map_node *near;   /* one with the same hash, or NULL */
    struct cx_map_node *spare;  /* to be inserted */
    struct cx_batch *room;
    bool is_tight, is_idle, is_due;
    struct cx_map_waste waste;
};

/* 2**stripe_bits stripes; `capacity` entries fit without growing.  False: no memory. */
CX_NODISCARD bool cx_map_init(struct cx_map *m, const struct cx_map_hooks *hooks,
                              uint32_t stripe_bits, uint64_t capacity);
/* Nobody else knows the map. */
void cx_map_fini(struct cx_map *m);

/* A write: begin takes the guard; the caller seeks (core/mapfind.h), does one of the next three or
 * nothing, and leaves; cx_map_settle then releases, helps and grows, without a guard.  Between begin
 * and leave nothing but C runs.  False, with no guard taken: no memory. */
CX_NODISCARD static inline bool cx_map_begin(struct cx_map_op *op);
void cx_map_insert(struct cx_map_op *op, void *key, void *value); /* steals both; uses `spare` */
/* Both do so if the value is still `there`, which only a word may not be; the first steals `value`. */
CX_NODISCARD bool cx_map_replace(struct cx_map_op *op, void *there, void *value);
CX_NODISCARD bool cx_map_remove(struct cx_map_op *op, void *there);
static inline void cx_map_leave(struct cx_map_op *op);
static inline void cx_map_settle(struct cx_map_op *op);

/* Removes everything at one instant.  False: no memory. */
CX_NODISCARD bool cx_map_clear(struct cx_map *m);

/* Entries with a hash of at least *cursor, in the order of hashes, key and value retained: their number,
 * at most `room`.  *cursor moves on behind them; *is_end: none are left.  An answer above `room` is how
 * many the next bucket has; nothing was taken then. */
size_t cx_map_scan(struct cx_map *m, uint64_t *cursor, bool *is_end, struct cx_map_node *into,
                   size_t room);
/* All of them at one instant: how many there are; above `room`, nothing was taken. */
size_t cx_map_snapshot(struct cx_map *m, struct cx_map_node *into, size_t room);

/* Exact when nobody writes. */
int64_t cx_map_count(const struct cx_map *m);

/* How many nodes and objects wait for a grace period. */
size_t cx_map_waiting(const struct cx_map *m);

/* --- inline: a write for which there is nothing else to do ---------------------------------------- */

bool cx_map_begin_slow(struct cx_map_op *op);
void cx_map_settle_slow(struct cx_map_op *op);

static inline bool
cx_map_begin(struct cx_map_op *op)
{
    struct cx_map *m = op->map;
    struct cx_map_stripe *s = op->stripe = cx_map_stripe_of(m, op->hash);
    if (CX_LIKELY(cx_load_acquire(&m->generation) == cx_fork_generation())) {
        cx_map_enter(s);
        op->table = cx_load_acquire(&m->table); /* [T1] pairs with [T2] */
        if (CX_LIKELY(cx_load_acquire(&op->table->next) == NULL &&
                      (CX_WITH_GIL || cx_limbo_has_room(&s->limbo, CX_MAP_RETIRES)))) {
            return true;
        }
        cx_map_exit(s);
    }
    return cx_map_begin_slow(op);
}

static inline void
cx_map_leave(struct cx_map_op *op)
{
    if (!CX_WITH_GIL) {
        struct cx_limbo *limbo = &op->stripe->limbo;
        op->is_due = cx_limbo_seal_if_due(limbo) || op->is_due;
        if (CX_UNLIKELY(limbo->first != NULL) && op->waste.ripe == NULL) {
            op->waste.ripe = cx_limbo_take(limbo);
        }
    }
    cx_map_exit(op->stripe);
}

static inline void
cx_map_settle(struct cx_map_op *op)
{
    void *value = op->waste.value;
    if (CX_UNLIKELY(op->is_tight || op->is_idle || op->is_due || op->room != NULL ||
                    op->spare != NULL || op->waste.node != NULL || op->waste.tables != NULL ||
                    op->waste.ripe != NULL)) {
        cx_map_settle_slow(op);
    }
    else if (value != NULL) {
        op->map->hooks->drop(value);
    }
}

#endif

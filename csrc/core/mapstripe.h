// SPDX-License-Identifier: MIT
/* core/mapstripe.h - a map's stripes: a range of hashes, its guard, and what happens under it.
 *
 * Every table's buckets are divided evenly among the stripes, in order.  Whoever holds a stripe's guard
 * may change its buckets, and moves some of them on while the map changes tables; when the last bucket
 * of the last stripe has been moved, the old table is retired.  Under a guard one is in a section, too
 * (core/rcu.h), because a writer of another stripe may just then retire the table.
 *
 * On GIL builds there is one stripe, the guard is nothing, and what is retired is the caller's at once.
 */
#ifndef CX_CORE_MAPSTRIPE_H
#define CX_CORE_MAPSTRIPE_H

#include "core/limbo.h"
#include "core/maptable.h"

#ifdef CX_MC
#define CX_MAP_STEP 1
#else
#define CX_MAP_STEP 64 /* buckets that one write moves at most */
#endif
#define CX_MAP_STRIPES 64 /* no map has more */

struct cx_map_stripe {
    struct cx_guard guard CX_ALIGNED;
    uint32_t number;       /* of the table that the next two are about */
    uint64_t moved, hand;  /* its buckets that were moved on; the next one to try */
    int64_t count;         /* atomic; nodes */
    bool has_words;        /* atomic; or had: core/mapword.h */
    struct cx_limbo limbo; /* empty on GIL builds */
    struct cx_map_run run;
};

/* The caller's, constant. */
struct cx_map_hooks {
    void *(*node_new)(size_t size);
    void (*node_free)(void *node);
    void (*retain)(void *object); /* takes a reference; called under a guard */
    void (*drop)(void *object);   /* gives one back; never called under a guard */
    /* How much it holds on to, for cx_limbo_add; 0: nothing is to be dropped.  Under a guard. */
    uint32_t (*weigh)(void *object);
};

struct cx_map {
    struct cx_map_table *table; /* atomic */
    struct cx_map_stripe *stripes;
    const struct cx_map_hooks *hooks;
    uint32_t stripe_bits;
    uint32_t largest_shift; /* of the smallest table */
    uint32_t generation;    /* atomic; the process in which it was last repaired, see core/fork.h */
    uint32_t snapshots;     /* atomic; being taken: words stand still */
};

/* What is to be released when no guard is held. */
struct cx_map_waste {
    struct cx_map_node *node; /* and its key */
    void *value;
    struct cx_map_table *tables; /* and all that is in them */
    struct cx_batch *ripe;
};

static inline uint32_t
cx_map_stripe_count(const struct cx_map *m)
{
    return (uint32_t)1 << m->stripe_bits;
}

static inline struct cx_map_stripe *
cx_map_stripe_of(const struct cx_map *m, uint64_t hash)
{
    return &m->stripes[hash >> 1 >> (63 - m->stripe_bits)];
}

/* How many of a table's buckets belong to each stripe. */
static inline uint64_t
cx_map_share(const struct cx_map *m, const struct cx_map_table *t)
{
    return cx_map_buckets(t) >> m->stripe_bits;
}

/* In a child of fork, the first time: what lost threads left half done is finished.  Before a guard is
 * taken. */
void cx_map_repair(struct cx_map *m);

static inline void
cx_map_mend(struct cx_map *m)
{
    if (CX_UNLIKELY(cx_load_acquire(&m->generation) != cx_fork_generation())) {
        cx_map_repair(m);
    }
}

static inline void
cx_map_enter(struct cx_map_stripe *s)
{
    cx_guard_take(&s->guard);
    cx_rcu_enter();
}

static inline void
cx_map_exit(struct cx_map_stripe *s)
{
    cx_rcu_exit();
    cx_guard_release(&s->guard);
}

/* What was unlinked, by kind. */
enum cx_map_kind { CX_MAP_OBJECT, CX_MAP_NODE, CX_MAP_TABLE, CX_MAP_TABLES /* and their nodes */ };

/* Under the guard, with room in the limbo. */
void cx_map_retire(struct cx_map_stripe *s, struct cx_map_waste *waste, enum cx_map_kind kind,
                   void *item, uint32_t weight);

/* Every reference that a table holds, or that waits for its grace period: for a caller that knows that
 * nobody is inside.  Stops at an answer that is not 0, and returns it. */
int cx_map_visit_tables(const struct cx_map_table *t, int (*visit)(void *object, void *arg),
                        void *arg);
int cx_map_visit_waiting(const struct cx_map *m, int (*visit)(void *object, void *arg), void *arg);

/* Under no guard; what is dropped may come back to the map. */
void cx_map_release(const struct cx_map_hooks *hooks, struct cx_map_waste *waste);

/* Under the guard: the table where a hash belongs.  What is in its bucket of an older one is moved on
 * first, and up to CX_MAP_STEP buckets in all; *is_idle: this stripe has none left, but others have. */
struct cx_map_table *cx_map_home(struct cx_map *m, struct cx_map_stripe *s, uint64_t hash,
                                 bool *is_idle, struct cx_map_waste *waste);

/* Under no guard: moves some buckets of a stripe that is not one's own, one that nobody is writing to. */
void cx_map_help(struct cx_map *m, struct cx_map_stripe *mine, struct cx_map_waste *waste);

/* Under no guard: publishes a table for as many entries as there are now. */
void cx_map_resize(struct cx_map *m, struct cx_map_stripe *s, int64_t entries);

#endif

// SPDX-License-Identifier: MIT
/* core/lru.h - a bounded table that forgets what was used longest ago.
 *
 * Chained buckets of entries that the owner allocates: it puts its payload behind struct cx_lru_entry,
 * walks the entries of one hash and compares keys itself.  The table grows by doubling; entries of one
 * hash keep their order, a new one goes to the end, so a walk that was left at a pinned entry goes on
 * from there if that one `is_in` still.  core/recency knows which was used longest ago.
 *
 * Readers take no lock: they walk in a section (core/rcu.h).  Growing moves entries between chains:
 * who found nothing asks cx_lru_may_have_missed.  What is removed is freed after a grace period.
 *
 *                 first, next  use   insert, remove, grow, clear
 *   first, next        -        -      [1]        [1] release/acquire on every link
 *   use                -        -      [2]        [2] a stamp is one atomic store
 *   insert ... clear  [1]      [2]     guard      between cx_lru_enter and cx_lru_leave
 *
 * Progress: everything is wait-free but the guard; nothing is allocated but in cx_lru_room.
 */
#ifndef CX_CORE_LRU_H
#define CX_CORE_LRU_H

#include "core/rcu.h"
#include "core/recency.h"

struct cx_lru_entry {
    struct cx_lru_entry *chain; /* atomic; next in its bucket */
    uint64_t hash;
    uint32_t pins; /* atomic; 1, the table's own, before it is inserted */
    bool is_in;    /* atomic; in the table */
    union {
        struct cx_used used;
        struct {
            uint64_t stamp; /* which a late reader may still write */
            struct cx_lru_entry
                *removed; /* once it is not in the table: the next that went with it */
        };
    };
};

struct cx_lru_buckets {
    size_t count;
    uint32_t shift;              /* 64 - log2(count) */
    struct cx_lru_entry *head[]; /* atomic */
};

struct cx_lru {
    struct cx_lru_buckets *buckets; /* atomic */
    size_t capacity;                /* SIZE_MAX: unbounded, and no order is kept */
    uint32_t moves;                 /* atomic; odd while entries are being moved */
    char apart[CX_CACHELINE];       /* above: what hits read; below: what misses write */
    size_t size;                    /* atomic */
    struct cx_recency recency;
    struct cx_guard guard;
    uint32_t generation; /* of the process that is or was inside the guard */
    bool is_busy;
};

/* What a table needs in order to grow, made outside the guard; after cx_lru_grow what it had. */
struct cx_lru_room {
    struct cx_lru_buckets *buckets;
    struct cx_recency_room recency;
};

void cx_lru_init(struct cx_lru *lru, size_t capacity);
/* Frees what the table has, but for the entries. */
void cx_lru_fini(struct cx_lru *lru);

/* The guard. In a child whose parent's other thread was inside, the table is found empty. */
void cx_lru_enter(struct cx_lru *lru);
void cx_lru_leave(struct cx_lru *lru);

/* Whether it has to grow before the next insertion. */
bool cx_lru_is_tight(const struct cx_lru *lru);
/* Fills *room for a table of that size; false: no memory. */
CX_NODISCARD bool cx_lru_room(struct cx_lru_room *room, size_t size, size_t capacity);
void cx_lru_room_free(struct cx_lru_room *room);
void cx_lru_grow(struct cx_lru *lru, struct cx_lru_room *room);

/* Appends an entry that the table does not hold: the one that had to go for it, or NULL. */
struct cx_lru_entry *cx_lru_insert(struct cx_lru *lru, struct cx_lru_entry *entry, uint64_t stamp);
void cx_lru_remove(struct cx_lru *lru, struct cx_lru_entry *entry);
/* Removes all: they are linked by `removed`; *room is what the table had. */
struct cx_lru_entry *cx_lru_clear(struct cx_lru *lru, struct cx_lru_room *room);

/* What the table itself has, in bytes. */
size_t cx_lru_memory(const struct cx_lru *lru);

/* The walk over a bucket, in a section or inside the guard; the caller compares hashes and keys. */
static inline struct cx_lru_entry *
cx_lru_first(const struct cx_lru *lru, uint64_t hash)
{
    struct cx_lru_buckets *buckets = cx_load_acquire(&lru->buckets); /* [U1] pairs with [U2] */
    return cx_load_acquire(&buckets->head[hash >> buckets->shift]);  /* [U3] pairs with [U4] */
}

static inline struct cx_lru_entry *
cx_lru_next(const struct cx_lru_entry *entry)
{
    return cx_load_acquire(&entry->chain); /* [U3] pairs with [U4] */
}

/* Keeps an entry that a walk has found allocated after the walk. */
static inline void
cx_lru_pin(struct cx_lru_entry *entry)
{
#if CX_WITH_GIL
    entry->pins++;
#else
    (void)cx_fetch_add_relaxed(&entry->pins, 1);
#endif
}

/* True: that was the last, and the entry is the caller's.  Who has the only pin shares it with nobody:
 * others are taken in walks, from the table's. */
static inline bool
cx_lru_unpin(struct cx_lru_entry *entry)
{
#if CX_WITH_GIL
    return --entry->pins == 0;
#else
    return cx_load_acquire(&entry->pins) == 1 || /* [P1] pairs with itself */
           cx_fetch_add_acq_rel(&entry->pins, UINT32_MAX) == 1;
#endif
}

/* Before a reader's walk, and after one that found nothing. */
static inline uint32_t
cx_lru_moves(const struct cx_lru *lru)
{
    return CX_WITH_GIL ? 0 : cx_load_acquire(&lru->moves); /* [U6] pairs with [U5] */
}

static inline bool
cx_lru_may_have_missed(const struct cx_lru *lru, uint32_t moves)
{
    return !CX_WITH_GIL && ((moves & 1) != 0 || cx_load_acquire(&lru->moves) != moves); /* [U6] */
}

/* Counts a use, of an entry that a walk has found. */
static inline void
cx_lru_use(struct cx_lru *lru, struct cx_lru_entry *entry, uint64_t stamp)
{
    if (lru->capacity != SIZE_MAX) {
        cx_recency_use(&lru->recency, &entry->used, stamp);
    }
}

#endif

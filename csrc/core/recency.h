// SPDX-License-Identifier: MIT
/* core/recency.h - which entry of a bounded set was used longest ago.
 *
 * With a GIL entries are in a ring, and a use moves one to its end: a few stores.
 *
 * Without one a use writes a stamp that the caller takes (core/stamp.h) into its entry and nothing else.  Every entry has a
 * key too, a stamp that it had once.  New entries queue up by their first stamp, which only grows; at
 * an eviction the entry with the least key is looked at, and if it was used since, its key is brought
 * up to date and it goes to a heap.  The one whose key is its stamp is the victim: no other can have
 * an older one, so these are the ring's victims in the ring's order.  Uses that nothing orders may
 * count in either order.  What is never used again never sees the heap.
 *
 * Progress: use is wait-free and may run at any time; the rest is the owner's, inside its guard, and
 *           allocates nothing but in cx_recency_room.
 */
#ifndef CX_CORE_RECENCY_H
#define CX_CORE_RECENCY_H

#include "core/atomic.h"
#include "core/stamp.h"

#if CX_WITH_GIL

struct cx_used {
    struct cx_used *older, *newer;
};

struct cx_recency {
    struct cx_used ring; /* .newer is the oldest, .older the newest */
};

struct cx_recency_room {
    char none[1];
};

static inline void
cx_recency_use(struct cx_recency *r, struct cx_used *used, uint64_t stamp)
{
    (void)stamp;
    struct cx_used *ring = &r->ring;
    if (used->newer != ring) {
        used->older->newer = used->newer;
        used->newer->older = used->older;
        used->older = ring->older;
        used->newer = ring;
        ring->older = ring->older->newer = used;
    }
}

#else

struct cx_used {
    uint64_t stamp; /* atomic */
    size_t place;   /* in the heap, or with CX_QUEUED in the queue */
};

struct cx_used_node {
    uint64_t key;
    struct cx_used *used; /* NULL in the queue: removed */
};

struct cx_recency {
    struct cx_used_node *heap;  /* `room` nodes, and as many for the queue behind them */
    struct cx_used_node *queue; /* a circle */
    size_t room;
    size_t heaped;        /* nodes in the heap */
    size_t queued, begin; /* nodes in the queue, removed ones too, and where the first is */
    uint64_t last;        /* key that was queued */
};

struct cx_recency_room {
    struct cx_used_node *nodes;
    size_t room;
};

static inline void
cx_recency_use(struct cx_recency *r, struct cx_used *used, uint64_t stamp)
{
    (void)r;
    cx_store_relaxed(&used->stamp, stamp);
}

#endif

void cx_recency_init(struct cx_recency *r);
void cx_recency_fini(struct cx_recency *r);
/* Bytes that it has allocated. */
size_t cx_recency_memory(const struct cx_recency *r);

/* Room for so many entries; false: no memory. */
CX_NODISCARD bool cx_recency_room(struct cx_recency_room *room, size_t size);
void cx_recency_room_free(struct cx_recency_room *room);
/* Whether `size` entries fill it. */
bool cx_recency_is_full(const struct cx_recency *r, size_t size);
/* Moves into *room, if that is larger; it then holds what was there before. */
void cx_recency_grow(struct cx_recency *r, struct cx_recency_room *room);
/* Forgets all; *room holds what it had. */
void cx_recency_clear(struct cx_recency *r, struct cx_recency_room *room);

/* As used now; there must be room. */
void cx_recency_add(struct cx_recency *r, struct cx_used *used, uint64_t stamp);
void cx_recency_remove(struct cx_recency *r, struct cx_used *used);
/* There must be one. */
struct cx_used *cx_recency_oldest(struct cx_recency *r);

#endif

// SPDX-License-Identifier: MIT
#include "core/recency.h"

#include <stdlib.h>

#if CX_WITH_GIL

void
cx_recency_init(struct cx_recency *r)
{
    r->ring.older = r->ring.newer = &r->ring;
}

void
cx_recency_fini(struct cx_recency *r)
{
    (void)r;
}

size_t
cx_recency_memory(const struct cx_recency *r)
{
    (void)r;
    return 0;
}

bool
cx_recency_room(struct cx_recency_room *room, size_t size)
{
    (void)room;
    (void)size;
    return true;
}

void
cx_recency_room_free(struct cx_recency_room *room)
{
    (void)room;
}

bool
cx_recency_is_full(const struct cx_recency *r, size_t size)
{
    (void)r;
    (void)size;
    return false;
}

void
cx_recency_grow(struct cx_recency *r, struct cx_recency_room *room)
{
    (void)r;
    (void)room;
}

void
cx_recency_clear(struct cx_recency *r, struct cx_recency_room *room)
{
    (void)room;
    cx_recency_init(r);
}

void
cx_recency_add(struct cx_recency *r, struct cx_used *used, uint64_t stamp)
{
    (void)stamp;
    struct cx_used *ring = &r->ring;
    used->older = ring->older;
    used->newer = ring;
    ring->older = ring->older->newer = used;
}

void
cx_recency_remove(struct cx_recency *r, struct cx_used *used)
{
    (void)r;
    used->older->newer = used->newer;
    used->newer->older = used->older;
}

struct cx_used *
cx_recency_oldest(struct cx_recency *r)
{
    return r->ring.newer;
}

#else

#define ARITY 4 /* of the heap: half the levels of two, and a node's children share a cache line */
#define QUEUED (SIZE_MAX / 2 + 1)
#define LEAST_ROOM 8

void
cx_recency_init(struct cx_recency *r)
{
    *r = (struct cx_recency){.heap = NULL};
}

void
cx_recency_fini(struct cx_recency *r)
{
    free(r->heap);
    cx_recency_init(r);
}

size_t
cx_recency_memory(const struct cx_recency *r)
{
    return 2 * r->room * sizeof *r->heap;
}

/* --- room ------------------------------------------------------------------------------------- */

bool
cx_recency_room(struct cx_recency_room *room, size_t size)
{
    room->room = size < LEAST_ROOM ? LEAST_ROOM : size;
    room->nodes = calloc(room->room, 2 * sizeof *room->nodes);
    return room->nodes != NULL;
}

void
cx_recency_room_free(struct cx_recency_room *room)
{
    free(room->nodes);
}

bool
cx_recency_is_full(const struct cx_recency *r, size_t size)
{
    return size >= r->room;
}

static inline struct cx_used_node *
at(const struct cx_recency *r, size_t i)
{
    size_t place = r->begin + i;
    return &r->queue[place < r->room ? place : place - r->room];
}

/* The nodes of the queue that were not removed, from `begin` of a circle of `room`; it may be the
 * queue's own, because no node comes to stand before one that is not read yet. */
static void
pack(struct cx_recency *r, struct cx_used_node *to, size_t begin, size_t room)
{
    size_t kept = 0;
    for (size_t i = 0; i < r->queued; i++) {
        struct cx_used_node node = *at(r, i);
        if (node.used != NULL) {
            size_t place = begin + kept++;
            place = place < room ? place : place - room;
            to[place] = node;
            node.used->place = QUEUED | place;
        }
    }
    r->queued = kept;
    r->begin = begin;
}

void
cx_recency_grow(struct cx_recency *r, struct cx_recency_room *room)
{
    struct cx_recency_room old = {r->heap, r->room};
    if (room->room <= r->room) {
        return;
    }
    for (size_t i = 0; i < r->heaped; i++) {
        room->nodes[i] = r->heap[i];
    }
    pack(r, room->nodes + room->room, 0, room->room);
    r->heap = room->nodes;
    r->queue = room->nodes + room->room;
    r->room = room->room;
    *room = old;
}

void
cx_recency_clear(struct cx_recency *r, struct cx_recency_room *room)
{
    *room = (struct cx_recency_room){r->heap, r->room};
    cx_recency_init(r);
}

/* --- heap ------------------------------------------------------------------------------------- */

static inline void
put(struct cx_recency *r, size_t place, struct cx_used_node node)
{
    r->heap[place] = node;
    node.used->place = place;
}

static void
sink(struct cx_recency *r, size_t place, struct cx_used_node node)
{
    for (;;) {
        size_t child = place * ARITY + 1, least = child;
        if (child >= r->heaped) {
            break;
        }
        size_t end = child + ARITY < r->heaped ? child + ARITY : r->heaped;
        for (size_t i = child + 1; i < end; i++) {
            least = r->heap[i].key < r->heap[least].key ? i : least;
        }
        if (node.key <= r->heap[least].key) {
            break;
        }
        put(r, place, r->heap[least]);
        place = least;
    }
    put(r, place, node);
}

static void
rise(struct cx_recency *r, size_t place, struct cx_used_node node)
{
    while (place > 0 && node.key < r->heap[(place - 1) / ARITY].key) {
        put(r, place, r->heap[(place - 1) / ARITY]);
        place = (place - 1) / ARITY;
    }
    put(r, place, node);
}

static void
heap_remove(struct cx_recency *r, size_t place)
{
    struct cx_used_node node = r->heap[--r->heaped];
    if (place == r->heaped) {
        return;
    }
    if (place > 0 && node.key < r->heap[(place - 1) / ARITY].key) {
        rise(r, place, node);
    }
    else {
        sink(r, place, node);
    }
}

/* --- queue ------------------------------------------------------------------------------------ */

static inline void
drop_first(struct cx_recency *r)
{
    r->queued--;
    r->begin = r->begin + 1 == r->room ? 0 : r->begin + 1;
}

/* The first that was not removed, or NULL. */
static inline struct cx_used_node *
first(struct cx_recency *r)
{
    while (r->queued > 0 && at(r, 0)->used == NULL) {
        drop_first(r);
    }
    return r->queued > 0 ? at(r, 0) : NULL;
}

void
cx_recency_add(struct cx_recency *r, struct cx_used *used, uint64_t stamp)
{
    if (CX_UNLIKELY(stamp < r->last)) {
        stamp = r->last; /* taken before another's, which came first */
    }
    r->last = stamp;
    cx_store_relaxed(&used->stamp, stamp);
    if (CX_UNLIKELY(r->queued == r->room)) {
        pack(r, r->queue, r->begin, r->room); /* once for as many removals as were left in it */
    }
    struct cx_used_node *node = at(r, r->queued++);
    *node = (struct cx_used_node){stamp, used};
    used->place = QUEUED | (size_t)(node - r->queue);
}

void
cx_recency_remove(struct cx_recency *r, struct cx_used *used)
{
    if ((used->place & QUEUED) != 0) {
        r->queue[used->place & ~QUEUED].used = NULL;
        (void)first(r);
    }
    else {
        heap_remove(r, used->place);
    }
}

/* Every turn brings one key up to date.  If nobody uses entries meanwhile, as many turns as there are
 * entries are enough; if somebody does, the one that is first then is as good as any. */
struct cx_used *
cx_recency_oldest(struct cx_recency *r)
{
    for (size_t turn = r->heaped + r->queued;; turn--) {
        struct cx_used_node *front = first(r);
        bool is_queued = front != NULL && (r->heaped == 0 || front->key <= r->heap[0].key);
        struct cx_used_node node = is_queued ? *front : r->heap[0];
        uint64_t stamp = cx_load_relaxed(&node.used->stamp);
        if (CX_LIKELY(stamp == node.key) || turn == 0) {
            return node.used;
        }
        node.key = stamp;
        if (is_queued) {
            drop_first(r);
            rise(r, r->heaped++, node);
        }
        else {
            sink(r, 0, node);
        }
    }
}

#endif

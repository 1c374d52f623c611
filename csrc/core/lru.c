// SPDX-License-Identifier: MIT
#include "core/lru.h"

#include <stdlib.h>

#define LEAST_BUCKETS 8
#define LEAST_PLACES 8
#define ARITY 4 /* of the heap: fewer levels than two, and a node's children share a cache line */

/* What a table without an entry looks like; never written. */
static struct {
    struct cx_lru_buckets buckets;
    struct cx_lru_entry *head[2];
} nothing = {{0, 63}, {NULL, NULL}};

void
cx_lru_init(struct cx_lru *lru, size_t capacity)
{
    *lru = (struct cx_lru){.buckets = &nothing.buckets, .capacity = capacity};
#if CX_WITH_GIL
    lru->ring.older = lru->ring.newer = &lru->ring;
#else
    cx_guard_init(&lru->guard);
    lru->generation = cx_fork_generation();
#endif
}

static void
free_buckets(struct cx_lru_buckets *buckets)
{
    if (buckets != &nothing.buckets) {
        free(buckets);
    }
}

void
cx_lru_fini(struct cx_lru *lru)
{
    free_buckets(lru->buckets);
    lru->buckets = &nothing.buckets;
#if !CX_WITH_GIL
    free(lru->heap);
    lru->heap = NULL;
    lru->room = 0;
#endif
}

size_t
cx_lru_memory(const struct cx_lru *lru)
{
    size_t count = lru->buckets->count;
#if CX_WITH_GIL
    size_t heap = 0;
#else
    size_t heap = lru->room * sizeof *lru->heap;
#endif
    return heap + (count == 0 ? 0 : sizeof *lru->buckets + count * sizeof lru->buckets->head[0]);
}

#if CX_WITH_GIL

void
cx_lru_enter(struct cx_lru *lru)
{
    (void)lru;
}

void
cx_lru_leave(struct cx_lru *lru)
{
    (void)lru;
}

#else

void
cx_lru_enter(struct cx_lru *lru)
{
    cx_guard_take(&lru->guard);
    uint32_t generation = cx_fork_generation();
    if (CX_UNLIKELY(lru->generation != generation)) {
        lru->generation = generation;
        if (lru->is_busy) {
            /* Half changed by a thread that is not in this process: what it had is lost. */
            lru->heap = NULL;
            lru->room = 0;
            cx_store_relaxed(&lru->moves, 0);
            cx_store_relaxed(&lru->size, 0);
            cx_store_release(&lru->buckets, &nothing.buckets);
        }
    }
    lru->is_busy = true;
}

void
cx_lru_leave(struct cx_lru *lru)
{
    lru->is_busy = false;
    cx_guard_release(&lru->guard);
}

#endif

/* --- room ------------------------------------------------------------------------------------- */

static inline bool
wants_buckets(const struct cx_lru *lru)
{
    size_t count = lru->buckets->count;
    return lru->size >= count - count / 4;
}

static inline bool
wants_places(const struct cx_lru *lru)
{
#if CX_WITH_GIL
    (void)lru;
    return false;
#else
    return lru->size == lru->room && lru->size < lru->capacity && lru->capacity != SIZE_MAX;
#endif
}

bool
cx_lru_is_tight(const struct cx_lru *lru)
{
    return lru->size < lru->capacity && (wants_buckets(lru) || wants_places(lru));
}

bool
cx_lru_room(struct cx_lru_room *room, size_t size, size_t capacity)
{
    size_t count = LEAST_BUCKETS, places = LEAST_PLACES;
    uint32_t shift = 61;
    for (; count - count / 4 <= size; count *= 2) {
        shift--;
    }
    for (; places <= size; places *= 2) {
    }
    *room = (struct cx_lru_room){.places = places < capacity ? places : capacity};
    room->buckets = calloc(1, sizeof *room->buckets + count * sizeof room->buckets->head[0]);
#if !CX_WITH_GIL
    if (capacity != SIZE_MAX) {
        room->heap = malloc(room->places * sizeof *room->heap);
    }
    if (room->buckets == NULL || (room->heap == NULL && capacity != SIZE_MAX)) {
        free(room->buckets);
        free(room->heap);
        return false;
    }
#endif
    if (room->buckets != NULL) {
        room->buckets->count = count;
        room->buckets->shift = shift;
    }
    return room->buckets != NULL;
}

/* Splits every chain in two, in order: a reader that is led into the other half of its chain goes on
 * to an end, and is told by `moves`. */
static void
split(const struct cx_lru_buckets *from, struct cx_lru_buckets *to)
{
    for (size_t i = 0; i < from->count; i++) {
        struct cx_lru_entry **tail[2] = {&to->head[2 * i], &to->head[2 * i + 1]};
        struct cx_lru_entry *entry = cx_load_relaxed(&from->head[i]);
        while (entry != NULL) {
            size_t half = entry->hash >> to->shift & 1;
            struct cx_lru_entry *next = cx_load_relaxed(&entry->chain);
            cx_store_release(tail[half], entry); /* [U4] pairs with [U3] */
            tail[half] = &entry->chain;
            entry = next;
        }
        cx_store_release(tail[0], NULL); /* [U4] pairs with [U3] */
        cx_store_release(tail[1], NULL);
    }
}

void
cx_lru_grow(struct cx_lru *lru, struct cx_lru_room *room)
{
    struct cx_lru_buckets *old = lru->buckets;
    /* What was made for another size, because others came first, is given back. */
    if (wants_buckets(lru) && (old->count == 0 || room->buckets->count == 2 * old->count)) {
#if !CX_WITH_GIL
        uint32_t moves = cx_load_relaxed(&lru->moves);
        (void)cx_xchg_acq_rel(&lru->moves, moves + 1); /* [U5] pairs with [U6] */
#endif
        split(old, room->buckets);
        cx_store_release(&lru->buckets, room->buckets); /* [U2] pairs with [U1] */
#if !CX_WITH_GIL
        cx_store_release(&lru->moves, moves + 2); /* [U5] */
#endif
        room->buckets = old == &nothing.buckets ? NULL : old;
    }
#if !CX_WITH_GIL
    if (wants_places(lru) && room->places > lru->room) {
        struct cx_lru_node *heap = lru->heap;
        for (size_t i = 0; i < lru->size; i++) {
            room->heap[i] = heap[i];
        }
        lru->heap = room->heap;
        lru->room = room->places;
        room->heap = heap;
    }
#endif
}

/* --- order ------------------------------------------------------------------------------------ */

#if CX_WITH_GIL

static inline struct cx_lru_entry *
oldest(struct cx_lru *lru)
{
    return lru->ring.newer;
}

static inline void
order_add(struct cx_lru *lru, struct cx_lru_entry *entry)
{
    struct cx_lru_entry *ring = &lru->ring;
    entry->older = ring->older;
    entry->newer = ring;
    ring->older = ring->older->newer = entry;
}

static inline void
order_remove(struct cx_lru *lru, struct cx_lru_entry *entry)
{
    (void)lru;
    entry->older->newer = entry->newer;
    entry->newer->older = entry->older;
}

#else

static inline void
put(struct cx_lru *lru, size_t place, struct cx_lru_node node)
{
    lru->heap[place] = node;
    node.entry->place = place;
}

static void
sink(struct cx_lru *lru, size_t place, size_t size, struct cx_lru_node node)
{
    for (;;) {
        size_t child = place * ARITY + 1, least = child;
        if (child >= size) {
            break;
        }
        size_t end = child + ARITY < size ? child + ARITY : size;
        for (size_t i = child + 1; i < end; i++) {
            least = lru->heap[i].key < lru->heap[least].key ? i : least;
        }
        if (node.key <= lru->heap[least].key) {
            break;
        }
        put(lru, place, lru->heap[least]);
        place = least;
    }
    put(lru, place, node);
}

static void
rise(struct cx_lru *lru, size_t place, struct cx_lru_node node)
{
    while (place > 0 && node.key < lru->heap[(place - 1) / ARITY].key) {
        put(lru, place, lru->heap[(place - 1) / ARITY]);
        place = (place - 1) / ARITY;
    }
    put(lru, place, node);
}

/* Each turn brings one key up to date; without uses meanwhile as many turns as entries are enough,
 * and with them the top is as good as any. */
static struct cx_lru_entry *
oldest(struct cx_lru *lru)
{
    for (size_t turn = 0; turn < lru->size; turn++) {
        struct cx_lru_node top = lru->heap[0];
        uint64_t stamp = cx_load_relaxed(&top.entry->stamp);
        if (stamp == top.key) {
            break;
        }
        top.key = stamp;
        sink(lru, 0, lru->size, top);
    }
    return lru->heap[0].entry;
}

static struct cx_lru_node
node_of(struct cx_lru_entry *entry)
{
    uint64_t stamp = cx_stamp();
    cx_store_relaxed(&entry->stamp, stamp);
    return (struct cx_lru_node){stamp, entry};
}

/* `size` still counts without the entry. */
static void
order_add(struct cx_lru *lru, struct cx_lru_entry *entry)
{
    rise(lru, lru->size, node_of(entry));
}

/* `size` still counts with the entry. */
static void
order_remove(struct cx_lru *lru, struct cx_lru_entry *entry)
{
    size_t place = entry->place, last = lru->size - 1;
    struct cx_lru_node node = lru->heap[last];
    if (place == last) {
        return;
    }
    if (place > 0 && node.key < lru->heap[(place - 1) / ARITY].key) {
        rise(lru, place, node);
    }
    else {
        sink(lru, place, last, node);
    }
}

#endif

/* --- entries ---------------------------------------------------------------------------------- */

static void
unlink(struct cx_lru *lru, struct cx_lru_entry *entry)
{
    struct cx_lru_entry **link = &lru->buckets->head[entry->hash >> lru->buckets->shift], *at;
    while ((at = cx_load_relaxed(link)) != entry) {
        link = &at->chain;
    }
    /* Its own link stays: a reader may be on it. */
    cx_store_release(link, cx_load_relaxed(&entry->chain)); /* LP of a removal; [U4] with [U3] */
    cx_store_release(&entry->is_in, false);
}

static void
append(struct cx_lru *lru, struct cx_lru_entry *entry)
{
    struct cx_lru_entry **link = &lru->buckets->head[entry->hash >> lru->buckets->shift], *at;
    while ((at = cx_load_relaxed(link)) != NULL) {
        link = &at->chain;
    }
    cx_store_relaxed(&entry->chain, NULL);
    cx_store_relaxed(&entry->is_in, true);
    cx_store_release(link, entry); /* LP of an insertion; [U4] pairs with [U3] */
}

struct cx_lru_entry *
cx_lru_insert(struct cx_lru *lru, struct cx_lru_entry *entry)
{
    struct cx_lru_entry *victim = NULL;
    if (lru->size < lru->capacity) {
        if (lru->capacity != SIZE_MAX) {
            order_add(lru, entry);
        }
        cx_store_relaxed(&lru->size, lru->size + 1);
    }
    else {
        victim = oldest(lru);
        unlink(lru, victim);
#if CX_WITH_GIL
        order_remove(lru, victim);
        order_add(lru, entry);
#else
        sink(lru, 0, lru->size, node_of(entry));
#endif
        victim->removed = NULL;
    }
    append(lru, entry);
    return victim;
}

void
cx_lru_remove(struct cx_lru *lru, struct cx_lru_entry *entry)
{
    unlink(lru, entry);
    if (lru->capacity != SIZE_MAX) {
        order_remove(lru, entry);
    }
    entry->removed = NULL;
    cx_store_relaxed(&lru->size, lru->size - 1);
}

struct cx_lru_entry *
cx_lru_clear(struct cx_lru *lru, struct cx_lru_room *room)
{
    struct cx_lru_buckets *old = lru->buckets;
    struct cx_lru_entry *all = NULL;
    *room = (struct cx_lru_room){.buckets = old == &nothing.buckets ? NULL : old};
    cx_store_release(&lru->buckets, &nothing.buckets); /* LP; [U2] pairs with [U1] */
    for (size_t i = 0; i < old->count; i++) {
        struct cx_lru_entry *entry = cx_load_relaxed(&old->head[i]);
        for (; entry != NULL; entry = cx_load_relaxed(&entry->chain)) {
            cx_store_release(&entry->is_in, false);
            entry->removed = all;
            all = entry;
        }
    }
    cx_store_relaxed(&lru->size, 0);
#if CX_WITH_GIL
    lru->ring.older = lru->ring.newer = &lru->ring;
#else
    room->heap = lru->heap;
    lru->heap = NULL;
    lru->room = 0;
#endif
    return all;
}

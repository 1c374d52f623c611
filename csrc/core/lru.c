// SPDX-License-Identifier: MIT
#include "core/lru.h"

#include <stdlib.h>

#define LEAST_BUCKETS 8

/* What a table without an entry looks like; never written. */
static struct {
    struct cx_lru_buckets buckets;
    struct cx_lru_entry *head[2];
} nothing = {{0, 63}, {NULL, NULL}};

void
cx_lru_init(struct cx_lru *lru, size_t capacity)
{
    *lru = (struct cx_lru){.buckets = &nothing.buckets, .capacity = capacity};
    cx_recency_init(&lru->recency);
    cx_guard_init(&lru->guard);
    lru->generation = cx_fork_generation();
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
    cx_recency_fini(&lru->recency);
}

size_t
cx_lru_memory(const struct cx_lru *lru)
{
    size_t count = lru->buckets->count, size = cx_recency_memory(&lru->recency);
    return size + (count == 0 ? 0 : sizeof *lru->buckets + count * sizeof lru->buckets->head[0]);
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
            cx_recency_init(&lru->recency);
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
    return lru->capacity != SIZE_MAX && cx_recency_is_full(&lru->recency, lru->size);
}

bool
cx_lru_is_tight(const struct cx_lru *lru)
{
    return lru->size < lru->capacity && (wants_buckets(lru) || wants_places(lru));
}

bool
cx_lru_room(struct cx_lru_room *room, size_t size, size_t capacity)
{
    size_t count = LEAST_BUCKETS, places = LEAST_BUCKETS;
    uint32_t shift = 61;
    for (; count - count / 4 <= size; count *= 2) {
        shift--;
    }
    for (; places <= size; places *= 2) {
    }
    *room = (struct cx_lru_room){.buckets = NULL};
    if (capacity != SIZE_MAX &&
        !cx_recency_room(&room->recency, places < capacity ? places : capacity)) {
        return false;
    }
    room->buckets = calloc(1, sizeof *room->buckets + count * sizeof room->buckets->head[0]);
    if (room->buckets == NULL) {
        cx_recency_room_free(&room->recency);
        return false;
    }
    room->buckets->count = count;
    room->buckets->shift = shift;
    return true;
}

void
cx_lru_room_free(struct cx_lru_room *room)
{
    free(room->buckets);
    cx_recency_room_free(&room->recency);
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
    if (wants_places(lru)) {
        cx_recency_grow(&lru->recency, &room->recency);
    }
}

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
cx_lru_insert(struct cx_lru *lru, struct cx_lru_entry *entry, uint64_t stamp)
{
    struct cx_lru_entry *victim = NULL;
    if (lru->size < lru->capacity) {
        cx_store_relaxed(&lru->size, lru->size + 1);
    }
    else {
        struct cx_used *oldest = cx_recency_oldest(&lru->recency);
        victim = CX_CONTAINER(oldest, struct cx_lru_entry, used);
        cx_recency_remove(&lru->recency, oldest);
        unlink(lru, victim);
        victim->removed = NULL;
    }
    if (lru->capacity != SIZE_MAX) {
        cx_recency_add(&lru->recency, &entry->used, stamp);
    }
    append(lru, entry);
    return victim;
}

void
cx_lru_remove(struct cx_lru *lru, struct cx_lru_entry *entry)
{
    unlink(lru, entry);
    if (lru->capacity != SIZE_MAX) {
        cx_recency_remove(&lru->recency, &entry->used);
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
    cx_recency_clear(&lru->recency, &room->recency);
    return all;
}

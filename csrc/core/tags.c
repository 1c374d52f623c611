// SPDX-License-Identifier: MIT
#include "core/tags.h"

#include <stdlib.h>
#include <string.h>

struct cx_tags *
cx_tags_new(void)
{
    struct cx_tags *tags = calloc(1, sizeof *tags);
    if (tags != NULL && !cx_entries_init(&tags->names)) {
        free(tags);
        return NULL;
    }
    if (tags != NULL) {
        tags->free = tags->stale = CX_NONE;
    }
    return tags;
}

void
cx_tags_free(struct cx_tags *tags)
{
    if (tags != NULL) {
        cx_entries_fini(&tags->names);
        free(tags->members);
        free(tags->first);
        free(tags);
    }
}

size_t
cx_tags_bytes(const struct cx_tags *tags)
{
    const struct cx_entries *names = &tags->names;
    return sizeof *tags + names->capacity * sizeof *names->at +
           (names->mask + (size_t)1) * sizeof *names->cells +
           tags->capacity * sizeof *tags->members + tags->slots * sizeof *tags->first;
}

/* --- room ---------------------------------------------------------------------------------------- */

bool
cx_tags_plan(const struct cx_tags *tags, uint32_t more, uint32_t slots, struct cx_tags_room *room)
{
    bool wants_names = !cx_entries_has_slot(&tags->names);
    bool wants_members = tags->capacity - tags->used + tags->spare < more;
    if (!wants_names && !wants_members && tags->slots >= slots) {
        return false;
    }
    *room = (struct cx_tags_room){.wants_names = wants_names};
    if (wants_names) {
        cx_entries_plan(&tags->names, 0, CX_ENTRIES_MOST, &room->names);
    }
    room->capacity = wants_members ? 2 * tags->capacity + more + 8 : 0;
    room->slots = tags->slots < slots ? slots : 0;
    return true;
}

bool
cx_tags_room_allocate(struct cx_tags_room *room)
{
    bool ok = !room->wants_names || cx_growth_allocate(&room->names);
    room->wants_names = ok && room->wants_names;
    if (ok && room->capacity > 0) {
        ok = (room->members = malloc(room->capacity * sizeof *room->members)) != NULL;
    }
    if (ok && room->slots > 0) {
        ok = (room->first = malloc(room->slots * sizeof *room->first)) != NULL;
    }
    if (!ok) {
        cx_tags_room_free(room);
    }
    return ok;
}

void
cx_tags_room_free(struct cx_tags_room *room)
{
    if (room->wants_names) {
        cx_growth_free(&room->names);
    }
    free(room->members);
    free(room->first);
}

void
cx_tags_adopt(struct cx_tags *tags, struct cx_tags_room *room)
{
    if (room->wants_names) {
        cx_entries_adopt(&tags->names, &room->names);
    }
    if (room->capacity > tags->capacity) {
        struct cx_member *old = tags->members;
        if (old != NULL) {
            memcpy(room->members, old, tags->used * sizeof *old);
        }
        tags->members = room->members;
        tags->capacity = room->capacity;
        room->members = old;
    }
    if (room->slots > tags->slots) {
        uint32_t *old = tags->first;
        if (old != NULL) {
            memcpy(room->first, old, tags->slots * sizeof *old);
        }
        memset(room->first + tags->slots, 0xFF, (room->slots - tags->slots) * sizeof *old);
        tags->first = room->first;
        tags->slots = room->slots;
        room->first = old;
    }
}

/* --- names --------------------------------------------------------------------------------------- */

static void
count_up(struct cx_tags *tags, uint32_t tag)
{
    struct cx_entry *names = tags->names.at, *name = &names[tag];
    if (name->number++ == 0) { /* not stale any more */
        *(name->prev != CX_NONE ? &names[name->prev].next : &tags->stale) = name->next;
        if (name->next != CX_NONE) {
            names[name->next].prev = name->prev;
        }
    }
}

static void
count_down(struct cx_tags *tags, uint32_t tag)
{
    struct cx_entry *names = tags->names.at, *name = &names[tag];
    if (--name->number == 0) {
        name->prev = CX_NONE;
        name->next = tags->stale;
        if (name->next != CX_NONE) {
            names[name->next].prev = tag;
        }
        tags->stale = tag;
    }
}

enum cx_status
cx_tags_hold(struct cx_tags *tags, uint64_t hash, cx_same same, void *probe, uint32_t *tag)
{
    enum cx_status status = cx_entries_find(&tags->names, hash, same, probe, tag);
    if (status == CX_OK) {
        count_up(tags, *tag);
    }
    return status;
}

uint32_t
cx_tags_add(struct cx_tags *tags, void *name, uint64_t hash)
{
    uint32_t tag = cx_entries_add(&tags->names, name, NULL, hash);
    tags->names.at[tag].number = 1;
    return tag;
}

void
cx_tags_release(struct cx_tags *tags, uint32_t tag)
{
    count_down(tags, tag);
}

unsigned
cx_tags_reap(struct cx_tags *tags, void **names, unsigned most)
{
    unsigned count = 0;
    while (count < most && tags->stale != CX_NONE) {
        uint32_t tag = tags->stale;
        struct cx_entry *name = &tags->names.at[tag];
        tags->stale = name->next;
        if (name->next != CX_NONE) {
            tags->names.at[name->next].prev = CX_NONE;
        }
        names[count++] = name->key;
        cx_entries_remove(&tags->names, tag);
    }
    return count;
}

/* --- members ------------------------------------------------------------------------------------- */

static uint32_t
first_of(const struct cx_tags *tags, uint32_t tag)
{
    return (uint32_t)(uintptr_t)tags->names.at[tag].value - 1; /* CX_NONE for none */
}

static void
set_first(struct cx_tags *tags, uint32_t tag, uint32_t member)
{
    tags->names.at[tag].value = (void *)(uintptr_t)(uint32_t)(member + 1);
}

void
cx_tags_attach(struct cx_tags *tags, uint32_t tag, uint32_t entry)
{
    uint32_t at = tags->free, first = first_of(tags, tag);
    if (at != CX_NONE) {
        tags->free = tags->members[at].after;
        tags->spare--;
    }
    else {
        at = tags->used++;
    }
    tags->members[at] = (struct cx_member){
        .entry = entry, .tag = tag, .after = tags->first[entry], .prev = CX_NONE, .next = first};
    if (first != CX_NONE) {
        tags->members[first].prev = at;
    }
    set_first(tags, tag, at);
    tags->first[entry] = at;
    count_up(tags, tag);
}

void
cx_tags_detach(struct cx_tags *tags, uint32_t entry)
{
    uint32_t at = entry < tags->slots ? tags->first[entry] : CX_NONE;
    while (at != CX_NONE) {
        struct cx_member *member = &tags->members[at];
        uint32_t after = member->after;
        if (member->prev != CX_NONE) {
            tags->members[member->prev].next = member->next;
        }
        else {
            set_first(tags, member->tag, member->next);
        }
        if (member->next != CX_NONE) {
            tags->members[member->next].prev = member->prev;
        }
        count_down(tags, member->tag);
        member->after = tags->free;
        tags->free = at;
        tags->spare++;
        at = after;
    }
    if (entry < tags->slots) {
        tags->first[entry] = CX_NONE;
    }
}

uint32_t
cx_tags_member(const struct cx_tags *tags, uint32_t tag)
{
    uint32_t first = first_of(tags, tag);
    return first == CX_NONE ? CX_NONE : tags->members[first].entry;
}

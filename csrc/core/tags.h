// SPDX-License-Identifier: MIT
/* core/tags.h - groups of a cache's entries: which entries have a tag, which tags an entry has.
 *
 * A membership links an entry with a tag and is in two chains: the tag's, in both directions, so that an
 * entry that leaves is taken out of all its tags in the time of its tags, and the entry's.  A name is
 * there for as long as it has a member or a holder; one that has neither waits to be reaped, since its
 * reference is dropped outside.
 *
 * To tag an entry: hold the names (and add those that are not there), make room for the memberships,
 * store the entry and attach it, all three in one exclusion, then release the names.
 *
 * Progress:        attach is O(1), detach O(tags of the entry), hold O(1) expected.
 * Synchronization: the caller excludes every operation but cx_tags_new, _free and those of the room.
 * Ownership:       names are stored; who reaps gets them.
 */
#ifndef CX_CORE_TAGS_H
#define CX_CORE_TAGS_H

#include "core/entries.h"

struct cx_member {
    uint32_t entry, tag;
    uint32_t after;      /* of the same entry; or of the free ones */
    uint32_t prev, next; /* of the same tag */
};

struct cx_tags {
    struct cx_entries names; /* number: members and holders; value: first member, plus one */
    struct cx_member *members;
    uint32_t capacity, used;
    uint32_t free, spare; /* chain of free ones below `used`, and its length */
    uint32_t *first;      /* by the entry's slot: its first membership */
    uint32_t slots;       /* of `first` */
    uint32_t stale;       /* chain of names without members and holders */
};

/* What lacks, allocated outside. */
struct cx_tags_room {
    bool wants_names;
    struct cx_growth names;
    struct cx_member *members;
    uint32_t *first;
    uint32_t capacity, slots; /* 0: enough */
};

struct cx_tags *cx_tags_new(void);
/* The names have been dropped, or are forgotten. */
void cx_tags_free(struct cx_tags *tags);
size_t cx_tags_bytes(const struct cx_tags *tags);

/* Room for one name more, for `more` members, and for entries in that many slots; false: it is there. */
bool cx_tags_plan(const struct cx_tags *tags, uint32_t more, uint32_t slots,
                  struct cx_tags_room *room);
CX_NODISCARD bool cx_tags_room_allocate(struct cx_tags_room *room);
void cx_tags_room_free(struct cx_tags_room *room);
void cx_tags_adopt(struct cx_tags *tags, struct cx_tags_room *room);

/* CX_OK: the name is there and held.  CX_EMPTY: it is not, add it. */
enum cx_status cx_tags_hold(struct cx_tags *tags, uint64_t hash, cx_same same, void *probe,
                            uint32_t *tag);
/* A new name, held; there is room. */
uint32_t cx_tags_add(struct cx_tags *tags, void *name, uint64_t hash);
void cx_tags_release(struct cx_tags *tags, uint32_t tag);

/* There is room.  An entry may be attached to a tag more than once. */
void cx_tags_attach(struct cx_tags *tags, uint32_t tag, uint32_t entry);
/* From all its tags. */
void cx_tags_detach(struct cx_tags *tags, uint32_t entry);

/* An entry that has the tag; CX_NONE: there is none. */
uint32_t cx_tags_member(const struct cx_tags *tags, uint32_t tag);

/* Takes out up to `most` names that nothing has any more; how many. */
unsigned cx_tags_reap(struct cx_tags *tags, void **names, unsigned most);

#endif

// SPDX-License-Identifier: MIT
/* core/shmcursor.h - a place in a ring that one process writes and all read, changed by one store.
 *
 * A cursor is two copies of the place and a version that says which one holds.  The holder of the
 * cursor's lock fills the other copy and then stores the version; if it dies before, nothing has
 * happened.  Readers take no lock.
 *
 * Progress:  publish wait-free; look lock-free.
 * Ordering:  what came before a publish is seen after the look that finds it.
 */
#ifndef CX_CORE_SHMCURSOR_H
#define CX_CORE_SHMCURSOR_H

#include "core/shm.h"

struct cx_shmring_place {
    uint64_t region, position, messages; /* position: bytes since the region was entered */
};

struct cx_shmring_cursor {
    uint32_t version, unused;
    struct cx_shmring_place copy[2];
};

/* The last published place.  Its copy is not written again before the next version has been
 * published, so a version that has not changed proves it whole. */
static inline struct cx_shmring_place
cx_shmcursor_look(const struct cx_shmring_cursor *cursor)
{
    struct cx_shmring_place place;
    uint32_t version, again = cx_load_acquire(&cursor->version); /* [R1] pairs with [R2] */
    do {
        version = again;
        const struct cx_shmring_place *copy = &cursor->copy[version & 1];
        place.region = cx_load_acquire(&copy->region);
        place.position = cx_load_acquire(&copy->position);
        place.messages = cx_load_acquire(&copy->messages);
        again = cx_load_acquire(&cursor->version); /* [R1] */
    } while (again != version);
    return place;
}

/* By the holder of the cursor's lock. */
static inline void
cx_shmcursor_publish(struct cx_shmring_cursor *cursor, const struct cx_shmring_place *place)
{
    uint32_t version = cx_load_relaxed(&cursor->version) + 1;
    struct cx_shmring_place *copy = &cursor->copy[(version - CX_BUG(SHM_CURSOR_ONE_COPY)) & 1];
    if (CX_BUG(SHM_CURSOR_VERSION_FIRST)) {
        cx_store_release(&cursor->version, version);
    }
    cx_store_release(&copy->region, place->region); /* not before the version that freed it */
    CX_KILL_POINT();
    cx_store_release(&copy->position, place->position);
    CX_KILL_POINT();
    cx_store_release(&copy->messages, place->messages);
    CX_KILL_POINT();
    cx_store_release(&cursor->version, version); /* LP; [R2] pairs with [R1] */
    CX_KILL_POINT();
}

#endif

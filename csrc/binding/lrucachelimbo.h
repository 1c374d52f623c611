// SPDX-License-Identifier: MIT
/* binding/lrucachelimbo.h - what a cache has removed, from the guard to its end.
 *
 * With a GIL it is released once the operation has left the table; without one, readers may be on
 * it, and it waits in the cache's limbo for its grace period; small caches let less wait.  A thread
 * that is alone with a cache (core/tally.h) need not wait either.
 */
#ifndef CX_BINDING_LRUCACHELIMBO_H
#define CX_BINDING_LRUCACHELIMBO_H

#include "binding/lrucache.h"

struct cxb_removed {
    struct cx_lru_entry *items; /* linked by `removed`, each with the table's pin */
    PyObject *value;
    struct cx_lru_buckets *buckets;
    bool is_due;      /* it is time to look what can be released, */
    bool is_pressing; /* and as much as possible is to be */
};

static inline void
cxb_item_unpin(struct cxb_item *item)
{
    if (cx_lru_unpin(&item->entry)) {
        cxb_item_free(item);
    }
}

#if CX_WITH_GIL

#define cxb_limbo_has_room(self) ((void)(self), true)
#define cxb_limbo_make_room(self) ((void)(self), 0)
#define cxb_limbo_retire(self, removed) ((void)(self), (void)(removed))
#define cxb_limbo_free(self) ((void)(self))

#else

/* Inside the guard: whether all that one operation removes can be retired. */
static inline bool
cxb_limbo_has_room(LruCache *self)
{
    return CX_LIKELY(cx_limbo_has_room(&self->limbo, 3));
}

/* Outside: 0, or -1 with MemoryError. */
int cxb_limbo_make_room(LruCache *self);
/* Inside the guard, after everything was unlinked; what can be released at once stays in *removed. */
void cxb_limbo_retire(LruCache *self, struct cxb_removed *removed);
/* When nobody can reach the cache any more. */
void cxb_limbo_free(LruCache *self);

#endif

/* Drops the table's pins of items that went together. */
void cxb_items_release(struct cx_lru_entry *items);

/* Outside the guard, as the last thing: drops references, which runs Python. */
void cxb_limbo_release(LruCache *self, struct cxb_removed *removed);

#endif

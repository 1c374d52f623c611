// SPDX-License-Identifier: MIT
#include "binding/lrucachelimbo.h"

#include <stdlib.h>

void
cxb_items_release(struct cx_lru_entry *items)
{
    while (items != NULL) {
        struct cx_lru_entry *next = items->removed;
        cxb_item_unpin(cxb_item_of(items));
        items = next;
    }
}

static inline void
release(struct cxb_removed *removed)
{
    if (CX_UNLIKELY(removed->buckets != NULL)) {
        free(removed->buckets);
    }
    cxb_items_release(removed->items);
    Py_XDECREF(removed->value);
}

#if CX_WITH_GIL

void
cxb_limbo_release(LruCache *self, struct cxb_removed *removed)
{
    (void)self;
    release(removed);
}

#else

/* The two lowest bits of what waits. */
enum { ITEMS, VALUE, BUCKETS, TAG };

static void
release_batches(struct cx_batch *batch)
{
    while (batch != NULL) {
        struct cx_batch *next = batch->next;
        for (uint32_t i = 0; i < batch->count; i++) {
            uintptr_t item = (uintptr_t)batch->item[i], tag = item & TAG;
            void *pointer = (void *)(item - tag);
            if (tag == ITEMS) {
                cxb_items_release(pointer);
            }
            else if (tag == VALUE) {
                Py_DECREF((PyObject *)pointer);
            }
            else {
                free(pointer);
            }
        }
        free(batch);
        batch = next;
    }
}

void
cxb_limbo_release(LruCache *self, struct cxb_removed *removed)
{
    if (CX_LIKELY(!removed->is_due)) {
        release(removed); /* nothing, or what nobody else can read */
        return;
    }
    /* With nobody inside a section twice is enough, and once for what was retired before that. */
    (void)(cx_rcu_try_advance() && removed->is_pressing && cx_rcu_try_advance());
    cx_lru_enter(&self->lru);
    struct cx_batch *ripe = cx_limbo_take(&self->limbo);
    cx_lru_leave(&self->lru);
    release_batches(ripe);
}

int
cxb_limbo_make_room(LruCache *self)
{
    struct cx_batch *room = cx_batch_new();
    if (room == NULL) {
        (void)PyErr_NoMemory();
        return -1;
    }
    struct cxb_removed removed = {NULL};
    cx_lru_enter(&self->lru);
    if (!cxb_limbo_has_room(self)) {
        removed.is_due = self->limbo.open != NULL; /* full before it was heavy */
        cx_limbo_open(&self->limbo, room);
        room = NULL;
    }
    cx_lru_leave(&self->lru);
    free(room);
    cxb_limbo_release(self, &removed);
    return 0;
}

/* So that no more waits than about a quarter of what the cache holds. */
static uint32_t
weight_of_items(const LruCache *self)
{
    size_t capacity = self->lru.capacity;
    return capacity >= 4 * CX_LIMBO_WEIGHT ? 1
           : capacity <= 4                 ? CX_LIMBO_WEIGHT
                                           : (uint32_t)(4 * CX_LIMBO_WEIGHT / capacity);
}

static inline void
add(LruCache *self, void *pointer, uintptr_t tag, uint32_t weight)
{
    if (pointer != NULL) {
        cx_limbo_add(&self->limbo, (void *)((uintptr_t)pointer | tag), weight);
    }
}

void
cxb_limbo_retire(LruCache *self, struct cxb_removed *removed)
{
    if (cx_tally_is_alone(&self->tally)) {
        return;
    }
    bool are_many = removed->items != NULL && removed->items->removed != NULL;
    add(self, removed->items, ITEMS, are_many ? CX_LIMBO_WEIGHT : weight_of_items(self));
    add(self, removed->value, VALUE, 1);
    add(self, removed->buckets, BUCKETS, CX_LIMBO_WEIGHT);
    bool is_due = cx_limbo_seal_if_due(&self->limbo);
    *removed = (struct cxb_removed){.is_due = is_due,
                                    .is_pressing = are_many || weight_of_items(self) > 1};
}

void
cxb_limbo_free(LruCache *self)
{
    release_batches(cx_limbo_take_all(&self->limbo));
}

#endif

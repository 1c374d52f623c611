// SPDX-License-Identifier: MIT
/* core/limbo.h - what was unlinked and may still be read, in batches, until its grace period is over.
 *
 * A limbo belongs to a structure and is guarded by that structure's lock, which the caller holds in
 * every call but cx_batch_new.  What was unlinked goes into the open batch; when that weighs enough it
 * is sealed with a stamp (core/rcu.h).  Sealed batches whose time is over are handed to the caller, who
 * releases their items after the lock is left:
 *
 *     lock; if (!cx_limbo_has_room(limbo, 2)) { unlock; room = cx_batch_new(); lock; }
 *     unlink p; cx_limbo_add(limbo, p, weight);
 *     is_due = cx_limbo_seal_if_due(limbo); unlock;
 *     if (is_due) { cx_rcu_try_advance(); cx_rcu_try_advance(); }   // nobody inside: that is enough
 *     lock; ripe = cx_limbo_take(limbo); unlock;
 *     for each item of ripe: release it; free(batch)
 *
 * On GIL builds there is none: what is unlinked is released as soon as the operation is done.
 *
 * Progress: wait-free; nothing is allocated but by cx_batch_new.
 * Fork:     a batch is whole at any instant; what a lost thread was about to add is not in it.
 */
#ifndef CX_CORE_LIMBO_H
#define CX_CORE_LIMBO_H

#include "core/rcu.h"

#define CX_BATCH_ITEMS 60
#define CX_LIMBO_WEIGHT 60 /* an open batch that weighs as much is sealed */

struct cx_batch {
    struct cx_batch *next;
    uint64_t stamp;
    uint32_t count; /* atomic, for forks */
    uint32_t weight;
    void *item[CX_BATCH_ITEMS]; /* tagged as its owner likes */
};

struct cx_limbo {
    struct cx_batch *open;         /* takes what is added; NULL: there is no room */
    struct cx_batch *first, *last; /* sealed, oldest first */
    size_t waiting;                /* items in all batches */
};

/* An empty batch; NULL: no memory. */
struct cx_batch *cx_batch_new(void);

static inline bool
cx_limbo_has_room(const struct cx_limbo *limbo, uint32_t items)
{
    return limbo->open != NULL && cx_load_relaxed(&limbo->open->count) + items <= CX_BATCH_ITEMS;
}

/* Seals what is open and opens `room`, which is empty.  An open batch must have something in it. */
void cx_limbo_open(struct cx_limbo *limbo, struct cx_batch *room);

/* Adds what has just been unlinked; there must be room.  The more it holds on to, the greater its
 * weight, 1 to CX_LIMBO_WEIGHT, and the sooner its batch is sealed. */
static inline void
cx_limbo_add(struct cx_limbo *limbo, void *item, uint32_t weight)
{
    struct cx_batch *open = limbo->open;
    uint32_t count = cx_load_relaxed(&open->count);
    open->item[count] = item;
    open->weight += weight;
    cx_store_release(&open->count, count + 1);
    limbo->waiting++;
}

/* Seals the open batch, if there is anything in it. */
void cx_limbo_seal(struct cx_limbo *limbo);

/* Seals it if it is heavy enough; true: it was. */
static inline bool
cx_limbo_seal_if_due(struct cx_limbo *limbo)
{
    bool is_due = limbo->open != NULL && limbo->open->weight >= CX_LIMBO_WEIGHT;
    if (CX_UNLIKELY(is_due)) {
        cx_limbo_seal(limbo);
    }
    return is_due;
}

/* The sealed batches whose grace period is over, as a list that is the caller's now. */
struct cx_batch *cx_limbo_take(struct cx_limbo *limbo);

/* All batches, whatever their time: when nobody can reach the structure any more. */
struct cx_batch *cx_limbo_take_all(struct cx_limbo *limbo);

#endif

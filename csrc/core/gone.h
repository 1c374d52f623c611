// SPDX-License-Identifier: MIT
/* core/gone.h - what has left a cache's table and may still be read, until its grace period is over.
 *
 * An entry that readers may be on keeps its slot, its key and its value (CX_GONE); a value that was
 * replaced gets a slot of its own; arrays that others took the place of stay whole.  They gather; then
 * the lot is sealed with a stamp (core/rcu.h), and when that is over it is handed out, to be dropped
 * outside.  One lot waits while the next gathers, so nothing need be allocated here:
 *
 *     lock; if (cx_gone_is_due(gone)) cx_gone_seal(gone); unlock;
 *     cx_rcu_try_advance(); cx_rcu_try_advance();                   // nobody inside: that is enough
 *     lock; while (cx_gone_take(gone, ...)) ...; unlock;
 *
 * Nothing of it is there on a build with a GIL: what leaves is dropped when the operation is done.
 *
 * Progress:        all but cx_gone_is_due, which any thread may ask, belongs to the exclusion; O(1).
 * Fork:            a lot is whole at any instant, but for what a lost thread was about to add.
 */
#ifndef CX_CORE_GONE_H
#define CX_CORE_GONE_H

#include "core/entries.h"
#include "core/rcu.h"

#if !CX_WITH_GIL

#define CX_GONE_MOST 60 /* as many gather, or a quarter of what the table has, if that is less */

struct cx_lot {
    uint32_t first, last;     /* slots, linked by `next`, oldest first; CX_NONE: none */
    struct cx_entries *views; /* linked by `retired` */
};

struct cx_gone {
    struct cx_lot fresh, sealed;
    uint64_t stamp; /* of the sealed lot */
    uint32_t slots; /* of both */
    uint32_t count; /* atomic; slots and views, gathered and not yet sealed */
    uint32_t due;   /* atomic; so many that it is time to seal */
};

void cx_gone_init(struct cx_gone *gone);

/* An entry that was unlinked. */
void cx_gone_add(struct cx_gone *gone, struct cx_entries *e, uint32_t at);
/* A value that another has replaced; there is a slot. */
void cx_gone_add_value(struct cx_gone *gone, struct cx_entries *e, void *value);
/* Arrays of which nothing is used any more, or, `is_full`, with their keys and values and whatever of
 * them was gone before. */
void cx_gone_add_arrays(struct cx_gone *gone, struct cx_entries *view, bool is_full);
/* The slots went with the arrays. */
void cx_gone_forget_slots(struct cx_gone *gone);

static inline bool
cx_gone_is_due(const struct cx_gone *gone)
{
    return cx_load_relaxed(&gone->count) >= cx_load_relaxed(&gone->due);
}

/* What has gathered gets its stamp, unless an earlier lot waits. */
void cx_gone_seal(struct cx_gone *gone, uint32_t entries);

/* A slot of the sealed lot whose time is over, to be emptied and freed; CX_NONE: none.  `is_over`: of
 * either lot, because there are no readers any more. */
uint32_t cx_gone_take(struct cx_gone *gone, struct cx_entries *e, bool is_over);
/* Arrays, likewise; NULL: none. */
struct cx_entries *cx_gone_take_arrays(struct cx_gone *gone, bool is_over);

void cx_gone_free_arrays(struct cx_entries *view);

/* Of either lot, for who only looks; NULL: none. */
static inline const struct cx_entries *
cx_gone_arrays(const struct cx_gone *gone, bool is_sealed)
{
    return is_sealed ? gone->sealed.views : gone->fresh.views;
}

#endif

#endif

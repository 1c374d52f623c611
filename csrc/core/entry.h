// SPDX-License-Identifier: MIT
/* core/entry.h - one entry of a cache: what of it the policy has, and what readers without a lock touch.
 *
 * A reader (core/entries.h) reads the key, the value, the hash, and when it expires; it writes `hot`
 * and, of an entry with a time-to-idle, the deadline, and nothing else.  The links and the policy's own
 * numbers are the writers', inside the exclusion.
 */
#ifndef CX_CORE_ENTRY_H
#define CX_CORE_ENTRY_H

#include "core/atomic.h"
#include "core/clock.h"
#include "core/status.h"
#include "core/wheel.h"

#define CX_NONE UINT32_MAX

/* What `chain` says of an entry that is in none. */
#define CX_PINNED UINT8_MAX
#define CX_GONE                                                                                    \
    (UINT8_MAX - 1) /* in the table no more, but readers may be on it: see core/gone.h */

struct cx_entry {
    void *key;   /* NULL: a free slot, or, with CX_GONE, one that holds a value that was replaced */
    void *value; /* atomic */
    uint64_t hash;
    uint32_t prev, next; /* newer and older in a chain of the policy; next: free and gone slots */
    uint32_t number;     /* the policy's */
    uint8_t hot;         /* atomic; hits, as far as the policy counts them in the entry */
    uint8_t chain;       /* the policy's, or CX_PINNED or CX_GONE */
    uint8_t is_timed;    /* atomic; has a deadline */
    uint8_t is_idle;     /* atomic; which every use puts off */
};

/* Time-to-idle of an entry; its deadline is the lesser of `hard` and the last use plus `span`. */
struct cx_idle {
    int64_t hard, span; /* atomic, both */
};

/* 1: the wanted key.  0: another.  -1: undecided.  Called inside the exclusion or a section. */
typedef int (*cx_same)(void *stored, void *probe);

/* A hit, counted in the entry up to `most`; one at the same time may be lost. */
static inline void
cx_entry_warm(struct cx_entry *entry, uint8_t most)
{
    uint8_t hot = cx_load_relaxed(&entry->hot);
    if (hot < most) {
        cx_store_relaxed(&entry->hot, (uint8_t)(hot + 1));
    }
}

/* When an entry expires that is used now. */
static inline int64_t
cx_put_off(int64_t hard, int64_t span, int64_t now)
{
    return hard != CX_FOREVER && hard - now < span ? hard : now + span;
}

/* A use now of an entry with a time-to-idle.  Who changes its times writes the deadline last, so that a
 * use that has read them half changed either finds another deadline or is overwritten. */
static inline void
cx_idle_use(const struct cx_idle *idle, int64_t *deadline, int64_t now)
{
    int64_t known = cx_load_acquire(deadline),
            later; /* [I1] pairs with [I2] in cx_cache_set_time */
    do {
        later = cx_put_off(cx_load_relaxed(&idle->hard), cx_load_relaxed(&idle->span), now);
    } while (later > known && !cx_cas_acq_rel(deadline, &known, later));
}

#endif

// SPDX-License-Identifier: MIT
/* core/entries.h - the table of a cache: entries in one array, found through an open-addressed index.
 *
 * An entry is 40 bytes and stays in its slot for as long as it lives, so that 32-bit numbers of slots
 * serve as links, and an iterator by slots meets every entry that stays exactly once.  The index holds
 * 32-bit cells: the number of a slot and, in the bits that numbers do not need, a piece of the hash, so
 * that a probe hardly ever touches an entry that is not the wanted one.  Probing is linear, at most
 * three quarters of the cells are used, a removal shifts its followers back: no tombstones.
 *
 * What not every cache has stands in columns of their own, which are made when they are first needed:
 * deadlines (with the links of the timer wheel), time-to-idle, weights.
 *
 * Without a GIL readers need no exclusion: in a section they go by the view (core/cacheread.h).
 *
 * Progress:        every operation is bounded; find and remove are O(1) expected.
 * Synchronization: the caller excludes every operation but cx_growth_allocate and cx_growth_free,
 *                  which are made outside the exclusion:
 *     lock; cx_entries_plan(e, columns, most, &growth); unlock; cx_growth_allocate(&growth);
 *     lock; cx_entries_adopt(e, &growth); unlock; cx_growth_free(&growth);
 * Ownership:       keys and values are stored and never followed, but by `same`.
 */
#ifndef CX_CORE_ENTRIES_H
#define CX_CORE_ENTRIES_H

#include "core/entry.h"

#define CX_ENTRIES_MOST (UINT32_C(1) << 30)

enum cx_column { CX_WHEN = 1, CX_IDLE = 2, CX_WEIGHT = 4 };

struct cx_entries {
#if !CX_WITH_GIL
    struct cx_entries *view;    /* atomic; a copy for readers, of the arrays and where they begin */
    uint32_t tables;            /* atomic; odd while entries are being copied */
    char apart[CX_CACHELINE];   /* above: what hits read */
    uint32_t moves;             /* atomic; odd while cells are being moved */
    bool is_full;               /* core/gone.h's, of a copy that was retired, */
    struct cx_entries *retired; /* and the next such one */
#endif
    struct cx_entry *at;
    uint32_t *cells; /* atomic, each; 0: empty; slot + 1 in the low bits, hash in the others */
    uint32_t mask;   /* number of cells, a power of two, less one */
    uint32_t shift;  /* of a mixed hash, to the number of a cell */
    uint32_t tag;    /* the bits of a cell that hold hash */
    uint32_t capacity, used, count;
    uint32_t free; /* chain of slots below `used` */
    struct cx_wheel_node *when;
    struct cx_idle *idle;
    int64_t *weight;
};

/* An array that is to take the place of the present one. */
struct cx_growth {
    struct cx_entries arrays;
    unsigned columns;
};

CX_NODISCARD bool cx_entries_init(struct cx_entries *e);
void cx_entries_fini(struct cx_entries *e);

/* What is needed for one entry more, and for these columns; at most `most` slots. */
void cx_entries_plan(const struct cx_entries *e, unsigned columns, uint32_t most,
                     struct cx_growth *growth);
/* Like a plan, for an empty table that takes the place of a full one. */
void cx_entries_plan_empty(struct cx_growth *growth);
CX_NODISCARD bool cx_growth_allocate(struct cx_growth *growth);
void cx_growth_free(struct cx_growth *growth);
/* Moves the entries over; the growth then holds the old arrays.  A growth that is too small by now
 * changes nothing. */
void cx_entries_adopt(struct cx_entries *e, struct cx_growth *growth);

/* The table becomes the growth's as that is; the growth then holds the old one. */
void cx_entries_exchange(struct cx_entries *e, struct cx_growth *growth);

static inline unsigned
cx_entries_columns(const struct cx_entries *e)
{
    return (e->when != NULL ? CX_WHEN : 0) | (e->idle != NULL ? CX_IDLE : 0) |
           (e->weight != NULL ? CX_WEIGHT : 0);
}

static inline bool
cx_entries_has_slot(const struct cx_entries *e)
{
    return e->free != CX_NONE || e->used < e->capacity;
}

static inline uint64_t
cx_entries_mix(uint64_t hash)
{
    uint64_t mixed = hash * UINT64_C(0x9E3779B97F4A7C15); /* hashes of ints are the ints */
    return mixed ^ mixed >> 32;
}

/* CX_OK, CX_EMPTY, or CX_UNDECIDED by `same`.  Inside the exclusion or, of a view, in a section. */
static inline enum cx_status
cx_entries_find(const struct cx_entries *e, uint64_t hash, cx_same same, void *probe, uint32_t *at)
{
    uint64_t mixed = cx_entries_mix(hash);
    for (uint32_t pos = (uint32_t)(mixed >> e->shift);; pos = (pos + 1) & e->mask) {
        uint32_t cell = cx_load_acquire(&e->cells[pos]); /* [E1] pairs with [E2] */
        if (cell == 0) {
            return CX_EMPTY;
        }
        if (((cell ^ (uint32_t)mixed) & e->tag) == 0) {
            uint32_t slot = (cell & ~e->tag) - 1;
            if (CX_LIKELY(e->at[slot].hash == hash)) {
                int answer = same(e->at[slot].key, probe);
                if (answer != 0) {
                    *at = slot;
                    return answer > 0 ? CX_OK : CX_UNDECIDED;
                }
            }
        }
    }
}

/* A new entry, in no chain and without a deadline; there is a slot, and the key is not there. */
uint32_t cx_entries_add(struct cx_entries *e, void *key, void *value, uint64_t hash);

/* Of an entry in no chain and not in the wheel: it is not found any more; then its slot is free. */
void cx_entries_unlink(struct cx_entries *e, uint32_t at);
void cx_entries_free(struct cx_entries *e, uint32_t at);
/* A slot for what is not in the table; there is one. */
uint32_t cx_entries_take_slot(struct cx_entries *e);
static inline void
cx_entries_remove(struct cx_entries *e, uint32_t at)
{
    cx_entries_unlink(e, at);
    cx_entries_free(e, at);
}

static inline int64_t
cx_entries_weight(const struct cx_entries *e, uint32_t at)
{
    return e->weight == NULL ? 1 : e->weight[at];
}

/* The first slot from `from` on that holds an entry; CX_NONE: none. */
static inline uint32_t
cx_entries_next(const struct cx_entries *e, uint32_t from)
{
    while (from < e->used && (e->at[from].key == NULL || e->at[from].chain == CX_GONE)) {
        from++;
    }
    return from < e->used ? from : CX_NONE;
}

#endif

// SPDX-License-Identifier: MIT
/* core/maptable.h - the bucket array of a map, and how a bucket moves to the next one.
 *
 * A bucket is a range of hashes: all that begin with its number in binary.  Twice as many buckets halve
 * each range, half as many join two.  Nodes with equal hashes stand next to each other.
 *
 * A bucket is moved run by run, from the tail of its chain (as in the Linux kernel's rhashtable): a run
 * is a longest stretch of nodes for one bucket of the next table.  It is put in front of that bucket,
 * and only then cut off from the old chain.  A reader that walks the run goes on into the new chain,
 * which has nothing for it and an end; one that comes too late finds the old chain shorter, and the run
 * in the next table, which it looks at after the first.  No node is copied, none is ever in neither.
 */
#ifndef CX_CORE_MAPTABLE_H
#define CX_CORE_MAPTABLE_H

#include "core/atomic.h"

struct cx_map_node {
    struct cx_map_node *next; /* atomic */
    uint64_t hash;
    void *key;
    void *value; /* atomic; an object, a word (core/mapword.h), or NULL: removed */
};

static inline bool
cx_map_is_word(const void *value)
{
    return ((uintptr_t)value & 1) != 0;
}

static inline bool
cx_map_is_object(const void *value)
{
    return value != NULL && !cx_map_is_word(value);
}

/* The head of a bucket whose nodes are in the next table. */
#define CX_MAP_MOVED ((struct cx_map_node *)1)

struct cx_map_table {
    uint32_t shift;                /* hash >> shift is the bucket */
    uint32_t number;               /* counts the tables of a map */
    uint32_t stripes_left;         /* atomic; those whose buckets have not all been moved on */
    struct cx_map_table *next;     /* atomic; where the buckets go, or NULL */
    struct cx_map_node *bucket[1]; /* atomic */
};

/* What is between two tables, for a child of fork to finish: written so that it is right at any
 * instant. */
struct cx_map_run {
    struct cx_map_node *first; /* atomic; NULL: nothing is */
    struct cx_map_node *last;
    uint64_t bucket; /* of the old table */
};

/* NULL: no memory.  2**(64 - shift) empty buckets. */
struct cx_map_table *cx_map_table_new(uint32_t shift, uint32_t number, uint32_t stripes);

static inline uint64_t
cx_map_buckets(const struct cx_map_table *t)
{
    return UINT64_C(1) << (64 - t->shift);
}

/* Moves what is in a bucket that was not moved yet to t->next; under the guard of both. */
void cx_map_move(struct cx_map_table *t, uint64_t bucket, struct cx_map_run *run);

/* Finishes what a lost thread had begun. */
void cx_map_move_repair(struct cx_map_table *t, struct cx_map_run *run);

#endif

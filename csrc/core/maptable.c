// SPDX-License-Identifier: MIT
#include "core/maptable.h"

#include <stdlib.h>

struct cx_map_table *
cx_map_table_new(uint32_t shift, uint32_t number, uint32_t stripes)
{
    size_t buckets = (size_t)1 << (64 - shift);
    struct cx_map_table *t = calloc(1, sizeof *t + (buckets - 1) * sizeof t->bucket[0]);
    if (t != NULL) {
        t->shift = shift;
        t->number = number;
        t->stripes_left = stripes;
    }
    return t;
}

/* Puts the run in front of its bucket of the next table: readers find it in both. */
static void
link_run(struct cx_map_table *n, struct cx_map_node *first, struct cx_map_node *last)
{
    struct cx_map_node **head = &n->bucket[first->hash >> n->shift];
    struct cx_map_node *there = cx_load_relaxed(head);
    if (there != first) {
        cx_store_release(&last->next, there); /* pairs with the walk in core/mapfind.h */
        cx_store_release(head, first);        /* [M2] pairs with [M1], and with [N1] */
    }
}

/* Cuts the old chain in front of the run. */
static void
cut_run(struct cx_map_table *t, struct cx_map_run *run, struct cx_map_node *before)
{
    if (before != NULL) {
        cx_store_release(&before->next, NULL);
    }
    else {
        cx_store_release(&t->bucket[run->bucket], CX_MAP_MOVED);
    }
    cx_store_release(&run->first, NULL);
}

void
cx_map_move(struct cx_map_table *t, uint64_t bucket, struct cx_map_run *run)
{
    struct cx_map_table *n = cx_load_relaxed(&t->next);
    struct cx_map_node *head;
    while ((head = cx_load_relaxed(&t->bucket[bucket])) != CX_MAP_MOVED) {
        struct cx_map_node *first = head, *last = head, *before = NULL, *node;
        if (head == NULL) {
            cx_store_release(&t->bucket[bucket], CX_MAP_MOVED);
            return;
        }
        while ((node = cx_load_relaxed(&last->next)) != NULL) {
            if (node->hash >> n->shift != first->hash >> n->shift) {
                before = last;
                first = node;
            }
            last = node;
        }
        run->last = last;
        run->bucket = bucket;
        cx_store_release(&run->first, first);
        if (CX_BUG(MAP_CUTS_FIRST)) {
            cx_store_release(before != NULL ? &before->next : &t->bucket[bucket],
                             before != NULL ? NULL : CX_MAP_MOVED);
        }
        link_run(n, first, last);
        cut_run(t, run, before);
    }
}

void
cx_map_move_repair(struct cx_map_table *t, struct cx_map_run *run)
{
    struct cx_map_node *first = cx_load_relaxed(&run->first);
    if (first == NULL) {
        return;
    }
    link_run(cx_load_relaxed(&t->next), first, run->last);
    struct cx_map_node *node = cx_load_relaxed(&t->bucket[run->bucket]), *before = NULL;
    while (node != first && node != NULL && node != CX_MAP_MOVED) {
        before = node;
        node = cx_load_relaxed(&node->next);
    }
    if (node == first) {
        cut_run(t, run, before);
    }
    cx_store_release(&run->first, NULL); /* it was cut already */
}

// SPDX-License-Identifier: MIT
/* core/mapfind.h - how a key is found in a map, inlined around the caller's comparison.
 *
 * The comparison knows yes (1), no (0), and cannot tell without Python (-1).  Inside a section or guard
 * no Python may run, so a key that cannot be told is pinned: noted, and retained by the caller before it
 * leaves.  Outside, the caller compares what is pinned and
 *   a reader  takes the value that was pinned with an equal key: it was there at that instant;
 *   a writer  begins again, with the verdicts: a pinned key lives, so its address tells it.
 */
#ifndef CX_CORE_MAPFIND_H
#define CX_CORE_MAPFIND_H

#include "core/map.h"

struct cx_map_pin {
    void *key, *value;
    int is_same; /* 1, 0; -1: not compared yet */
};

struct cx_map_pins {
    struct cx_map_pin *list;
    uint32_t count, room;
    uint32_t next;   /* where the next one that is asked for most likely stands */
    uint32_t wanted; /* more than there was room for */
};

typedef int cx_map_same(void *key, void *other);

/* 1, 0, or -1: it is pinned now, or there was no room. */
static inline int
cx_map_verdict(struct cx_map_pins *pins, struct cx_map_node *node)
{
    void *value = cx_load_acquire(&node->value); /* pairs with cx_map_remove */
    if (value == NULL) {
        return 0;
    }
    for (uint32_t i = 0; i < pins->count; i++) {
        uint32_t at = pins->next + i < pins->count ? pins->next + i : pins->next + i - pins->count;
        if (pins->list[at].key == node->key) {
            pins->next = at + 1 < pins->count ? at + 1 : 0;
            return pins->list[at].is_same;
        }
    }
    if (pins->count == pins->room) {
        pins->wanted++;
        return -1;
    }
    pins->list[pins->count++] = (struct cx_map_pin){node->key, value, -1};
    return -1;
}

/* Inside a section: the node; NULL: absent, or, if there are pins that were not compared or were wanted,
 * not known. */
static inline struct cx_map_node *
cx_map_find_node(const struct cx_map *m, uint64_t hash, void *key, cx_map_same *same,
                 struct cx_map_pins *pins)
{
    const struct cx_map_table *t = cx_load_acquire(&m->table); /* [T1] pairs with [T2] */
    do {
        struct cx_map_node *node = cx_load_acquire(&t->bucket[hash >> t->shift]); /* [N1], [N2] */
        if (CX_UNLIKELY(node == CX_MAP_MOVED)) {
            node = NULL;
        }
        for (; node != NULL; node = cx_load_acquire(&node->next)) {
            if (node->hash != hash) {
                continue;
            }
            int is_same = node->key == key ? 1 : same(key, node->key);
            if (CX_UNLIKELY(is_same < 0)) {
                is_same = cx_map_verdict(pins, node);
            }
            if (is_same == 1) {
                return node;
            }
        }
        /* A node that was moved before the walk came to it is in the next table by then. */
        t = CX_BUG(MAP_ONE_TABLE) ? NULL : cx_load_acquire(&t->next); /* [M1] pairs with [M2] */
    } while (CX_UNLIKELY(t != NULL));
    return NULL;
}

/* Its value, borrowed; NULL also if it was just removed. */
static inline void *
cx_map_find(const struct cx_map *m, uint64_t hash, void *key, cx_map_same *same,
            struct cx_map_pins *pins)
{
    struct cx_map_node *node = cx_map_find_node(m, hash, key, same, pins);
    return node == NULL ? NULL : cx_load_acquire(&node->value); /* LP; pairs with cx_map_put */
}

/* Between begin and leave: sets op->node, link and near.  False: there are pins to be compared first. */
static inline bool
cx_map_seek(struct cx_map_op *op, void *key, cx_map_same *same, struct cx_map_pins *pins)
{
    struct cx_map_node **link = &op->table->bucket[op->hash >> op->table->shift], *node;
    bool is_known = true;
    op->node = op->near = NULL;
    for (; (node = cx_load_relaxed(link)) != NULL; link = &node->next) {
        if (node->hash != op->hash) {
            continue;
        }
        int is_same = node->key == key ? 1 : same(key, node->key);
        if (CX_UNLIKELY(is_same < 0)) {
            is_same = cx_map_verdict(pins, node);
        }
        if (is_same == 1) {
            op->node = node;
            op->link = link;
            return true;
        }
        is_known = is_known && is_same == 0;
        op->near = node;
    }
    return is_known;
}

#endif

// SPDX-License-Identifier: MIT
/* tests/core/map_objects.h - what the map's test puts into maps, and the operations as the binding
 * builds them: get, set, del, and their forms for keys with a hash of one's choice.
 *
 * Included after harness.h.
 */
#ifndef CX_TESTS_MAP_OBJECTS_H
#define CX_TESTS_MAP_OBJECTS_H

#include "core/mapfind.h"

/* What the maps of these tests hold: counted objects, equal by number. */
struct object {
    int64_t references; /* atomic */
    uint64_t number;
    bool is_vague; /* its comparison is known outside of a guard only */
};

static int64_t objects;            /* atomic; alive */
static uint32_t object_weight = 8; /* what each weighs */

static inline struct object *
object_new(uint64_t number, bool is_vague)
{
    struct object *o = malloc(sizeof *o);
    *o = (struct object){1, number, is_vague};
    cx_fetch_add_relaxed(&objects, 1);
    return o;
}

static inline void
object_retain(void *object)
{
    struct object *o = object;
    CHECK(cx_fetch_add_acq_rel(&o->references, 1) >= 1); /* not from the dead */
}

static inline void
object_drop(void *object)
{
    struct object *o = object;
    if (cx_fetch_add_acq_rel(&o->references, -1) == 1) {
        o->number = UINT64_MAX;
        cx_fetch_add_relaxed(&objects, -1);
        free(o);
    }
}

static inline uint32_t
object_weigh(void *object)
{
    (void)object;
    return object_weight;
}

static const struct cx_map_hooks hooks = {malloc, free, object_retain, object_drop, object_weigh};

static inline int
object_same(void *key, void *other)
{
    struct object *a = key, *b = other;
    return a->is_vague || b->is_vague ? -1 : a->number == b->number;
}

static inline uint64_t
hash_of(uint64_t number)
{
    return number * UINT64_C(0x9E3779B97F4A7C15);
}

/* --- the operations, as the binding builds them -------------------------------------------------- */

#define PINS 4096

struct pins {
    struct cx_map_pin list[PINS];
    struct cx_map_pins core;
};

static inline struct pins *
pins_new(void)
{
    struct pins *p = malloc(sizeof *p);
    p->core = (struct cx_map_pins){.list = p->list, .room = PINS};
    return p;
}

static inline void
pins_retain(struct pins *p, uint32_t from)
{
    for (uint32_t i = from; i < p->core.count; i++) {
        object_retain(p->list[i].key);
        object_retain(p->list[i].value);
    }
}

/* Outside: compares what has not been; the pin that is equal, or NULL. */
static inline struct cx_map_pin *
pins_compare(struct pins *p, struct object *key)
{
    for (uint32_t i = 0; i < p->core.count; i++) {
        struct cx_map_pin *pin = &p->list[i];
        if (pin->is_same < 0) {
            pin->is_same = ((struct object *)pin->key)->number == key->number;
        }
        if (pin->is_same == 1) {
            return pin;
        }
    }
    return NULL;
}

static inline void
pins_free(struct pins *p)
{
    for (uint32_t i = 0; i < p->core.count; i++) {
        object_drop(p->list[i].key);
        object_drop(p->list[i].value);
    }
    CHECK_EQ(p->core.wanted, 0);
    free(p);
}

/* The value's number; UINT64_MAX: absent. */
static inline uint64_t
get_hashed(struct cx_map *m, struct object *key, uint64_t hash)
{
    struct pins *pins = pins_new();
    uint64_t number = UINT64_MAX;
    cx_rcu_enter();
    struct object *value = cx_map_find(m, hash, key, object_same, &pins->core);
    if (value != NULL) {
        object_retain(value);
    }
    pins_retain(pins, 0);
    cx_rcu_exit();
    if (value != NULL) {
        number = value->number;
        object_drop(value);
    }
    else if (pins_compare(pins, key) != NULL) {
        number = ((struct object *)pins_compare(pins, key)->value)->number;
    }
    pins_free(pins);
    return number;
}

static inline uint64_t
get(struct cx_map *m, uint64_t number)
{
    struct object key = {1, number, false};
    return get_hashed(m, &key, hash_of(number));
}

/* Sets to the value, or removes if that is NULL; steals both. */
static inline void
put_hashed(struct cx_map *m, struct object *key, uint64_t hash, struct object *value)
{
    struct pins *pins = pins_new();
    struct cx_map_op op = {.map = m, .hash = hash};
    for (;;) {
        uint32_t before = pins->core.count;
        op.spare = op.spare == NULL ? malloc(sizeof *op.spare) : op.spare;
        CHECK(cx_map_begin(&op));
        bool is_known = cx_map_seek(&op, key, object_same, &pins->core);
        pins_retain(pins, before);
        if (is_known && op.node != NULL && value != NULL) {
            CHECK(cx_map_replace(&op, op.node->value, value));
            value = NULL;
        }
        else if (is_known && op.node != NULL) {
            CHECK(cx_map_remove(&op, op.node->value));
        }
        else if (is_known && value != NULL) {
            cx_map_insert(&op, key, value);
            key = value = NULL;
        }
        cx_map_leave(&op);
        if (is_known) {
            break;
        }
        (void)pins_compare(pins, key);
    }
    cx_map_settle(&op);
    if (key != NULL) {
        object_drop(key);
    }
    pins_free(pins);
}

static inline void
set(struct cx_map *m, uint64_t number, uint64_t value)
{
    put_hashed(m, object_new(number, false), hash_of(number), object_new(value, false));
}

static inline void
del(struct cx_map *m, uint64_t number)
{
    put_hashed(m, object_new(number, false), hash_of(number), NULL);
}

#endif

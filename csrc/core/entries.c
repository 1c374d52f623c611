// SPDX-License-Identifier: MIT
#include "core/entries.h"

#include "core/pages.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_SLOTS 8
#define DOUBLE_UP_TO 65536 /* slots; beyond, one and a half times as many */

static uint32_t
cells_for(uint32_t capacity)
{
    uint64_t wanted = (uint64_t)capacity * 4 / 3 + 1;
    uint32_t cells = 4;
    while (cells < wanted) {
        cells *= 2;
    }
    return cells;
}

/* Enough low bits for the numbers from 1 to capacity; the others hold hash. */
static uint32_t
tag_for(uint32_t capacity)
{
    uint32_t numbers = 1;
    while (numbers <= capacity) {
        numbers *= 2;
    }
    return ~(numbers - 1);
}

static void
plan(struct cx_growth *growth, uint32_t capacity, unsigned columns)
{
    uint32_t cells = cells_for(capacity);
    *growth = (struct cx_growth){.columns = columns};
    growth->arrays.capacity = capacity;
    growth->arrays.mask = cells - 1;
    growth->arrays.shift = 64 - (uint32_t)__builtin_ctz(cells);
    growth->arrays.tag = tag_for(capacity);
    growth->arrays.free = CX_NONE;
}

void
cx_entries_plan(const struct cx_entries *e, unsigned columns, uint32_t most,
                struct cx_growth *growth)
{
    uint32_t capacity = e->capacity;
    if (!cx_entries_has_slot(e)) {
        capacity += capacity < DOUBLE_UP_TO ? capacity : capacity / 2;
        capacity = capacity < most ? capacity : most;
    }
    plan(growth, capacity, columns | cx_entries_columns(e));
    if (!cx_entries_has_slot(e) && capacity == e->capacity) {
        growth->arrays.capacity = 0; /* cannot be had */
    }
}

void
cx_entries_plan_empty(struct cx_growth *growth)
{
    plan(growth, FIRST_SLOTS, 0);
}

bool
cx_growth_allocate(struct cx_growth *growth)
{
    struct cx_entries *a = &growth->arrays;
    size_t slots = a->capacity;
    bool ok = slots > 0 && (a->at = cx_pages_take(slots * sizeof *a->at)) != NULL;
    ok = ok && (a->cells = cx_pages_take((a->mask + (size_t)1) * sizeof *a->cells)) != NULL;
    if (ok && growth->columns & CX_WHEN) {
        ok = (a->when = cx_pages_take(slots * sizeof *a->when)) != NULL;
    }
    if (ok && growth->columns & CX_IDLE) {
        ok = (a->idle = cx_pages_take(slots * sizeof *a->idle)) != NULL;
    }
    if (ok && growth->columns & CX_WEIGHT) {
        ok = (a->weight = cx_pages_take(slots * sizeof *a->weight)) != NULL;
    }
#if !CX_WITH_GIL
    a->view = ok ? malloc(sizeof *a->view) : NULL;
    ok = a->view != NULL;
    if (ok) {
        *a->view = *a;
    }
#endif
    if (!ok) {
        cx_growth_free(growth);
    }
    return ok;
}

void
cx_growth_free(struct cx_growth *growth)
{
    cx_entries_fini(&growth->arrays);
}

void
cx_entries_fini(struct cx_entries *e)
{
    size_t slots = e->capacity;
    cx_pages_give(e->at, slots * sizeof *e->at);
    cx_pages_give(e->cells, (e->mask + (size_t)1) * sizeof *e->cells);
    cx_pages_give(e->when, slots * sizeof *e->when);
    cx_pages_give(e->idle, slots * sizeof *e->idle);
    cx_pages_give(e->weight, slots * sizeof *e->weight);
#if !CX_WITH_GIL
    free(e->view);
#endif
    *e = (struct cx_entries){.free = CX_NONE};
}

bool
cx_entries_init(struct cx_entries *e)
{
    struct cx_growth growth;
    cx_entries_plan_empty(&growth);
    bool ok = cx_growth_allocate(&growth);
    *e = growth.arrays;
    return ok;
}

static void
enter_cell(struct cx_entries *e, uint32_t slot)
{
    uint64_t mixed = cx_entries_mix(e->at[slot].hash);
    uint32_t pos = (uint32_t)(mixed >> e->shift);
    while (cx_load_relaxed(&e->cells[pos]) != 0) {
        pos = (pos + 1) & e->mask;
    }
    uint32_t cell = ((uint32_t)mixed & e->tag) | (slot + 1);
    cx_store_release(&e->cells[pos], cell); /* LP; [E2] pairs with [E1] */
}

/* Readers write into what is copied. */
static void
copy_entries(struct cx_entries *to, const struct cx_entries *from)
{
#if CX_WITH_GIL
    memcpy(to->at, from->at, from->used * sizeof *from->at);
    if (from->when != NULL) {
        memcpy(to->when, from->when, from->used * sizeof *from->when);
    }
#else
    for (uint32_t i = 0; i < from->used; i++) {
        const struct cx_entry *old = &from->at[i];
        to->at[i] = (struct cx_entry){.key = old->key,
                                      .value = old->value,
                                      .hash = old->hash,
                                      .prev = old->prev,
                                      .next = old->next,
                                      .number = old->number,
                                      .hot = cx_load_relaxed(&old->hot),
                                      .chain = old->chain,
                                      .is_timed = old->is_timed,
                                      .is_idle = old->is_idle};
    }
    for (uint32_t i = 0; from->when != NULL && i < from->used; i++) {
        const struct cx_wheel_node *old = &from->when[i];
        to->when[i] = (struct cx_wheel_node){cx_load_relaxed(&old->deadline), old->prev, old->next};
    }
#endif
    if (from->idle != NULL) {
        memcpy(to->idle, from->idle, from->used * sizeof *from->idle);
    }
    if (from->weight != NULL) {
        memcpy(to->weight, from->weight, from->used * sizeof *from->weight);
    }
    for (uint32_t i = 0; from->weight == NULL && to->weight != NULL && i < from->used; i++) {
        to->weight[i] = 1;
    }
}

void
cx_entries_exchange(struct cx_entries *e, struct cx_growth *growth)
{
    struct cx_entries *fresh = &growth->arrays, old = *e;
#if CX_WITH_GIL
    *e = *fresh;
#else
    /* All but what readers read, then that. */
    struct cx_entries next = *fresh;
    e->at = next.at;
    e->cells = next.cells;
    e->mask = next.mask;
    e->shift = next.shift;
    e->tag = next.tag;
    e->capacity = next.capacity;
    e->used = next.used;
    e->count = next.count;
    e->free = next.free;
    e->when = next.when;
    e->idle = next.idle;
    e->weight = next.weight;
    cx_store_release(&e->view, next.view); /* LP; [E7] pairs with [E8] */
    cx_store_release(&e->tables, (old.tables | 1) + 1);
    old.view->used = old.used;
#endif
    growth->arrays = old;
}

void
cx_entries_adopt(struct cx_entries *e, struct cx_growth *growth)
{
    struct cx_entries *fresh = &growth->arrays, old = *e;
    unsigned columns = cx_entries_columns(e);
    if (fresh->capacity < old.used || (cx_entries_columns(fresh) & columns) != columns ||
        fresh->capacity < old.capacity) {
        return;
    }
    fresh->used = old.used;
    fresh->count = old.count;
    fresh->free = old.free;
#if !CX_WITH_GIL
    (void)cx_xchg_acq_rel(&e->tables, old.tables + 1);
    cx_fence_seq_cst(); /* [E5] pairs with [E6]: who uses an entry in the old table is told, or copied */
#endif
    copy_entries(fresh, &old);
    for (uint32_t i = 0; i < old.used; i++) {
        if (fresh->at[i].key != NULL && fresh->at[i].chain != CX_GONE) {
            enter_cell(fresh, i);
        }
    }
    cx_entries_exchange(e, growth);
}

uint32_t
cx_entries_take_slot(struct cx_entries *e)
{
    uint32_t slot = e->free;
    if (slot != CX_NONE) {
        e->free = e->at[slot].next;
    }
    else {
        slot = e->used++;
    }
    return slot;
}

uint32_t
cx_entries_add(struct cx_entries *e, void *key, void *value, uint64_t hash)
{
    uint32_t slot = cx_entries_take_slot(e);
    e->at[slot] = (struct cx_entry){.key = key, .value = value, .hash = hash};
    if (e->weight != NULL) {
        e->weight[slot] = 1;
    }
    enter_cell(e, slot);
    e->count++;
    return slot;
}

/* Empties a cell and moves back what followed it because it was taken. */
static void
leave_cell(struct cx_entries *e, uint32_t pos)
{
    uint32_t cell;
    for (uint32_t next = (pos + 1) & e->mask; (cell = cx_load_relaxed(&e->cells[next])) != 0;
         next = (next + 1) & e->mask) {
        uint32_t slot = (cell & ~e->tag) - 1;
        uint32_t home = (uint32_t)(cx_entries_mix(e->at[slot].hash) >> e->shift);
        if (((next - home) & e->mask) >= ((next - pos) & e->mask)) {
#if !CX_WITH_GIL
            uint32_t moves = cx_load_relaxed(&e->moves);
            if ((moves & 1) == 0) {
                (void)cx_xchg_acq_rel(&e->moves, moves + 1); /* [E4] pairs with [E3] */
            }
#endif
            cx_store_release(&e->cells[pos], cell);
            pos = next;
        }
    }
    cx_store_release(&e->cells[pos], 0);
#if !CX_WITH_GIL
    uint32_t moves = cx_load_relaxed(&e->moves);
    if (moves & 1) {
        cx_store_release(&e->moves, moves + 1); /* [E4] */
    }
#endif
}

void
cx_entries_unlink(struct cx_entries *e, uint32_t at)
{
    uint32_t pos = (uint32_t)(cx_entries_mix(e->at[at].hash) >> e->shift);
    while ((cx_load_relaxed(&e->cells[pos]) & ~e->tag) != at + 1) {
        pos = (pos + 1) & e->mask;
    }
    leave_cell(e, pos);
    e->count--;
}

void
cx_entries_free(struct cx_entries *e, uint32_t at)
{
    struct cx_entry *entry = &e->at[at];
    entry->key = entry->value = NULL;
    entry->next = e->free;
    e->free = at;
}

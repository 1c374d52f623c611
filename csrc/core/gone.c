// SPDX-License-Identifier: MIT
#include "core/gone.h"

#if CX_WITH_GIL
typedef int cx_nothing_is_gone;
#else

static const struct cx_lot nothing = {CX_NONE, CX_NONE, NULL};

void
cx_gone_init(struct cx_gone *gone)
{
    *gone = (struct cx_gone){.fresh = nothing, .sealed = nothing, .due = 1};
}

static void
count_one(struct cx_gone *gone)
{
    cx_store_relaxed(&gone->count, gone->count + 1);
}

void
cx_gone_add(struct cx_gone *gone, struct cx_entries *e, uint32_t at)
{
    struct cx_lot *lot = &gone->fresh;
    e->at[at].chain = CX_GONE;
    e->at[at].next = CX_NONE;
    *(lot->last != CX_NONE ? &e->at[lot->last].next : &lot->first) = at;
    lot->last = at;
    gone->slots++;
    count_one(gone);
}

void
cx_gone_add_value(struct cx_gone *gone, struct cx_entries *e, void *value)
{
    uint32_t at = cx_entries_take_slot(e);
    e->at[at] = (struct cx_entry){.value = value};
    cx_gone_add(gone, e, at);
}

void
cx_gone_add_arrays(struct cx_gone *gone, struct cx_entries *view, bool is_full)
{
    view->is_full = is_full;
    view->retired = gone->fresh.views;
    gone->fresh.views = view;
    count_one(gone);
}

void
cx_gone_forget_slots(struct cx_gone *gone)
{
    gone->fresh.first = gone->fresh.last = CX_NONE;
    gone->sealed.first = gone->sealed.last = CX_NONE;
    gone->slots = 0;
}

static bool
is_empty(const struct cx_lot *lot)
{
    return lot->first == CX_NONE && lot->views == NULL;
}

void
cx_gone_seal(struct cx_gone *gone, uint32_t entries)
{
    uint32_t step = entries / 4 < CX_GONE_MOST ? entries / 4 : CX_GONE_MOST;
    uint32_t count = gone->count;
    if (is_empty(&gone->sealed) && !is_empty(&gone->fresh)) {
        gone->sealed = gone->fresh;
        gone->fresh = nothing;
        gone->stamp = cx_rcu_stamp();
        count = 0;
        cx_store_relaxed(&gone->count, count);
    }
    /* While a reader holds up the lot that waits, as many more come before the next attempt. */
    cx_store_relaxed(&gone->due, count + (step > 0 ? step : 1));
}

uint32_t
cx_gone_take(struct cx_gone *gone, struct cx_entries *e, bool is_over)
{
    struct cx_lot *lot = &gone->sealed;
    if (is_over && lot->first == CX_NONE) {
        lot = &gone->fresh;
    }
    uint32_t at = lot->first;
    if (at == CX_NONE || !(is_over || CX_BUG(CACHE_NO_GRACE) || cx_rcu_is_over(gone->stamp))) {
        return CX_NONE;
    }
    lot->first = e->at[at].next;
    if (lot->first == CX_NONE) {
        lot->last = CX_NONE;
    }
    gone->slots--;
    return at;
}

struct cx_entries *
cx_gone_take_arrays(struct cx_gone *gone, bool is_over)
{
    struct cx_lot *lot = &gone->sealed;
    if (is_over && lot->views == NULL) {
        lot = &gone->fresh;
    }
    struct cx_entries *view = lot->views;
    if (view == NULL || !(is_over || cx_rcu_is_over(gone->stamp))) {
        return NULL;
    }
    lot->views = view->retired;
    return view;
}

void
cx_gone_free_arrays(struct cx_entries *view)
{
    struct cx_entries arrays = *view;
    arrays.view = view;
    cx_entries_fini(&arrays);
}

#endif

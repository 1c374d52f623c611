// SPDX-License-Identifier: MIT
#include "core/pool.h"

#include <stdlib.h>

/* A worker with tasks of its own looks at those from outside every so often.  A prime, as in Go's
 * scheduler, so that it keeps no time with a pattern in the tasks. */
#define TURNS 61
#define SLOT_CAPACITY 32

void
cx_pool_init(struct cx_pool *p, uint32_t most, size_t limit, cx_less less)
{
    *p = (struct cx_pool){.most = most, .limit = limit, .less = less};
    cx_guard_init(&p->guard);
    cx_heap_init(&p->tasks, false);
    cx_waitlist_init(&p->idle);
    cx_waitlist_init(&p->submitters);
}

void
cx_pool_fini(struct cx_pool *p)
{
    cx_buffer_fini(&p->tasks.b);
    for (uint32_t i = 0; i < p->slot_count; i++) {
        cx_deque_fini(&p->slots[i].deque);
    }
    free(p->slots);
    p->slots = NULL;
    p->slot_count = 0;
}

bool
cx_pool_give_slots(struct cx_pool *p, uint32_t limit)
{
    p->slots = aligned_alloc(CX_CACHELINE, limit * sizeof *p->slots);
    p->slot_limit = limit;
    return p->slots != NULL;
}

struct cx_pool_slot *
cx_pool_take_slot(struct cx_pool *p)
{
    struct cx_pool_slot *found = NULL;
    if (p->slots == NULL) {
        return NULL;
    }
    cx_guard_take(&p->guard);
    uint32_t count = p->slot_count;
    for (uint32_t i = 0; i < count && found == NULL; i++) {
        found = p->slots[i].taken ? NULL : &p->slots[i];
    }
    if (found == NULL && count < p->slot_limit) {
        struct cx_pool_slot *fresh = &p->slots[count];
        *fresh = (struct cx_pool_slot){.taken = false};
        if (cx_deque_init(&fresh->deque, SLOT_CAPACITY)) {
            found = fresh;
            cx_store_release(&p->slot_count, count + 1); /* pairs with take_any */
        }
    }
    if (found != NULL) {
        found->taken = true;
    }
    cx_guard_release(&p->guard);
    return found;
}

void
cx_pool_leave_slot(struct cx_pool *p, struct cx_pool_slot *slot)
{
    if (slot != NULL) {
        cx_guard_take(&p->guard);
        slot->taken = false;
        cx_guard_release(&p->guard);
    }
}

/* How many tasks wait, wherever; under the guard. */
static size_t
count_tasks(const struct cx_pool *p)
{
    size_t count = p->tasks.b.count;
    for (uint32_t i = 0; i < p->slot_count; i++) {
        count += cx_deque_count(&p->slots[i].deque);
    }
    return count;
}

static bool
push_task(struct cx_pool *p, void *task)
{
    if (p->less == NULL) {
        return cx_buffer_push(&p->tasks.b, task, 1);
    }
    struct cx_heap_plan plan;
    cx_heap_plan_init(&plan);
    return cx_heap_push(&p->tasks, &plan, task, 1, p->less) == CX_OK;
}

/* There is one. */
static void *
pop_task(struct cx_pool *p)
{
    if (p->less == NULL) {
        return cx_buffer_pop_front(&p->tasks.b);
    }
    struct cx_heap_plan plan;
    void *task = NULL;
    int64_t weight;
    cx_heap_plan_init(&plan);
    (void)cx_heap_pop(&p->tasks, &plan, &task, &weight, p->less);
    return task;
}

/* Claims one waiter of the list; false if there is none. */
static bool
wake_one(struct cx_waitlist *list, struct cx_wakes *wakes)
{
    struct cx_node *node;
    while ((node = cx_waitlist_first(list)) != NULL) {
        if (cx_waiter_grant(node, CX_AGAIN, wakes)) {
            return true;
        }
    }
    return false;
}

/* After every change of what it is about, under the guard. */
static void
note_sleepers(struct cx_pool *p)
{
    if (p->slots != NULL) {
        cx_store_relaxed(&p->sleepers, p->searching == 0 && cx_waitlist_count(&p->idle) != 0);
    }
}

/* A sleeper is woken unless somebody is on the way already. */
static void
wake_worker(struct cx_pool *p, struct cx_wakes *wakes)
{
    if (p->searching == 0 && cx_waitlist_count(&p->idle) != 0 && wake_one(&p->idle, wakes)) {
        p->searching++;
    }
    note_sleepers(p);
}

/* Whether the tasks that wait need one more worker, which then counts. */
static bool
needs_worker(struct cx_pool *p)
{
    uint32_t workers = cx_load_relaxed(&p->workers);
    bool stuck = workers == p->blocked && workers >= p->most;
    if ((workers >= p->most && !stuck) || count_tasks(p) <= cx_load_relaxed(&p->available)) {
        return false;
    }
    cx_fetch_add_relaxed(&p->workers, 1);
    cx_fetch_add_relaxed(&p->available, 1);
    return true;
}

enum cx_status
cx_pool_submit(struct cx_pool *p, void *task, struct cx_node *node, struct cx_pool_call *call)
{
    enum cx_status status = CX_OK;
    cx_guard_take(&p->guard);
    if (cx_load_relaxed(&p->closed)) {
        status = CX_CLOSED;
    }
    else if (p->tasks.b.count >= p->limit) {
        status = CX_FULL;
        if (node != NULL) {
            cx_waitlist_push(&p->submitters, node);
            status = CX_WAIT;
        }
    }
    else if (!push_task(p, task)) {
        status = CX_NOMEM;
    }
    else {
        p->submitted++; /* LP */
        wake_worker(p, &call->wakes);
        call->start = needs_worker(p);
    }
    cx_guard_release(&p->guard);
    return status;
}

enum cx_status
cx_pool_submit_inside(struct cx_pool *p, struct cx_pool_slot *slot, void *task,
                      struct cx_pool_call *call)
{
    if (slot == NULL || cx_load_relaxed(&p->workers) < p->most || cx_load_relaxed(&p->closed)) {
        return cx_pool_submit(p, task, NULL, call);
    }
    if (!cx_deque_push(&slot->deque, task)) {
        return CX_NOMEM;
    }
    /* Pairs with those of fall_asleep, look and close: they see the task, or are seen here. */
    CX_UNLESS_BUG(POOL_NO_PUSH_FENCE, cx_fence_seq_cst());
    if (CX_UNLIKELY(cx_load_relaxed(&p->closed)) && cx_pool_take_back(slot, task)) {
        return CX_CLOSED;
    }
    cx_store_relaxed(&slot->submitted, slot->submitted + 1);
    if (cx_load_relaxed(&p->sleepers)) {
        cx_guard_take(&p->guard);
        wake_worker(p, &call->wakes);
        cx_guard_release(&p->guard);
    }
    return CX_OK;
}

bool
cx_pool_take_back(struct cx_pool_slot *slot, void *task)
{
    /* Nobody but the caller pushes: it is the newest still, or gone. */
    return slot != NULL && cx_deque_newest(&slot->deque) == task &&
           cx_deque_pop(&slot->deque) != NULL;
}

void
cx_pool_leave(struct cx_pool *p, struct cx_node *node)
{
    cx_guard_take(&p->guard);
    if (node->list != NULL) {
        cx_waitlist_remove(node->list, node);
        note_sleepers(p);
    }
    cx_guard_release(&p->guard);
}

void
cx_pool_pass_on(struct cx_pool *p, struct cx_wakes *wakes)
{
    cx_guard_take(&p->guard);
    if (cx_waitlist_count(&p->submitters) != 0 &&
        (cx_load_relaxed(&p->closed) || p->tasks.b.count < p->limit)) {
        (void)wake_one(&p->submitters, wakes);
    }
    cx_guard_release(&p->guard);
}

static void
forget_worker(struct cx_pool *p)
{
    cx_fetch_add_relaxed(&p->workers, (uint32_t)-1);
    cx_fetch_add_relaxed(&p->available, (uint32_t)-1);
}

/* The oldest of a deque, or NULL. */
static void *
steal_from(struct cx_pool_slot *victim)
{
    void *task = NULL;
    enum cx_status status;
    do {
        status = cx_deque_steal(&victim->deque, &task);
    } while (status == CX_AGAIN); /* another one got on */
    return status == CX_OK ? task : NULL;
}

/* A worker takes from a slot.  It is not available before it has the task: who submits another one
 * in between must not count on it. */
static void *
take_from(struct cx_pool *p, struct cx_pool_slot *victim)
{
    void *task = NULL;
    if (cx_deque_count(&victim->deque) > 0) {
        cx_fetch_add_relaxed(&p->available, (uint32_t)-1);
        if ((task = steal_from(victim)) == NULL) {
            cx_fetch_add_relaxed(&p->available, 1);
        }
    }
    return task;
}

/* From its own slot first, then from the others in a round that begins behind its own. */
static void *
take_any(struct cx_pool *p, struct cx_pool_slot *slot)
{
    uint32_t own = slot == NULL ? 0 : (uint32_t)(slot - p->slots);
    uint32_t count = cx_load_acquire(&p->slot_count); /* pairs with take_slot */
    void *task = NULL;
    for (uint32_t i = 0; i < count && task == NULL; i++) {
        struct cx_pool_slot *victim = &p->slots[(own + i) % count];
        task = take_from(p, victim);
        if (task != NULL && slot != NULL && victim != slot) {
            cx_store_relaxed(&slot->stolen, slot->stolen + 1);
        }
    }
    return task;
}

/* Takes the first of those from outside, under the guard. */
static void *
take_first(struct cx_pool *p, struct cx_wakes *wakes)
{
    void *task = pop_task(p); /* LP */
    cx_fetch_add_relaxed(&p->available, (uint32_t)-1);
    if (p->tasks.b.count > 0) {
        CX_UNLESS_BUG(POOL_NO_CHAIN, wake_worker(p, wakes));
    }
    if (cx_waitlist_count(&p->submitters) != 0) {
        (void)wake_one(&p->submitters, wakes);
    }
    return task;
}

/* Nothing is there, under the guard: enlisted, or to end.  CX_AGAIN: something came. */
static enum cx_status
fall_asleep(struct cx_pool *p, struct cx_node *node)
{
    if (p->slots == NULL) {
        if (cx_load_relaxed(&p->closed)) {
            forget_worker(p);
            return CX_CLOSED;
        }
        cx_waitlist_push(&p->idle, node);
        return CX_WAIT;
    }
    cx_waitlist_push(&p->idle, node);
    note_sleepers(p);
    CX_UNLESS_BUG(POOL_NO_SLEEP_FENCE, cx_fence_seq_cst()); /* pairs with submit_inside */
    enum cx_status status = CX_WAIT;
    if (count_tasks(p) > 0 && !CX_BUG(POOL_SLEEPS_BLINDLY)) {
        status = CX_AGAIN;
    }
    else if (cx_load_relaxed(&p->closed)) {
        forget_worker(p);
        status = CX_CLOSED;
    }
    if (status != CX_WAIT) {
        cx_waitlist_remove(&p->idle, node);
        note_sleepers(p);
    }
    return status;
}

/* One look around.  A worker that was on its way passes the search on if it leaves anything: what
 * was pushed meanwhile has woken nobody. */
static enum cx_status
look(struct cx_pool *p, struct cx_pool_slot *slot, struct cx_node *node, bool woken, void **task,
     struct cx_wakes *wakes)
{
    enum cx_status status = CX_OK;
    *task = NULL;
    cx_guard_take(&p->guard);
    CX_UNLESS_BUG(POOL_SEARCHES_ON, p->searching -= woken);
    note_sleepers(p);
    if (cx_load_relaxed(&p->workers) - p->blocked > p->most) {
        forget_worker(p); /* a spare one that is needed no more */
        wake_worker(p, wakes);
        status = CX_CLOSED;
    }
    else if (p->tasks.b.count > 0) {
        *task = take_first(p, wakes);
    }
    else if (p->slots == NULL) {
        status = fall_asleep(p, node);
    }
    cx_guard_release(&p->guard);
    if (p->slots == NULL || status != CX_OK) {
        return status;
    }
    if (woken) {
        cx_fence_seq_cst(); /* the store of note_sleepers; pairs with submit_inside */
    }
    if (*task == NULL) {
        *task = take_any(p, slot);
    }
    if (*task == NULL || woken) {
        cx_guard_take(&p->guard);
        if (*task == NULL) {
            status = fall_asleep(p, node);
        }
        else if (count_tasks(p) > 0) {
            CX_UNLESS_BUG(POOL_SEARCH_ENDS, wake_worker(p, wakes));
        }
        cx_guard_release(&p->guard);
    }
    return status;
}

enum cx_status
cx_pool_next(struct cx_pool *p, struct cx_pool_slot *slot, struct cx_node *node, bool woken,
             void **task, struct cx_wakes *wakes)
{
    enum cx_status status = CX_AGAIN;
    if (slot != NULL && !woken && ++slot->turns % TURNS != 0 &&
        (*task = take_from(p, slot)) != NULL) {
        return CX_OK;
    }
    while (status == CX_AGAIN) {
        status = look(p, slot, node, woken, task, wakes);
        woken = false;
    }
    return status;
}

bool
cx_pool_retire(struct cx_pool *p, struct cx_node *node)
{
    cx_guard_take(&p->guard);
    cx_waitlist_remove(&p->idle, node);
    note_sleepers(p);
    cx_fence_seq_cst(); /* pairs with submit_inside: it saw no sleeper, or its task is seen */
    bool ends = count_tasks(p) == 0 || CX_BUG(POOL_RETIRES_BLINDLY);
    if (ends) {
        forget_worker(p);
    }
    cx_guard_release(&p->guard);
    return ends;
}

bool
cx_pool_block(struct cx_pool *p)
{
    cx_guard_take(&p->guard);
    p->blocked++;
    bool start = needs_worker(p);
    cx_guard_release(&p->guard);
    return start;
}

void
cx_pool_unblock(struct cx_pool *p)
{
    cx_guard_take(&p->guard);
    p->blocked--;
    cx_guard_release(&p->guard);
}

void
cx_pool_lost(struct cx_pool *p)
{
    cx_guard_take(&p->guard);
    forget_worker(p);
    cx_guard_release(&p->guard);
}

bool
cx_pool_close(struct cx_pool *p, struct cx_wakes *wakes)
{
    bool more = false;
    cx_guard_take(&p->guard);
    cx_store_relaxed(&p->closed, 1);
    cx_fence_seq_cst(); /* pairs with submit_inside */
    while (!(more = cx_wakes_full(wakes)) && !CX_BUG(POOL_CLOSE_NO_WAKE) &&
           wake_one(&p->idle, wakes)) {
        p->searching++;
    }
    while (!more && !(more = cx_wakes_full(wakes)) && wake_one(&p->submitters, wakes)) {
    }
    note_sleepers(p);
    cx_guard_release(&p->guard);
    return more;
}

void *
cx_pool_drain(struct cx_pool *p, struct cx_wakes *wakes)
{
    void *task = NULL;
    cx_guard_take(&p->guard);
    if (p->tasks.b.count > 0) {
        task = pop_task(p);
        if (cx_waitlist_count(&p->submitters) != 0) {
            (void)wake_one(&p->submitters, wakes);
        }
    }
    for (uint32_t i = 0; i < p->slot_count && task == NULL; i++) {
        task = steal_from(&p->slots[i]);
    }
    cx_guard_release(&p->guard);
    return task;
}

void
cx_pool_look(struct cx_pool *p, struct cx_pool_stats *stats)
{
    cx_guard_take(&p->guard);
    *stats = (struct cx_pool_stats){count_tasks(p), p->submitted, 0, cx_load_relaxed(&p->workers)};
    for (uint32_t i = 0; i < p->slot_count; i++) {
        stats->submitted += cx_load_relaxed(&p->slots[i].submitted);
        stats->stolen += cx_load_relaxed(&p->slots[i].stolen);
    }
    cx_guard_release(&p->guard);
}

void *
cx_pool_at(const struct cx_pool *p, size_t i)
{
    if (i < p->tasks.b.count) {
        return cx_buffer_at(&p->tasks.b, i);
    }
    i -= p->tasks.b.count;
    for (uint32_t k = 0; k < p->slot_count; k++) {
        size_t count = cx_deque_count(&p->slots[k].deque);
        if (i < count) {
            return cx_deque_at(&p->slots[k].deque, i);
        }
        i -= count;
    }
    return NULL;
}

void
cx_pool_repair(struct cx_pool *p, const struct cx_pool_slot *own)
{
    cx_guard_take(&p->guard);
    cx_waitlist_init(&p->idle);
    cx_waitlist_init(&p->submitters);
    p->searching = p->blocked = 0;
    cx_store_relaxed(&p->workers, 0);
    cx_store_relaxed(&p->available, 0);
    for (uint32_t i = 0; i < p->slot_count; i++) {
        p->slots[i].taken = &p->slots[i] == own;
    }
    note_sleepers(p);
    cx_guard_release(&p->guard);
}

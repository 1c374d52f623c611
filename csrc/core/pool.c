// SPDX-License-Identifier: MIT
#include "core/pool.h"

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

/* A sleeper is woken unless somebody is on the way already. */
static void
wake_worker(struct cx_pool *p, struct cx_wakes *wakes)
{
    if (p->searching == 0 && cx_waitlist_count(&p->idle) != 0 && wake_one(&p->idle, wakes)) {
        p->searching++;
    }
}

/* Whether the tasks that wait need one more worker, which then counts. */
static bool
needs_worker(struct cx_pool *p)
{
    uint32_t at_work = p->workers - p->blocked;
    bool stuck = at_work == 0 && p->workers >= p->most;
    if (p->tasks.b.count <= cx_load_relaxed(&p->available) || (p->workers >= p->most && !stuck)) {
        return false;
    }
    p->workers++;
    cx_fetch_add_relaxed(&p->available, 1);
    return true;
}

enum cx_status
cx_pool_submit(struct cx_pool *p, void *task, struct cx_node *node, struct cx_pool_call *call)
{
    enum cx_status status = CX_OK;
    cx_guard_take(&p->guard);
    if (p->closed) {
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

void
cx_pool_leave(struct cx_pool *p, struct cx_node *node)
{
    cx_guard_take(&p->guard);
    if (node->list != NULL) {
        cx_waitlist_remove(node->list, node);
    }
    cx_guard_release(&p->guard);
}

void
cx_pool_pass_on(struct cx_pool *p, struct cx_wakes *wakes)
{
    cx_guard_take(&p->guard);
    if (cx_waitlist_count(&p->submitters) != 0 && (p->closed || p->tasks.b.count < p->limit)) {
        (void)wake_one(&p->submitters, wakes);
    }
    cx_guard_release(&p->guard);
}

static void
forget_worker(struct cx_pool *p)
{
    p->workers--;
    cx_fetch_add_relaxed(&p->available, (uint32_t)-1);
}

enum cx_status
cx_pool_next(struct cx_pool *p, struct cx_node *node, bool woken, void **task,
             struct cx_wakes *wakes)
{
    enum cx_status status = CX_OK;
    cx_guard_take(&p->guard);
    CX_UNLESS_BUG(POOL_SEARCHES_ON, p->searching -= woken);
    if (p->workers - p->blocked > p->most) {
        forget_worker(p); /* a spare one that is needed no more */
        wake_worker(p, wakes);
        status = CX_CLOSED;
    }
    else if (p->tasks.b.count > 0) {
        *task = pop_task(p); /* LP */
        cx_fetch_add_relaxed(&p->available, (uint32_t)-1);
        if (p->tasks.b.count > 0) {
            CX_UNLESS_BUG(POOL_NO_CHAIN, wake_worker(p, wakes));
        }
        if (cx_waitlist_count(&p->submitters) != 0) {
            (void)wake_one(&p->submitters, wakes);
        }
    }
    else if (p->closed) {
        forget_worker(p);
        status = CX_CLOSED;
    }
    else {
        cx_waitlist_push(&p->idle, node);
        status = CX_WAIT;
    }
    cx_guard_release(&p->guard);
    return status;
}

bool
cx_pool_retire(struct cx_pool *p, struct cx_node *node)
{
    cx_guard_take(&p->guard);
    cx_waitlist_remove(&p->idle, node);
    bool ends = p->tasks.b.count == 0 || CX_BUG(POOL_RETIRES_BLINDLY);
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
    p->closed = true;
    while (!(more = cx_wakes_full(wakes)) && !CX_BUG(POOL_CLOSE_NO_WAKE) &&
           wake_one(&p->idle, wakes)) {
        p->searching++;
    }
    while (!more && !(more = cx_wakes_full(wakes)) && wake_one(&p->submitters, wakes)) {
    }
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
    cx_guard_release(&p->guard);
    return task;
}

size_t
cx_pool_count(struct cx_pool *p)
{
    cx_guard_take(&p->guard);
    size_t count = p->tasks.b.count;
    cx_guard_release(&p->guard);
    return count;
}

void
cx_pool_repair(struct cx_pool *p)
{
    cx_guard_take(&p->guard);
    cx_waitlist_init(&p->idle);
    cx_waitlist_init(&p->submitters);
    p->workers = p->searching = p->blocked = 0;
    cx_store_relaxed(&p->available, 0);
    cx_guard_release(&p->guard);
}

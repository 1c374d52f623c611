// SPDX-License-Identifier: MIT
#include "core/queuestate.h"

#include "core/port.h"

void
cx_queue_init(struct cx_queue *q, enum cx_discipline discipline, bool weighted)
{
    *q = (struct cx_queue){.discipline = (uint8_t)discipline, .limit = INT64_MAX};
    q->max_weight = INT64_MAX;
    q->plain = discipline != CX_PRIORITY && !weighted;
    cx_guard_init(&q->guard);
    cx_heap_init(&q->store, weighted);
    cx_waitlist_init(&q->takers);
    cx_waitlist_init(&q->givers);
    cx_waitlist_init(&q->joiners);
}

void
cx_queue_fini(struct cx_queue *q)
{
    cx_buffer_fini(&q->store.b);
}

void *
cx_queue_pop_returned(struct cx_node **returned, struct cx_waiter **spent)
{
    struct cx_node *node = *returned;
    void *item = node->item;
    *returned = node->next;
    node->waiter->node.spent = *spent;
    *spent = node->waiter;
    return item;
}

void
cx_queue_recycle(struct cx_waiter **spent)
{
    while (*spent != NULL) {
        struct cx_waiter *waiter = *spent;
        *spent = waiter->node.spent;
        cx_waiter_recycle(waiter);
    }
}

enum cx_status
cx_queue_join(struct cx_queue *q, struct cx_node *node)
{
    enum cx_status status = CX_OK;
    cx_guard_take(&q->guard);
    if (q->moved) {
        status = CX_MOVED;
    }
    else if (q->unfinished != 0 && node == NULL) {
        status = CX_FULL;
    }
    else if (q->unfinished != 0) {
        cx_waitlist_push(&q->joiners, node);
        status = CX_WAIT;
    }
    cx_guard_release(&q->guard);
    return status;
}

bool
cx_queue_close(struct cx_queue *q, bool drained)
{
    cx_guard_take(&q->guard);
    bool native = !q->moved;
    if (native) {
        q->closed = true; /* LP */
        q->drained = q->drained || drained;
        q->plain = false;
    }
    cx_guard_release(&q->guard);
    return native;
}

void
cx_queue_move(struct cx_queue *q)
{
    cx_guard_take(&q->guard);
    q->moved = true; /* LP */
    q->plain = false;
    cx_guard_release(&q->guard);
}

bool
cx_queue_take_all(struct cx_queue *q, struct cx_buffer *store, struct cx_node **returned, bool done)
{
    cx_buffer_init(store, false);
    *returned = NULL;
    cx_guard_take(&q->guard);
    bool native = !q->moved || !done;
    if (native) {
        int64_t count = cx_queue_len(q);
        *store = q->store.b; /* LP */
        *returned = q->returned;
        cx_buffer_init(&q->store.b, store->weighted);
        q->store.version++;
        q->returned = NULL;
        q->returned_count = 0;
        q->weight = 0;
        if (done) {
            q->unfinished = q->unfinished > count ? q->unfinished - count : 0;
        }
    }
    cx_guard_release(&q->guard);
    return native;
}

void
cx_queue_set_limit(struct cx_queue *q, int64_t limit)
{
    cx_guard_take(&q->guard);
    cx_store_relaxed(&q->limit, limit);
    cx_guard_release(&q->guard);
}

void
cx_queue_set_unfinished(struct cx_queue *q, int64_t unfinished)
{
    cx_guard_take(&q->guard);
    q->unfinished = unfinished;
    cx_guard_release(&q->guard);
}

/* How many wait, without those that a fork left behind. */
static uint32_t
waiting(struct cx_waitlist *list)
{
    (void)cx_waitlist_first(list);
    return cx_waitlist_count(list);
}

void
cx_queue_look(struct cx_queue *q, struct cx_queue_view *view)
{
    cx_guard_take(&q->guard);
    *view = (struct cx_queue_view){
        .len = (size_t)cx_queue_len(q),
        .closed = q->closed,
        .moved = q->moved,
        .reserved = q->reserved,
        .unfinished = q->unfinished,
        .weight = q->store.b.weighted ? q->weight : 0,
        .takers = waiting(&q->takers),
        .givers = waiting(&q->givers),
        .joiners = waiting(&q->joiners),
        .stats = q->stats,
    };
    cx_guard_release(&q->guard);
}

void
cx_queue_enlist(struct cx_queue *q, struct cx_waitlist *list, struct cx_node *node)
{
    cx_guard_take(&q->guard);
    cx_waitlist_push(list, node);
    cx_guard_release(&q->guard);
}

size_t
cx_queue_wake(struct cx_queue *q, struct cx_waitlist *list, size_t n, struct cx_wakes *wakes)
{
    struct cx_node *node;
    cx_guard_take(&q->guard);
    while (n > 0 && !cx_wakes_full(wakes) && (node = cx_waitlist_first(list)) != NULL) {
        n -= cx_waiter_grant(node, CX_MOVED, wakes) ? 1 : 0;
    }
    bool more = cx_waitlist_first(list) != NULL;
    cx_guard_release(&q->guard);
    return more ? n : 0;
}

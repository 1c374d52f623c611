// SPDX-License-Identifier: MIT
#include "core/queue.h"

/* From here to cx_queue_put: under the guard. */

static bool
fits(const struct cx_queue *q, int64_t weight)
{
    return cx_queue_len(q) + q->reserved < q->limit &&
           (q->max_weight == INT64_MAX || weight <= q->max_weight - q->weight - q->reserved_weight);
}

/* Hands an item to the taker that has waited longest.  False: nobody waits. */
static bool
hand_over(struct cx_queue *q, void *item, int64_t weight, uint64_t stamp, struct cx_wakes *wakes)
{
    struct cx_node *taker;
    while ((taker = cx_waitlist_first(&q->takers)) != NULL) {
        taker->item = item;
        taker->weight = weight;
        taker->stamp = stamp;
        if (cx_waiter_grant(taker, CX_OK, wakes)) { /* LP of the put and of the get */
            return true;
        }
        if (CX_BUG(HAND_OVER_ONCE)) {
            return false;
        }
    }
    return false;
}

static void
count_put(struct cx_queue *q)
{
    q->stats.puts++;
    q->unfinished++;
    if ((uint64_t)cx_queue_len(q) > q->stats.high_water) {
        q->stats.high_water = (uint64_t)cx_queue_len(q);
    }
}

/* An item goes in: to a waiting taker, or to the store. */
static enum cx_status
insert(struct cx_queue *q, struct cx_queue_op *op)
{
    if (hand_over(q, op->item, op->weight, q->grants + 1, &op->wakes)) {
        q->grants++;
        q->stats.gets++;
        count_put(q);
        return CX_OK;
    }
    if (q->discipline == CX_PRIORITY) {
        enum cx_status status = cx_heap_push(&q->store, &op->plan, op->item, op->weight, q->less);
        if (status != CX_OK) {
            return status;
        }
    }
    else if (!cx_buffer_push(&q->store.b, op->item, op->weight)) { /* LP */
        return CX_NOMEM;
    }
    q->weight += op->weight;
    count_put(q);
    return CX_OK;
}

/* Moves the item of a giving thread into the store, or promises its giver a slot. */
static void
admit(struct cx_queue *q, struct cx_node *giver, struct cx_wakes *wakes)
{
    struct cx_buffer *b = &q->store.b;
    int64_t weight = giver->weight;
    bool slot = q->discipline == CX_PRIORITY || giver->waiter->kind == CX_TASK ||
                (b->count == b->capacity && !cx_buffer_grow(b));
    if (slot) {
        q->reserved++;
        q->reserved_weight += weight;
        if (!cx_waiter_grant(giver, CX_AGAIN, wakes)) {
            CX_UNLESS_BUG(LATE_SLOT_STAYS, q->reserved--);
            q->reserved_weight -= weight;
        }
        return;
    }
    /* Read before the commit: from then on the node is its owner's again. */
    struct cx_queue_op op = {.item = giver->item, .weight = weight};
    if (cx_waiter_grant(giver, CX_OK, wakes)) {
        (void)insert(q, &op); /* there is room, so it cannot fail */
        for (uint32_t i = 0; i < op.wakes.count; i++) {
            wakes->waiters[wakes->count++] = op.wakes.waiters[i];
        }
    }
}

static void
admit_givers(struct cx_queue *q, struct cx_wakes *wakes)
{
    struct cx_node *giver;
    while (!cx_wakes_full(wakes) && (giver = cx_waitlist_first(&q->givers)) != NULL &&
           fits(q, giver->weight)) {
        admit(q, giver, wakes);
    }
}

static void
grant_all(struct cx_waitlist *list, enum cx_status status, struct cx_wakes *wakes)
{
    struct cx_node *node;
    while (!cx_wakes_full(wakes) && (node = cx_waitlist_first(list)) != NULL) {
        if (!cx_waiter_grant(node, status, wakes)) {
            continue; /* decided already; it is unlinked all the same */
        }
    }
}

static void
settle(struct cx_queue *q, struct cx_wakes *wakes)
{
    if (q->moved || q->closed) {
        enum cx_status status = q->moved ? CX_MOVED : CX_CLOSED;
        grant_all(&q->takers, status, wakes);
        grant_all(&q->givers, status, wakes);
    }
    else {
        admit_givers(q, wakes);
    }
    if (q->moved || q->unfinished <= 0) {
        grant_all(&q->joiners, q->moved ? CX_MOVED : CX_OK, wakes);
    }
}

static void
count_done(struct cx_queue *q, int64_t n, struct cx_wakes *wakes)
{
    q->unfinished = q->unfinished > n ? q->unfinished - n : 0;
    if (q->unfinished == 0) {
        CX_UNLESS_BUG(DONE_NO_JOIN, grant_all(&q->joiners, CX_OK, wakes)); /* LP of the joins */
    }
}

/* Takes references to the pair in question before the guard is left. */
static enum cx_status
undecided(struct cx_queue *q, struct cx_queue_op *op, enum cx_status status)
{
    if (status == CX_UNDECIDED) {
        q->retain(op->plan.a);
        q->retain(op->plan.b);
    }
    return status;
}

/* There is no room: what the overflow mode says. */
static enum cx_status
overflow(struct cx_queue *q, struct cx_queue_op *op, struct cx_node *node)
{
    switch (q->overflow) {
    case CX_DROP_NEWEST:
        op->evicted = op->item;
        q->stats.dropped++;
        return CX_OK; /* LP */
    case CX_DROP_OLDEST:
        if (q->returned != NULL) {
            q->weight -= q->returned->weight;
            q->returned_count--;
            op->evicted = cx_queue_pop_returned(&q->returned, &op->spent);
        }
        else if (q->store.b.count > 0) {
            q->weight -= cx_buffer_weight(&q->store.b, 0);
            op->evicted = cx_buffer_pop_front(&q->store.b);
        }
        else {
            return CX_FULL;
        }
        q->stats.dropped++;
        count_done(q, 1, &op->wakes);
        return CX_AGAIN;
    case CX_RAISE:
        return CX_FULL;
    default:
        if (node == NULL) {
            return CX_FULL;
        }
        node->item = op->item;
        node->weight = op->weight;
        cx_waitlist_push(&q->givers, node);
        q->stats.blocked_puts++;
        return CX_WAIT;
    }
}

static enum cx_status
put(struct cx_queue *q, struct cx_queue_op *op, struct cx_node *node)
{
    if (q->moved) {
        return CX_MOVED;
    }
    if (q->closed) {
        return CX_CLOSED;
    }
    if (op->weight > q->max_weight) {
        return CX_TOO_BIG;
    }
    if (cx_waitlist_first(&q->givers) != NULL || !fits(q, op->weight)) {
        return overflow(q, op, node);
    }
    return insert(q, op);
}

enum cx_status
cx_queue_put(struct cx_queue *q, struct cx_queue_op *op, struct cx_node *node)
{
    cx_guard_take(&q->guard);
    enum cx_status status = undecided(q, op, put(q, op, node));
    cx_guard_release(&q->guard);
    return status;
}

/* A priority queue puts what was given back into its heap before it looks for the least. */
static enum cx_status
merge_returned(struct cx_queue *q, struct cx_queue_op *op)
{
    while (q->discipline == CX_PRIORITY && q->returned != NULL) {
        struct cx_node *node = q->returned;
        enum cx_status status =
            cx_heap_push(&q->store, &op->plan, node->item, node->weight, q->less);
        if (status != CX_OK) {
            return status;
        }
        q->returned_count--;
        (void)cx_queue_pop_returned(&q->returned, &op->spent);
    }
    return CX_OK;
}

static enum cx_status
take(struct cx_queue *q, struct cx_queue_op *op)
{
    struct cx_buffer *b = &q->store.b;
    if (q->returned != NULL) {
        op->weight = q->returned->weight;
        q->returned_count--;
        op->item = cx_queue_pop_returned(&q->returned, &op->spent); /* LP */
    }
    else if (q->discipline == CX_PRIORITY) {
        enum cx_status status = cx_heap_pop(&q->store, &op->plan, &op->item, &op->weight, q->less);
        if (status != CX_OK) {
            return status;
        }
    }
    else {
        bool oldest = q->discipline == CX_FIFO;
        op->weight = cx_buffer_weight(b, oldest ? 0 : b->count - 1);
        op->item = oldest ? cx_buffer_pop_front(b) : cx_buffer_pop_back(b); /* LP */
    }
    q->weight -= op->weight;
    q->stats.gets++;
    CX_UNLESS_BUG(TAKE_NO_ADMIT, admit_givers(q, &op->wakes));
    return CX_OK;
}

static enum cx_status
get(struct cx_queue *q, struct cx_queue_op *op, struct cx_node *node)
{
    if (q->moved) {
        return CX_MOVED;
    }
    enum cx_status status = merge_returned(q, op);
    if (status != CX_OK) {
        return status;
    }
    if (cx_queue_len(q) > 0) {
        return take(q, op);
    }
    if (q->closed) {
        return CX_CLOSED;
    }
    if (node == NULL) {
        return CX_EMPTY;
    }
    cx_waitlist_push(&q->takers, node);
    q->stats.blocked_gets++;
    return CX_WAIT;
}

enum cx_status
cx_queue_get(struct cx_queue *q, struct cx_queue_op *op, struct cx_node *node)
{
    cx_guard_take(&q->guard);
    enum cx_status status = undecided(q, op, get(q, op, node));
    cx_guard_release(&q->guard);
    return status;
}

size_t
cx_queue_put_batch(struct cx_queue *q, void *const *items, size_t n)
{
    struct cx_buffer *b = &q->store.b;
    size_t done = 0;
    cx_guard_take(&q->guard);
    if (q->plain && q->takers.head == NULL && q->givers.head == NULL) {
        while (done < n && fits(q, 1) && cx_buffer_push(b, items[done], 1)) { /* LP of each */
            count_put(q);
            done++;
        }
    }
    cx_guard_release(&q->guard);
    return done;
}

size_t
cx_queue_get_batch(struct cx_queue *q, void **items, size_t n)
{
    struct cx_buffer *b = &q->store.b;
    size_t done = 0;
    cx_guard_take(&q->guard);
    if (q->plain && q->returned == NULL) {
        while (done < n && b->count > 0) {
            items[done++] = q->discipline == CX_FIFO ? cx_buffer_pop_front(b)
                                                     : cx_buffer_pop_back(b); /* LP of each */
        }
        q->stats.gets += done;
    }
    cx_guard_release(&q->guard);
    return done;
}

static enum cx_status
peek(struct cx_queue *q, struct cx_queue_op *op)
{
    struct cx_buffer *b = &q->store.b;
    if (q->moved) {
        return CX_MOVED;
    }
    enum cx_status status = merge_returned(q, op);
    if (status != CX_OK) {
        return status;
    }
    if (cx_queue_len(q) == 0) {
        return q->closed ? CX_CLOSED : CX_EMPTY;
    }
    op->item = q->returned != NULL
                   ? q->returned->item
                   : cx_buffer_at(b, q->discipline == CX_LIFO ? b->count - 1 : 0); /* LP */
    q->retain(op->item);
    return CX_OK;
}

enum cx_status
cx_queue_peek(struct cx_queue *q, struct cx_queue_op *op)
{
    cx_guard_take(&q->guard);
    enum cx_status status = undecided(q, op, peek(q, op));
    cx_guard_release(&q->guard);
    return status;
}

enum cx_status
cx_queue_fill(struct cx_queue *q, struct cx_queue_op *op)
{
    cx_guard_take(&q->guard);
    enum cx_status status = q->moved    ? CX_MOVED
                            : q->closed ? CX_CLOSED
                                        : undecided(q, op, insert(q, op));
    if (status != CX_UNDECIDED) {
        q->reserved--;
        q->reserved_weight -= op->weight;
        /* Also after CX_OK: an item that was handed over frees its slot. */
        CX_UNLESS_BUG(FILL_NO_SETTLE, settle(q, &op->wakes));
    }
    cx_guard_release(&q->guard);
    return status;
}

void
cx_queue_release(struct cx_queue *q, int64_t weight, struct cx_wakes *wakes)
{
    cx_guard_take(&q->guard);
    q->reserved--;
    q->reserved_weight -= weight;
    CX_UNLESS_BUG(RELEASE_NO_SETTLE, settle(q, wakes));
    cx_guard_release(&q->guard);
}

/* Keeps a node among what was given back, by the age of its grant. */
static void
keep(struct cx_queue *q, struct cx_node *node)
{
    struct cx_node **place = &q->returned;
    while (*place != NULL && (*place)->stamp < node->stamp) {
        place = &(*place)->next;
    }
    if (node->waiter->kind == CX_TASK) {
        CX_UNLESS_BUG(BACK_UNCOUNTED, cx_fetch_add_relaxed(&node->waiter->refs, 1));
    }
    node->next = *place;
    *place = node;
    q->returned_count++;
    q->store.version++; /* a plan for another item ends here */
}

void *
cx_queue_give_back(struct cx_queue *q, struct cx_node *node, struct cx_wakes *wakes)
{
    void *dropped = NULL;
    bool kept = false;
    cx_guard_take(&q->guard);
    if (q->drained) {
        dropped = node->item;
        q->stats.dropped++;
        count_done(q, 1, wakes);
    }
    else if (CX_BUG(BACK_NO_HAND_OVER) ||
             !hand_over(q, node->item, node->weight, node->stamp, wakes)) {
        q->stats.gets--;
        q->weight += node->weight;
        if (q->moved || q->discipline != CX_LIFO ||
            !cx_buffer_push(&q->store.b, node->item, node->weight)) {
            keep(q, node); /* LP */
            kept = true;
        }
    }
    cx_guard_release(&q->guard);
    if (!kept && node->waiter->kind == CX_THREAD) {
        cx_waiter_return(node->waiter);
    }
    return dropped;
}

void
cx_queue_leave(struct cx_queue *q, struct cx_waitlist *list, struct cx_node *node,
               struct cx_wakes *wakes)
{
    cx_guard_take(&q->guard);
    cx_waitlist_remove(list, node);
    CX_UNLESS_BUG(LEAVE_NO_SETTLE, settle(q, wakes)); /* a lighter giver may have waited behind */
    cx_guard_release(&q->guard);
}

enum cx_status
cx_queue_done(struct cx_queue *q, struct cx_wakes *wakes)
{
    enum cx_status status = CX_OK;
    cx_guard_take(&q->guard);
    if (q->moved) {
        status = CX_MOVED;
    }
    else if (q->unfinished <= 0) {
        status = CX_EMPTY;
    }
    else {
        count_done(q, 1, wakes);
    }
    cx_guard_release(&q->guard);
    return status;
}

void
cx_queue_settle(struct cx_queue *q, struct cx_wakes *wakes)
{
    cx_guard_take(&q->guard);
    settle(q, wakes);
    cx_guard_release(&q->guard);
}

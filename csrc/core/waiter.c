// SPDX-License-Identifier: MIT
#include "core/waiter.h"

#include <pthread.h>
#include <stdlib.h>

#include "core/fork.h"

void
cx_waitlist_init(struct cx_waitlist *list)
{
    list->head = list->tail = NULL;
    list->count = 0;
    list->generation = cx_fork_generation();
}

/* The nodes of an earlier generation belong to threads and loops that this process does not have. */
static void
forget_the_lost(struct cx_waitlist *list)
{
    if (CX_UNLIKELY(list->generation != cx_fork_generation())) {
        list->head = list->tail = NULL;
        cx_store_relaxed(&list->count, 0);
        list->generation = cx_fork_generation();
    }
}

static void
unlink_node(struct cx_waitlist *list, struct cx_node *node)
{
    if (node->prev != NULL) {
        node->prev->next = node->next;
    }
    else {
        list->head = node->next;
    }
    if (node->next != NULL) {
        node->next->prev = node->prev;
    }
    else {
        list->tail = node->prev;
    }
    node->list = NULL;
    cx_store_relaxed(&list->count, cx_load_relaxed(&list->count) - 1);
}

void
cx_waitlist_push(struct cx_waitlist *list, struct cx_node *node)
{
    forget_the_lost(list);
    node->list = list;
    node->next = NULL;
    node->prev = list->tail;
    if (list->tail != NULL) {
        list->tail->next = node;
    }
    else {
        list->head = node;
    }
    list->tail = node;
    cx_store_relaxed(&list->count, cx_load_relaxed(&list->count) + 1);
}

void
cx_waitlist_remove(struct cx_waitlist *list, struct cx_node *node)
{
    forget_the_lost(list);
    if (node->list == list && node->waiter->generation == list->generation) {
        unlink_node(list, node);
    }
    node->list = NULL;
}

struct cx_node *
cx_waitlist_first(struct cx_waitlist *list)
{
    forget_the_lost(list);
    return list->head;
}

bool
cx_waiter_grant(struct cx_node *node, enum cx_status status, struct cx_wakes *wakes)
{
    struct cx_waiter *waiter = node->waiter;
    uint32_t expected = CX_WAITING;
    uint32_t granted = CX_GRANTED | node->index << CX_COMMIT_BITS;
    node->status = status;
    /* Unlinked before the commit: from the commit on the owner may reuse the node. */
    unlink_node(node->list, node);
    if (waiter->kind == CX_TASK) {
        CX_UNLESS_BUG(GRANT_UNCOUNTED, cx_fetch_add_relaxed(&waiter->refs, 1));
    }
    if (cx_cas_acq_rel(&waiter->commit, &expected, granted)) { /* [W1] LP, pairs with [W2] */
        wakes->waiters[wakes->count++] = waiter;
        return true;
    }
    if (waiter->kind == CX_TASK) {
        /* Never the last: the owner unlinks under this exclusion before it lets go. */
        cx_fetch_add_relaxed(&waiter->refs, (uint32_t)-1);
    }
    return false;
}

void
cx_waiter_arm(struct cx_waiter *waiter)
{
    waiter->generation = cx_fork_generation();
    waiter->node.list = NULL;
    waiter->node.waiter = waiter;
    waiter->node.index = 0;
    waiter->node.status = CX_OK;
    waiter->node.item = NULL;
    waiter->node.weight = 0;
    cx_store_relaxed(&waiter->commit, CX_WAITING);
}

bool
cx_waiter_decide(struct cx_waiter *waiter, enum cx_commit verdict)
{
    uint32_t expected = CX_WAITING;
    if (CX_BUG(DECIDE_BLINDLY)) {
        cx_store_release(&waiter->commit, (uint32_t)verdict);
        return true;
    }
    return cx_cas_acq_rel(&waiter->commit, &expected, (uint32_t)verdict); /* LP [W2] */
}

bool
cx_waiter_settle(struct cx_waiter *waiter, enum cx_commit verdict)
{
    uint32_t word = cx_load_acquire(&waiter->commit); /* [W2] */
    if (CX_BUG(SETTLE_BLINDLY)) {
        cx_store_release(&waiter->commit, (uint32_t)verdict);
        return CX_COMMIT_STATE(word) == CX_GRANTED;
    }
    return CX_COMMIT_STATE(word) == CX_GRANTED &&
           cx_cas_acq_rel(&waiter->commit, &word,
                          (word & ~((1u << CX_COMMIT_BITS) - 1)) | (uint32_t)verdict); /* LP */
}

#ifndef CX_MC

/* Thread waiters that no thread holds.  A thread keeps its last one at hand. */
static struct cx_waiter *pool;
static pthread_mutex_t pool_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_key_t exit_key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static CX_THREAD_LOCAL struct cx_waiter *at_hand;

static void
pool_push(void *value)
{
    struct cx_waiter *waiter = value;
    pthread_mutex_lock(&pool_mutex);
    waiter->next = pool;
    pool = waiter;
    pthread_mutex_unlock(&pool_mutex);
}

static struct cx_waiter *
pool_pop(void)
{
    pthread_mutex_lock(&pool_mutex);
    struct cx_waiter *waiter = pool;
    if (waiter != NULL) {
        pool = waiter->next;
    }
    pthread_mutex_unlock(&pool_mutex);
    return waiter;
}

static void
thread_ends(void *value)
{
    at_hand = NULL;
    pool_push(value);
}

static void
in_child(void)
{
    pthread_mutex_init(&pool_mutex, NULL);
    pool = NULL; /* a lost thread may have been inside */
}

static void
install_once(void)
{
    pthread_key_create(&exit_key, thread_ends);
    cx_fork_install(in_child);
}

void
cx_waiter_install(void)
{
    pthread_once(&once, install_once);
}

struct cx_waiter *
cx_waiter_borrow(void)
{
    struct cx_waiter *waiter = at_hand;
    if (CX_LIKELY(waiter != NULL)) {
        at_hand = NULL;
        pthread_setspecific(exit_key, NULL);
    }
    else if ((waiter = pool_pop()) == NULL && (waiter = calloc(1, sizeof *waiter)) != NULL) {
        waiter->kind = CX_THREAD;
    }
    if (waiter != NULL) {
        cx_waiter_arm(waiter);
    }
    return waiter;
}

void
cx_waiter_return(struct cx_waiter *waiter)
{
    if (at_hand == NULL && pthread_setspecific(exit_key, waiter) == 0) {
        at_hand = waiter;
    }
    else {
        pool_push(waiter);
    }
}

#endif

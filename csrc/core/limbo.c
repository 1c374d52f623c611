// SPDX-License-Identifier: MIT
#include "core/limbo.h"

#include <stdlib.h>

struct cx_batch *
cx_batch_new(void)
{
    return calloc(1, sizeof(struct cx_batch));
}

void
cx_limbo_seal(struct cx_limbo *limbo)
{
    struct cx_batch *batch = limbo->open;
    if (batch == NULL || cx_load_relaxed(&batch->count) == 0) {
        return;
    }
    batch->stamp = cx_rcu_stamp();
    if (limbo->last != NULL) {
        limbo->last->next = batch;
    }
    else {
        limbo->first = batch;
    }
    limbo->last = batch;
    limbo->open = NULL;
}

void
cx_limbo_open(struct cx_limbo *limbo, struct cx_batch *room)
{
    cx_limbo_seal(limbo);
    limbo->open = room;
}

struct cx_batch *
cx_limbo_take(struct cx_limbo *limbo)
{
    struct cx_batch *ripe = NULL, **end = &ripe;
    while (limbo->first != NULL && cx_rcu_is_over(limbo->first->stamp)) {
        *end = limbo->first;
        end = &limbo->first->next;
        limbo->waiting -= cx_load_relaxed(&limbo->first->count);
        limbo->first = limbo->first->next;
    }
    if (limbo->first == NULL) {
        limbo->last = NULL;
    }
    *end = NULL;
    return ripe;
}

struct cx_batch *
cx_limbo_take_all(struct cx_limbo *limbo)
{
    struct cx_batch *all = limbo->first;
    if (limbo->last != NULL) {
        limbo->last->next = limbo->open;
    }
    else {
        all = limbo->open;
    }
    *limbo = (struct cx_limbo){.open = NULL};
    return all;
}

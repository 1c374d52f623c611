// SPDX-License-Identifier: MIT
#include "core/shmcond.h"

#include <limits.h>

enum { FREE, WAITS, NOTIFIED };

/* Another process may have written any number. */
static uint32_t
high_of(const struct cx_shmcond *cond)
{
    uint32_t high = cx_load_relaxed(&cond->high);
    return high > CX_SHMCOND_CELLS ? CX_SHMCOND_CELLS : high;
}

static int
find_free(struct cx_shmcond *cond)
{
    uint32_t high = high_of(cond);
    for (uint32_t i = 0; i < high; i++) {
        if (cx_load_relaxed(&cond->cells[i].word) == FREE) {
            return (int)i;
        }
    }
    if (high < CX_SHMCOND_CELLS) {
        cx_store_relaxed(&cond->high, high + 1);
        CX_KILL_POINT();
        return (int)high;
    }
    for (uint32_t i = 0; i < high; i++) {
        if (!cx_owner_alive(cx_load_relaxed(&cond->cells[i].owner))) {
            return (int)i;
        }
    }
    return -1;
}

int
cx_shmcond_enter(struct cx_shmcond *cond, uint32_t *seen)
{
    int at = find_free(cond);
    if (at < 0) {
        cx_store_relaxed(&cond->crowded, 1);
        CX_KILL_POINT();
        *seen = cx_load_acquire(&cond->crowd);
        return -1;
    }
    struct cx_shmcond_cell *cell = &cond->cells[at];
    uint32_t ticket = cx_load_relaxed(&cond->tickets);
    *seen = WAITS;
    cx_store_relaxed(&cond->tickets, ticket + 1);
    CX_KILL_POINT();
    cx_store_relaxed(&cell->ticket, ticket);
    CX_KILL_POINT();
    cx_store_relaxed(&cell->owner, cx_owner_self());
    CX_KILL_POINT();
    cx_store_release(&cell->word, WAITS); /* LP; [C1] pairs with [C2] */
    CX_KILL_POINT();
    return at;
}

const uint32_t *
cx_shmcond_word(const struct cx_shmcond *cond, int cell, uint32_t *seen)
{
    if (cell < 0) {
        return &cond->crowd;
    }
    *seen = WAITS;
    return &cond->cells[cell].word;
}

bool
cx_shmcond_leave(struct cx_shmcond *cond, int cell, uint32_t seen)
{
    if (cell < 0) {
        return cx_load_acquire(&cond->crowd) != seen;
    }
    CX_KILL_POINT();
    uint32_t was =
        cx_xchg_acq_rel(&cond->cells[cell].word, FREE); /* LP; [C2] pairs with [C1], [C3] */
    CX_KILL_POINT();
    return was == NOTIFIED;
}

/* The one that waits longest, or NULL. */
static struct cx_shmcond_cell *
first_in_line(struct cx_shmcond *cond)
{
    struct cx_shmcond_cell *first = NULL;
    uint32_t high = high_of(cond), now = cx_load_relaxed(&cond->tickets), longest = 0;
    for (uint32_t i = 0; i < high; i++) {
        struct cx_shmcond_cell *cell = &cond->cells[i];
        uint32_t since = now - cx_load_relaxed(&cell->ticket);
        if (cx_load_acquire(&cell->word) == WAITS && (first == NULL || since > longest)) {
            first = cell;
            longest = since;
        }
    }
    return first;
}

void
cx_shmcond_notify(struct cx_shmcond *cond, uint32_t n)
{
    struct cx_shmcond_cell *cell;
    while (n > 0 && (cell = first_in_line(cond)) != NULL) {
        bool alive = cx_owner_alive(cx_load_relaxed(&cell->owner));
        uint32_t expected = WAITS;
        CX_KILL_POINT();
        /* [C3] pairs with [C2]; fails if the lock's owner died and the waiter left without it. */
        bool told = cx_cas_release(&cell->word, &expected, alive ? NOTIFIED : FREE); /* LP */
        CX_KILL_POINT();
        if (told && alive) {
            CX_UNLESS_BUG(SHM_COND_NO_WAKE, (void)cx_unpark_shared(&cell->word, 1));
            n--;
        }
    }
    if (n > 0 && cx_load_relaxed(&cond->crowded) != 0) {
        (void)cx_fetch_add_acq_rel(&cond->crowd, 1);
        CX_KILL_POINT();
        (void)cx_unpark_shared(&cond->crowd, INT_MAX);
    }
}

uint32_t
cx_shmcond_waiting(const struct cx_shmcond *cond)
{
    uint32_t high = high_of(cond), n = 0;
    for (uint32_t i = 0; i < high; i++) {
        n += cx_load_relaxed(&cond->cells[i].word) == WAITS;
    }
    return n;
}

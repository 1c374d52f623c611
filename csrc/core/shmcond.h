// SPDX-License-Identifier: MIT
/* core/shmcond.h - who waits for a condition, in shared memory: one cell for each.
 *
 * Everybody but a sleeper holds the lock of the condition while here, so the functions need no order
 * among themselves; a process may die anywhere, so each becomes true by one store, the last.  A
 * notification goes to the waiter that came first and whose process still runs.  If the cells are
 * used up, more waiters sleep on a word of their own, and every notification wakes all of those: for
 * them it may be without a cause, as their twins in other libraries may be woken at any time.
 *
 * Progress:  wait-free but for the question whether owners run (system calls).
 */
#ifndef CX_CORE_SHMCOND_H
#define CX_CORE_SHMCOND_H

#include "core/shmlock.h"

#define CX_SHMCOND_CELLS 126

struct cx_shmcond_cell {
    uint32_t word; /* a sleeper parks on it: free, waits, or is notified */
    uint32_t owner;
    uint32_t ticket; /* its place in the line */
    uint32_t unused;
};

struct cx_shmcond {
    uint32_t tickets; /* handed out */
    uint32_t high;    /* no cell from here on was ever used */
    uint32_t crowd;   /* changed by every notification; those without a cell park on it */
    uint32_t crowded; /* whether there ever was one */
    uint32_t unused[4];
    struct cx_shmcond_cell cells[CX_SHMCOND_CELLS];
};

/* Puts the caller in line: a cell's index, or -1 with *seen of the crowd's word. */
int cx_shmcond_enter(struct cx_shmcond *cond, uint32_t *seen);
/* The word to park on, and while it is *seen; without the lock. */
const uint32_t *cx_shmcond_word(const struct cx_shmcond *cond, int cell, uint32_t *seen);
/* Leaves the line: whether it was notified. */
bool cx_shmcond_leave(struct cx_shmcond *cond, int cell, uint32_t seen);
/* Notifies at most n. */
void cx_shmcond_notify(struct cx_shmcond *cond, uint32_t n);
/* How many cells wait; a snapshot. */
uint32_t cx_shmcond_waiting(const struct cx_shmcond *cond);

#endif

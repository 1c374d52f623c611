// SPDX-License-Identifier: MIT
/* core/status.h - what an operation of the core can answer.
 *
 * Core functions return one of these or a bool; they never set errno and never abort.  The binding
 * turns them into exceptions in one place (binding/errors.c).
 */
#ifndef CX_CORE_STATUS_H
#define CX_CORE_STATUS_H

enum cx_status {
    CX_OK = 0,
    CX_EMPTY,     /* nothing to take now */
    CX_FULL,      /* no room now */
    CX_CLOSED,    /* shut down, and (for takers) empty */
    CX_WAIT,      /* the waiter is enlisted: sleep, then look at its node */
    CX_AGAIN,     /* look again: the state changed under the caller */
    CX_UNDECIDED, /* a comparison must be made outside the core, then call again */
    CX_TIMEOUT,   /* the deadline passed first */
    CX_INTR,      /* a signal arrived first */
    CX_NOMEM,     /* no memory; nothing was changed */
    CX_TOO_BIG,   /* the item can never fit */
    CX_MOVED,     /* the structure was switched to its compatibility mode */
    CX_BUSY,      /* another thread is inside where only one may be */
    CX_DIED,      /* the process that held it has died */
    CX_DAMAGED,   /* shared memory holds what nobody of good will wrote */
    CX_OSERROR    /* the system refused; an errno lies beside */
};

#endif

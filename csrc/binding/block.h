// SPDX-License-Identifier: MIT
/* binding/block.h - the one function that blocks, and the one that delivers wakes.
 *
 * cxb_wait leaves the interpreter, sleeps on the waiter's commit word, and comes back granted,
 * timed out, or with the exception of a signal handler.  In the main thread it looks for signals
 * at least every 100 ms, for the one that falls between the last look and the sleep.
 */
#ifndef CX_BINDING_BLOCK_H
#define CX_BINDING_BLOCK_H

#include "binding/module.h"
#include "core/port.h"

enum cxb_wait {
    CXB_GRANTED,    /* look at the node */
    CXB_TIMED_OUT,  /* decided; leave the list */
    CXB_ERROR,      /* decided, an exception is set; leave the list */
    CXB_ERROR_LATE, /* an exception is set, but it was granted: give the grant back */
    CXB_FORKED      /* decided: a signal handler forked, and this is the child; start over */
};

/* `waiter` is a thread's and enlisted; `deadline` as in core/clock.h. */
enum cxb_wait cxb_wait(struct cx_waiter *waiter, int64_t deadline);

/* Delivers claimed wakes; runs Python code (the loop's call_soon_threadsafe), so no lock is held.
 * Keeps the exception in flight. */
void cxb_deliver_slow(struct cxb_state *state, struct cx_wakes *wakes);

static inline void
cxb_deliver(struct cxb_state *state, struct cx_wakes *wakes)
{
    if (CX_UNLIKELY(wakes->count > 0)) {
        cxb_deliver_slow(state, wakes);
    }
}

/* Whether an event loop runs in this thread: blocking here freezes it.  Never fails. */
bool cxb_loop_runs_here(struct cxb_state *state);

#endif

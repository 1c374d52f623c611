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
#include "binding/timeout.h"
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

/* A wake that is put off until its giver has left the interpreter, so that whoever is woken finds it
 * free; delivered before the giver runs any Python code. */
struct cxb_later {
    struct cx_waiter *thread;
    struct cx_port *port; /* to be told through its event descriptor; one count */
};
#define CXB_LATER_INIT {NULL, NULL}

/* True if the only wake of `wakes` is in `later` now, which was empty. */
bool cxb_put_off(struct cx_wakes *wakes, struct cxb_later *later);
/* With the interpreter or without. */
void cxb_deliver_late(struct cxb_later *later);

/* cxb_wait; delivers between leaving the interpreter and sleeping. */
enum cxb_wait cxb_wait_after(struct cxb_later *later, struct cx_waiter *waiter, int64_t deadline);

/* What an object's blocked threads amounted to; relaxed. */
struct cxb_waits {
    uint64_t ns;      /* spent blocked */
    uint64_t on_loop; /* blocked in the thread of a running event loop */
};

/* Sleeps while *word is `expected`, a word that processes share: CXB_GRANTED look again, which is at
 * least every CX_SHM_LOOK; CXB_TIMED_OUT; CXB_ERROR with a signal handler's exception. */
enum cxb_wait cxb_wait_shared(const uint32_t *word, uint32_t expected, int64_t deadline);

/* cxb_wait, with an account of it. */
enum cxb_wait cxb_wait_counted(struct cxb_state *state, struct cx_waiter *waiter, int64_t deadline,
                               struct cxb_waits *waits);

/* A thread's waiter to enlist, with the deadline of its wait set; NULL with an exception. */
struct cx_waiter *cxb_waiter_borrow(struct cxb_limit *limit);

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

#endif

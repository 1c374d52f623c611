// SPDX-License-Identifier: MIT
/* binding/loopport.h - one event loop's port: how threads wake its tasks.
 *
 * LoopPort is the Python face of a cx_port.  Suspended awaits of a loop share one face; the table
 * in the module state knows it weakly.  The core port knows its loop weakly too, so that a loop
 * nobody runs any more can be collected with all that waits in it.
 *
 * Telling a loop is call_soon_threadsafe(token).  The token drains the port when it is called; if
 * it dies uncalled (a closed loop clears its handles silently, or refuses them), everything that
 * the port holds is given back, to be granted to somebody else.  A loop may also be told outside the
 * interpreter, through an event descriptor that it watches; the callback is a LoopReader, which
 * drains whenever it is called, and gives everything back when the loop lets go of it.
 */
#ifndef CX_BINDING_LOOPPORT_H
#define CX_BINDING_LOOPPORT_H

#include "binding/module.h"
#include "core/port.h"

/* What a task's waiter knows about the object it waits for. */
struct cxb_wait_ops {
    /* The grant in `node` was RETURNED: hand it back to the owner.  Never fails. */
    void (*give_back)(PyObject *owner, struct cx_node *node);
    /* Instead of resolving the loop's future with None; runs in the loop, takes `future`. */
    void (*bring)(PyObject *owner, PyObject *future);
};

typedef struct {
    PyObject_HEAD
    struct cx_port *port;
    struct cxb_state *state;
    PyObject *key; /* in the table */
    PyObject *weakrefs;
    bool unwatchable; /* the loop would not watch a descriptor */
    void *mpwatch;    /* borrowed: what it watches of other processes (binding/mpwatch.h) */
} LoopPortObject;

/* A new reference to the loop that runs in this thread or None; NULL with an error.  Does not
 * import asyncio if nobody has. */
PyObject *cxb_running_loop(struct cxb_state *state);

/* The face of a loop's port, made on first use. */
LoopPortObject *cxb_port_of_loop(struct cxb_state *state, PyObject *loop);

/* Makes the loop watch an event descriptor: 0 or -1.  `native`: for threads that have no interpreter. */
int cxb_port_watch(LoopPortObject *face, PyObject *loop, bool native);

/* Resolves a future of the loop that runs in this thread unless it is done; takes the reference,
 * NULL is nothing to do. */
void cxb_future_resolve(const struct cxb_names *names, PyObject *future);

/* Delivers wakes for tasks of the loop whose task runs in this very thread, without the port. */
void cxb_port_shortcut(struct cxb_state *state, struct cx_wakes *wakes);

/* The tp_traverse of whatever has a wait list: a task that waits there is held by it, through the
 * loop future that the list's waiter owns, as asyncio.Queue holds its getters.  Takes no lock. */
int cxb_visit_waiters(const struct cx_waitlist *list, visitproc visit, void *arg);

/* In the loop's thread, by a callback of the loop: resolves what the port holds. */
void cxb_port_drain(struct cxb_state *state, struct cx_port *port);

/* Tells the loop to come and drain; if it cannot be told, gives everything back. */
void cxb_port_tell(struct cxb_state *state, struct cx_port *port);

#endif

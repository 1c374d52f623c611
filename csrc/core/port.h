// SPDX-License-Identifier: MIT
/* core/port.h - where wakes for an event loop's tasks gather until the loop fetches them.
 *
 * Any thread pushes granted task waiters; only the push that finds the port disarmed has to tell
 * the loop (the edge).  However many wakes arrive before the loop runs, it is told once.
 *
 * Progress:  push lock-free; take blocks for the port's lock, which only takers hold.
 * Ordering:  [P1] a push is released into the list, [P2] then the armed flag is exchanged; [P3] the
 *            taker exchanges the flag, [P4] then fetches the list.  A pusher that finds the flag up
 *            is therefore seen by the take that will put it down.
 * Ownership: the list carries one count of each waiter, which take hands to the caller.  The port
 *            itself is counted; each of its waiters holds one.  `loop` is dropped with the port,
 *            through cx_port_drop; a thread without the interpreter leaves the port at its home, to the
 *            next one of that interpreter, for no other may drop the loop.
 * Native:    a thread outside the interpreter cannot call the loop; if `event_fd` is not negative it
 *            writes there, and the loop watches it.  It lasts as long as the port.
 */
#ifndef CX_CORE_PORT_H
#define CX_CORE_PORT_H

#include "core/lock.h"
#include "core/waiter.h"

struct cx_port {
    struct cx_waiter *pending; /* last pushed first */
    uint32_t armed;            /* the loop has been told and has not come yet */
    uint32_t refs;
    uint32_t generation;
    int event_fd;              /* -1: none */
    uint32_t watched;          /* atomic: the loop watches event_fd */
    uint32_t native;           /* atomic: threads that have no interpreter may push */
    struct cx_lock lock;       /* guards backlog */
    struct cx_waiter *backlog; /* fetched, oldest first, not yet taken */
    struct cx_waiter *backlog_last;
    uint32_t abandons;    /* requests to give everything back; see binding/loopport.c */
    void *loop;           /* the binding's reference to the event loop */
    void *token;          /* the binding's last arming; compared, never followed */
    struct cx_port *next; /* among those that were left at home */
    struct cx_port_home *home;
};

/* Of one interpreter: ports whose last count a thread without it let go. */
struct cx_port_home {
    struct cx_port *left;
    uint32_t refs;
};

/* How the binding drops `loop`; set before the first port is made. */
extern void (*cx_port_drop)(void *loop);

struct cx_port_home *cx_port_home_new(void);
/* The interpreter ends: drops what was left; a port that is left from now on goes without its loop. */
void cx_port_home_close(struct cx_port_home *home);

/* Without a home there must be no loop. */
struct cx_port *cx_port_new(void *loop, struct cx_port_home *home);
struct cx_port *cx_port_ref(struct cx_port *port);
void cx_port_unref(struct cx_port *port);

/* A task's waiter with one count. */
struct cx_waiter *cx_waiter_new(struct cx_port *port);
void cx_waiter_unref(struct cx_waiter *waiter);
/* The waiter of a node that was given back and taken again: returned or uncounted by its kind. */
void cx_waiter_recycle(struct cx_waiter *waiter);

/* Adds a granted task waiter.  True: the port was disarmed and the caller must tell the loop. */
CX_NODISCARD bool cx_port_push(struct cx_port *port, struct cx_waiter *waiter);

/* Disarms the port and takes at most `max` waiters, oldest first, linked by `next`.  Sets `more` if
 * some are left: the caller must see to another take. */
struct cx_waiter *cx_port_take(struct cx_port *port, size_t max, bool *more);

/* Delivers what was claimed and empties `wakes`: threads are unparked, tasks go to their ports.
 * Called outside every lock.  Ports that must be told are stored in `edges` (room for CX_WAKES),
 * each with a count that is the caller's; their number is returned. */
size_t cx_wakes_deliver(struct cx_wakes *wakes, struct cx_port **edges);

/* Writes to the event descriptor if there is one, and lets one count of the port go. */
void cx_port_tell(struct cx_port *port);

/* As cx_wakes_deliver, for a thread without an interpreter: loops are told by cx_port_tell. */
void cx_wakes_deliver_native(struct cx_wakes *wakes);

#endif

// SPDX-License-Identifier: MIT
#include "core/port.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/fork.h"
#include "core/park.h"

void (*cx_port_drop)(void *loop);

#define CLOSED ((struct cx_port *)(void *)1) /* in the place of those that were left */

/* --- homes ------------------------------------------------------------------------------------ */

struct cx_port_home *
cx_port_home_new(void)
{
    struct cx_port_home *home = calloc(1, sizeof *home);
    if (home != NULL) {
        home->refs = 1;
    }
    return home;
}

static void
unref_home(struct cx_port_home *home)
{
    if (home != NULL && cx_fetch_add_acq_rel(&home->refs, (uint32_t)-1) == 1) {
        free(home);
    }
}

static void
free_port(struct cx_port *port)
{
    if (port->event_fd >= 0) {
        close(port->event_fd);
    }
    unref_home(port->home);
    free(port);
}

static void
drop_port(struct cx_port *port)
{
    if (cx_port_drop != NULL) {
        cx_port_drop(port->loop);
    }
    free_port(port);
}

/* Drops those that were left; `then` is what is in their place. */
static void
collect(struct cx_port_home *home, struct cx_port *then)
{
    struct cx_port *chain = cx_load_relaxed(&home->left);
    do {
        if (chain == CLOSED || chain == then) {
            return;
        }
    } while (!cx_cas_acq_rel(&home->left, &chain, then));
    while (chain != NULL) {
        struct cx_port *next = chain->next;
        drop_port(chain);
        chain = next;
    }
}

void
cx_port_home_close(struct cx_port_home *home)
{
    collect(home, CLOSED);
    unref_home(home);
}

/* --- counts ----------------------------------------------------------------------------------- */

struct cx_port *
cx_port_new(void *loop, struct cx_port_home *home)
{
    struct cx_port *port = calloc(1, sizeof *port);
    if (port != NULL) {
        port->refs = 1;
        port->generation = cx_fork_generation();
        port->event_fd = -1;
        port->loop = loop;
        port->home = home;
        if (home != NULL) {
            cx_fetch_add_relaxed(&home->refs, 1);
        }
    }
    return port;
}

struct cx_port *
cx_port_ref(struct cx_port *port)
{
    cx_fetch_add_relaxed(&port->refs, 1);
    return port;
}

void
cx_port_unref(struct cx_port *port)
{
    struct cx_port_home *home = port->home;
    bool last = cx_fetch_add_acq_rel(&port->refs, (uint32_t)-1) == 1;
    if (!last) {
        return;
    }
    /* While the port keeps its home. */
    if (home != NULL && CX_UNLIKELY(cx_load_relaxed(&home->left) != NULL)) {
        collect(home, NULL);
    }
    drop_port(port);
}

static void
unref_native(struct cx_port *port)
{
    if (cx_fetch_add_acq_rel(&port->refs, (uint32_t)-1) != 1) {
        return;
    }
    struct cx_port *head = port->home == NULL ? CLOSED : cx_load_relaxed(&port->home->left);
    do {
        if (head == CLOSED) {
            free_port(port);
            return;
        }
        port->next = head;
    } while (!cx_cas_release(&port->home->left, &head, port));
}

/* --- waiters ---------------------------------------------------------------------------------- */

struct cx_waiter *
cx_waiter_new(struct cx_port *port)
{
    struct cx_waiter *waiter = calloc(1, sizeof *waiter);
    if (waiter != NULL) {
        waiter->kind = CX_TASK;
        waiter->refs = 1;
        waiter->port = cx_port_ref(port);
        cx_waiter_arm(waiter);
    }
    return waiter;
}

void
cx_waiter_unref(struct cx_waiter *waiter)
{
    if (cx_fetch_add_acq_rel(&waiter->refs, (uint32_t)-1) == 1) {
        struct cx_port *port = waiter->port;
        free(waiter);
        cx_port_unref(port);
    }
}

void
cx_waiter_recycle(struct cx_waiter *waiter)
{
    if (waiter->kind == CX_TASK) {
        cx_waiter_unref(waiter);
    }
    else {
        cx_waiter_return(waiter);
    }
}

bool
cx_port_push(struct cx_port *port, struct cx_waiter *waiter)
{
    struct cx_waiter *head = cx_load_relaxed(&port->pending);
    uint32_t armed = CX_BUG(PORT_ARMS_FIRST) ? cx_xchg_acq_rel(&port->armed, 1) : 0;
    do {
        waiter->next = head;
    } while (!cx_cas_release(&port->pending, &head, waiter)); /* [P1] LP, pairs with [P4] */
    CX_UNLESS_BUG(PORT_ARMS_FIRST, armed = cx_xchg_acq_rel(&port->armed, 1)); /* [P2] with [P3] */
    return armed == 0;
}

static struct cx_waiter *
reversed(struct cx_waiter *chain)
{
    struct cx_waiter *result = NULL;
    while (chain != NULL) {
        struct cx_waiter *next = chain->next;
        chain->next = result;
        result = chain;
        chain = next;
    }
    return result;
}

struct cx_waiter *
cx_port_take(struct cx_port *port, size_t max, bool *more)
{
    CX_UNLESS_BUG(PORT_DISARMS_LATE, (void)cx_xchg_acq_rel(&port->armed, 0)); /* [P3] with [P2] */
    struct cx_waiter *newest = cx_xchg_acq_rel(&port->pending, NULL);         /* [P4] */
    struct cx_waiter *fetched = reversed(newest);
    if (CX_BUG(PORT_DISARMS_LATE)) {
        (void)cx_xchg_acq_rel(&port->armed, 0);
    }
    cx_lock_acquire(&port->lock);
    if (port->backlog == NULL) {
        port->backlog = fetched;
    }
    else {
        port->backlog_last->next = fetched;
    }
    if (newest != NULL) {
        port->backlog_last = newest;
    }
    struct cx_waiter *taken = port->backlog;
    struct cx_waiter **cut = &port->backlog;
    while (*cut != NULL && max-- > 0) {
        cut = &(*cut)->next;
    }
    struct cx_waiter *rest = *cut;
    *cut = NULL;
    port->backlog = rest;
    cx_lock_release(&port->lock);
    *more = rest != NULL;
    return taken == rest ? NULL : taken;
}

size_t
cx_wakes_deliver(struct cx_wakes *wakes, struct cx_port **edges)
{
    size_t told = 0;
    for (uint32_t i = 0; i < wakes->count; i++) {
        struct cx_waiter *waiter = wakes->waiters[i];
        if (waiter->kind == CX_THREAD) {
            cx_unpark(&waiter->commit, 1);
            continue;
        }
        /* From the push on the waiter may be gone, and with it its count of the port. */
        struct cx_port *port = cx_port_ref(waiter->port);
        if (cx_port_push(port, waiter)) {
            edges[told++] = port;
        }
        else {
            cx_port_unref(port);
        }
    }
    wakes->count = 0;
    return told;
}

void
cx_port_tell(struct cx_port *port)
{
    if (port->event_fd >= 0) {
        uint64_t one = 1;
        int saved = errno;
        ssize_t written = write(port->event_fd, &one, sizeof one);
        (void)written; /* full means told already */
        errno = saved;
    }
    unref_native(port);
}

void
cx_wakes_deliver_native(struct cx_wakes *wakes)
{
    struct cx_port *edges[CX_WAKES];
    size_t told = cx_wakes_deliver(wakes, edges);
    for (size_t i = 0; i < told; i++) {
        cx_port_tell(edges[i]);
    }
}

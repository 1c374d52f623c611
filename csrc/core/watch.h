// SPDX-License-Identifier: MIT
/* core/watch.h - event descriptors that processes share, and the set of them that a loop watches.
 *
 * An event is a descriptor that anybody may signal and nobody resets: a set tells of every signal that
 * came since it was asked last, to every process that watches, so none can take it from another.  A
 * set is a descriptor itself and readable while it has something to tell.  It has a timer as well,
 * for what must be looked at though nobody signals.
 *
 * Linux: an eventfd, watched edge-triggered by an epoll set.  Elsewhere (or with CX_NO_MEMFD) there
 * are neither: making one fails with ENOSYS.
 *
 * Progress:  system calls that do not wait.
 * Ordering:  none; what a signal is about was published before it by whoever signals.
 * Fork:      a child shares the events; a set that it inherits is its parent's.
 */
#ifndef CX_CORE_WATCH_H
#define CX_CORE_WATCH_H

#include "core/config.h"
#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>

/* A descriptor, or -1 with errno. */
int cx_event_new(void);
/* Whether a descriptor that came from elsewhere is an event. */
bool cx_event_is(int event);
/* Tells every set that watches it; -1 is told to nobody.  Keeps errno. */
void cx_event_signal(int event);

struct cx_watch {
    int set, timer;
};

#define CX_WATCH_TIMER UINT64_C(0) /* the tag of the timer */

/* CX_OK, or CX_OSERROR with errno. */
enum cx_status cx_watch_init(struct cx_watch *watch);
void cx_watch_fini(struct cx_watch *watch);
/* Watches an event; `tag`, not 0, comes back when it was signalled, and once at the start.  False: errno. */
bool cx_watch_add(struct cx_watch *watch, int event, uint64_t tag);
void cx_watch_remove(struct cx_watch *watch, int event);
/* Lets the timer fire once, after so many nanoseconds. */
void cx_watch_after(struct cx_watch *watch, int64_t ns);
/* The tags of at most n events that were signalled since, or of the timer: how many. */
int cx_watch_take(struct cx_watch *watch, uint64_t *tags, int n);

#endif

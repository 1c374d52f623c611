// SPDX-License-Identifier: MIT
/* binding/mpwatch.h - how an event loop learns that a queue between processes has changed.
 *
 * A loop whose tasks wait for such queues watches one descriptor: a set of the queues' events
 * (core/watch.h).  When it is readable, the loop's LoopWatch wakes the tasks for which there is
 * something, of this process, in whatever loop.  Whoever should have signalled may have been killed
 * before; so as long as tasks wait, the set's timer has the queues looked at every CX_SHM_LOOK.
 *
 * A queue is watched from the first task that must wait until a look finds none; as long it is held.
 */
#ifndef CX_BINDING_MPWATCH_H
#define CX_BINDING_MPWATCH_H

#include "binding/mpqueue.h"

/* Has the loop of `face`, which runs in this thread, watch the queue: 0, or -1 with an exception. */
int cxb_mpwatch_add(LoopPortObject *face, MpQueueObject *queue);

#endif

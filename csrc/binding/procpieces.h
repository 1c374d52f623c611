// SPDX-License-Identifier: MIT
/* binding/procpieces.h - tasks and results of which a pool and a worker send each other pieces; what
 * they mean to each other is in procwire.h. */
#ifndef CX_BINDING_PROCPIECES_H
#define CX_BINDING_PROCPIECES_H

#include "binding/prochub.h"

/* --- the pool --- */

/* Whether no other task can be put: the pieces of one were not all. */
static inline bool
cxb_link_pours(const WorkLinkObject *link)
{
    return link->large != NULL && !cx_pieces_done(&link->large->bulk->pieces);
}

/* The worker wants the pieces of its task: 0; 1: it has none to want. */
int cxb_link_want(ProcHubObject *hub, WorkLinkObject *link, uint64_t id);
/* Puts pieces as there is room: how many.  Manager thread only, without the guard. */
Py_ssize_t cxb_hub_pour(ProcHubObject *hub);
/* Under the guard, before sleeping: whether that would do something. */
CX_NODISCARD bool cxb_link_can_pour(WorkLinkObject *link);

/* A result begins to arrive: 0, 1 if the link is damaged. */
int cxb_link_expect(WorkLinkObject *link, const struct cx_lane_message *m);
/* A piece of it: as before; 2 if it was the last. */
int cxb_link_arrive(WorkLinkObject *link, const struct cx_lane_message *m);
/* The object that has arrived, or NULL with an exception. */
PyObject *cxb_link_arrived(WorkLinkObject *link);

/* --- the worker --- */

/* Waits for all pieces of a task: CX_OK; CX_CLOSED: the pool has gone, or wants no more; CX_INTR with
 * an exception; CX_OSERROR: one cannot be mapped; CX_DAMAGED. */
enum cx_status cxb_arrival_wait(struct cxb_arrival *arrival, struct cx_worklink *link, int eventfd);

#endif

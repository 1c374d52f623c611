// SPDX-License-Identifier: MIT
/* binding/procresult.h - what comes back from the workers of a pool of processes.
 *
 * One thread at a time takes results out of a link: the manager's, or one in result() (procwatch.c).
 */
#ifndef CX_BINDING_PROCRESULT_H
#define CX_BINDING_PROCRESULT_H

#include "binding/prochub.h"

/* Takes results from all links and settles futures: how many, or -1 with an exception; appends
 * events.  Manager thread only. */
Py_ssize_t cxb_hub_drain(ProcHubObject *hub, PyObject *events);
/* The same of one link; -2: another thread is at it, and says when it has left. */
Py_ssize_t cxb_link_drain(ProcHubObject *hub, WorkLinkObject *link, PyObject *events);
/* Under the guard: who takes results out begins, unless somebody else does; and leaves: whether there
 * may be more. */
CX_NODISCARD bool cxb_link_claim(WorkLinkObject *link);
bool cxb_link_release(WorkLinkObject *link);
/* Between them: the next one; 1, 0 if there is none, -1 with an exception. */
int cxb_link_take(ProcHubObject *hub, WorkLinkObject *link, PyObject *events);
/* Likewise: whether the next one is the outcome of that task, and reading it runs no Python code: a
 * signal handler's exception would be taken for the task's. */
bool cxb_result_is_of(WorkLinkObject *link, uint64_t id);
/* Events that a thread met which is not the manager's. */
void cxb_hub_tell(ProcHubObject *hub, PyObject *events);
/* Says that the pool sleeps: true unless there is something to be done after all; and that it is up. */
bool cxb_hub_lie_down(ProcHubObject *hub);
void cxb_hub_get_up(ProcHubObject *hub);
/* Appends (what, tag, detail_steal): 0 or -1. */
int cxb_hub_event(PyObject *events, const char *what, WorkLinkObject *link, PyObject *detail_steal);

#endif

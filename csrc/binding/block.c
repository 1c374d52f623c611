// SPDX-License-Identifier: MIT
#include "binding/block.h"

#include <unistd.h>

#include "binding/loopport.h"
#include "core/clock.h"
#include "core/fork.h"
#include "core/park.h"

#if defined(__linux__)
#include <sys/syscall.h>
#endif

/* How long a signal that slips between the last look and the sleep may go unnoticed. */
#define LOOK_EVERY (CX_SECOND / 10)

static bool
is_main_thread(void)
{
#if defined(__linux__)
    return syscall(SYS_gettid) == getpid();
#else
    return true;
#endif
}

enum cxb_wait
cxb_wait(struct cx_waiter *waiter, int64_t deadline)
{
    bool main_thread = is_main_thread();
    for (;;) {
        int64_t until = deadline;
        if (main_thread) {
            int64_t look = cx_deadline_after(LOOK_EVERY);
            until = look < deadline ? look : deadline;
        }
        enum cx_status woken;
        Py_BEGIN_ALLOW_THREADS
        do {
            woken = cx_park(&waiter->commit, CX_WAITING, until);
        } while (woken == CX_OK && CX_COMMIT_STATE(cx_waiter_state(waiter)) == CX_WAITING);
        Py_END_ALLOW_THREADS
        if (CX_COMMIT_STATE(cx_waiter_state(waiter)) == CX_GRANTED) {
            return CXB_GRANTED;
        }
        if (woken == CX_INTR || main_thread) {
            if (PyErr_CheckSignals() < 0) {
                return cx_waiter_decide(waiter, CX_CANCELLED) ? CXB_ERROR : CXB_ERROR_LATE;
            }
            if (waiter->generation != cx_fork_generation() &&
                cx_waiter_decide(waiter, CX_RETRY)) {
                return CXB_FORKED;
            }
        }
        if (woken == CX_TIMEOUT && until == deadline) {
            return cx_waiter_decide(waiter, CX_TIMED_OUT) ? CXB_TIMED_OUT : CXB_GRANTED;
        }
    }
}

void
cxb_deliver_slow(struct cxb_state *state, struct cx_wakes *wakes)
{
    PyObject *error = cxb_error_set_aside();
    struct cx_port *edges[CX_WAKES];
    cxb_port_shortcut(state, wakes);
    size_t told = cx_wakes_deliver(wakes, edges);
    for (size_t i = 0; i < told; i++) {
        cxb_port_tell(state, edges[i]);
        cx_port_unref(edges[i]);
    }
    cxb_error_put_back(error);
}

bool
cxb_loop_runs_here(struct cxb_state *state)
{
    PyObject *loop = cxb_running_loop(state);
    bool runs = loop != NULL && loop != Py_None;
    Py_XDECREF(loop);
    PyErr_Clear();
    return runs;
}

#if !CX_WITH_GIL

/* Waits for a contended lock outside the interpreter, so that a stop-the-world need not wait. */
static void
pause_detached(struct cx_lock *lock)
{
    if (PyThreadState_GetUnchecked() == NULL) {
        cx_lock_sleep(lock);
        return;
    }
    Py_BEGIN_ALLOW_THREADS
    cx_lock_sleep(lock);
    Py_END_ALLOW_THREADS
}

#endif

void
cxb_block_install(void)
{
    cx_park_install();
    cx_waiter_install();
#if !CX_WITH_GIL
    cx_lock_pause = pause_detached;
#endif
}

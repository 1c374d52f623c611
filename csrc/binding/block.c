// SPDX-License-Identifier: MIT
#include "binding/block.h"

#include <unistd.h>

#include "binding/loopport.h"
#include "core/clock.h"
#include "core/fork.h"
#include "core/park.h"

#if defined(__linux__)
#include <sched.h>
#include <sys/syscall.h>
#endif

/* How long a signal that slips between the last look and the sleep may go unnoticed. */
#define LOOK_EVERY (CX_SECOND / 10)

/* Of the process, which in a child is the thread that forked: signal handlers run there.  Asked
 * once for each thread and process. */
static bool
is_main_thread(void)
{
#if defined(__linux__)
    static CX_THREAD_LOCAL uint32_t asked; /* in which generation, plus one */
    static CX_THREAD_LOCAL bool answer;
    if (asked != cx_fork_generation() + 1) {
        asked = cx_fork_generation() + 1;
        answer = syscall(SYS_gettid) == getpid();
    }
    return answer;
#else
    return true;
#endif
}

#if CX_WITH_GIL || !defined(__linux__)

/* A waker holds the GIL for as long as it likes after it has granted; spinning only wastes. */
static void
spin(struct cx_waiter *waiter)
{
    (void)waiter;
}

static void
leave_hint(struct cx_wakes *wakes)
{
    (void)wakes;
}

#else

/* A pause is about 10 to 40 ns; waking a sleeper on another CPU takes 25 to 50 microseconds. */
#define LEAST_SPINS 16
#define MOST_SPINS 2048

/* Watches the commit word for a while before the thread sleeps: longer if that paid last time, not
 * at all if the waker shares this CPU and cannot run meanwhile. */
static void
spin(struct cx_waiter *waiter)
{
    uint32_t limit = waiter->spins < LEAST_SPINS ? LEAST_SPINS : waiter->spins;
    if (cx_load_relaxed(&waiter->waker_cpu) == sched_getcpu()) {
        return;
    }
    for (uint32_t i = 0; i < limit; i++) {
        if (CX_COMMIT_STATE(cx_waiter_state(waiter)) != CX_WAITING) {
            waiter->spins = limit * 2 > MOST_SPINS ? MOST_SPINS : limit * 2;
            return;
        }
        cx_pause();
    }
    waiter->spins = limit / 2;
}

/* Tells the threads about to be woken where their waker runs. */
static void
leave_hint(struct cx_wakes *wakes)
{
    int cpu = sched_getcpu();
    for (uint32_t i = 0; i < wakes->count; i++) {
        cx_store_relaxed(&wakes->waiters[i]->waker_cpu, cpu);
    }
}

#endif

enum cxb_wait
cxb_wait(struct cx_waiter *waiter, int64_t deadline)
{
    struct cxb_later none = CXB_LATER_INIT;
    return cxb_wait_after(&none, waiter, deadline);
}

bool
cxb_put_off(struct cx_wakes *wakes, struct cxb_later *later)
{
    struct cx_waiter *waiter = wakes->waiters[0];
    if (wakes->count != 1) {
        return false;
    }
    if (waiter->kind == CX_THREAD) {
        later->thread = waiter;
    }
    else if (cx_load_relaxed(&waiter->port->watched)) {
        struct cx_port *edges[CX_WAKES];
        later->port = cx_wakes_deliver(wakes, edges) > 0 ? edges[0] : NULL;
    }
    else {
        return false;
    }
    wakes->count = 0;
    return true;
}

void
cxb_deliver_late(struct cxb_later *later)
{
    if (later->thread != NULL) {
        cx_unpark(&later->thread->commit, 1);
    }
    if (later->port != NULL) {
        cx_port_tell(later->port);
    }
    *later = (struct cxb_later)CXB_LATER_INIT;
}

enum cxb_wait
cxb_wait_after(struct cxb_later *later, struct cx_waiter *waiter, int64_t deadline)
{
    bool main_thread = is_main_thread();
    bool spun = false;
    for (;;) {
        int64_t until = deadline;
        if (main_thread) {
            int64_t look = cx_deadline_after(LOOK_EVERY);
            until = look < deadline ? look : deadline;
        }
        enum cx_status woken;
        Py_BEGIN_ALLOW_THREADS
        cxb_deliver_late(later);
        if (!spun) {
            spin(waiter);
            spun = true;
        }
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
            if (waiter->generation != cx_fork_generation() && cx_waiter_decide(waiter, CX_RETRY)) {
                return CXB_FORKED;
            }
        }
        if (woken == CX_TIMEOUT && until == deadline) {
            return cx_waiter_decide(waiter, CX_TIMED_OUT) ? CXB_TIMED_OUT : CXB_GRANTED;
        }
    }
}

enum cxb_wait
cxb_wait_shared(const uint32_t *word, uint32_t expected, int64_t deadline)
{
    enum cx_status woken;
    int64_t look = cx_deadline_after(LOOK_EVERY), until = look < deadline ? look : deadline;
    Py_BEGIN_ALLOW_THREADS
    woken = cx_park_shared(word, expected, until);
    Py_END_ALLOW_THREADS
    if ((woken == CX_INTR || is_main_thread()) && PyErr_CheckSignals() < 0) {
        return CXB_ERROR;
    }
    return woken == CX_TIMEOUT && until == deadline ? CXB_TIMED_OUT : CXB_GRANTED;
}

/* Whether an event loop runs in this thread: blocking here freezes it. */
static bool
loop_runs_here(struct cxb_state *state)
{
    PyObject *loop = cxb_running_loop(state);
    bool runs = loop != NULL && loop != Py_None;
    Py_XDECREF(loop);
    PyErr_Clear();
    return runs;
}

enum cxb_wait
cxb_wait_counted(struct cxb_state *state, struct cx_waiter *waiter, int64_t deadline,
                 struct cxb_waits *waits)
{
    if (loop_runs_here(state)) {
        cx_fetch_add_relaxed(&waits->on_loop, 1);
    }
    int64_t since = cx_now();
    enum cxb_wait how = cxb_wait(waiter, deadline);
    cx_fetch_add_relaxed(&waits->ns, (uint64_t)(cx_now() - since));
    return how;
}

struct cx_waiter *
cxb_waiter_borrow(struct cxb_limit *limit)
{
    if (limit->deadline == 0 && cxb_timeout_start(&limit->timeout, &limit->deadline) < 0) {
        return NULL;
    }
    struct cx_waiter *waiter = cx_waiter_borrow();
    if (waiter == NULL) {
        PyErr_NoMemory();
    }
    return waiter;
}

void
cxb_deliver_slow(struct cxb_state *state, struct cx_wakes *wakes)
{
    PyObject *error = cxb_error_set_aside();
    struct cx_port *edges[CX_WAKES];
    leave_hint(wakes);
    cxb_port_shortcut(state, wakes);
    size_t told = cx_wakes_deliver(wakes, edges);
    for (size_t i = 0; i < told; i++) {
        cxb_port_tell(state, edges[i]);
        cx_port_unref(edges[i]);
    }
    cxb_error_put_back(error);
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

/* A port's weak reference to its loop. */
static void
drop_loop(void *loop)
{
    Py_XDECREF((PyObject *)loop);
}

void
cxb_block_install(void)
{
    cx_port_drop = drop_loop;
    cx_park_install();
    cx_waiter_install();
#if !CX_WITH_GIL
    cx_lock_pause = pause_detached;
#endif
}

// SPDX-License-Identifier: MIT
/* The second step of asyncio's waiters and the loop port, over the queue engine.
 *
 * One loop thread steps its coroutines as binding/await.c and binding/loopport.c do: enlist,
 * drain, send, throw at any step, close from another thread, a loop that is closed with grants
 * under way.  `told` stands for call_soon_threadsafe and the handle that it leaves with the loop. */
#include "core/port.h"
#include "core/clock.h"
#include "core/queue.h"

#include "ledger.h"
#include "models.h"

enum { QUIET, TOLD, LOOP_CLOSED }; /* of `told` */
enum phase { CREATED, SUSPENDED, FINISHED };

enum how {
    PUTS = 1,    /* a task that puts; otherwise it gets */
    THROWN = 2,  /* may be thrown into at any step */
    CLOSABLE = 4 /* another thread closes it */
};

struct task {
    struct cx_waiter *waiter;
    uint32_t running;
    enum phase phase;
    bool resolved;
    int how;
    uintptr_t item; /* to put */
};

struct variant {
    int64_t limit;
    int tasks[2]; /* how; the first always runs */
    int count;
    int puts[2];  /* threads that put so many */
    int gets;     /* a thread that gets so many */
    size_t batch; /* how many the loop takes at once */
    bool closes_loop;
};

static const struct variant variants[] = {
    [0] = {INT64_MAX, {THROWN, 0}, 1, {1, 1}, 1, 64, false},
    [1] = {INT64_MAX, {0, 0}, 2, {1, 1}, 0, 1, false},
    [2] = {INT64_MAX, {CLOSABLE, 0}, 1, {1, 0}, 1, 64, false},
    [3] = {INT64_MAX, {0, 0}, 1, {1, 0}, 1, 64, true},
    [4] = {INT64_MAX, {CLOSABLE, 0}, 1, {1, 0}, 1, 64, true},
    [5] = {1, {PUTS | THROWN, 0}, 1, {1, 0}, 2, 64, false},
    [6] = {1, {PUTS | CLOSABLE, 0}, 1, {1, 0}, 2, 64, true},
    [7] = {INT64_MAX, {THROWN, THROWN}, 2, {2, 0}, 0, 64, false},
    [8] = {INT64_MAX, {0, 0}, 2, {1, 1}, 0, 64, true},
};

struct state {
    struct cx_queue q;
    struct cx_port *port;
    uint32_t told;
    struct task tasks[2];
    struct ledger ledger;
};

static struct state *s;
static const struct variant *v;

static void give_back(struct task *task, struct cx_node *node);

/* The loop will never come: what was granted to its tasks goes back. */
static void
abandon_port(void)
{
    if (cx_fetch_add_acq_rel(&s->port->abandons, 1) != 0) {
        return;
    }
    uint32_t seen;
    do {
        bool more;
        seen = cx_load_acquire(&s->port->abandons);
        struct cx_waiter *waiter = cx_port_take(s->port, SIZE_MAX, &more);
        while (waiter != NULL) {
            struct cx_waiter *next = waiter->next;
            bool late = CX_BUG(OWNER_AFTER_SETTLE);
            struct task *owner = late ? waiter->owner : cx_xchg_acq_rel(&waiter->owner, NULL);
            if (owner != NULL && cx_waiter_settle(waiter, CX_RETURNED)) {
                owner = late ? cx_xchg_acq_rel(&waiter->owner, NULL) : owner;
                mc_check(owner != NULL, MC_LOST_ITEM, "nobody knows any more where it belongs");
                give_back(owner, &waiter->node);
            }
            (void)!cx_xchg_acq_rel(&waiter->future, NULL);
            cx_waiter_unref(waiter);
            waiter = next;
        }
    } while (!cx_cas_acq_rel(&s->port->abandons, &seen, 0));
}

static void
deliver(struct cx_wakes *wakes)
{
    struct cx_port *edges[CX_WAKES];
    size_t told = cx_wakes_deliver(wakes, edges);
    for (size_t i = 0; i < told; i++) {
        uint32_t quiet = QUIET;
        if (!cx_cas_acq_rel(&s->told, &quiet, TOLD) && quiet == LOOP_CLOSED) {
            abandon_port();
        }
        cx_port_unref(edges[i]);
    }
}

static void
give_back(struct task *task, struct cx_node *node)
{
    struct cx_wakes wakes = CX_WAKES_INIT;
    if (task->how & PUTS) {
        if (node->status == CX_AGAIN) {
            cx_queue_release(&s->q, node->weight, &wakes);
        }
    }
    else if (node->status == CX_OK && !CX_BUG(NO_GIVE_BACK)) {
        (void)cx_queue_give_back(&s->q, node, &wakes);
    }
    deliver(&wakes);
}

static void
drop_waiter(struct task *task)
{
    struct cx_waiter *waiter = task->waiter;
    if (waiter != NULL) {
        task->waiter = NULL;
        (void)!cx_xchg_acq_rel(&waiter->future, NULL);
        (void)!cx_xchg_acq_rel(&waiter->owner, NULL);
        cx_waiter_unref(waiter);
    }
}

/* throw, close and the finaliser. */
static void
abandon(struct task *task)
{
    struct cx_waiter *waiter = task->waiter;
    struct cx_wakes wakes = CX_WAKES_INIT;
    if (waiter == NULL) {
        return;
    }
    if (cx_waiter_decide(waiter, CX_CANCELLED)) {
        struct cx_waitlist *list = task->how & PUTS ? &s->q.givers : &s->q.takers;
        cx_queue_leave(&s->q, list, &waiter->node, &wakes);
        deliver(&wakes);
    }
    else if (CX_BUG(NO_SECOND_STEP) || cx_waiter_settle(waiter, CX_RETURNED)) {
        give_back(task, &waiter->node);
    }
    drop_waiter(task);
}

static bool
begin(struct task *task)
{
    return cx_xchg_acq_rel(&task->running, 1) == 0;
}

static void
end(struct task *task)
{
    cx_store_release(&task->running, 0);
}

static void
finish(struct task *task, bool got, uintptr_t item)
{
    task->phase = FINISHED;
    if (got) {
        ledger_got(&s->ledger, item);
    }
}

/* Tries; enlists if `node`.  True: finished. */
static bool
attempt(struct task *task, struct cx_node *node)
{
    struct cx_queue_op op;
    enum cx_status status;
    cx_queue_op_init(&op, (void *)task->item, 1);
    if (task->how & PUTS) {
        ledger_put(&s->ledger, task->item);
        status = cx_queue_put(&s->q, &op, node);
        if (status != CX_OK) {
            ledger_unput(&s->ledger, task->item);
        }
    }
    else {
        status = cx_queue_get(&s->q, &op, node);
    }
    deliver(&op.wakes);
    cx_queue_recycle(&op.spent);
    if (status == CX_OK) {
        finish(task, !(task->how & PUTS), (uintptr_t)op.item);
    }
    return status == CX_OK;
}

static void
suspend(struct task *task)
{
    task->waiter = cx_waiter_new(s->port);
    task->waiter->future = task;
    task->waiter->owner = task;
    task->resolved = false;
    task->phase = SUSPENDED;
    if (attempt(task, &task->waiter->node)) {
        drop_waiter(task);
    }
}

static void
granted(struct task *task, struct cx_node *node)
{
    if (!(task->how & PUTS)) {
        finish(task, true, (uintptr_t)node->item);
        return;
    }
    struct cx_queue_op op;
    mc_check(node->status == CX_AGAIN, "wrong answer", "a task is granted a slot");
    ledger_put(&s->ledger, task->item);
    cx_queue_op_init(&op, (void *)task->item, node->weight);
    mc_check(cx_queue_fill(&s->q, &op) == CX_OK, "wrong answer", "of a fill");
    deliver(&op.wakes);
    finish(task, false, 0);
}

static void
send(struct task *task)
{
    if (!begin(task)) {
        return;
    }
    if (task->phase == SUSPENDED) {
        if (CX_BUG(NO_SECOND_STEP) || cx_waiter_settle(task->waiter, CX_TAKEN)) {
            granted(task, &task->waiter->node);
            drop_waiter(task);
        }
        else { /* given back by somebody: look again */
            abandon(task);
            if (!attempt(task, NULL)) {
                suspend(task);
            }
        }
    }
    end(task);
}

static void
close_task(struct task *task)
{
    if (begin(task)) {
        abandon(task);
        task->phase = FINISHED;
        end(task);
    }
}

static void
drain(void)
{
    bool more;
    struct cx_waiter *waiter = cx_port_take(s->port, v->batch, &more);
    while (waiter != NULL) {
        struct cx_waiter *next = waiter->next;
        struct task *task = cx_xchg_acq_rel(&waiter->future, NULL);
        if (task != NULL) {
            task->resolved = true;
        }
        cx_waiter_unref(waiter);
        waiter = next;
    }
    uint32_t quiet = QUIET;
    if (more && cx_xchg_acq_rel(&s->port->armed, 1) == 0) {
        (void)!cx_cas_acq_rel(&s->told, &quiet, TOLD);
    }
}

/* A suspended task whose future is done, or failing that one that can be thrown into. */
static struct task *
next_task(bool resolved)
{
    for (int i = 0; i < v->count; i++) {
        struct task *task = &s->tasks[i];
        if (task->phase == SUSPENDED && (resolved ? task->resolved : (task->how & THROWN) != 0)) {
            return task;
        }
    }
    return NULL;
}

static bool
all_finished(void)
{
    return s->tasks[0].phase == FINISHED && (v->count == 1 || s->tasks[1].phase == FINISHED);
}

static void
loop_thread(void *arg)
{
    (void)arg;
    for (int i = 0; i < v->count; i++) {
        if (begin(&s->tasks[i])) { /* else it was closed before it began */
            if (s->tasks[i].phase == CREATED) {
                suspend(&s->tasks[i]);
            }
            end(&s->tasks[i]);
        }
    }
    while (!all_finished()) {
        struct task *task = next_task(true);
        if (task != NULL) {
            if (task->how & THROWN && mc_choose(2) == 1) {
                close_task(task); /* cancelled in the iteration in which it was resolved */
            }
            else {
                task->resolved = false;
                send(task);
            }
            continue;
        }
        if (v->closes_loop && mc_choose(2) == 1) {
            break;
        }
        if ((task = next_task(false)) != NULL && mc_choose(2) == 1) {
            close_task(task);
            continue;
        }
        mc_await(&s->told, TOLD);
        cx_store_release(&s->told, QUIET);
        drain();
    }
    if (!v->closes_loop && cx_load_acquire(&s->told) == TOLD) {
        drain(); /* the handle of a task that is gone already */
    }
    if (v->closes_loop && cx_xchg_acq_rel(&s->told, LOOP_CLOSED) == TOLD) {
        abandon_port(); /* the handle is dropped unrun */
    }
}

static void
closer_thread(void *arg)
{
    close_task(arg);
}

static void
put_thread(void *arg)
{
    int which = (int)(intptr_t)arg;
    for (int i = 0; i < v->puts[which]; i++) {
        uintptr_t item = (uintptr_t)(which * 2 + i + 1);
        struct cx_queue_op op;
        struct cx_waiter *w = cx_waiter_borrow();
        cx_queue_op_init(&op, (void *)item, 1);
        ledger_put(&s->ledger, item);
        enum cx_status status = cx_queue_put(&s->q, &op, &w->node);
        deliver(&op.wakes);
        cx_queue_recycle(&op.spent);
        while (status == CX_WAIT && cx_waiter_state(w) == CX_WAITING) {
            (void)cx_park(&w->commit, CX_WAITING, CX_FOREVER);
        }
        cx_waiter_return(w);
    }
}

static void
get_thread(void *arg)
{
    (void)arg;
    for (int i = 0; i < v->gets; i++) {
        struct cx_queue_op op;
        struct cx_waiter *w = cx_waiter_borrow();
        cx_queue_op_init(&op, NULL, 1);
        enum cx_status status = cx_queue_get(&s->q, &op, &w->node);
        deliver(&op.wakes);
        cx_queue_recycle(&op.spent);
        while (status == CX_WAIT && cx_waiter_state(w) == CX_WAITING) {
            (void)cx_park(&w->commit, CX_WAITING, CX_FOREVER);
        }
        ledger_got(&s->ledger, (uintptr_t)(status == CX_WAIT ? w->node.item : op.item));
        cx_waiter_return(w);
    }
}

void
model_task_setup(void)
{
    v = &variants[mc_variant()];
    s = calloc(1, sizeof *s);
    cx_queue_init(&s->q, CX_FIFO, false);
    s->q.limit = v->limit;
    s->port = cx_port_new(NULL, NULL);
    mc_name(&s->q.guard, sizeof s->q.guard, "guard");
    mc_name(&s->q.takers, sizeof s->q.takers, "takers");
    mc_name(&s->q.givers, sizeof s->q.givers, "givers");
    mc_name(&s->told, sizeof s->told, "told");
    mc_name(&s->port->pending, sizeof s->port->pending, "port.pending");
    mc_name(&s->port->armed, sizeof s->port->armed, "port.armed");
    mc_name(s->port, sizeof *s->port, "port");
    mc_thread("loop", loop_thread, NULL);
    for (int i = 0; i < v->count; i++) {
        s->tasks[i].how = v->tasks[i];
        s->tasks[i].item = (uintptr_t)(5 + i);
    }
    for (int i = 0; i < 2; i++) {
        if (v->puts[i] > 0) {
            mc_thread("putter", put_thread, (void *)(intptr_t)i);
        }
    }
    if (v->gets > 0) {
        mc_thread("getter", get_thread, NULL);
    }
    if (v->tasks[0] & CLOSABLE) {
        mc_thread("closer", closer_thread, &s->tasks[0]);
    }
}

/* Everything lets go: tasks are dropped, the loop runs its last handle. */
static void
tear_down(void)
{
    bool more;
    for (int i = 0; i < v->count; i++) {
        drop_waiter(&s->tasks[i]);
    }
    struct cx_waiter *waiter = cx_port_take(s->port, SIZE_MAX, &more);
    while (waiter != NULL) {
        struct cx_waiter *next = waiter->next;
        cx_waiter_unref(waiter);
        waiter = next;
    }
    struct cx_waiter *spent = NULL;
    while (s->q.returned != NULL) {
        (void)cx_queue_pop_returned(&s->q.returned, &spent);
    }
    cx_queue_recycle(&spent);
    cx_queue_fini(&s->q);
    cx_port_unref(s->port);
    free(s);
}

void
model_task_finish(bool deadlock)
{
    (void)deadlock;
    struct cx_queue_view view;
    cx_queue_look(&s->q, &view);
    bool closed = s->told == LOOP_CLOSED;
    int waiting = 0;
    for (int i = 0; i < v->count; i++) {
        struct task *task = &s->tasks[i];
        enum cx_commit commit =
            task->waiter == NULL ? CX_TAKEN : CX_COMMIT_STATE(cx_waiter_state(task->waiter));
        mc_check(commit != CX_GRANTED, closed ? MC_LOST_ITEM : MC_LOST_WAKEUP,
                 "a task was granted and is not told");
        waiting += commit == CX_WAITING;
        mc_check(commit != CX_WAITING || task->how & PUTS || view.len == 0, MC_LOST_WAKEUP,
                 "a task waits beside an item");
        mc_check(commit != CX_WAITING || !(task->how & PUTS) || (int64_t)view.len >= v->limit,
                 MC_LOST_WAKEUP, "a task waits beside room");
    }
    mc_check(view.reserved == 0, MC_LEFT_IN_LIST, "a slot that nobody will fill");
    bool blocked = false;
    for (int i = 1; i < 1 + (v->puts[0] > 0) + (v->puts[1] > 0) + (v->gets > 0); i++) {
        blocked = blocked || !mc_ended(i);
    }
    int threads = (int)(view.takers + view.givers) - waiting;
    mc_check(threads == (blocked ? 1 : 0), MC_LEFT_IN_LIST, "a waiter that has left");
    mc_check(view.takers == 0 || view.len == 0, MC_LOST_WAKEUP, "a getter sleeps beside an item");
    mc_check(view.givers == 0 || (int64_t)view.len >= v->limit, MC_LOST_WAKEUP,
             "a putter sleeps beside room");
    int in_nodes = view.givers > 0 && blocked && v->limit == 1 ? (int)view.givers - waiting : 0;
    int left = ledger_left(&s->ledger) - (in_nodes > 0 ? in_nodes : 0);
    mc_check((int)view.len >= left, MC_LOST_ITEM, "it was put and is nowhere");
    mc_check((int)view.len <= left, MC_DUPLICATED, "more is left than was put");
    if (!deadlock && waiting == 0) {
        tear_down();
        mc_check(mc_live_blocks() == 0, MC_LEAK, "of a waiter, or of the port");
    }
}

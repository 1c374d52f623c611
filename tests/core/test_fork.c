// SPDX-License-Identifier: MIT
/* What a child finds after a fork: locks are free, lists are empty, parking works. */
#include "harness.h"

#include <sys/wait.h>

#include "core/lock.h"
#include "core/queue.h"
#include "core/waiter.h"

static int hook_runs;

static void
hook(void)
{
    hook_runs++;
}

/* Runs fn in a child, which must answer true within the alarm. */
static void
in_child(bool (*fn)(void *), void *arg)
{
    int status = -1;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(10);
        _exit(fn(arg) ? 0 : 1);
    }
    CHECK(pid > 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static bool
generation_moved(void *before)
{
    return cx_fork_generation() == *(uint32_t *)before + 1 && hook_runs == 1;
}

static void
test_generation(void)
{
    uint32_t before = cx_fork_generation();
    cx_fork_install(hook);
    cx_fork_install(hook); /* known: runs once */
    in_child(generation_moved, &before);
    CHECK_EQ(cx_fork_generation(), before);
    CHECK_EQ(hook_runs, 0);
}

struct world {
    struct cx_lock lock;
    struct cx_waitlist list;
    struct cx_queue q;
    struct cx_waiter *waiter;
    uint32_t stage;
    bool (*child)(void *);
};

static bool
lock_is_free(void *arg)
{
    struct world *w = arg;
    cx_lock_acquire(&w->lock); /* its holder does not exist here */
    cx_lock_release(&w->lock);
    return cx_lock_try(&w->lock) && !cx_lock_try(&w->lock);
}

static bool
list_is_empty(void *arg)
{
    struct world *w = arg;
    struct cx_waiter *mine = cx_waiter_borrow();
    if (cx_waitlist_first(&w->list) != NULL || cx_waitlist_count(&w->list) != 0 || mine == NULL) {
        return false;
    }
    cx_waitlist_remove(&w->list, &w->waiter->node); /* of the lost thread: nothing happens */
    cx_waitlist_push(&w->list, &mine->node);
    bool one = cx_waitlist_count(&w->list) == 1 && cx_waitlist_first(&w->list) == &mine->node;
    cx_waitlist_remove(&w->list, &mine->node);
    cx_waiter_return(mine);
    return one && cx_waitlist_count(&w->list) == 0;
}

static bool
queue_works(void *arg)
{
    struct world *w = arg;
    struct cx_queue_op op;
    cx_queue_op_init(&op, (void *)7, 1);
    /* The getter that waited in the parent is gone: the item must not be handed to it. */
    bool ok = cx_queue_put(&w->q, &op, NULL) == CX_OK && op.wakes.count == 0;
    cx_queue_op_init(&op, NULL, 1);
    return ok && cx_queue_get(&w->q, &op, NULL) == CX_OK && op.item == (void *)7;
}

static bool
parking_works(void *arg)
{
    (void)arg;
    uint32_t word = 0;
    enum cx_status status;
    int64_t until = cx_now() + 5 * MILLISECOND;
    while ((status = cx_park(&word, 0, until)) == CX_INTR) {
    }
    return status == CX_TIMEOUT;
}

/* Thread 1 holds and waits for everything while thread 0 forks. */
static void
fork_body(struct worker *self)
{
    struct world *w = self->shared;
    if (self->id == 0) {
        WAIT_UNTIL(cx_load_acquire(&w->stage) == 1);
        in_child(w->child, w);
        cx_store_release(&w->stage, 2);
        return;
    }
    struct cx_queue_op op;
    struct cx_waiter *taker = cx_waiter_borrow();
    w->waiter = cx_waiter_borrow();
    cx_lock_acquire(&w->lock);
    cx_waitlist_push(&w->list, &w->waiter->node);
    cx_queue_op_init(&op, NULL, 1);
    CHECK_EQ(cx_queue_get(&w->q, &op, &taker->node), CX_WAIT);
    cx_store_release(&w->stage, 1);
    WAIT_UNTIL(cx_load_acquire(&w->stage) == 2);
    CHECK(cx_waiter_decide(taker, CX_CANCELLED));
    cx_queue_leave(&w->q, &w->q.takers, &taker->node, &op.wakes);
    cx_waitlist_remove(&w->list, &w->waiter->node);
    cx_lock_release(&w->lock);
    cx_waiter_return(w->waiter);
    cx_waiter_return(taker);
}

static void
fork_with(bool (*child)(void *))
{
    struct world w = {.child = child};
    cx_waitlist_init(&w.list);
    cx_queue_init(&w.q, CX_FIFO, false);
    run_threads(2, fork_body, &w);
    CHECK_EQ(cx_waitlist_count(&w.list), 0);
    CHECK_EQ(cx_waitlist_count(&w.q.takers), 0);
    CHECK_EQ(w.lock.word, 0);
    cx_queue_fini(&w.q);
}

static void
test_lock(void)
{
    fork_with(lock_is_free);
}

static void
test_list(void)
{
    fork_with(list_is_empty);
}

static void
test_queue(void)
{
    fork_with(queue_works);
}

static void
test_park(void)
{
    fork_with(parking_works);
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    cx_waiter_install();
    RUN(test_generation);
    RUN(test_lock);
    RUN(test_list);
    RUN(test_queue);
    RUN(test_park);
    return harness_end();
}

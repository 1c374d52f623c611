// SPDX-License-Identifier: MIT
/* What a pool and a worker share: worklink.c itself, with lanes of two slots, and around it what
 * binding/prochub.c, procresult.c, procwatch.c and procworker.c do.
 *
 * Results: a worker puts them and tells the manager, who sleeps in poll(), unless a thread in result()
 * looks.  Tasks: a pool puts them, takes them back, says stop; a worker takes them and sleeps on a word.
 * Nothing here is ever looked at again after some time: a lost wake-up is somebody who sleeps for ever. */
#include "core/clock.h"
#define CX_LANE_SLOTS 2
#define cx_now() INT64_C(1)
#define cx_worklink_size mc_worklink_size
#define cx_worklink_mapped mc_worklink_mapped
#define cx_worklink_create mc_worklink_create
#define cx_worklink_attach mc_worklink_attach
#define cx_worklink_tell mc_worklink_tell
#define cx_worklink_stop mc_worklink_stop
#define cx_worklink_fini mc_worklink_fini
#define cx_worklink_note mc_worklink_note
#define cx_worklink_is_here mc_worklink_is_here
#define cx_lane_put mc_lane_put
#define cx_lane_room mc_lane_room
#define cx_lane_revoke mc_lane_revoke
#define cx_lane_claim mc_lane_claim
#define cx_lane_take mc_lane_take
#define cx_lane_peek mc_lane_peek
#define cx_lane_pass mc_lane_pass
#define cx_lane_waits mc_lane_waits
#define cx_lane_watch mc_lane_watch
#define cx_lane_unwatch mc_lane_unwatch
#define cx_lane_is_watched mc_lane_is_watched
#define cx_lane_answers mc_lane_answers

#include "core/lock.h"
#include "core/worklink.c"
#include "models.h"

enum what { LOOK, LOG, BOTH, FULL, TASKS };

struct state {
    struct cx_worklink_shared shared;
    struct cx_lane worker, pool; /* both ends of the lane that the model is of */
    /* The hub. */
    struct cx_guard guard;
    bool taking, again, looked_at;
    uint32_t eventfd, woken;
    uint32_t sent, taken;    /* how many; taken: the guard's */
    uint32_t ended, done[4]; /* tasks; by number: how often */
};

static struct state *s;
static struct cx_worklink pool; /* what cx_worklink_stop looks at; too large for a thread's stack */

static uint32_t
all(void)
{
    return mc_variant() == FULL ? 3 : 2;
}

static enum cx_status
put(struct cx_lane *lane, uint64_t id, uint32_t *number)
{
    struct cx_lane_message m = {"", 0, id, 0, 1};
    return cx_lane_put(lane, &m, number);
}

/* --- results ------------------------------------------------------------------------------------ */

static void
kick(void)
{
    cx_fetch_add_relaxed(&s->eventfd, 1); /* write(2) */
    (void)cx_unpark_shared(&s->eventfd, 1);
}

static void
tell_pool(void)
{
    if (!cx_lane_is_watched(&s->worker) && cx_lane_answers(&s->worker)) {
        kick();
    }
}

/* procworker.c: send */
static void
work(void *unused)
{
    uint32_t *room = &s->shared.results.room, number;
    (void)unused;
    while (s->sent < all()) {
        enum cx_status status = put(&s->worker, s->sent + 1, &number);
        if (status == CX_FULL) {
            tell_pool();
            cx_shmbell_set(room);
            CX_UNLESS_BUG(LINK_ROOM_BLINDLY, status = put(&s->worker, s->sent + 1, &number));
        }
        mc_check(status == CX_OK || status == CX_FULL, "wrong answer", "the lane is damaged");
        if (status == CX_FULL) {
            (void)cx_park_shared(room, 1, CX_FOREVER);
            continue;
        }
        s->sent++;
        tell_pool();
    }
}

static bool
claim(void)
{
    if (s->taking && !CX_BUG(HUB_TAKES_TOGETHER)) {
        s->again = true;
        return false;
    }
    s->taking = true;
    return true;
}

static bool
release(void)
{
    bool again = s->again;
    s->taking = s->again = false;
    return again || (!CX_BUG(HUB_RELEASES_BLINDLY) && cx_lane_waits(&s->pool));
}

/* The next result, in order, once. */
static bool
take(void)
{
    struct cx_lane_message m;
    enum cx_status status = cx_lane_take(&s->pool, &m);
    if (status == CX_EMPTY) {
        return false;
    }
    mc_check(status == CX_OK, MC_DUPLICATED, "a slot that was taken already");
    cx_guard_take(&s->guard);
    mc_check(++s->done[m.id] == 1, MC_DUPLICATED, "a result was taken twice");
    mc_check(m.id == ++s->taken, MC_ORDER, "a result before an older one");
    cx_guard_release(&s->guard);
    cx_lane_pass(&s->pool);
    return true;
}

static bool
is_finished(void)
{
    cx_guard_take(&s->guard);
    bool over = s->taken == all();
    cx_guard_release(&s->guard);
    return over;
}

/* procresult.c: cxb_link_drain; whether there was one. */
static bool
drain(void)
{
    bool any = false;
    cx_guard_take(&s->guard);
    bool mine = claim();
    cx_guard_release(&s->guard);
    if (!mine) {
        return false;
    }
    while (take()) {
        any = true;
    }
    cx_guard_take(&s->guard);
    (void)release();
    cx_guard_release(&s->guard);
    return any;
}

static bool
lie_down(void)
{
    cx_shmbell_set(&s->shared.results.bell);
    cx_guard_take(&s->guard);
    s->again = s->again || s->taking;
    bool waits = !s->taking && cx_lane_waits(&s->pool);
    cx_guard_release(&s->guard);
    return (!waits || CX_BUG(HUB_LIES_DOWN_BLINDLY)) && cx_load_acquire(&s->woken) == 0;
}

/* prochub.c: hub_poll, called again and again */
static void
manage(void *unused)
{
    (void)unused;
    for (;;) {
        bool any = drain();
        bool woken = cx_xchg_acquire(&s->woken, 0) != 0;
        if (is_finished()) {
            return;
        }
        if (woken || any) {
            continue;
        }
        if (lie_down()) {
            (void)cx_park_shared(&s->eventfd, 0, CX_FOREVER); /* ppoll(2) */
        }
        cx_store_relaxed(&s->shared.results.bell, 0);
        (void)cx_xchg_acquire(&s->eventfd, 0); /* read(2) */
    }
}

static void
finish(void)
{
    cx_guard_take(&s->guard);
    bool left = release(), over = s->taken == all();
    cx_guard_release(&s->guard);
    if (over) {
        cx_store_release(&s->woken, 1);
        kick();
    }
    else if (left) {
        kick();
    }
}

/* procwatch.c: a thread in result() that looks for one result, once. */
static void
look(void *id)
{
    cx_guard_take(&s->guard);
    bool begins = !s->taking && !s->looked_at && s->done[(uintptr_t)id] == 0;
    s->looked_at = s->looked_at || begins;
    uint32_t at = s->pool.at;
    cx_guard_release(&s->guard);
    if (!begins) {
        return;
    }
    cx_lane_watch(&s->pool);
    bool waits = cx_load_acquire(&s->shared.results.published) != at;
    waits = cx_lane_unwatch(&s->pool, at) || waits;
    cx_guard_take(&s->guard);
    s->looked_at = false;
    cx_guard_release(&s->guard);
    if (!waits) {
        return;
    }
    bool plain = mc_choose(2) == 0; /* or a callback was added meanwhile */
    cx_guard_take(&s->guard);
    bool mine = plain && claim();
    cx_guard_release(&s->guard);
    if (!mine) {
        CX_UNLESS_BUG(WATCH_LEAVES_SILENTLY, kick());
        return;
    }
    struct cx_lane_message m;
    if (cx_lane_peek(&s->pool, &m) && m.id == (uintptr_t)id) {
        (void)take();
    }
    finish();
}

/* --- tasks -------------------------------------------------------------------------------------- */

static void
note_task(uint64_t id)
{
    mc_check(++s->done[id] == 1, MC_DUPLICATED,
             "a task that runs and was taken back, or ran twice");
    cx_fetch_add_relaxed(&s->ended, 1);
}

/* procjob.c: dispatch, revoke; then the end. */
static void
submit(void *unused)
{
    (void)unused;
    for (uint32_t i = 1; i <= all(); i++) {
        uint32_t number;
        int64_t begun;
        if (put(&s->pool, i, &number) != CX_OK) {
            note_task(i); /* it stays in the backlog */
            continue;
        }
        if (cx_lane_answers(&s->pool)) {
            (void)cx_unpark_shared(&s->shared.tasks.bell, 1);
        }
        if (mc_choose(2) == 1 && cx_lane_revoke(&s->pool, number)) {
            note_task(i);
        }
        else if (cx_lane_claim(&s->pool, number, &begun) == CX_CLAIM_TAKEN) {
            mc_check(begun == 1, "wrong answer", "it was begun, and nobody knows when");
        }
    }
    if (mc_choose(2) == 1) {
        mc_await(&s->ended, all());
    }
    cx_worklink_stop(&pool);
}

/* procworker.c: idle; false: leave */
static bool
idle(void)
{
    struct cx_lane *tasks = &s->worker;
    if (cx_load_acquire(&s->shared.stop) != 0) {
        return cx_lane_waits(tasks);
    }
    cx_shmbell_set(&s->shared.tasks.bell);
    bool stops = !CX_BUG(LINK_STOP_UNSEEN) && cx_load_acquire(&s->shared.stop) != 0;
    if (cx_lane_waits(tasks) || stops) {
        cx_store_relaxed(&s->shared.tasks.bell, 0);
        return true;
    }
    (void)cx_park_shared(&s->shared.tasks.bell, 1, CX_FOREVER);
    return true;
}

static void
run(void *unused)
{
    (void)unused;
    for (;;) {
        struct cx_lane_message m;
        enum cx_status status = cx_lane_take(&s->worker, &m);
        if (status == CX_OK) {
            note_task(m.id);
            cx_lane_pass(&s->worker);
        }
        else if (status != CX_EMPTY) {
            mc_fail("wrong answer", "the lane is damaged");
        }
        else if (!idle()) {
            return;
        }
    }
}

/* --- both --------------------------------------------------------------------------------------- */

void
model_worklink_setup(void)
{
    static char bytes[1 << 18]; /* for pointers into it: messages have none */
    enum what what = (enum what)mc_variant();
    struct cx_shm shm = {.fd = -1, .base = bytes};
    s = mc_aligned(CX_CACHELINE, sizeof *s);
    mc_name(&s->shared.tasks, sizeof s->shared.tasks, "tasks");
    mc_name(&s->shared.results, sizeof s->shared.results, "results");
    mc_name(&s->shared.stop, sizeof s->shared.stop, "stop");
    mc_name(&s->guard, sizeof s->guard, "guard");
    mc_name(&s->eventfd, sizeof s->eventfd, "eventfd");
    if (what == TASKS) {
        lane_init(&s->pool, &shm, &s->shared.tasks, 0);
        lane_init(&s->worker, &shm, &s->shared.tasks, 0);
        pool = (struct cx_worklink){.shared = &s->shared, .tasks = s->pool};
        mc_thread("pool", submit, NULL);
        mc_thread("worker", run, NULL);
        return;
    }
    lane_init(&s->pool, &shm, &s->shared.results, 1);
    lane_init(&s->worker, &shm, &s->shared.results, 1);
    mc_thread("worker", work, NULL);
    mc_thread("manager", manage, NULL);
    if (what == LOOK || what == BOTH) {
        mc_thread("looker", look, (void *)1);
    }
    if (what == LOG || what == BOTH) {
        mc_thread("looker", look, (void *)2);
    }
}

void
model_worklink_finish(bool deadlock)
{
    mc_check(!deadlock, MC_LOST_WAKEUP, "somebody sleeps for ever");
    for (uint32_t i = 1; i <= all(); i++) {
        mc_check(s->done[i] == 1, MC_LOST_ITEM, "nobody has taken it");
    }
}

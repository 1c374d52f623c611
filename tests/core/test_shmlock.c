// SPDX-License-Identifier: MIT
/* Words that processes wait on: who has them, who died with them, and who is woken. */
#include "harness.h"

#include "core/shmcond.h"
#include "killing.h"

struct shared {
    uint32_t lock, sem, event, bell, chime;
    uint32_t free, held, empty; /* a lock that is free, one that the parent has; a semaphore */
    uint32_t owner;             /* told by a child */
    uint64_t inside;            /* guarded by lock */
    struct cx_shmcond cond, full;
};

static struct shared *
make_shared(void)
{
    void *page = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        perror("mmap");
        abort();
    }
    return page;
}

static void
drop_shared(struct shared *s)
{
    munmap(s, sizeof *s);
}

static enum cx_status
enter(uint32_t *word)
{
    struct cx_shmlock_busy busy = {0};
    enum cx_status status;
    while ((status = cx_shmlock_enter(word, &busy)) == CX_WAIT) {
        (void)cx_park_shared(busy.word, busy.seen, cx_deadline_after(CX_SHM_LOOK));
    }
    return status;
}

static void
test_smoke(void)
{
    uint32_t lock = 0, sem = 1, event = 0, seen;
    CHECK_EQ(cx_shmlock_take(&lock, false, false, &seen), CX_OK);
    CHECK_EQ(cx_shmlock_take(&lock, false, false, &seen), CX_WAIT);
    CHECK_EQ(seen, lock);
    CHECK(cx_shmlock_release(&lock));
    CHECK(!cx_shmlock_release(&lock));
    CHECK_EQ(cx_shmsem_take(&sem, &seen), CX_OK);
    CHECK_EQ(cx_shmsem_take(&sem, &seen), CX_WAIT);
    CHECK(cx_shmsem_give(&sem, 1));
    CHECK(!cx_shmsem_give(&sem, 1));
    CHECK_EQ(cx_shmsem_value(&sem), 1);
    CHECK_EQ(cx_shmevent_look(&event, &seen), CX_WAIT);
    CHECK(!cx_shmevent_happened(&event, seen));
    cx_shmevent_set(&event);
    cx_shmevent_clear(&event);
    CHECK(cx_shmevent_happened(&event, seen)); /* though it is not set now */
    CHECK_EQ(cx_shmevent_look(&event, &seen), CX_WAIT);
    cx_shmevent_set(&event);
    CHECK_EQ(cx_shmevent_look(&event, &seen), CX_OK);
}

#define ROUNDS 20000

static void
exclude(struct worker *self)
{
    struct shared *s = self->shared;
    for (int i = 0; i < ROUNDS / self->count; i++) {
        CHECK_EQ(enter(&s->lock), CX_OK);
        s->inside++; /* plain: a sanitizer sees it if two are inside */
        CHECK(cx_shmlock_release(&s->lock));
    }
}

static void
test_lock_threads(void)
{
    struct shared *s = make_shared();
    run_threads(4, exclude, s);
    CHECK_EQ(s->inside, ROUNDS);
    drop_shared(s);
}

static void
add_in_child(void *arg)
{
    struct shared *s = arg;
    for (int i = 0; i < ROUNDS; i++) {
        CHECK_EQ(enter(&s->lock), CX_OK);
        s->inside++;
        (void)cx_shmlock_release(&s->lock);
    }
}

static void
test_lock_processes(void)
{
    struct shared *s = make_shared();
    pid_t pid = fork();
    if (pid == 0) {
        add_in_child(s);
        _exit(0);
    }
    add_in_child(s);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
    CHECK_EQ(s->inside, 2 * ROUNDS);
    CHECK_EQ(s->lock, 0);
    drop_shared(s);
}

static void
use_everything(void *arg)
{
    struct shared *s = arg;
    uint32_t seen;
    CHECK(cx_shmlock_try(&s->free, cx_owner_self()));
    CHECK_EQ(cx_shmlock_take(&s->held, true, false, &seen), CX_WAIT);
    CHECK_EQ(cx_shmsem_take(&s->empty, &seen), CX_WAIT);
    CHECK(cx_shmsem_give(&s->empty, 1)); /* and nobody sleeps */
    CHECK_EQ(cx_shmcond_enter(&s->full, &seen), -1);
    cx_shmcond_notify(&s->full, CX_SHMCOND_CELLS);
    for (int i = 0; i < 3; i++) {
        (void)enter(&s->lock);
        int cell = cx_shmcond_enter(&s->cond, &seen);
        cx_shmcond_notify(&s->cond, 1);
        (void)cx_shmcond_leave(&s->cond, cell, seen);
        (void)cx_shmlock_release(&s->lock);
        while (cx_shmsem_take(&s->sem, &seen) != CX_OK) {
        }
        (void)cx_shmsem_give(&s->sem, 100);
        (void)cx_shmevent_look(&s->event, &seen);
        cx_shmevent_set(&s->event);
        cx_shmevent_clear(&s->event);
        uint32_t heard = cx_shmchime_listen(&s->chime), again = cx_shmchime_listen(&s->chime);
        CHECK(heard == again && heard == cx_load_relaxed(&s->chime));
        cx_shmchime_strike(&s->chime, 1);
        CHECK(cx_load_relaxed(&s->chime) != heard); /* who has not parked yet need not */
        CHECK(cx_shmchime_listen(&s->chime) != heard);
        cx_shmchime_strike(&s->chime, 1);
        cx_shmbell_set(&s->bell);
        cx_shmbell_ring(&s->bell, 1);
    }
}

static void
tell_owner(void *arg)
{
    struct shared *s = arg;
    s->owner = cx_owner_self();
}

/* As a child that may die finds it: its lock has an owner that died, and one line is full. */
static struct shared *
make_crowded(void)
{
    struct shared *s = make_shared();
    uint32_t seen;
    s->sem = 2;
    s->held = cx_owner_self();
    CHECK(!dies_at(0, tell_owner, s));
    s->lock = s->owner;
    for (int i = 0; i < CX_SHMCOND_CELLS; i++) {
        CHECK_EQ(cx_shmcond_enter(&s->full, &seen), i);
    }
    cx_shmcond_notify(&s->full, CX_SHMCOND_CELLS - 2);
    return s;
}

static void
check_crowded(struct shared *s, bool died)
{
    uint32_t seen = 1; /* what the cell of one that waits holds */
    CHECK_EQ(s->held & ~CX_SHM_WAITED, cx_owner_self());
    CHECK(cx_shmlock_release(&s->held));
    CHECK_EQ(cx_shmlock_take(&s->free, true, false, &seen), s->free != 0 ? CX_DIED : CX_OK);
    CHECK(died || cx_shmsem_value(&s->empty) == 1);
    CHECK_EQ(cx_shmsem_give(&s->empty, 1), cx_shmsem_value(&s->empty) == 0);
    CHECK_EQ(cx_shmsem_take(&s->empty, &seen), CX_OK);
    cx_shmcond_notify(&s->full, UINT32_MAX);
    for (int i = 0; i < CX_SHMCOND_CELLS; i++) { /* nobody in line was passed over */
        CHECK(cx_shmcond_leave(&s->full, i, seen));
    }
}

/* A child dies at each store in turn; the survivor goes on with the very same words. */
static void
test_killed_anywhere(void)
{
    const char *const none[] = {NULL};
#ifdef CX_NO_FUTEX /* where nobody knows whether somebody sleeps */
    const char *const but[] = {"cx_shmsem_give", NULL};
#else
    const char *const *but = none;
#endif
    int k = 1;
    killed_count = 0;
    for (bool died = true; died; k++) {
        struct shared *s = make_crowded();
        uint32_t seen, permits;
        died = dies_at(k, use_everything, s);
        check_crowded(s, died);
        bool held = s->lock != 0;
        CHECK_EQ(enter(&s->lock), held ? CX_DIED : CX_OK);
        CHECK(cx_shmlock_release(&s->lock));
        permits = cx_shmsem_value(&s->sem);
        CHECK(permits == 2 || (died && permits == 1)); /* the dead one's is gone */
        (void)cx_shmevent_look(&s->event, &seen);
        cx_shmevent_set(&s->event);
        CHECK_EQ(cx_shmevent_look(&s->event, &seen), CX_OK);
        /* The dead one in line is passed over. */
        int cell = cx_shmcond_enter(&s->cond, &seen);
        cx_shmcond_notify(&s->cond, 1);
        CHECK(cx_shmcond_leave(&s->cond, cell, seen));
        CHECK_EQ(cx_shmcond_waiting(&s->cond), 0);
        drop_shared(s);
    }
    CHECK(k > 60);
    every_point_was_hit("core/shmlock.c", but);
    every_point_was_hit("core/shmlock.h", none);
    every_point_was_hit("core/shmcond.c", none);
}

/* Without recovery the lock says that its owner died until somebody frees it. */
static void
take_it(void *arg)
{
    uint32_t seen;
    (void)cx_shmlock_take(arg, false, false, &seen);
    kill(getpid(), SIGKILL);
}

static void
test_owner_died(void)
{
    struct shared *s = make_shared();
    uint32_t seen;
    CHECK(dies_at(0, take_it, &s->lock));
    CHECK_EQ(cx_shmlock_take(&s->lock, false, false, &seen), CX_DIED);
    CHECK_EQ(cx_shmlock_take(&s->lock, false, true, &seen), CX_DIED);
    CHECK(cx_shmlock_release(&s->lock));
    CHECK_EQ(cx_shmlock_take(&s->lock, false, false, &seen), CX_OK);
    CHECK(cx_shmlock_release(&s->lock));
    CHECK(dies_at(0, take_it, &s->lock));
    CHECK_EQ(cx_shmlock_take(&s->lock, true, false, &seen), CX_DIED); /* and it is ours */
    CHECK_EQ(cx_shmlock_take(&s->lock, true, false, &seen), CX_WAIT);
    drop_shared(s);
}

static void
test_line(void)
{
    static struct cx_shmcond cond;
    uint32_t seen, crowd;
    int cells[CX_SHMCOND_CELLS];
    for (int i = 0; i < CX_SHMCOND_CELLS; i++) {
        cells[i] = cx_shmcond_enter(&cond, &seen);
        CHECK_EQ(cells[i], i);
    }
    CHECK_EQ(cx_shmcond_enter(&cond, &crowd), -1);
    CHECK(!cx_shmcond_leave(&cond, -1, crowd));
    CHECK(!cx_shmcond_leave(&cond, 0, seen)); /* timed out: the next one is first in line */
    cx_shmcond_notify(&cond, 2);
    CHECK(!cx_shmcond_leave(&cond, 3, seen));
    CHECK(cx_shmcond_leave(&cond, 2, seen));
    CHECK(cx_shmcond_leave(&cond, 1, seen));
    CHECK_EQ(cx_shmcond_enter(&cond, &seen), 0); /* the last in line, in the first cell */
    cx_shmcond_notify(&cond, 1);
    CHECK(!cx_shmcond_leave(&cond, 0, seen));
    CHECK(cx_shmcond_leave(&cond, 4, seen));
    cx_shmcond_notify(&cond, UINT32_MAX);
    CHECK(cx_shmcond_leave(&cond, -1, crowd));
    CHECK_EQ(cx_shmcond_waiting(&cond), 0);
    cond.high = UINT32_MAX; /* written by whomever */
    CHECK_EQ(cx_shmcond_waiting(&cond), 0);
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    cx_shm_install();
    RUN(test_smoke);
    RUN(test_lock_threads);
    RUN(test_lock_processes);
    RUN(test_killed_anywhere);
    RUN(test_owner_died);
    RUN(test_line);
    return harness_end();
}

// SPDX-License-Identifier: MIT
/* The words that processes share: shmlock.c, shmcond.c and shmcursor.h themselves and the words of lent
 * blocks, under names of their own, with threads for processes.  A process may die at any store.
 *
 * Where nobody dies a sleeper sleeps until it is woken, so that a lost wake-up shows; where somebody may,
 * it looks again at any time, as it does in CX_SHM_LOOK.  Semaphores always look: their waited-for bit
 * may be cleared too early, which shmlock.c says. */
#include "core/shm.h"
#undef CX_KILL_POINT
#undef cx_xchg_release
#define cx_xchg_release(p, v) cx_xchg_acquire(p, v) /* its answer is looked at */
#define CX_KILL_POINT() kill_point()
#define cx_owner_self() owner_self()
#define cx_owner_alive(owner) owner_alive(owner)
#define cx_shmlock_take mc_shmlock_take
#define cx_shmlock_release mc_shmlock_release
#define cx_shmlock_enter mc_shmlock_enter
#define cx_shmsem_take mc_shmsem_take
#define cx_shmsem_give mc_shmsem_give
#define cx_shmevent_look mc_shmevent_look
#define cx_shmevent_happened mc_shmevent_happened
#define cx_shmevent_set mc_shmevent_set
#define cx_shmevent_clear mc_shmevent_clear
#define cx_shmbell_set mc_shmbell_set
#define cx_shmbell_ring mc_shmbell_ring
#define cx_shmchime_listen mc_shmchime_listen
#define cx_shmchime_strike mc_shmchime_strike
#define cx_shmcond_enter mc_shmcond_enter
#define cx_shmcond_word mc_shmcond_word
#define cx_shmcond_leave mc_shmcond_leave
#define cx_shmcond_notify mc_shmcond_notify
#define cx_shmcond_waiting mc_shmcond_waiting

static void kill_point(void);
static uint32_t owner_self(void);
static bool owner_alive(uint32_t owner);

#include "core/shmcond.c"
#include "core/shmcursor.h"
#include "core/shmlock.c"

#include "core/shmarena.h"
#include "models.h"

enum what { LOCK, LOCK_DIES, SEM, EVENT, BELL, CHIME, CURSOR, CURSOR_DIES, COND, LEND };

struct state {
    uint32_t word;
    uint32_t inside; /* a thread plus one */
    uint32_t never;
    uint32_t item, taken; /* bell */
    uint32_t waiting, woken;
    uint32_t published; /* plain: guarded by the lock */
    uint32_t used;      /* how a lent block is used */
    bool may_die, died[MC_THREADS], gave_up;
    struct cx_shmring_cursor cursor;
    struct cx_shmcond cond;
    char line[2 * CX_SHMARENA_LINE];
};

static struct state *s;

static uint32_t
owner_self(void)
{
    return (uint32_t)mc_self() + 1;
}

static bool
owner_alive(uint32_t owner)
{
    return owner == 0 || owner > MC_THREADS || !s->died[owner - 1];
}

/* One thread, the first, may die, once. */
static void
kill_point(void)
{
    if (s->may_die && mc_self() == 0 && mc_choose(2) == 1) {
        cx_fence_seq_cst(); /* its stores are seen before its death is */
        s->died[0] = true;
        mc_await(&s->never, 1);
    }
}

static int64_t
patience(void)
{
    return s->may_die ? 1 : CX_FOREVER;
}

static void
acquire(bool recover)
{
    uint32_t seen = 0;
    for (bool slept = false;; slept = true) {
        enum cx_status status = cx_shmlock_take(&s->word, recover, slept, &seen);
        if (status != CX_WAIT) {
            return;
        }
        (void)cx_park_shared(&s->word, seen, patience());
    }
}

static void
enter(void)
{
    mc_check(s->inside == 0 || s->died[s->inside - 1], "exclusion broken", "two inside");
    s->inside = (uint32_t)mc_self() + 1;
}

static void
lock_body(void *rounds)
{
    for (int i = 0; i < (int)(intptr_t)rounds; i++) {
        acquire(true);
        enter();
        (void)cx_load_relaxed(&s->never); /* a point to be scheduled at */
        s->inside = 0;
        (void)cx_shmlock_release(&s->word);
    }
}

static void
sem_body(void *unused)
{
    uint32_t seen = 0;
    (void)unused;
    while (cx_shmsem_take(&s->word, &seen) == CX_WAIT) {
        (void)cx_park_shared(&s->word, seen, 1);
    }
    enter();
    (void)cx_load_relaxed(&s->never);
    s->inside = 0;
    mc_check(cx_shmsem_give(&s->word, 1), "wrong answer", "a permit too many");
}

static void
event_wait(void *unused)
{
    uint32_t seen = 0;
    int looks = 0;
    (void)unused;
    if (cx_shmevent_look(&s->word, &seen) == CX_WAIT) {
        s->waiting++;
        while (!cx_shmevent_happened(&s->word, seen)) {
            mc_check(looks++ < 3, MC_LOST_WAKEUP, "it was set, and the waiter does not see it");
            (void)cx_park_shared(&s->word, seen, CX_FOREVER);
        }
    }
    s->woken++;
}

/* Set and cleared while both wait; or one after the other, and left set. */
static void
event_set(void *unused)
{
    (void)unused;
    if (mc_choose(2) == 1) {
        mc_await(&s->waiting, 2);
        cx_shmevent_set(&s->word);
        cx_shmevent_clear(&s->word);
        return;
    }
    cx_shmevent_set(&s->word);
    cx_shmevent_clear(&s->word);
    cx_shmevent_set(&s->word);
}

/* What a bell of one and a chime of many have in common. */
static uint32_t
listen(void)
{
    if (mc_variant() == CHIME) {
        return cx_shmchime_listen(&s->word);
    }
    cx_shmbell_set(&s->word);
    return 1;
}

static void
ring(void)
{
    if (mc_variant() == CHIME) {
        cx_shmchime_strike(&s->word, 1);
    }
    else {
        cx_shmbell_ring(&s->word, 1);
    }
}

static void
bell_put(void *n)
{
    for (int i = 0; i < (int)(intptr_t)n; i++) {
        uint32_t item = cx_load_relaxed(&s->item);
        cx_store_relaxed(&s->item, item + 1); /* one producer; a store, as a cursor's is */
        ring();
    }
}

static void
bell_get(void *n)
{
    bool slept = false;
    for (int got = 0; got < (int)(intptr_t)n;) {
        uint32_t taken = cx_load_relaxed(&s->taken);
        if (cx_load_relaxed(&s->item) > taken) {
            if (cx_cas_acquire(&s->taken, &taken, taken + 1)) {
                if (slept && cx_load_relaxed(&s->item) > taken + 1) {
                    ring(); /* one wake may stand for several items */
                }
                got++;
            }
            continue;
        }
        uint32_t heard = listen();
        if (cx_load_relaxed(&s->item) > cx_load_relaxed(&s->taken)) {
            continue;
        }
        (void)cx_park_shared(&s->word, heard, CX_FOREVER);
        slept = true;
        if (!CX_BUG(SHM_WOKEN_SETS_NO_BELL)) {
            (void)listen();
        }
    }
}

static void
cursor_write(void *n)
{
    for (int i = 0; i < (int)(intptr_t)n; i++) {
        acquire(true);
        struct cx_shmring_place place = cx_shmcursor_look(&s->cursor);
        uint64_t next = place.messages + 1;
        mc_check(place.messages >= s->published, MC_LOST_ITEM, "what was published is gone");
        place = (struct cx_shmring_place){next, next, next};
        cx_shmcursor_publish(&s->cursor, &place);
        s->published = (uint32_t)next;
        (void)cx_shmlock_release(&s->word);
    }
}

static void
cursor_read(void *unused)
{
    uint64_t last = 0;
    (void)unused;
    for (int i = 0; i < 2; i++) {
        struct cx_shmring_place place = cx_shmcursor_look(&s->cursor);
        mc_check(place.region == place.position && place.position == place.messages, "torn place",
                 "of two versions");
        mc_check(place.messages >= last, MC_ORDER, "an older place after a newer one");
        last = place.messages;
    }
}

static void
cond_wait(void *unused)
{
    uint32_t seen = 0;
    (void)unused;
    acquire(true);
    int cell = cx_shmcond_enter(&s->cond, &seen);
    s->waiting++;
    (void)cx_shmlock_release(&s->word);
    const uint32_t *word = cx_shmcond_word(&s->cond, cell, &seen);
    while (cx_load_acquire(word) == seen) {
        (void)cx_park_shared(word, seen, CX_FOREVER);
    }
    acquire(true);
    s->woken += cx_shmcond_leave(&s->cond, cell, seen);
    (void)cx_shmlock_release(&s->word);
}

static void
cond_notify(void *n)
{
    mc_await(&s->waiting, 2);
    for (int i = 0; i < (int)(intptr_t)n; i++) {
        acquire(true);
        cx_shmcond_notify(&s->cond, 1);
        (void)cx_shmlock_release(&s->word);
    }
}

static void
borrow(void *unused)
{
    char *at = s->line + CX_SHMARENA_LINE;
    (void)unused;
    if (cx_shmarena_borrow(at, true)) {
        mc_check(s->used != 2, MC_FREED, "the block was lent again");
        s->used = 1;
        (void)cx_load_relaxed(&s->never);
        mc_check(s->used == 1, MC_FREED, "the block was lent again under its borrower");
        s->used = 0;
        cx_shmarena_return(at);
    }
    else {
        s->gave_up = true;
    }
}

static void
call_back(void *unused)
{
    (void)unused;
    bool back = cx_shmarena_call_back(s->line + CX_SHMARENA_LINE);
    s->woken += back;
    if (cx_load_acquire((uint32_t *)(void *)s->line) == 0) { /* as cx_shmarena_sweep looks */
        mc_check(s->used == 0, MC_FREED, "lent again while it is used");
        s->used = 2;
    }
}

void
model_shm_setup(void)
{
    enum what what = (enum what)mc_variant();
    s = calloc(1, sizeof *s);
    mc_name(&s->word, sizeof s->word, "word");
    mc_name(&s->cursor, sizeof s->cursor, "cursor");
    mc_name(&s->cond, sizeof s->cond, "line");
    s->may_die = what == LOCK_DIES || what == CURSOR_DIES;
    switch (what) {
    case LOCK:
    case LOCK_DIES:
        mc_thread("A", lock_body, (void *)1);
        mc_thread("B", lock_body, (void *)(intptr_t)(what == LOCK ? 2 : 1));
        mc_thread("C", lock_body, (void *)1);
        break;
    case SEM:
        s->word = 1;
        for (int i = 0; i < 3; i++) {
            mc_thread("taker", sem_body, NULL);
        }
        break;
    case EVENT:
        mc_thread("waiter", event_wait, NULL);
        mc_thread("waiter", event_wait, NULL);
        mc_thread("setter", event_set, NULL);
        break;
    case BELL:
        mc_thread("producer", bell_put, (void *)2);
        mc_thread("consumer", bell_get, (void *)2);
        break;
    case CHIME:
        mc_thread("producer", bell_put, (void *)2);
        mc_thread("consumer", bell_get, (void *)1);
        mc_thread("consumer", bell_get, (void *)1);
        break;
    case CURSOR:
    case CURSOR_DIES:
        mc_thread("writer", cursor_write, (void *)2);
        mc_thread("writer", cursor_write, (void *)1);
        mc_thread("reader", cursor_read, NULL);
        break;
    case COND:
        mc_thread("waiter", cond_wait, NULL);
        mc_thread("waiter", cond_wait, NULL);
        mc_thread("notifier", cond_notify, (void *)2);
        break;
    case LEND:
        *(uint32_t *)(void *)s->line = 0x80000000u; /* as cx_shmarena_lend leaves it */
        mc_thread("borrower", borrow, NULL);
        mc_thread("borrower", borrow, NULL);
        mc_thread("owner", call_back, NULL);
        break;
    }
}

void
model_shm_finish(bool deadlock)
{
    enum what what = (enum what)mc_variant();
    bool all = true;
    for (int i = 0; i < (what == BELL ? 2 : 3); i++) {
        all = all && (mc_ended(i) || s->died[i]);
    }
    (void)deadlock;
    mc_check(all, MC_LOST_WAKEUP, "somebody sleeps for ever");
    switch (what) {
    case LOCK:
        mc_check(s->word == 0, MC_LEFT_IN_LIST, "the lock is still held");
        break;
    case SEM:
        mc_check(cx_shmsem_value(&s->word) == 1, MC_LOST_ITEM, "a permit");
        break;
    case BELL:
    case CHIME:
        mc_check(s->taken == 2, MC_LOST_ITEM, "an item was not taken");
        break;
    case CURSOR:
        mc_check(cx_shmcursor_look(&s->cursor).messages == 3, MC_LOST_ITEM, "a place");
        break;
    case CURSOR_DIES:
        mc_check(cx_shmcursor_look(&s->cursor).messages >= s->published, MC_LOST_ITEM, "a place");
        break;
    case COND:
        mc_check(s->woken == 2, MC_LOST_ITEM, "a notification");
        break;
    case LEND:
        mc_check(s->woken == 1 || !s->gave_up || s->used != 1, MC_LOST_ITEM, "the block");
        break;
    default:
        break;
    }
}

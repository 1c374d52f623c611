// SPDX-License-Identifier: MIT
/* The lock-free structures with their turnstiles (core/ringqueue.h): look again, pass on, chained
 * wake.  The threads wait as cx_ringqueue_put_native and the binding do. */
#include "core/ringqueue.h"
#include "core/clock.h"
#include "core/port.h"

#include "ledger.h"
#include "models.h"
#include "wakes.h"

enum todo { NOTHING, PUTS, GETS, CANCELS, CLOSES };

enum how {
    TIMED = 1, /* a wait may time out; then nothing more is done */
    QUITS = 2, /* may leave after it was granted, without looking again (an interruption) */
    PAIRS = 4, /* puts two at once */
    NOWAIT = 8 /* gives up where it would wait */
};

struct role {
    enum todo todo;
    int arg; /* how many items; CANCELS: which thread */
    int how;
};

struct variant {
    enum cx_ringqueue_kind kind;
    uint64_t capacity;
    struct role roles[MC_THREADS];
};

static const struct variant variants[] = {
    [0] = {CX_KIND_RING, 4, {{PUTS, 1, 0}, {PUTS, 1, 0}, {GETS, 1, 0}, {GETS, 1, 0}}},
    [1] = {CX_KIND_RING, 4, {{PUTS, 1, 0}, {PUTS, 1, 0}, {GETS, 1, TIMED}, {GETS, 1, 0}}},
    [2] = {CX_KIND_RING, 4, {{PUTS, 1, 0}, {GETS, 1, QUITS}, {GETS, 1, 0}, {CANCELS, 2, 0}}},
    [3] = {CX_KIND_RING, 1, {{PUTS, 2, 0}, {PUTS, 1, 0}, {GETS, 3, 0}}},
    [4] = {CX_KIND_RING, 1, {{PUTS, 1, TIMED}, {PUTS, 2, 0}, {GETS, 2, TIMED}}},
    [5] = {CX_KIND_RING, 2, {{PUTS, 2, PAIRS}, {PUTS, 1, 0}, {GETS, 1, 0}, {GETS, 2, 0}}},
    [6] = {CX_KIND_RING, 1, {{PUTS, 2, 0}, {GETS, 2, 0}, {GETS, 1, 0}, {CLOSES, 0, 0}}},
    [7] = {CX_KIND_STACK, 0, {{PUTS, 1, 0}, {PUTS, 1, 0}, {GETS, 1, 0}, {GETS, 1, 0}}},
    [8] = {CX_KIND_STACK, 0, {{PUTS, 1, 0}, {PUTS, 1, 0}, {GETS, 1, TIMED}, {GETS, 1, 0}}},
    [9] = {CX_KIND_STACK, 0, {{PUTS, 3, 0}, {GETS, 1, NOWAIT}, {GETS, 2, NOWAIT}}},
    [10] = {CX_KIND_SPSC, 1, {{PUTS, 3, 0}, {GETS, 3, 0}}},
    [11] = {CX_KIND_SPSC, 1, {{PUTS, 3, TIMED}, {GETS, 3, TIMED}}},
    [12] = {CX_KIND_SPSC, 1, {{PUTS, 2, 0}, {GETS, 3, 0}, {CLOSES, 0, 0}}},
    [13] = {CX_KIND_RING,
            2,
            {{PUTS, 1, 0}, {GETS, 1, 0}, {GETS, 1, 0}, {GETS, 1, 0}, {CLOSES, 0, 0}}},
};

struct state {
    struct cx_ringqueue *q;
    struct ledger ledger;
    struct cx_waiter *sleeping[MC_THREADS];
    bool closed;
};

static struct state *s;
static const struct variant *v;

/* Waits until it is worth looking again.  False: gave up. */
static bool
wait_on(enum cx_ringqueue_side side, struct cx_waiter *w, int how)
{
    struct cx_wakes wakes = CX_WAKES_INIT;
    enum cx_status status = CX_OK;
    uint32_t word;
    cx_waiter_arm(w);
    if (cx_ringqueue_wait(s->q, side, &w->node) == CX_AGAIN) {
        return true;
    }
    s->sleeping[mc_self()] = w;
    while ((word = cx_waiter_state(w)) == CX_WAITING && status != CX_TIMEOUT) {
        status = cx_park(&w->commit, CX_WAITING, how & TIMED ? 1 : CX_FOREVER);
    }
    s->sleeping[mc_self()] = NULL;
    bool stays = CX_COMMIT_STATE(word) == CX_GRANTED;
    if (word == CX_WAITING) { /* late; what was granted meanwhile is passed on */
        (void)!cx_ringqueue_leave(s->q, side, &w->node, CX_TIMED_OUT, &wakes);
    }
    else if (CX_COMMIT_STATE(word) == CX_CANCELLED) {
        cx_turnstile_remove(&s->q->sides[side], &w->node);
    }
    else if (how & QUITS && mc_choose(2) == 1) {
        cx_ringqueue_pass_on(s->q, side, &wakes);
        stays = false;
    }
    deliver(&wakes);
    return stays;
}

/* How many of n were put before it gave up or the ring was closed. */
static int
put_some(uint64_t first, int n, int how)
{
    struct cx_waiter *w = cx_waiter_borrow();
    struct cx_wakes wakes = CX_WAKES_INIT;
    enum cx_status why = CX_OK;
    uint64_t words[2] = {first, first + 1};
    size_t k = 0;
    for (int i = 0; i < n; i++) {
        ledger_put(&s->ledger, first + (uint64_t)i);
    }
    do {
        k = cx_ringqueue_put(s->q, words, (size_t)n, &why, &wakes);
        deliver(&wakes);
        mc_check(k > 0 || why == CX_FULL || why == CX_AGAIN || why == CX_BUSY ||
                     (s->closed && why == CX_CLOSED),
                 "wrong answer", "of a put");
    } while (k == 0 && why != CX_CLOSED && wait_on(CX_PUTTERS, w, how));
    cx_waiter_return(w);
    for (int i = (int)k; i < n; i++) {
        ledger_unput(&s->ledger, first + (uint64_t)i);
    }
    return (int)k;
}

static bool
get_one(int how)
{
    struct cx_waiter *w = cx_waiter_borrow();
    struct cx_wakes wakes = CX_WAKES_INIT;
    enum cx_status why = CX_OK;
    uint64_t word = 0;
    size_t k;
    do {
        k = cx_ringqueue_get(s->q, &word, 1, &why, &wakes);
        deliver(&wakes);
        mc_check(k > 0 || why == CX_EMPTY || why == CX_AGAIN || why == CX_BUSY ||
                     (s->closed && why == CX_CLOSED),
                 "wrong answer", "of a get");
    } while (k == 0 && why != CX_CLOSED && !(how & NOWAIT) && wait_on(CX_GETTERS, w, how));
    cx_waiter_return(w);
    if (k > 0) {
        ledger_got(&s->ledger, word);
    }
    return k > 0;
}

static void
close_ring(void)
{
    struct cx_wakes wakes = CX_WAKES_INIT;
    s->closed = true;
    mc_check(cx_ringqueue_close(s->q), "wrong answer", "of close");
    bool more;
    do {
        more = cx_ringqueue_wake_all(s->q, &wakes);
        deliver(&wakes);
    } while (more);
}

static void
body(void *arg)
{
    const struct role *role = arg;
    int first = 1;
    struct cx_waiter *w;
    for (const struct role *other = v->roles; other < role; other++) {
        first += other->todo == PUTS ? other->arg : 0;
    }
    switch (role->todo) {
    case PUTS:
        for (int i = 0, k = 1; i < role->arg && k > 0; i += k) {
            k = put_some((uint64_t)(first + i), role->how & PAIRS && i == 0 ? 2 : 1, role->how);
        }
        break;
    case GETS:
        for (int i = 0; i < role->arg && (get_one(role->how) || role->how & NOWAIT); i++) {
        }
        break;
    case CANCELS:
        (void)mc_choose(1); /* a point to be scheduled at */
        w = s->sleeping[role->arg];
        if (w != NULL && cx_waiter_decide(w, CX_CANCELLED)) {
            cx_unpark(&w->commit, 1);
        }
        break;
    case CLOSES:
        close_ring();
        break;
    default:
        break;
    }
}

void
model_ring_setup(void)
{
    static const char *const names[] = {"", "putter", "getter", "canceller", "closer"};
    v = &variants[mc_variant()];
    s = calloc(1, sizeof *s);
    s->q = cx_ringqueue_new(v->kind, v->capacity);
    mc_quiet(&s->q->generation, sizeof s->q->generation);
    if (v->kind == CX_KIND_STACK) {
        mc_quiet(&s->q->store.stack.pushed, sizeof(uint64_t));
        mc_quiet(&s->q->store.stack.popped, sizeof(uint64_t));
    }
    s->ledger.ordered = v->kind != CX_KIND_STACK;
    for (int side = 0; side < 2; side++) {
        struct cx_turnstile *ts = &s->q->sides[side];
        mc_name(&ts->lock, sizeof ts->lock, side == CX_GETTERS ? "getters.lock" : "putters.lock");
        mc_name(&ts->list.count, sizeof ts->list.count,
                side == CX_GETTERS ? "getters.count" : "putters.count");
    }
    if (v->kind == CX_KIND_RING) {
        mc_name(&s->q->store.ring.tail, 8, "tail");
        mc_name(&s->q->store.ring.head, 8, "head");
        mc_name(&s->q->store.ring.head_seen, 8, "head_seen");
        mc_name(s->q->store.ring.cells, (s->q->store.ring.mask + 1) * 16, "cells");
    }
    for (const struct role *r = v->roles; r->todo != NOTHING; r++) {
        mc_thread(names[r->todo], body, (void *)(uintptr_t)r);
    }
}

static bool
waits(enum todo todo)
{
    for (int i = 0; v->roles[i].todo != NOTHING; i++) {
        if (v->roles[i].todo == todo && !mc_ended(i)) {
            return true;
        }
    }
    return false;
}

void
model_ring_finish(bool deadlock)
{
    size_t len = cx_ringqueue_len(s->q);
    (void)deadlock;
    mc_check(!waits(GETS) || (len == 0 && !s->closed), MC_LOST_WAKEUP,
             "a getter sleeps beside an item");
    mc_check(!waits(PUTS) || (len >= cx_ringqueue_capacity(s->q) && !s->closed), MC_LOST_WAKEUP,
             "a putter sleeps beside room");
    mc_check(waits(GETS) || cx_waitlist_count(&s->q->sides[CX_GETTERS].list) == 0, MC_LEFT_IN_LIST,
             "a getter");
    mc_check(waits(PUTS) || cx_waitlist_count(&s->q->sides[CX_PUTTERS].list) == 0, MC_LEFT_IN_LIST,
             "a putter");
    /* Putters that wait hold items that are not put yet: count what is in the structure instead. */
    uint64_t word;
    enum cx_status why;
    struct cx_wakes wakes = CX_WAKES_INIT;
    int waiting = (int)cx_waitlist_count(&s->q->sides[CX_PUTTERS].list), left = 0;
    for (int i = 0; i < LEDGER_ITEMS; i++) {
        if (cx_ringqueue_get(s->q, &word, 1, &why, &wakes) == 1) {
            mc_check(s->ledger.fate[word] == PUT, MC_DUPLICATED, "still inside after it was got");
            s->ledger.fate[word] = GOT;
            left++;
        }
    }
    mc_check(left == (int)len, "wrong count", "of what is left");
    mc_check(ledger_left(&s->ledger) <= waiting, MC_LOST_ITEM, "it was put and is nowhere");
}

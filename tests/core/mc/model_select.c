// SPDX-License-Identifier: MIT
/* A select: one waiter with a node in each of two turnstiles, one commit word.
 *
 * The selector looks at both rings, enlists in both, looks again; if something is ready it commits
 * its own word to RETRY and starts over.  Granted by one, it leaves the other.  If it then takes from
 * the other one, the wake of the first was not used and goes on (rule 2 of core/turnstile.h). */
#include "core/ringqueue.h"
#include "core/clock.h"
#include "core/port.h"

#include "ledger.h"
#include "models.h"
#include "wakes.h"

struct state {
    struct cx_ringqueue *q[2];
    struct cx_node *second[MC_THREADS]; /* the node beyond the waiter's own */
    struct ledger ledger;
};

struct variant {
    int puts[2];    /* into each ring, by a thread of its own */
    int selects[2]; /* two selectors: how many each takes */
    int gets;       /* from ring 1, by a plain getter */
};

static const struct variant variants[] = {
    [0] = {{1, 1}, {2, 0}, 0},
    [1] = {{1, 1}, {1, 0}, 1},
    [2] = {{1, 1}, {1, 1}, 0},
};

static struct state *s;
static const struct variant *v;

static bool
get(int which)
{
    struct cx_wakes wakes = CX_WAKES_INIT;
    enum cx_status why;
    uint64_t word;
    size_t k = cx_ringqueue_get(s->q[which], &word, 1, &why, &wakes);
    deliver(&wakes);
    if (k > 0) {
        ledger_got(&s->ledger, word);
    }
    return k > 0;
}

static struct cx_turnstile *
getters(int which)
{
    return &s->q[which]->sides[CX_GETTERS];
}

/* Sleeps until one of the two is worth a look: which. */
static int
wait_for_both(struct cx_waiter *w)
{
    struct cx_node *nodes[2] = {&w->node, s->second[mc_self()]};
    cx_waiter_arm(w);
    *nodes[1] = (struct cx_node){.waiter = w, .index = 1};
    for (int i = 0; i < 2; i++) {
        cx_turnstile_enlist(getters(i), nodes[i]);
    }
    bool ready = false;
    for (int i = 0; i < 2 && !ready; i++) {
        ready = cx_ring_item_ready(&s->q[i]->store.ring);
    }
    bool retry = ready && cx_waiter_decide(w, CX_RETRY);
    while (!retry && cx_waiter_state(w) == CX_WAITING) {
        (void)cx_park(&w->commit, CX_WAITING, CX_FOREVER);
    }
    uint32_t word = cx_waiter_state(w);
    for (int i = 0; i < 2; i++) {
        cx_turnstile_remove(getters(i), nodes[i]);
    }
    return CX_COMMIT_STATE(word) == CX_GRANTED ? (int)CX_COMMIT_INDEX(word) : -1;
}

static void
select_body(void *arg)
{
    struct cx_waiter *w = cx_waiter_borrow();
    for (int n = (int)(intptr_t)arg; n > 0; n--) {
        int claimed = -1, from = -1;
        for (;;) {
            from = get(0) ? 0 : get(1) ? 1 : -1;
            if (from >= 0) {
                break;
            }
            claimed = wait_for_both(w);
        }
        if (claimed >= 0 && claimed != from && !CX_BUG(SELECT_NO_PASS_ON)) {
            struct cx_wakes wakes = CX_WAKES_INIT;
            cx_ringqueue_pass_on(s->q[claimed], CX_GETTERS, &wakes);
            deliver(&wakes);
        }
    }
    cx_waiter_return(w);
}

static void
get_body(void *arg)
{
    struct cx_waiter *w = cx_waiter_borrow();
    for (int n = (int)(intptr_t)arg; n > 0; n--) {
        while (!get(1)) {
            cx_waiter_arm(w);
            if (cx_ringqueue_wait(s->q[1], CX_GETTERS, &w->node) == CX_WAIT) {
                while (cx_waiter_state(w) == CX_WAITING) {
                    (void)cx_park(&w->commit, CX_WAITING, CX_FOREVER);
                }
            }
        }
    }
    cx_waiter_return(w);
}

static void
put_body(void *arg)
{
    int which = (int)(intptr_t)arg;
    for (int i = 0; i < v->puts[which]; i++) {
        struct cx_wakes wakes = CX_WAKES_INIT;
        enum cx_status why;
        uint64_t word = (uint64_t)(4 * which + i + 1);
        ledger_put(&s->ledger, word);
        mc_check(cx_ringqueue_put(s->q[which], &word, 1, &why, &wakes) == 1, "wrong answer",
                 "of a put");
        deliver(&wakes);
    }
}

void
model_select_setup(void)
{
    v = &variants[mc_variant()];
    s = calloc(1, sizeof *s);
    for (int i = 0; i < 2; i++) {
        s->q[i] = cx_ringqueue_new(CX_KIND_RING, 2);
        mc_quiet(&s->q[i]->generation, sizeof s->q[i]->generation);
        mc_name(&s->q[i]->store.ring.tail, 8, i == 0 ? "tail 0" : "tail 1");
        mc_name(&s->q[i]->store.ring.head, 8, i == 0 ? "head 0" : "head 1");
        mc_name(getters(i), sizeof *getters(i), i == 0 ? "getters 0" : "getters 1");
        mc_thread("putter", put_body, (void *)(intptr_t)i);
    }
    for (int i = 0; i < MC_THREADS; i++) {
        s->second[i] = calloc(1, sizeof *s->second[i]);
    }
    for (int i = 0; i < 2; i++) {
        if (v->selects[i] > 0) {
            mc_thread("selector", select_body, (void *)(intptr_t)v->selects[i]);
        }
    }
    if (v->gets > 0) {
        mc_thread("getter", get_body, (void *)(intptr_t)v->gets);
    }
}

void
model_select_finish(bool deadlock)
{
    size_t left[2] = {cx_ringqueue_len(s->q[0]), cx_ringqueue_len(s->q[1])};
    int selectors = (v->selects[0] > 0) + (v->selects[1] > 0);
    bool selects = false;
    for (int i = 2; i < 2 + selectors; i++) {
        selects = selects || !mc_ended(i);
    }
    bool gets = v->gets > 0 && !mc_ended(2 + selectors);
    (void)deadlock;
    mc_check(!selects || left[0] + left[1] == 0, MC_LOST_WAKEUP,
             "a selector sleeps beside an item");
    mc_check(!gets || left[1] == 0, MC_LOST_WAKEUP, "a getter sleeps beside an item");
    mc_check((int)(left[0] + left[1]) == ledger_left(&s->ledger), MC_LOST_ITEM,
             "it was put and is nowhere");
    for (int i = 0; i < 2; i++) {
        mc_check(selects || gets || cx_waitlist_count(&getters(i)->list) == 0, MC_LEFT_IN_LIST,
                 "a node of a selector");
    }
}

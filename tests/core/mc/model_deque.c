// SPDX-License-Identifier: MIT
/* A worker's deque (core/deque.h): the owner at the bottom, thieves at the top. */
#include "core/deque.h"

#include "ledger.h"
#include "models.h"

enum todo { NOTHING, OWNS, STEALS };

struct role {
    enum todo todo;
    const char *does; /* OWNS: '+' pushes the next item, '-' pops; STEALS: one try for each */
};

struct variant {
    uint64_t capacity;
    struct role roles[MC_THREADS];
};

static const struct variant variants[] = {
    [0] = {2, {{OWNS, "+-"}, {STEALS, "."}, {STEALS, "."}}},
    [1] = {4, {{OWNS, "++--"}, {STEALS, ".."}, {STEALS, "."}}},
    [2] = {4, {{OWNS, "++-+-"}, {STEALS, ".."}}},
    [3] = {1, {{OWNS, "+++-"}, {STEALS, ".."}, {STEALS, "."}}},
};

struct state {
    struct cx_deque d;
    struct ledger ledger;
};

static struct state *s;
static const struct variant *v;

static void
body(void *arg)
{
    const struct role *role = arg;
    uintptr_t next = 1;
    for (const char *step = role->does; *step != '\0'; step++) {
        void *item = NULL;
        if (*step == '+') {
            ledger_put(&s->ledger, next);
            mc_check(cx_deque_push(&s->d, (void *)next), "no memory", "for an item");
            next++;
        }
        else if (*step == '-') {
            item = cx_deque_pop(&s->d);
        }
        else if (cx_deque_steal(&s->d, &item) != CX_OK) {
            item = NULL;
        }
        if (item != NULL) {
            ledger_got(&s->ledger, (uintptr_t)item);
        }
    }
}

void
model_deque_setup(void)
{
    static const char *const names[] = {"", "owner", "thief"};
    v = &variants[mc_variant()];
    s = calloc(1, sizeof *s);
    mc_check(cx_deque_init(&s->d, v->capacity), "no memory", "for cells");
    mc_name(&s->d.top, sizeof s->d.top, "top");
    mc_name(&s->d.bottom, sizeof s->d.bottom, "bottom");
    for (const struct role *r = v->roles; r->todo != NOTHING; r++) {
        mc_thread(names[r->todo], body, (void *)(uintptr_t)r);
    }
}

void
model_deque_finish(bool deadlock)
{
    mc_check(!deadlock, MC_LOST_WAKEUP, "nobody waits here");
    mc_check(ledger_left(&s->ledger) == (int)cx_deque_count(&s->d), MC_LOST_ITEM,
             "it is neither in the deque nor got");
    cx_deque_fini(&s->d);
}

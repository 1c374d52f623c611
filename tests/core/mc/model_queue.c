// SPDX-License-Identifier: MIT
/* The engine of Queue (core/queue.h): hand-over, reserved slots, time-outs, cancellation from
 * outside, and grants that are given back.  The threads do what binding/block.c does. */
#include "core/port.h"
#include "core/clock.h"
#include "core/queue.h"

#include "ledger.h"
#include "models.h"
#include "wakes.h"

enum todo {
    NOTHING,
    PUTS,    /* arg items, waiting for room */
    GETS,    /* arg items, waiting for them */
    CANCELS, /* the waiter of thread `arg`, whatever it does */
    JOINS,
    CLOSES,
    CLEARS, /* takes everything out at once */
    MOVES   /* switches to the compatibility mode */
};

enum how {
    TIMED = 1,      /* a wait may time out; then nothing more is done */
    GIVES_BACK = 2, /* a granted item or slot may be given back (an interruption) */
    DONE = 4,       /* says that each item is done */
    HEAVY = 8,      /* items that weigh two */
    FAST = 16       /* tries the inline path first */
};

struct role {
    enum todo todo;
    int arg;
    int how;
};

struct variant {
    enum cx_discipline discipline;
    int64_t limit;
    bool ordered;
    int64_t max_weight; /* 0: none */
    struct role roles[MC_THREADS];
};

/* Indexed by the model's variant; models.c says what each is. */
static const struct variant variants[] = {
    [0] = {CX_FIFO, INT64_MAX, true, 0, {{PUTS, 2, 0}, {PUTS, 1, 0}, {GETS, 2, 0}, {GETS, 1, 0}}},
    [1] =
        {CX_FIFO, INT64_MAX, true, 0, {{PUTS, 2, 0}, {PUTS, 1, 0}, {GETS, 2, TIMED}, {GETS, 2, 0}}},
    [2] = {CX_FIFO,
           INT64_MAX,
           false,
           0,
           {{PUTS, 2, 0}, {GETS, 1, GIVES_BACK}, {GETS, 1, TIMED}, {CANCELS, 1, 0}}},
    [3] = {CX_FIFO, 1, true, 0, {{PUTS, 2, 0}, {PUTS, 1, 0}, {GETS, 2, 0}, {GETS, 1, 0}}},
    [4] = {CX_FIFO, 1, true, 0, {{PUTS, 2, TIMED}, {PUTS, 1, 0}, {GETS, 2, TIMED}}},
    [5] = {CX_PRIORITY,
           1,
           false,
           0,
           {{PUTS, 1, GIVES_BACK}, {PUTS, 1, TIMED}, {PUTS, 1, 0}, {GETS, 2, 0}}},
    [6] = {CX_FIFO,
           INT64_MAX,
           false,
           0,
           {{PUTS, 2, 0}, {GETS, 2, DONE}, {JOINS, 0, 0}, {JOINS, 0, TIMED}}},
    [7] = {CX_FIFO, 1, false, 0, {{PUTS, 2, 0}, {PUTS, 1, 0}, {GETS, 2, 0}, {CLOSES, 0, 0}}},
    [8] = {CX_FIFO,
           1,
           false,
           0,
           {{PUTS, 2, 0}, {PUTS, 1, TIMED}, {GETS, 1, GIVES_BACK}, {GETS, 2, 0}}},
    [9] = {CX_FIFO,
           INT64_MAX,
           false,
           2,
           {{PUTS, 1, 0}, {PUTS, 1, HEAVY | TIMED}, {PUTS, 1, 0}, {GETS, 1, TIMED}}},
    [10] = {CX_FIFO,
            2,
            true,
            0,
            {{PUTS, 3, FAST}, {PUTS, 1, FAST}, {GETS, 2, FAST}, {GETS, 1, TIMED}}},
    [11] = {CX_FIFO, 1, true, 0, {{PUTS, 2, 0}, {PUTS, 1, TIMED}, {GETS, 1, 0}, {CLEARS, 0, 0}}},
    [12] = {CX_FIFO,
            1,
            false,
            0,
            {{PUTS, 2, 0}, {GETS, 1, GIVES_BACK}, {GETS, 1, TIMED}, {MOVES, 0, 0}}},
};

struct state {
    struct cx_queue q;
    struct ledger ledger;
    struct cx_waiter *sleeping[MC_THREADS]; /* whom CANCELS can reach */
    bool closed, moved;
    uint64_t elsewhere; /* items that take_all took */
};

static struct state *s;
static const struct variant *v;

static int
less(void *a, void *b)
{
    return (uintptr_t)a < (uintptr_t)b;
}

static void
retain(void *item)
{
    (void)item;
}

static void
finish_op(struct cx_queue_op *op)
{
    deliver(&op->wakes);
    cx_queue_recycle(&op->spent);
}

/* Sleeps until the waiter is committed.  True: granted. */
static bool
sleep_on(struct cx_waitlist *list, struct cx_waiter *w, int how)
{
    struct cx_wakes wakes = CX_WAKES_INIT;
    enum cx_status status = CX_OK;
    uint32_t word;
    s->sleeping[mc_self()] = w;
    while ((word = cx_waiter_state(w)) == CX_WAITING && status != CX_TIMEOUT) {
        status = cx_park(&w->commit, CX_WAITING, how & TIMED ? 1 : CX_FOREVER);
    }
    s->sleeping[mc_self()] = NULL;
    if (word == CX_WAITING && !cx_waiter_decide(w, CX_TIMED_OUT)) {
        word = cx_waiter_state(w);
    }
    if (CX_COMMIT_STATE(word) == CX_GRANTED) {
        return true;
    }
    if (!CX_BUG(LEAVE_NO_REMOVE)) {
        cx_queue_leave(&s->q, list, &w->node, &wakes);
    }
    deliver(&wakes);
    return false;
}

/* Everything that is in the store, or was given back, goes elsewhere. */
static void
take_all(void)
{
    struct cx_buffer store;
    struct cx_node *returned;
    struct cx_waiter *spent = NULL;
    (void)!cx_queue_take_all(&s->q, &store, &returned, false);
    while (returned != NULL) {
        ledger_got(&s->ledger, (uintptr_t)cx_queue_pop_returned(&returned, &spent));
        s->elsewhere++;
    }
    while (store.count > 0) {
        ledger_got(&s->ledger, (uintptr_t)cx_buffer_pop_front(&store));
        s->elsewhere++;
    }
    cx_buffer_fini(&store);
    cx_queue_recycle(&spent);
}

/* True: put. */
static bool
put_one(void *item, int how)
{
    ledger_put(&s->ledger, (uintptr_t)item);
    if (how & FAST && cx_queue_put_fast(&s->q, item)) {
        return true;
    }
    struct cx_queue_op op;
    struct cx_waiter *w = cx_waiter_borrow();
    enum cx_status status;
    cx_queue_op_init(&op, item, how & HEAVY ? 2 : 1);
    status = cx_queue_put(&s->q, &op, &w->node);
    finish_op(&op);
    if (status == CX_WAIT) {
        status = sleep_on(&s->q.givers, w, how) ? w->node.status : CX_TIMEOUT;
        if (status == CX_AGAIN && how & GIVES_BACK && mc_choose(2) == 1) {
            cx_queue_release(&s->q, op.weight, &op.wakes);
            status = CX_TIMEOUT;
        }
        else if (status == CX_AGAIN) {
            status = cx_queue_fill(&s->q, &op);
        }
        finish_op(&op);
    }
    cx_waiter_return(w);
    mc_check(status == CX_OK || status == CX_TIMEOUT || (s->closed && status == CX_CLOSED) ||
                 (s->moved && status == CX_MOVED),
             "wrong answer", "of a put");
    if (status != CX_OK) {
        ledger_unput(&s->ledger, (uintptr_t)item);
    }
    return status == CX_OK;
}

static void
done(void)
{
    struct cx_wakes wakes = CX_WAKES_INIT;
    mc_check(cx_queue_done(&s->q, &wakes) == CX_OK, "wrong answer", "of task_done");
    deliver(&wakes);
}

/* True: got (or given back). */
static bool
get_one(int how)
{
    struct cx_queue_op op;
    void *item;
    if (how & FAST && cx_queue_get_fast(&s->q, &item)) {
        ledger_got(&s->ledger, (uintptr_t)item);
        return true;
    }
    struct cx_waiter *w = cx_waiter_borrow();
    cx_queue_op_init(&op, NULL, 0);
    enum cx_status status = cx_queue_get(&s->q, &op, &w->node);
    finish_op(&op);
    if (status == CX_WAIT) {
        status = sleep_on(&s->q.takers, w, how) ? w->node.status : CX_TIMEOUT;
        op.item = w->node.item;
        if (status == CX_OK && how & GIVES_BACK && mc_choose(2) == 1) {
            if (!CX_BUG(NO_GIVE_BACK)) {
                (void)cx_queue_give_back(&s->q, &w->node, &op.wakes);
            }
            deliver(&op.wakes);
            if (s->moved) {
                take_all();
            }
            return true;
        }
    }
    cx_waiter_return(w);
    mc_check(status == CX_OK || status == CX_TIMEOUT || (s->closed && status == CX_CLOSED) ||
                 (s->moved && status == CX_MOVED),
             "wrong answer", "of a get");
    if (status == CX_OK) {
        ledger_got(&s->ledger, (uintptr_t)op.item);
        if (how & DONE) {
            done();
        }
    }
    return status == CX_OK;
}

static void
join(int how)
{
    struct cx_waiter *w = cx_waiter_borrow();
    if (cx_queue_join(&s->q, &w->node) == CX_WAIT && sleep_on(&s->q.joiners, w, how)) {
        mc_check(w->node.status == CX_OK, "wrong answer", "of a join");
    }
    cx_waiter_return(w);
}

/* From outside, at any time: the owner finds itself cancelled and leaves. */
static void
cancel(int thread)
{
    struct cx_waiter *w = s->sleeping[thread];
    if (w != NULL && cx_waiter_decide(w, CX_CANCELLED)) {
        cx_unpark(&w->commit, 1);
    }
}

static void
end_queue(enum todo todo)
{
    struct cx_wakes wakes = CX_WAKES_INIT;
    if (todo == CLOSES) {
        s->closed = true;
        mc_check(cx_queue_close(&s->q, false), "wrong answer", "of close");
    }
    else {
        s->moved = true;
        cx_queue_move(&s->q);
        take_all();
    }
    do {
        cx_queue_settle(&s->q, &wakes);
        deliver(&wakes);
    } while (cx_waitlist_count(&s->q.takers) + cx_waitlist_count(&s->q.givers) > 0);
}

static void
body(void *arg)
{
    const struct role *role = arg;
    struct cx_wakes wakes = CX_WAKES_INIT;
    int first = 1;
    for (const struct role *other = v->roles; other < role; other++) {
        first += other->todo == PUTS ? other->arg : 0;
    }
    switch (role->todo) {
    case PUTS:
        for (int i = 0; i < role->arg && put_one((void *)(intptr_t)(first + i), role->how); i++) {
        }
        break;
    case GETS:
        for (int i = 0; i < role->arg && get_one(role->how); i++) {
        }
        break;
    case CANCELS:
        (void)mc_choose(1); /* a point to be scheduled at */
        cancel(role->arg);
        break;
    case JOINS:
        join(role->how);
        break;
    case CLOSES:
    case MOVES:
        end_queue(role->todo);
        break;
    case CLEARS:
        take_all();
        cx_queue_settle(&s->q, &wakes);
        deliver(&wakes);
        break;
    default:
        break;
    }
}

void
model_queue_setup(void)
{
    static const char *const names[] = {"",       "putter", "getter",  "canceller",
                                        "joiner", "closer", "clearer", "mover"};
    v = &variants[mc_variant()];
    s = calloc(1, sizeof *s);
    cx_queue_init(&s->q, v->discipline, v->max_weight > 0);
    s->q.limit = v->limit;
    if (v->max_weight > 0) {
        s->q.max_weight = v->max_weight;
    }
    s->q.less = less;
    s->q.retain = retain;
    s->ledger.ordered = v->ordered;
    mc_name(&s->q.guard, sizeof s->q.guard, "guard");
    mc_name(&s->q.takers, sizeof s->q.takers, "takers");
    mc_name(&s->q.givers, sizeof s->q.givers, "givers");
    mc_name(&s->q.joiners, sizeof s->q.joiners, "joiners");
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

static bool
has_room(const struct cx_queue *q, const struct cx_queue_view *view)
{
    const struct cx_node *giver = q->givers.head;
    return giver != NULL && (int64_t)view->len + view->reserved < v->limit &&
           (v->max_weight == 0 || q->weight + q->reserved_weight + giver->weight <= v->max_weight);
}

void
model_queue_finish(bool deadlock)
{
    struct cx_queue *q = &s->q;
    struct cx_queue_view view;
    (void)deadlock;
    cx_queue_look(q, &view);
    /* What may wait for ever: takers of nothing, givers without room, joiners of unfinished items. */
    bool over = s->closed || s->moved;
    mc_check(!waits(GETS) || (view.len == 0 && !over), MC_LOST_WAKEUP,
             "a getter sleeps beside an item");
    mc_check(!waits(PUTS) || (view.givers > 0 && !has_room(q, &view) && !over), MC_LOST_WAKEUP,
             "a putter sleeps beside room");
    mc_check(!waits(JOINS) || view.unfinished > 0, MC_LOST_WAKEUP, "a joiner sleeps for nothing");
    mc_check(waits(GETS) || view.takers == 0, MC_LEFT_IN_LIST, "a getter");
    mc_check(waits(PUTS) || view.givers == 0, MC_LEFT_IN_LIST, "a putter");
    mc_check(waits(JOINS) || view.joiners == 0, MC_LEFT_IN_LIST, "a joiner");
    mc_check(view.reserved == 0, MC_LEFT_IN_LIST, "a slot that nobody will fill");
    /* Those who wait hold an item that is not put yet. */
    int left = ledger_left(&s->ledger) - (int)view.givers;
    mc_check((int)view.len >= left, MC_LOST_ITEM, "it was put and is nowhere");
    mc_check((int)view.len <= left, MC_DUPLICATED, "more is left than was put");
    mc_check((uint64_t)view.len + s->elsewhere == view.stats.puts - view.stats.gets, "wrong count",
             "puts, gets");
    mc_check(v->max_weight == 0 || q->weight <= v->max_weight, "limit exceeded", "by weight");
    mc_check(view.len <= 1 || v->limit > 1 || q->returned != NULL, "limit exceeded", "by a put");
}

// SPDX-License-Identifier: MIT
/* A table of lru_cache (core/lru.h) and its statistics (core/tally.h): a hit against an eviction, and who
 * may free at once because no other thread has been there.
 *
 * As binding/lrucachecall.c has it.  Keys are the numbers 0 to 7, the table has one place.  Steps:
 *   k   call with the key k: a hit, or a miss that stores it     s   the sum, between what must be in it
 *   r   reset
 */
#include "core/limbo.h"
#include "core/lru.h"
#include "core/tally.h"

#include "models.h"

#define ROLES 3

struct variant {
    const char *before; /* by the first thread's number: it owns the tally */
    bool has_barrier;
    const char *roles[ROLES];
};

static const struct variant variants[] = {
    [0] = {"", false, {"01", "0s"}},
    [1] = {"", true, {"012", "01"}},
    [2] = {"", true, {"00", "0r"}},
};

struct item {
    struct cx_lru_entry entry; /* first */
    uint64_t key;
};

struct state {
    struct cx_lru lru;
    struct cx_tally tally;
    struct cx_limbo limbo;
    struct cx_rcu rcu;
    struct cx_rcu_slot *mine[MC_THREADS + 1];
    int alive;                   /* items */
    int counted[MC_THREADS + 1]; /* calls of each thread whose count has been made */
    int begun;                   /* of all threads, or begun */
    int resets;                  /* what was counted before one, at least and at most */
    int before_least, before_most;
};

static struct state *s;
static const struct variant *v;

static void
item_free(struct item *item)
{
    s->alive--;
    item->key = 99;
    free(item);
}

static void
free_batches(struct cx_batch *batch)
{
    while (batch != NULL) {
        struct cx_batch *next = batch->next;
        for (uint32_t i = 0; i < batch->count; i++) {
            item_free(batch->item[i]);
        }
        free(batch);
        batch = next;
    }
}

static struct item *
find(uint64_t key)
{
    struct cx_lru_entry *entry = cx_lru_first(&s->lru, key << 61);
    for (; entry != NULL; entry = cx_lru_next(entry)) {
        struct item *item = (struct item *)entry;
        /* A schedule point: what was found may be unlinked now, but not freed. */
        mc_check(cx_load_relaxed(&item->key) < 8, MC_FREED, "an item under a reader's eyes");
        if (item->key == key) {
            return item;
        }
    }
    return NULL;
}

/* What the caller has counted is all that it can know to be counted. */
static int *
mine(void)
{
    return &s->counted[mc_thread_number()];
}

static void
count(enum cx_tally_kind kind)
{
    s->begun++;
    cx_tally_add(&s->tally, kind);
    ++*mine();
}

static void
store(uint64_t key)
{
    struct item *item = calloc(1, sizeof *item), *gone = NULL;
    struct cx_batch *ripe = NULL, *room = cx_batch_new();
    bool is_due = false;
    *item = (struct item){.entry = {.hash = key << 61, .pins = 1}, .key = key};
    s->alive++;
    cx_lru_enter(&s->lru);
    if (find(key) == NULL) {
        if (!cx_limbo_has_room(&s->limbo, 1)) {
            cx_limbo_open(&s->limbo, room);
            room = NULL;
        }
        gone = (struct item *)cx_lru_insert(&s->lru, &item->entry, cx_stamp());
        item = NULL;
        if (gone != NULL && !CX_BUG(LRU_FREES_AT_ONCE) && !cx_tally_is_alone(&s->tally)) {
            cx_limbo_add(&s->limbo, gone, CX_LIMBO_WEIGHT);
            is_due = cx_limbo_seal_if_due(&s->limbo);
            gone = NULL;
        }
    }
    cx_lru_leave(&s->lru);
    if (is_due) {
        (void)(cx_rcu_try_advance() && cx_rcu_try_advance());
        cx_lru_enter(&s->lru);
        ripe = cx_limbo_take(&s->limbo);
        cx_lru_leave(&s->lru);
    }
    if (gone != NULL) {
        item_free(gone);
    }
    if (item != NULL) {
        item_free(item);
    }
    free_batches(ripe);
    free(room);
}

static void
call(uint64_t key)
{
    cx_tally_arrive(&s->tally);
    cx_rcu_enter();
    struct item *item = find(key);
    if (item != NULL) {
        cx_lru_use(&s->lru, &item->entry, cx_stamp());
        cx_rcu_exit();
        count(CX_HITS);
        return;
    }
    cx_rcu_exit();
    count(CX_MISSES);
    store(key);
}

static int64_t
sum(void)
{
    return cx_tally_sum(&s->tally, CX_HITS) + cx_tally_sum(&s->tally, CX_MISSES);
}

static void
perform(const char *steps)
{
    for (const char *step = steps; *step != '\0'; step++) {
        if (*step == 's') {
            int least = *mine();
            int64_t counted = sum();
            mc_check(counted >= least && counted <= s->begun, "wrong count", "of calls");
        }
        else if (*step == 'r') {
            s->before_least = *mine();
            cx_tally_reset(&s->tally);
            s->before_most = s->begun;
            s->resets++;
        }
        else {
            call((uint64_t)(*step - '0'));
        }
    }
}

static void
body(void *arg)
{
    perform(arg);
}

void
model_lru_setup(void)
{
    struct cx_lru_room room;
    v = &variants[mc_variant()];
    s = calloc(1, sizeof *s);
    mc_rcu = &s->rcu;
    mc_rcu_slots = s->mine;
    s->rcu.epoch = 1;
    s->rcu.is_fenced = !v->has_barrier;
    mc_quiet(&s->rcu.is_fenced, sizeof s->rcu.is_fenced);
    cx_lru_init(&s->lru, 1);
    cx_tally_init(&s->tally);
    mc_check(cx_lru_room(&room, 1, 1), "no memory", "for a table");
    cx_lru_grow(&s->lru, &room);
    cx_lru_room_free(&room);
    mc_name(&s->tally.owner, sizeof s->tally.owner, "owner");
    mc_name(&s->tally.arrivals, sizeof s->tally.arrivals, "arrivals");
    mc_name(&s->rcu.epoch, sizeof s->rcu.epoch, "epoch");
    perform(v->before);
    for (int i = 0; i < ROLES && v->roles[i] != NULL; i++) {
        mc_thread(v->roles[i], body, (void *)(uintptr_t)v->roles[i]);
    }
}

void
model_lru_finish(bool deadlock)
{
    mc_check(!deadlock, MC_LOST_WAKEUP, "nobody waits here but for a guard");
    int64_t counted = sum();
    mc_check(counted <= s->begun - (s->resets ? s->before_least : 0) &&
                 counted >= s->begun - (s->resets ? s->before_most : 0),
             "wrong count", "of calls in the end");
    struct cx_lru_room room;
    free_batches(cx_limbo_take_all(&s->limbo));
    for (struct cx_lru_entry *all = cx_lru_clear(&s->lru, &room), *next; all != NULL; all = next) {
        next = all->removed;
        item_free((struct item *)all);
    }
    cx_lru_room_free(&room);
    cx_lru_fini(&s->lru);
    cx_tally_fini(&s->tally);
    mc_check(s->alive == 0, MC_LEAK, "an item");
}

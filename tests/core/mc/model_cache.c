// SPDX-License-Identifier: MIT
/* Hits of a cache beside its exclusion (core/cacheread.h), and what they may be on (core/gone.h, core/rcu.h):
 * whatever a reader finds is its key's, and not dropped while it looks.
 *
 * Keys are the numbers 0 to 7; 0 to 3 begin at one cell.  A role is a string of steps, at the time 90:
 *   +k  put k      tk  put k with a time-to-idle of 100      wk  put k with a weight, which takes a column
 *   xk  put k, to expire at 95      -k  remove k      ?k  get k, which must be there      ~k  get k
 *   c   clear      s   settle
 */
#include "core/cacheread.h"
#include "core/cacheroom.h"

#include "models.h"

#include <string.h>

#define ROLES 3
#define NOW 90

struct variant {
    const char *policy;
    int64_t maxsize;
    const char *before; /* done by setup, at the time 0 */
    const char *roles[ROLES];
};

static const struct variant variants[] = {
    [0] = {"s3fifo", 1, "+0", {"+1+2", "~0~1"}},   [1] = {"fifo", 4, "+0+1+2", {"-0", "?1?2"}},
    [2] = {"s3fifo", 4, "+0", {"+0", "?0", "+0"}}, [3] = {"sieve", 4, "+0+1", {"c", "~0~1", "+0"}},
    [4] = {"s3fifo", 4, "+0+1", {"w2", "?0?1"}},   [5] = {"fifo", 4, "t0", {"w1", "?0"}},
    [6] = {"lru", 2, "+0+1n", {"?0+2", "~0"}},     [7] = {"fifo", 4, "x0", {"+0", "~0", "-0"}},
};

struct value {
    uint64_t key;
    uint32_t refs;
};

struct state {
    struct cx_cache cache;
    struct cx_rcu rcu;
    struct cx_rcu_slot *mine[MC_THREADS + 1];
    uint64_t hash[8];
    int alive; /* values */
};

static struct state *s;
static const struct variant *v;

static bool
is_key(const void *object)
{
    return (uintptr_t)object <= 8;
}

static void *
name_of(uint64_t key)
{
    return (void *)(uintptr_t)(key + 1); /* NULL is no key */
}

static void
retain(void *object)
{
    if (!is_key(object)) {
        mc_check(((struct value *)object)->key < 8, MC_FREED, "retained");
        ((struct value *)object)->refs++;
    }
}

static void
release(void *object)
{
    struct value *value = object;
    mc_check(value->key < 8, MC_FREED, "released");
    if (--value->refs == 0) {
        s->alive--;
        value->key = 99;
        free(value);
    }
}

static int
same(void *stored, void *probe)
{
    return stored == probe;
}

/* --- what binding/cacheread.c and cachestore.c do ------------------------------------------------- */

static void
drop(struct cx_dead *dead)
{
    for (unsigned i = 0; i < dead->count; i++) {
        release(dead->item[i].value);
    }
    dead->count = 0;
}

static void
drop_arrays(const struct cx_entries *full)
{
    for (uint32_t i = 0; i < full->used; i++) {
        if (full->at[i].value != NULL) {
            release(full->at[i].value);
        }
    }
}

static void
take(void)
{
    mc_check(cx_cache_take(&s->cache), "no memory", "in a child");
}

static void
reap(bool is_over)
{
    struct cx_entries *arrays;
    bool more;
    do {
        struct cx_dead dead = {0};
        take();
        more = cx_cache_reap(&s->cache, &dead, is_over);
        arrays = more ? NULL : cx_cache_reap_arrays(&s->cache, is_over);
        cx_cache_release(&s->cache);
        drop(&dead);
        if (arrays != NULL && arrays->is_full) {
            drop_arrays(arrays);
        }
        if (arrays != NULL) {
            cx_gone_free_arrays(arrays);
        }
    } while (more || arrays != NULL);
}

static void
settle(void)
{
    take();
    cx_cache_seal(&s->cache);
    cx_cache_release(&s->cache);
    (void)(cx_rcu_try_advance() && cx_rcu_try_advance());
    reap(false);
}

static void
bury(struct cx_dead *dead)
{
    drop(dead);
    if (cx_cache_is_due(&s->cache)) {
        settle();
    }
}

static void
put(uint64_t key, char how, int64_t now)
{
    struct value *value = calloc(1, sizeof *value);
    *value = (struct value){key, 1};
    s->alive++;
    struct cx_put what = {.key = name_of(key),
                          .value = value,
                          .hash = s->hash[key],
                          .weight = how == 'w' ? 2 : 1,
                          .now = now,
                          .deadline = how == 'x' ? 95 : CX_FOREVER,
                          .span = how == 't' ? 100 : 0};
    enum cx_status status;
    do {
        struct cx_dead dead = {0};
        struct cx_room room;
        uint32_t at = CX_NONE;
        take();
        status = cx_cache_find(&s->cache, what.hash, same, what.key, now, &at);
        if (status == CX_TIMEOUT) {
            cx_cache_remove(&s->cache, at, CX_EXPIRED, &dead);
        }
        bool planned = cx_cache_plan(&s->cache, &what, &room);
        status = planned ? CX_AGAIN
                         : cx_cache_put(&s->cache, status == CX_OK ? at : CX_NONE, &what, &dead);
        cx_cache_release(&s->cache);
        bury(&dead);
        if (planned) {
            mc_check(cx_room_allocate(s->cache.policy.kind, &room), "no memory", "for room");
            take();
            cx_cache_adopt(&s->cache, &room);
            cx_cache_release(&s->cache);
            cx_room_free(&room);
        }
    } while (status == CX_AGAIN);
}

static bool
look_inside(uint64_t key, int64_t now)
{
    struct cx_dead dead = {0};
    uint32_t at;
    take();
    enum cx_status status = cx_cache_find(&s->cache, s->hash[key], same, name_of(key), now, &at);
    if (status == CX_OK) {
        cx_cache_hit(&s->cache, at, now);
    }
    else if (status == CX_TIMEOUT) {
        cx_cache_remove(&s->cache, at, CX_EXPIRED, &dead);
    }
    cx_cache_release(&s->cache);
    bury(&dead);
    return status == CX_OK;
}

static bool
look(uint64_t key, int64_t now)
{
    struct cx_seen seen;
    bool is_told = true;
    cx_tally_arrive(&s->cache.tally);
    cx_rcu_enter();
    enum cx_status status = cx_cache_read(&s->cache, s->hash[key], same, name_of(key), now, &seen);
    if (status == CX_OK) {
        /* A schedule point: what was found may be gone now, but not dropped. */
        mc_check(cx_load_relaxed(&((struct value *)seen.value)->key) == key, MC_FREED,
                 "a value under a reader's eyes");
        is_told = cx_cache_note(&s->cache, &seen, now);
    }
    cx_rcu_exit();
    if (!is_told) {
        cx_cache_begin_notes(&s->cache);
        (void)look_inside(key, now);
    }
    return status == CX_OK || (status != CX_EMPTY && look_inside(key, now));
}

static void
erase(uint64_t key, int64_t now)
{
    struct cx_dead dead = {0};
    uint32_t at;
    take();
    if (cx_cache_find(&s->cache, s->hash[key], same, name_of(key), now, &at) != CX_EMPTY) {
        cx_cache_remove(&s->cache, at, CX_EXPLICIT, &dead);
    }
    cx_cache_release(&s->cache);
    bury(&dead);
}

static void
clear(void)
{
    struct cx_growth out;
    cx_entries_plan_empty(&out);
    mc_check(cx_growth_allocate(&out), "no memory", "to clear");
    take();
    cx_cache_swap(&s->cache, &out);
    bool waits = cx_cache_retire(&s->cache, &out, true);
    cx_cache_release(&s->cache);
    if (waits) {
        settle();
    }
    else {
        drop_arrays(&out.arrays);
        cx_growth_free(&out);
    }
}

/* -------------------------------------------------------------------------------------------------- */

static void
perform(const char *steps, int64_t now)
{
    for (const char *step = steps; *step != '\0'; step++) {
        uint64_t key = (uint64_t)(step[1] - '0');
        switch (*step) {
        case 'c':
            clear();
            continue;
        case 's':
            settle();
            continue;
        case 'n':
            cx_cache_begin_notes(&s->cache);
            continue;
        case '-':
            erase(key, now);
            break;
        case '?':
            mc_check(look(key, now), MC_LOST_ITEM, "a key that was there all the time");
            break;
        case '~':
            (void)look(key, now);
            break;
        default:
            put(key, *step, now);
        }
        step++;
    }
}

static void
body(void *arg)
{
    perform(arg, NOW);
}

/* Hashes of keys: half of them begin at one cell. */
static void
choose_hashes(void)
{
    uint64_t hash = 0;
    for (int key = 0; key < 8; key++) {
        uint64_t home = key < 4 ? 3 : 9;
        while (cx_entries_mix(++hash) >> s->cache.entries.shift != home) {
        }
        s->hash[key] = hash;
    }
}

void
model_cache_setup(void)
{
    v = &variants[mc_variant()];
    s = calloc(1, sizeof *s);
    mc_rcu = &s->rcu;
    mc_rcu_slots = s->mine;
    s->rcu.epoch = 1;
    s->rcu.is_fenced = true;
    mc_quiet(&s->rcu.is_fenced, sizeof s->rcu.is_fenced);
    mc_check(cx_cache_init(&s->cache, cx_policy_named(v->policy, strlen(v->policy)), v->maxsize,
                           INT64_MAX),
             "no memory", "for a cache");
    s->cache.retain = retain;
    mc_quiet(&s->cache.generation, sizeof s->cache.generation);
    mc_quiet(&s->cache.tally, sizeof s->cache.tally); /* model_lru.c's */
    mc_name(&s->cache.entries.view, sizeof s->cache.entries.view, "view");
    mc_name(&s->cache.entries.moves, sizeof s->cache.entries.moves, "moves");
    mc_name(&s->cache.entries.tables, sizeof s->cache.entries.tables, "tables");
    mc_name(&s->rcu.epoch, sizeof s->rcu.epoch, "epoch");
    choose_hashes();
    perform(v->before, 0);
    settle();
    for (int i = 0; i < ROLES && v->roles[i] != NULL; i++) {
        mc_thread(v->roles[i], body, (void *)(uintptr_t)v->roles[i]);
    }
}

void
model_cache_finish(bool deadlock)
{
    mc_check(!deadlock, MC_LOST_WAKEUP, "nobody waits here but for a guard");
    if (mc_variant() == 5) {
        mc_check(look(0, 189), MC_LOST_ITEM, "which was used at 90 and lives for 100");
    }
    if (mc_variant() == 6) {
        mc_check(look(0, NOW) && look(2, NOW) && !look(1, NOW), MC_ORDER,
                 "the victim is not the one that was used longest ago");
    }
    uint32_t count = 0;
    for (uint64_t key = 0; key < 8; key++) {
        count += look_inside(key, NOW);
    }
    mc_check(count == s->cache.entries.count, "wrong count", "of entries");
    clear();
    reap(true);
    cx_cache_fini(&s->cache);
    mc_check(s->alive == 0, MC_LEAK, "a value");
}

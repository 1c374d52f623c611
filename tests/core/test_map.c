// SPDX-License-Identifier: MIT
/* The concurrent map: against a model, through growth and shrinking, with threads, walkers and forks. */
#include "harness.h"

#include "map_objects.h"

#include <sys/wait.h>

/* --- one thread ------------------------------------------------------------------------------- */

static void
test_smoke(void)
{
    struct cx_map m;
    CHECK(cx_map_init(&m, &hooks, 3, 0));
    CHECK_EQ(get(&m, 1), UINT64_MAX);
    set(&m, 1, 10);
    set(&m, 2, 20);
    set(&m, 1, 11);
    CHECK(get(&m, 1) == 11 && get(&m, 2) == 20 && cx_map_count(&m) == 2);
    del(&m, 1);
    del(&m, 1);
    CHECK(get(&m, 1) == UINT64_MAX && cx_map_count(&m) == 1);
    cx_map_fini(&m);
    CHECK_EQ(objects, 0);
}

#define KEYS 5000

/* A walk in steps of `room`, changing the map meanwhile: keys below `stays` are seen once each. */
static void
walk(struct cx_map *m, size_t room, uint64_t stays, void (*meanwhile)(struct cx_map *, uint64_t))
{
    static uint8_t seen[2 * KEYS];
    struct cx_map_node into[256];
    uint64_t cursor = 0, step = 0;
    bool is_end = false;
    memset(seen, 0, sizeof seen);
    while (!is_end) {
        size_t taken = cx_map_scan(m, &cursor, &is_end, into, room);
        CHECK(taken <= 256);
        if (taken > room) { /* a bucket of that many */
            room = taken;
            continue;
        }
        for (size_t i = 0; i < taken; i++) {
            seen[((struct object *)into[i].key)->number]++;
            object_drop(into[i].key);
            object_drop(into[i].value);
        }
        if (meanwhile != NULL) {
            meanwhile(m, step++);
        }
    }
    for (uint64_t i = 0; i < 2 * KEYS; i++) {
        if (i < stays ? seen[i] != 1 : seen[i] > 1) {
            CHECK_EQ(seen[i], 1);
            return;
        }
    }
}

/* Grows to twice the size while the walk goes on. */
static void
grow(struct cx_map *m, uint64_t step)
{
    for (uint64_t i = 0; i < 20 && KEYS + step * 20 + i < 2 * KEYS; i++) {
        set(m, KEYS + step * 20 + i, step);
    }
}

/* Shrinks to a sixteenth. */
static void
shrink(struct cx_map *m, uint64_t step)
{
    for (uint64_t i = 0; i < 400 && 2 * KEYS - 1 - step * 400 - i >= KEYS / 16; i++) {
        del(m, 2 * KEYS - 1 - step * 400 - i);
    }
}

static void
test_model(void)
{
    static uint64_t model[KEYS];
    struct rng rng = {harness_seed};
    struct cx_map m;
    CHECK(cx_map_init(&m, &hooks, 2, 0));
    memset(model, 0xff, sizeof model);
    for (int i = 0; i < 200000; i++) {
        /* The share of removals swings, so that the map grows and shrinks. */
        uint64_t key = rng_below(&rng, KEYS), value = rng_below(&rng, 1000);
        bool removes = rng_below(&rng, 100) < (uint32_t)(i / 20000 % 2 == 0 ? 20 : 80);

        if (removes) {
            del(&m, key);
            model[key] = UINT64_MAX;
        }
        else {
            set(&m, key, value);
            model[key] = value;
        }

        uint64_t probe = rng_below(&rng, KEYS);
        if (!CHECK_EQ(get(&m, probe), model[probe])) {
            break;
        }
    }
    int64_t count = 0;
    for (uint64_t i = 0; i < KEYS; i++) {
        count += model[i] != UINT64_MAX;
    }
    CHECK_EQ(cx_map_count(&m), count);
    CHECK(m.table->number > 5); /* it has been through many tables */
    cx_map_fini(&m);
    CHECK_EQ(objects, 0);
}

static void
test_walks(void)
{
    struct cx_map m;
    for (uint32_t bits = 0; bits <= 4; bits += 4) {
        CHECK(cx_map_init(&m, &hooks, bits, 0));
        for (uint64_t i = 0; i < KEYS; i++) {
            set(&m, i, i);
        }
        walk(&m, 64, KEYS, NULL);
        walk(&m, 7, KEYS, grow);
        walk(&m, 100, KEYS / 16, shrink);
        walk(&m, 1, KEYS / 16, NULL);
        CHECK(cx_map_clear(&m));
        walk(&m, 64, 0, NULL);
        cx_map_fini(&m);
        CHECK_EQ(objects, 0);
    }
}

/* No write moves more than CX_MAP_STEP buckets, and the map keeps up with its growth. */
static void
test_no_write_moves_much(void)
{
    struct cx_map m;
    uint64_t before = 0;
    CHECK(cx_map_init(&m, &hooks, 0, 0));
    for (uint64_t i = 0; i < 100000; i++) {
        uint32_t number = m.stripes[0].number;
        before = m.stripes[0].moved;
        set(&m, i, i);
        uint64_t moved =
            m.stripes[0].number == number ? m.stripes[0].moved - before : m.stripes[0].moved;
        if (moved > CX_MAP_STEP) {
            CHECK_EQ(moved, CX_MAP_STEP);
        }
    }
    CHECK((int64_t)cx_map_buckets(m.table) * 2 >= cx_map_count(&m));
    cx_map_fini(&m);
}

static void
test_snapshot_and_clear(void)
{
    struct cx_map m;
    static struct cx_map_node into[100];
    CHECK(cx_map_init(&m, &hooks, 3, 1000));
    CHECK_EQ(cx_map_snapshot(&m, into, 0), 0);
    for (uint64_t i = 0; i < 100; i++) {
        set(&m, i, i);
    }
    CHECK_EQ(m.table->number, 1); /* there was room for a thousand */
    CHECK_EQ(cx_map_snapshot(&m, into, 99), 100);
    CHECK_EQ(cx_map_snapshot(&m, into, 100), 100);
    uint64_t sum = 0;
    for (int i = 0; i < 100; i++) {
        sum += ((struct object *)into[i].key)->number;
        object_drop(into[i].key);
        object_drop(into[i].value);
    }
    CHECK_EQ(sum, 4950);
    CHECK(cx_map_clear(&m));
    CHECK(cx_map_count(&m) == 0 && get(&m, 5) == UINT64_MAX);
    CHECK_EQ(objects, 0); /* nobody was reading, so all of it is gone at once */
    set(&m, 5, 6);
    CHECK_EQ(get(&m, 5), 6);
    cx_map_fini(&m);
}

/* Many keys of one hash, then of two that share all but the last bucket bits. */
static void
test_flood(void)
{
    struct cx_map m;
    CHECK(cx_map_init(&m, &hooks, 2, 0));
    for (uint64_t i = 0; i < 3000; i++) {
        put_hashed(&m, object_new(i, false), i % 2 == 0 ? 0 : 1, object_new(i, false));
    }
    for (uint64_t i = 3000; i < 3000 + KEYS; i++) { /* the flood moves through tables */
        set(&m, i, i);
    }
    for (uint64_t i = 0; i < 3000; i++) {
        struct object key = {1, i, false};
        if (!CHECK_EQ(get_hashed(&m, &key, i % 2), i)) {
            break;
        }
    }
    struct cx_map_node *into = malloc(3000 * sizeof *into);
    uint64_t cursor = 0;
    bool is_end = false;
    CHECK(cx_map_scan(&m, &cursor, &is_end, into, 100) >= 3000 && cursor == 0);
    free(into);
    for (uint64_t i = 0; i < 3000; i++) {
        put_hashed(&m, object_new(i, false), i % 2, NULL);
    }
    CHECK_EQ(cx_map_count(&m), KEYS);
    cx_map_fini(&m);
    CHECK_EQ(objects, 0);
}

/* Keys that cannot be compared under the guard. */
static void
test_vague(void)
{
    struct cx_map m;
    CHECK(cx_map_init(&m, &hooks, 0, 0));
    for (uint64_t i = 0; i < 300; i++) {
        put_hashed(&m, object_new(i, true), i % 3, object_new(i, false));
        put_hashed(&m, object_new(i, true), i % 3, object_new(i + 1, false));
    }
    CHECK_EQ(cx_map_count(&m), 300);
    for (uint64_t i = 0; i < 300; i++) {
        struct object key = {1, i, true};
        CHECK_EQ(get_hashed(&m, &key, i % 3), i + 1);
    }
    for (uint64_t i = 0; i < 300; i += 2) {
        put_hashed(&m, object_new(i, true), i % 3, NULL);
    }
    CHECK_EQ(cx_map_count(&m), 150);
    cx_map_fini(&m);
    CHECK_EQ(objects, 0);
}

/* Replaced again and again: what waits for its grace period stays little. */
static void
test_bounded(void)
{
    struct cx_map m;
    for (object_weight = 1; object_weight <= CX_LIMBO_WEIGHT; object_weight++) {
        CHECK(cx_map_init(&m, &hooks, 3, 0));
        for (uint64_t i = 0; i < 10000; i++) {
            set(&m, i % 10, i);
        }
        CHECK(objects < 20 + 8 * CX_BATCH_ITEMS);
        CHECK(cx_map_waiting(&m) <= 8 * CX_BATCH_ITEMS);
        cx_map_fini(&m);
        CHECK_EQ(objects, 0);
    }
    object_weight = 8;
}

/* --- many threads ----------------------------------------------------------------------------- */

#if !CX_WITH_GIL

#define OWN 400

/* Each thread writes keys of its own and knows what is in them; everybody reads everything. */
static void
write_own(struct worker *self)
{
    struct cx_map *m = self->shared;
    uint64_t base = (uint64_t)self->id * OWN, mine[OWN];
    memset(mine, 0xff, sizeof mine);
    for (int i = 0; i < 8000; i++) {
        uint64_t k = rng_below(&self->rng, OWN), value = base * 1000 + rng_below(&self->rng, 1000);
        if (rng_below(&self->rng, 100) < (i / 1000 % 2 == 0 ? 10U : 70U)) {
            del(m, base + k);
            value = UINT64_MAX;
        }
        else {
            set(m, base + k, value);
        }
        mine[k] = value;
        k = rng_below(&self->rng, OWN);
        if (!CHECK_EQ(get(m, base + k), mine[k])) {
            return;
        }
        uint64_t other = rng_below(&self->rng, OWN * 4), found = get(m, other);
        if (!CHECK(found == UINT64_MAX || found / 1000 == other / OWN * OWN)) {
            return;
        }
    }
}

/* Walks while others write: keys of the range that nobody touches come once each. */
static void
walk_or_write(struct worker *self)
{
    struct cx_map *m = self->shared;
    struct cx_map_node into[64];
    if (self->id > 0) {
        for (int i = 0; i < 3000; i++) {
            uint64_t key = 10000 + rng_below(&self->rng, 3000);
            if (rng_below(&self->rng, 2) == 0) {
                set(m, key, key);
            }
            else {
                del(m, key);
            }
        }
        return;
    }
    for (int round = 0; round < 30; round++) {
        uint64_t cursor = 0, sum = 0, count = 0;
        bool is_end = false;
        while (!is_end) {
            size_t taken = cx_map_scan(m, &cursor, &is_end, into, 64);
            for (size_t i = 0; i < taken; i++) {
                uint64_t number = ((struct object *)into[i].key)->number;
                if (number < 500) {
                    sum += number;
                    count++;
                }
                object_drop(into[i].key);
                object_drop(into[i].value);
            }
        }
        CHECK(count == 500 && sum == 500 * 499 / 2);
    }
}

/* Two keys are always changed together: first one, then the other; a snapshot that sees the second
 * change sees the first. */
static void
snapshot_or_write(struct worker *self)
{
    struct cx_map *m = self->shared;
    static struct cx_map_node into[16];
    if (self->id > 0) {
        for (uint64_t i = 1; i <= 5000; i++) {
            set(m, 1, i);
            set(m, 2, i);
        }
        return;
    }
    for (int round = 0; round < 2000; round++) {
        size_t taken = cx_map_snapshot(m, into, 16);
        uint64_t value[3] = {0};
        for (size_t i = 0; i < taken; i++) {
            value[((struct object *)into[i].key)->number] =
                ((struct object *)into[i].value)->number;
            object_drop(into[i].key);
            object_drop(into[i].value);
        }
        CHECK(value[2] <= value[1] && value[1] <= value[2] + 1);
    }
}

static void
test_mpmc(void)
{
    struct cx_map m;
    CHECK(cx_map_init(&m, &hooks, 2, 0));
    run_threads(4, write_own, &m);
    CHECK(m.table->number > 2);
    cx_map_fini(&m);
    CHECK_EQ(objects, 0);
}

static void
test_walks_meanwhile(void)
{
    struct cx_map m;
    CHECK(cx_map_init(&m, &hooks, 3, 0));
    for (uint64_t i = 0; i < 500; i++) {
        set(&m, i, i);
    }
    run_threads(3, walk_or_write, &m);
    cx_map_fini(&m);
    CHECK_EQ(objects, 0);
}

static void
test_snapshots_meanwhile(void)
{
    struct cx_map m;
    CHECK(cx_map_init(&m, &hooks, 3, 0));
    run_threads(2, snapshot_or_write, &m);
    cx_map_fini(&m);
    CHECK_EQ(objects, 0);
}

static void
clear_or_write(struct worker *self)
{
    struct cx_map *m = self->shared;
    for (int i = 0; i < 3000; i++) {
        if (self->id == 0 && i % 30 == 0) {
            CHECK(cx_map_clear(m));
        }
        else {
            set(m, rng_below(&self->rng, 500), 1);
        }
    }
}

static void
test_clear_meanwhile(void)
{
    struct cx_map m;
    CHECK(cx_map_init(&m, &hooks, 2, 0));
    run_threads(3, clear_or_write, &m);
    CHECK(cx_map_clear(&m) && cx_map_count(&m) == 0);
    cx_map_fini(&m);
    CHECK_EQ(objects, 0);
}

/* --- fork ------------------------------------------------------------------------------------- */

/* The sanitizers' allocators are not made for forks with threads: a child can hang in free(). */
#if !defined(__SANITIZE_ADDRESS__) && !defined(CX_TSAN)

struct forking {
    struct cx_map map;
    uint32_t stops; /* atomic */
};

static void *
churn(void *arg)
{
    struct forking *f = arg;
    struct rng rng = {(uint64_t)(uintptr_t)&rng};
    while (cx_load_acquire(&f->stops) == 0) {
        uint64_t key = 1000 + rng_below(&rng, 4000);
        if (rng_below(&rng, 100) < 50) {
            set(&f->map, key, key);
        }
        else {
            del(&f->map, key);
        }
    }
    return NULL;
}

/* In the child: what nobody touched is there, the rest can be read, changed, walked and cleared. */
static int
use_in_child(struct cx_map *m)
{
    int before = harness_failures;
    for (uint64_t i = 0; i < 500; i++) {
        CHECK_EQ(get(m, i), i);
        set(m, i, i + 1);
        CHECK_EQ(get(m, i), i + 1);
    }
    walk(m, 64, 500, NULL);
    struct cx_map_node into[1];
    size_t walked = 0, counted = cx_map_snapshot(m, into, 0);
    uint64_t cursor = 0;
    bool is_end = false;
    while (!is_end) {
        struct cx_map_node some[256];
        walked += cx_map_scan(m, &cursor, &is_end, some, 256);
    }
    CHECK_EQ(walked, counted);
    for (uint64_t i = 0; i < 5000; i++) {
        set(m, i, i);
    }
    CHECK_EQ(cx_map_count(m), 5000);
    CHECK(cx_map_clear(m) && cx_map_count(m) == 0);
    return harness_failures != before;
}

static void
test_fork(void)
{
    pthread_t threads[3];
    struct forking f = {.stops = 0};
    CHECK(cx_map_init(&f.map, &hooks, 3, 0));
    for (uint64_t i = 0; i < 500; i++) {
        set(&f.map, i, i);
    }
    for (int i = 0; i < 3; i++) {
        pthread_create(&threads[i], NULL, churn, &f);
    }
    for (int round = 0; round < 60; round++) {
        int status = -1;
        pid_t pid = fork();
        if (pid == 0) {
            alarm(20);
            _exit(use_in_child(&f.map));
        }
        if (!CHECK(waitpid(pid, &status, 0) == pid && status == 0)) {
            break;
        }
    }
    cx_store_release(&f.stops, 1);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK_EQ(get(&f.map, 7), 7);
    cx_map_fini(&f.map);
    CHECK_EQ(objects, 0);
}

#endif
#endif

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    cx_rcu_install();
    RUN(test_smoke);
    RUN(test_model);
    RUN(test_walks);
    RUN(test_no_write_moves_much);
    RUN(test_snapshot_and_clear);
    RUN(test_flood);
    RUN(test_vague);
    RUN(test_bounded);
#if !CX_WITH_GIL /* there the GIL is what these threads do without */
    RUN(test_mpmc);
    RUN(test_walks_meanwhile);
    RUN(test_snapshots_meanwhile);
    RUN(test_clear_meanwhile);
#if !defined(__SANITIZE_ADDRESS__) && !defined(CX_TSAN)
    RUN(test_fork);
#endif
#endif
    return harness_end();
}

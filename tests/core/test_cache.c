// SPDX-License-Identifier: MIT
/* The cache: victims of each policy against plain models, bounds and sums in random churn, weights and
 * pins, time, what leaves accounted for, hit ratios of generated traces, threads. */
#include "harness.h"

#include "core/cacheroom.h"

static const char *const names[] = {"s3fifo", "lru", "tinylfu", "sieve", "lfu", "fifo"};
#define POLICIES 6

static int
same(void *stored, void *probe)
{
    return stored == probe;
}

static void *
key_of(uint64_t i)
{
    return (void *)(uintptr_t)(i + 1);
}

static void
begin(struct cx_cache *cache, const char *policy, int64_t maxsize, int64_t max_weight)
{
    CHECK(cx_cache_init(cache, cx_policy_named(policy, strlen(policy)), maxsize, max_weight));
}

static void
get_room(struct cx_cache *cache, struct cx_put *put)
{
    struct cx_room room;
    while (cx_cache_plan(cache, put, &room)) {
        cx_cache_release(cache);
        CHECK(cx_room_allocate(cache->policy.kind, &room));
        CHECK(cx_cache_take(cache));
        cx_cache_adopt(cache, &room);
        cx_cache_release(cache);
        cx_room_free(&room);
        CHECK(cx_cache_take(cache));
    }
}

static struct cx_put
plain(uint64_t key, int64_t now)
{
    return (struct cx_put){.key = key_of(key),
                           .value = key_of(key),
                           .hash = key,
                           .weight = 1,
                           .now = now,
                           .deadline = CX_FOREVER};
}

/* What left, in order, goes on at `log`; the status is not CX_AGAIN. */
static enum cx_status
put(struct cx_cache *cache, struct cx_put *what, uint64_t *log, unsigned *count)
{
    enum cx_status status;
    do {
        struct cx_dead dead = {0};
        uint32_t at = CX_NONE;
        CHECK(cx_cache_take(cache));
        get_room(cache, what);
        status = cx_cache_find(cache, what->hash, same, what->key, what->now, &at);
        if (status == CX_TIMEOUT) {
            cx_cache_remove(cache, at, CX_EXPIRED, &dead);
        }
        status = cx_cache_put(cache, status == CX_OK ? at : CX_NONE, what, &dead);
        cx_cache_release(cache);
        for (unsigned i = 0; log != NULL && i < dead.count; i++) {
            if (dead.item[i].key != NULL) {
                log[(*count)++] = (uint64_t)(uintptr_t)dead.item[i].key - 1;
            }
        }
    } while (status == CX_AGAIN);
    return status;
}

static bool
get(struct cx_cache *cache, uint64_t key, int64_t now)
{
    uint32_t at;
    CHECK(cx_cache_take(cache));
    bool found = cx_cache_find(cache, key, same, key_of(key), now, &at) == CX_OK;
    if (found) {
        cx_cache_hit(cache, at, now);
    }
    cx_cache_release(cache);
    return found;
}

/* Sums, chains and index agree. */
static void
check_whole(struct cx_cache *cache)
{
    const struct cx_entries *e = &cache->entries;
    int64_t weight = 0, chained = 0, pinned = 0;
    uint32_t count = 0, walked = 0;
    for (uint32_t at = cx_entries_next(e, 0); at != CX_NONE; at = cx_entries_next(e, at + 1)) {
        uint32_t found = CX_NONE;
        CHECK_EQ(cx_entries_find(e, e->at[at].hash, same, e->at[at].key, &found), CX_OK);
        CHECK_EQ(found, at);
        weight += cx_entries_weight(e, at);
        pinned += e->at[at].chain == CX_PINNED;
        count++;
    }
    for (uint32_t at = cx_policy_colder(&cache->policy, CX_NONE); at != CX_NONE && walked <= count;
         at = cx_policy_colder(&cache->policy, at)) {
        chained += cx_entries_weight(e, at);
        walked++;
    }
    CHECK_EQ(count, e->count);
    CHECK_EQ(walked + pinned, count);
    CHECK_EQ(weight, cache->weight);
    CHECK_EQ(chained, cache->policy.weight);
    CHECK(weight <= cache->max_weight);
    CHECK((int64_t)count <= cache->maxsize);
    walked = 0;
    for (uint32_t at = cx_policy_hotter(&cache->policy, CX_NONE); at != CX_NONE && walked <= count;
         at = cx_policy_hotter(&cache->policy, at)) {
        walked++;
    }
    CHECK_EQ(walked + pinned, count);
}

static void
drop_all(struct cx_cache *cache)
{
    struct cx_growth out;
    cx_entries_plan_empty(&out);
    CHECK(cx_growth_allocate(&out));
    cx_cache_swap(cache, &out);
    cx_growth_free(&out);
    CHECK_EQ(cache->entries.count, 0);
    check_whole(cache);
    cx_cache_fini(cache);
}

/* lru and fifo against an array in their order: the very same victims. */
static void
exact(const char *policy, bool moves)
{
    enum { SIZE = 50 };
    struct cx_cache cache;
    struct rng rng = {harness_seed};
    uint64_t model[SIZE], log[64];
    int n = 0;
    begin(&cache, policy, SIZE, INT64_MAX);
    for (int i = 0; i < 20000; i++) {
        uint64_t key = rng_below(&rng, 120);
        int where = 0;
        unsigned count = 0;
        while (where < n && model[where] != key) {
            where++;
        }
        bool there = where < n, reads = rng_below(&rng, 2) == 0;
        if (reads) {
            CHECK_EQ(get(&cache, key, 0), there);
        }
        else {
            struct cx_put what = plain(key, 0);
            CHECK_EQ(put(&cache, &what, log, &count), CX_OK);
        }
        if (!reads && !there && n == SIZE) {
            CHECK_EQ(count, 1);
            CHECK_EQ(log[0], model[0]);
            memmove(model, model + 1, --n * sizeof *model);
        }
        else {
            CHECK_EQ(count, 0);
        }
        if (there && moves) {
            memmove(model + where, model + where + 1, (size_t)(n - where - 1) * sizeof *model);
            model[n - 1] = key;
        }
        else if (!there && !reads) {
            model[n++] = key;
        }
    }
    check_whole(&cache);
    drop_all(&cache);
}

static void
test_exact_victims(void)
{
    exact("lru", true);
    exact("fifo", false);
}

static void
churn(const char *policy, int64_t maxsize, int64_t max_weight, bool timed)
{
    struct cx_cache cache;
    struct rng rng = {harness_seed + (uint64_t)maxsize};
    uint64_t log[1024], in = 0, out = 0;
    int64_t now = 0;
    begin(&cache, policy, maxsize, max_weight);
    for (int i = 0; i < 20000; i++) {
        uint64_t key = rng_below(&rng, 300);
        unsigned count = 0;
        now += timed ? rng_below(&rng, 1000) * MILLISECOND : 0;
        if (rng_below(&rng, 2) == 0) {
            (void)get(&cache, key, now);
        }
        else {
            struct cx_put what = plain(key, now);
            uint32_t at;
            what.weight = max_weight == INT64_MAX ? 1 : rng_below(&rng, 30);
            what.deadline =
                timed && key % 3 ? now + rng_below(&rng, 100000) * MILLISECOND : CX_FOREVER;
            what.span = timed && key % 5 == 0 ? CX_SECOND : 0;
            bool there = cx_cache_find(&cache, key, same, key_of(key), now, &at) == CX_OK;
            uint64_t refused = cache.refused;
            enum cx_status status = put(&cache, &what, log, &count);
            CHECK(status == CX_OK || status == CX_TOO_BIG);
            CHECK_EQ(cache.refused - refused, status == CX_TOO_BIG);
            in += status == CX_OK && !there;
        }
        if (rng_below(&rng, 50) == 0) {
            uint32_t budget = 100;
            struct cx_dead dead = {0};
            (void)cx_cache_expire(&cache, now, true, &budget, &dead);
            out += dead.count;
        }
        out += count;
        if (i % 500 == 0) {
            check_whole(&cache);
        }
        if (!CHECK_EQ(in - out, cache.entries.count)) {
            break;
        }
    }
    check_whole(&cache);
    drop_all(&cache);
}

static void
test_churn(void)
{
    for (int i = 0; i < POLICIES; i++) {
        churn(names[i], 1, INT64_MAX, false);
        churn(names[i], 7, INT64_MAX, true);
        churn(names[i], 100, INT64_MAX, false);
        churn(names[i], INT64_MAX, 500, false);
        churn(names[i], 50, 300, true);
    }
}

/* All that is pinned stays; what finds no room is refused. */
static void
test_pins(void)
{
    for (int i = 0; i < POLICIES; i++) {
        struct cx_cache cache;
        unsigned count = 0;
        uint64_t log[64];
        begin(&cache, names[i], 3, 10);
        for (uint64_t key = 0; key < 3; key++) {
            struct cx_put what = plain(key, 0);
            what.weight = 0;
            CHECK_EQ(put(&cache, &what, log, &count), CX_OK);
        }
        struct cx_put what = plain(3, 0);
        CHECK_EQ(put(&cache, &what, log, &count), CX_TOO_BIG);
        CHECK_EQ(count, 0);
        what = plain(1, 0); /* unpinned, it can go */
        what.weight = 10;
        CHECK_EQ(put(&cache, &what, log, &count), CX_OK);
        what = plain(3, 0);
        CHECK_EQ(put(&cache, &what, log, &count), CX_OK);
        CHECK_EQ(count, 1);
        CHECK_EQ(log[0], 1);
        what = plain(3, 0);
        what.weight = 11; /* too heavy: what was there is stale, and goes */
        CHECK_EQ(put(&cache, &what, log, &count), CX_TOO_BIG);
        CHECK_EQ(log[1], 3);
        CHECK_EQ(cache.left[CX_REPLACED], 2);
        check_whole(&cache);
        drop_all(&cache);
    }
}

static void
test_shrink(void)
{
    for (int i = 0; i < POLICIES; i++) {
        struct cx_cache cache;
        begin(&cache, names[i], 1000, INT64_MAX);
        for (uint64_t key = 0; key < 1500; key++) {
            struct cx_put what = plain(key, 0);
            CHECK_EQ(put(&cache, &what, NULL, NULL), CX_OK);
        }
        cache.maxsize = 10;
        struct cx_dead dead = {0};
        while (cx_cache_shrink(&cache, &dead) == CX_AGAIN) {
            CHECK_EQ(dead.count, CX_DEAD);
            dead.count = 0;
        }
        CHECK_EQ(cache.entries.count, 10);
        check_whole(&cache);
        drop_all(&cache);
    }
}

/* Requests to a cache of `size`: how many of a thousand are hits. */
static int
ratio(const char *policy, int64_t size, uint64_t (*next)(struct rng *, uint64_t), uint64_t requests)
{
    struct cx_cache cache;
    struct rng rng = {harness_seed};
    uint64_t hits = 0;
    begin(&cache, policy, size, INT64_MAX);
    for (uint64_t i = 0; i < requests; i++) {
        uint64_t key = next(&rng, i);
        if (get(&cache, key, 0)) {
            hits++;
        }
        else {
            struct cx_put what = plain(key, 0);
            CHECK_EQ(put(&cache, &what, NULL, NULL), CX_OK);
        }
    }
    drop_all(&cache);
    return (int)(hits * 1000 / requests);
}

/* Each key three times within a few dozen requests, then never again. */
static uint64_t
soon_or_never(struct rng *rng, uint64_t i)
{
    (void)rng;
    return i < 40 ? i : i % 3 == 0 ? i : i % 3 == 1 ? (i - 19) / 3 * 3 : (i - 38) / 3 * 3;
}

static uint64_t
loop(struct rng *rng, uint64_t i)
{
    (void)rng;
    return i % 1500;
}

/* A heavy head and a tail of which most come once. */
static uint64_t
skewed(struct rng *rng, uint64_t i)
{
    uint32_t r = rng_below(rng, 1000);
    return r < 500 ? rng_below(rng, 600) : r < 700 ? 1000 + rng_below(rng, 6000) : 10000 + i;
}

/* Fewer keys than fit, and after a while as many others. */
static uint64_t
few(struct rng *rng, uint64_t i)
{
    return i / 1000 * 100 + rng_below(rng, 24);
}

static void
test_hit_ratios(void)
{
    for (int i = 0; i < POLICIES; i++) {
        CHECK(ratio(names[i], 31, few, 20000) > (strcmp(names[i], "lfu") == 0 ? 400 : 800));
    }
    CHECK(ratio("sieve", 1000, soon_or_never, 100000) > 300);
    CHECK(ratio("s3fifo", 1000, soon_or_never, 100000) > 300);
    CHECK(ratio("tinylfu", 1000, soon_or_never, 100000) > 300);
    CHECK_EQ(ratio("lru", 1000, loop, 100000), 0);
    CHECK(ratio("tinylfu", 1000, loop, 100000) > 500);
    int lru = ratio("lru", 700, skewed, 200000), fifo = ratio("fifo", 700, skewed, 200000);
    CHECK(lru > fifo + 20);
    CHECK(ratio("s3fifo", 700, skewed, 200000) > lru + 40);
    CHECK(ratio("sieve", 700, skewed, 200000) > lru + 40);
    CHECK(ratio("tinylfu", 700, skewed, 200000) > lru + 40);
    CHECK(ratio("lfu", 700, skewed, 200000) > lru + 20);
}

#if !CX_WITH_GIL
/* Threads on one cache; each put is by a key of the thread's own or by one that all have. */
static void
bang(struct worker *w)
{
    struct cx_cache *cache = w->shared;
    for (int i = 0; i < 20000; i++) {
        uint64_t key = rng_below(&w->rng, 400);
        key = key < 200 ? key : key + 1000 * (uint64_t)w->id;
        if (rng_below(&w->rng, 3) > 0) {
            (void)get(cache, key, i);
        }
        else {
            struct cx_put what = plain(key, i);
            what.deadline = key % 4 ? CX_FOREVER : i + 100;
            CHECK_EQ(put(cache, &what, NULL, NULL), CX_OK);
        }
    }
}

static void
test_threads(void)
{
    for (int i = 0; i < POLICIES; i++) {
        struct cx_cache cache;
        begin(&cache, names[i], 300, INT64_MAX);
        run_threads(4, bang, &cache);
        check_whole(&cache);
        CHECK_EQ(cache.entries.count, 300);
        drop_all(&cache);
    }
}
#endif

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    RUN(test_exact_victims);
    RUN(test_churn);
    RUN(test_pins);
    RUN(test_shrink);
    RUN(test_hit_ratios);
#if !CX_WITH_GIL /* which would exclude them */
    RUN(test_threads);
#endif
    return harness_end();
}

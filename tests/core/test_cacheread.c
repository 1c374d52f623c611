// SPDX-License-Identifier: MIT
/* Hits beside the exclusion: what is noted is told, in order; what is gone stays while anybody may be on
 * it and is dropped after; readers among writers find what is there and nothing that is not. */
#include "harness.h"

#include "core/cacheread.h"
#include "core/cacheroom.h"

static const char *const names[] = {"s3fifo", "lru", "tinylfu", "sieve", "lfu", "fifo"};
#define POLICIES 6

/* --- values that count their references; keys are small numbers ----------------------------------- */

struct value {
    uint64_t key;
    uint32_t refs; /* atomic */
};

static int64_t alive; /* atomic */

static struct value *
value_new(uint64_t key)
{
    struct value *value = malloc(sizeof *value);
    *value = (struct value){key, 1};
    (void)cx_fetch_add_relaxed(&alive, 1);
    return value;
}

static bool
is_key(const void *p)
{
    return (uintptr_t)p < 100000;
}

static void
retain(void *p)
{
    if (!is_key(p)) {
        uint32_t refs = cx_fetch_add_relaxed(&((struct value *)p)->refs, 1);
        CHECK(refs > 0 && refs < 1000);
    }
}

static void
release(struct value *value)
{
    if (cx_fetch_add_acq_rel(&value->refs, UINT32_MAX) == 1) {
        value->key = UINT64_MAX;
        free(value);
        (void)cx_fetch_add_relaxed(&alive, -1);
    }
}

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

/* --- what binding/cacheread.c and cachestore.c do ------------------------------------------------- */

static void
begin(struct cx_cache *cache, const char *policy, int64_t maxsize)
{
    CHECK(cx_cache_init(cache, cx_policy_named(policy, strlen(policy)), maxsize, INT64_MAX));
    cache->retain = retain;
}

static void
drop(struct cx_dead *dead)
{
    for (unsigned i = 0; i < dead->count; i++) {
        release(dead->item[i].value);
    }
    dead->count = 0;
}

static void
drop_arrays(struct cx_entries *full)
{
    for (uint32_t i = 0; i < full->used; i++) {
        if (full->at[i].value != NULL) {
            release(full->at[i].value);
        }
    }
}

static void
reap(struct cx_cache *cache, bool is_over)
{
    struct cx_entries *arrays;
    bool more;
    do {
        struct cx_dead dead = {0};
        CHECK(cx_cache_take(cache));
        more = cx_cache_reap(cache, &dead, is_over);
        arrays = more ? NULL : cx_cache_reap_arrays(cache, is_over);
        cx_cache_release(cache);
        drop(&dead);
        if (arrays != NULL) {
            if (arrays->is_full) {
                drop_arrays(arrays);
            }
            cx_gone_free_arrays(arrays);
        }
    } while (more || arrays != NULL);
}

static void
settle(struct cx_cache *cache)
{
    CHECK(cx_cache_take(cache));
    cx_cache_seal(cache);
    cx_cache_release(cache);
    (void)(cx_rcu_try_advance() && cx_rcu_try_advance());
    reap(cache, false);
}

static void
bury(struct cx_cache *cache, struct cx_dead *dead)
{
    drop(dead);
    if (cx_cache_is_due(cache)) {
        settle(cache);
    }
}

/* ALWAYS is pinned. */
#define ALWAYS 5000

static void
put(struct cx_cache *cache, uint64_t key, int64_t now, int64_t deadline, int64_t span)
{
    struct value *value = value_new(key);
    struct cx_put what = {.key = key_of(key),
                          .value = value,
                          .hash = key,
                          .weight = key != ALWAYS,
                          .now = now,
                          .deadline = deadline,
                          .span = span};
    enum cx_status status;
    do {
        struct cx_dead dead = {0};
        struct cx_room room;
        uint32_t at = CX_NONE;
        CHECK(cx_cache_take(cache));
        status = cx_cache_find(cache, key, same, key_of(key), now, &at);
        if (status == CX_TIMEOUT) {
            cx_cache_remove(cache, at, CX_EXPIRED, &dead);
        }
        bool planned = cx_cache_plan(cache, &what, &room);
        status =
            planned ? CX_AGAIN : cx_cache_put(cache, status == CX_OK ? at : CX_NONE, &what, &dead);
        cx_cache_release(cache);
        bury(cache, &dead);
        if (planned) {
            CHECK(cx_room_allocate(cache->policy.kind, &room));
            CHECK(cx_cache_take(cache));
            cx_cache_adopt(cache, &room);
            cx_cache_release(cache);
            cx_room_free(&room);
        }
    } while (status == CX_AGAIN);
    CHECK_EQ(status, CX_OK);
}

static bool
hit_inside(struct cx_cache *cache, uint64_t key, int64_t now)
{
    struct cx_dead dead = {0};
    uint32_t at;
    CHECK(cx_cache_take(cache));
    enum cx_status status = cx_cache_find(cache, key, same, key_of(key), now, &at);
    if (status == CX_OK) {
        cx_cache_hit(cache, at, now);
    }
    else if (status == CX_TIMEOUT) {
        cx_cache_remove(cache, at, CX_EXPIRED, &dead);
    }
    cx_cache_release(cache);
    bury(cache, &dead);
    return status == CX_OK;
}

/* Whether it was there; what is seen is the key's own. */
static bool
get(struct cx_cache *cache, uint64_t key, int64_t now)
{
    struct cx_seen seen;
    bool is_told = true;
    cx_tally_arrive(&cache->tally);
    cx_rcu_enter();
    enum cx_status status = cx_cache_read(cache, key, same, key_of(key), now, &seen);
    if (status == CX_OK) {
        retain(seen.value);
        is_told = cx_cache_note(cache, &seen, now);
    }
    cx_rcu_exit();
    if (status == CX_OK) {
        CHECK_EQ(((struct value *)seen.value)->key, key);
        release(seen.value);
        if (!is_told) {
            cx_cache_begin_notes(cache);
            (void)hit_inside(cache, key, now);
        }
    }
    return status == CX_OK || (status != CX_EMPTY && hit_inside(cache, key, now));
}

static void
erase(struct cx_cache *cache, uint64_t key, int64_t now)
{
    struct cx_dead dead = {0};
    uint32_t at;
    CHECK(cx_cache_take(cache));
    enum cx_status status = cx_cache_find(cache, key, same, key_of(key), now, &at);
    if (status != CX_EMPTY) {
        cx_cache_remove(cache, at, CX_EXPLICIT, &dead);
    }
    cx_cache_release(cache);
    bury(cache, &dead);
}

static void
clear(struct cx_cache *cache)
{
    struct cx_growth out;
    cx_entries_plan_empty(&out);
    CHECK(cx_growth_allocate(&out));
    CHECK(cx_cache_take(cache));
    cx_cache_swap(cache, &out);
    bool waits = cx_cache_retire(cache, &out, true);
    cx_cache_release(cache);
    if (waits) {
        settle(cache);
    }
    else {
        drop_arrays(&out.arrays);
        cx_growth_free(&out);
    }
}

static void
end(struct cx_cache *cache)
{
    clear(cache);
    reap(cache, true);
    CHECK_EQ(cache->entries.count, 0);
    cx_cache_fini(cache);
    CHECK_EQ(cx_load_relaxed(&alive), 0);
}

/* A second thread has been there, so that nobody is alone any more. */
static void
arrive(struct worker *w)
{
    cx_tally_arrive(&((struct cx_cache *)w->shared)->tally);
}

static void
share(struct cx_cache *cache)
{
    run_threads(2, arrive, cache);
    CHECK(!cx_tally_is_alone(&cache->tally));
}

/* --- tests ---------------------------------------------------------------------------------------- */

static void
test_notes(void)
{
    struct cx_reads *reads = cx_reads_new();
    struct cx_reads_walk walk;
    struct cx_read read;
    CHECK(!cx_reads_begin(reads, &walk));
    for (uint32_t round = 0; round < 5; round++) {
        for (uint32_t i = 0; i < CX_READS; i++) {
            CHECK(cx_reads_note(reads, i, i + 7, round * 100 + i));
        }
        CHECK(!cx_reads_note(reads, 0, 0, 0)); /* it is full */
        CHECK(cx_reads_begin(reads, &walk));
        for (uint32_t i = 0; i < CX_READS; i++) {
            CHECK(cx_reads_next(&walk, &read));
            CHECK(read.at == i && read.hash == i + 7 && read.stamp == round * 100 + i);
        }
        CHECK(!cx_reads_next(&walk, &read));
    }
    reads->buffer[0].busy = reads->buffer[1].busy = reads->buffer[2].busy = 1;
    for (uint32_t i = 3; i <= reads->mask; i++) {
        reads->buffer[i].busy = 1;
    }
    CHECK(!cx_reads_note(reads, 0, 0, 0)); /* another is in it */
    cx_reads_free(reads);
}

static void
note_in_order(struct worker *w)
{
    for (uint32_t i = 0; i < CX_READS; i++) {
        (void)cx_reads_note(w->shared, (uint32_t)w->id, i, cx_stamp());
    }
}

/* Of several buffers the notes come out by their stamps. */
static void
test_notes_of_threads(void)
{
    struct cx_reads *reads = cx_reads_new();
    struct cx_reads_walk walk;
    struct cx_read read;
    uint64_t last = 0;
    uint32_t count = 0;
    run_threads(4, note_in_order, reads);
    CHECK(cx_reads_begin(reads, &walk));
    while (cx_reads_next(&walk, &read)) {
        CHECK(read.stamp >= last);
        last = read.stamp;
        count++;
    }
    CHECK(count >= CX_READS && count <= 4 * CX_READS);
    cx_reads_free(reads);
}

/* While a section is open nothing that was there when it began is dropped, and no slot serves again. */
static void
test_gone_waits(void)
{
    struct cx_cache cache;
    struct cx_seen seen;
    begin(&cache, "fifo", 100);
    share(&cache);
    put(&cache, 1, 0, CX_FOREVER, 0);
    cx_rcu_enter();
    CHECK_EQ(cx_cache_read(&cache, 1, same, key_of(1), 0, &seen), CX_OK);
    uint32_t slot = seen.at;
    const struct cx_entries *view = seen.view;
    put(&cache, 1, 0, CX_FOREVER, 0); /* another value */
    erase(&cache, 1, 0);
    for (uint64_t i = 2; i < 300; i++) { /* growth, evictions */
        put(&cache, i, 0, CX_FOREVER, 0);
    }
    clear(&cache);
    CHECK_EQ(((struct value *)seen.value)->key, 1);
    CHECK(view->at[slot].key == key_of(1));
    CHECK(cx_load_relaxed(&alive) > 100);
    cx_rcu_exit();
    for (uint64_t i = 0; i < 400; i++) {
        put(&cache, 1000 + i, 0, CX_FOREVER, 0);
    }
    CHECK(cx_load_relaxed(&alive) <= 100 + 2 * CX_GONE_MOST);
    CHECK(cache.entries.capacity <= 100 + 6 * CX_GONE_MOST);
    end(&cache);
}

/* Who is alone drops at once and needs no slot but one. */
static void
test_alone(void)
{
    struct cx_cache cache;
    begin(&cache, "s3fifo", 100);
    for (uint64_t i = 0; i < 1000; i++) {
        put(&cache, i % 170, 0, CX_FOREVER, 0);
        (void)get(&cache, i % 50, 0);
        if (cx_tally_is_alone(&cache.tally)) { /* never without membarrier */
            CHECK_EQ(cx_load_relaxed(&alive), cache.entries.count);
            CHECK(cache.entries.capacity <= 101);
        }
    }
    end(&cache);
}

/* Hits beside the exclusion count as if they had been made in it: lru's victims are exact. */
static void
test_victims(void)
{
    struct cx_cache cache;
    struct rng rng = {.state = harness_seed};
    uint64_t order[20] = {0};
    unsigned count = 0;
    begin(&cache, "lru", 20);
    share(&cache);
    for (int i = 0; i < 20000; i++) {
        uint64_t key = rng_below(&rng, 40);
        unsigned at = 0;
        while (at < count && order[at] != key) {
            at++;
        }
        bool is_in = at < count;
        if (!is_in || rng_below(&rng, 8) == 0) {
            put(&cache, key, 0, CX_FOREVER, 0);
            at = is_in ? at : count == 20 ? 0 : count++;
        }
        else {
            CHECK(get(&cache, key, 0));
        }
        for (; at + 1 < count; at++) {
            order[at] = order[at + 1];
        }
        order[count - 1] = key;
    }
    CHECK(cx_cache_take(&cache));
    uint32_t slot = CX_NONE;
    for (unsigned i = 0; i < count; i++) {
        slot = cx_policy_colder(&cache.policy, slot);
        CHECK(slot != CX_NONE && cache.entries.at[slot].key == key_of(order[i]));
    }
    cx_cache_release(&cache);
    end(&cache);
}

/* A use puts the deadline off, in whichever table the entry is by then. */
static void
test_idle(void)
{
    struct cx_cache cache;
    struct cx_seen seen;
    begin(&cache, "s3fifo", 1000);
    share(&cache);
    put(&cache, 0, 0, 1000, 100);
    for (int64_t now = 50; now < 1000; now += 50) {
        CHECK(get(&cache, 0, now));
    }
    CHECK(!get(&cache, 0, 1000)); /* the hard end */
    put(&cache, 0, 0, CX_FOREVER, 100);
    cx_rcu_enter();
    CHECK_EQ(cx_cache_read(&cache, 0, same, key_of(0), 90, &seen), CX_OK);
    for (uint64_t i = 1; i < 100; i++) {
        put(&cache, i, 0, CX_FOREVER, 0);
    }
    CHECK(!cx_cache_note(&cache, &seen, 90)); /* it has been copied since */
    cx_rcu_exit();
    CHECK(hit_inside(&cache, 0, 90));
    CHECK(get(&cache, 0, 189));
    CHECK(!get(&cache, 0, 289));
    end(&cache);
}

static void
bang(struct worker *w)
{
    struct cx_cache *cache = w->shared;
    for (int i = 0; i < 10000; i++) {
        uint64_t key = rng_below(&w->rng, 100);
        int64_t now = i / 8;
        switch (rng_below(&w->rng, 16)) {
        case 0:
        case 1:
            put(cache, key, now, key % 3 ? CX_FOREVER : now + 20, key % 2 ? 0 : 10);
            break;
        case 2:
            erase(cache, key, now);
            break;
        case 3:
            if (i % 1000 < 50) {
                put(cache, ALWAYS, now, CX_FOREVER, 0);
            }
            break;
        default:
            (void)get(cache, key, now);
        }
        CHECK(get(cache, ALWAYS, now)); /* it is never away, wherever cells and tables move */
    }
}

static void
bang_and_clear(struct worker *w)
{
    for (int i = 0; i < 100; i++) {
        for (uint64_t key = 0; key < 60; key++) {
            if (key % 4 == (uint64_t)w->id) {
                put(w->shared, key, 0, CX_FOREVER, 0);
            }
            (void)get(w->shared, (key * 7) % 60, 0);
        }
        if (i % 8 == 2 * w->id) {
            clear(w->shared);
        }
    }
}

static void
test_threads(void)
{
    for (int i = 0; i < POLICIES; i++) {
        struct cx_cache cache;
        begin(&cache, names[i], 70);
        put(&cache, ALWAYS, 0, CX_FOREVER, 0);
        run_threads(4, bang, &cache);
        run_threads(4, bang_and_clear, &cache);
        end(&cache);
    }
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    RUN(test_notes);
    RUN(test_notes_of_threads);
    RUN(test_gone_waits);
    RUN(test_alone);
    RUN(test_victims);
    RUN(test_idle);
    RUN(test_threads);
    return harness_end();
}

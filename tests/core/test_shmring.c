// SPDX-License-Identifier: MIT
/* The ring between processes: order, growth, many on each side, death at every store, and memory
 * that somebody else has written. */
#include "harness.h"

#include <errno.h>

#include "core/shmring.h"
#include "killing.h"

#define BIG 1300000 /* more than the first region holds */

static struct cx_shm shm;
static struct cx_shmring ring;
static int event;   /* of every ring; -1 where there are none */
static char *space; /* BIG bytes to take into */

static void
begin(uint64_t most)
{
    CHECK_EQ(cx_shm_create(&shm, CX_SHM_RING, cx_shmring_size(), cx_shmring_mapped()), CX_OK);
    cx_shmring_create(&ring, &shm, event, most);
    space = space != NULL ? space : malloc(BIG);
}

static void
end(void)
{
    cx_shmring_fini(&ring);
    cx_shm_close(&shm);
}

static enum cx_status
put(const void *data, uint64_t length, uint32_t kind)
{
    struct cx_shmring_message message = {data, length, kind};
    struct cx_shmlock_busy busy = {0};
    uint64_t done;
    enum cx_status status;
    while ((status = cx_shmring_put(&ring, &message, 1, &done, &busy)) == CX_WAIT) {
        (void)cx_park_shared(busy.word, busy.seen, cx_deadline_after(CX_SHM_LOOK));
    }
    return status;
}

static enum cx_status
take(void *into, uint64_t bytes, struct cx_shmring_message *message)
{
    struct cx_shmlock_busy busy = {0};
    uint64_t got;
    enum cx_status status;
    while ((status = cx_shmring_take(&ring, into, bytes, message, 1, &got, &busy)) == CX_WAIT) {
        (void)cx_park_shared(busy.word, busy.seen, cx_deadline_after(CX_SHM_LOOK));
    }
    return status;
}

static void
test_smoke(void)
{
    struct cx_shmring_message m;
    char small[4];
    begin(0);
    CHECK_EQ(take(small, 4, &m), CX_EMPTY);
    CHECK_EQ(put("hello", 5, 1), CX_OK);
    CHECK_EQ(put("", 0, 2), CX_OK);
    CHECK_EQ(put("x", 1, 256), CX_TOO_BIG); /* no such kind */
    CHECK_EQ(cx_shmring_len(&ring), 2);
    CHECK_EQ(take(small, 4, &m), CX_TOO_BIG);
    CHECK_EQ(m.length, 5);
    CHECK_EQ(take(space, 5, &m), CX_OK);
    CHECK(m.length == 5 && m.kind == 1 && memcmp(m.data, "hello", 5) == 0);
    CHECK(cx_shmring_done(&ring));
    CHECK(!cx_shmring_all_done(&ring));
    CHECK_EQ(take(small, 0, &m), CX_OK);
    CHECK(m.length == 0 && m.kind == 2);
    CHECK(cx_shmring_done(&ring));
    CHECK(cx_shmring_all_done(&ring));
    CHECK(!cx_shmring_done(&ring));
    CHECK_EQ(put("last", 4, 0), CX_OK);
    struct cx_shmlock_busy busy = {0};
    CHECK_EQ(cx_shmring_close(&ring, false, &busy), CX_OK);
    CHECK_EQ(put("late", 4, 0), CX_CLOSED);
    CHECK_EQ(take(small, 4, &m), CX_OK);
    CHECK_EQ(take(small, 4, &m), CX_CLOSED);
    end();
}

static void
test_capacity(void)
{
    struct cx_shmring_message m;
    begin(3);
    for (int lap = 0; lap < 5; lap++) {
        CHECK_EQ(put("a", 1, 0), CX_OK);
        CHECK_EQ(put("b", 1, 0), CX_OK);
        CHECK_EQ(put("c", 1, 0), CX_OK);
        CHECK_EQ(put("d", 1, 0), CX_FULL);
        for (int i = 0; i < 3; i++) {
            CHECK_EQ(take(space, 8, &m), CX_OK);
            CHECK_EQ(*(const char *)m.data, 'a' + i);
        }
    }
    end();
}

/* Sizes of every kind, a backlog that grows over regions and shrinks again, all in order. */
static void
test_growth(void)
{
    struct cx_shmring_message m;
    struct rng rng = {harness_seed};
    uint64_t in = 0, out = 0;
    char *data = calloc(1, BIG);
    begin(0);
    for (int phase = 0; phase < 60; phase++) {
        bool filling = phase % 2 == 0;
        for (int i = 0; i < 200; i++) {
            if (filling || rng_below(&rng, 4) == 0) {
                uint32_t bits = rng_below(&rng, 100) == 0 ? 19 : 14;
                uint64_t length = 8 + rng_below(&rng, 1u << rng_below(&rng, bits + 1));
                memcpy(data, &in, 8);
                memset(data + 8, (char)in, length - 8);
                CHECK_EQ(put(data, length, in % 256), CX_OK);
                in++;
            }
            else if (out < in) {
                uint64_t number;
                CHECK_EQ(take(space, BIG, &m), CX_OK);
                memcpy(&number, m.data, 8);
                CHECK_EQ(number, out);
                CHECK_EQ(m.kind, out % 256);
                CHECK_EQ(space[m.length - 1], m.length > 8 ? (char)out : space[m.length - 1]);
                out++;
            }
            CHECK_EQ(cx_shmring_len(&ring), in - out);
        }
    }
    while (take(space, BIG, &m) == CX_OK) {
        out++;
    }
    CHECK_EQ(in, out);
    CHECK(ring.shared->tail.cursor.copy[ring.shared->tail.cursor.version & 1].region > 0);
    memset(data, 0, 1 << 16);
    for (int i = 0; i < 4096; i++) { /* drained at every put, it finds back to its first region */
        CHECK_EQ(put(data, 1 << 16, 0), CX_OK);
        CHECK_EQ(take(space, BIG, &m), CX_OK);
    }
    CHECK_EQ(ring.shared->tail.cursor.copy[ring.shared->tail.cursor.version & 1].region, 0);
    CHECK_EQ(ring.shared->tail.used, 1);
    end();
    free(data);
}

static enum cx_status
close_ring(bool discard)
{
    struct cx_shmlock_busy busy = {0};
    enum cx_status status;
    while ((status = cx_shmring_close(&ring, discard, &busy)) == CX_WAIT) {
        (void)cx_park_shared(busy.word, busy.seen, cx_deadline_after(CX_SHM_LOOK));
    }
    return status;
}

static void
test_discard(void)
{
    struct cx_shmring_message m;
    begin(0);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(put(space, i == 4 ? BIG : 100, 0), CX_OK);
    }
    CHECK_EQ(take(space, BIG, &m), CX_OK);
    CHECK_EQ(cx_shmring_unfinished(&ring), 5);
    CHECK(cx_shmring_memory(&ring) > BIG);
    CHECK_EQ(close_ring(false), CX_OK);
    CHECK_EQ(cx_shmring_len(&ring), 4);
    CHECK_EQ(close_ring(true), CX_OK);
    CHECK_EQ(close_ring(false), CX_OK); /* takes nothing back */
    CHECK_EQ(cx_shmring_len(&ring), 0);
    CHECK_EQ(take(space, BIG, &m), CX_CLOSED);
    CHECK_EQ(put(space, 1, 0), CX_CLOSED);
    CHECK_EQ(cx_shmring_unfinished(&ring), 1); /* the one that was taken */
    CHECK(cx_shmring_done(&ring) && !cx_shmring_done(&ring));
    CHECK(cx_shmring_memory(&ring) <= 4096);
    end();
}

/* Who is told, and when: once for each bell that was set, after there is something. */
static void
test_bells(void)
{
    struct cx_shmring_message m;
    struct cx_watch watch;
    uint64_t tag;
    if (event < 0) {
        return; /* this system has no events: test_watch says so */
    }
    begin(2);
    CHECK_EQ(cx_watch_init(&watch), CX_OK);
    CHECK(cx_watch_add(&watch, event, 1));
    (void)cx_watch_take(&watch, &tag, 1);
    CHECK_EQ(put("a", 1, 0), CX_OK);
    CHECK_EQ(cx_watch_take(&watch, &tag, 1), 0); /* nobody has asked */
    cx_shmring_await(&ring.shared->items);
    CHECK_EQ(put("b", 1, 0), CX_OK);
    CHECK_EQ(cx_watch_take(&watch, &tag, 1), 1);
    cx_shmring_await(&ring.shared->room);
    CHECK_EQ(put("c", 1, 0), CX_FULL);
    CHECK_EQ(cx_watch_take(&watch, &tag, 1), 0);
    cx_shmring_await(&ring.shared->items); /* there is one left for whoever waits still */
    CHECK_EQ(take(space, 8, &m), CX_OK);
    CHECK_EQ(cx_watch_take(&watch, &tag, 1), 1);
    CHECK(ring.shared->room.loops == 0 && ring.shared->items.loops == 0);
    cx_shmring_await(&ring.shared->joined);
    CHECK(cx_shmring_done(&ring));
    CHECK_EQ(cx_watch_take(&watch, &tag, 1), 0);
    CHECK_EQ(take(space, 8, &m), CX_OK);
    CHECK(cx_shmring_done(&ring));
    CHECK_EQ(cx_watch_take(&watch, &tag, 1), 1);
    cx_shmring_await(&ring.shared->items);
    CHECK_EQ(close_ring(false), CX_OK);
    CHECK_EQ(cx_watch_take(&watch, &tag, 1), 1);
    cx_watch_fini(&watch);
    end();
}

static void
test_no_space(void)
{
    struct cx_shmring_message m;
    begin(0);
    CHECK_EQ(put("a", 1, 0), CX_OK);
    cx_fill_fails = 1;
    CHECK_EQ(put(space, BIG, 0), CX_OSERROR);
    CHECK_EQ(shm.error, ENOSPC);
    CHECK_EQ(put("b", 1, 0), CX_OK); /* there is room for that one */
    cx_fill_fails = 0;
    CHECK_EQ(put(space, BIG, 0), CX_OK);
    CHECK_EQ(cx_shmring_len(&ring), 3);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(take(space, BIG, &m), CX_OK);
    }
    end();
}

#define EACH 4000

static void
both_ways(struct worker *self)
{
    uint64_t *seen = self->shared;
    struct cx_shmring_message m;
    char mine[4096];
    if (self->id < self->count / 2) {
        for (uint64_t i = 0; i < EACH; i++) {
            uint64_t words[16] = {(uint64_t)self->id, i};
            CHECK_EQ(put(words, 16 + 8 * rng_below(&self->rng, 14), 0), CX_OK);
        }
        return;
    }
    uint64_t last[HARNESS_MAX_THREADS] = {0};
    while (cx_load_relaxed(seen) < (uint64_t)EACH * (uint64_t)(self->count / 2)) {
        if (take(mine, sizeof mine, &m) == CX_OK) {
            uint64_t words[2];
            memcpy(words, mine, 16);
            CHECK(words[1] + 1 > last[words[0]]); /* each producer's in order */
            last[words[0]] = words[1] + 1;
            (void)cx_fetch_add_relaxed(seen, 1);
        }
        else {
            sched_yield();
        }
    }
}

static void
test_mpmc(void)
{
    for (int threads = 2; threads <= 4; threads += 2) {
        uint64_t seen = 0;
        begin(0);
        run_threads(threads, both_ways, &seen);
        CHECK_EQ(seen, (uint64_t)EACH * (uint64_t)(threads / 2));
        CHECK_EQ(cx_shmring_len(&ring), 0);
        end();
    }
}

/* What a child does that may die at any store: small and large messages, marks, taking. */
static void
put_and_take(void *arg)
{
    struct told *told = arg;
    struct cx_shmring_message m;
    static char data[BIG];
    static const uint64_t lengths[] = {8, 100, BIG - 100, 8, 1000000, 40};
    for (int lap = 0; lap < 2; lap++) {
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            memcpy(data, &told->begun, 8);
            told->begun++;
            cx_shmring_await(&ring.shared->items);
            if (put(data, lengths[i], 0) == CX_OK) {
                told->put++;
            }
        }
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths - 1; i++) {
            cx_shmring_await(&ring.shared->room);
            cx_shmring_await(&ring.shared->items);
            if (take(space, BIG, &m) == CX_OK) {
                told->taken++;
            }
            cx_shmring_await(&ring.shared->joined);
            (void)cx_shmring_done(&ring);
        }
    }
}

/* Nothing that was put is lost or doubled but for what the dead one was just taking. */
static void
check_survivor(const struct told *told)
{
    struct cx_shmring_message m;
    int64_t first = -1, last = -1, number;
    while (take(space, BIG, &m) == CX_OK) {
        memcpy(&number, m.data, 8);
        first = first < 0 ? number : first;
        CHECK(last < 0 || number == last + 1);
        last = number;
    }
    CHECK_EQ(cx_shmring_len(&ring), 0);
    if (last < 0) {
        CHECK(told->put - told->taken <= 1);
    }
    else {
        CHECK(first == told->taken || first == told->taken + 1);
        CHECK(last + 1 == told->put || last + 1 == told->begun);
    }
    for (int i = 0; i < 8; i++) { /* and all regions are there again */
        CHECK_EQ(put(space, i % 2 ? 100 : BIG, 0), CX_OK);
        CHECK_EQ(take(space, BIG, &m), CX_OK);
    }
    uint32_t used = ring.shared->tail.used;
    CHECK_EQ(used & (used - 1), 0);
    CHECK(ring.shared->head.leaving == 0 && ring.shared->tail.entering == 0);
}

/* ThreadSanitizer sees nothing of other processes and makes each fork slow. */
#if defined(CX_TSAN)
#define STEP 5 /* odd, for every other one gives pages back */
#else
#define STEP 1
#endif

static void
test_killed_anywhere(void)
{
    struct told *told = make_told();
    int k = 1;
    killed_count = 0;
    uint64_t keep = cx_shmring_keep;
    for (bool died = true; died; k += STEP) {
        memset(told, 0, sizeof *told);
        begin(0);
        cx_shmring_keep = k % 2 == 0 ? keep : CX_SHMRING_FIRST; /* pages stay; or are given back */
        died = dies_at(k / 2 + 1, put_and_take, told);
        cx_shmring_keep = keep;
        check_survivor(told);
        end();
    }
    CHECK(k > 400);
    munmap(told, sizeof *told);
}

/* Enters both sides, puts nothing and takes nothing. */
static void
repair(void *arg)
{
    struct cx_shmring_message m;
    char none[1] = {0};
    (void)arg;
    CHECK_EQ(put(none, CX_SHMRING_LONGEST + 1, 0), CX_TOO_BIG);
    enum cx_status status = take(none, 0, &m);
    CHECK(status == CX_TOO_BIG || status == CX_EMPTY);
}

/* Whoever finds what a dead one has left half done dies at repairing it, at any store. */
static void
test_killed_in_repair(void)
{
    struct told *told = make_told();
    int pairs = 0;
    for (int k = 1; true; k += STEP) {
        bool died = true, unfinished = false;
        for (int j = 1; died; j++) {
            memset(told, 0, sizeof *told);
            begin(0);
            bool first = dies_at(k, put_and_take, told);
            unfinished = ring.shared->tail.entering != 0 || ring.shared->head.leaving != 0;
            died = unfinished && dies_at(j, repair, NULL);
            pairs += died;
            check_survivor(told);
            end();
            if (!first) {
                CHECK(pairs > 50 / STEP);
                munmap(told, sizeof *told);
                return;
            }
        }
    }
}

static void
make_ring(void *arg)
{
    struct cx_shm mine;
    struct cx_shmring made;
    (void)arg;
    CHECK_EQ(cx_shm_create(&mine, CX_SHM_RING, cx_shmring_size(), cx_shmring_mapped()), CX_OK);
    cx_shmring_create(&made, &mine, -1, 7);
    cx_shmring_fini(&made);
    cx_shm_close(&mine);
}

static void
close_and_discard(void *arg)
{
    (void)arg;
    cx_shmring_await(&ring.shared->items);
    (void)close_ring(false);
    (void)close_ring(true);
}

/* The one that discards dies: either nothing has happened, or all. */
static void
test_killed_in_discard(void)
{
    int k = 1, before = 0;
    for (bool died = true; died; k++) {
        struct cx_shmring_message m;
        begin(0);
        for (int i = 0; i < 3; i++) {
            CHECK_EQ(put(space, i == 1 ? BIG : 8, 0), CX_OK);
        }
        died = dies_at(k, close_and_discard, NULL);
        bool open = cx_shmring_len(&ring) == 3, closed = ring.shared->closed != CX_SHMRING_OPEN;
        before += open;
        CHECK(open || cx_shmring_len(&ring) == 0);
        CHECK_EQ(put(space, 8, 0), closed ? CX_CLOSED : CX_OK);
        CHECK_EQ(take(space, BIG, &m), open ? CX_OK : CX_CLOSED);
        CHECK_EQ(close_ring(true), CX_OK);
        CHECK_EQ(cx_shmring_unfinished(&ring), open ? 1 : 0);
        end();
    }
    CHECK(before > 2 && k - before > 4);
}

static void
test_every_point_was_hit(void)
{
    const char *const none[] = {NULL};
    bool died = true;
    for (int k = 1; died; k++) {
        died = dies_at(k, make_ring, NULL);
    }
    every_point_was_hit("core/shmring.c", none);
    every_point_was_hit("core/shmcursor.h", none);
}

/* Shared memory that holds anything: whatever is read or written stays inside (under ASan). */
static void
test_fuzz(void)
{
    struct rng rng = {harness_seed};
    struct cx_shmring_message m;
    uint64_t *words;
    static char data[70000];
    size_t n = sizeof(struct cx_shmring_shared) / 8;
    for (int round = 0; round < 3000; round++) {
        begin(rng_below(&rng, 4));
        for (uint32_t i = rng_below(&rng, 6); i > 0; i--) {
            (void)put(data, rng_below(&rng, 300), 0);
        }
        words = (uint64_t *)(void *)ring.shared;
        for (uint32_t i = 1 + rng_below(&rng, 4); i > 0; i--) {
            uint64_t odd[] = {0,
                              1,
                              17,
                              UINT64_MAX,
                              rng_next(&rng),
                              UINT64_C(1) << rng_below(&rng, 64),
                              8 * rng_below(&rng, 1 << 20)};
            uint64_t what = odd[rng_below(&rng, 7)];
            if (rng_below(&rng, 3) == 0) { /* in the messages */
                memcpy(ring.regions[0] != NULL ? ring.regions[0] + 8 * rng_below(&rng, 60) : data,
                       &what, 8);
            }
            else {
                words[rng_below(&rng, (uint32_t)n)] = what;
            }
        }
        ring.shared->tail.lock = ring.shared->head.lock = 0; /* a live owner would be waited for */
        for (int i = 0; i < 12; i++) {
            (void)put(data, rng_below(&rng, sizeof data), 0);
            (void)take(space, BIG, &m);
            (void)cx_shmring_len(&ring);
        }
        end();
    }
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    cx_shm_install();
    event = cx_event_new();
    RUN(test_smoke);
    RUN(test_capacity);
    RUN(test_growth);
    RUN(test_discard);
    RUN(test_bells);
    RUN(test_no_space);
    RUN(test_mpmc);
    RUN(test_killed_anywhere);
    RUN(test_killed_in_repair);
    RUN(test_killed_in_discard);
    if (STEP == 1) {
        RUN(test_every_point_was_hit);
    }
    RUN(test_fuzz);
    free(space);
    return harness_end();
}

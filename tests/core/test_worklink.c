// SPDX-License-Identifier: MIT
/* The link between a pool and a worker: order, room, large messages, taking back, death of either side
 * at every store, and memory that somebody else has written. */
#include "harness.h"

#include <pthread.h>

#include "core/clock.h"
#include "core/worklink.h"
#include "killing.h"

#define BIG (3 << 20)

static struct cx_shm shm, other;
static struct cx_worklink pool, worker; /* both sides, in one process */
static char *big;

static void
begin(void)
{
    CHECK_EQ(cx_shm_create(&shm, CX_SHM_WORK, cx_worklink_size(), cx_worklink_mapped()), CX_OK);
    CHECK_EQ(cx_worklink_create(&pool, &shm), CX_OK);
    CHECK_EQ(cx_shm_attach(&other, dup(shm.fd), CX_SHM_WORK, cx_worklink_mapped()), CX_OK);
    cx_worklink_attach(&worker, &other);
    big = big != NULL ? big : malloc(BIG);
}

static void
end(void)
{
    cx_worklink_fini(&pool);
    cx_worklink_fini(&worker);
    cx_shm_close(&shm);
    cx_shm_close(&other);
}

static enum cx_status
put(struct cx_lane *lane, const void *data, uint64_t length, uint64_t id, uint32_t *number)
{
    struct cx_lane_message m = {.data = data, .length = length, .id = id, .kind = 1};
    return cx_lane_put(lane, &m, number);
}

static void
take(struct cx_lane *lane, uint64_t id)
{
    struct cx_lane_message m;
    CHECK_EQ(cx_lane_take(lane, &m), CX_OK);
    CHECK_EQ(m.id, id);
    CHECK_EQ(m.kind, 1);
    cx_lane_pass(lane);
}

static void
test_smoke(void)
{
    struct cx_lane_message m;
    uint32_t a, b;
    int64_t begun;
    begin();
    CHECK_EQ(cx_lane_take(&worker.tasks, &m), CX_EMPTY);
    CHECK_EQ(put(&pool.tasks, "hello", 5, 7, &a), CX_OK);
    CHECK_EQ(put(&pool.tasks, "", 0, 8, &b), CX_OK);
    CHECK_EQ(cx_lane_claim(&pool.tasks, a, &begun), CX_CLAIM_READY);
    CHECK(cx_lane_waits(&worker.tasks));
    int64_t before = cx_now();
    CHECK_EQ(cx_lane_take(&worker.tasks, &m), CX_OK);
    CHECK(m.id == 7 && m.length == 5 && memcmp(m.data, "hello", 5) == 0);
    CHECK_EQ(cx_lane_claim(&pool.tasks, a, &begun), CX_CLAIM_TAKEN);
    CHECK(begun >= before && begun <= cx_now());
    CHECK(!cx_lane_revoke(&pool.tasks, a));
    cx_lane_pass(&worker.tasks);
    take(&worker.tasks, 8);
    CHECK(!cx_lane_waits(&worker.tasks));
    CHECK_EQ(put(&worker.results, "done", 4, 7, &a), CX_OK);
    CHECK_EQ(cx_lane_take(&pool.results, &m), CX_OK);
    CHECK(m.id == 7 && m.length == 4 && memcmp(m.data, "done", 4) == 0);
    cx_lane_pass(&pool.results);
    end();
}

static void
test_bell(void)
{
    uint32_t n;
    begin();
    CHECK(!cx_lane_answers(&worker.results));
    cx_shmbell_set(&pool.results.shared->bell);
    CHECK_EQ(put(&worker.results, "x", 1, 1, &n), CX_OK);
    CHECK(cx_lane_answers(&worker.results));
    CHECK(!cx_lane_answers(&worker.results)); /* once */
    CHECK(!cx_lane_is_watched(&worker.results));
    uint32_t at = pool.results.at;
    cx_lane_watch(&pool.results);
    CHECK(cx_lane_is_watched(&worker.results));
    CHECK(cx_lane_unwatch(&pool.results, at)); /* there is the one of above */
    CHECK(!cx_lane_unwatch(&pool.results, at + 1));
    CHECK(!cx_lane_is_watched(&worker.results));
    end();
}

/* Messages of every small size, until it is full and on: none is lost, none is torn. */
static void
test_room(void)
{
    uint64_t in = 0, out = 0, full = 0;
    uint32_t n, seed = 1;
    char text[CX_LANE_SMALL];
    begin();
    while (out < 20000) {
        seed = seed * 1103515245u + 12345u;
        if ((seed >> 16 & 3) != 0) {
            uint64_t length = (seed >> 18) % (CX_LANE_SMALL + 1);
            memset(text, (int)(in & 0xff), length);
            enum cx_status status = put(&pool.tasks, text, length, in, &n);
            CHECK(status == CX_OK || status == CX_FULL);
            in += status == CX_OK;
            full += status == CX_FULL;
        }
        else if (in > out) {
            struct cx_lane_message m;
            CHECK_EQ(cx_lane_take(&worker.tasks, &m), CX_OK);
            CHECK_EQ(m.id, out);
            for (uint64_t i = 0; i < m.length; i++) {
                CHECK_EQ(((const unsigned char *)m.data)[i], out & 0xff);
            }
            cx_lane_pass(&worker.tasks);
            out++;
        }
    }
    CHECK(full > 100);
    while (in > out) {
        take(&worker.tasks, out++);
    }
    CHECK_EQ(cx_lane_room(&pool.tasks), CX_LANE_SLOTS - 1);
    end();
}

static void
test_large(void)
{
    uint32_t n;
    begin();
    for (int round = 0; round < 20; round++) {
        memset(big, round, BIG);
        CHECK_EQ(put(&worker.results, big, BIG - round, 1, &n), CX_OK);
        CHECK_EQ(put(&worker.results, big, CX_LANE_SMALL + 1, 2, &n), CX_OK);
        for (int i = 0; i < 2; i++) {
            struct cx_lane_message m;
            CHECK_EQ(cx_lane_take(&pool.results, &m), CX_OK);
            CHECK_EQ(m.length, i == 0 ? (uint64_t)(BIG - round) : CX_LANE_SMALL + 1);
            CHECK(memcmp(m.data, big, m.length) == 0);
            cx_lane_pass(&pool.results);
        }
    }
    /* Its pages were used again. */
    CHECK(worker.results.arena.filled - worker.results.large_at < 3 * BIG);
    CHECK_EQ(put(&pool.tasks, big, CX_LANE_LARGE + 1, 1, &n), CX_TOO_BIG);
    cx_fill_fails = 1;
    CHECK_EQ(put(&pool.tasks, big, BIG, 1, &n), CX_OSERROR);
    cx_fill_fails = 0;
    CHECK_EQ(put(&pool.tasks, big, BIG, 1, &n), CX_OK);
    take(&worker.tasks, 1);
    end();
}

static void
test_revoke(void)
{
    uint32_t n[10];
    begin();
    for (uint32_t i = 0; i < 10; i++) {
        CHECK_EQ(put(&pool.tasks, big, i == 8 ? BIG : 8, i, &n[i]), CX_OK);
    }
    take(&worker.tasks, 0);
    CHECK(!cx_lane_revoke(&pool.tasks, n[0]));
    for (uint32_t i = 1; i < 10; i += i == 1 ? 1 : 2) { /* 1, 2, 4, 6, 8 */
        CHECK(cx_lane_revoke(&pool.tasks, n[i]));
        CHECK(!cx_lane_revoke(&pool.tasks, n[i]));
    }
    for (uint32_t i = 3; i < 10; i += 2) {
        take(&worker.tasks, i);
    }
    struct cx_lane_message m;
    CHECK_EQ(cx_lane_take(&worker.tasks, &m), CX_EMPTY);
    CHECK_EQ(cx_lane_room(&pool.tasks), CX_LANE_SLOTS - 1);
    CHECK_EQ(pool.tasks.arena.used, 0);
    end();
}

/* --- races ------------------------------------------------------------------------------------ */

#define MANY 100000

static uint64_t done_by_worker;

static void *
work(void *unused)
{
    (void)unused;
    for (uint64_t last = 0; last < MANY;) {
        struct cx_lane_message m;
        enum cx_status status = cx_lane_take(&worker.tasks, &m);
        if (status == CX_EMPTY) {
            cx_shmbell_set(&worker.tasks.shared->bell);
            if (!cx_lane_waits(&worker.tasks)) {
                (void)cx_park_shared(&worker.tasks.shared->bell, 1, cx_deadline_after(CX_SHM_LOOK));
            }
            continue;
        }
        CHECK_EQ(status, CX_OK);
        uint64_t value;
        CHECK_EQ(m.length, sizeof value);
        memcpy(&value, m.data, sizeof value);
        CHECK(value == m.id && m.id > last);
        last = m.id;
        done_by_worker += last < MANY;
        cx_lane_pass(&worker.tasks);
    }
    return NULL;
}

/* What is taken back is not taken, and the other way round. */
static void
test_race(void)
{
    pthread_t thread;
    uint64_t revoked = 0, sent = 0;
    begin();
    done_by_worker = 0;
    CHECK_EQ(pthread_create(&thread, NULL, work, NULL), 0);
    for (uint64_t id = 1; id <= MANY; id++) {
        uint32_t n;
        enum cx_status status;
        while ((status = put(&pool.tasks, &id, sizeof id, id, &n)) == CX_FULL) {
            cx_pause();
        }
        CHECK_EQ(status, CX_OK);
        cx_shmbell_ring(&pool.tasks.shared->bell, 1);
        sent += id < MANY;
        if (id < MANY && id % 3 == 0 && cx_lane_revoke(&pool.tasks, n)) {
            revoked++;
        }
    }
    pthread_join(thread, NULL);
    CHECK_EQ(done_by_worker + revoked, sent);
    end();
}

/* --- death ------------------------------------------------------------------------------------ */

static void
worker_steps(void *arg)
{
    struct told *told = arg;
    cx_worklink_tell(&worker, CX_WORK_READY);
    for (int i = 0; i < 3; i++) {
        struct cx_lane_message m;
        uint32_t n;
        CHECK_EQ(cx_lane_take(&worker.tasks, &m), CX_OK);
        told->taken++;
        cx_lane_pass(&worker.tasks);
        told->begun++;
        CHECK_EQ(put(&worker.results, big, i == 1 ? BIG : 8, m.id, &n), CX_OK);
        told->put++;
        (void)!cx_lane_answers(&worker.results);
    }
    cx_worklink_tell(&worker, CX_WORK_LEFT);
}

/* Wherever the worker dies: each task is either done, lost while TAKEN, or can be taken back. */
static void
test_worker_killed(void)
{
    struct told *told = make_told();
    bool died = true;
    int k;
    killed_count = 0;
    for (k = 1; died; k++) {
        uint32_t n[3];
        begin();
        *told = (struct told){0};
        for (uint32_t i = 0; i < 3; i++) {
            CHECK_EQ(put(&pool.tasks, big, i == 2 ? BIG : 8, i, &n[i]), CX_OK);
        }
        cx_shmbell_set(&pool.results.shared->bell);
        died = dies_at(k, worker_steps, told);
        bool done[3] = {false};
        int64_t finished = 0, lost = 0, back = 0;
        struct cx_lane_message m;
        while (cx_lane_take(&pool.results, &m) == CX_OK) {
            CHECK(m.id < 3 && !done[m.id]);
            CHECK_EQ(m.length, m.id == 1 ? BIG : 8);
            done[m.id] = true;
            finished++;
            cx_lane_pass(&pool.results);
        }
        for (uint32_t i = 0; i < 3; i++) {
            bool taken_back = cx_lane_revoke(&pool.tasks, n[i]);
            CHECK(!(taken_back && done[i]));
            lost += !taken_back && !done[i];
            back += taken_back;
        }
        CHECK(finished >= told->put && finished <= told->put + 1);
        CHECK(lost <= 1);
        CHECK_EQ(finished + lost + back, 3);
        /* Who has said that it left has done all it took. */
        CHECK(worker.shared->state != CX_WORK_LEFT || finished == 3);
        end();
    }
    CHECK(k > 20);
    printf("  the worker was killed at %d stores\n", k - 2);
    every_point_was_hit("core/worklink.c",
                        (const char *const[]){"cx_worklink_create", "cx_worklink_stop",
                                              "cx_lane_revoke", "cx_lane_watch", "cx_lane_unwatch",
                                              NULL});
    munmap(told, sizeof *told);
}

static void
pool_steps(void *arg)
{
    struct told *told = arg;
    struct cx_lane_message m;
    struct cx_shm mine;
    struct cx_worklink link;
    CHECK_EQ(cx_shm_create(&mine, CX_SHM_WORK, cx_worklink_size(), cx_worklink_mapped()), CX_OK);
    CHECK_EQ(cx_worklink_create(&link, &mine), CX_OK);
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t n;
        told->begun++;
        CHECK_EQ(put(&pool.tasks, big, i == 1 ? BIG : 8, i, &n), CX_OK);
        told->put++;
        (void)!cx_lane_answers(&pool.tasks);
        if (i == 2) {
            CHECK(cx_lane_revoke(&pool.tasks, n));
        }
    }
    cx_lane_watch(&pool.results);
    CHECK(cx_lane_unwatch(&pool.results, 0));
    cx_shmbell_set(&pool.results.shared->bell);
    while (cx_lane_take(&pool.results, &m) == CX_OK) {
        told->taken++;
        cx_lane_pass(&pool.results);
    }
    cx_worklink_stop(&pool);
}

/* Wherever the pool dies: what it has put is whole, and nothing else is there; the worker can go on
 * and put results until it sees that nobody is there. */
static void
test_pool_killed(void)
{
    struct told *told = make_told();
    bool died = true;
    int k;
    memset(big, 5, BIG);
    killed_count = 0;
    for (k = 1; died; k++) {
        uint32_t n;
        begin();
        *told = (struct told){0};
        cx_shmbell_set(&worker.tasks.shared->bell);
        CHECK_EQ(put(&worker.results, big, 8, 1, &n), CX_OK);
        CHECK_EQ(put(&worker.results, big, BIG, 2, &n), CX_OK);
        died = dies_at(k, pool_steps, told);
        struct cx_lane_message m;
        int64_t found = 0;
        while (cx_lane_take(&worker.tasks, &m) == CX_OK) {
            CHECK_EQ(m.length, m.id == 1 ? BIG : 8);
            CHECK(memcmp(m.data, big, m.length) == 0);
            found++;
            cx_lane_pass(&worker.tasks);
        }
        int64_t revoked = told->put > 3 || (told->put == 3 && found < 3);
        CHECK(found + revoked >= told->put && found + revoked <= told->begun);
        uint32_t room = cx_lane_room(&worker.results);
        CHECK(room + 2 >= CX_LANE_SLOTS - 1 + (uint32_t)told->taken - (told->taken > 0) &&
              room <= CX_LANE_SLOTS - 1);
        CHECK_EQ(put(&worker.results, big, BIG, 3, &n), CX_OK);
        CHECK(died || worker.shared->stop == 1);
        end();
    }
    CHECK(k > 20);
    printf("  the pool was killed at %d stores\n", k - 2);
    every_point_was_hit("core/worklink.c", (const char *const[]){"cx_worklink_tell", NULL});
    munmap(told, sizeof *told);
}

/* --- what a peer may have written --------------------------------------------------------------- */

static void
test_damaged(void)
{
    uint32_t seed = 7, n;
    int damaged = 0, empty = 0;
    struct cx_lane_message m;
    begin();
    for (int round = 0; round < 20000; round++) {
        struct cx_lane_shared *lane = worker.results.shared;
        uint32_t *words = (uint32_t *)(void *)lane;
        for (int i = 0; i < 4; i++) {
            seed = seed * 1103515245u + 12345u;
            uint32_t value = seed >> 8;
            words[(seed >> 4) % 64] = (seed & 1) != 0 ? value : value % 4;
        }
        lane->slots[pool.results.at % CX_LANE_SLOTS].offset =
            (seed & 6) == 0 ? pool.results.large_at + (UINT64_C(1) << (seed >> 26)) : seed;
        enum cx_status status = cx_lane_take(&pool.results, &m);
        if (status == CX_OK) {
            uint64_t sum = 0; /* all of it can be read */
            for (uint64_t i = 0; i < m.length; i += 4096) {
                sum += ((const unsigned char *)m.data)[i];
            }
            CHECK(sum + 1 > 0);
            cx_lane_pass(&pool.results);
        }
        damaged += status == CX_DAMAGED;
        empty += status == CX_EMPTY;
        lane->published = pool.results.at + 1;
    }
    CHECK(damaged > 1000);
    CHECK_EQ(put(&pool.tasks, "x", 1, 1, &n), CX_OK);
    pool.tasks.shared->passed = 77;
    CHECK_EQ(put(&pool.tasks, "x", 1, 1, &n), CX_DAMAGED);
    CHECK_EQ(cx_lane_room(&pool.tasks), 0);
    end();
    /* Of no bytes, and they lie nowhere. */
    begin();
    CHECK_EQ(put(&worker.results, "", 0, 1, &n), CX_OK);
    worker.results.shared->slots[0].offset = UINT64_MAX;
    m.data = NULL;
    CHECK_EQ(cx_lane_take(&pool.results, &m), CX_OK);
    CHECK(m.length == 0 && m.data != NULL);
    end();
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    cx_shm_install();
    RUN(test_smoke);
    RUN(test_bell);
    RUN(test_room);
    RUN(test_large);
    RUN(test_revoke);
    RUN(test_race);
    RUN(test_worker_killed);
    RUN(test_pool_killed);
    RUN(test_damaged);
    free(big);
    return harness_end();
}

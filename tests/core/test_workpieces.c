// SPDX-License-Identifier: MIT
/* Data in pieces: order, how much lies in shared memory, messages between, no memory, deaths of either
 * side at every store, and pieces that are not the next one. */
#include "harness.h"

#include <pthread.h>

#include "core/workpieces.h"
#include "killing.h"

#define PIECE_KIND 9
#define LENGTHS 6

static struct cx_shm shm, other;
static struct cx_worklink pool, worker; /* both sides, in one process */

/* A part smaller than a slot's ring takes, one of a piece, one more, many, none, one byte. */
static const uint64_t lengths[LENGTHS] = {5000, CX_PIECE, CX_PIECE + 1, 6 * CX_PIECE + 777, 0, 1};
static struct cx_part sent[LENGTHS], got[LENGTHS];
static uint64_t total;

static void
begin(void)
{
    CHECK_EQ(cx_shm_create(&shm, CX_SHM_WORK, cx_worklink_size(), cx_worklink_mapped()), CX_OK);
    CHECK_EQ(cx_worklink_create(&pool, &shm), CX_OK);
    CHECK_EQ(cx_shm_attach(&other, dup(shm.fd), CX_SHM_WORK, cx_worklink_mapped()), CX_OK);
    cx_worklink_attach(&worker, &other);
    for (int i = 0; i < LENGTHS; i++) {
        memset(got[i].data, 0, lengths[i]);
    }
}

static void
end(void)
{
    cx_worklink_fini(&pool);
    cx_worklink_fini(&worker);
    cx_shm_close(&shm);
    cx_shm_close(&other);
}

static void
make_parts(void)
{
    uint32_t seed = 3;
    for (int i = 0; i < LENGTHS; i++) {
        sent[i] = (struct cx_part){malloc(lengths[i] + 1), lengths[i]};
        /* In shared memory, so that what a child got can be seen. */
        got[i] = (struct cx_part){
            mmap(NULL, lengths[i] + 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0),
            lengths[i]};
        for (uint64_t k = 0; k < lengths[i]; k++) {
            seed = seed * 1103515245u + 12345u;
            sent[i].data[k] = (char)(seed >> 16);
        }
        total += lengths[i];
    }
}

static void
free_parts(void)
{
    for (int i = 0; i < LENGTHS; i++) {
        free(sent[i].data);
        munmap(got[i].data, lengths[i] + 1);
    }
}

/* Whether all up to `upto` bytes arrived. */
static bool
is_same(uint64_t upto)
{
    bool same = true;
    for (int i = 0; i < LENGTHS && upto > 0; i++) {
        uint64_t n = lengths[i] < upto ? lengths[i] : upto;
        same = same && memcmp(sent[i].data, got[i].data, n) == 0;
        upto -= n;
    }
    return same;
}

static uint64_t
in_use(const struct cx_lane *lane)
{
    return lane->arena.filled - lane->large_at;
}

/* As many as go at once, then the consumer takes them, until all are there; how many there were. */
static int
cross(struct cx_lane *from, struct cx_lane *to, uint64_t id, const struct cx_part *into)
{
    struct cx_pieces out, in;
    int n = 0;
    cx_pieces_init(&out, sent, LENGTHS, total, PIECE_KIND, id);
    cx_pieces_init(&in, into, into == NULL ? 0 : LENGTHS, total, PIECE_KIND, id);
    while (!cx_pieces_done(&in)) {
        enum cx_status status = CX_OK;
        struct cx_lane_message m;
        while (status == CX_OK) {
            bool room = cx_pieces_fit(&out, from);
            status = cx_pieces_put(&out, from);
            CHECK(status == CX_OK ? room || out.small : status == CX_FULL);
            CHECK(from->arena.used <= CX_PIECES * CX_PIECE);
            n += status == CX_OK;
        }
        CHECK(!cx_pieces_fit(&out, from));
        CHECK_EQ(cx_pieces_take(to, PIECE_KIND, &m), CX_OK);
        CHECK_EQ(cx_pieces_get(&in, &m), CX_OK);
        cx_lane_pass(to);
    }
    CHECK(cx_pieces_done(&out));
    CHECK_EQ(cx_pieces_put(&out, from), CX_FULL);
    return n;
}

static void
test_smoke(void)
{
    struct cx_lane_message m;
    begin();
    for (uint64_t id = 1; id < 6; id++) {
        CHECK_EQ(cross(&pool.tasks, &worker.tasks, id, got), 12);
        CHECK(is_same(total));
        memset(got[3].data, 0, lengths[3]);
        CHECK_EQ(cross(&worker.results, &pool.results, id, got), 12);
        CHECK(is_same(total));
        memset(got[3].data, 0, lengths[3]);
        CHECK_EQ(cross(&worker.results, &pool.results, id, NULL), 12); /* no use for it */
    }
    CHECK_EQ(cx_pieces_take(&worker.tasks, PIECE_KIND, &m), CX_EMPTY);
    CHECK(in_use(&pool.tasks) <= (CX_PIECES + 3) * CX_PIECE);
    CHECK(in_use(&worker.results) <= (CX_PIECES + 3) * CX_PIECE);
    CHECK_EQ(cx_lane_room(&pool.tasks), CX_LANE_SLOTS - 1);
    CHECK_EQ(pool.tasks.arena.used, 0); /* all is free again */
    end();
}

/* Without memory for pieces they go through the ring. */
static void
test_no_memory(void)
{
    begin();
    cx_fill_fails = 1;
    CHECK(cross(&worker.results, &pool.results, 1, got) > (int)(total / CX_LANE_SMALL));
    CHECK(is_same(total));
    CHECK_EQ(in_use(&worker.results), 0);
    cx_fill_fails = 0;
    CHECK_EQ(cross(&worker.results, &pool.results, 2, got), 12);
    end();
}

static void
put_other(struct cx_lane *lane, uint64_t id, uint32_t *number)
{
    struct cx_lane_message m = {.data = "text", .length = 4, .id = id, .kind = 1};
    CHECK_EQ(cx_lane_put(lane, &m, number), CX_OK);
}

/* What lies before the pieces: taken back, it is passed; not taken back, it is not taken. */
static void
test_others(void)
{
    struct cx_pieces out;
    struct cx_lane_message m;
    uint32_t a, b, c;
    begin();
    put_other(&pool.tasks, 1, &a);
    put_other(&pool.tasks, 2, &b);
    CHECK_EQ(cx_pieces_take(&worker.tasks, PIECE_KIND, &m), CX_EMPTY);
    CHECK(cx_lane_revoke(&pool.tasks, a));
    CHECK_EQ(cx_pieces_take(&worker.tasks, PIECE_KIND, &m), CX_EMPTY);
    CHECK_EQ(cx_lane_room(&pool.tasks), CX_LANE_SLOTS - 2); /* a has been passed, b not */
    cx_pieces_init(&out, sent, LENGTHS, total, PIECE_KIND, 7);
    CHECK_EQ(cx_pieces_put(&out, &pool.tasks), CX_OK);
    CHECK_EQ(cx_pieces_take(&worker.tasks, PIECE_KIND, &m), CX_EMPTY);
    CHECK(cx_lane_revoke(&pool.tasks, b));
    CHECK_EQ(cx_pieces_take(&worker.tasks, PIECE_KIND, &m), CX_OK);
    CHECK(m.id == 7 && m.length == lengths[0] && m.flags == 0);
    cx_lane_pass(&worker.tasks);
    put_other(&pool.tasks, 3, &c);
    CHECK_EQ(cx_pieces_take(&worker.tasks, PIECE_KIND, &m), CX_EMPTY);
    CHECK_EQ(cx_lane_take(&worker.tasks, &m), CX_OK);
    CHECK_EQ(m.id, 3);
    cx_lane_pass(&worker.tasks);
    /* Large messages that nobody takes: nothing fits beside them, and then it does. */
    m = (struct cx_lane_message){.data = sent[3].data, .length = 4 * CX_PIECE, .id = 4, .kind = 1};
    CHECK_EQ(cx_lane_put(&pool.tasks, &m, &a), CX_OK);
    CHECK_EQ(cx_pieces_put(&out, &pool.tasks), CX_FULL);
    CHECK(!cx_pieces_fit(&out, &pool.tasks));
    CHECK(cx_lane_revoke(&pool.tasks, a));
    CHECK_EQ(cx_pieces_take(&worker.tasks, PIECE_KIND, &m), CX_EMPTY);
    CHECK(cx_pieces_fit(&out, &pool.tasks));
    CHECK_EQ(cx_pieces_put(&out, &pool.tasks), CX_OK);
    /* No slot is free. */
    while (cx_lane_room(&pool.tasks) > 0) {
        put_other(&pool.tasks, 5, &a);
    }
    CHECK_EQ(cx_pieces_put(&out, &pool.tasks), CX_FULL);
    CHECK(!cx_pieces_fit(&out, &pool.tasks));
    end();
}

static void
test_damaged(void)
{
    struct cx_pieces in;
    struct cx_lane_message good = {
        .data = sent[0].data, .length = 4000, .id = 7, .flags = 0, .kind = PIECE_KIND};
    struct cx_lane_message bad[] = {good, good, good, good, good, good};
    begin();
    cx_pieces_init(&in, got, LENGTHS, total, PIECE_KIND, 7);
    bad[0].kind = 1;
    bad[1].id = 8;
    bad[2].flags = 1;
    bad[3].length = 0;
    bad[4].length = lengths[0] + 1; /* of two parts */
    bad[5].length = CX_PIECE + 1;
    for (int i = 0; i < 6; i++) {
        CHECK_EQ(cx_pieces_get(&in, &bad[i]), CX_DAMAGED);
        CHECK_EQ(in.at, 0);
    }
    CHECK_EQ(cx_pieces_get(&in, &good), CX_OK);
    CHECK_EQ(cx_pieces_get(&in, &good), CX_DAMAGED); /* once */
    good.flags = 4000;
    CHECK_EQ(cx_pieces_get(&in, &good), CX_DAMAGED); /* 1000 are left of the part */
    good.length = 1000;
    CHECK_EQ(cx_pieces_get(&in, &good), CX_OK);
    cx_pieces_init(&in, NULL, 0, 100, PIECE_KIND, 7);
    good.flags = 0;
    CHECK_EQ(cx_pieces_get(&in, &good), CX_DAMAGED); /* more than there is */
    good.length = 100;
    CHECK_EQ(cx_pieces_get(&in, &good), CX_OK);
    CHECK(cx_pieces_done(&in));
    good.flags = 100;
    CHECK_EQ(cx_pieces_get(&in, &good), CX_DAMAGED);
    pool.tasks.shared->passed = 77;
    struct cx_pieces out;
    cx_pieces_init(&out, sent, LENGTHS, total, PIECE_KIND, 7);
    CHECK_EQ(cx_pieces_put(&out, &pool.tasks), CX_DAMAGED);
    CHECK(!cx_pieces_fit(&out, &pool.tasks));
    end();
}

/* --- side by side ------------------------------------------------------------------------------- */

#define ROUNDS 20

static void *
send_all(void *unused)
{
    (void)unused;
    for (uint64_t id = 1; id <= ROUNDS; id++) {
        struct cx_pieces out;
        cx_pieces_init(&out, sent, LENGTHS, total, PIECE_KIND, id);
        while (!cx_pieces_done(&out)) {
            enum cx_status status = cx_pieces_put(&out, &worker.results);
            CHECK(status == CX_OK || status == CX_FULL);
            if (status == CX_FULL) {
                uint32_t *room = &worker.results.shared->room;
                cx_shmbell_set(room);
                if (!cx_pieces_fit(&out, &worker.results)) {
                    (void)cx_park_shared(room, 1, cx_deadline_after(CX_SHM_LOOK));
                }
            }
        }
    }
    return NULL;
}

static void
test_race(void)
{
    pthread_t thread;
    begin();
    CHECK_EQ(pthread_create(&thread, NULL, send_all, NULL), 0);
    for (uint64_t id = 1; id <= ROUNDS; id++) {
        struct cx_pieces in;
        memset(got[2].data, 0, lengths[2]);
        cx_pieces_init(&in, got, LENGTHS, total, PIECE_KIND, id);
        while (!cx_pieces_done(&in)) {
            struct cx_lane_message m;
            if (cx_pieces_take(&pool.results, PIECE_KIND, &m) == CX_OK) {
                CHECK_EQ(cx_pieces_get(&in, &m), CX_OK);
                cx_lane_pass(&pool.results);
            }
            else {
                cx_pause();
            }
        }
        CHECK(is_same(total));
    }
    pthread_join(thread, NULL);
    end();
}

/* --- death -------------------------------------------------------------------------------------- */

static void
producer_steps(void *arg)
{
    struct told *told = arg;
    struct cx_pieces out;
    cx_pieces_init(&out, sent, LENGTHS, total, PIECE_KIND, 1);
    while (cx_pieces_put(&out, &worker.results) == CX_OK) {
        told->put = (int64_t)out.at;
    }
}

/* Wherever the producer dies: what is there are whole pieces in order. */
static void
test_producer_killed(void)
{
    struct told *told = make_told();
    bool died = true;
    int k;
    killed_count = 0;
    for (k = 1; died; k++) {
        struct cx_pieces in;
        struct cx_lane_message m;
        begin();
        *told = (struct told){0};
        died = dies_at(k, producer_steps, told);
        cx_pieces_init(&in, got, LENGTHS, total, PIECE_KIND, 1);
        while (cx_pieces_take(&pool.results, PIECE_KIND, &m) == CX_OK) {
            CHECK_EQ(cx_pieces_get(&in, &m), CX_OK);
            cx_lane_pass(&pool.results);
        }
        CHECK((int64_t)in.at >= told->put);
        CHECK((int64_t)in.at <= told->put + (int64_t)CX_PIECE);
        CHECK(is_same(in.at));
        end();
    }
    CHECK(k > 10);
    printf("  the producer was killed at %d stores\n", k - 2);
    munmap(told, sizeof *told);
}

static void
consumer_steps(void *arg)
{
    struct told *told = arg;
    struct cx_pieces in;
    struct cx_lane_message m;
    cx_pieces_init(&in, got, LENGTHS, total, PIECE_KIND, 1);
    while (cx_pieces_take(&worker.tasks, PIECE_KIND, &m) == CX_OK) {
        CHECK_EQ(cx_pieces_get(&in, &m), CX_OK);
        told->taken = (int64_t)in.at;
        cx_lane_pass(&worker.tasks);
        told->begun++;
    }
}

/* Wherever the consumer dies: what it has copied is right, and the producer finds that no more fits,
 * or as much as was passed. */
static void
test_consumer_killed(void)
{
    struct told *told = make_told();
    bool died = true;
    int k;
    killed_count = 0;
    for (k = 1; died; k++) {
        struct cx_pieces out;
        uint32_t number;
        int put = 0;
        begin();
        *told = (struct told){0};
        put_other(&pool.tasks, 3, &number);
        CHECK(cx_lane_revoke(&pool.tasks, number));
        cx_pieces_init(&out, sent, LENGTHS, total, PIECE_KIND, 1);
        while (cx_pieces_put(&out, &pool.tasks) == CX_OK) {
            put++;
        }
        died = dies_at(k, consumer_steps, told);
        CHECK(is_same((uint64_t)told->taken));
        uint32_t room = CX_LANE_SLOTS - 2 - (uint32_t)put + (uint32_t)told->begun;
        uint32_t has = cx_lane_room(&pool.tasks);
        CHECK(has >= room && has <= room + 2);
        CHECK(cx_pieces_fit(&out, &pool.tasks) == (cx_pieces_put(&out, &pool.tasks) == CX_OK));
        end();
    }
    CHECK(k > 10);
    printf("  the consumer was killed at %d stores\n", k - 2);
    munmap(told, sizeof *told);
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    cx_shm_install();
    make_parts();
    RUN(test_smoke);
    RUN(test_no_memory);
    RUN(test_others);
    RUN(test_damaged);
    RUN(test_race);
    RUN(test_producer_killed);
    RUN(test_consumer_killed);
    free_parts();
    return harness_end();
}

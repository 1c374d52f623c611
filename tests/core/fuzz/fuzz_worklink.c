// SPDX-License-Identifier: MIT
/* libFuzzer over the link of a pool and a worker: the input writes into slots, counts, bells and bytes as a
 * hostile peer would, between puts, takes and claims of either side.  Whatever is there, every answer is one
 * of the header's, and what a take hands out lies where messages lie: all of it can be read. */
#include "fuzz.h"

#include "core/worklink.h"

#define LONGEST 60000

static char data[LONGEST];

struct ends {
    struct cx_worklink pool, worker;
    uint32_t put[2]; /* the number of the last message, of tasks and of results */
};

static void
damage(struct input *in, struct ends *ends)
{
    struct cx_worklink_shared *shared = ends->pool.shared;
    struct cx_lane_shared *lane = next(in, 1) % 2 ? &shared->tasks : &shared->results;
    struct cx_lane_slot *slot = &lane->slots[next(in, 1) % 4];
    uint64_t what = next(in, 8);
    switch (next(in, 1) % 6) {
    case 0: /* anywhere */
        ((uint64_t *)(void *)shared)[next(in, 2) % (sizeof *shared / 8)] = what;
        break;
    case 1: /* near to what is believed */
        lane->published += (uint32_t)next(in, 1) % 4;
        break;
    case 2:
        lane->passed += (uint32_t)next(in, 1) % 4;
        break;
    case 3:
        slot->claim = (uint32_t)next(in, 1) % 5;
        break;
    case 4: /* a place of the lane, of the other one, or beyond both */
        slot->offset =
            ends->pool.tasks.large_at + (what & 0xffff) * (UINT64_C(1) << next(in, 1) % 32);
        slot->length = next(in, 1) % 2 ? next(in, 2) : what;
        break;
    default:
        slot->offset = ends->pool.tasks.small_at + what % (3 * CX_LANE_BYTES);
        slot->length = next(in, 3);
        break;
    }
}

static void
put(struct input *in, struct cx_lane *lane, uint32_t *number)
{
    uint64_t length = next(in, 2) % LONGEST;
    struct cx_lane_message m = {data, length, next(in, 1), next(in, 1), (uint32_t)next(in, 1)};
    enum cx_status status = cx_lane_put(lane, &m, number);
    EXPECT(status == CX_OK || status == CX_FULL || status == CX_TOO_BIG || status == CX_OSERROR ||
           status == CX_DAMAGED);
    EXPECT(cx_lane_room(lane) < CX_LANE_SLOTS);
}

static void
take(struct input *in, struct cx_lane *lane)
{
    struct cx_lane_message m;
    uint64_t sum = cx_lane_peek(lane, &m) ? m.id : 0;
    enum cx_status status = cx_lane_take(lane, &m);
    EXPECT(status == CX_OK || status == CX_EMPTY || status == CX_OSERROR || status == CX_DAMAGED);
    if (status != CX_OK) {
        return;
    }
    const char *at = m.data;
    EXPECT((at >= lane->small && at + m.length <= lane->small + CX_LANE_BYTES) ||
           (at >= lane->large && at + m.length <= lane->large + lane->large_mapped));
    if (m.length > 0) { /* not every byte: pages that nobody has written would come into being */
        sum += (unsigned char)at[0] + (unsigned char)at[m.length - 1] +
               (unsigned char)at[next(in, 8) % m.length];
    }
    EXPECT(sum + 1 != 0 || m.id == UINT64_MAX);
    cx_lane_pass(lane);
}

static void
use(struct input *in, struct ends *ends)
{
    bool tasks = next(in, 1) % 2;
    struct cx_lane *from = tasks ? &ends->pool.tasks : &ends->worker.results;
    struct cx_lane *to = tasks ? &ends->worker.tasks : &ends->pool.results;
    int64_t begun;
    switch (next(in, 1) % 6) {
    case 0:
    case 1:
        put(in, from, &ends->put[tasks]);
        break;
    case 2:
    case 3:
        take(in, to);
        break;
    case 4:
        (void)!cx_lane_revoke(from, ends->put[tasks] - (uint32_t)next(in, 1) % 3);
        (void)cx_lane_claim(from, (uint32_t)next(in, 2), &begun);
        break;
    default:
        (void)!cx_lane_answers(from);
        (void)!cx_lane_is_watched(from);
        cx_lane_watch(to);
        (void)!cx_lane_unwatch(to, to->at);
        (void)cx_lane_waits(to);
        break;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input in = {bytes, size};
    static struct ends ends;
    struct cx_shm shm, other;
    ends = (struct ends){0};
    EXPECT(cx_shm_create(&shm, CX_SHM_WORK, cx_worklink_size(), cx_worklink_mapped()) == CX_OK);
    EXPECT(cx_worklink_create(&ends.pool, &shm) == CX_OK);
    EXPECT(cx_shm_attach(&other, dup(shm.fd), CX_SHM_WORK, cx_worklink_mapped()) == CX_OK);
    cx_worklink_attach(&ends.worker, &other);
    while (in.left > 0) {
        if (next(&in, 1) % 3 == 0) {
            damage(&in, &ends);
        }
        use(&in, &ends);
    }
    cx_worklink_fini(&ends.pool);
    cx_worklink_fini(&ends.worker);
    cx_shm_close(&other);
    cx_shm_close(&shm);
    return 0;
}

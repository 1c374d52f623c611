// SPDX-License-Identifier: MIT
/* The wheel against a list of deadlines: exactness, every level, put off, small budgets, long sleeps. */
#include "harness.h"

#include "core/wheel.h"

#define NODES 4000
#define TICK (INT64_C(1) << CX_WHEEL_TICK)

static struct cx_wheel_node nodes[NODES];
static bool is_in[NODES];

/* Spread over all levels: as many short spans as long ones. */
static int64_t
any_span(struct rng *rng)
{
    int64_t most = INT64_C(1) << (20 + rng_below(rng, 38));
    return (int64_t)(rng_next(rng) % (uint64_t)most);
}

static void
add(struct cx_wheel *wheel, uint32_t node, int64_t deadline)
{
    nodes[node].deadline = deadline;
    cx_wheel_add(wheel, nodes, node);
    is_in[node] = true;
}

/* Takes out all that has expired, with budgets of `budget`; none may be early. */
static void
turn_to(struct cx_wheel *wheel, int64_t now, uint32_t budget)
{
    for (;;) {
        uint32_t rest = budget;
        uint32_t node = cx_wheel_next(wheel, nodes, now, true, &rest);
        if (node < CX_WHEEL_MORE) {
            CHECK(is_in[node]);
            CHECK(nodes[node].deadline <= now);
            is_in[node] = false;
        }
        else if (node == CX_WHEEL_END) {
            break;
        }
    }
    for (uint32_t i = 0; i < NODES; i++) {
        if (!CHECK(!is_in[i] || nodes[i].deadline > now)) {
            break;
        }
    }
}

static void
churn(uint32_t budget)
{
    struct cx_wheel wheel;
    struct rng rng = {harness_seed + budget};
    int64_t now = 5 * TICK + 17;
    uint32_t count = 0;
    memset(is_in, 0, sizeof is_in);
    cx_wheel_init(&wheel, now);
    for (int round = 0; round < 300; round++) {
        for (int i = 0; i < 60; i++) {
            uint32_t node = rng_below(&rng, NODES);
            uint32_t what = rng_below(&rng, 4);
            if (!is_in[node]) {
                add(&wheel, node, now + any_span(&rng));
            }
            else if (what == 0) {
                cx_wheel_remove(&wheel, nodes, node);
                is_in[node] = false;
            }
            else if (what == 1) {
                nodes[node].deadline += any_span(&rng); /* put off, the wheel is not told */
            }
        }
        now += any_span(&rng) >> rng_below(&rng, 20);
        turn_to(&wheel, now, budget);
        count = 0;
        for (uint32_t i = 0; i < NODES; i++) {
            count += is_in[i];
        }
        CHECK_EQ(wheel.count, count);
    }
    turn_to(&wheel, INT64_C(1) << 62, budget);
    CHECK_EQ(wheel.count, 0);
}

static void
test_against_a_list(void)
{
    churn(1);
    churn(7);
    churn(UINT32_MAX);
}

/* What expires in the present tick waits for the tick's end unless asked for exactly. */
static void
test_present_tick(void)
{
    struct cx_wheel wheel;
    uint32_t budget = 100;
    cx_wheel_init(&wheel, 0);
    add(&wheel, 0, TICK / 2);
    add(&wheel, 1, TICK - 1);
    CHECK_EQ(cx_wheel_next(&wheel, nodes, TICK / 2, false, &budget), CX_WHEEL_END);
    CHECK_EQ(cx_wheel_next(&wheel, nodes, TICK / 2 - 1, true, &budget), CX_WHEEL_END);
    CHECK_EQ(cx_wheel_next(&wheel, nodes, TICK / 2, true, &budget), 0);
    CHECK_EQ(cx_wheel_next(&wheel, nodes, TICK, false, &budget), 1);
    CHECK_EQ(wheel.count, 0);
}

/* Of many nodes in one tick each is looked at twice at most, wherever the budget ends. */
static void
test_crowded_tick(void)
{
    for (uint32_t budget = 1; budget <= NODES; budget *= 10) {
        struct cx_wheel wheel;
        uint64_t work = 0;
        uint32_t taken = 0, node;
        cx_wheel_init(&wheel, 0);
        for (uint32_t i = 0; i < NODES; i++) {
            add(&wheel, i, (int64_t)i + 1);
        }
        do {
            uint32_t rest = budget;
            node = cx_wheel_next(&wheel, nodes, NODES / 2, true, &rest);
            taken += node < CX_WHEEL_MORE;
            work += budget - rest;
        } while (node != CX_WHEEL_END);
        CHECK_EQ(taken, NODES / 2);
        CHECK(work <= 2 * NODES);
    }
}

/* A clock that goes back finds nothing and loses nothing. */
static void
test_backwards(void)
{
    struct cx_wheel wheel;
    uint32_t budget = 1000;
    cx_wheel_init(&wheel, 1000 * TICK);
    add(&wheel, 0, 1010 * TICK);
    CHECK_EQ(cx_wheel_next(&wheel, nodes, 1005 * TICK, true, &budget), CX_WHEEL_END);
    CHECK_EQ(cx_wheel_next(&wheel, nodes, 3 * TICK, true, &budget), CX_WHEEL_END);
    add(&wheel, 1, 20 * TICK); /* long past, by the wheel's tick */
    CHECK_EQ(cx_wheel_next(&wheel, nodes, 30 * TICK, true, &budget), CX_WHEEL_END);
    CHECK_EQ(cx_wheel_next(&wheel, nodes, 1006 * TICK, true, &budget), 1);
    CHECK_EQ(cx_wheel_next(&wheel, nodes, 1010 * TICK, true, &budget), 0);
}

/* The work for a million nodes' worth of turning is linear: each is moved once per level at most. */
static void
test_work_is_linear(void)
{
    struct cx_wheel wheel;
    struct rng rng = {harness_seed};
    uint64_t work = 0, taken = 0;
    cx_wheel_init(&wheel, 0);
    for (uint32_t i = 0; i < NODES; i++) {
        add(&wheel, i, any_span(&rng));
    }
    for (int64_t now = 0; wheel.count > 0; now = now * 2 + TICK) {
        uint32_t budget = 3;
        taken += cx_wheel_next(&wheel, nodes, now, true, &budget) < CX_WHEEL_MORE;
        work += 3 - budget;
        if (now > INT64_C(1) << 60) {
            now = INT64_C(1) << 60;
        }
    }
    CHECK_EQ(taken, NODES);
    CHECK(work <= (uint64_t)NODES * (CX_WHEEL_LEVELS + 1));
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    RUN(test_present_tick);
    RUN(test_crowded_tick);
    RUN(test_backwards);
    RUN(test_against_a_list);
    RUN(test_work_is_linear);
    return harness_end();
}

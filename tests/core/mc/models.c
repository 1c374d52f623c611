// SPDX-License-Identifier: MIT
#include "models.h"

#define ROW(name, noun, variant, says, sc, tso)                                                    \
    {name, variant, model_##noun##_setup, model_##noun##_finish, says, sc, tso}

const struct mc_model mc_models[] = {
    ROW("lock/2", lock, 2, "two threads, two rounds each", -1, -1),
    ROW("lock/3", lock, 3, "three threads, four rounds in all", -1, -1),
    ROW("queue/2p2c", queue, 0, "one list: two putters, two getters", -1, -1),
    ROW("queue/timeout", queue, 1, "the same with a getter that times out", -1, 2),
    ROW("queue/cancel", queue, 2, "a getter that is cancelled, one that gives back", -1, -1),
    ROW("queue/cap1", queue, 3, "two lists: capacity 1", -1, -1),
    ROW("queue/cap1-timeout", queue, 4, "the same with time-outs on both sides", -1, -1),
    ROW("queue/slots", queue, 5, "putters that are promised slots, and leave", -1, -1),
    ROW("queue/join", queue, 6, "joiners", -1, -1),
    ROW("queue/close", queue, 7, "shutdown with waiters on both sides", -1, -1),
    ROW("queue/cap1-back", queue, 8, "capacity 1 and a getter that gives back", -1, -1),
    ROW("queue/weights", queue, 9, "a heavy putter that leaves, a light one behind it", -1, -1),
    ROW("queue/fast", queue, 10, "capacity 2, inline paths", 3, 2),
    ROW("queue/clear", queue, 11, "everything is taken out at once", -1, -1),
    ROW("queue/move", queue, 12, "the switch to the compatibility mode", -1, -1),
    ROW("ring/2p2c", ring, 0, "one list: two putters, two getters", 3, 2),
    ROW("ring/timeout", ring, 1, "the same with a getter that times out", 3, 2),
    ROW("ring/cancel", ring, 2, "one list: a cancelled getter, one that quits", 3, 2),
    ROW("ring/cap1", ring, 3, "two lists: capacity 1", 2, 2),
    ROW("ring/cap1-timeout", ring, 4, "two lists, time-outs on both sides", 2, 2),
    ROW("ring/batch", ring, 5, "puts of two at once", 2, 1),
    ROW("ring/close", ring, 6, "shutdown with waiters on both sides", 2, 1),
    ROW("stack/2p2c", ring, 7, "stack: two putters, two getters", 2, 1),
    ROW("stack/timeout", ring, 8, "stack: a getter that times out", 2, 1),
    ROW("stack/aba", ring, 9, "stack: pops and pushes of the same nodes", -1, 2),
    ROW("spsc/cap1", ring, 10, "spsc: both sides wait", -1, -1),
    ROW("spsc/timeout", ring, 11, "spsc: both sides time out", -1, -1),
    ROW("spsc/close", ring, 12, "spsc: shutdown with a putter inside", -1, 2),
    ROW("ring/end", ring, 13, "shutdown with three getters behind the last item", 1, -2),
    ROW("task/throw", task, 0, "a getting task that is thrown into at any step", -1, -1),
    ROW("task/edges", task, 1, "two tasks, drained one at a time", -1, -1),
    ROW("task/close", task, 2, "a task that another thread closes", -1, -1),
    ROW("task/loop-closed", task, 3, "a loop that closes with a grant under way", -1, -1),
    ROW("task/both-closed", task, 4, "a task and its loop closed by two threads", -1, -1),
    ROW("task/slot", task, 5, "a putting task that is thrown into", -1, -1),
    ROW("task/slot-closed", task, 6, "a putting task and its loop closed", -1, -1),
    ROW("task/two-thrown", task, 7, "two tasks that are thrown into", -1, -1),
    ROW("task/two-closed", task, 8, "two tasks of a loop that closes", -1, -1),
};
const size_t mc_model_count = sizeof mc_models / sizeof mc_models[0];

// SPDX-License-Identifier: MIT
/* The operations of core/atomic.h and core/park.h, each a schedule point. */
#include "world.h"

#include <string.h>

#include "core/lock.h"

bool mc_tso;

static bool
is_outside(const void *p)
{
    return (uintptr_t)p - (uintptr_t)mc_arena >= ARENA_SIZE;
}

#define MAX_QUIET 8
static struct {
    uintptr_t p;
    size_t size;
} quiet[MAX_QUIET];
static size_t quiet_count;

void
mc_quiet_clear(void)
{
    quiet_count = 0;
}

void
mc_quiet(const void *p, size_t size)
{
    quiet[quiet_count].p = (uintptr_t)p;
    quiet[quiet_count++].size = size;
}

static bool
is_quiet(const void *p)
{
    for (size_t i = 0; i < quiet_count; i++) {
        if ((uintptr_t)p - quiet[i].p < quiet[i].size) {
            return true;
        }
    }
    return mc_running < 0;
}

static void
check_live(const void *p, unsigned size)
{
    if (is_outside(p)) {
        mc_fail("not in the arena", "an atomic operation on memory that the checker cannot see");
    }
    static const unsigned char dead[8] = {0xDD, 0xDD, 0xDD, 0xDD, 0xDD, 0xDD, 0xDD, 0xDD};
    if (memcmp(p, dead, size) == 0) {
        mc_fail(MC_FREED, "an atomic operation on freed memory");
    }
}

void
mc_world_flush(int thread)
{
    struct mc_task *t = &world.task[thread];
    struct pending_store s = t->buffer[0];
    mc_did =
        (struct mc_step){thread, OP_FLUSH, (uint32_t)s.size, s.p, mc_read(s.p, s.size), s.value};
    memcpy(s.p, &s.value, s.size);
    t->stores--;
    memmove(t->buffer, t->buffer + 1, t->stores * sizeof s);
    t->buffer[t->stores] = (struct pending_store){0};
}

static void
drain(void)
{
    struct mc_task *t = &world.task[mc_running];
    while (t->stores > 0) {
        mc_world_flush(mc_running);
    }
}

static void
did(uint32_t op, const void *p, unsigned size, uint64_t before, uint64_t after)
{
    mc_did = (struct mc_step){mc_running, op, size, p, before, after};
}

uint64_t
mc_load(const void *p, unsigned size)
{
    if (is_outside(p)) { /* constants, such as the fork generation */
        return mc_read(p, size);
    }
    if (is_quiet(p)) {
        check_live(p, size);
        return mc_read(p, size);
    }
    struct mc_task *t = mc_announce(OP_LOAD, p, size, 0);
    uint64_t value = mc_read(p, size);
    check_live(p, size);
    for (uint32_t i = 0; i < t->stores; i++) {
        if (t->buffer[i].p == p) {
            value = t->buffer[i].value;
        }
    }
    did(OP_LOAD, p, size, value, value);
    return value;
}

void
mc_store(void *p, unsigned size, uint64_t value)
{
    if (is_quiet(p)) {
        memcpy(p, &value, size);
        return;
    }
    struct mc_task *t = mc_announce(OP_STORE, p, size, value);
    check_live(p, size);
    if (mc_tso) {
        if (t->stores == STORE_BUFFER) {
            mc_world_flush(mc_running);
        }
        t->buffer[t->stores++] = (struct pending_store){p, value, size};
        did(OP_STORE, p, size, value, value);
        return;
    }
    uint64_t before = mc_read(p, size);
    memcpy(p, &value, size);
    did(OP_STORE, p, size, before, value);
}

/* The common part of every read-modify-write. */
static uint64_t
modify(enum op_kind op, void *p, unsigned size, uint64_t value)
{
    bool silent = is_quiet(p);
    if (!silent) {
        mc_announce(op, p, size, value);
        drain();
    }
    check_live(p, size);
    uint64_t before = mc_read(p, size), after = op == OP_ADD ? before + value : value;
    memcpy(p, &after, size);
    if (!silent) {
        did(op, p, size, before, mc_read(p, size));
    }
    return before;
}

uint64_t
mc_xchg(void *p, unsigned size, uint64_t value)
{
    return modify(OP_XCHG, p, size, value);
}

/* The release of the abstract lock.  Nothing orders it before later loads (on aarch64 it can indeed
 * pass them), so in store-buffer mode it is a store; what it answers is not needed there. */
uint64_t
mc_release(void *p, unsigned size, uint64_t value)
{
    if (mc_running >= 0 && mc_tso) {
        mc_store(p, size, value);
        return 0;
    }
    return modify(OP_XCHG, p, size, value);
}

uint64_t
mc_add(void *p, unsigned size, uint64_t value)
{
    return modify(OP_ADD, p, size, value);
}

bool
mc_cas(void *p, void *expected, unsigned size, uint64_t value)
{
    if (mc_running >= 0) {
        mc_announce(OP_CAS, p, size, value);
        drain();
    }
    check_live(p, size);
    uint64_t before = mc_read(p, size);
    bool same = before == mc_read(expected, size);
    if (same) {
        memcpy(p, &value, size);
    }
    else {
        memcpy(expected, &before, size);
    }
    did(OP_CAS, p, size, before, same ? value : before);
    return same;
}

void
mc_fence(void)
{
    if (mc_running >= 0 && mc_tso) { /* without store buffers nothing distinguishes it */
        mc_announce(OP_FENCE, NULL, 0, 0);
        drain();
        did(OP_FENCE, NULL, 0, 0, 0);
    }
}

/* membarrier(2): a fence in every thread. */
void
mc_barrier(void)
{
    if (mc_running >= 0 && mc_tso) {
        mc_announce(OP_FENCE, NULL, 0, 0);
        for (uint32_t i = 0; i < world.count; i++) {
            while (world.task[i].stores > 0) {
                mc_world_flush((int)i);
            }
        }
        did(OP_FENCE, NULL, 0, 0, 0);
    }
}

uint32_t
mc_thread_number(void)
{
    return mc_running < 0 ? MC_THREADS : (uint32_t)mc_running;
}

uint64_t
mc_stamp(void)
{
    return ++world.stamps;
}

void
mc_pause(void)
{
    world.task[mc_running].waits = 1;
    mc_announce(OP_PAUSE, NULL, 0, 0);
    did(OP_PAUSE, NULL, 0, 0, 0);
}

enum cx_status
cx_park(const uint32_t *word, uint32_t expected, int64_t deadline)
{
    struct mc_task *t = mc_announce(OP_PARK, word, 4, expected);
    drain();
    uint32_t value = (uint32_t)mc_read(word, 4);
    did(OP_PARK, word, 4, value, expected);
    if (value != expected) {
        return CX_OK;
    }
    t->slept = ++world.sleeps;
    mc_announce(OP_ASLEEP, word, 4, deadline != INT64_MAX);
    bool late = t->op == OP_ASLEEP;
    did(late ? OP_ASLEEP : OP_WOKEN, word, 4, 0, 0);
    t->slept = 0;
    return late ? CX_TIMEOUT : CX_OK;
}

/* The sleeper that has slept longest. */
static struct mc_task *
sleeper_of(const uint32_t *word)
{
    struct mc_task *found = NULL;
    for (uint32_t i = 0; i < world.count; i++) {
        struct mc_task *t = &world.task[i];
        if (t->op == OP_ASLEEP && t->p == word && (found == NULL || t->slept < found->slept)) {
            found = t;
        }
    }
    return found;
}

static int
wake(const uint32_t *word, int n)
{
    mc_announce(OP_UNPARK, word, 4, (uint64_t)n);
    drain();
    int woken = 0;
    struct mc_task *t;
    while (woken < n && (t = sleeper_of(word)) != NULL) {
        t->op = OP_WOKEN;
        t->slept = 0;
        woken++;
    }
    did(OP_UNPARK, word, 4, (uint64_t)woken, (uint64_t)n);
    return woken;
}

void
cx_unpark(const uint32_t *word, int n)
{
    (void)wake(word, n);
}

enum cx_status
cx_park_shared(const uint32_t *word, uint32_t expected, int64_t deadline)
{
    return cx_park(word, expected, deadline);
}

int
cx_unpark_shared(const uint32_t *word, int n)
{
    return wake(word, n);
}

void
cx_park_install(void)
{
}

void
mc_await(const uint32_t *word, uint32_t value)
{
    mc_announce(OP_AWAIT, word, 4, value);
    drain();
    did(OP_AWAIT, word, 4, value, value);
}

/* The abstract lock: whoever finds it held sleeps until it is free and takes it in one step.  The
 * lock's own model runs lock.c instead. */
void
mc_lock_wait(struct cx_lock *lock)
{
    mc_announce(OP_LOCK, &lock->word, 4, 0);
    drain();
    lock->word = 1 << 2 | 1;
    did(OP_LOCK, &lock->word, 4, 0, lock->word);
}

int
mc_choose(int n)
{
    struct mc_task *t = mc_announce(OP_CHOOSE, NULL, 0, (uint64_t)n);
    uint32_t answer = t->answer;
    t->answer = 0;
    did(OP_CHOOSE, NULL, 0, answer, (uint64_t)n);
    return (int)answer;
}

// SPDX-License-Identifier: MIT
#include "world.h"

#include <stdio.h>
#include <string.h>

#undef malloc
#undef calloc
#undef free

#include "core/lock.h"
#include "core/waiter.h"

struct mc_world world;
char mc_arena[ARENA_SIZE] __attribute__((aligned(64)));
char mc_stacks[MC_THREADS][STACK_SIZE] __attribute__((aligned(64)));
struct mc_step mc_did;
const char *mc_violation, *mc_detail;
bool mc_tso;
int mc_current_variant;

static int running = -1; /* -1: setup or finish */
static void *explorer_sp;

static struct {
    void (*body)(void *);
    void *arg;
    const char *name;
} bodies[MC_THREADS];

#define MAX_NAMES 64
static struct {
    const char *p;
    size_t size;
    const char *name;
} names[MAX_NAMES];
static size_t name_count;

/* Saves the callee-saved registers on the stack, stores the stack pointer, goes on elsewhere. */
void mc_switch(void **save, void *to);

#if defined(__x86_64__)
#define SAVED_WORDS 6
#define RETURN_WORD 6
__asm__(".text\n.globl mc_switch\nmc_switch:\n"
        "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
        "movq %rsp, (%rdi)\nmovq %rsi, %rsp\n"
        "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n");
#elif defined(__aarch64__)
#define SAVED_WORDS 20
#define RETURN_WORD 19
__asm__(".text\n.globl mc_switch\nmc_switch:\n"
        "sub sp, sp, #160\n"
        "stp x19, x20, [sp, #0]\nstp x21, x22, [sp, #16]\nstp x23, x24, [sp, #32]\n"
        "stp x25, x26, [sp, #48]\nstp x27, x28, [sp, #64]\nstp d8, d9, [sp, #80]\n"
        "stp d10, d11, [sp, #96]\nstp d12, d13, [sp, #112]\nstp d14, d15, [sp, #128]\n"
        "stp x29, x30, [sp, #144]\n"
        "mov x9, sp\nstr x9, [x0]\nmov sp, x1\n"
        "ldp x19, x20, [sp, #0]\nldp x21, x22, [sp, #16]\nldp x23, x24, [sp, #32]\n"
        "ldp x25, x26, [sp, #48]\nldp x27, x28, [sp, #64]\nldp d8, d9, [sp, #80]\n"
        "ldp d10, d11, [sp, #96]\nldp d12, d13, [sp, #112]\nldp d14, d15, [sp, #128]\n"
        "ldp x29, x30, [sp, #144]\nadd sp, sp, #160\nret\n");
#else
#error "the model checker knows how to switch stacks on x86-64 and aarch64 only"
#endif

static void
leave(void)
{
    mc_switch(&world.task[running].sp, explorer_sp);
}

/* Announces an operation and comes back when the explorer wants it done. */
static struct mc_task *
announce(enum op_kind op, const void *p, unsigned size, uint64_t value)
{
    struct mc_task *t = &world.task[running];
    t->op = op;
    t->p = p;
    t->size = size;
    t->value = value;
    leave();
    return t;
}

static void
entry(void)
{
    bodies[running].body(bodies[running].arg);
    struct mc_task *t = &world.task[running];
    t->op = OP_ENDED; /* what is left in its store buffer comes out later */
    t->p = NULL;
    t->size = 0;
    t->value = 0;
    leave();
}

static size_t
stack_size(int thread)
{
    return (size_t)(mc_stacks[thread] + STACK_SIZE - (char *)world.task[thread].sp);
}

static uint64_t
mix(uint64_t h, uint64_t w)
{
    uint64_t x = (h ^ w) * UINT64_C(0x9E3779B97F4A7C15);
    return x ^ x >> 32;
}

/* Four lanes of multiply and fold, mixed at the end.  The blocks are multiples of eight bytes. */
static uint64_t
hash_block(uint64_t seed, const void *p, size_t size)
{
    const uint64_t *w = p;
    uint64_t a = seed, b = seed ^ UINT64_C(0x243F6A8885A308D3), c = ~seed, d = seed + size;
    size_t n = size / 8, i = 0;
    for (; i + 4 <= n; i += 4) {
        a = mix(a, w[i]);
        b = mix(b, w[i + 1]);
        c = mix(c, w[i + 2]);
        d = mix(d, w[i + 3]);
    }
    for (; i < n; i++) {
        a = mix(a, w[i]);
    }
    return mix(mix(mix(mix(size, a), b), c), d);
}

static void
go_to(int thread)
{
    struct mc_task *t = &world.task[thread];
    running = thread;
    memset((char *)t->sp - STACK_SLACK, 0, STACK_SLACK);
    mc_switch(&explorer_sp, t->sp);
    running = -1;
    t->stack_hash = hash_block(0, t->sp, stack_size(thread));
}

void
mc_fail(const char *violation, const char *detail)
{
    if (mc_violation == NULL) {
        mc_violation = violation;
        mc_detail = detail;
    }
    if (running >= 0) {
        world.task[running].op = OP_ENDED;
        leave();
    }
}

/* ---- memory ---- */

/* Blocks are headed by a word: size << 1 | live. */
#define HEADER 16

static char *
slice(int i)
{
    return i == 0 ? mc_arena : mc_arena + (size_t)(i + 1) * ARENA_SLICE;
}

void *
mc_aligned(size_t alignment, size_t size)
{
    int i = running + 1;
    size_t room = i == 0 ? 2 * ARENA_SLICE : ARENA_SLICE;
    size_t at = world.used[i] + HEADER;
    at = (at + alignment - 1) / alignment * alignment;
    size = (size + 15) / 16 * 16;
    if (at + size > room) {
        mc_fail("arena too small", "enlarge ARENA_SLICE");
        return NULL;
    }
    char *block = slice(i) + at;
    /* Freed space is not used again: a late touch is seen. */
    memset(slice(i) + world.used[i], 0, at + size - world.used[i]);
    world.used[i] = at + size;
    ((uint64_t *)(void *)block)[-1] = size << 1 | 1;
    world.live++;
    return block;
}

void *
mc_calloc(size_t n, size_t size)
{
    return mc_aligned(16, n * size);
}

void
mc_free(void *p)
{
    if (p == NULL) {
        return;
    }
    uint64_t *header = (uint64_t *)p - 1;
    if ((*header & 1) == 0) {
        mc_fail(MC_FREED, "freed twice");
    }
    *header &= ~UINT64_C(1);
    world.live--;
    memset(p, 0xDD, *header >> 1);
}

int
mc_live_blocks(void)
{
    return (int)world.live;
}

int
mc_borrowed(void)
{
    return (int)world.borrowed;
}

/* The pool of waiter.c, which is compiled out; here too a late wake can meet a reused waiter. */
struct cx_waiter *
cx_waiter_borrow(void)
{
    struct cx_waiter *waiter = world.pool;
    if (waiter != NULL) {
        world.pool = waiter->next;
        waiter->next = NULL;
    }
    else {
        waiter = mc_calloc(1, sizeof *waiter);
        world.live--; /* counted by itself */
    }
    waiter->kind = CX_THREAD;
    world.borrowed++;
    cx_waiter_arm(waiter);
    return waiter;
}

void
cx_waiter_return(struct cx_waiter *waiter)
{
    waiter->next = world.pool;
    world.pool = waiter;
    world.borrowed--;
}

static uint64_t
read_memory(const void *p, uint64_t size)
{
    uint64_t value = 0;
    memcpy(&value, p, size);
    return value;
}

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
    return running < 0;
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
    mc_did = (struct mc_step){thread, OP_FLUSH, (uint32_t)s.size, s.p,
                              read_memory(s.p, s.size), s.value};
    memcpy(s.p, &s.value, s.size);
    t->stores--;
    memmove(t->buffer, t->buffer + 1, t->stores * sizeof s);
    t->buffer[t->stores] = (struct pending_store){0};
}

static void
drain(void)
{
    struct mc_task *t = &world.task[running];
    while (t->stores > 0) {
        mc_world_flush(running);
    }
}

/* ---- operations ---- */

static void
did(uint32_t op, const void *p, unsigned size, uint64_t before, uint64_t after)
{
    mc_did = (struct mc_step){running, op, size, p, before, after};
}

uint64_t
mc_load(const void *p, unsigned size)
{
    if (is_outside(p)) { /* constants, such as the fork generation */
        return read_memory(p, size);
    }
    if (is_quiet(p)) {
        check_live(p, size);
        return read_memory(p, size);
    }
    struct mc_task *t = announce(OP_LOAD, p, size, 0);
    uint64_t value = read_memory(p, size);
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
    struct mc_task *t = announce(OP_STORE, p, size, value);
    check_live(p, size);
    if (mc_tso) {
        if (t->stores == STORE_BUFFER) {
            mc_world_flush(running);
        }
        t->buffer[t->stores++] = (struct pending_store){p, value, size};
        did(OP_STORE, p, size, value, value);
        return;
    }
    uint64_t before = read_memory(p, size);
    memcpy(p, &value, size);
    did(OP_STORE, p, size, before, value);
}

/* The common part of every read-modify-write. */
static uint64_t
modify(enum op_kind op, void *p, unsigned size, uint64_t value)
{
    bool silent = is_quiet(p);
    if (!silent) {
        announce(op, p, size, value);
        drain();
    }
    check_live(p, size);
    uint64_t before = read_memory(p, size), after = op == OP_ADD ? before + value : value;
    memcpy(p, &after, size);
    if (!silent) {
        did(op, p, size, before, read_memory(p, size));
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
    if (running >= 0 && mc_tso) {
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
    if (running >= 0) {
        announce(OP_CAS, p, size, value);
        drain();
    }
    check_live(p, size);
    uint64_t before = read_memory(p, size);
    bool same = before == read_memory(expected, size);
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
    if (running >= 0 && mc_tso) { /* without store buffers nothing distinguishes it */
        announce(OP_FENCE, NULL, 0, 0);
        drain();
        did(OP_FENCE, NULL, 0, 0, 0);
    }
}

void
mc_pause(void)
{
    world.task[running].waits = 1;
    announce(OP_PAUSE, NULL, 0, 0);
    did(OP_PAUSE, NULL, 0, 0, 0);
}

enum cx_status
cx_park(const uint32_t *word, uint32_t expected, int64_t deadline)
{
    struct mc_task *t = announce(OP_PARK, word, 4, expected);
    drain();
    uint32_t value = (uint32_t)read_memory(word, 4);
    did(OP_PARK, word, 4, value, expected);
    if (value != expected) {
        return CX_OK;
    }
    t->slept = ++world.sleeps;
    announce(OP_ASLEEP, word, 4, deadline != INT64_MAX);
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

void
cx_unpark(const uint32_t *word, int n)
{
    announce(OP_UNPARK, word, 4, (uint64_t)n);
    drain();
    int woken = 0;
    struct mc_task *t;
    while (woken < n && (t = sleeper_of(word)) != NULL) {
        t->op = OP_WOKEN;
        t->slept = 0;
        woken++;
    }
    did(OP_UNPARK, word, 4, (uint64_t)woken, (uint64_t)n);
}

void
cx_park_install(void)
{
}

void
mc_await(const uint32_t *word, uint32_t value)
{
    announce(OP_AWAIT, word, 4, value);
    drain();
    did(OP_AWAIT, word, 4, value, value);
}

/* The abstract lock: whoever finds it held sleeps until it is free and takes it in one step.  The
 * lock's own model runs lock.c instead. */
void
mc_lock_wait(struct cx_lock *lock)
{
    announce(OP_LOCK, &lock->word, 4, 0);
    drain();
    lock->word = 1 << 2 | 1;
    did(OP_LOCK, &lock->word, 4, 0, lock->word);
}

int
mc_choose(int n)
{
    struct mc_task *t = announce(OP_CHOOSE, NULL, 0, (uint64_t)n);
    uint32_t answer = t->answer;
    t->answer = 0;
    did(OP_CHOOSE, NULL, 0, answer, (uint64_t)n);
    return (int)answer;
}

/* ---- the world as a whole ---- */

void
mc_thread(const char *name, void (*body)(void *), void *arg)
{
    uint32_t i = world.count++;
    bodies[i].body = body;
    bodies[i].arg = arg;
    bodies[i].name = name;
}

const char *
mc_thread_name(int thread)
{
    return bodies[thread].name;
}

void
mc_name(const void *p, size_t size, const char *name)
{
    if (name_count < MAX_NAMES) {
        names[name_count].p = p;
        names[name_count].size = size;
        names[name_count++].name = name;
    }
}

int
mc_variant(void)
{
    return mc_current_variant;
}

int
mc_self(void)
{
    return running;
}

bool
mc_ended(int thread)
{
    return world.task[thread].op == OP_ENDED;
}

void
mc_world_make(const struct mc_model *model)
{
    memset(&world, 0, sizeof world);
    memset(mc_arena, 0, sizeof mc_arena);
    memset(mc_stacks, 0, sizeof mc_stacks);
    name_count = quiet_count = 0;
    running = -1;
    mc_violation = mc_detail = NULL;
    model->setup();
    for (uint32_t i = 0; i < world.count; i++) {
        /* On x86-64 the return address lies at a multiple of 16, as a call would leave it. */
        void **sp = (void **)(void *)(mc_stacks[i] + STACK_SIZE - 64) - SAVED_WORDS;
        sp[RETURN_WORD] = (void *)(uintptr_t)entry;
        world.task[i].sp = sp;
        world.task[i].op = OP_START;
    }
    for (uint32_t i = 0; i < world.count; i++) {
        go_to((int)i);
    }
}

bool
mc_world_enabled(int thread)
{
    const struct mc_task *t = &world.task[thread];
    switch (t->op) {
    case OP_ENDED:
        return false;
    case OP_ASLEEP:
        return t->value != 0;
    case OP_LOCK:
        return read_memory(t->p, 4) == 0;
    case OP_AWAIT:
        return read_memory(t->p, 4) == t->value;
    case OP_PAUSE:
        return t->waits == 0;
    default:
        return true;
    }
}

/* Which sleeper came first matters, not when. */
static void
rank_sleepers(void)
{
    uint32_t rank[MC_THREADS] = {0}, sleepers = 0;
    for (uint32_t i = 0; i < world.count; i++) {
        if (world.task[i].slept == 0) {
            continue;
        }
        sleepers++;
        for (uint32_t k = 0; k < world.count; k++) {
            rank[i] += world.task[k].slept > 0 && world.task[k].slept <= world.task[i].slept;
        }
    }
    for (uint32_t i = 0; i < world.count; i++) {
        world.task[i].slept = rank[i];
    }
    world.sleeps = sleepers;
}

void
mc_world_step(int thread, uint32_t answer)
{
    for (uint32_t i = 0; i < world.count; i++) {
        if ((int)i != thread) {
            world.task[i].waits = 0;
        }
    }
    mc_did = (struct mc_step){.thread = thread, .op = world.task[thread].op};
    world.task[thread].answer = answer;
    go_to(thread);
    rank_sleepers();
}

size_t
mc_world_size(void)
{
    size_t size = sizeof world;
    for (uint32_t i = 0; i < world.count; i++) {
        size += stack_size((int)i);
    }
    for (uint32_t i = 0; i <= world.count; i++) {
        size += world.used[i];
    }
    return size;
}

void
mc_world_save(void *to)
{
    char *at = to;
    memcpy(at, &world, sizeof world);
    at += sizeof world;
    for (uint32_t i = 0; i < world.count; i++) {
        memcpy(at, world.task[i].sp, stack_size((int)i));
        at += stack_size((int)i);
    }
    for (uint32_t i = 0; i <= world.count; i++) {
        memcpy(at, slice((int)i), world.used[i]);
        at += world.used[i];
    }
}

void
mc_world_restore(const void *from)
{
    const char *at = from;
    memcpy(&world, at, sizeof world);
    at += sizeof world;
    for (uint32_t i = 0; i < world.count; i++) {
        memcpy(world.task[i].sp, at, stack_size((int)i));
        at += stack_size((int)i);
    }
    for (uint32_t i = 0; i <= world.count; i++) {
        memcpy(slice((int)i), at, world.used[i]);
        at += world.used[i];
    }
}

uint64_t
mc_world_hash(uint64_t seed)
{
    uint64_t h = hash_block(seed, &world, offsetof(struct mc_world, task) +
                                              world.count * sizeof world.task[0]);
    for (uint32_t i = 0; i <= world.count; i++) {
        h = hash_block(h, slice((int)i), world.used[i]);
    }
    return h;
}

/* ---- traces ---- */

static const char *const op_names[] = {
    [OP_START] = "starts",  [OP_LOAD] = "loads",    [OP_STORE] = "stores",
    [OP_XCHG] = "exchanges", [OP_ADD] = "adds",      [OP_CAS] = "compares and swaps",
    [OP_FENCE] = "fence",   [OP_PAUSE] = "pauses",  [OP_PARK] = "parks on",
    [OP_ASLEEP] = "times out on", [OP_WOKEN] = "woken on", [OP_UNPARK] = "unparks",
    [OP_LOCK] = "takes the lock it waited for", [OP_AWAIT] = "has awaited",
    [OP_CHOOSE] = "chooses", [OP_ENDED] = "ends", [OP_FLUSH] = "(buffered store becomes visible)",
};

void
mc_world_print(const struct mc_step *step)
{
    char where[96] = "";
    if (step->p != NULL) {
        snprintf(where, sizeof where, "%p", step->p);
    }
    for (size_t i = 0; i < name_count; i++) {
        ptrdiff_t offset = (const char *)step->p - names[i].p;
        if (offset >= 0 && offset < (ptrdiff_t)names[i].size) {
            snprintf(where, sizeof where, offset == 0 ? "%s" : "%s+%d", names[i].name, (int)offset);
        }
    }
    printf("    %-10s %s %s", bodies[step->thread].name, op_names[step->op], where);
    switch (step->op) {
    case OP_LOAD:
    case OP_CHOOSE:
        printf(": %llx", (unsigned long long)step->before);
        break;
    case OP_PARK:
        printf(": %s", step->before == step->after ? "sleeps" : "differs");
        break;
    case OP_UNPARK:
        printf(": %llu woken", (unsigned long long)step->before);
        break;
    case OP_XCHG:
    case OP_ADD:
    case OP_CAS:
    case OP_STORE:
    case OP_FLUSH:
    case OP_LOCK:
        printf(": %llx -> %llx", (unsigned long long)step->before, (unsigned long long)step->after);
        break;
    default:
        break;
    }
    printf("\n");
}

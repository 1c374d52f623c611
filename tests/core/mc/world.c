// SPDX-License-Identifier: MIT
#include "world.h"

#include <string.h>

#undef malloc
#undef calloc
#undef free

struct mc_world world;
char mc_stacks[MC_THREADS][STACK_SIZE] __attribute__((aligned(64)));
struct mc_step mc_did;
const char *mc_violation, *mc_detail;
int mc_current_variant;

int mc_running = -1;
static void *explorer_sp;

static struct {
    void (*body)(void *);
    void *arg;
    const char *name;
} bodies[MC_THREADS];

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
    mc_switch(&world.task[mc_running].sp, explorer_sp);
}

struct mc_task *
mc_announce(enum op_kind op, const void *p, unsigned size, uint64_t value)
{
    struct mc_task *t = &world.task[mc_running];
    if ((char *)__builtin_frame_address(0) < mc_stacks[mc_running] + STACK_SLACK) {
        mc_fail("stack too small", "enlarge STACK_SIZE, or put less on it");
    }
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
    bodies[mc_running].body(bodies[mc_running].arg);
    struct mc_task *t = &world.task[mc_running];
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
    mc_running = thread;
    memset((char *)t->sp - STACK_SLACK, 0, STACK_SLACK);
    mc_switch(&explorer_sp, t->sp);
    mc_running = -1;
    t->stack_hash = hash_block(0, t->sp, stack_size(thread));
}

void
mc_fail(const char *violation, const char *detail)
{
    if (mc_violation == NULL) {
        mc_violation = violation;
        mc_detail = detail;
    }
    if (mc_running >= 0) {
        world.task[mc_running].op = OP_ENDED;
        leave();
    }
}

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

int
mc_variant(void)
{
    return mc_current_variant;
}

int
mc_self(void)
{
    return mc_running;
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
    mc_names_clear();
    mc_quiet_clear();
    mc_running = -1;
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
        return mc_read(t->p, 4) == 0;
    case OP_AWAIT:
        return mc_read(t->p, 4) == t->value;
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
        memcpy(at, mc_slice((int)i), world.used[i]);
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
        memcpy(mc_slice((int)i), at, world.used[i]);
        at += world.used[i];
    }
}

uint64_t
mc_world_hash(uint64_t seed)
{
    uint64_t h = hash_block(seed, &world,
                            offsetof(struct mc_world, task) + world.count * sizeof world.task[0]);
    for (uint32_t i = 0; i <= world.count; i++) {
        h = hash_block(h, mc_slice((int)i), world.used[i]);
    }
    return h;
}

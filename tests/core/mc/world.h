// SPDX-License-Identifier: MIT
/* tests/core/mc/world.h - the state of one execution: threads, their stacks, the arena.
 *
 * Everything that distinguishes two states is in `world`, in the used part of the arena, and
 * between each thread's stack pointer and the top of its stack.
 */
#ifndef CX_MC_WORLD_H
#define CX_MC_WORLD_H

#include <string.h>

#include "mc.h"

#define STACK_SIZE 8192
#define STACK_SLACK 1024 /* zeroed below the stack pointer, so that dead frames look alike */
#define ARENA_SLICE 4096 /* for setup twice that, and one for each thread */
#define ARENA_SIZE ((MC_THREADS + 2) * ARENA_SLICE)
#define STORE_BUFFER 6

enum op_kind {
    OP_START,
    OP_LOAD,
    OP_STORE,
    OP_XCHG,
    OP_ADD,
    OP_CAS,
    OP_FENCE,
    OP_PAUSE,
    OP_PARK,
    OP_ASLEEP,
    OP_WOKEN,
    OP_UNPARK,
    OP_LOCK,
    OP_AWAIT,
    OP_CHOOSE,
    OP_ENDED,
    OP_FLUSH
};

struct pending_store {
    void *p;
    uint64_t value;
    uint64_t size;
};

struct mc_task {
    void *sp;
    uint32_t op, size; /* what it is about to do; OP_ENDED when it has ended */
    const void *p;
    uint64_t value;      /* OP_AWAIT: for what; OP_CHOOSE: of how many; OP_ASLEEP: has a deadline */
    uint32_t answer;     /* OP_CHOOSE: which; OP_ASLEEP: 1 if the deadline passed */
    uint32_t stores;     /* in its store buffer */
    uint32_t slept;      /* OP_ASLEEP: since when, in sleeps of the world */
    uint32_t waits;      /* OP_PAUSE: nobody else has stepped since */
    uint64_t stack_hash; /* of its stack as it lies */
    struct pending_store buffer[STORE_BUFFER];
};

struct mc_world {
    uint32_t count; /* threads */
    uint32_t sleeps;
    int32_t last;      /* who ran last and could go on; -1 if nobody */
    uint32_t live;     /* blocks allocated and not freed */
    uint32_t borrowed; /* thread waiters that are not in the pool */
    uint64_t stamps;   /* that have been taken */
    struct cx_waiter *pool;
    uint64_t used[MC_THREADS + 1]; /* of each slice of the arena */
    struct mc_task task[MC_THREADS];
};

/* One step of a trace. */
struct mc_step {
    int thread;
    uint32_t op, size;
    const void *p;
    uint64_t before, after;
};

extern struct mc_world world;
extern char mc_arena[ARENA_SIZE];
extern char mc_stacks[MC_THREADS][STACK_SIZE];
extern struct mc_step mc_did;
extern const char *mc_violation, *mc_detail;
extern bool mc_tso;
extern int mc_current_variant;
extern int mc_running; /* the thread; -1: setup or finish */

/* A world as the model's setup leaves it, each thread before its first operation. */
void mc_world_make(const struct mc_model *model);
/* Lets a thread do what it is about to do and run on to its next operation. */
void mc_world_step(int thread, uint32_t answer);
/* Lets the oldest store of a thread out of its buffer. */
void mc_world_flush(int thread);
/* Whether a thread can go on by itself; a sleeper with a deadline can only time out. */
bool mc_world_enabled(int thread);
uint64_t mc_world_hash(uint64_t seed);
size_t mc_world_size(void);
void mc_world_save(void *to);
void mc_world_restore(const void *from);
void mc_names_clear(void);
void mc_quiet_clear(void);
/* A slice of the arena: 0 is the setup's, i + 1 the i-th thread's. */
char *mc_slice(int i);

/* Announces what the running thread is about to do and comes back when the explorer wants it done. */
struct mc_task *mc_announce(enum op_kind op, const void *p, unsigned size, uint64_t value);

static inline uint64_t
mc_read(const void *p, uint64_t size)
{
    uint64_t value = 0;
    memcpy(&value, p, size);
    return value;
}

void mc_world_print(const struct mc_step *step);
const char *mc_thread_name(int thread);
/* Waits until the lock is free and takes it, as one operation. */
struct cx_lock;
void mc_lock_wait(struct cx_lock *lock);

#endif

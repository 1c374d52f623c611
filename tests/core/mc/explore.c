// SPDX-License-Identifier: MIT
/* Depth-first exploration with recognition of states. */
#include "explore.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#undef malloc
#undef calloc
#undef free

#define MAX_DEPTH 4000
#define MAX_CHOICES 24
#define TABLE_MAX (UINT64_C(3) << 23) /* 256 MB */

struct choice {
    int8_t thread;
    uint8_t answer;
    bool flush;
    uint8_t cost; /* preemptions */
};

struct frame {
    char *saved;         /* the state */
    uint8_t count, next; /* choices, and which comes next */
    uint8_t budget;      /* preemptions left */
    struct choice choices[MAX_CHOICES];
    struct mc_step did; /* the step that was taken last from here */
};

static struct frame frames[MAX_DEPTH];

/* Open addressing; an entry is the state's hash with the preemptions left (plus one) in its lowest
 * four bits.  Two states with one 60-bit hash would be taken for one: with ten million states the
 * odds are one in 20,000 that this happens anywhere. */
static uint64_t *table;
static uint64_t table_size, table_used;

static void
table_reset(void)
{
    free(table);
    table_size = 1 << 16;
    table_used = 0;
    table = calloc(table_size, sizeof *table);
}

static void
table_grow(void)
{
    uint64_t *old = table, old_size = table_size;
    table_size *= 2;
    table = calloc(table_size, sizeof *table);
    for (uint64_t i = 0; i < old_size; i++) {
        if (old[i] != 0) {
            uint64_t at = old[i] >> 4 & (table_size - 1);
            while (table[at] != 0) {
                at = (at + 1) & (table_size - 1);
            }
            table[at] = old[i];
        }
    }
    free(old);
}

/* True if the state was not met before with as many preemptions left. */
static bool
table_enter(uint64_t hash, unsigned budget)
{
    if (table_used * 4 > table_size * 3) {
        table_grow();
    }
    uint64_t at = hash >> 4 & (table_size - 1);
    while (table[at] != 0) {
        if ((table[at] ^ hash) >> 4 == 0) {
            if ((table[at] & 15) >= budget + 1) {
                return false;
            }
            table[at] = (hash & ~UINT64_C(15)) | (budget + 1);
            return true;
        }
        at = (at + 1) & (table_size - 1);
    }
    table_used++;
    table[at] = (hash & ~UINT64_C(15)) | (budget + 1);
    return true;
}

static double
seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* Whether a switch away from the thread is a preemption. */
static bool
could_go_on(int thread)
{
    return thread >= 0 && world.task[thread].op != OP_ASLEEP && world.task[thread].op != OP_PAUSE &&
           mc_world_enabled(thread);
}

static void
add_choices(struct frame *f, int thread, bool flush, uint8_t cost)
{
    int answers = !flush && world.task[thread].op == OP_CHOOSE ? (int)world.task[thread].value : 1;
    for (int a = 0; a < answers && f->count < MAX_CHOICES; a++) {
        f->choices[f->count++] = (struct choice){(int8_t)thread, (uint8_t)a, flush, cost};
    }
}

/* Fills in what can happen next; the running thread first, then the others, then the buffers. */
static void
list_choices(struct frame *f, bool bounded)
{
    int last = world.last;
    f->count = f->next = 0;
    bool any = false;
    if (last >= 0) {
        add_choices(f, last, false, 0);
        any = true;
    }
    for (int t = 0; t < (int)world.count; t++) {
        if (t != last && mc_world_enabled(t)) {
            any = true;
            if (last < 0 || f->budget > 0) {
                add_choices(f, t, false, bounded && last >= 0);
            }
        }
    }
    for (int t = 0; t < (int)world.count; t++) {
        if (world.task[t].stores > 0) {
            any = true;
            add_choices(f, t, true, 0);
        }
    }
    if (!any) { /* all who could go on are pausing: let them look again */
        for (int t = 0; t < (int)world.count; t++) {
            if (world.task[t].op == OP_PAUSE) {
                add_choices(f, t, false, 0);
            }
        }
    }
}

static bool
at_end(const struct mc_model *model)
{
    bool deadlock = false;
    for (uint32_t i = 0; i < world.count; i++) {
        deadlock = deadlock || world.task[i].op != OP_ENDED;
    }
    model->finish(deadlock);
    return mc_violation == NULL;
}

static void
take(const struct choice *c)
{
    if (c->flush) {
        mc_world_flush(c->thread);
    }
    else {
        mc_world_step(c->thread, c->answer);
        world.last = could_go_on(c->thread) ? c->thread : -1;
    }
}

static char *pool;
static size_t pool_size;

/* Enters the world's state as a new frame.  False: known, an end, or a violation. */
static bool
enter(const struct mc_model *model, struct mc_result *r, int at, uint8_t budget, bool bounded)
{
    if (!bounded) {
        world.last = -1;
    }
    if (!table_enter(mc_world_hash(0), budget)) {
        return false;
    }
    r->states++;
    struct frame *f = &frames[at];
    f->budget = budget;
    list_choices(f, bounded);
    if (f->count == 0) {
        r->ends++;
        (void)at_end(model);
        return false;
    }
    f->saved = at == 0 ? pool : f->saved;
    size_t size = mc_world_size();
    if ((size_t)(f->saved - pool) + size > pool_size) {
        mc_fail("out of memory", "the states of one execution do not fit");
        return false;
    }
    mc_world_save(f->saved);
    if (at + 1 < MAX_DEPTH) {
        frames[at + 1].saved = f->saved + size;
    }
    return true;
}

void
mc_print_trace(const struct mc_result *r)
{
    for (int i = 0; i < r->depth; i++) {
        mc_world_print(&frames[i].did);
    }
}

static int depth; /* frames in use */

/* Plain accesses through a pointer out of freed memory end here. */
static void
on_crash(int sig)
{
    (void)sig;
    printf("violation: crash (a wild pointer, in the step after these)\n");
    for (int i = 0; i < depth - 1; i++) {
        mc_world_print(&frames[i].did);
    }
    fflush(stdout);
    _exit(1);
}

static void
catch_crashes(void)
{
    static char stack[1 << 16];
    stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_handler = on_crash, .sa_flags = SA_ONSTACK};
    sigaltstack(&other, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
}

/* One exploration with a fixed bound. */
static void
explore_bound(const struct mc_model *model, int bound, double until, struct mc_result *r)
{
    bool bounded = bound >= 0;
    depth = 0;
    table_reset();
    mc_world_make(model);
    world.last = -1;
    if (mc_violation == NULL && enter(model, r, 0, bounded ? (uint8_t)bound : 14, bounded)) {
        depth = 1;
    }
    bool fresh = true; /* the world is the state of the top frame */
    while (depth > 0 && mc_violation == NULL) {
        struct frame *f = &frames[depth - 1];
        if (f->next == f->count) {
            depth--;
            fresh = false;
            continue;
        }
        if (((++r->steps & 1023) == 0 && seconds() > until) || table_used > TABLE_MAX) {
            r->exhausted = false;
            return;
        }
        if (!fresh) {
            mc_world_restore(f->saved);
        }
        struct choice *c = &f->choices[f->next++];
        take(c);
        f->did = mc_did;
        fresh = true;
        if (mc_violation == NULL && depth == MAX_DEPTH) {
            mc_fail("endless", "an execution takes too many steps");
        }
        if (mc_violation != NULL || !enter(model, r, depth, f->budget - c->cost, bounded)) {
            fresh = false;
        }
        else {
            depth++;
        }
        if (mc_violation != NULL) {
            r->depth = fresh ? depth - 1 : depth;
        }
    }
    r->exhausted = mc_violation == NULL;
}

void
mc_explore(const struct mc_model *model, int bound, bool tso, double limit, struct mc_result *r)
{
    double began = seconds();
    memset(r, 0, sizeof *r);
    mc_tso = tso;
    mc_current_variant = model->variant;
    if (pool == NULL) {
        pool_size = (size_t)64 << 20;
        pool = malloc(pool_size);
        catch_crashes();
    }
    r->done = -2;
    /* Small bounds first: they are cheap, and a trace with few preemptions is easy to read. */
    for (int b = bound < 0 ? -1 : 0; b <= bound; b++) {
        explore_bound(model, b, began + limit, r);
        r->violation = mc_violation;
        r->detail = mc_detail;
        r->tried = b;
        if (!r->exhausted) {
            break;
        }
        r->done = b;
    }
    r->seconds = seconds() - began;
}

// SPDX-License-Identifier: MIT
/* tests/core/harness.h - what every C test of the core is made of.
 *
 *     static void
 *     test_smoke(void)
 *     {
 *         CHECK(cx_lock_try(&lock));
 *         CHECK_EQ(count, 1);
 *     }
 *
 *     int
 *     main(int argc, char **argv)
 *     {
 *         harness_begin(argc, argv);       // installs park and fork handlers; argv[1] is the seed
 *         RUN(test_smoke);
 *         return harness_end();            // 0 if nothing failed
 *     }
 *
 * A failed CHECK prints its place and is counted, in whatever thread; nothing is jumped over.
 * run_threads starts n threads, lets them go at once, and joins them; deliver wakes those of a
 * struct cx_wakes.  A test that hangs is ended by SIGALRM, which says so.
 */
#ifndef CX_TESTS_HARNESS_H
#define CX_TESTS_HARNESS_H

#include "core/config.h"

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/fork.h"
#include "core/park.h"
#include "core/port.h"

#define HARNESS_TIMEOUT 60 /* seconds until a test that hangs is ended */
#define HARNESS_MAX_THREADS 16
#define MILLISECOND (CX_SECOND / 1000)

static int harness_failures; /* atomic */
static uint64_t harness_seed = 1;
static const char *harness_program = "?";
static const char *harness_test = "?";
static uint64_t harness_runs; /* of run_threads: each has generators of its own */

static inline bool
harness_check(bool ok, const char *text, const char *file, int line)
{
    if (!ok && __atomic_fetch_add(&harness_failures, 1, __ATOMIC_RELAXED) < 20) {
        fprintf(stderr, "%s:%d: %s: failed: %s\n", file, line, harness_test, text);
    }
    return ok;
}

static inline bool
harness_check_eq(int64_t a, int64_t b, const char *text, const char *file, int line)
{
    if (a != b && __atomic_fetch_add(&harness_failures, 1, __ATOMIC_RELAXED) < 20) {
        fprintf(stderr, "%s:%d: %s: failed: %s: %" PRId64 " is not %" PRId64 "\n", file, line,
                harness_test, text, a, b);
    }
    return a == b;
}

/* Both answer whether the check held, so that a test can stop early. */
#define CHECK(cond) harness_check((cond), #cond, __FILE__, __LINE__)
#define CHECK_EQ(a, b)                                                                             \
    harness_check_eq((int64_t)(a), (int64_t)(b), #a " == " #b, __FILE__, __LINE__)

/* A seeded generator of one thread (splitmix64). */
struct rng {
    uint64_t state;
};

static inline uint64_t
rng_next(struct rng *rng)
{
    uint64_t z = rng->state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* 0 .. n - 1 */
static inline uint32_t
rng_below(struct rng *rng, uint32_t n)
{
    return (uint32_t)((rng_next(rng) >> 32) * n >> 32);
}

/* One of the threads of run_threads. */
struct worker {
    int id; /* 0 .. count - 1 */
    int count;
    struct rng rng;
    void *shared; /* what was given to run_threads */
    void (*body)(struct worker *);
    pthread_barrier_t *start;
};

static inline void *
harness_worker(void *arg)
{
    struct worker *self = arg;
    pthread_barrier_wait(self->start);
    self->body(self);
    return NULL;
}

/* Runs body in `count` threads that start together; returns when all have ended. */
static inline void
run_threads(int count, void (*body)(struct worker *), void *shared)
{
    pthread_t threads[HARNESS_MAX_THREADS];
    struct worker workers[HARNESS_MAX_THREADS];
    pthread_barrier_t start;
    if (count > HARNESS_MAX_THREADS) {
        fprintf(stderr, "%d threads wanted, the harness has %d\n", count, HARNESS_MAX_THREADS);
        abort();
    }
    pthread_barrier_init(&start, NULL, (unsigned)count);
    for (int i = 0; i < count; i++) {
        workers[i] = (struct worker){
            .id = i, .count = count, .shared = shared, .body = body, .start = &start};
        workers[i].rng.state =
            harness_seed * 1000003 + harness_runs * HARNESS_MAX_THREADS + (uint64_t)i;
        if (pthread_create(&threads[i], NULL, harness_worker, &workers[i]) != 0) {
            fprintf(stderr, "cannot start thread %d\n", i);
            abort();
        }
    }
    for (int i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_barrier_destroy(&start);
    harness_runs++;
}

/* Until another thread has made something true; the program's alarm bounds it. */
#define WAIT_UNTIL(cond)                                                                           \
    do {                                                                                           \
        while (!(cond)) {                                                                          \
            sched_yield();                                                                         \
        }                                                                                          \
    } while (0)

/* Wakes the threads; there are no loops to be told. */
static inline void
deliver(struct cx_wakes *wakes)
{
    struct cx_port *edges[CX_WAKES];
    CHECK_EQ(cx_wakes_deliver(wakes, edges), 0);
}

static void
harness_alarm(int sig)
{
    static const char text[] = ": hangs\n";
    (void)sig;
    (void)!write(2, harness_program, strlen(harness_program));
    (void)!write(2, ": ", 2);
    (void)!write(2, harness_test, strlen(harness_test));
    (void)!write(2, text, sizeof text - 1);
    _exit(99);
}

static inline void
harness_begin(int argc, char **argv)
{
    const char *slash = strrchr(argv[0], '/');
    harness_program = slash != NULL ? slash + 1 : argv[0];
    if (argc > 1) {
        harness_seed = strtoull(argv[1], NULL, 0);
    }
    signal(SIGALRM, harness_alarm);
    cx_park_install();
}

#define RUN(test) harness_run(#test, test)

static inline void
harness_run(const char *name, void (*test)(void))
{
    int64_t began = cx_now();
    int before = __atomic_load_n(&harness_failures, __ATOMIC_RELAXED);
    harness_test = name;
    alarm(HARNESS_TIMEOUT);
    test();
    int after = __atomic_load_n(&harness_failures, __ATOMIC_RELAXED);
    printf("%-14s %-36s %s %7.1f ms\n", harness_program, name, before == after ? "ok  " : "FAIL",
           (double)(cx_now() - began) / (double)MILLISECOND);
    fflush(stdout);
}

static inline int
harness_end(void)
{
    int failures = __atomic_load_n(&harness_failures, __ATOMIC_RELAXED);
    if (failures > 0) {
        fprintf(stderr, "%s: %d failed checks, seed %" PRIu64 "\n", harness_program, failures,
                harness_seed);
    }
    return failures == 0 ? 0 : 1;
}

#endif

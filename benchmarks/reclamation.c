// SPDX-License-Identifier: MIT
/* What a section and a grace period cost, of the core as it is compiled: see reclamation.py.
 *
 * Built as a shared object and loaded at run time, as the extension is: that decides what a thread-local
 * costs.  Prints three numbers, in nanoseconds: a section; an item of a batch of 60, from its retirement
 * to its release; the same while another thread is in one section after the other.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/limbo.h"

#define BEST_OF 7

static double
seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void *volatile shared;

static double
section(void)
{
    const int rounds = 5000000;
    double began = seconds();
    for (int i = 0; i < rounds; i++) {
        cx_rcu_enter();
        (void)shared;
        cx_rcu_exit();
    }
    return (seconds() - began) / rounds;
}

static double
item(void)
{
    const int batches = 20000;
    struct cx_limbo limbo = {.open = NULL};
    double began = seconds();
    for (int i = 0; i < batches; i++) {
        cx_limbo_open(&limbo, cx_batch_new());
        for (int k = 0; k < CX_BATCH_ITEMS; k++) {
            cx_limbo_add(&limbo, malloc(32), 1);
        }
        (void)cx_limbo_seal_if_due(&limbo);
        struct cx_batch *ripe;
        do {
            (void)cx_rcu_try_advance();
            (void)cx_rcu_try_advance();
        } while ((ripe = cx_limbo_take(&limbo)) == NULL);
        for (uint32_t k = 0; k < ripe->count; k++) {
            free(ripe->item[k]);
        }
        free(ripe);
    }
    return (seconds() - began) / batches / CX_BATCH_ITEMS;
}

static uint32_t stops;

static void *
read_on(void *unused)
{
    (void)unused;
    while (cx_load_relaxed(&stops) == 0) {
        cx_rcu_enter();
        (void)shared;
        cx_rcu_exit();
    }
    return NULL;
}

static double
best(double (*measure)(void))
{
    double least = measure();
    for (int i = 1; i < BEST_OF; i++) {
        double one = measure();
        least = one < least ? one : least;
    }
    return least * 1e9;
}

__attribute__((visibility("default"))) int concx_measure(void);

int
concx_measure(void)
{
    pthread_t reader;
    cx_rcu_install();
    double alone = best(section), idle = best(item);
    if (pthread_create(&reader, NULL, read_on, NULL) != 0) {
        return 1;
    }
    double busy = best(item);
    cx_store_relaxed(&stops, 1);
    pthread_join(reader, NULL);
    printf("%.2f %.2f %.2f\n", alone, idle, busy);
    fflush(stdout);
    return 0;
}

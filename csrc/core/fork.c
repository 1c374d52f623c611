// SPDX-License-Identifier: MIT
#include "core/fork.h"

#include <pthread.h>

#define MAX_HOOKS 8

uint32_t cx_fork_generation_word = 1;

static void (*hooks[MAX_HOOKS])(void);
static uint32_t hook_count;
static pthread_mutex_t install_mutex = PTHREAD_MUTEX_INITIALIZER;
static bool installed;

static void
in_child(void)
{
    cx_store_relaxed(&cx_fork_generation_word, cx_load_relaxed(&cx_fork_generation_word) + 1);
    pthread_mutex_init(&install_mutex, NULL);
    for (uint32_t i = 0; i < hook_count; i++) {
        hooks[i]();
    }
}

void
cx_fork_install(void (*child)(void))
{
    pthread_mutex_lock(&install_mutex);
    if (!installed) {
        installed = pthread_atfork(NULL, NULL, in_child) == 0;
    }
    bool known = child == NULL;
    for (uint32_t i = 0; i < hook_count; i++) {
        known = known || hooks[i] == child;
    }
    if (!known && hook_count < MAX_HOOKS) {
        hooks[hook_count++] = child;
    }
    pthread_mutex_unlock(&install_mutex);
}

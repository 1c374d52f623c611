// SPDX-License-Identifier: MIT
/* Steps in words. */
#include "world.h"

#include <stdio.h>

#define MAX_NAMES 64
static struct {
    const char *p;
    size_t size;
    const char *name;
} names[MAX_NAMES];
static size_t name_count;

void
mc_names_clear(void)
{
    name_count = 0;
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

static const char *const op_names[] = {
    [OP_START] = "starts",
    [OP_LOAD] = "loads",
    [OP_STORE] = "stores",
    [OP_XCHG] = "exchanges",
    [OP_ADD] = "adds",
    [OP_CAS] = "compares and swaps",
    [OP_FENCE] = "fence",
    [OP_PAUSE] = "pauses",
    [OP_PARK] = "parks on",
    [OP_ASLEEP] = "times out on",
    [OP_WOKEN] = "woken on",
    [OP_UNPARK] = "unparks",
    [OP_LOCK] = "takes the lock it waited for",
    [OP_AWAIT] = "has awaited",
    [OP_CHOOSE] = "chooses",
    [OP_ENDED] = "ends",
    [OP_FLUSH] = "(buffered store becomes visible)",
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
    printf("    %-10s %s %s", mc_thread_name(step->thread), op_names[step->op], where);
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

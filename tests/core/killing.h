// SPDX-License-Identifier: MIT
/* tests/core/killing.h - runs a body in a child that dies at a given store to shared memory. */
#ifndef CX_TESTS_KILLING_H
#define CX_TESTS_KILLING_H

#include <stddef.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "core/shm.h"

/* What the child tells and the parent reads after its death. */
struct told {
    int64_t begun, put, taken;
};

static inline void *
make_page(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        perror("mmap");
        abort();
    }
    return page;
}

static inline struct told *
make_told(void)
{
    return make_page();
}

/* Where children have died. */
#define MOST_PLACES 256
static struct cx_kill_place killed_at[MOST_PLACES];
static int killed_count;

static inline bool
died_there(const char *file, int line)
{
    for (int i = 0; i < killed_count; i++) {
        if (killed_at[i].line == line && strcmp(killed_at[i].file, file) == 0) {
            return true;
        }
    }
    return false;
}

/* Checks that since `killed_count` was 0 children have died at every kill point of a source file (a
 * path's end) that is not in a function named in `but`, a list that ends with NULL. */
static inline void
every_point_was_hit(const char *file, const char *const *but)
{
    char line[400], function[400] = "";
    const char *path = NULL;
    int points = 0;
    for (int i = 0; i < killed_count && path == NULL; i++) {
        size_t n = strlen(killed_at[i].file), end = strlen(file);
        path =
            n >= end && strcmp(killed_at[i].file + n - end, file) == 0 ? killed_at[i].file : NULL;
    }
    CHECK(path != NULL);
    FILE *source = path == NULL ? NULL : fopen(path, "r");
    CHECK(source != NULL);
    for (int number = 1; source != NULL && fgets(line, sizeof line, source) != NULL; number++) {
        bool counts = strstr(line, "CX_KILL_POINT();") != NULL;
        if (line[0] != ' ' && strchr(line, '(') != NULL) {
            memcpy(function, line, sizeof line);
            *strchr(function, '(') = '\0';
        }
        for (const char *const *name = but; counts && *name != NULL; name++) {
            counts = strcmp(*name, function) != 0;
        }
        if (counts && !died_there(path, number)) {
            fprintf(stderr, "nobody died at %s:%d, in %s\n", path, number, function);
            CHECK(died_there(path, number));
        }
        points += counts;
    }
    if (source != NULL) {
        fclose(source);
    }
    CHECK(points > 0);
    printf("  somebody died at each of its %d kill points in %s\n", points, file);
}

/* Runs body(arg) in a child that dies at the k-th kill point; false: it came to its end. */
static inline bool
dies_at(int k, void (*body)(void *), void *arg)
{
    static struct cx_kill_place *place;
    int status;
    place = place != NULL ? place : make_page();
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(HARNESS_TIMEOUT);
        cx_kill_count = 0;
        cx_kill_at = k;
        cx_kill_place = place;
        body(arg);
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
    if (WIFSIGNALED(status) && !died_there(place->file, place->line)) {
        CHECK(killed_count < MOST_PLACES);
        killed_at[killed_count++ % MOST_PLACES] = *place;
    }
    return WIFSIGNALED(status);
}

#endif

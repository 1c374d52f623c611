// SPDX-License-Identifier: MIT
/* tests/core/killing.h - runs a body in a child that dies at a given store to shared memory. */
#ifndef CX_TESTS_KILLING_H
#define CX_TESTS_KILLING_H

#include <sys/mman.h>
#include <sys/wait.h>

#include "core/shm.h"

/* What the child tells and the parent reads after its death. */
struct told {
    int64_t begun, put, taken;
};

static inline struct told *
make_told(void)
{
    void *page =
        mmap(NULL, sizeof(struct told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        perror("mmap");
        abort();
    }
    return page;
}

/* Runs body(arg) in a child that dies at the k-th kill point; false: it came to its end. */
static inline bool
dies_at(int k, void (*body)(void *), void *arg)
{
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(HARNESS_TIMEOUT);
        cx_kill_count = 0;
        cx_kill_at = k;
        body(arg);
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
    return WIFSIGNALED(status);
}

#endif

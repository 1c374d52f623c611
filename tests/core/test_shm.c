// SPDX-License-Identifier: MIT
/* Segments: sealed, checked, filled; owners: alive, dead, zombies, another of the same pid. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "killing.h"

static void
test_smoke(void)
{
    struct cx_shm mine, theirs;
    CHECK_EQ(cx_shm_create(&mine, CX_SHM_DATA, 100000, 0), CX_OK);
    CHECK(mine.size >= 100000 && mine.size % 4096 == 0);
    CHECK(cx_shm_fill(&mine, 0, mine.size));
    memset(mine.base + CX_SHM_HEADER, 7, mine.size - CX_SHM_HEADER);
    CHECK_EQ(cx_shm_attach(&theirs, dup(mine.fd), CX_SHM_DATA, 0), CX_OK);
    CHECK_EQ(theirs.size, mine.size);
    CHECK(theirs.id[0] == mine.id[0] && theirs.id[1] == mine.id[1]);
    CHECK_EQ(theirs.base[theirs.size - 1], 7);
    cx_shm_drop(&mine, 0, mine.size);
    CHECK_EQ(theirs.base[theirs.size - 1], 0);
    cx_shm_close(&theirs);
    cx_shm_close(&mine);
}

static void
test_sealed(void)
{
#if defined(__linux__) && !defined(CX_NO_MEMFD)
    struct cx_shm shm;
    CHECK_EQ(cx_shm_create(&shm, CX_SHM_DATA, 8192, 0), CX_OK);
    CHECK(ftruncate(shm.fd, 4096) < 0 && errno == EPERM);
    CHECK(ftruncate(shm.fd, 1 << 20) < 0 && errno == EPERM);
    cx_shm_close(&shm);
#endif
}

/* Every bit of the header that a peer may have turned. */
static void
test_header(void)
{
    struct cx_shm shm, other;
    CHECK_EQ(cx_shm_create(&shm, CX_SHM_RING, 8192, 0), CX_OK);
    CHECK_EQ(cx_shm_attach(&other, shm.fd, CX_SHM_DATA, 0), CX_DAMAGED); /* another kind */
    CHECK_EQ(cx_shm_attach(&other, shm.fd, CX_SHM_RING, 1 << 20), CX_DAMAGED);
    for (int bit = 0; bit < 8 * 44; bit++) {
        bool identity = bit / 8 >= 24 && bit / 8 < 40;
        shm.base[bit / 8] ^= (char)(1 << bit % 8);
        enum cx_status status = cx_shm_attach(&other, dup(shm.fd), CX_SHM_RING, 0);
        CHECK_EQ(status, identity ? CX_OK : CX_DAMAGED);
        if (status == CX_OK) {
            cx_shm_close(&other);
        }
        else {
            close(other.fd);
        }
        shm.base[bit / 8] ^= (char)(1 << bit % 8);
    }
    int null = open("/dev/null", O_RDWR);
    CHECK_EQ(cx_shm_attach(&other, null, CX_SHM_RING, 0), CX_DAMAGED);
    close(null);
    CHECK_EQ(cx_shm_attach(&other, 9999, CX_SHM_RING, 0), CX_OSERROR);
    CHECK_EQ(other.error, EBADF);
    cx_shm_close(&shm);
}

static void
test_no_space(void)
{
    struct cx_shm shm;
    struct rlimit was, none = {0, 0};
    cx_fill_fails = 1;
    CHECK_EQ(cx_shm_create(&shm, CX_SHM_DATA, 8192, 0), CX_OSERROR);
    CHECK_EQ(shm.error, ENOSPC);
    cx_fill_fails = 0;
    CHECK_EQ(cx_shm_create(&shm, CX_SHM_DATA, UINT64_MAX, 0), CX_OSERROR);
    CHECK_EQ(shm.error, EFBIG);
    getrlimit(RLIMIT_NOFILE, &was);
    none.rlim_max = was.rlim_max;
    setrlimit(RLIMIT_NOFILE, &none);
    CHECK_EQ(cx_shm_create(&shm, CX_SHM_DATA, 8192, 0), CX_OSERROR);
    CHECK_EQ(shm.error, EMFILE);
    setrlimit(RLIMIT_NOFILE, &was);
}

static void
end_at_once(void *arg)
{
    (void)arg;
}

static void
create_and_close(void *arg)
{
    struct cx_shm shm;
    (void)arg;
    CHECK_EQ(cx_shm_create(&shm, CX_SHM_DATA, 8192, 0), CX_OK);
    cx_shm_close(&shm);
}

/* A segment whose maker dies goes with it, before anybody else has heard of it. */
static void
test_killed_anywhere(void)
{
    const char *const none[] = {NULL};
    bool died = true;
    killed_count = 0;
    for (int k = 1; died; k++) {
        died = dies_at(k, create_and_close, NULL);
    }
    every_point_was_hit("core/shm.c", none);
}

static void
test_owners(void)
{
    int end[2];
    char byte;
    uint32_t me = cx_owner_self();
    CHECK(me != 0 && cx_owner_alive(me));
    CHECK_EQ(me & ((1u << CX_OWNER_PID_BITS) - 1), getpid());
    CHECK(!cx_owner_alive(0));
    CHECK(!cx_owner_alive(CX_OWNER_MASK));
    /* The same pid, started at another time. */
    CHECK(!cx_owner_alive(me ^ (5u << CX_OWNER_PID_BITS)));
    CHECK(!dies_at(0, end_at_once, NULL));
    CHECK_EQ(pipe(end), 0);
    pid_t pid = fork();
    if (pid == 0) {
        uint32_t mine = cx_owner_self();
        (void)!write(end[1], &mine, sizeof mine);
        (void)!read(end[0], &byte, 0);
        pause();
        _exit(0);
    }
    uint32_t child;
    CHECK_EQ(read(end[0], &child, sizeof child), (int)sizeof child);
    CHECK(child != me && cx_owner_alive(child));
    kill(pid, SIGKILL);
    WAIT_UNTIL(!cx_owner_alive(child)); /* as a zombie, before anybody has waited for it */
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
    CHECK(!cx_owner_alive(child));
    close(end[0]);
    close(end[1]);
}

#if defined(__linux__) && defined(CX_NO_MEMFD)

/* In a mount namespace of its own: what is asked of shared memory when its file system is full. */
static int
fill_a_small_tmpfs(void)
{
    struct cx_shm shm;
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=256k") < 0) {
        return 77;
    }
    CHECK_EQ(cx_shm_create(&shm, CX_SHM_DATA, 64 << 20, 0), CX_OK); /* sparse */
    CHECK(cx_shm_fill(&shm, 0, 128 << 10));
    memset(shm.base + CX_SHM_HEADER, 1, (128 << 10) - CX_SHM_HEADER);
    CHECK(!cx_shm_fill(&shm, 0, 1 << 20));
    CHECK_EQ(shm.error, ENOSPC);
    memset(shm.base + CX_SHM_HEADER, 2, (128 << 10) - CX_SHM_HEADER); /* what there was is there */
    cx_shm_close(&shm);
    return harness_failures == 0 ? 0 : 1;
}

static void
test_no_space_left(void)
{
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(fill_a_small_tmpfs());
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        printf("  left out: only root may mount the small tmpfs that it needs\n");
        return;
    }
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

#endif

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    cx_shm_install();
    RUN(test_smoke);
    RUN(test_sealed);
    RUN(test_header);
    RUN(test_no_space);
    RUN(test_killed_anywhere);
    RUN(test_owners);
#if defined(__linux__) && defined(CX_NO_MEMFD)
    RUN(test_no_space_left);
#endif
    return harness_end();
}

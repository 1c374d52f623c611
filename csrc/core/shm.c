// SPDX-License-Identifier: MIT
#include "core/shm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/clock.h"

#if defined(__linux__) && !defined(CX_NO_MEMFD)
#define MEMFD 1
#else
#define MEMFD 0
#endif

#define MAGIC UINT64_C(0x6d68732d78636e63) /* "cncx-shm" */
#define VERSION 1

struct header {
    uint64_t magic;
    uint32_t version, kind;
    uint64_t size;
    uint64_t id[2];
    uint32_t page;
};

_Static_assert(sizeof(struct header) <= CX_SHM_HEADER, "the header fits its place");

#ifdef CX_KILL
int cx_kill_at, cx_kill_count, cx_fill_fails;
struct cx_kill_place *cx_kill_place;

void
cx_kill_point(const char *file, int line)
{
    if (cx_kill_at != 0 && cx_fetch_add_relaxed(&cx_kill_count, 1) + 1 == cx_kill_at) {
        if (cx_kill_place != NULL) {
            *cx_kill_place = (struct cx_kill_place){file, line};
        }
        kill(getpid(), SIGKILL);
    }
}
#endif

static uint32_t forks; /* atomic */

static void
count_fork(void)
{
    cx_fetch_add_relaxed(&forks, 1);
}

static void
install_once(void)
{
    cx_fork_install(NULL);
    pthread_atfork(count_fork, NULL, NULL);
}

void
cx_shm_install(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install_once);
}

uint32_t
cx_shm_forks(void)
{
    return cx_load_relaxed(&forks);
}

static enum cx_status
refused(struct cx_shm *shm)
{
    shm->error = errno;
    return CX_OSERROR;
}

static void
make_id(uint64_t *id)
{
#if defined(__linux__)
    if (syscall(SYS_getrandom, id, 2 * sizeof *id, 1 /* do not wait for entropy */) ==
        2 * sizeof *id) {
        return;
    }
#endif
    static uint64_t made;
    id[0] = (uint64_t)cx_now();
    id[1] = (uint64_t)getpid() << 32 | cx_fetch_add_relaxed(&made, 1);
}

#if MEMFD

static int
open_sealable(struct cx_shm *shm)
{
    (void)shm;
    return memfd_create("concx", MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

static bool
seal(int fd)
{
    return fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0;
}

static bool
is_sealed(int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);
    return seals >= 0 && (seals & F_SEAL_SHRINK) != 0;
}

#else

static int
open_sealable(struct cx_shm *shm)
{
    char name[40];
    snprintf(name, sizeof name, "/cx%016llx%08x", (unsigned long long)shm->id[0],
             (unsigned)shm->id[1]);
    int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd >= 0) {
        shm_unlink(name);
    }
    return fd;
}

static bool
seal(int fd)
{
    (void)fd;
    return true;
}

static bool
is_sealed(int fd)
{
    (void)fd;
    return true;
}

#endif

static uint64_t
page_size(void)
{
    long page = sysconf(_SC_PAGESIZE);
    return page > 0 ? (uint64_t)page : 4096;
}

static bool
map_start(struct cx_shm *shm, uint64_t mapped)
{
    shm->mapped = mapped == 0 ? shm->size : mapped;
    void *at = cx_shm_map(shm, 0, shm->mapped);
    shm->base = at;
    shm->forks = cx_shm_forks();
    shm->generation = cx_fork_generation();
    return at != NULL;
}

enum cx_status
cx_shm_create(struct cx_shm *shm, uint32_t kind, uint64_t size, uint64_t mapped)
{
    uint64_t page = page_size();
    *shm = (struct cx_shm){.fd = -1, .kind = kind};
    if (size > CX_SHM_MOST) {
        shm->error = EFBIG;
        return CX_OSERROR;
    }
    shm->size = (size + page - 1) / page * page;
    make_id(shm->id);
    shm->fd = open_sealable(shm);
    if (shm->fd < 0) {
        return refused(shm);
    }
    if (ftruncate(shm->fd, (off_t)shm->size) < 0 || !seal(shm->fd)) {
        shm->error = errno;
    }
    else if (cx_shm_fill(shm, 0, page) && map_start(shm, mapped)) {
        struct header *header = (struct header *)(void *)shm->base;
        CX_KILL_POINT();
        *header = (struct header){.magic = MAGIC,
                                  .version = VERSION,
                                  .kind = kind,
                                  .size = shm->size,
                                  .id = {shm->id[0], shm->id[1]},
                                  .page = (uint32_t)page};
        CX_KILL_POINT();
        return CX_OK;
    }
    close(shm->fd);
    shm->fd = -1;
    return CX_OSERROR;
}

enum cx_status
cx_shm_attach(struct cx_shm *shm, int fd, uint32_t kind, uint64_t mapped)
{
    struct stat st;
    uint64_t page = page_size();
    *shm = (struct cx_shm){.fd = fd, .kind = kind};
    if (fstat(fd, &st) < 0) {
        return refused(shm);
    }
    shm->size = st.st_size < 0 ? 0 : (uint64_t)st.st_size;
    if (!S_ISREG(st.st_mode) || !is_sealed(fd) || shm->size < page || shm->size % page != 0 ||
        shm->size > CX_SHM_MOST || mapped > shm->size) {
        return CX_DAMAGED;
    }
    if (!map_start(shm, mapped)) {
        return CX_OSERROR;
    }
    struct header header;
    memcpy(&header, shm->base, sizeof header);
    if (header.magic != MAGIC || header.version != VERSION || header.kind != kind ||
        header.size != shm->size || header.page != page) {
        munmap(shm->base, shm->mapped);
        shm->base = NULL;
        return CX_DAMAGED;
    }
    shm->id[0] = header.id[0];
    shm->id[1] = header.id[1];
    return CX_OK;
}

void
cx_shm_close(struct cx_shm *shm)
{
    if (shm->base != NULL) {
        munmap(shm->base, shm->mapped);
        shm->base = NULL;
    }
    if (shm->fd >= 0) {
        close(shm->fd);
        shm->fd = -1;
    }
}

void *
cx_shm_map(struct cx_shm *shm, uint64_t offset, uint64_t length)
{
    void *at = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, shm->fd, (off_t)offset);
    if (at == MAP_FAILED) {
        shm->error = errno;
        return NULL;
    }
    return at;
}

bool
cx_shm_fill(struct cx_shm *shm, uint64_t offset, uint64_t length)
{
    int error;
#ifdef CX_KILL
    if (cx_fill_fails) {
        shm->error = ENOSPC;
        return false;
    }
#endif
    do {
#if defined(__linux__)
        error = fallocate(shm->fd, 0, (off_t)offset, (off_t)length) == 0 ? 0 : errno;
#else
        error = posix_fallocate(shm->fd, (off_t)offset, (off_t)length);
#endif
    } while (error == EINTR);
    shm->error = error;
    return error == 0;
}

void
cx_shm_drop(struct cx_shm *shm, uint64_t offset, uint64_t length)
{
#if defined(__linux__)
    (void)!fallocate(shm->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                     (off_t)length);
#else
    (void)shm, (void)offset, (void)length;
#endif
}

/* The state letter and the start time of a process, from /proc; false if it is not there. */
static bool
look_up(uint32_t pid, char *state, uint64_t *start)
{
    char path[40], text[1024];
    snprintf(path, sizeof path, "/proc/%u/stat", (unsigned)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) {
        close(fd);
    }
    if (got <= 0) {
        return false;
    }
    text[got] = '\0';
    char *at = strrchr(text, ')'); /* the name before it may hold anything */
    if (at == NULL || at[1] != ' ' || at[2] == '\0') {
        return false;
    }
    *state = at[2];
    at += 3;
    for (int field = 3; field < 21 && at != NULL; field++) {
        at = strchr(at + 1, ' ');
    }
    *start = at == NULL ? 0 : strtoull(at, NULL, 10);
    return at != NULL;
}

static uint32_t
owner_of(uint32_t pid, uint64_t start)
{
    uint32_t tag = (uint32_t)(start ^ start >> 9) & 0x1ff;
    return tag << CX_OWNER_PID_BITS | pid;
}

uint32_t
cx_owner_self(void)
{
    static uint32_t self, asked; /* atomic; asked: in which generation, plus one */
    uint32_t now = cx_fork_generation() + 1;
    if (CX_UNLIKELY(cx_load_acquire(&asked) != now)) { /* [S1] pairs with [S2] */
        int saved = errno;
        char state;
        uint64_t start = 0;
        uint32_t pid = (uint32_t)getpid() & ((1u << CX_OWNER_PID_BITS) - 1);
        if (!look_up(pid, &state, &start)) {
            start = 0;
        }
        errno = saved;
        cx_store_relaxed(&self, owner_of(pid, start));
        cx_store_release(&asked, now); /* [S2] pairs with [S1] */
    }
    return cx_load_relaxed(&self);
}

/* 1 it runs, 0 it has ended, -1 unknown. */
static int
runs(uint32_t pid)
{
#if defined(__linux__) && defined(SYS_pidfd_open)
    int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
    if (fd >= 0) {
        struct pollfd ended = {.fd = fd, .events = POLLIN};
        int n = poll(&ended, 1, 0);
        close(fd);
        return n < 0 ? -1 : n == 0;
    }
    if (errno == ESRCH || errno == EINVAL) {
        return 0;
    }
#endif
    return kill((pid_t)pid, 0) < 0 && errno == ESRCH ? 0 : -1;
}

bool
cx_owner_alive(uint32_t owner)
{
    uint32_t pid = owner & ((1u << CX_OWNER_PID_BITS) - 1);
    uint64_t start;
    char state;
    if ((owner & CX_OWNER_MASK) == cx_owner_self()) {
        return true;
    }
    if (pid == 0) {
        return false;
    }
    int saved = errno;
    int answer = runs(pid);
    if (answer != 0 && look_up(pid, &state, &start)) {
        /* Without pidfd a zombie shows by its state alone. */
        bool zombie = answer < 0 && (state == 'Z' || state == 'X');
        answer = !zombie && owner_of(pid, start) == (owner & CX_OWNER_MASK);
    }
    errno = saved;
    return answer != 0;
}

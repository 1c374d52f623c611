// SPDX-License-Identifier: MIT
/* core/shm.h - a segment of memory that processes share, and what is left of the processes.
 *
 * A segment is a memfd whose size is sealed, so no peer can cut it from under a mapping; it has no
 * name, and goes with its last descriptor and mapping, however the processes die.  Pages come into
 * being when they are filled, and only then are they touched: no space is an answer, never SIGBUS.
 * Without memfd (or with CX_NO_MEMFD) it is a POSIX shared memory object that is unlinked at birth.
 *
 * The first page begins with a header: magic, version, kind, size, page size, identity.  A peer may
 * have written anything since, so a process that attaches checks the header against the size that
 * the system tells, and whoever reads an offset from a segment checks it against `size`.
 *
 * An owner is a process in 31 bits: pid, and nine bits of its start time, so that a pid that is used
 * again is not mistaken for the one that died.
 *
 * Progress:  system calls; cx_owner_self is wait-free after its first call in a process.
 * Ordering:  none; a segment is handed to another process by the system.
 * Ownership: one struct is used by one process; a forked child may use the copy it inherits.
 */
#ifndef CX_CORE_SHM_H
#define CX_CORE_SHM_H

#include "core/fork.h"
#include "core/status.h"

#define CX_SHM_HEADER 128 /* bytes at the start of a segment that are taken */
#define CX_SHM_MOST (UINT64_C(1) << 46)

enum cx_shm_kind { CX_SHM_SYNC = 1, CX_SHM_RING = 2, CX_SHM_DATA = 3, CX_SHM_WORK = 4 };

struct cx_shm {
    int fd;
    int error; /* errno of the last CX_OSERROR */
    uint32_t kind;
    uint64_t size;  /* sealed; a multiple of the page size */
    uint64_t id[2]; /* random: which segment this is, in whatever process */
    char *base;     /* mapped from the start */
    uint64_t mapped;
    uint32_t forks; /* cx_shm_forks() when it was made */
    uint32_t generation;
};

/* A new segment of at least `size` bytes, zeroed, its first `mapped` bytes mapped and the header's
 * page filled: CX_OK or CX_OSERROR. */
enum cx_status cx_shm_create(struct cx_shm *shm, uint32_t kind, uint64_t size, uint64_t mapped);

/* The segment behind a descriptor that another process passed: CX_OK; CX_DAMAGED if it is none of
 * that kind; CX_OSERROR.  The descriptor is owned from CX_OK on.  Maps `mapped` bytes, or all if 0. */
enum cx_status cx_shm_attach(struct cx_shm *shm, int fd, uint32_t kind, uint64_t mapped);

/* Unmaps and closes. */
void cx_shm_close(struct cx_shm *shm);

/* Gives pages to a range, so that touching it cannot fail; false: shm->error says why. */
CX_NODISCARD bool cx_shm_fill(struct cx_shm *shm, uint64_t offset, uint64_t length);
/* Takes the pages of a range away; it reads as zeros. */
void cx_shm_drop(struct cx_shm *shm, uint64_t offset, uint64_t length);
/* Another mapping of a part; NULL: shm->error says why. */
void *cx_shm_map(struct cx_shm *shm, uint64_t offset, uint64_t length);

/* How often this process has forked: what was alive at a fork a child may use for ever. */
uint32_t cx_shm_forks(void);

/* Called once per process before the first use. */
void cx_shm_install(void);

/* This process as an owner; never 0. */
uint32_t cx_owner_self(void);
/* Whether that process still runs; a zombie does not.  `owner` may be any number. */
bool cx_owner_alive(uint32_t owner);

#define CX_OWNER_PID_BITS 22 /* the kernel's largest pid_max is 1 << 22 */
#define CX_OWNER_MASK 0x7fffffffu

/* Kill points: compiled with CX_KILL, the process dies at the cx_kill_at-th store to shared memory.
 * One stands before the first and after every such store. */
#ifdef CX_KILL
extern int cx_kill_at;    /* 0: never */
extern int cx_kill_count; /* passed so far */
extern int cx_fill_fails; /* cx_shm_fill finds no space */
struct cx_kill_place {
    const char *file;
    int line;
};
extern struct cx_kill_place *cx_kill_place; /* what is told before the death; NULL: nothing */
void cx_kill_point(const char *file, int line);
#define CX_KILL_POINT() cx_kill_point(__FILE__, __LINE__)
#else
#define CX_KILL_POINT() ((void)0)
#endif

#endif

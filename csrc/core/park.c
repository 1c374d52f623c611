// SPDX-License-Identifier: MIT
#include "core/park.h"

#include "core/clock.h"
#include "core/fork.h"

#ifdef CX_TSAN
uint32_t cx_tsan_fence;
#endif

#if CX_FUTEX

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

static enum cx_status
futex_wait(const uint32_t *word, uint32_t expected, int64_t deadline, int flags)
{
    struct timespec ts, *until = NULL;
    if (deadline != CX_FOREVER) {
        ts.tv_sec = (time_t)(deadline / CX_SECOND);
        ts.tv_nsec = (long)(deadline % CX_SECOND);
        until = &ts;
    }
    int saved = errno;
    long rc = syscall(SYS_futex, word, FUTEX_WAIT_BITSET | flags, expected, until, NULL,
                      FUTEX_BITSET_MATCH_ANY);
    int error = rc == 0 ? 0 : errno;
    errno = saved;
    if (error == ETIMEDOUT) {
        return CX_TIMEOUT;
    }
    return error == EINTR ? CX_INTR : CX_OK;
}

static int
futex_wake(const uint32_t *word, int n, int flags)
{
    int saved = errno;
    long woken = syscall(SYS_futex, word, FUTEX_WAKE | flags, n, NULL, NULL, 0);
    errno = saved;
    return (int)woken;
}

enum cx_status
cx_park(const uint32_t *word, uint32_t expected, int64_t deadline)
{
    return futex_wait(word, expected, deadline, FUTEX_PRIVATE_FLAG);
}

void
cx_unpark(const uint32_t *word, int n)
{
    (void)futex_wake(word, n, FUTEX_PRIVATE_FLAG);
}

enum cx_status
cx_park_shared(const uint32_t *word, uint32_t expected, int64_t deadline)
{
    return futex_wait(word, expected, deadline, 0);
}

int
cx_unpark_shared(const uint32_t *word, int n)
{
    return futex_wake(word, n, 0);
}

void
cx_park_install(void)
{
    cx_fork_install(NULL);
}

#elif !defined(CX_MC)

#include <errno.h>
#include <pthread.h>

/* A sleeper holds its bucket's mutex from the comparison to the wait, and a waker takes the mutex
 * before it signals, so a wake-up between the two cannot be lost. */
#define BUCKETS 64

struct bucket {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
};

static struct bucket buckets[BUCKETS];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static struct bucket *
bucket_of(const uint32_t *word)
{
    uint64_t h = (uint64_t)(uintptr_t)word * UINT64_C(0x9E3779B97F4A7C15);
    return &buckets[h >> 58];
}

static void
make_buckets(void)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    for (int i = 0; i < BUCKETS; i++) {
        pthread_mutex_init(&buckets[i].mutex, NULL);
        pthread_cond_init(&buckets[i].cond, &attr);
    }
    pthread_condattr_destroy(&attr);
}

static void
install_once(void)
{
    make_buckets();
    cx_fork_install(make_buckets);
}

void
cx_park_install(void)
{
    pthread_once(&once, install_once);
}

enum cx_status
cx_park(const uint32_t *word, uint32_t expected, int64_t deadline)
{
    struct bucket *b = bucket_of(word);
    enum cx_status status = CX_OK;
    /* A condition variable does not end a wait for a signal; a bounded slice lets the caller look. */
    int64_t slice = cx_deadline_after(CX_SECOND / 20);
    int64_t until = deadline < slice ? deadline : slice;
    struct timespec ts = {.tv_sec = (time_t)(until / CX_SECOND),
                          .tv_nsec = (long)(until % CX_SECOND)};
    pthread_mutex_lock(&b->mutex);
    if (cx_load_acquire(word) == expected &&
        pthread_cond_timedwait(&b->cond, &b->mutex, &ts) != 0) {
        status = until == deadline ? CX_TIMEOUT : CX_INTR;
    }
    pthread_mutex_unlock(&b->mutex);
    return status;
}

void
cx_unpark(const uint32_t *word, int n)
{
    (void)n; /* sleepers of other words share the bucket: all of them look */
    struct bucket *b = bucket_of(word);
    pthread_mutex_lock(&b->mutex);
    pthread_cond_broadcast(&b->cond);
    pthread_mutex_unlock(&b->mutex);
}

enum cx_status
cx_park_shared(const uint32_t *word, uint32_t expected, int64_t deadline)
{
    const struct timespec nap = {.tv_nsec = 1000000};
    while (cx_load_acquire(word) == expected) {
        if (cx_now() >= deadline) {
            return CX_TIMEOUT;
        }
        int saved = errno;
        bool cut = nanosleep(&nap, NULL) != 0;
        errno = saved;
        if (cut) {
            return CX_INTR;
        }
    }
    return CX_OK;
}

int
cx_unpark_shared(const uint32_t *word, int n)
{
    (void)word;
    return n;
}

#endif

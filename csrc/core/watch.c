// SPDX-License-Identifier: MIT
#include "core/watch.h"

#include <errno.h>
#include <unistd.h>

#if defined(__linux__) && !defined(CX_NO_MEMFD)

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#define MOST 32

int
cx_event_new(void)
{
    return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

bool
cx_event_is(int event)
{
    static const char name[] = "anon_inode:[eventfd]";
    char path[40], target[sizeof name];
    snprintf(path, sizeof path, "/proc/self/fd/%d", event);
    ssize_t length = readlink(path, target, sizeof target);
    return length == (ssize_t)sizeof name - 1 && memcmp(target, name, sizeof name - 1) == 0;
}

void
cx_event_signal(int event)
{
    int saved = errno;
    uint64_t one = 1;
    ssize_t written = event < 0 ? 0 : write(event, &one, sizeof one);
    (void)written; /* it was signalled 2^64 times */
    errno = saved;
}

enum cx_status
cx_watch_init(struct cx_watch *watch)
{
    watch->set = epoll_create1(EPOLL_CLOEXEC);
    watch->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (watch->set >= 0 && watch->timer >= 0 && cx_watch_add(watch, watch->timer, CX_WATCH_TIMER)) {
        return CX_OK;
    }
    cx_watch_fini(watch);
    return CX_OSERROR;
}

void
cx_watch_fini(struct cx_watch *watch)
{
    int saved = errno;
    if (watch->set >= 0) {
        close(watch->set);
    }
    if (watch->timer >= 0) {
        close(watch->timer);
    }
    watch->set = watch->timer = -1;
    errno = saved;
}

bool
cx_watch_add(struct cx_watch *watch, int event, uint64_t tag)
{
    struct epoll_event how = {.events = EPOLLIN | EPOLLET, .data = {.u64 = tag}};
    return epoll_ctl(watch->set, EPOLL_CTL_ADD, event, &how) == 0;
}

void
cx_watch_remove(struct cx_watch *watch, int event)
{
    (void)epoll_ctl(watch->set, EPOLL_CTL_DEL, event, NULL);
}

void
cx_watch_after(struct cx_watch *watch, int64_t ns)
{
    struct itimerspec when = {.it_value = {ns / 1000000000, ns % 1000000000}};
    (void)timerfd_settime(watch->timer, 0, &when, NULL);
}

int
cx_watch_take(struct cx_watch *watch, uint64_t *tags, int n)
{
    struct epoll_event told[MOST];
    int got = epoll_wait(watch->set, told, n < MOST ? n : MOST, 0);
    for (int i = 0; i < got; i++) {
        tags[i] = told[i].data.u64;
    }
    return got < 0 ? 0 : got;
}

#else

int
cx_event_new(void)
{
    errno = ENOSYS;
    return -1;
}

bool
cx_event_is(int event)
{
    (void)event;
    return false;
}

void
cx_event_signal(int event)
{
    (void)event;
}

enum cx_status
cx_watch_init(struct cx_watch *watch)
{
    watch->set = watch->timer = -1;
    errno = ENOSYS;
    return CX_OSERROR;
}

void
cx_watch_fini(struct cx_watch *watch)
{
    (void)watch;
}

bool
cx_watch_add(struct cx_watch *watch, int event, uint64_t tag)
{
    (void)watch, (void)event, (void)tag;
    errno = ENOSYS;
    return false;
}

void
cx_watch_remove(struct cx_watch *watch, int event)
{
    (void)watch, (void)event;
}

void
cx_watch_after(struct cx_watch *watch, int64_t ns)
{
    (void)watch, (void)ns;
}

int
cx_watch_take(struct cx_watch *watch, uint64_t *tags, int n)
{
    (void)watch, (void)tags, (void)n;
    return 0;
}

#endif

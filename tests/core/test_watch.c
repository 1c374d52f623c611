// SPDX-License-Identifier: MIT
/* Events and the sets that watch them: every signal reaches every set, in every process, and no set
 * takes one from another. */
#include "harness.h"

#include <errno.h>
#include <poll.h>
#include <sys/wait.h>

#include "core/watch.h"

#define MOST 8

static bool
readable(const struct cx_watch *watch, int ms)
{
    struct pollfd at = {.fd = watch->set, .events = POLLIN};
    return poll(&at, 1, ms) == 1;
}

static void
test_smoke(void)
{
    struct cx_watch a, b;
    uint64_t tags[MOST];
    int one = cx_event_new(), two = cx_event_new();
    CHECK(one >= 0 && two >= 0);
    CHECK_EQ(cx_watch_init(&a), CX_OK);
    CHECK_EQ(cx_watch_init(&b), CX_OK);
    CHECK(cx_watch_add(&a, one, 1) && cx_watch_add(&a, two, 2) && cx_watch_add(&b, one, 7));
    CHECK(!cx_watch_add(&a, one, 1) && errno == EEXIST);
    CHECK_EQ(cx_watch_take(&a, tags, MOST), 0); /* none was signalled yet */
    for (int i = 0; i < 5; i++) {
        cx_event_signal(one);
        CHECK(readable(&a, 0) && readable(&b, 0));
        CHECK_EQ(cx_watch_take(&a, tags, MOST), 1);
        CHECK_EQ(tags[0], 1);
        CHECK(!readable(&a, 0));
        CHECK_EQ(cx_watch_take(&b, tags, MOST), 1); /* a has not taken it away */
        CHECK_EQ(tags[0], 7);
        CHECK_EQ(cx_watch_take(&b, tags, MOST), 0);
    }
    cx_event_signal(one);
    cx_event_signal(two);
    CHECK_EQ(cx_watch_take(&a, tags, MOST), 2);
    CHECK_EQ(tags[0] + tags[1], 3);
    cx_watch_remove(&a, one);
    cx_event_signal(one);
    CHECK_EQ(cx_watch_take(&a, tags, MOST), 0);
    CHECK(cx_watch_add(&a, one, 9)); /* what came before it was watched is told once */
    CHECK_EQ(cx_watch_take(&a, tags, MOST), 1);
    CHECK_EQ(tags[0], 9);
    cx_event_signal(-1);
    CHECK(cx_event_is(one) && !cx_event_is(a.set) && !cx_event_is(0) && !cx_event_is(-1));
    cx_watch_fini(&a);
    cx_watch_fini(&b);
    close(one);
    close(two);
}

static void
test_timer(void)
{
    struct cx_watch watch;
    uint64_t tags[MOST];
    CHECK_EQ(cx_watch_init(&watch), CX_OK);
    CHECK(!readable(&watch, 0));
    for (int i = 0; i < 3; i++) {
        cx_watch_after(&watch, 2 * MILLISECOND);
        CHECK(readable(&watch, 5000));
        CHECK_EQ(cx_watch_take(&watch, tags, MOST), 1);
        CHECK_EQ(tags[0], CX_WATCH_TIMER);
        CHECK(!readable(&watch, 0)); /* once */
    }
    cx_watch_fini(&watch);
    cx_watch_fini(&watch);
}

/* Signals of another process, which dies. */
static void
test_fork(void)
{
    struct cx_watch watch;
    uint64_t tags[MOST];
    int event = cx_event_new(), status;
    CHECK_EQ(cx_watch_init(&watch), CX_OK);
    CHECK(cx_watch_add(&watch, event, 5));
    pid_t pid = fork();
    if (pid == 0) {
        cx_event_signal(event);
        kill(getpid(), SIGKILL);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(cx_watch_take(&watch, tags, MOST), 1);
    CHECK_EQ(tags[0], 5);
    cx_watch_fini(&watch);
    close(event);
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    if (cx_event_new() < 0) {
        CHECK_EQ(errno,
                 ENOSYS); /* a system without them says so, and nothing else is asked of it */
        return harness_end();
    }
    RUN(test_smoke);
    RUN(test_timer);
    RUN(test_fork);
    return harness_end();
}

// SPDX-License-Identifier: MIT
/* The loop port: order, one edge for many wakes, bounded takes, last counts from native threads. */
#include "harness.h"

#if defined(__linux__)
#include <poll.h>
#include <sys/eventfd.h>
#endif

#include "core/port.h"

/* A granted waiter whose only count is the port's, as a grant leaves it. */
static struct cx_waiter *
granted(struct cx_port *port, uintptr_t tag)
{
    struct cx_waitlist list;
    struct cx_wakes wakes = CX_WAKES_INIT;
    struct cx_waiter *w = cx_waiter_new(port);
    cx_waitlist_init(&list);
    cx_waitlist_push(&list, &w->node);
    CHECK(cx_waiter_grant(&w->node, CX_OK, &wakes));
    w->node.item = (void *)tag;
    cx_waiter_unref(w);
    return w;
}

static void
test_smoke(void)
{
    struct cx_port *port = cx_port_new(NULL, NULL);
    bool more = true;
    CHECK(cx_port_take(port, 10, &more) == NULL);
    CHECK(!more);
    CHECK(cx_port_push(port, granted(port, 1)));  /* the edge */
    CHECK(!cx_port_push(port, granted(port, 2))); /* the loop has been told */
    CHECK(!cx_port_push(port, granted(port, 3)));
    struct cx_waiter *w = cx_port_take(port, 2, &more);
    CHECK(more);
    for (uintptr_t tag = 1; tag <= 2; tag++) {
        struct cx_waiter *next = w->next;
        CHECK_EQ((uintptr_t)w->node.item, tag);
        CHECK_EQ(w->refs, 1);
        cx_waiter_unref(w);
        w = next;
    }
    CHECK(w == NULL);
    CHECK(cx_port_push(port, granted(port, 4))); /* disarmed by the take */
    w = cx_port_take(port, SIZE_MAX, &more);
    CHECK(!more);
    CHECK_EQ((uintptr_t)w->node.item, 3);
    CHECK_EQ((uintptr_t)w->next->node.item, 4);
    cx_waiter_unref(w->next);
    cx_waiter_unref(w);
    CHECK_EQ(port->refs, 1);
    cx_port_unref(port);
}

static void
test_deliver(void)
{
    struct cx_port *ports[2] = {cx_port_new(NULL, NULL), cx_port_new(NULL, NULL)};
    struct cx_port *edges[CX_WAKES];
    struct cx_wakes wakes = CX_WAKES_INIT;
    for (uint32_t i = 0; i < 6; i++) {
        wakes.waiters[wakes.count++] = granted(ports[i % 2], i);
    }
    CHECK_EQ(cx_wakes_deliver(&wakes, edges), 2); /* once for each loop */
    CHECK_EQ(wakes.count, 0);
    CHECK(edges[0] == ports[0] && edges[1] == ports[1]);
    for (int i = 0; i < 2; i++) {
        bool more;
        struct cx_waiter *w = cx_port_take(ports[i], SIZE_MAX, &more);
        for (int k = 0; k < 3; k++) {
            struct cx_waiter *next = w->next;
            CHECK_EQ((uintptr_t)w->node.item, (uintptr_t)(2 * k + i));
            cx_waiter_unref(w);
            w = next;
        }
        CHECK(w == NULL);
        cx_port_unref(edges[i]);
        CHECK_EQ(ports[i]->refs, 1);
        cx_port_unref(ports[i]);
    }
}

#if defined(__linux__)

#define PER_THREAD 2000

struct traffic {
    struct cx_port *port;
    uint32_t pushers; /* still at it */
    uint64_t taken, takes;
};

/* Native threads push; the loop sleeps in poll on its descriptor and takes a few at a time. */
static void
traffic_body(struct worker *self)
{
    struct traffic *t = self->shared;
    if (self->id > 0) {
        for (uintptr_t i = 0; i < PER_THREAD; i++) {
            struct cx_wakes wakes = {1, {granted(t->port, (uintptr_t)self->id << 32 | i)}};
            cx_wakes_deliver_native(&wakes);
        }
        return;
    }
    uintptr_t newest[HARNESS_MAX_THREADS] = {0};
    uint64_t all = (uint64_t)(self->count - 1) * PER_THREAD;
    while (t->taken < all) {
        struct pollfd fd = {.fd = t->port->event_fd, .events = POLLIN};
        uint64_t count;
        if (!CHECK_EQ(poll(&fd, 1, 10000), 1)) {
            return; /* nobody told the loop */
        }
        CHECK(read(t->port->event_fd, &count, sizeof count) == sizeof count);
        bool more = true;
        while (more) {
            struct cx_waiter *w = cx_port_take(t->port, 7, &more);
            t->takes++;
            while (w != NULL) {
                struct cx_waiter *next = w->next;
                uintptr_t tag = (uintptr_t)w->node.item, from = tag >> 32;
                CHECK(newest[from] <= (tag & 0xffffffffu));
                newest[from] = (tag & 0xffffffffu) + 1;
                t->taken++;
                cx_waiter_unref(w);
                w = next;
            }
        }
    }
}

static void
test_mpsc(void)
{
    struct traffic t = {.port = cx_port_new(NULL, NULL)};
    t.port->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    CHECK(t.port->event_fd >= 0);
    run_threads(4, traffic_body, &t);
    CHECK_EQ(t.taken, 3 * PER_THREAD);
    CHECK_EQ(t.port->refs, 1);
    cx_port_unref(t.port); /* closes the descriptor */
}

#endif

static void *dropped[4];
static int drops;

static void
note_drop(void *loop)
{
    dropped[drops++ % 4] = loop;
}

/* A loop is dropped by its own interpreter alone: not by one that lets a port of its own go, and not after
 * its interpreter has ended. */
static void
test_homes(void)
{
    int here, there;
    struct cx_port_home *one = cx_port_home_new(), *other = cx_port_home_new();
    cx_port_drop = note_drop;
    cx_port_tell(cx_port_new(&here, one)); /* the last count, let go without the interpreter */
    CHECK_EQ(drops, 0);
    cx_port_unref(cx_port_new(&there, other));
    CHECK(drops == 1 && dropped[0] == &there);
    cx_port_unref(cx_port_new(NULL, one));
    CHECK(drops == 3 && dropped[1] == &here && dropped[2] == NULL);

    cx_port_tell(cx_port_new(&here, one));
    struct cx_port *late = cx_port_new(&there, one), *last = cx_port_new(&there, one);
    cx_port_home_close(one);
    CHECK(drops == 4 && dropped[3] == &here);
    cx_port_tell(late);
    CHECK_EQ(drops, 4);
    cx_port_unref(last); /* an object that has outlived its module */
    CHECK(drops == 5 && dropped[0] == &there);
    cx_port_home_close(other);
    cx_port_drop = NULL;
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    cx_waiter_install();
    RUN(test_smoke);
    RUN(test_deliver);
#if defined(__linux__)
    RUN(test_mpsc);
#endif
    RUN(test_homes);
    return harness_end();
}

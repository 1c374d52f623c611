// SPDX-License-Identifier: MIT
/* Tags against a matrix: who has what, in random churn; names come, stay while held, and are reaped. */
#include "harness.h"

#include "core/tags.h"

#define ENTRIES 60
#define NAMES 20

static int
same(void *stored, void *probe)
{
    return stored == probe;
}

static void *
name_of(uint32_t i)
{
    return (void *)(uintptr_t)(i + 1);
}

static void
get_room(struct cx_tags *tags, uint32_t more)
{
    struct cx_tags_room room;
    while (cx_tags_plan(tags, more, ENTRIES, &room)) {
        CHECK(cx_tags_room_allocate(&room));
        cx_tags_adopt(tags, &room);
        cx_tags_room_free(&room);
    }
}

static uint32_t
hold(struct cx_tags *tags, uint32_t name)
{
    uint32_t tag = CX_NONE;
    get_room(tags, 0);
    if (cx_tags_hold(tags, name % 3, same, name_of(name), &tag) == CX_EMPTY) {
        tag = cx_tags_add(tags, name_of(name), name % 3);
    }
    return tag;
}

static bool has[ENTRIES][NAMES];

static bool
is_used(uint32_t name)
{
    bool any = false;
    for (int i = 0; i < ENTRIES; i++) {
        any = any || has[i][name];
    }
    return any;
}

/* Empties one tag through its members. */
static void
empty(struct cx_tags *tags, uint32_t name)
{
    uint32_t tag = hold(tags, name), entry;
    while ((entry = cx_tags_member(tags, tag)) != CX_NONE) {
        if (!CHECK(has[entry][name])) {
            break;
        }
        cx_tags_detach(tags, entry);
        memset(has[entry], 0, sizeof has[entry]);
    }
    CHECK(!is_used(name));
    cx_tags_release(tags, tag);
}

static void
test_against_a_matrix(void)
{
    struct cx_tags *tags = cx_tags_new();
    struct rng rng = {harness_seed};
    memset(has, 0, sizeof has);
    for (int i = 0; i < 20000; i++) {
        uint32_t entry = rng_below(&rng, ENTRIES), name = rng_below(&rng, NAMES), what;
        if ((what = rng_below(&rng, 10)) < 7) {
            uint32_t tag = hold(tags, name);
            get_room(tags, 1);
            cx_tags_attach(tags, tag, entry);
            has[entry][name] = true;
            cx_tags_release(tags, tag);
        }
        else if (what < 9) {
            cx_tags_detach(tags, entry);
            memset(has[entry], 0, sizeof has[entry]);
        }
        else {
            empty(tags, name);
        }
        void *names[3];
        unsigned reaped = rng_below(&rng, 4) == 0 ? cx_tags_reap(tags, names, 3) : 0;
        for (unsigned k = 0; k < reaped; k++) {
            CHECK(!is_used((uint32_t)(uintptr_t)names[k] - 1));
        }
    }
    for (uint32_t entry = 0; entry < ENTRIES; entry++) {
        cx_tags_detach(tags, entry);
    }
    void *names[NAMES];
    uint32_t left = tags->names.count;
    CHECK_EQ(cx_tags_reap(tags, names, NAMES), left);
    CHECK_EQ(tags->names.count, 0);
    CHECK_EQ(tags->spare, tags->used);
    cx_tags_free(tags);
}

static void
test_holders(void)
{
    struct cx_tags *tags = cx_tags_new();
    void *names[4];
    uint32_t a = hold(tags, 1), again = hold(tags, 1);
    CHECK_EQ(a, again);
    cx_tags_release(tags, a);
    CHECK_EQ(cx_tags_reap(tags, names, 4), 0);
    cx_tags_release(tags, a);
    CHECK_EQ(hold(tags, 1), a); /* stale, and back */
    CHECK_EQ(cx_tags_reap(tags, names, 4), 0);
    cx_tags_release(tags, a);
    CHECK_EQ(cx_tags_reap(tags, names, 4), 1);
    CHECK_EQ((uintptr_t)names[0], (uintptr_t)name_of(1));
    cx_tags_free(tags);
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    RUN(test_holders);
    RUN(test_against_a_matrix);
    return harness_end();
}

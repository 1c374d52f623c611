// SPDX-License-Identifier: MIT
/* Counters in a map: added to in a section where that will do, under the guard where not; taken out,
 * replaced, and looked at all at once meanwhile. */
#include "harness.h"

#include "map_objects.h"

static void *
word_of(uint64_t n)
{
    return (void *)(uintptr_t)(n << 1 | 1);
}

static uint64_t
number_of(const void *word)
{
    return (uintptr_t)word >> 1;
}

/* Makes the value of a key what `next` says of it, a word or NULL; how many it was, 0 if it was no word. */
static uint64_t
exchange_word(struct cx_map *m, uint64_t number, void *(*next)(uint64_t was))
{
    struct object *key = object_new(number, false);
    struct cx_map_pins none = {.room = 0};
    struct cx_map_op op = {.map = m, .hash = hash_of(number)};
    void *there = NULL;
    op.spare = malloc(sizeof *op.spare);
    CHECK(cx_map_begin(&op));
    CHECK(cx_map_seek(&op, key, object_same, &none));
    if (op.node == NULL) {
        if (next(0) != NULL) {
            cx_map_insert(&op, key, next(0));
            key = NULL;
        }
    }
    else {
        void *value;
        do {
            there = cx_load_relaxed(&op.node->value);
            value = next(number_of(there));
        } while (value == NULL ? !cx_map_remove(&op, there) : !cx_map_replace(&op, there, value));
    }
    cx_map_leave(&op);
    cx_map_settle(&op);
    if (key != NULL) {
        object_drop(key);
    }
    return there == NULL ? 0 : number_of(there);
}

static void *
one_more(uint64_t was)
{
    return word_of(was + 1);
}

static void *
none_at_all(uint64_t was)
{
    (void)was;
    return NULL;
}

/* True: it was done without the guard. */
static bool
add_one(struct cx_map *m, uint64_t number)
{
    struct object key = {1, number, false};
    struct cx_map_pins none = {.room = 0};
    bool is_done = false;
    cx_rcu_enter();
    struct cx_map_node *node = cx_map_find_node(m, hash_of(number), &key, object_same, &none);
    void *there = node == NULL ? NULL : cx_load_acquire(&node->value);
    while (!is_done && cx_map_is_word(there)) {
        is_done = cx_map_swap(m, node, &there, word_of(number_of(there) + 1));
    }
    cx_rcu_exit();
    if (!is_done) {
        (void)exchange_word(m, number, one_more);
    }
    return is_done;
}

static void
test_words(void)
{
    struct cx_map m;
    struct cx_map_node into[4];
    CHECK(cx_map_init(&m, &hooks, 1, 0));
    CHECK(!add_one(&m, 1)); /* there is none yet */
    CHECK(add_one(&m, 1) && add_one(&m, 1));
    set(&m, 2, 20);
    CHECK_EQ(cx_map_snapshot(&m, into, 4), 2);
    for (int i = 0; i < 2; i++) {
        bool is_counter = ((struct object *)into[i].key)->number == 1;
        CHECK_EQ(cx_map_is_word(into[i].value), is_counter);
        CHECK(!is_counter || number_of(into[i].value) == 3);
        object_drop(into[i].key);
        if (!is_counter) {
            object_drop(into[i].value);
        }
    }
    CHECK_EQ(exchange_word(&m, 1, none_at_all), 3);
    CHECK(!add_one(&m, 1) && add_one(&m, 1));
    set(&m, 1, 10); /* an object again */
    CHECK_EQ(get(&m, 1), 10);
    CHECK(!add_one(&m, 3));
    cx_map_fini(&m); /* with a word in it */
    CHECK_EQ(objects, 0);
}

/* --- many threads ----------------------------------------------------------------------------- */

#if !CX_WITH_GIL

#define COUNTERS 4
#define ADDERS 3

static struct {
    int64_t added, taken; /* atomic */
    int64_t left;         /* atomic; adders that have not ended */
} account;

static void
add_or_take(struct worker *self)
{
    struct cx_map *m = self->shared;
    if (self->id < ADDERS) {
        for (int i = 0; i < 20000; i++) {
            add_one(m, rng_below(&self->rng, COUNTERS));
            cx_fetch_add_relaxed(&account.added, 1);
        }
        cx_fetch_add_acq_rel(&account.left, -1);
        return;
    }
    struct cx_map_node into[COUNTERS];
    for (uint64_t round = 0; cx_load_acquire(&account.left) > 0; round++) {
        uint64_t taken = exchange_word(m, round % COUNTERS, none_at_all);
        cx_fetch_add_relaxed(&account.taken, (int64_t)taken);
        set(m, 10 + round % 500, round); /* the table grows under their hands */
        if (round % 16 == 0) {
            CHECK(cx_map_snapshot(m, into, 0) <= COUNTERS + 500);
        }
    }
}

/* What was added is there, or was taken. */
static void
test_words_meanwhile(void)
{
    struct cx_map m;
    account.added = account.taken = 0;
    account.left = ADDERS;
    CHECK(cx_map_init(&m, &hooks, 2, 0));
    run_threads(ADDERS + 1, add_or_take, &m);
    for (uint64_t i = 0; i < COUNTERS; i++) {
        account.taken += (int64_t)exchange_word(&m, i, none_at_all);
    }
    CHECK_EQ(account.taken, account.added);
    cx_map_fini(&m);
    CHECK_EQ(objects, 0);
}

/* One counter first, then the other: a snapshot has at most one step between them. */
static void
snapshot_or_add(struct worker *self)
{
    struct cx_map *m = self->shared;
    static struct cx_map_node into[4];
    if (self->id > 0) {
        for (uint64_t i = 0; i < 30000; i++) {
            add_one(m, 1);
            add_one(m, 2);
        }
        cx_fetch_add_acq_rel(&account.left, -1);
        return;
    }
    while (cx_load_acquire(&account.left) > 0) {
        size_t taken = cx_map_snapshot(m, into, 4);
        uint64_t value[3] = {0};
        for (size_t i = 0; i < taken; i++) {
            value[((struct object *)into[i].key)->number] = number_of(into[i].value);
            object_drop(into[i].key);
        }
        if (!CHECK(value[2] <= value[1] && value[1] <= value[2] + 1)) {
            return;
        }
    }
}

static void
test_words_stand_still(void)
{
    struct cx_map m;
    account.left = 1;
    CHECK(cx_map_init(&m, &hooks, 3, 0));
    run_threads(2, snapshot_or_add, &m);
    CHECK_EQ(exchange_word(&m, 1, none_at_all), 30000);
    CHECK_EQ(exchange_word(&m, 2, none_at_all), 30000);
    cx_map_fini(&m);
    CHECK_EQ(objects, 0);
}

#endif

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    cx_rcu_install();
    RUN(test_words);
#if !CX_WITH_GIL /* there the GIL is what these threads do without */
    RUN(test_words_meanwhile);
    RUN(test_words_stand_still);
#endif
    return harness_end();
}

// SPDX-License-Identifier: MIT
/* The concurrent map (core/map.h) and its reclamation (core/rcu.h, core/limbo.h): readers, writers, a
 * walker, through a change of tables.
 *
 * Keys are the numbers 0 to 7, and the top bits of their hashes.  A role is a string of steps:
 *   +k  set k      -k  remove k      ?k  read k, which must be there      ~k  read k, which may be
 *   c   clear      a   move the epoch on, if it can be
 *   *   walk: keys 0 and 1, which stay, are seen once each
 *   #k  add one to k, a word, in a section if that will do
 *   s   snapshot: key 0 was added to before 1      S   another, judged at the end
 *   r   look whether key 1 is as it was: then 0, added to before, was so first
 */
#include "core/mapfind.h"

#include "models.h"

#define ROLES 3
#define TORN "torn snapshot"

struct variant {
    uint32_t stripe_bits;
    const char *before; /* done by setup */
    const char *roles[ROLES];
};

static const struct variant variants[] = {
    [0] = {0, "+0+4", {"+2+5", "?0?4"}},    [1] = {0, "+0+1+2", {"+3", "?0?2", "+6"}},
    [2] = {0, "+0", {"-0+0", "~0~0"}},      [3] = {0, "+0", {"+0", "?0", "+0"}},
    [4] = {0, "+0+4", {"c", "~0~4", "+0"}}, [5] = {1, "+0+4+1", {"+5", "+2", "?0?4"}},
    [6] = {0, "+0+1", {"*", "+2+3"}},       [7] = {0, "+0+1+2", {"-2", "~2?1", "+5"}},
    [8] = {0, "+0", {"+0", "?0", "a"}},     [9] = {0, "#0#1", {"#0#1#0#1", "s"}},
    [10] = {0, "#0", {"#0#0", "-0"}},       [11] = {0, "#0", {"#0", "+0", "#0"}},
    [12] = {0, "", {"#0#1#0#1#0#1", "s"}},  [13] = {0, "#1#0", {"#0r", "#1", "S"}},
};

struct value {
    uint64_t key;
};

struct state {
    struct cx_map map;
    struct cx_rcu rcu;
    struct cx_rcu_slot *mine[MC_THREADS + 1]; /* of each thread; the last is setup's */
    int alive;                                /* values */
    uint64_t added, taken; /* to all words; words that were removed or replaced */
    uint64_t seen[8];      /* by the last snapshot */
    bool was_first;        /* key 0, seen by somebody */
};

static struct state *s;
static const struct variant *v;
struct cx_rcu *mc_rcu;
struct cx_rcu_slot **mc_rcu_slots;

struct cx_rcu_slot **
mc_rcu_mine(void)
{
    int self = mc_self();
    return &mc_rcu_slots[self < 0 || self >= MC_THREADS ? MC_THREADS : self];
}

static void *
take(size_t size)
{
    return calloc(1, size);
}

static void
give(void *p)
{
    free(p);
}

static bool
is_key(const void *object)
{
    return (uintptr_t)object <= 8;
}

static void
retain(void *object)
{
    mc_check(is_key(object) || ((struct value *)object)->key < 8, MC_FREED, "retained");
}

static void
drop(void *object)
{
    if (!is_key(object)) {
        s->alive--;
        ((struct value *)object)->key = 99;
        free(object);
    }
}

static uint32_t
weigh(void *object)
{
    (void)object;
    return CX_LIMBO_WEIGHT; /* every write tries to release */
}

static const struct cx_map_hooks hooks = {take, give, retain, drop, weigh};

static int
same(void *key, void *other)
{
    return key == other;
}

static uint64_t
number_of(void *value)
{
    return cx_map_is_word(value) ? (uintptr_t)value >> 1 : 0;
}

static void
change(uint64_t key, bool sets)
{
    struct cx_map_pins pins = {.room = 0};
    struct cx_map_op op = {.map = &s->map, .hash = key << 61};
    struct value *value = NULL;
    void *name = (void *)(uintptr_t)(key + 1); /* NULL is no key */
    if (sets) {
        op.spare = calloc(1, sizeof *op.spare);
        value = calloc(1, sizeof *value);
        value->key = key;
        s->alive++;
    }
    mc_check(cx_map_begin(&op), "no memory", "to begin");
    mc_check(cx_map_seek(&op, name, same, &pins), "nonsense", "every key can be told");
    if (op.node != NULL) {
        void *there;
        do {
            there = cx_load_relaxed(&op.node->value);
        } while (sets ? !cx_map_replace(&op, there, value) : !cx_map_remove(&op, there));
        s->taken += number_of(there);
    }
    else if (sets) {
        cx_map_insert(&op, name, value);
    }
    cx_map_leave(&op);
    cx_map_settle(&op);
}

static void *
word_of(uint64_t n)
{
    return (void *)(uintptr_t)(n << 1 | 1);
}

static void
add_under_guard(uint64_t key)
{
    struct cx_map_pins pins = {.room = 0};
    struct cx_map_op op = {.map = &s->map, .hash = key << 61};
    void *name = (void *)(uintptr_t)(key + 1), *there = NULL;
    op.spare = calloc(1, sizeof *op.spare);
    mc_check(cx_map_begin(&op), "no memory", "to begin");
    mc_check(cx_map_seek(&op, name, same, &pins), "nonsense", "every key can be told");
    if (op.node == NULL) {
        cx_map_insert(&op, name, word_of(1));
    }
    else {
        do {
            there = cx_load_relaxed(&op.node->value);
        } while (!cx_map_replace(&op, there, word_of(number_of(there) + 1)));
    }
    cx_map_leave(&op);
    cx_map_settle(&op);
}

static void
add(uint64_t key)
{
    struct cx_map_pins pins = {.room = 0};
    bool is_done = false;
    s->added++;
    cx_rcu_enter();
    struct cx_map_node *node =
        cx_map_find_node(&s->map, key << 61, (void *)(uintptr_t)(key + 1), same, &pins);
    void *there = node == NULL ? NULL : cx_load_acquire(&node->value);
    while (!is_done && cx_map_is_word(there)) {
        is_done = cx_map_swap(&s->map, node, &there, word_of(number_of(there) + 1));
    }
    cx_rcu_exit();
    if (!is_done) {
        add_under_guard(key);
    }
}

static void
snapshot(void)
{
    struct cx_map_node into[8];
    size_t taken = cx_map_snapshot(&s->map, into, 8);
    for (size_t i = 0; i < taken; i++) {
        s->seen[(uintptr_t)into[i].key - 1] = number_of(into[i].value);
    }
}

static uint64_t
word(uint64_t key)
{
    struct cx_map_pins pins = {.room = 0};
    cx_rcu_enter();
    void *value = cx_map_find(&s->map, key << 61, (void *)(uintptr_t)(key + 1), same, &pins);
    cx_rcu_exit();
    return number_of(value);
}

static void
look(uint64_t key, bool must)
{
    struct cx_map_pins pins = {.room = 0};
    cx_rcu_enter();
    struct value *value =
        cx_map_find(&s->map, key << 61, (void *)(uintptr_t)(key + 1), same, &pins);
    if (value != NULL) {
        /* A schedule point: what was found may be unlinked now, but not freed. */
        mc_check(cx_load_relaxed(&value->key) == key, MC_FREED, "a value under a reader's eyes");
    }
    cx_rcu_exit();
    mc_check(!must || value != NULL, MC_LOST_ITEM, "a key that was there all the time");
}

static void
walk(void)
{
    struct cx_map_node into[8];
    uint64_t cursor = 0;
    bool is_end = false;
    int seen[8] = {0};
    while (!is_end) {
        size_t taken = cx_map_scan(&s->map, &cursor, &is_end, into, 8);
        for (size_t i = 0; i < taken; i++) {
            seen[(uintptr_t)into[i].key - 1]++;
        }
    }
    for (int i = 0; i < 8; i++) {
        mc_check(seen[i] <= 1, MC_DUPLICATED, "a key in one walk");
    }
    mc_check(seen[0] == 1 && seen[1] == 1, MC_LOST_ITEM, "a key that a walk missed");
}

static void
perform(const char *steps)
{
    for (const char *step = steps; *step != '\0'; step++) {
        uint64_t key = (uint64_t)(step[1] - '0');
        switch (*step) {
        case '+':
        case '-':
            change(key, *step == '+');
            step++;
            break;
        case '?':
        case '~':
            look(key, *step == '?');
            step++;
            break;
        case '#':
            add(key);
            step++;
            break;
        case 's':
            snapshot();
            mc_check(s->seen[1] <= s->seen[0] && s->seen[0] <= s->seen[1] + 1, TORN, "0 and 1");
            break;
        case 'S':
            snapshot();
            break;
        case 'r':
            s->was_first = word(1) == 1;
            break;
        case 'c':
            mc_check(cx_map_clear(&s->map), "no memory", "to clear");
            break;
        case 'a':
            (void)cx_rcu_try_advance();
            break;
        default:
            walk();
        }
    }
}

static void
body(void *arg)
{
    perform(arg);
}

void
model_map_setup(void)
{
    v = &variants[mc_variant()];
    s = calloc(1, sizeof *s);
    mc_rcu = &s->rcu;
    mc_rcu_slots = s->mine;
    s->rcu.epoch = 1;
    s->rcu.is_fenced = true;
    mc_quiet(&s->rcu.is_fenced, sizeof s->rcu.is_fenced);
    mc_check(cx_map_init(&s->map, &hooks, v->stripe_bits, 0), "no memory", "for a map");
    mc_quiet(&s->map.generation, sizeof s->map.generation);
    mc_name(&s->map.table, sizeof s->map.table, "table");
    mc_name(&s->rcu.epoch, sizeof s->rcu.epoch, "epoch");
    perform(v->before);
    for (int i = 0; i < ROLES && v->roles[i] != NULL; i++) {
        mc_thread(v->roles[i], body, (void *)(uintptr_t)v->roles[i]);
    }
}

void
model_map_finish(bool deadlock)
{
    mc_check(!deadlock, MC_LOST_WAKEUP, "nobody waits here but for a guard");
    int64_t count = 0;
    uint64_t sum = s->taken;
    for (uint64_t key = 0; key < 8; key++) {
        struct cx_map_pins pins = {.room = 0};
        void *value = cx_map_find(&s->map, key << 61, (void *)(uintptr_t)(key + 1), same, &pins);
        count += value != NULL;
        sum += number_of(value);
    }
    mc_check(!s->was_first || s->seen[1] < 2 || s->seen[0] == 2, TORN, "1 without 0");
    mc_check(sum == s->added, MC_LOST_ITEM, "something that was added to a word");
    mc_check(count == cx_map_count(&s->map), "wrong count", "of entries");
    cx_map_fini(&s->map);
    mc_check(s->alive == 0, MC_LEAK, "a value");
}

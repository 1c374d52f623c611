// SPDX-License-Identifier: MIT
/* The table: look-ups against a model, chains of one hash, growing under readers, and what is removed
 * only after its grace period. */
#include "harness.h"

#include "core/limbo.h"
#include "core/lru.h"

#define KEYS 4000

struct item {
    struct cx_lru_entry entry;
    uint64_t key; /* atomic; 0 once it is freed */
};

static struct cx_lru lru;

/* Spreads into the upper bits; `alike` of them share a hash. */
static uint64_t
hash_of(uint64_t key, uint64_t alike)
{
    return key / alike * UINT64_C(0x9E3779B97F4A7C15);
}

static struct item *
item_new(uint64_t key, uint64_t alike)
{
    struct item *item = malloc(sizeof *item);
    item->entry = (struct cx_lru_entry){.hash = hash_of(key, alike), .pins = 1};
    item->key = key;
    return item;
}

static struct item *
find(uint64_t key, uint64_t alike)
{
    uint64_t hash = hash_of(key, alike);
    struct cx_lru_entry *entry = cx_lru_first(&lru, hash);
    for (; entry != NULL; entry = cx_lru_next(entry)) {
        if (entry->hash == hash && ((struct item *)entry)->key == key) {
            return (struct item *)entry;
        }
    }
    return NULL;
}

static void
grow(void)
{
    struct cx_lru_room room;
    CHECK(cx_lru_room(&room, lru.size, lru.capacity));
    cx_lru_grow(&lru, &room);
    cx_lru_room_free(&room);
}

static struct item *
insert(uint64_t key, uint64_t alike)
{
    while (cx_lru_is_tight(&lru)) {
        grow();
    }
    return (struct item *)cx_lru_insert(&lru, &item_new(key, alike)->entry, cx_stamp_alone());
}

static size_t
clear(void)
{
    struct cx_lru_room room;
    struct cx_lru_entry *entry = cx_lru_clear(&lru, &room), *next;
    size_t count = 0;
    for (; entry != NULL; entry = next, count++) {
        next = entry->removed;
        CHECK(!entry->is_in);
        free(entry);
    }
    cx_lru_room_free(&room);
    return count;
}

/* A key's place in the order of use, by turn; 0: it is not in. */
static void
against_model(size_t capacity, uint64_t keys, uint64_t alike)
{
    static uint64_t used[KEYS];
    struct rng rng = {harness_seed + capacity};
    size_t size = 0;
    memset(used, 0, sizeof used);
    cx_lru_init(&lru, capacity);
    for (uint64_t turn = 1; turn < 30000; turn++) {
        uint64_t key = rng_below(&rng, (uint32_t)keys);
        struct item *item = find(key, alike);
        if (!CHECK_EQ(item != NULL, used[key] != 0)) {
            break;
        }
        if (item != NULL && rng_below(&rng, 8) == 0) {
            cx_lru_remove(&lru, &item->entry);
            CHECK(!item->entry.is_in && item->entry.removed == NULL);
            free(item);
            used[key] = 0;
            size--;
            continue;
        }
        if (item != NULL) {
            cx_lru_use(&lru, &item->entry, cx_stamp_alone());
        }
        else if ((item = insert(key, alike)) != NULL) {
            uint64_t oldest = UINT64_MAX;
            for (uint64_t i = 0; i < keys; i++) {
                oldest = used[i] != 0 && used[i] < oldest ? used[i] : oldest;
            }
            CHECK_EQ(used[item->key], oldest);
            used[item->key] = 0;
            free(item);
        }
        else {
            size++;
        }
        used[key] = turn;
        CHECK_EQ(lru.size, size);
    }
    CHECK_EQ(clear(), size);
    CHECK_EQ(lru.size, 0);
    CHECK(find(1, alike) == NULL && cx_lru_memory(&lru) == 0);
    cx_lru_fini(&lru);
}

static void
test_model(void)
{
    against_model(1, 5, 1);
    against_model(3, 7, 1);
    against_model(40, 100, 1);
    against_model(40, 60, 20);
    against_model(SIZE_MAX, 500, 1);
}

/* New ones come last, and growing keeps the order. */
static void
test_order_in_chain(void)
{
    cx_lru_init(&lru, SIZE_MAX);
    for (uint64_t key = 0; key < 200; key++) {
        insert(key, 5);
    }
    for (uint64_t key = 0; key < 200; key += 5) {
        uint64_t expected = key;
        struct cx_lru_entry *entry = cx_lru_first(&lru, hash_of(key, 5));
        for (; entry != NULL; entry = cx_lru_next(entry)) {
            if (entry->hash == hash_of(key, 5)) {
                CHECK_EQ(((struct item *)entry)->key, expected++);
            }
        }
        CHECK_EQ(expected, key + 5);
    }
    CHECK_EQ(clear(), 200);
    cx_lru_fini(&lru);
}

static void
test_pins(void)
{
    struct item *item = item_new(1, 1);
    cx_lru_pin(&item->entry);
    CHECK(!cx_lru_unpin(&item->entry));
    CHECK(cx_lru_unpin(&item->entry));
    free(item);
}

static struct cx_limbo limbo;
static uint32_t is_over; /* atomic */

static void
release(struct cx_batch *batch)
{
    while (batch != NULL) {
        struct cx_batch *next = batch->next;
        for (uint32_t i = 0; i < batch->count; i++) {
            uintptr_t tagged = (uintptr_t)batch->item[i];
            if ((tagged & 1) == 0) {
                cx_store_relaxed(&((struct item *)tagged)->key, 0);
            }
            free((void *)(tagged & ~(uintptr_t)1));
        }
        free(batch);
        batch = next;
    }
}

static void
retire(void *pointer)
{
    if (!cx_limbo_has_room(&limbo, 1)) {
        cx_limbo_open(&limbo, cx_batch_new());
    }
    cx_limbo_add(&limbo, pointer, 5);
    if (cx_limbo_seal_if_due(&limbo)) {
        (void)cx_rcu_try_advance();
        release(cx_limbo_take(&limbo));
    }
}

/* Keys 1 to 100 stay in while others come, go and make the table grow. */
static void
write_and_read(struct worker *self)
{
    if (self->id == 0) {
        for (uint64_t key = 101; key < KEYS * 4; key++) {
            cx_lru_enter(&lru);
            while (cx_lru_is_tight(&lru)) {
                struct cx_lru_room room;
                CHECK(cx_lru_room(&room, lru.size, lru.capacity));
                cx_lru_grow(&lru, &room);
                if (room.buckets != NULL) {
                    retire((void *)((uintptr_t)room.buckets | 1));
                    room.buckets = NULL;
                }
                cx_lru_room_free(&room);
            }
            CHECK(cx_lru_insert(&lru, &item_new(key, 3)->entry, cx_stamp()) == NULL);
            if (key % 3 == 0) {
                struct item *item = find(key - 1, 3);
                cx_lru_remove(&lru, &item->entry);
                retire(item);
            }
            cx_lru_leave(&lru);
        }
        cx_store_release(&is_over, 1);
        return;
    }
    while (!cx_load_acquire(&is_over)) {
        uint64_t key = 1 + rng_below(&self->rng, 100), hash = hash_of(key, 3);
        bool found = false;
        uint32_t moves = cx_lru_moves(&lru);
        cx_rcu_enter();
        struct cx_lru_entry *entry = cx_lru_first(&lru, hash);
        for (; entry != NULL && !found; entry = cx_lru_next(entry)) {
            uint64_t seen = cx_load_relaxed(&((struct item *)entry)->key);
            CHECK(seen != 0);
            if ((found = entry->hash == hash && seen == key)) {
                cx_lru_use(&lru, entry, cx_stamp());
            }
        }
        cx_rcu_exit();
        CHECK(found || cx_lru_may_have_missed(&lru, moves));
    }
}

static void
test_readers(void)
{
    cx_lru_init(&lru, KEYS * 8);
    limbo = (struct cx_limbo){.open = NULL};
    cx_store_relaxed(&is_over, 0);
    for (uint64_t key = 1; key <= 100; key++) {
        insert(key, 3);
    }
    run_threads(3, write_and_read, NULL);
    release(cx_limbo_take_all(&limbo));
    clear();
    cx_lru_fini(&lru);
}

/* A child whose parent was forked inside the guard finds an empty table and can use it. */
static void
test_fork(void)
{
    cx_lru_init(&lru, 4);
    insert(1, 1);
    void *lost[] = {lru.buckets, lru.recency.heap, find(1, 1)};
    cx_lru_enter(&lru);
    cx_fork_generation_word++;
    cx_lru_enter(&lru);
    CHECK(find(1, 1) == NULL && lru.size == 0);
    insert(2, 1);
    cx_lru_leave(&lru);
    CHECK(find(2, 1) != NULL);
    cx_fork_generation_word++;
    cx_lru_enter(&lru); /* nobody was inside: it keeps what it has */
    CHECK(find(2, 1) != NULL);
    cx_lru_leave(&lru);
    clear();
    cx_lru_fini(&lru);
    for (size_t i = 0; i < 3; i++) {
        free(lost[i]); /* the child leaks it */
    }
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    cx_rcu_install();
    RUN(test_model);
    RUN(test_order_in_chain);
    RUN(test_pins);
    RUN(test_readers);
    RUN(test_fork);
    return harness_end();
}

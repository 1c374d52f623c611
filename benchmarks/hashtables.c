// SPDX-License-Identifier: MIT
/* core/map beside liburcu's cds_lfht, without Python: see hashtables.py.
 *
 * Built as a shared object and loaded at run time, as the extension is.  The keys are numbers, the values
 * are the keys.  concx_measure prints, in nanoseconds: a look-up among a thousand, among a million; an
 * insert of a million into an empty table; then, in milliseconds, the longest of those, and the longest
 * call while the table gets twice its buckets; and how many threads the table started meanwhile.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/mapfind.h"

#ifdef LFHT
#include <urcu/urcu-bp.h>
/* After the flavour. */
#include <urcu/rculfhash.h>
#endif

#define FEW 1000
#define MANY 1000000
#define LOOKUPS 4000000

static double
seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static uint64_t
hash_of(uint64_t number)
{
    return number * UINT64_C(0x9E3779B97F4A7C15);
}

#ifdef LFHT

struct entry {
    struct cds_lfht_node node;
    uint64_t key;
    void *value;
};

static struct cds_lfht *table;

static void
begin(void)
{
    table = cds_lfht_new_flavor(8, 8, 0, CDS_LFHT_AUTO_RESIZE | CDS_LFHT_ACCOUNTING,
                                &urcu_bp_flavor, NULL);
}

static int
same(struct cds_lfht_node *node, const void *key)
{
    return caa_container_of(node, struct entry, node)->key == *(const uint64_t *)key;
}

static void
insert(uint64_t key)
{
    struct entry *entry = malloc(sizeof *entry);
    *entry = (struct entry){.key = key, .value = (void *)(uintptr_t)key};
    cds_lfht_node_init(&entry->node);
    urcu_bp_read_lock();
    cds_lfht_add_replace(table, hash_of(key), same, &key, &entry->node);
    urcu_bp_read_unlock();
}

static void *
find(uint64_t key)
{
    struct cds_lfht_iter iter;
    urcu_bp_read_lock();
    cds_lfht_lookup(table, hash_of(key), same, &key, &iter);
    struct cds_lfht_node *node = cds_lfht_iter_get_node(&iter);
    void *value = node == NULL ? NULL : caa_container_of(node, struct entry, node)->value;
    urcu_bp_read_unlock();
    return value;
}

static double
resize(void)
{
    double began = seconds();
    cds_lfht_resize(table, 1UL << 21);
    return seconds() - began;
}

#else

static struct cx_map table;

static void
nothing(void *object)
{
    (void)object;
}

static uint32_t
no_weight(void *object)
{
    (void)object;
    return 0;
}

static const struct cx_map_hooks hooks = {malloc, free, nothing, nothing, no_weight};

static void
begin(void)
{
    cx_rcu_install();
    if (!cx_map_init(&table, &hooks, 6, 0)) {
        abort();
    }
}

static int
same(void *key, void *other)
{
    return key == other;
}

static void
insert(uint64_t key)
{
    struct cx_map_pins none = {.room = 0};
    struct cx_map_op op = {.map = &table, .hash = hash_of(key)};
    void *name = (void *)(uintptr_t)(2 * key);
    op.spare = malloc(sizeof *op.spare);
    if (!cx_map_begin(&op) || !cx_map_seek(&op, name, same, &none) || op.node != NULL) {
        abort();
    }
    cx_map_insert(&op, name, name);
    cx_map_leave(&op);
    cx_map_settle(&op);
}

static void *
find(uint64_t key)
{
    struct cx_map_pins none = {.room = 0};
    cx_rcu_enter();
    void *value = cx_map_find(&table, hash_of(key), (void *)(uintptr_t)(2 * key), same, &none);
    cx_rcu_exit();
    return value;
}

/* Every write moves some buckets, until all are moved. */
static double
resize(void)
{
    double begun = seconds();
    cx_map_resize(&table, &table.stripes[0], 2 * MANY);
    double longest = seconds() - begun;
    for (uint64_t key = 1; table.table->next != NULL; key = key % MANY + 1) {
        struct cx_map_pins none = {.room = 0};
        struct cx_map_op op = {.map = &table, .hash = hash_of(key)};
        void *name = (void *)(uintptr_t)(2 * key);
        double began = seconds();
        if (!cx_map_begin(&op) || !cx_map_seek(&op, name, same, &none) ||
            !cx_map_replace(&op, name, name)) {
            abort();
        }
        cx_map_leave(&op);
        cx_map_settle(&op);
        double took = seconds() - began;
        longest = took > longest ? took : longest;
    }
    return longest;
}

#endif

static double
lookups(uint64_t among)
{
    double began = seconds();
    uint64_t found = 0, key = 1;
    for (int i = 0; i < LOOKUPS; i++) {
        key = (key * 1664525 + 1013904223) & UINT32_MAX;
        found += find(1 + key % among) != NULL;
    }
    if (found != LOOKUPS) {
        abort();
    }
    return 1e9 * (seconds() - began) / LOOKUPS;
}

static int
threads(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/task");
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        count += entry->d_name[0] != '.';
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return count;
}

__attribute__((visibility("default"))) int concx_measure(void);

int
concx_measure(void)
{
    double longest = 0, few = 0, spent = 0;
    int before = threads();
    begin();
    for (uint64_t key = 1; key <= MANY; key++) {
        double began = seconds();
        insert(key);
        double took = seconds() - began;
        spent += took;
        longest = took > longest ? took : longest;
        if (key == FEW) {
            few = lookups(FEW);
        }
    }
    double many = lookups(MANY), resizing = resize();
    printf("%.2f %.2f %.2f %.3f %.3f %d\n", few, many, 1e9 * spent / MANY, 1e3 * longest,
           1e3 * resizing, threads() - before);
    fflush(stdout);
    return 0;
}

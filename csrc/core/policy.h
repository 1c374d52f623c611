// SPDX-License-Identifier: MIT
/* core/policy.h - which entry of a full cache has to go: the interface of all policies.
 *
 * A policy keeps the entries that may be evicted in chains, linked by numbers of slots; those that may
 * not (weight 0) are in none.  A chain knows the weight of its entries; without weights every entry
 * weighs 1, so that shares of a cache are shares of its weight in either case.
 *
 *   hit      an entry was used.  A policy for which two bits of the entry are enough has no such
 *            function: the cache counts up to `most` in the entry's `hot` by itself.
 *   expect   a key that is not there is about to be inserted, before the evictions for it: whether the
 *            policy remembers it
 *   insert   a new entry, after those evictions, with that answer
 *   victim   chooses the entry to go next, which is then removed; CX_NONE: no chain has any
 *   leave    a victim is about to be removed, for policies that remember what has left
 *   chain_of where the entry is linked, for policies that do not keep that in the entry
 *   memory   of sketches and ghosts, for that many entries; `allocate` outside the exclusion
 *
 * What a hit writes decides what becomes of hits at once: fifo writes nothing; sieve and s3fifo write two
 * bits of their own entry, without a lock, so a lost update costs one hit's worth of warmth; lrupolicy,
 * lfu and tinylfu move the entry within their chains, tinylfu counts in its sketch too, and so their
 * hits wait in core/reads.h for whoever has the exclusion next, who tells them in the order of time.
 *
 * Progress:        hit, insert, remove: O(1).  victim: O(1) amortised, at most CX_POLICY_LOOKS steps.
 * Synchronization: the caller excludes every operation, but for cx_memory_allocate and cx_memory_free.
 */
#ifndef CX_CORE_POLICY_H
#define CX_CORE_POLICY_H

#include "core/entries.h"
#include "core/ghost.h"
#include "core/sketch.h"

#define CX_POLICY_LOOKS                                                                            \
    1024 /* entries that one choice spares; then the next one goes, warm or not */

struct cx_chain {
    uint32_t newest, oldest;
    int64_t weight;
};

struct cx_policy;

struct cx_policy_kind {
    const char *name;
    uint8_t chains;
    uint8_t coldest; /* the chain that is evicted from first; coldest() goes on from there, round */
    uint8_t most;    /* what a hit counts up to in the entry */
    bool has_ghosts, has_sketch;
    void (*hit)(struct cx_policy *policy, uint32_t at);
    bool (*expect)(struct cx_policy *policy, uint64_t hash);
    void (*insert)(struct cx_policy *policy, uint32_t at, bool is_known);
    uint32_t (*victim)(struct cx_policy *policy);
    void (*leave)(struct cx_policy *policy, uint32_t at);
    unsigned (*chain_of)(const struct cx_policy *policy, uint32_t at);
};

extern const struct cx_policy_kind cx_policy_s3fifo, cx_policy_lru, cx_policy_tinylfu,
    cx_policy_sieve, cx_policy_lfu, cx_policy_fifo;

/* What a policy remembers about entries that are not there. */
struct cx_memory {
    struct cx_ghost ghost;
    struct cx_sketch sketch;
    uint32_t capacity;
};

struct cx_policy {
    const struct cx_policy_kind *kind;
    struct cx_entries *entries;
    struct cx_chain *chains;
    int64_t weight;    /* of all chains */
    uint32_t hand;     /* sieve: where it looks next; CX_NONE: at the oldest */
    uint32_t sequence; /* insertions, hits or halvings, as the policy counts */
    uint32_t uses;     /* lfu: since the last halving */
    uint64_t random;
    struct cx_memory memory;
};

/* The kind of that name; NULL: there is none. */
const struct cx_policy_kind *cx_policy_named(const char *name, size_t length);

CX_NODISCARD bool cx_policy_init(struct cx_policy *policy, const struct cx_policy_kind *kind,
                                 struct cx_entries *entries);
void cx_policy_fini(struct cx_policy *policy);
/* Forgets all entries, as they have gone at once. */
void cx_policy_reset(struct cx_policy *policy);

CX_NODISCARD bool cx_memory_allocate(struct cx_memory *memory, const struct cx_policy_kind *kind,
                                     uint32_t capacity);
void cx_memory_free(struct cx_memory *memory);
/* Takes over a larger memory; `fresh` then holds the old one. */
void cx_policy_adopt(struct cx_policy *policy, struct cx_memory *fresh);

/* Into a chain as its newest. */
void cx_chain_push(struct cx_policy *policy, unsigned chain, uint32_t at);
/* An entry of a chain has another weight. */
void cx_chain_reweigh(struct cx_policy *policy, uint32_t at, int64_t more);
/* Out of its chain, or of none if it is pinned. */
void cx_chain_leave(struct cx_policy *policy, uint32_t at);
/* From its chain to the newest end of that one. */
static inline void
cx_chain_move(struct cx_policy *policy, unsigned chain, uint32_t at)
{
    cx_chain_leave(policy, at);
    cx_chain_push(policy, chain, at);
}

/* To the newest end of the chain that it is in. */
static inline void
cx_chain_renew(struct cx_policy *policy, struct cx_chain *chain, uint32_t at)
{
    struct cx_entry *entries = policy->entries->at, *entry = &entries[at];
    uint32_t newer = entry->prev;
    if (newer != CX_NONE) {
        entries[newer].next = entry->next;
        *(entry->next != CX_NONE ? &entries[entry->next].prev : &chain->oldest) = newer;
        entry->prev = CX_NONE;
        entry->next = chain->newest;
        entries[chain->newest].prev = at;
        chain->newest = at;
    }
}

/* Entries in the order in which they would go if nothing were used any more, roughly but for fifo and
 * lru; from the last one's slot to the next, CX_NONE before the first and after the last. */
uint32_t cx_policy_colder(const struct cx_policy *policy, uint32_t at);
uint32_t cx_policy_hotter(const struct cx_policy *policy, uint32_t at);

#endif

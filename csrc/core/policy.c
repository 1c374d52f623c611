// SPDX-License-Identifier: MIT
#include "core/policy.h"

#include <stdlib.h>
#include <string.h>

const struct cx_policy_kind *
cx_policy_named(const char *name, size_t length)
{
    static const struct cx_policy_kind *const kinds[] = {&cx_policy_s3fifo,  &cx_policy_lru,
                                                         &cx_policy_tinylfu, &cx_policy_sieve,
                                                         &cx_policy_lfu,     &cx_policy_fifo};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strlen(kinds[i]->name) == length && memcmp(kinds[i]->name, name, length) == 0) {
            return kinds[i];
        }
    }
    return NULL;
}

bool
cx_policy_init(struct cx_policy *policy, const struct cx_policy_kind *kind,
               struct cx_entries *entries)
{
    *policy = (struct cx_policy){.kind = kind, .entries = entries};
    policy->random = (uint64_t)(uintptr_t)policy | 1;
    policy->chains = malloc(kind->chains * sizeof *policy->chains);
    if (policy->chains != NULL) {
        cx_policy_reset(policy);
    }
    return policy->chains != NULL;
}

void
cx_policy_fini(struct cx_policy *policy)
{
    free(policy->chains);
    policy->chains = NULL;
    cx_memory_free(&policy->memory);
}

void
cx_policy_reset(struct cx_policy *policy)
{
    for (unsigned i = 0; i < policy->kind->chains; i++) {
        policy->chains[i] = (struct cx_chain){.newest = CX_NONE, .oldest = CX_NONE};
    }
    policy->weight = 0;
    policy->hand = CX_NONE;
}

bool
cx_memory_allocate(struct cx_memory *memory, const struct cx_policy_kind *kind, uint32_t capacity)
{
    *memory = (struct cx_memory){.capacity = capacity};
    /* As many ghosts as the main chain has entries, nine tenths.  A cache of a few entries has them
     * too: without, s3fifo hits 36 % where it hits 94 %, of 31 entries when the keys change. */
    bool ok = !kind->has_ghosts ||
              cx_ghost_allocate(&memory->ghost, (uint32_t)((uint64_t)capacity * 9 / 10 + 1));
    ok = ok && (!kind->has_sketch || cx_sketch_allocate(&memory->sketch, capacity));
    if (!ok) {
        cx_memory_free(memory);
    }
    return ok;
}

void
cx_memory_free(struct cx_memory *memory)
{
    cx_ghost_fini(&memory->ghost);
    cx_sketch_fini(&memory->sketch);
}

void
cx_policy_adopt(struct cx_policy *policy, struct cx_memory *fresh)
{
    struct cx_memory old = policy->memory;
    if (fresh->capacity <= old.capacity) {
        return;
    }
    if (fresh->sketch.words != NULL) {
        cx_sketch_inherit(&fresh->sketch, &old.sketch);
    }
    policy->memory = *fresh;
    *fresh = old;
}

static unsigned
chain_of(const struct cx_policy *policy, uint32_t at)
{
    return policy->kind->chain_of != NULL ? policy->kind->chain_of(policy, at)
                                          : policy->entries->at[at].chain;
}

void
cx_chain_push(struct cx_policy *policy, unsigned chain, uint32_t at)
{
    struct cx_chain *c = &policy->chains[chain];
    struct cx_entry *entries = policy->entries->at;
    int64_t weight = cx_entries_weight(policy->entries, at);
    entries[at].chain = (uint8_t)chain;
    entries[at].prev = CX_NONE;
    entries[at].next = c->newest;
    if (c->newest != CX_NONE) {
        entries[c->newest].prev = at;
    }
    else {
        c->oldest = at;
    }
    c->newest = at;
    c->weight += weight;
    policy->weight += weight;
}

void
cx_chain_leave(struct cx_policy *policy, uint32_t at)
{
    struct cx_entry *entries = policy->entries->at, *entry = &entries[at];
    if (entry->chain == CX_PINNED) {
        return;
    }
    struct cx_chain *c = &policy->chains[chain_of(policy, at)];
    int64_t weight = cx_entries_weight(policy->entries, at);
    if (policy->hand == at) {
        policy->hand = entry->prev;
    }
    *(entry->prev != CX_NONE ? &entries[entry->prev].next : &c->newest) = entry->next;
    *(entry->next != CX_NONE ? &entries[entry->next].prev : &c->oldest) = entry->prev;
    entry->chain = CX_PINNED;
    c->weight -= weight;
    policy->weight -= weight;
}

void
cx_chain_reweigh(struct cx_policy *policy, uint32_t at, int64_t more)
{
    policy->chains[chain_of(policy, at)].weight += more;
    policy->weight += more;
}

uint32_t
cx_policy_colder(const struct cx_policy *policy, uint32_t at)
{
    unsigned chains = policy->kind->chains, first = policy->kind->coldest, k = 0;
    if (at != CX_NONE) {
        if (policy->entries->at[at].prev != CX_NONE) {
            return policy->entries->at[at].prev;
        }
        k = (chain_of(policy, at) + chains - first) % chains + 1;
    }
    for (; k < chains; k++) {
        uint32_t oldest = policy->chains[(first + k) % chains].oldest;
        if (oldest != CX_NONE) {
            return oldest;
        }
    }
    return CX_NONE;
}

uint32_t
cx_policy_hotter(const struct cx_policy *policy, uint32_t at)
{
    unsigned chains = policy->kind->chains, first = policy->kind->coldest, k = chains;
    if (at != CX_NONE) {
        if (policy->entries->at[at].next != CX_NONE) {
            return policy->entries->at[at].next;
        }
        k = (chain_of(policy, at) + chains - first) % chains;
    }
    while (k-- > 0) {
        uint32_t newest = policy->chains[(first + k) % chains].newest;
        if (newest != CX_NONE) {
            return newest;
        }
    }
    return CX_NONE;
}

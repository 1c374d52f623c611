// SPDX-License-Identifier: MIT
/* Least frequently used, with ageing: of the entries with the fewest uses the one that came to that
 * number first.
 *
 * There is a chain for each number of uses from 0 to 63.  After ten uses per entry all numbers are
 * halved, by joining chains two by two, in the time of 64 chains: an entry keeps the number that it had
 * at its last use and how many halvings there had been, and its chain follows from both.
 *
 * A hit moves its entry to the next chain.  Hits without the exclusion are noted (core/reads.h), none is
 * lost, and all are counted before anything is evicted, in the order of their stamps: the victim is one
 * that this order could have had one by one. */
#include "core/policy.h"

#define CHAINS 64
#define USES 6         /* bits of `number`; the others count halvings */
#define FEWEST_USES 64 /* between halvings */

static unsigned
uses_of(const struct cx_policy *policy, uint32_t at)
{
    uint32_t number = policy->entries->at[at].number;
    uint32_t halvings = (policy->sequence - (number >> USES)) & (UINT32_MAX >> USES);
    return halvings >= USES ? 0 : (number & (CHAINS - 1)) >> halvings;
}

static void
enlist(struct cx_policy *policy, uint32_t at, unsigned uses)
{
    cx_chain_push(policy, uses, at);
    policy->entries->at[at].number = policy->sequence << USES | uses;
}

/* `upper` becomes the newer end of `lower`. */
static void
join(const struct cx_policy *policy, struct cx_chain *lower, struct cx_chain *upper)
{
    struct cx_entry *entries = policy->entries->at;
    if (lower->oldest == CX_NONE) {
        *lower = *upper;
    }
    else if (upper->oldest != CX_NONE) {
        entries[upper->oldest].next = lower->newest;
        entries[lower->newest].prev = upper->oldest;
        lower->newest = upper->newest;
        lower->weight += upper->weight;
    }
}

static void
halve(struct cx_policy *policy)
{
    struct cx_chain *chains = policy->chains;
    for (size_t i = 0; i < CHAINS / 2; i++) {
        join(policy, &chains[2 * i], &chains[2 * i + 1]);
        chains[i] = chains[2 * i];
    }
    for (unsigned i = CHAINS / 2; i < CHAINS; i++) {
        chains[i] = (struct cx_chain){.newest = CX_NONE, .oldest = CX_NONE};
    }
    policy->sequence++;
    policy->uses = 0;
}

static void
count_use(struct cx_policy *policy)
{
    uint64_t most = (uint64_t)policy->entries->count * 10;
    if (++policy->uses >= (most > FEWEST_USES ? most : FEWEST_USES)) {
        halve(policy);
    }
}

static void
hit(struct cx_policy *policy, uint32_t at)
{
    unsigned uses = uses_of(policy, at);
    cx_chain_leave(policy, at);
    enlist(policy, at, uses < CHAINS - 1 ? uses + 1 : uses);
    count_use(policy);
}

static void
insert(struct cx_policy *policy, uint32_t at, bool is_known)
{
    (void)is_known;
    enlist(policy, at, 0);
    count_use(policy);
}

static uint32_t
victim(struct cx_policy *policy)
{
    for (unsigned i = 0; i < CHAINS; i++) {
        if (policy->chains[i].oldest != CX_NONE) {
            return policy->chains[i].oldest;
        }
    }
    return CX_NONE;
}

const struct cx_policy_kind cx_policy_lfu = {.name = "lfu",
                                             .chains = CHAINS,
                                             .hit = hit,
                                             .insert = insert,
                                             .victim = victim,
                                             .chain_of = uses_of};

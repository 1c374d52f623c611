// SPDX-License-Identifier: MIT
/* S3-FIFO, after J. Yang et al., "FIFO Queues are All You Need for Cache Eviction" (SOSP 2023).
 *
 * A newcomer enters a small queue, a tenth of the cache.  At its end an entry with two hits or more goes
 * to the main queue, its count begun anew; the others leave, and a ghost of each is kept: who comes back
 * while its ghost is there goes to the main queue at once.  At the end of the main queue an entry with a
 * count goes round again with one less.  The small queue is evicted from while it has its tenth, by the
 * weight of what is there now, so that the shares hold whichever bound is the one that is met.
 *
 * A hit counts to three in two bits of its own entry, without the exclusion.  Hits at once may count as one; a hit beside a
 * visit of the eviction may be lost.  Either way the entry's warmth is off by one, and the victim one
 * that fewer hits would have made. */
#include "core/policy.h"

enum { SMALL, MAIN };

#define PROMOTED_AT 2 /* hits: at one, scans of pairs fill the main queue */

static bool
expect(struct cx_policy *policy, uint64_t hash)
{
    return cx_ghost_take(&policy->memory.ghost, hash);
}

static void
insert(struct cx_policy *policy, uint32_t at, bool is_known)
{
    cx_chain_push(policy, is_known ? MAIN : SMALL, at);
}

static bool
main_goes(const struct cx_policy *policy)
{
    return policy->chains[SMALL].oldest == CX_NONE ||
           policy->chains[MAIN].weight > policy->weight - policy->weight / 10;
}

static uint32_t
victim(struct cx_policy *policy)
{
    struct cx_entry *entries = policy->entries->at;
    for (int looks = 0;; looks++) {
        unsigned chain = main_goes(policy) ? MAIN : SMALL;
        uint32_t at = policy->chains[chain].oldest;
        uint8_t least = chain == SMALL ? PROMOTED_AT : 1, hot;
        if (at == CX_NONE || (hot = cx_load_relaxed(&entries[at].hot)) < least ||
            looks == CX_POLICY_LOOKS) {
            return at;
        }
        cx_store_relaxed(&entries[at].hot, (uint8_t)(chain == SMALL ? 0 : hot - 1));
        cx_chain_move(policy, MAIN, at);
    }
}

static void
leave(struct cx_policy *policy, uint32_t at)
{
    if (policy->entries->at[at].chain == SMALL) {
        cx_ghost_add(&policy->memory.ghost, policy->entries->at[at].hash);
    }
}

const struct cx_policy_kind cx_policy_s3fifo = {.name = "s3fifo",
                                                .chains = 2,
                                                .most = 3,
                                                .has_ghosts = true,
                                                .expect = expect,
                                                .insert = insert,
                                                .victim = victim,
                                                .leave = leave};

// SPDX-License-Identifier: MIT
/* SIEVE, after Y. Zhang et al., "SIEVE is Simpler than LRU" (NSDI 2024), with a guard.
 *
 * One chain in the order of insertion and a hand that goes from old to new: it spares, and cools, what
 * was hit since its last visit, and takes the first entry that was not.  Where entries are used again
 * soon after they came and never later, the bare hand catches up with the newest ones and takes each
 * before its second use (0.7 % hits where LRU has 33.3 %).  So the hand may not enter the newest tenth,
 * by numbers of insertion: it starts again at the oldest entry.
 *
 * A hit sets one bit of its own entry, without the exclusion.  Two hits at once set the same bit; a hit beside the hand's visit
 * may be lost or count for the next round, then the victim is one that a serial order could have had. */
#include "core/policy.h"

static void
insert(struct cx_policy *policy, uint32_t at, bool is_known)
{
    (void)is_known;
    policy->entries->at[at].number = policy->sequence++;
    cx_chain_push(policy, 0, at);
}

static uint32_t
victim(struct cx_policy *policy)
{
    struct cx_entry *entries = policy->entries->at;
    uint32_t newest = policy->entries->count / 10;
    uint32_t at = policy->hand;
    for (int looks = 0;; looks++) {
        if (at == CX_NONE || policy->sequence - entries[at].number <= newest) {
            at = policy->chains[0].oldest;
        }
        if (at == CX_NONE || cx_load_relaxed(&entries[at].hot) == 0 || looks == CX_POLICY_LOOKS) {
            break;
        }
        cx_store_relaxed(&entries[at].hot, (uint8_t)0);
        at = entries[at].prev;
    }
    policy->hand = at; /* its removal moves the hand on */
    return at;
}

const struct cx_policy_kind cx_policy_sieve = {
    .name = "sieve", .chains = 1, .most = 1, .insert = insert, .victim = victim};

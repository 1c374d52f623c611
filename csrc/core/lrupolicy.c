// SPDX-License-Identifier: MIT
/* Least recently used, strictly.  A hit moves its entry to the newest end of the one chain.  Hits without
 * the exclusion are noted with a stamp (core/reads.h) and told in the order of stamps before anything is
 * evicted: the victim is the entry whose last use is oldest, and of uses that nothing orders either may
 * count as the older. */
#include "core/policy.h"

static void
touch(struct cx_policy *policy, uint32_t at)
{
    cx_chain_renew(policy, &policy->chains[0], at);
}

static void
insert(struct cx_policy *policy, uint32_t at, bool is_known)
{
    (void)is_known;
    cx_chain_push(policy, 0, at);
}

static uint32_t
victim(struct cx_policy *policy)
{
    return policy->chains[0].oldest;
}

const struct cx_policy_kind cx_policy_lru = {
    .name = "lru", .chains = 1, .hit = touch, .insert = insert, .victim = victim};

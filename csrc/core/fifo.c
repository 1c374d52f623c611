// SPDX-License-Identifier: MIT
/* First in, first out.  A hit writes nothing, so threads cannot change the victim by reading: it is the
 * entry that was inserted first, in the order in which inserts took the exclusion.  Replacing a value
 * is no insertion. */
#include "core/policy.h"

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

const struct cx_policy_kind cx_policy_fifo = {
    .name = "fifo", .chains = 1, .insert = insert, .victim = victim};

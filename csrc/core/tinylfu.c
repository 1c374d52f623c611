// SPDX-License-Identifier: MIT
/* W-TinyLFU, after G. Einziger, R. Friedman and B. Manes, "TinyLFU: A Highly Efficient Cache Admission
 * Policy" (2017), with a window of a tenth.
 *
 * A newcomer enters the window, an LRU chain.  The oldest of the window and the oldest of the main part
 * then meet, and the one that the sketch has seen less often goes; a stranger that was seen six times or
 * more may win against a higher count once in 128 times, so that nobody can keep a cache filled with
 * keys whose counts he has driven up.  The main part is an LRU chain on probation and, for what was hit
 * there, a protected one of four fifths.
 *
 * A hit moves its entry and counts in the sketch.  Hits without the exclusion are noted (core/reads.h),
 * none is lost, and all are counted before anything is evicted, in the order of their stamps: the victim
 * is one that this order could have had one by one. */
#include "core/policy.h"

enum { PROBATION, WINDOW, PROTECTED };

#define BRAVE 6 /* sightings of a stranger that may win by chance */

static int64_t
window_share(const struct cx_policy *policy)
{
    int64_t share = policy->weight / 10;
    return share > 1 ? share : 1;
}

static void
hit(struct cx_policy *policy, uint32_t at)
{
    uint8_t chain = policy->entries->at[at].chain;
    cx_sketch_see(&policy->memory.sketch, policy->entries->at[at].hash);
    if (chain != PROBATION) {
        cx_chain_renew(policy, &policy->chains[chain], at);
        return;
    }
    cx_chain_move(policy, PROTECTED, at);
    int64_t most = (policy->weight - window_share(policy)) * 4 / 5;
    while (policy->chains[PROTECTED].weight > most && policy->chains[PROTECTED].oldest != at) {
        cx_chain_move(policy, PROBATION, policy->chains[PROTECTED].oldest);
    }
}

static bool
expect(struct cx_policy *policy, uint64_t hash)
{
    cx_sketch_see(&policy->memory.sketch, hash);
    return false;
}

static void
insert(struct cx_policy *policy, uint32_t at, bool is_known)
{
    (void)is_known;
    cx_chain_push(policy, WINDOW, at);
    /* While the cache fills nobody has to go, and the main part takes what the window cannot. */
    while (policy->chains[WINDOW].weight > window_share(policy) &&
           policy->chains[WINDOW].oldest != at) {
        cx_chain_move(policy, PROBATION, policy->chains[WINDOW].oldest);
    }
}

static bool
is_lucky(struct cx_policy *policy)
{
    policy->random ^= policy->random << 13;
    policy->random ^= policy->random >> 7;
    policy->random ^= policy->random << 17;
    return (policy->random >> 32 & 127) == 0;
}

static bool
wins(struct cx_policy *policy, uint32_t stranger, uint32_t resident)
{
    const struct cx_sketch *sketch = &policy->memory.sketch;
    unsigned mine = cx_sketch_count(sketch, policy->entries->at[stranger].hash);
    unsigned theirs = cx_sketch_count(sketch, policy->entries->at[resident].hash);
    return mine > theirs || (mine >= BRAVE && is_lucky(policy));
}

static uint32_t
victim(struct cx_policy *policy)
{
    const struct cx_chain *chains = policy->chains;
    uint32_t stranger = chains[WINDOW].oldest;
    uint32_t resident = chains[PROBATION].oldest;
    resident = resident != CX_NONE ? resident : chains[PROTECTED].oldest;
    if (resident == CX_NONE) {
        return stranger;
    }
    if (stranger == CX_NONE || chains[WINDOW].weight < window_share(policy)) {
        return resident;
    }
    if (!wins(policy, stranger, resident)) {
        return stranger;
    }
    cx_chain_move(policy, PROBATION, stranger);
    return resident;
}

const struct cx_policy_kind cx_policy_tinylfu = {.name = "tinylfu",
                                                 .chains = 3,
                                                 .has_sketch = true,
                                                 .hit = hit,
                                                 .expect = expect,
                                                 .insert = insert,
                                                 .victim = victim};

// SPDX-License-Identifier: MIT
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getcpu */
#endif
#include "core/worklink.h"

#include <sched.h>
#include <string.h>
#include <sys/mman.h>

#include "core/clock.h"

#define MASK (CX_LANE_SLOTS - 1)
#define PAGE UINT64_C(4096)
#define FIRST_LARGE (UINT64_C(1) << 20)

_Static_assert((CX_LANE_SLOTS & MASK) == 0, "a power of two");
_Static_assert(sizeof(struct cx_lane_slot) == CX_CACHELINE, "a slot is a cache line");

static uint64_t
rounded(uint64_t size, uint64_t step)
{
    return (size + step - 1) / step * step;
}

/* Segments are mapped in pages of the system; 64 KiB is a multiple of any. */
static uint64_t
shared_bytes(void)
{
    return rounded(CX_SHM_HEADER + sizeof(struct cx_worklink_shared), UINT64_C(64) << 10);
}

uint64_t
cx_worklink_mapped(void)
{
    return shared_bytes() + 2 * CX_LANE_BYTES;
}

uint64_t
cx_worklink_size(void)
{
    return cx_worklink_mapped() + 2 * CX_LANE_LARGE;
}

static void
lane_init(struct cx_lane *lane, struct cx_shm *shm, struct cx_lane_shared *shared, int which)
{
    uint64_t i = (uint64_t)which;
    *lane = (struct cx_lane){.shared = shared, .area = *shm};
    lane->small_at = shared_bytes() + i * CX_LANE_BYTES;
    lane->small = shm->base + lane->small_at;
    lane->large_at = cx_worklink_mapped() + i * CX_LANE_LARGE;
    lane->area.size = lane->large_at + CX_LANE_LARGE;
}

static void
reset_arena(struct cx_lane *lane)
{
    cx_shmarena_init(&lane->arena, &lane->area);
    lane->arena.next = lane->arena.filled = lane->large_at;
}

void
cx_worklink_attach(struct cx_worklink *link, struct cx_shm *shm)
{
    link->shm = shm;
    link->shared = (struct cx_worklink_shared *)(void *)(shm->base + CX_SHM_HEADER);
    lane_init(&link->tasks, shm, &link->shared->tasks, 0);
    lane_init(&link->results, shm, &link->shared->results, 1);
    reset_arena(&link->results);
}

enum cx_status
cx_worklink_create(struct cx_worklink *link, struct cx_shm *shm)
{
    if (!cx_shm_fill(shm, 0, cx_worklink_mapped())) {
        return CX_OSERROR;
    }
    cx_worklink_attach(link, shm);
    reset_arena(&link->tasks);
    link->shared->owner = cx_owner_self();
    CX_KILL_POINT();
    return CX_OK;
}

void
cx_worklink_tell(struct cx_worklink *link, enum cx_work_state state)
{
    CX_KILL_POINT();
    cx_store_release(&link->shared->state, (uint32_t)state);
    CX_KILL_POINT();
}

void
cx_worklink_stop(struct cx_worklink *link)
{
    CX_KILL_POINT();
    cx_store_release(&link->shared->stop, 1);
    CX_KILL_POINT();
    cx_shmbell_ring(&link->tasks.shared->bell, 1);
}

static void
lane_fini(struct cx_lane *lane)
{
    if (lane->large != NULL) {
        munmap(lane->large, lane->large_mapped);
        lane->large = NULL;
    }
    if (lane->arena.shm != NULL) {
        cx_shmarena_fini(&lane->arena);
    }
}

void
cx_worklink_fini(struct cx_worklink *link)
{
    lane_fini(&link->tasks);
    lane_fini(&link->results);
}

/* Maps the area of large messages up to an offset of the segment. */
static bool
map_large(struct cx_lane *lane, uint64_t end)
{
    uint64_t need = end - lane->large_at, size = lane->large_mapped * 2;
    if (CX_LIKELY(need <= lane->large_mapped)) {
        return true;
    }
    size = size > FIRST_LARGE ? size : FIRST_LARGE;
    size = size > need ? size : rounded(need, PAGE);
    size = size < CX_LANE_LARGE ? size : CX_LANE_LARGE;
    void *at = cx_shm_map(&lane->area, lane->large_at, size);
    if (at == NULL) {
        return false;
    }
    if (lane->large != NULL) {
        munmap(lane->large, lane->large_mapped);
    }
    lane->large = at;
    lane->large_mapped = size;
    return true;
}

/* --- the producer ----------------------------------------------------------------------------- */

static void
free_large(struct cx_lane *lane, struct cx_shmarena_block *block)
{
    /* A process that was forked meanwhile has a copy of the pool of which it uses nothing. */
    block->forks = cx_shm_forks();
    cx_shmarena_give(&lane->arena, block);
    block->size = 0;
    if (lane->arena.used == 0 && lane->arena.filled - lane->large_at > CX_LANE_WARM) {
        cx_shm_drop(&lane->area, lane->large_at, lane->arena.filled - lane->large_at);
        cx_shmarena_fini(&lane->arena);
        reset_arena(lane);
    }
}

/* Gets the room of what the consumer has passed; false: it says what cannot be. */
static bool
reclaim(struct cx_lane *lane)
{
    uint32_t passed = cx_load_acquire(&lane->shared->passed); /* [W4] pairs with [W3] */
    if (CX_UNLIKELY(passed - lane->seen > lane->at - lane->seen)) {
        return false;
    }
    for (; lane->seen != passed; lane->seen++) {
        struct cx_shmarena_block *block = &lane->kept[lane->seen & MASK].block;
        lane->freed = lane->kept[lane->seen & MASK].end;
        if (block->size != 0) {
            free_large(lane, block);
        }
    }
    return true;
}

uint32_t
cx_lane_room(struct cx_lane *lane)
{
    /* One slot stays with the message that was passed last: it may be running. */
    return reclaim(lane) ? CX_LANE_SLOTS - 1 - (lane->at - lane->seen) : 0;
}

/* Where a small message goes; NULL: no room now. */
static char *
small_room(struct cx_lane *lane, uint64_t length, uint64_t *offset, uint64_t *end)
{
    uint64_t at = lane->written, need = rounded(length, 8);
    if (at % CX_LANE_BYTES + need > CX_LANE_BYTES) {
        at = rounded(at, CX_LANE_BYTES);
    }
    if (at + need - lane->freed > CX_LANE_BYTES) {
        return NULL;
    }
    *end = at + need;
    *offset = lane->small_at + at % CX_LANE_BYTES;
    return lane->small + at % CX_LANE_BYTES;
}

static enum cx_status
large_room(struct cx_lane *lane, uint64_t length, struct cx_shmarena_block *block)
{
    bool fresh;
    struct cx_shmarena_block took;
    if (lane->arena.used != 0 && lane->arena.used + length > CX_LANE_WARM) {
        return CX_FULL;
    }
    enum cx_status status = cx_shmarena_take(&lane->arena, length, &took, &fresh);
    if (status != CX_OK) {
        if (status == CX_FULL && lane->at == lane->seen) {
            return CX_TOO_BIG;
        }
        return status;
    }
    if (!map_large(lane, took.offset + length)) {
        cx_shmarena_give(&lane->arena, &took);
        return CX_OSERROR;
    }
    *block = took;
    return CX_OK;
}

enum cx_status
cx_lane_put(struct cx_lane *lane, const struct cx_lane_message *m, uint32_t *number)
{
    struct cx_lane_slot *slot = &lane->shared->slots[lane->at & MASK];
    struct cx_shmarena_block *block = &lane->kept[lane->at & MASK].block;
    uint64_t end = lane->written, offset = lane->small_at;
    char *to = NULL;
    if (CX_UNLIKELY(!reclaim(lane))) {
        return CX_DAMAGED;
    }
    if (lane->at - lane->seen >= CX_LANE_SLOTS - 1) {
        return CX_FULL;
    }
    if (m->length > CX_LANE_SMALL) {
        enum cx_status status = large_room(lane, m->length, block);
        if (status != CX_OK) {
            return status;
        }
        offset = block->offset;
        to = lane->large + (offset - lane->large_at);
    }
    else if ((to = small_room(lane, m->length, &offset, &end)) == NULL) {
        return CX_FULL;
    }
    CX_KILL_POINT();
    memcpy(to, m->data, m->length);
    CX_KILL_POINT();
    slot->kind = m->kind;
    slot->id = m->id;
    slot->offset = offset;
    slot->length = m->length;
    slot->flags = m->flags;
    cx_store_relaxed(&slot->begun, 0);
    CX_KILL_POINT();
    cx_store_relaxed(&slot->claim, CX_CLAIM_READY);
    CX_KILL_POINT();
    lane->written = lane->kept[lane->at & MASK].end = end;
    *number = lane->at++;
    cx_store_release(&lane->shared->published, lane->at); /* LP; [W1] pairs with [W2] */
    CX_KILL_POINT();
    return CX_OK;
}

bool
cx_lane_revoke(struct cx_lane *lane, uint32_t number)
{
    uint32_t ready = CX_CLAIM_READY, *claim = &lane->shared->slots[number & MASK].claim;
    CX_KILL_POINT();
    if (CX_BUG(LINK_REVOKES_BLINDLY) && cx_load_relaxed(claim) == ready) {
        cx_store_relaxed(claim, CX_CLAIM_REVOKED);
        return true;
    }
    bool revoked = cx_cas_acq_rel(claim, &ready, CX_CLAIM_REVOKED); /* LP */
    CX_KILL_POINT();
    return revoked;
}

enum cx_claim
cx_lane_claim(struct cx_lane *lane, uint32_t number, int64_t *begun)
{
    struct cx_lane_slot *slot = &lane->shared->slots[number & MASK];
    enum cx_claim claim = (enum cx_claim)cx_load_acquire(&slot->claim);
    if (begun != NULL) {
        *begun = cx_load_relaxed(&slot->begun);
    }
    return claim;
}

bool
cx_lane_is_watched(struct cx_lane *lane)
{
    /* The producer's store before its look, against the watcher's store before its last look: without
     * both fences each may read the old value, and nobody sees the message. */
    CX_UNLESS_BUG(LINK_NO_WATCHED_FENCE, cx_fence_seq_cst());
    return cx_load_relaxed(&lane->shared->watched) != 0;
}

static uint32_t
processor(void)
{
#if defined(__linux__)
    return (uint32_t)sched_getcpu() + 1;
#else
    return 0;
#endif
}

void
cx_worklink_note(struct cx_worklink *link, bool pool)
{
    cx_store_relaxed(pool ? &link->shared->pool_at : &link->shared->worker_at, processor());
}

bool
cx_worklink_is_here(struct cx_worklink *link, bool pool)
{
    uint32_t here = processor();
    return here == 0 ||
           cx_load_relaxed(pool ? &link->shared->worker_at : &link->shared->pool_at) == here;
}

bool
cx_lane_answers(struct cx_lane *lane)
{
    CX_UNLESS_BUG(LINK_NO_ANSWER_FENCE, cx_fence_seq_cst()); /* see cx_shmbell_set */
    if (CX_LIKELY(cx_load_relaxed(&lane->shared->bell) == 0)) {
        return false;
    }
    CX_KILL_POINT();
    bool slept = cx_xchg_acq_rel(&lane->shared->bell, 0) != 0;
    CX_KILL_POINT();
    return slept;
}

/* --- the consumer ----------------------------------------------------------------------------- */

void
cx_lane_watch(struct cx_lane *lane)
{
    CX_KILL_POINT();
    cx_store_relaxed(&lane->shared->watched, 1);
    CX_KILL_POINT();
}

bool
cx_lane_unwatch(struct cx_lane *lane, uint32_t at)
{
    cx_store_relaxed(&lane->shared->watched, 0);
    CX_KILL_POINT();
    CX_UNLESS_BUG(LINK_NO_UNWATCH_FENCE, cx_fence_seq_cst()); /* see cx_lane_is_watched */
    return !CX_BUG(LINK_LOOKS_ONCE) && cx_load_acquire(&lane->shared->published) != at;
}

bool
cx_lane_waits(struct cx_lane *lane)
{
    return cx_load_acquire(&lane->shared->published) != lane->at; /* [W2] pairs with [W1] */
}

/* Where a message's bytes are, if the slot says what can be. */
static enum cx_status
find(struct cx_lane *lane, const struct cx_lane_slot *slot, struct cx_lane_message *m)
{
    uint64_t offset = slot->offset, length = slot->length;
    m->kind = slot->kind;
    m->id = slot->id;
    m->flags = slot->flags;
    m->length = length;
    m->data = lane->small; /* of no bytes, wherever they are said to be */
    if (offset - lane->small_at < CX_LANE_BYTES) {
        m->data = lane->small + (offset - lane->small_at);
        return length <= CX_LANE_BYTES - (offset - lane->small_at) ? CX_OK : CX_DAMAGED;
    }
    if (offset - lane->large_at >= CX_LANE_LARGE ||
        length > CX_LANE_LARGE - (offset - lane->large_at)) {
        return length == 0 ? CX_OK : CX_DAMAGED;
    }
    if (!map_large(lane, offset + length)) {
        return CX_OSERROR;
    }
    m->data = lane->large + (offset - lane->large_at);
    return CX_OK;
}

enum cx_status
cx_lane_take(struct cx_lane *lane, struct cx_lane_message *m)
{
    for (;;) {
        uint32_t published = cx_load_acquire(&lane->shared->published); /* [W2] pairs with [W1] */
        struct cx_lane_slot *slot = &lane->shared->slots[lane->at & MASK];
        uint32_t ready = CX_CLAIM_READY;
        if (published == lane->at) {
            return CX_EMPTY;
        }
        if (CX_UNLIKELY(published - lane->at >= CX_LANE_SLOTS)) {
            return CX_DAMAGED;
        }
        /* Before the claim, for whoever finds it TAKEN reads this. */
        CX_UNLESS_BUG(LINK_BEGUN_UNSAID, cx_store_relaxed(&slot->begun, cx_now()));
        CX_KILL_POINT();
        if (cx_cas_acq_rel(&slot->claim, &ready, CX_CLAIM_TAKEN) ||
            CX_BUG(LINK_TAKES_BLINDLY)) { /* LP */
            CX_KILL_POINT();
            return find(lane, slot, m);
        }
        if (ready != CX_CLAIM_REVOKED) {
            return CX_DAMAGED;
        }
        cx_lane_pass(lane);
    }
}

bool
cx_lane_peek(struct cx_lane *lane, struct cx_lane_message *m)
{
    const struct cx_lane_slot *slot = &lane->shared->slots[lane->at & MASK];
    if (!cx_lane_waits(lane)) {
        return false;
    }
    *m = (struct cx_lane_message){.kind = slot->kind, .id = slot->id, .flags = slot->flags};
    return true;
}

void
cx_lane_pass(struct cx_lane *lane)
{
    lane->at++;
    cx_store_release(&lane->shared->passed, lane->at); /* [W3] pairs with [W4] */
    CX_KILL_POINT();
    cx_shmbell_ring(&lane->shared->room, 1);
}

// SPDX-License-Identifier: MIT
/* core/worklink.h - what a pool and one of its workers share: a lane of tasks and a lane of results.
 *
 * One segment for each worker, so nobody waits for what another process can die holding.  A lane has
 * one producer and one consumer.  A message is a slot and bytes: small ones lie in a ring, large ones
 * in a sparse area that the producer manages with a private arena, so its pages stay warm.
 *
 *   slot      READY -> TAKEN by the consumer's compare-and-swap, READY -> REVOKED by the producer's:
 *             what was not begun can be taken back, and a death loses exactly what is TAKEN
 *   consumer  takes the oldest, looks at its bytes in place, passes it; then its room is free
 *   producer  learns of that at its next put
 *
 * A worker sleeps on the task lane's bell, a futex.  The pool sleeps elsewhere (on descriptors); the
 * worker that finds the result lane's bell set (cx_lane_answers) has to wake it, unless somebody looks
 * at the lane at this moment (cx_lane_is_watched).
 *
 * Whatever the peer wrote is checked against the lane and the sealed size: CX_DAMAGED.
 *
 * Synchronization: put, revoke and claim on one side, take and pass on the other, each side excluded
 *             by the caller; every store is atomic, and a death leaves it done or not done.
 * Progress:   wait-free, but for system calls that give pages to large messages.
 * Ordering:   [W1] a message is released with the count of published ones, [W2] acquired by take;
 *             [W3] its room is released with the count of passed ones, [W4] acquired by put.
 * Fork:       the pool's child has a copy of which it uses nothing.
 */
#ifndef CX_CORE_WORKLINK_H
#define CX_CORE_WORKLINK_H

#include "core/shmarena.h"
#include "core/shmlock.h"

#ifndef CX_LANE_SLOTS /* a model has fewer */
#define CX_LANE_SLOTS 512
#endif
#define CX_LANE_BYTES (UINT64_C(64) << 10) /* of small messages */
#define CX_LANE_SMALL (UINT64_C(8) << 10)  /* the largest of them */
#define CX_LANE_LARGE (UINT64_C(1) << 36)  /* address space of large messages */
#define CX_LANE_WARM (UINT64_C(256) << 20) /* of them at once, if it is more than one; kept warm */

enum cx_claim { CX_CLAIM_NONE, CX_CLAIM_READY, CX_CLAIM_TAKEN, CX_CLAIM_REVOKED };

/* How a worker is doing; it writes. */
enum cx_work_state {
    CX_WORK_STARTING,
    CX_WORK_READY,  /* initialised */
    CX_WORK_LEFT,   /* has ended in good order */
    CX_WORK_FAILED, /* its initializer has */
};

struct cx_lane_slot {
    uint32_t claim, kind;
    uint64_t id;
    uint64_t offset, length; /* of its bytes, in the segment */
    int64_t begun;           /* when it was taken, cx_now() */
    uint64_t flags;
    uint64_t unused[2];
};

struct cx_lane_shared {
    uint32_t published CX_ALIGNED; /* how often the producer has put */
    uint32_t bell;                 /* the consumer sleeps */
    uint32_t watched;              /* somebody looks, and will look once more */
    uint32_t passed CX_ALIGNED;    /* how many the consumer has passed */
    uint32_t room;                 /* bell: the producer sleeps */
    struct cx_lane_slot slots[CX_LANE_SLOTS] CX_ALIGNED;
};

struct cx_worklink_shared {
    uint32_t owner;              /* of the pool; core/shm.h */
    uint32_t stop;               /* leave when no task is there */
    uint32_t state;              /* enum cx_work_state */
    uint32_t pool_at, worker_at; /* the processor that each was on lately, plus one */
    struct cx_lane_shared tasks CX_ALIGNED, results CX_ALIGNED;
};

/* One side's view of a lane. */
struct cx_lane {
    struct cx_lane_shared *shared;
    struct cx_shm area;          /* the segment's descriptor; `size` is where the area ends */
    char *small;                 /* the ring, mapped */
    char *large;                 /* the area, mapped as far as it was ever used */
    uint64_t small_at, large_at; /* their offsets in the segment */
    uint64_t large_mapped;
    uint32_t at;              /* producer: published; consumer: taken or passed */
    uint32_t seen;            /* producer: `passed` at its last look */
    uint64_t written, freed;  /* producer: bytes of the ring, ever */
    struct cx_shmarena arena; /* producer */
    struct {
        uint64_t end;                   /* `written` after it */
        struct cx_shmarena_block block; /* size 0: none */
    } kept[CX_LANE_SLOTS];              /* producer */
};

struct cx_worklink {
    struct cx_shm *shm;
    struct cx_worklink_shared *shared;
    struct cx_lane tasks, results;
};

struct cx_lane_message {
    const void *data;
    uint64_t length, id, flags;
    uint32_t kind;
};

/* Bytes of a segment, and how many to map at once. */
uint64_t cx_worklink_size(void);
uint64_t cx_worklink_mapped(void);

/* The pool's side of a new segment: CX_OK, or CX_OSERROR if there is no memory (shm->error); the
 * worker's of one that is attached. */
enum cx_status cx_worklink_create(struct cx_worklink *link, struct cx_shm *shm);
void cx_worklink_attach(struct cx_worklink *link, struct cx_shm *shm);
/* The worker says how it is; the pool says that it may leave, and wakes it. */
void cx_worklink_tell(struct cx_worklink *link, enum cx_work_state state);
void cx_worklink_stop(struct cx_worklink *link);
/* Unmaps; the segment stays. */
void cx_worklink_fini(struct cx_worklink *link);

/* Publishes a message and rings nothing: CX_OK and its number; CX_FULL no room now; CX_TOO_BIG;
 * CX_OSERROR no memory (lane->area.error); CX_DAMAGED. */
enum cx_status cx_lane_put(struct cx_lane *lane, const struct cx_lane_message *m, uint32_t *number);
/* How many can be put before a slot is free again; less if they are large. */
uint32_t cx_lane_room(struct cx_lane *lane);
/* READY becomes REVOKED; false: it was taken. */
CX_NODISCARD bool cx_lane_revoke(struct cx_lane *lane, uint32_t number);
/* The claim of a message that its slot still holds; TAKEN: since when. */
enum cx_claim cx_lane_claim(struct cx_lane *lane, uint32_t number, int64_t *begun);

/* Takes the oldest that was not revoked; its bytes are valid until cx_lane_pass: CX_OK, CX_EMPTY,
 * CX_OSERROR (lane->area.error), CX_DAMAGED. */
enum cx_status cx_lane_take(struct cx_lane *lane, struct cx_lane_message *m);
/* Shows kind, id and flags of what would be taken, and leaves it; false: nothing, or damaged. */
CX_NODISCARD bool cx_lane_peek(struct cx_lane *lane, struct cx_lane_message *m);
/* What was taken is not looked at any more; wakes a producer that waits for room. */
void cx_lane_pass(struct cx_lane *lane);
/* Whether something is published that was not passed. */
bool cx_lane_waits(struct cx_lane *lane);

/* Before a look; after it: is there more than `at`?  After a put: will somebody who looks see it? */
void cx_lane_watch(struct cx_lane *lane);
CX_NODISCARD bool cx_lane_unwatch(struct cx_lane *lane, uint32_t at);
CX_NODISCARD bool cx_lane_is_watched(struct cx_lane *lane);
/* The processors of both sides: noted; whether the other was on this one: then looking is in its way. */
void cx_worklink_note(struct cx_worklink *link, bool pool);
CX_NODISCARD bool cx_worklink_is_here(struct cx_worklink *link, bool pool);
/* After a put: whether the consumer had set its bell; then the caller wakes it. */
CX_NODISCARD bool cx_lane_answers(struct cx_lane *lane);

#endif

// SPDX-License-Identifier: MIT
/* core/shmring.h - messages between processes: a byte ring that grows, under two locks that survive
 * their owners.
 *
 * The ring is one sparse segment, cut into regions of 1 MiB, 2 MiB, 4 MiB and so on to 64 GiB; only
 * what was ever full of messages has memory.  Producers write one region as a ring.  When it is full,
 * or a message is larger than it, they leave a mark that names another region and go on there;
 * consumers follow the mark.  So a ring without a limit takes what memory there is, and a drained
 * one goes back to its small and warm first region.
 *
 *   message    8 bytes (length, 48 bits; kind), then the bytes, padded to 8; may wrap
 *   cursor     {region, position, messages} (core/shmcursor.h)
 *
 * A put writes bytes and then publishes a cursor by one store, the version's; a get publishes the
 * other cursor likewise.  A process that dies inside left nothing published: the next one takes its
 * lock over (core/shmlock.h) and starts where the dead one had started.  A message is lost only if
 * its consumer dies after it has taken it.
 *
 * Who waits sets a bell and looks again.  Threads sleep on the bell's word; event loops, in whatever
 * process, watch the ring's event (core/watch.h), which is signalled while their bell is set.  Both look
 * again after CX_SHM_LOOK at the latest, for whoever would have rung may have been killed.
 *
 * Whatever a peer wrote is checked: regions, positions and lengths against each other and against
 * the sealed size.  CX_DAMAGED then, and nothing outside the segment is read or written.
 *
 * synchronization     put          take         len, done
 *   put               put lock     none         none
 *   take                           get lock     none
 *   close             put lock; with `discard` the get lock too
 *
 * Progress:  put and take answer CX_WAIT while another is inside; the rest is lock-free.
 * Ordering:  what came before a put is seen after the take of its message.
 */
#ifndef CX_CORE_SHMRING_H
#define CX_CORE_SHMRING_H

#include "core/shmcursor.h"
#include "core/shmlock.h"
#include "core/watch.h"

#define CX_SHMRING_REGIONS 17
#define CX_SHMRING_FIRST (UINT64_C(1) << 20) /* bytes of region 0 */
#define CX_SHMRING_LONGEST (UINT64_C(1) << 35)

/* Of who waits for something: set before a last look, rung after the something was published. */
struct cx_shmring_bell {
    uint32_t sleepers; /* a chime (core/shmlock.h): of threads */
    uint32_t loops;    /* the event is to be signalled */
};

enum cx_shmring_closed { CX_SHMRING_OPEN, CX_SHMRING_CLOSED, CX_SHMRING_DISCARDED };

/* What all processes see. */
struct cx_shmring_shared {
    uint64_t most;   /* messages; 0: as many as there is memory for */
    uint32_t closed; /* enum cx_shmring_closed */
    struct {         /* producers */
        uint32_t lock CX_ALIGNED;
        uint32_t entering; /* region plus one, while its bit in `used` is set ahead */
        uint32_t used;     /* regions that hold messages or may */
        uint32_t unused;
        struct cx_shmring_cursor cursor;
        uint64_t filled[CX_SHMRING_REGIONS]; /* bytes with pages */
    } tail;
    struct { /* consumers */
        uint32_t lock CX_ALIGNED;
        uint32_t leaving; /* region plus one, until its bit in `used` is cleared */
        struct cx_shmring_cursor cursor;
    } head;
    struct cx_shmring_bell items CX_ALIGNED; /* of who waits for a message, for room, for the end */
    struct cx_shmring_bell room;
    struct cx_shmring_bell joined;
    uint64_t done; /* messages that are finished with */
};

struct cx_shmring {
    struct cx_shm *shm;
    struct cx_shmring_shared *shared;
    int event;                         /* the same in all processes; -1: none */
    char *regions[CX_SHMRING_REGIONS]; /* atomic; mapped at first use in this process */
};

struct cx_shmring_message {
    const void *data;
    uint64_t length;
    uint32_t kind; /* 0 .. 255 */
};

/* Bytes of the segment, and how many to map at once. */
uint64_t cx_shmring_size(void);
uint64_t cx_shmring_mapped(void);

/* The ring of a new segment (`most` messages at most, 0 any number), or of one that is attached. */
void cx_shmring_create(struct cx_shmring *ring, struct cx_shm *shm, int event, uint64_t most);
void cx_shmring_attach(struct cx_shmring *ring, struct cx_shm *shm, int event);
/* Unmaps; the segment and the event stay. */
void cx_shmring_fini(struct cx_shmring *ring);

/* Another is inside, for all three below: CX_WAIT, nothing was done; park on busy->word and call again
 * with the same `busy`, which is zero at first. */

/* Appends messages in order and rings; *put says how many.  CX_OK all; CX_FULL the rest has no room;
 * CX_CLOSED; CX_TOO_BIG; CX_OSERROR no memory (shm->error); CX_DAMAGED. */
enum cx_status cx_shmring_put(struct cx_shmring *ring, const struct cx_shmring_message *messages,
                              uint64_t n, uint64_t *put, struct cx_shmlock_busy *busy);

/* Takes up to n messages that fit into `space` bytes, one after the other, and rings.  CX_OK: *got
 * messages, at least one, their lengths and kinds in taken[].  CX_EMPTY; CX_CLOSED and empty;
 * CX_TOO_BIG: the first one needs taken[0].length; CX_OSERROR; CX_DAMAGED. */
enum cx_status cx_shmring_take(struct cx_shmring *ring, void *space, uint64_t bytes,
                               struct cx_shmring_message *taken, uint64_t n, uint64_t *got,
                               struct cx_shmlock_busy *busy);

/* Messages in the ring; those put so far; those taken.  Exact at rest. */
uint64_t cx_shmring_len(struct cx_shmring *ring);
uint64_t cx_shmring_puts(struct cx_shmring *ring);
uint64_t cx_shmring_takes(struct cx_shmring *ring);
/* Bytes that have memory. */
uint64_t cx_shmring_memory(struct cx_shmring *ring);
/* Messages not finished with. */
uint64_t cx_shmring_unfinished(struct cx_shmring *ring);
/* One message is finished with: false if all are. */
bool cx_shmring_done(struct cx_shmring *ring);
bool cx_shmring_all_done(struct cx_shmring *ring);
/* No put from now on; everybody who waits looks again.  With `discard` no take either: what is there is
 * as if it had been taken and finished with.  CX_OK, or CX_WAIT as above. */
enum cx_status cx_shmring_close(struct cx_shmring *ring, bool discard,
                                struct cx_shmlock_busy *busy);

/* By who waits on an event loop, before it looks a last time. */
void cx_shmring_await(struct cx_shmring_bell *bell);

#ifdef CX_KILL
extern uint64_t cx_shmring_keep; /* bytes of a region whose pages stay; a test keeps less */
#endif

#endif

// SPDX-License-Identifier: MIT
/* core/reads.h - uses that readers have made and the policy has not been told of yet.
 *
 * After Caffeine's read buffers: a reader notes the slot and a stamp (core/stamp.h) in a buffer that it
 * shares with few threads or none, and whoever has the exclusion next is told all of them in the order
 * of their stamps.  Nothing is lost: a reader that finds its buffer full, or another reader in it, takes
 * the exclusion and tells its use itself.  So uses count as if each had taken the exclusion at its
 * stamp, and of uses that nothing orders either may come first.
 *
 * A note may outlive its entry: the slot's next one is told from it by its hash.
 *
 * Progress:        note is wait-free.  next belongs to the exclusion; it costs a look at each buffer.
 * Fork:            what a lost thread was noting is not there; its buffer is left to the exclusion.
 */
#ifndef CX_CORE_READS_H
#define CX_CORE_READS_H

#include "core/counter.h"
#include "core/stamp.h"

#if !CX_WITH_GIL

#define CX_READS 32 /* notes in a buffer */

struct cx_read {
    uint64_t stamp;
    uint32_t at, hash; /* the slot, and the low bits */
};

struct cx_reads_buffer {
    uint32_t busy CX_ALIGNED; /* atomic; a reader is in it */
    uint32_t written;         /* atomic */
    uint32_t taken;           /* atomic */
    struct cx_read read[CX_READS];
};

#define CX_READS_BUFFERS 64 /* at most: a bit of `used` for each */

struct cx_reads {
    uint64_t used; /* atomic; buffers that have ever been written to */
    uint32_t mask; /* number of buffers, a power of two, less one */
    struct cx_reads_buffer buffer[];
};

/* All that had been noted when it began. */
struct cx_reads_walk {
    struct cx_reads_buffer *buffer[CX_READS_BUFFERS];
    uint32_t end[CX_READS_BUFFERS];
    uint32_t count;
};

void cx_reads_use(struct cx_reads *reads, uint32_t buffer);

/* Enough for the machine; NULL: no memory. */
struct cx_reads *cx_reads_new(void);
void cx_reads_free(struct cx_reads *reads);
size_t cx_reads_bytes(const struct cx_reads *reads);

/* False: there is no room, or another thread is in the buffer. */
static inline bool
cx_reads_note(struct cx_reads *reads, uint32_t at, uint32_t hash, uint64_t stamp)
{
    uint32_t mine = cx_counter_thread() & reads->mask, busy = 0;
    struct cx_reads_buffer *b = &reads->buffer[mine];
    if (CX_UNLIKELY((cx_load_relaxed(&reads->used) >> mine & 1) == 0)) {
        cx_reads_use(reads, mine);
    }
    if (!cx_cas_acquire(&b->busy, &busy, 1)) { /* [R1] pairs with [R2] */
        return false;
    }
    uint32_t written = cx_load_relaxed(&b->written);
    bool has_room = written - cx_load_acquire(&b->taken) < CX_READS; /* [R3] pairs with [R4] */
    if (has_room) {
        b->read[written % CX_READS] = (struct cx_read){stamp, at, hash};
        cx_store_release(&b->written, written + 1); /* LP; [R5] pairs with [R6] */
    }
    cx_store_release(&b->busy, 0); /* [R2] */
    return has_room;
}

/* Inside the exclusion; false: there is nothing to tell. */
bool cx_reads_begin(struct cx_reads *reads, struct cx_reads_walk *walk);
/* The oldest of the walk, taken out; false: it has ended. */
bool cx_reads_next(struct cx_reads_walk *walk, struct cx_read *read);

#endif

#endif

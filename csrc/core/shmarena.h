// SPDX-License-Identifier: MIT
/* core/shmarena.h - blocks of one segment, handed out by the process that made it.
 *
 * Sizes are rounded up to classes, four in each doubling, so a block wastes at most a fifth.  A
 * freed block is the next one of its class to be handed out: its pages are warm.  What is free is
 * known to the owner alone, in its own memory, so no peer can damage it.
 *
 * A block that another process may know is never handed out again: it was alive at a fork, or was
 * exposed.  Its memory goes with the segment.
 *
 * A block may be lent instead, with a message.  The line before it holds a word that says who has it:
 * the message, until it is taken over or called back, and how many borrowers.  Once nobody has it, it
 * is the arena's again, and nobody is told: the arena looks at what it lent when it needs room.  A
 * borrower that dies or forks never gives back, and the block is lost, not damaged.  Borrowers sign
 * the line before they borrow, so that the owner can tell what a dead one had.
 *
 * Progress:  blocking: the caller excludes (a lock of the binding).  Pages are filled on first use.
 *            borrow, return and call_back need no exclusion and are lock-free.
 * Ownership: a child has no use for an arena that it inherits (cx_shmarena_mine).
 */
#ifndef CX_CORE_SHMARENA_H
#define CX_CORE_SHMARENA_H

#include "core/shm.h"

#define CX_SHMARENA_CLASSES 164 /* from 64 bytes to CX_SHM_MOST */
#define CX_SHMARENA_LINE 64     /* bytes before a lent block */

struct cx_shmarena_block {
    uint64_t offset, size; /* in the segment; the size asked for */
    uint32_t forks;        /* cx_shm_forks() when it was handed out */
    uint32_t serial;       /* of a lent one: which loan it is */
    bool exposed;
};

struct cx_shmarena {
    struct cx_shm *shm;
    uint64_t next;   /* all from here on is untouched */
    uint64_t filled; /* pages exist up to here */
    uint64_t used;   /* bytes handed out now, exposed ones included */
    struct cx_shmarena_list {
        uint64_t *offsets;
        uint32_t length, room;
    } free[CX_SHMARENA_CLASSES];
    struct cx_shmarena_block *lent; /* with their lines */
    uint32_t lents, lent_room, loans;
};

void cx_shmarena_init(struct cx_shmarena *arena, struct cx_shm *shm);
/* The segment stays. */
void cx_shmarena_fini(struct cx_shmarena *arena);
/* Whether this process made the segment. */
bool cx_shmarena_mine(const struct cx_shmarena *arena);

/* A block of at least `size` bytes at a multiple of 64: CX_OK; CX_FULL; CX_OSERROR (shm->error: no
 * space).  What it holds is what the one before it left; `fresh`: zeros. */
enum cx_status cx_shmarena_take(struct cx_shmarena *arena, uint64_t size,
                                struct cx_shmarena_block *block, bool *fresh);
/* Gives it back, unless another process may know it. */
void cx_shmarena_give(struct cx_shmarena *arena, const struct cx_shmarena_block *block);

/* Lends a block of `size` bytes at *offset: as cx_shmarena_take, and CX_NOMEM. */
enum cx_status cx_shmarena_lend(struct cx_shmarena *arena, uint64_t size, uint64_t *offset);
/* Takes back what nobody has any more. */
void cx_shmarena_sweep(struct cx_shmarena *arena);
/* The same as call_back for a loan, unless that has ended and the block is another one's by now. */
bool cx_shmarena_recall(struct cx_shmarena *arena, uint64_t offset, uint32_t serial);
/* Whether the lent block with that index has borrowers, and the last to sign was of that process. */
bool cx_shmarena_is_with(const struct cx_shmarena *arena, uint32_t index, uint32_t pid);

/* In any process, `at` is where the lent block begins.  A borrower with `over` takes it over from the
 * message, which can be done once; false: there is no message. */
CX_NODISCARD bool cx_shmarena_borrow(char *at, bool over);
/* Before that: who is about to borrow, cx_owner_self(). */
void cx_shmarena_sign(char *at, uint32_t borrower);
void cx_shmarena_return(char *at);
/* The message has not arrived and will not; false: a borrower has taken it over. */
bool cx_shmarena_call_back(char *at);

#endif

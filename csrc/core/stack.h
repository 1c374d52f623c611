// SPDX-License-Identifier: MIT
/* core/stack.h - an unbounded stack for any number of threads.
 *
 * After R. K. Treiber, "Systems Programming: Coping with Parallelism" (1986): a list whose head is
 * replaced by compare-and-swap.
 *
 * ABA.  A pop reads the head node A and A's successor B, then swaps the head from A to B.  If in
 * between A was popped, B too, and A pushed again, the swap finds A and would succeed, although B
 * is no longer on the stack.  Two things together prevent that:
 *  - The head is 64 bits: a 31-bit node index, one bit for "closed", and a 32-bit tag that every
 *    successful swap increments.  The swap compares all of it, so it fails unless nothing happened
 *    in between (or exactly a multiple of 2^32 swaps did while one thread stood still).
 *  - Nodes live in segments that are only ever added, and are freed with the stack.  A node that was
 *    popped goes to a list of spare nodes (tagged the same way) and comes back as a node: a slow
 *    thread that still reads it reads an old successor, never foreign memory, and its swap fails.
 * CX_BUG_STACK_NO_TAG=1 leaves the tag at 0: tests show with it what the tag is for.
 *
 * A node knows how many are below it, so the length is the depth of the head node: no counter.
 * Several nodes are pushed, or popped, by one swap.
 *
 * Progress:  push, pop, close: lock-free; a push that finds no spare node allocates a segment.
 * Synchronization ("X": excluded from everything, "-": nothing needed):
 *   push, pop, len, closed, close, item_ready   -      visit, fini   X
 * Ordering:  [R1] the swap that pushes releases the nodes, [A1] the load of the head acquires them;
 *            all writes to the head are swaps, so a pop in between hides nothing.  [R2] a successor
 *            is released, [A2] read by acquire, because its segment may be new to the reader.
 * Ownership: a node holds 64 bits that the stack does not look at.
 * Fork:      always whole; a thread that is lost in the middle leaves a node that nobody has.
 */
#ifndef CX_CORE_STACK_H
#define CX_CORE_STACK_H

#include "core/atomic.h"
#include "core/status.h"

#define CX_STACK_CLOSED (UINT64_C(1) << 31)
#define CX_STACK_INDEX(head) ((uint32_t)(head) & 0x7fffffffu) /* 0: none */
#define CX_STACK_FIRST_SEGMENT 64u /* nodes; every further segment doubles */
#define CX_STACK_SEGMENTS 25u

struct cx_stack_node {
    uint32_t next;
    uint32_t depth; /* nodes from here down */
    uint64_t word;  /* guarded by whoever took the node off a list */
};

struct cx_stack {
    struct cx_stack_node *segments[CX_STACK_SEGMENTS]; /* NULL becomes a segment once */
    /* everybody */
    CX_ALIGNED uint64_t head; /* tag << 32 | closed | index */
    uint64_t pushed, popped;
    /* everybody, but not at the same moment */
    CX_ALIGNED uint64_t spare; /* tag << 32 | index */
};

void cx_stack_init(struct cx_stack *stack);
/* Frees the nodes, whatever they hold. */
void cx_stack_fini(struct cx_stack *stack);

/* Pushes all n > 0 words at one instant, the last on top: n; or 0, and *why is CX_CLOSED or
 * CX_NOMEM. */
size_t cx_stack_push(struct cx_stack *stack, const uint64_t *words, size_t n, enum cx_status *why);
/* Pops up to n > 0 words at one instant, the top first.  Answers how many; if none, *why is CX_EMPTY
 * or CX_CLOSED (closed, and nothing will come any more). */
size_t cx_stack_pop(struct cx_stack *stack, uint64_t *words, size_t n, enum cx_status *why);

/* Whether a pop would find something to do: a word, or that the stack is closed. */
static inline bool
cx_stack_item_ready(const struct cx_stack *stack)
{
    return (uint32_t)cx_load_acquire(&stack->head) != 0;
}

/* Exact at one instant. */
size_t cx_stack_len(const struct cx_stack *stack);

/* No push succeeds after it.  True: this call closed the stack. */
bool cx_stack_close(struct cx_stack *stack);

static inline bool
cx_stack_closed(const struct cx_stack *stack)
{
    return (cx_load_acquire(&stack->head) & CX_STACK_CLOSED) != 0;
}

/* Bytes that the segments take. */
size_t cx_stack_bytes(const struct cx_stack *stack);

/* Calls fn with each word, the top first, until it answers other than 0; answers that. */
int cx_stack_visit(const struct cx_stack *stack, int (*fn)(uint64_t word, void *arg), void *arg);

#endif

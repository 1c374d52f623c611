// SPDX-License-Identifier: MIT
#include "core/stack.h"

#include <stdlib.h>

#define TAG_STEP (CX_BUG(STACK_NO_TAG) ? 0 : UINT64_C(1) << 32)

#define TAG_MASK (~UINT64_C(0) << 32)

void
cx_stack_init(struct cx_stack *stack)
{
    *stack = (struct cx_stack){.head = 0};
}

void
cx_stack_fini(struct cx_stack *stack)
{
    for (uint32_t i = 0; i < CX_STACK_SEGMENTS; i++) {
        free(stack->segments[i]);
        stack->segments[i] = NULL;
    }
}

/* Segment s holds FIRST << s nodes, whose indices begin at FIRST * (2^s - 1) + 1. */
static inline struct cx_stack_node *
node_at(const struct cx_stack *stack, uint32_t index)
{
    uint32_t place = index - 1 + CX_STACK_FIRST_SEGMENT;
    uint32_t s = 31u - (uint32_t)__builtin_clz(place / CX_STACK_FIRST_SEGMENT);
    return cx_load_acquire(&stack->segments[s]) + (place - (CX_STACK_FIRST_SEGMENT << s));
}

/* head with its tag moved on and another index; the closed bit stays. */
static inline uint64_t
moved(uint64_t head, uint32_t index)
{
    return ((head & TAG_MASK) + TAG_STEP) | (head & CX_STACK_CLOSED) | index;
}

/* Takes up to n nodes off a list by one swap: how many, linked from *first.  None: *seen is the head
 * that said so. */
static size_t
take_chain(struct cx_stack *stack, uint64_t *list, size_t n, uint32_t *first, uint32_t *last,
           uint64_t *seen)
{
    uint64_t head = cx_load_acquire(list); /* [A1] pairs with [R1] */
    for (;;) {
        uint32_t end = CX_STACK_INDEX(head);
        if (end == 0) {
            *seen = head;
            return 0;
        }
        /* What is read of nodes that have left the list is old, and the swap fails. */
        size_t k = 1;
        uint32_t next = cx_load_acquire(&node_at(stack, end)->next); /* [A2] pairs with [R2] */
        while (k < n && next != 0) {
            end = next;
            next = cx_load_acquire(&node_at(stack, end)->next); /* [A2] */
            k++;
        }
        *first = CX_STACK_INDEX(head);
        if (CX_LIKELY(cx_cas_acq_rel(list, &head, moved(head, next)))) { /* LP of a pop */
            *last = end;
            return k;
        }
    }
}

/* Spare nodes are exchanged without a look at the depth. */
static void
give_spare(struct cx_stack *stack, uint32_t first, uint32_t last)
{
    uint64_t head = cx_load_relaxed(&stack->spare);
    do {
        cx_store_release(&node_at(stack, last)->next, CX_STACK_INDEX(head)); /* [R2] */
    } while (!cx_cas_release(&stack->spare, &head, moved(head, first))); /* [R1] */
}

/* Adds a segment to the spare nodes.  Two threads may add one each; that is memory, not an error. */
static bool
grow(struct cx_stack *stack)
{
    uint32_t s = 0;
    while (s < CX_STACK_SEGMENTS && cx_load_acquire(&stack->segments[s]) != NULL) {
        s++;
    }
    if (s == CX_STACK_SEGMENTS) {
        return false;
    }
    uint32_t count = CX_STACK_FIRST_SEGMENT << s;
    uint32_t begin = count - CX_STACK_FIRST_SEGMENT + 1;
    struct cx_stack_node *nodes = calloc(count, sizeof *nodes);
    if (nodes == NULL) {
        return false;
    }
    for (uint32_t i = 0; i + 1 < count; i++) {
        nodes[i].next = begin + i + 1;
    }
    struct cx_stack_node *expected = NULL;
    if (cx_cas_release(&stack->segments[s], &expected, nodes)) {
        give_spare(stack, begin, begin + count - 1);
    }
    else {
        free(nodes);
    }
    return true;
}

/* A chain of n nodes of the caller's own; false without memory. */
static bool
take_spare(struct cx_stack *stack, size_t n, uint32_t *first, uint32_t *last)
{
    uint64_t seen;
    size_t have = 0;
    *first = *last = 0;
    while (have < n) {
        uint32_t begin, end;
        size_t k = take_chain(stack, &stack->spare, n - have, &begin, &end, &seen);
        if (k == 0) {
            if (!grow(stack)) {
                if (have > 0) {
                    give_spare(stack, *first, *last);
                }
                return false;
            }
            continue;
        }
        if (have == 0) {
            *first = begin;
        }
        else {
            cx_store_release(&node_at(stack, *last)->next, begin); /* [R2] */
        }
        *last = end;
        have += k;
    }
    return true;
}

static inline void
count(uint64_t *counter, uint64_t n)
{
#if CX_WITH_GIL
    *counter += n;
#else
    cx_fetch_add_relaxed(counter, n);
#endif
}

/* Writes the depths of a chain whose bottom stands on `below` nodes. */
static void
set_depths(struct cx_stack *stack, uint32_t first, size_t n, uint32_t below)
{
    for (size_t i = n; i > 0; i--) {
        struct cx_stack_node *node = node_at(stack, first);
        cx_store_relaxed(&node->depth, below + (uint32_t)i);
        first = cx_load_relaxed(&node->next);
    }
}

size_t
cx_stack_push(struct cx_stack *stack, const uint64_t *words, size_t n, enum cx_status *why)
{
    uint32_t first, last;
    if (CX_UNLIKELY(cx_stack_closed(stack))) {
        *why = CX_CLOSED;
        return 0;
    }
    if (CX_UNLIKELY(n > UINT32_MAX / 2 || !take_spare(stack, n, &first, &last))) {
        *why = CX_NOMEM;
        return 0;
    }
    uint32_t index = first;
    for (size_t i = n; i > 0; i--) {
        struct cx_stack_node *node = node_at(stack, index);
        node->word = words[i - 1];
        index = cx_load_relaxed(&node->next);
    }
    uint64_t head = cx_load_acquire(&stack->head); /* [A1] pairs with [R1] */
    do {
        if (CX_UNLIKELY(head & CX_STACK_CLOSED)) {
            give_spare(stack, first, last);
            *why = CX_CLOSED;
            return 0;
        }
        uint32_t top = CX_STACK_INDEX(head);
        uint32_t below = top != 0 ? cx_load_relaxed(&node_at(stack, top)->depth) : 0;
        set_depths(stack, first, n, below);
        cx_store_release(&node_at(stack, last)->next, top); /* [R2] pairs with [A2] */
    } while (!cx_cas_acq_rel(&stack->head, &head, moved(head, first))); /* LP [R1] */
    count(&stack->pushed, n);
    return n;
}

size_t
cx_stack_pop(struct cx_stack *stack, uint64_t *words, size_t n, enum cx_status *why)
{
    uint32_t first, last;
    uint64_t seen;
    size_t k = take_chain(stack, &stack->head, n, &first, &last, &seen);
    if (k == 0) {
        *why = seen & CX_STACK_CLOSED ? CX_CLOSED : CX_EMPTY;
        return 0;
    }
    uint32_t index = first;
    for (size_t i = 0; i < k; i++) {
        struct cx_stack_node *node = node_at(stack, index);
        words[i] = node->word;
        index = cx_load_relaxed(&node->next);
    }
    give_spare(stack, first, last);
    count(&stack->popped, k);
    return k;
}

size_t
cx_stack_len(const struct cx_stack *stack)
{
    uint64_t head = cx_load_acquire(&stack->head);
    for (;;) {
        uint32_t top = CX_STACK_INDEX(head);
        if (top == 0) {
            return 0; /* LP: the load */
        }
        /* Acquire, so that the second look at the head comes after it. */
        uint32_t depth = cx_load_acquire(&node_at(stack, top)->depth);
        uint64_t now = cx_load_acquire(&stack->head);
        if (now == head) {
            return depth; /* LP: the first load */
        }
        head = now;
    }
}

bool
cx_stack_close(struct cx_stack *stack)
{
    uint64_t head = cx_load_relaxed(&stack->head);
    while (!(head & CX_STACK_CLOSED)) {
        uint64_t closed = moved(head, CX_STACK_INDEX(head)) | CX_STACK_CLOSED;
        if (cx_cas_acq_rel(&stack->head, &head, closed)) { /* LP */
            return true;
        }
    }
    return false;
}

size_t
cx_stack_bytes(const struct cx_stack *stack)
{
    size_t bytes = 0;
    for (uint32_t s = 0; s < CX_STACK_SEGMENTS; s++) {
        if (cx_load_relaxed(&stack->segments[s]) != NULL) {
            bytes += ((size_t)CX_STACK_FIRST_SEGMENT << s) * sizeof(struct cx_stack_node);
        }
    }
    return bytes;
}

int
cx_stack_visit(const struct cx_stack *stack, int (*fn)(uint64_t, void *), void *arg)
{
    uint32_t index = CX_STACK_INDEX(cx_load_relaxed(&stack->head));
    while (index != 0) {
        const struct cx_stack_node *node = node_at(stack, index);
        int answer = fn(node->word, arg);
        if (answer != 0) {
            return answer;
        }
        index = cx_load_relaxed(&node->next);
    }
    return 0;
}

// SPDX-License-Identifier: MIT
#include "core/heap.h"

/* Asks for a < b.  The answer that the caller brought belongs to the question it left with, which
 * is the first one after a plan goes on. */
static int
ask(struct cx_heap_plan *plan, void *a, void *b, cx_less less)
{
    int answer = plan->answer >= 0 ? plan->answer : less(a, b);
    plan->answer = -1;
    if (answer < 0) {
        plan->a = a;
        plan->b = b;
    }
    return answer;
}

static void
begin(const struct cx_heap *heap, struct cx_heap_plan *plan, size_t pos)
{
    if (plan->version != heap->version) {
        cx_heap_plan_init(plan);
        plan->version = heap->version;
        plan->pos = pos;
    }
}

enum cx_status
cx_heap_push(struct cx_heap *heap, struct cx_heap_plan *plan, void *item, int64_t weight,
             cx_less less)
{
    struct cx_buffer *b = &heap->b;
    begin(heap, plan, b->count);
    if (b->count == b->capacity && !cx_buffer_grow(b)) {
        return CX_NOMEM;
    }
    while (plan->pos > 0) {
        size_t parent = (plan->pos - 1) >> 1;
        int less_than_parent = ask(plan, item, cx_buffer_at(b, parent), less);
        if (less_than_parent < 0) {
            return CX_UNDECIDED;
        }
        if (less_than_parent == 0) {
            break;
        }
        plan->pos = parent;
    }
    size_t hole = b->count++;
    while (hole > plan->pos) {
        size_t parent = (hole - 1) >> 1;
        cx_buffer_set(b, hole, cx_buffer_at(b, parent), cx_buffer_weight(b, parent));
        hole = parent;
    }
    cx_buffer_set(b, hole, item, weight);
    heap->version++;
    return CX_OK;
}

static size_t
child_on_path(size_t pos, uint64_t path, uint32_t level)
{
    return 2 * pos + 1 + ((path >> level) & 1);
}

/* The node of the path at a level; level 0 is the root. */
static size_t
node_on_path(uint64_t path, uint32_t level)
{
    size_t pos = 0;
    for (uint32_t i = 0; i < level; i++) {
        pos = child_on_path(pos, path, i);
    }
    return pos;
}

/* Sinks the hole from the root to a leaf along the smaller children. */
static bool
sink(struct cx_heap *heap, struct cx_heap_plan *plan, size_t end, cx_less less)
{
    struct cx_buffer *b = &heap->b;
    for (;;) {
        size_t left = 2 * plan->pos + 1, right = left + 1;
        if (left >= end) {
            plan->rising = true;
            return true;
        }
        int takes_left = 1;
        if (right < end) {
            takes_left = ask(plan, cx_buffer_at(b, left), cx_buffer_at(b, right), less);
            if (takes_left < 0) {
                return false;
            }
        }
        plan->path |= (uint64_t)(takes_left == 0) << plan->depth;
        plan->depth++;
        plan->pos = takes_left ? left : right;
    }
}

enum cx_status
cx_heap_pop(struct cx_heap *heap, struct cx_heap_plan *plan, void **item, int64_t *weight,
            cx_less less)
{
    struct cx_buffer *b = &heap->b;
    if (b->count == 0) {
        return CX_EMPTY;
    }
    begin(heap, plan, 0);
    size_t end = b->count - 1;
    void *last = cx_buffer_at(b, end);
    int64_t last_weight = cx_buffer_weight(b, end);
    if (!plan->rising && !sink(heap, plan, end, less)) {
        return CX_UNDECIDED;
    }
    /* With the hole at a leaf, each parent on the path is the node that stood one level lower. */
    while (plan->depth > 0) {
        int less_than_parent = ask(plan, last, cx_buffer_at(b, plan->pos), less);
        if (less_than_parent < 0) {
            return CX_UNDECIDED;
        }
        if (less_than_parent == 0) {
            break;
        }
        plan->depth--;
        plan->pos = node_on_path(plan->path, plan->depth);
    }
    *item = cx_buffer_at(b, 0);
    *weight = cx_buffer_weight(b, 0);
    size_t pos = 0;
    for (uint32_t level = 0; level < plan->depth; level++) {
        size_t child = child_on_path(pos, plan->path, level);
        cx_buffer_set(b, pos, cx_buffer_at(b, child), cx_buffer_weight(b, child));
        pos = child;
    }
    if (end > 0) {
        cx_buffer_set(b, pos, last, last_weight);
    }
    (void)cx_buffer_pop_back(b);
    heap->version++;
    return CX_OK;
}

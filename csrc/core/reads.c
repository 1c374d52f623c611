// SPDX-License-Identifier: MIT
#include "core/reads.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if CX_WITH_GIL
typedef int cx_no_reads_wait;
#else

struct cx_reads *
cx_reads_new(void)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t buffers = 4;
    while (buffers < CX_READS_BUFFERS && (long)buffers < 2 * cpus) {
        buffers *= 2;
    }
    size_t size = sizeof(struct cx_reads) + buffers * sizeof(struct cx_reads_buffer);
    size = (size + CX_CACHELINE - 1) & ~(size_t)(CX_CACHELINE - 1);
    struct cx_reads *reads = aligned_alloc(CX_CACHELINE, size);
    if (reads != NULL) {
        memset(reads, 0, size);
        reads->mask = buffers - 1;
    }
    return reads;
}

void
cx_reads_free(struct cx_reads *reads)
{
    free(reads);
}

size_t
cx_reads_bytes(const struct cx_reads *reads)
{
    return sizeof *reads + (reads->mask + (size_t)1) * sizeof reads->buffer[0];
}

CX_COLD void
cx_reads_use(struct cx_reads *reads, uint32_t buffer)
{
    uint64_t used = cx_load_relaxed(&reads->used);
    while (!cx_cas_acq_rel(&reads->used, &used, used | UINT64_C(1) << buffer)) {
    }
}

bool
cx_reads_begin(struct cx_reads *reads, struct cx_reads_walk *walk)
{
    walk->count = 0;
    /* Whoever noted what the caller knows of had set its bit before. */
    for (uint64_t used = cx_load_acquire(&reads->used); used != 0; used &= used - 1) {
        struct cx_reads_buffer *b = &reads->buffer[__builtin_ctzll(used)];
        uint32_t end = cx_load_acquire(&b->written); /* [R6] pairs with [R5] */
        if (end != cx_load_relaxed(&b->taken)) {
            walk->buffer[walk->count] = b;
            walk->end[walk->count++] = end;
        }
    }
    return walk->count > 0;
}

bool
cx_reads_next(struct cx_reads_walk *walk, struct cx_read *read)
{
    uint32_t oldest = CX_READS_BUFFERS;
    for (uint32_t i = 0; i < walk->count; i++) {
        const struct cx_reads_buffer *b = walk->buffer[i];
        const struct cx_read *first = &b->read[cx_load_relaxed(&b->taken) % CX_READS];
        if (oldest == CX_READS_BUFFERS || first->stamp < read->stamp) {
            oldest = i;
            *read = *first;
        }
    }
    if (oldest == CX_READS_BUFFERS) {
        return false;
    }
    struct cx_reads_buffer *b = walk->buffer[oldest];
    uint32_t taken = cx_load_relaxed(&b->taken) + 1;
    cx_store_release(&b->taken, taken); /* [R4] pairs with [R3] */
    if (taken == walk->end[oldest]) {
        walk->count--;
        walk->buffer[oldest] = walk->buffer[walk->count];
        walk->end[oldest] = walk->end[walk->count];
    }
    return true;
}

#endif

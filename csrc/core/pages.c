// SPDX-License-Identifier: MIT
#include "core/pages.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define LARGE ((size_t)64 * 1024)

void *
cx_pages_take(size_t bytes)
{
    if (bytes >= LARGE) {
        void *memory =
            mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return memory == MAP_FAILED ? NULL : memory;
    }
    size_t lines = (bytes + CX_CACHELINE - 1) & ~(size_t)(CX_CACHELINE - 1);
    void *memory = aligned_alloc(CX_CACHELINE, lines);
    return memory == NULL ? NULL : memset(memory, 0, lines);
}

void
cx_pages_give(void *memory, size_t bytes)
{
    if (memory != NULL && bytes >= LARGE) {
        (void)munmap(memory, bytes);
    }
    else {
        free(memory);
    }
}

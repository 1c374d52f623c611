// SPDX-License-Identifier: MIT
/* core/pages.h - memory of large arrays, zeroed, that goes back to the system when it is given back.
 *
 * A table that doubles leaves behind as much as it takes, and an allocator keeps that: a table of
 * 100,000 entries then costs twice its size (measured with glibc).  From 64 KiB on an array is a
 * mapping of its own, of which untouched pages cost nothing; below, it is the allocator's.
 *
 * Progress: as malloc and mmap.
 */
#ifndef CX_CORE_PAGES_H
#define CX_CORE_PAGES_H

#include "core/config.h"

/* Zeroed and aligned to a cache line; NULL: no memory. */
void *cx_pages_take(size_t bytes);
/* With the same number of bytes; NULL is nothing. */
void cx_pages_give(void *memory, size_t bytes);

#endif

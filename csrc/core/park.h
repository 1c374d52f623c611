// SPDX-License-Identifier: MIT
/* core/park.h - the one place where a thread sleeps.
 *
 * A thread sleeps on a 32-bit word for as long as the word holds an expected value.  Linux: a
 * private futex with an absolute CLOCK_MONOTONIC deadline.  Elsewhere (or with CX_NO_FUTEX): a
 * table of mutexes and condition variables, hashed by address.
 *
 * Progress:  cx_unpark is one system call; cx_park blocks.
 * Ordering:  none.  The word itself is published with release and read with acquire by the caller.
 * Spurious:  cx_park may return CX_OK without a cause; callers loop on their word.  cx_unpark only
 *            compares addresses: the word may already belong to somebody else, or be gone.
 * Fork:      the table is made anew in the child.
 */
#ifndef CX_CORE_PARK_H
#define CX_CORE_PARK_H

#include "core/atomic.h"
#include "core/status.h"

/* Sleeps while *word == expected.  CX_OK: woken, or the word differs; CX_TIMEOUT: the deadline has
 * passed; CX_INTR: a signal handler ran in this thread. */
enum cx_status cx_park(const uint32_t *word, uint32_t expected, int64_t deadline);

/* Wakes at most n sleepers of the word. */
void cx_unpark(const uint32_t *word, int n);

/* The same for a word in memory that processes share.  Nobody may be left who wakes, so the deadline
 * is a bounded one.  Where there is no futex the sleeper looks every millisecond. */
enum cx_status cx_park_shared(const uint32_t *word, uint32_t expected, int64_t deadline);
/* How many were asleep; n if nobody knows. */
int cx_unpark_shared(const uint32_t *word, int n);

/* Called once per process before the first use. */
void cx_park_install(void);

#endif

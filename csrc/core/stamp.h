// SPDX-License-Identifier: MIT
/* core/stamp.h - a number that grows with every use, without a word that threads share.
 *
 * The CPU's counter of time, which all CPUs of a machine have in common, made to grow with every
 * call in one thread.  Of two calls in different threads the later one gets the greater stamp if
 * something orders them and takes longer than a tick of the counter (on x86-64 under a nanosecond,
 * on aarch64 1 to 40).  Reading it costs 7 ns, a shared counter that two threads add to ten times that.
 *
 * Where no other thread takes part, cx_stamp_alone does without the CPU: it counts on from the thread's
 * last stamp, and uses are so much slower than ticks that it stays behind the counter of time.
 *
 * Progress: wait-free.
 */
#ifndef CX_CORE_STAMP_H
#define CX_CORE_STAMP_H

#include "core/atomic.h"
#include "core/clock.h"

extern CX_THREAD_LOCAL uint64_t cx_stamp_last;

#ifdef CX_MC

#define cx_stamp() mc_stamp()
#define cx_stamp_alone() mc_stamp()

#else

static inline uint64_t
cx_stamp(void)
{
#if defined(__x86_64__)
    uint64_t stamp = __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t stamp;
    __asm__ __volatile__("mrs %0, cntvct_el0" : "=r"(stamp));
#else
    uint64_t stamp = (uint64_t)cx_now();
#endif
    uint64_t least = cx_stamp_last + 1;
    return cx_stamp_last = stamp < least ? least : stamp;
}

/* Greater than all that this thread has taken. */
static inline uint64_t
cx_stamp_alone(void)
{
    return CX_LIKELY(cx_stamp_last != 0) ? ++cx_stamp_last : cx_stamp();
}

#endif

#endif

// SPDX-License-Identifier: MIT
/* core/clock.h - monotonic time and absolute deadlines, in nanoseconds.
 *
 * Progress: wait-free.  A deadline is a point of CLOCK_MONOTONIC; CX_FOREVER never passes.
 */
#ifndef CX_CORE_CLOCK_H
#define CX_CORE_CLOCK_H

#include "core/config.h"

#include <time.h>

#define CX_FOREVER INT64_MAX
#define CX_SECOND INT64_C(1000000000)

static inline int64_t
cx_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * CX_SECOND + ts.tv_nsec;
}

/* The deadline `ns` nanoseconds from now; CX_FOREVER if that lies past the end of time. */
static inline int64_t
cx_deadline_after(int64_t ns)
{
    int64_t now = cx_now();
    return ns >= CX_FOREVER - now ? CX_FOREVER : now + ns;
}

#endif

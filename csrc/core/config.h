// SPDX-License-Identifier: MIT
/* core/config.h - facts about the compiler, the machine and the build.
 *
 * CX_WITH_GIL  set to 1 by setup.py when the extension is built for an interpreter with a GIL;
 *              the GIL then excludes and cx_guard (core/lock.h) is empty.
 * CX_MC        the model checker compiles the core with this; atomics and parking become its hooks.
 * CX_NO_FUTEX  takes the portable parking lot (mutex and condition variable) also on Linux.
 * CX_NO_MEMFD  takes segments that are unlinked POSIX shared memory also on Linux (core/shm.c).
 * CX_KILL      compiles kill points into what processes share (core/shm.h); tests only.
 */
#ifndef CX_CORE_CONFIG_H
#define CX_CORE_CONFIG_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* clock_gettime, syscall, pthread_condattr_setclock under -std=c11 */
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef CX_WITH_GIL
#define CX_WITH_GIL 0
#endif

#define CX_CACHELINE 64

#if defined(__linux__) && !defined(CX_NO_FUTEX) && !defined(CX_MC)
#define CX_FUTEX 1
#else
#define CX_FUTEX 0
#endif

#define CX_LIKELY(x) __builtin_expect(!!(x), 1)
#define CX_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define CX_COLD __attribute__((cold, noinline))
#define CX_ALIGNED __attribute__((aligned(CX_CACHELINE)))
#define CX_NODISCARD __attribute__((warn_unused_result))

/* A private read of a thread-local costs 2 ns through the initial-exec model and 7 ns without, in a
 * module that was loaded at run time (measured); musl refuses that model there. */
#if defined(__GLIBC__)
#define CX_THREAD_LOCAL __attribute__((tls_model("initial-exec"))) __thread
#else
#define CX_THREAD_LOCAL __thread
#endif

/* 1 only in the model checker's build with -DCX_BUG_name=1, which seeds that bug (tests/core/mc). */
#define CX_BUG(name) CX_BUG_EXPAND(CX_BUG_##name)
#define CX_BUG_EXPAND(value) CX_BUG_PASTE(value)
#define CX_BUG_PASTE(value) CX_BUG_PICK(CX_BUG_COMMA_##value 1, 0, 0)
#define CX_BUG_PICK(...) CX_BUG_SECOND(__VA_ARGS__)
#define CX_BUG_COMMA_1 0,
#define CX_BUG_SECOND(first, second, ...) second

#define CX_UNLESS_BUG(name, statement)                                                             \
    do {                                                                                           \
        if (!CX_BUG(name)) {                                                                       \
            statement;                                                                             \
        }                                                                                          \
    } while (0)

#define CX_CONTAINER(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

#endif

// SPDX-License-Identifier: MIT
/* core/atomic.h - the only way in which core code touches memory that is shared without a lock.
 *
 * Every operation spells its memory order; there is no default.  The operands are plain integers
 * and pointers of at most eight bytes; a field that is used through these macros is used through
 * nothing else while it is shared.
 *
 * Fields that a lock guards are plain: the lock is one read-modify-write to acquire and one to
 * release through this file, so the model checker schedules around it, and ThreadSanitizer proves
 * that the guarded accesses are inside it.
 *
 * cx_fence_seq_cst orders a store before a later load (StoreLoad), which no acquire/release pair
 * does.  Under ThreadSanitizer, which does not know fences, it is an update of one shared word.
 */
#ifndef CX_CORE_ATOMIC_H
#define CX_CORE_ATOMIC_H

#include "core/config.h"

#if defined(__SANITIZE_THREAD__)
#define CX_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CX_TSAN 1
#endif
#endif

#ifdef CX_MC

#include "mc_hooks.h"

#else

#define cx_load_relaxed(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define cx_load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define cx_store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define cx_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)

#define cx_xchg_acquire(p, v) __atomic_exchange_n((p), (v), __ATOMIC_ACQUIRE)
#define cx_xchg_release(p, v) __atomic_exchange_n((p), (v), __ATOMIC_RELEASE)
#define cx_xchg_acq_rel(p, v) __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)

#define cx_fetch_add_relaxed(p, v) __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
#define cx_fetch_add_acq_rel(p, v) __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL)

/* Strong compare-and-swap: true if *p was *expected and is now v; otherwise *expected is what *p
 * held, read with the acquire half of the named order. */
#define cx_cas_relaxed(p, expected, v)                                                             \
    __atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)
#define cx_cas_acquire(p, expected, v)                                                             \
    __atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)
#define cx_cas_release(p, expected, v)                                                             \
    __atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_RELEASE, __ATOMIC_RELAXED)
#define cx_cas_acq_rel(p, expected, v)                                                             \
    __atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)

#ifdef CX_TSAN
extern uint32_t cx_tsan_fence;
#define cx_fence_seq_cst() ((void)__atomic_fetch_add(&cx_tsan_fence, 0, __ATOMIC_SEQ_CST))
#else
#define cx_fence_seq_cst() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif

#endif /* CX_MC */

#if defined(CX_MC)
/* mc_hooks.h has cx_pause too. */
#elif defined(__x86_64__) || defined(__i386__)
#define cx_pause() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define cx_pause() __asm__ __volatile__("isb" ::: "memory")
#else
#define cx_pause() ((void)0)
#endif

#endif

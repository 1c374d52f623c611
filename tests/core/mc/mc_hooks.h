// SPDX-License-Identifier: MIT
/* tests/core/mc/mc_hooks.h - core/atomic.h and the allocator as the model checker sees them.
 *
 * core/atomic.h includes this when it is compiled with CX_MC.  Each macro is a schedule point: the
 * checker may run other threads before the operation is done.  The orders are dropped: the checker
 * knows sequential consistency and, in store-buffer mode, delayed stores.
 */
#ifndef CX_MC_HOOKS_H
#define CX_MC_HOOKS_H

#include <stdint.h>
#include <stdlib.h>

uint64_t mc_load(const void *p, unsigned size);
void mc_store(void *p, unsigned size, uint64_t value);
uint64_t mc_xchg(void *p, unsigned size, uint64_t value);
uint64_t mc_release(void *p, unsigned size, uint64_t value);
uint64_t mc_add(void *p, unsigned size, uint64_t value);
_Bool mc_cas(void *p, void *expected, unsigned size, uint64_t value);
void mc_fence(void);
void mc_barrier(void);
uint32_t mc_thread_number(void);
uint64_t mc_stamp(void);
void mc_pause(void);

void *mc_calloc(size_t n, size_t size);
void *mc_aligned(size_t alignment, size_t size);
void mc_free(void *p);

#define MC_VALUE(p, v) ((uint64_t)(__typeof__(*(p)))(v))

#define cx_load_relaxed(p) ((__typeof__(*(p)))mc_load((p), sizeof *(p)))
#define cx_load_acquire(p) cx_load_relaxed(p)
#define cx_store_relaxed(p, v) mc_store((p), sizeof *(p), MC_VALUE(p, v))
#define cx_store_release(p, v) cx_store_relaxed(p, v)

#define cx_xchg_acquire(p, v) ((__typeof__(*(p)))mc_xchg((p), sizeof *(p), MC_VALUE(p, v)))
/* Only locks are released in this way. */
#define cx_xchg_release(p, v) ((__typeof__(*(p)))mc_release((p), sizeof *(p), MC_VALUE(p, v)))
#define cx_xchg_acq_rel(p, v) cx_xchg_acquire(p, v)

#define cx_fetch_add_relaxed(p, v)                                                                 \
    __extension__({                                                                                \
        __typeof__(p) mc_p = (p);                                                                  \
        (__typeof__(*mc_p))mc_add(mc_p, sizeof *mc_p, MC_VALUE(mc_p, v));                          \
    })
#define cx_fetch_add_acq_rel(p, v) cx_fetch_add_relaxed(p, v)

#define cx_cas_relaxed(p, expected, v) mc_cas((p), (expected), sizeof *(p), MC_VALUE(p, v))
#define cx_cas_acquire(p, expected, v) cx_cas_relaxed(p, expected, v)
#define cx_cas_release(p, expected, v) cx_cas_relaxed(p, expected, v)
#define cx_cas_acq_rel(p, expected, v) cx_cas_relaxed(p, expected, v)

#define cx_fence_seq_cst() mc_fence()
#define cx_pause() mc_pause()

#define malloc(size) mc_calloc(1, (size))
#define calloc(n, size) mc_calloc((n), (size))
#define aligned_alloc(alignment, size) mc_aligned((alignment), (size))
#define free(p) mc_free(p)

#endif

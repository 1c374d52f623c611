// SPDX-License-Identifier: MIT
/* tests/core/mc/models.h - the models, one file each. */
#ifndef CX_MC_MODELS_H
#define CX_MC_MODELS_H

#include "mc.h"

#define MODEL(noun)                                                                                \
    void model_##noun##_setup(void);                                                               \
    void model_##noun##_finish(bool deadlock);

MODEL(lock)
MODEL(queue)
MODEL(ring)
MODEL(select)
MODEL(task)
MODEL(future)
MODEL(deque)
MODEL(pool)
MODEL(map)
MODEL(shm)
MODEL(cache)
MODEL(lru)
MODEL(worklink)
MODEL(loan)

/* Of the model that runs: each thread's slot of core/rcu.h; the last is setup's. */
struct cx_rcu_slot;
extern struct cx_rcu_slot **mc_rcu_slots;

#endif

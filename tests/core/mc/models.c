// SPDX-License-Identifier: MIT
#include "models.h"

#define ROW(name, noun, variant, says, sc, tso)                                                   \
    {name, variant, model_##noun##_setup, model_##noun##_finish, says, sc, tso}

const struct mc_model mc_models[] = {
    ROW("lock/2", lock, 2, "two threads, two rounds each", -1, -1),
    ROW("lock/3", lock, 3, "three threads, four rounds in all", 3, 2),
};
const size_t mc_model_count = sizeof mc_models / sizeof mc_models[0];

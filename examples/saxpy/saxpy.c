// SPDX-License-Identifier: MIT
/* y = a * x + y, as a range function for concx.native. */
#include <stdint.h>

struct saxpy {
    float a;
    const float *x;
    float *y;
};

void
saxpy(int64_t begin, int64_t end, void *user_data)
{
    const struct saxpy *job = user_data;
    for (int64_t i = begin; i < end; i++) {
        job->y[i] += job->a * job->x[i];
    }
}

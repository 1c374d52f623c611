// SPDX-License-Identifier: MIT
#include "core/stamp.h"

CX_THREAD_LOCAL uint64_t cx_stamp_last;

// SPDX-License-Identifier: MIT
/* tests/core/fuzz/fuzz.h - how a target reads its input, and what it expects. */
#ifndef CX_TESTS_FUZZ_H
#define CX_TESTS_FUZZ_H

#include "core/config.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct input {
    const uint8_t *bytes;
    size_t left;
};

/* The next n bytes as a number; zeros at the end. */
static inline uint64_t
next(struct input *in, unsigned n)
{
    uint64_t value = 0;
    for (; n > 0 && in->left > 0; n--, in->left--) {
        value = value << 8 | *in->bytes++;
    }
    return value;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#include "core/shm.h"

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    cx_shm_install();
    return 0;
}

#endif

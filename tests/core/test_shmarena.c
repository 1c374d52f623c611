// SPDX-License-Identifier: MIT
/* Blocks: apart, aligned, warm, and never handed out again while another process may know them. */
#include "harness.h"

#include <errno.h>

#include "core/shmarena.h"
#include "killing.h"

#define BLOCKS 400

static void
test_apart(void)
{
    struct cx_shm shm;
    struct cx_shmarena arena;
    struct cx_shmarena_block blocks[BLOCKS];
    struct rng rng = {harness_seed};
    bool fresh;
    CHECK_EQ(cx_shm_create(&shm, CX_SHM_DATA, 16 << 20, 0), CX_OK);
    cx_shmarena_init(&arena, &shm);
    memset(blocks, 0, sizeof blocks);
    for (int i = 0; i < 20000; i++) {
        struct cx_shmarena_block *block = &blocks[rng_below(&rng, BLOCKS)];
        if (block->offset != 0) {
            for (uint64_t at = 0; at < block->size; at++) {
                CHECK_EQ(shm.base[block->offset + at], (char)(block - blocks));
            }
            cx_shmarena_give(&arena, block);
            block->offset = 0;
            continue;
        }
        uint64_t size = rng_below(&rng, 1u << rng_below(&rng, 14));
        CHECK_EQ(cx_shmarena_take(&arena, size, block, &fresh), CX_OK);
        CHECK(block->offset % 64 == 0 && block->offset >= CX_SHM_HEADER);
        CHECK(block->offset + size <= shm.size);
        memset(shm.base + block->offset, (char)(block - blocks), size);
    }
    cx_shmarena_fini(&arena);
    cx_shm_close(&shm);
}

static void
end_at_once(void *arg)
{
    (void)arg;
}

static void
test_warm(void)
{
    struct cx_shm shm;
    struct cx_shmarena arena;
    struct cx_shmarena_block block, again;
    bool fresh;
    CHECK_EQ(cx_shm_create(&shm, CX_SHM_DATA, 1 << 20, 0), CX_OK);
    cx_shmarena_init(&arena, &shm);
    CHECK_EQ(cx_shmarena_take(&arena, 1000, &block, &fresh), CX_OK);
    CHECK(fresh && arena.used == 1024);
    cx_shmarena_give(&arena, &block);
    CHECK_EQ(arena.used, 0);
    CHECK_EQ(cx_shmarena_take(&arena, 900, &again, &fresh), CX_OK);
    CHECK(!fresh && again.offset == block.offset);
    again.exposed = true;
    cx_shmarena_give(&arena, &again);
    CHECK_EQ(cx_shmarena_take(&arena, 900, &block, &fresh), CX_OK);
    CHECK(fresh && block.offset != again.offset);
    CHECK(!dies_at(0, end_at_once, NULL)); /* any fork */
    cx_shmarena_give(&arena, &block);
    CHECK_EQ(cx_shmarena_take(&arena, 900, &again, &fresh), CX_OK);
    CHECK(fresh && block.offset != again.offset);
    cx_shmarena_fini(&arena);
    cx_shm_close(&shm);
}

static void
test_full(void)
{
    struct cx_shm shm;
    struct cx_shmarena arena;
    struct cx_shmarena_block block;
    bool fresh;
    CHECK_EQ(cx_shm_create(&shm, CX_SHM_DATA, 1 << 20, 0), CX_OK);
    cx_shmarena_init(&arena, &shm);
    CHECK_EQ(cx_shmarena_take(&arena, 1 << 20, &block, &fresh), CX_FULL);
    CHECK_EQ(cx_shmarena_take(&arena, UINT64_MAX, &block, &fresh), CX_FULL);
    cx_fill_fails = 1;
    CHECK_EQ(cx_shmarena_take(&arena, 1 << 19, &block, &fresh), CX_OSERROR);
    CHECK_EQ(shm.error, ENOSPC);
    cx_fill_fails = 0;
    CHECK_EQ(cx_shmarena_take(&arena, 1 << 19, &block, &fresh), CX_OK);
    CHECK_EQ(cx_shmarena_take(&arena, 1 << 19, &block, &fresh),
             CX_FULL); /* the header takes some */
    CHECK_EQ(cx_shmarena_take(&arena, 520000, &block, &fresh),
             CX_OK); /* the rest, though its class is more */
    CHECK_EQ(block.offset + 520000 <= shm.size, true);
    CHECK_EQ(cx_shmarena_take(&arena, 64, &block, &fresh), CX_FULL);
    cx_shmarena_fini(&arena);
    cx_shm_close(&shm);
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    cx_shm_install();
    RUN(test_apart);
    RUN(test_warm);
    RUN(test_full);
    return harness_end();
}

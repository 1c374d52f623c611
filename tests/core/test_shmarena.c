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

static void
test_lent(void)
{
    struct cx_shm shm;
    struct cx_shmarena arena;
    uint64_t first, second, third;
    CHECK_EQ(cx_shm_create(&shm, CX_SHM_DATA, 1 << 20, 0), CX_OK);
    cx_shmarena_init(&arena, &shm);
    CHECK_EQ(cx_shmarena_lend(&arena, 1000, &first), CX_OK);
    CHECK(first % 64 == 0 && arena.lents == 1);
    CHECK(cx_shmarena_borrow(shm.base + first, true));
    CHECK(!cx_shmarena_borrow(shm.base + first, true)); /* once */
    CHECK(!cx_shmarena_call_back(shm.base + first));
    CHECK_EQ(cx_shmarena_lend(&arena, 1000, &second), CX_OK);
    CHECK(second != first);
    cx_shmarena_return(shm.base + first);
    CHECK(!dies_at(0, end_at_once, NULL)); /* a fork of the owner's changes nothing */
    CHECK_EQ(cx_shmarena_lend(&arena, 1000, &third), CX_OK);
    CHECK_EQ(third, first);                       /* warm */
    CHECK(!cx_shmarena_recall(&arena, third, 1)); /* that was the first loan of the place */
    CHECK(cx_shmarena_recall(&arena, third, arena.loans));
    CHECK(!cx_shmarena_recall(&arena, third, arena.loans)); /* once */
    /* Several borrowers, while the message lasts. */
    cx_shmarena_sweep(&arena);
    CHECK_EQ(arena.lents, 1);
    cx_shmarena_sign(shm.base + second, 7);
    CHECK(!cx_shmarena_is_with(&arena, 0, 7)); /* it has not borrowed yet */
    CHECK(cx_shmarena_borrow(shm.base + second, false));
    CHECK(cx_shmarena_is_with(&arena, 0, 7) && !cx_shmarena_is_with(&arena, 0, 8));
    cx_shmarena_sign(shm.base + second, (1u << CX_OWNER_PID_BITS) | 8);
    CHECK(cx_shmarena_borrow(shm.base + second, false));
    CHECK(cx_shmarena_is_with(&arena, 0, 8)); /* the last one, by its pid */
    cx_shmarena_return(shm.base + second);
    CHECK(cx_shmarena_call_back(shm.base + second));
    cx_shmarena_sweep(&arena);
    CHECK_EQ(arena.lents, 1);
    cx_shmarena_return(shm.base + second);
    cx_shmarena_return(shm.base + second); /* one too many does no harm */
    cx_shmarena_sweep(&arena);
    CHECK(arena.lents == 0 && arena.used == 0);
    CHECK_EQ(cx_shmarena_lend(&arena, 1 << 20, &first), CX_FULL);
    CHECK_EQ(cx_shmarena_lend(&arena, UINT64_MAX - 8, &first), CX_FULL);
    cx_fill_fails = 1;
    CHECK_EQ(cx_shmarena_lend(&arena, 1 << 19, &first), CX_OSERROR);
    cx_fill_fails = 0;
    CHECK_EQ(arena.lents, 0);
    cx_shmarena_fini(&arena);
    cx_shm_close(&shm);
}

struct loan {
    struct cx_shm shm;
    struct cx_shmarena arena;
    uint64_t offset;
};

static void
borrow_and_return(void *arg)
{
    struct loan *loan = arg;
    char *at = loan->shm.base + loan->offset;
    cx_shmarena_sign(at, cx_owner_self());
    if (cx_shmarena_borrow(at, true)) {
        memset(at, 7, 1000);
        cx_shmarena_return(at);
    }
}

static void
lend_and_call_back(void *arg)
{
    struct loan *loan = arg;
    uint64_t offset;
    if (cx_shmarena_lend(&loan->arena, 1000, &offset) == CX_OK) {
        (void)cx_shmarena_call_back(loan->shm.base + offset);
    }
}

/* A borrower that dies: the block is there again, or still in the message, or lost, and never anybody
 * else's while it may be in use. */
static void
test_killed_anywhere(void)
{
    const char *const none[] = {NULL};
    int seen[3] = {0};
    bool died = true;
    killed_count = 0;
    for (int k = 1; died; k++) {
        struct loan loan;
        uint64_t next;
        CHECK_EQ(cx_shm_create(&loan.shm, CX_SHM_DATA, 1 << 20, 0), CX_OK);
        cx_shmarena_init(&loan.arena, &loan.shm);
        CHECK_EQ(cx_shmarena_lend(&loan.arena, 1000, &loan.offset), CX_OK);
        died = dies_at(k, borrow_and_return, &loan);
        char *at = loan.shm.base + loan.offset;
        bool in_message = cx_shmarena_call_back(at);
        CHECK_EQ(cx_shmarena_lend(&loan.arena, 1000, &next), CX_OK);
        bool back = next == loan.offset;
        CHECK_EQ(loan.arena.lents, back ? 1 : 2); /* what is lost stays lent, to nobody else */
        seen[in_message ? 0 : back ? 1 : 2]++;
        CHECK(!in_message || (back && at[0] != 7)); /* nobody had written there */
        CHECK(died || back);
        cx_shmarena_fini(&loan.arena);
        cx_shm_close(&loan.shm);
    }
    CHECK(seen[0] > 0 && seen[1] > 0 && seen[2] > 0);
    printf("  in the message %d, back %d, lost %d\n", seen[0], seen[1], seen[2]);
    died = true;
    for (int k = 1; died; k++) { /* the owner dies: nothing is damaged for who has borrowed */
        struct loan loan;
        CHECK_EQ(cx_shm_create(&loan.shm, CX_SHM_DATA, 1 << 20, 0), CX_OK);
        cx_shmarena_init(&loan.arena, &loan.shm);
        CHECK_EQ(cx_shmarena_lend(&loan.arena, 1000, &loan.offset), CX_OK);
        CHECK(cx_shmarena_borrow(loan.shm.base + loan.offset, true));
        memset(loan.shm.base + loan.offset, 3, 1000);
        died = dies_at(k, lend_and_call_back, &loan);
        for (int i = 0; i < 1000; i++) {
            CHECK_EQ(loan.shm.base[loan.offset + (uint64_t)i], 3);
        }
        cx_shmarena_return(loan.shm.base + loan.offset);
        cx_shmarena_fini(&loan.arena);
        cx_shm_close(&loan.shm);
    }
    every_point_was_hit("core/shmarena.c", none);
}

static void
lend_and_return(struct worker *self)
{
    struct loan *loan = self->shared;
    uint64_t *places = (uint64_t *)(void *)(loan + 1);
    for (int i = 0; i < 3000; i++) {
        if (self->id == 0) { /* the owner; the others borrow what it tells of */
            uint64_t none = 0, offset;
            CHECK_EQ(cx_shmarena_lend(&loan->arena, 1000, &offset), CX_OK);
            memset(loan->shm.base + offset, i, 1000);
            if (!cx_cas_release(&places[i % 8], &none, offset)) {
                CHECK(cx_shmarena_call_back(loan->shm.base + offset));
            }
            continue;
        }
        uint64_t offset = cx_xchg_acq_rel(&places[rng_below(&self->rng, 8)], 0);
        char *at = loan->shm.base + offset;
        if (offset != 0) {
            CHECK(cx_shmarena_borrow(at, true));
            CHECK(at[0] == at[999]);
            memset(at, 99, 1000);
            cx_shmarena_return(at);
        }
    }
}

static void
test_mpmc(void)
{
    struct {
        struct loan loan;
        uint64_t places[8];
    } both = {0};
    CHECK_EQ(cx_shm_create(&both.loan.shm, CX_SHM_DATA, 1 << 20, 0), CX_OK);
    cx_shmarena_init(&both.loan.arena, &both.loan.shm);
    run_threads(3, lend_and_return, &both);
    for (int i = 0; i < 8; i++) {
        if (both.places[i] != 0) {
            CHECK(cx_shmarena_call_back(both.loan.shm.base + both.places[i]));
        }
    }
    cx_shmarena_sweep(&both.loan.arena);
    CHECK(both.loan.arena.lents == 0 && both.loan.arena.used == 0);
    cx_shmarena_fini(&both.loan.arena);
    cx_shm_close(&both.loan.shm);
}

int
main(int argc, char **argv)
{
    harness_begin(argc, argv);
    cx_shm_install();
    RUN(test_apart);
    RUN(test_warm);
    RUN(test_full);
    RUN(test_lent);
    RUN(test_killed_anywhere);
    RUN(test_mpmc);
    return harness_end();
}

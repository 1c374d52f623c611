// SPDX-License-Identifier: MIT
/* libFuzzer over the arena: blocks are taken, given, lent, borrowed and called back while the input writes
 * anywhere into the segment.  What the owner hands out stays inside, and apart from what it has handed out:
 * its own lists are not in the segment, so nothing that a peer writes can change that. */
#include "fuzz.h"

#include "core/shmarena.h"

#define BLOCKS 64
#define SIZE (1u << 20)

struct held {
    uint64_t offset, size; /* size 0: none */
    bool lent;
    struct cx_shmarena_block block;
};

static void
expect_apart(const struct held *held, uint64_t offset, uint64_t size)
{
    EXPECT(offset >= CX_SHM_HEADER && offset % 64 == 0 && offset + size <= SIZE + 4096);
    for (int i = 0; i < BLOCKS; i++) {
        EXPECT(held[i].size == 0 || held[i].lent || offset + size <= held[i].offset ||
               held[i].offset + held[i].size <= offset);
    }
}

static void
use(struct input *in, struct cx_shmarena *arena, struct held *h, struct held *all)
{
    uint64_t size = 1 + next(in, 2), offset;
    char *base = arena->shm->base;
    bool fresh;
    switch (next(in, 1) % 6) {
    case 0:
        if (h->size == 0 && cx_shmarena_take(arena, size, &h->block, &fresh) == CX_OK) {
            expect_apart(all, h->block.offset, size);
            *h = (struct held){h->block.offset, size, false, h->block};
            memset(base + h->offset, 1, size);
        }
        break;
    case 1:
        if (h->size != 0 && !h->lent) {
            cx_shmarena_give(arena, &h->block);
            h->size = 0;
        }
        break;
    case 2:
        if (h->size == 0 && cx_shmarena_lend(arena, size, &offset) == CX_OK) {
            expect_apart(all, offset, size);
            *h = (struct held){offset, size, true, h->block};
            memset(base + offset, 2, size);
        }
        break;
    case 3:
        if (h->lent && h->size != 0 && cx_shmarena_borrow(base + h->offset, next(in, 1) % 2)) {
            cx_shmarena_return(base + h->offset);
        }
        break;
    case 4:
        if (h->lent && h->size != 0) {
            (void)cx_shmarena_call_back(base + h->offset);
            h->size = 0;
        }
        break;
    default:
        cx_shmarena_sweep(arena);
        EXPECT(arena->next <= arena->shm->size && arena->lents <= arena->lent_room);
        break;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input in = {bytes, size};
    struct cx_shm shm;
    struct cx_shmarena arena;
    struct held held[BLOCKS] = {{0}};
    EXPECT(cx_shm_create(&shm, CX_SHM_DATA, SIZE, 0) == CX_OK);
    cx_shmarena_init(&arena, &shm);
    while (in.left > 0) {
        if (next(&in, 1) % 4 == 0) { /* a peer: anywhere that has pages */
            uint64_t what = next(&in, 8);
            memcpy(shm.base + next(&in, 3) % (arena.filled / 8) * 8, &what, 8);
        }
        use(&in, &arena, &held[next(&in, 1) % BLOCKS], held);
    }
    cx_shmarena_fini(&arena);
    cx_shm_close(&shm);
    return 0;
}

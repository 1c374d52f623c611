// SPDX-License-Identifier: MIT
#include "core/shmarena.h"

#include <stdlib.h>

#define LEAST 64
#define FILL (UINT64_C(1) << 16) /* pages are filled in steps of so many bytes */

/* The class of a size: 4 * (how often 64 was doubled) + quarters, and its blocks' size. */
static uint32_t
class_of(uint64_t size, uint64_t *rounded)
{
    uint64_t base = LEAST;
    uint32_t doubled = 0;
    while (size > base * 2) {
        base *= 2;
        doubled++;
    }
    if (size <= LEAST) {
        *rounded = LEAST;
        return 0;
    }
    /* Quarters of a multiple of 256 keep the alignment; below, only halves and wholes do. */
    uint64_t step = base / 4 >= LEAST ? base / 4 : base / LEAST >= 2 ? LEAST : base;
    uint64_t steps = (size - base + step - 1) / step;
    *rounded = base + steps * step;
    return 1 + doubled * 4 + (uint32_t)(steps * step * 4 / base - 1);
}

void
cx_shmarena_init(struct cx_shmarena *arena, struct cx_shm *shm)
{
    *arena = (struct cx_shmarena){.shm = shm, .next = CX_SHM_HEADER};
    arena->filled = (uint64_t)4096; /* the header's page, at least */
}

void
cx_shmarena_fini(struct cx_shmarena *arena)
{
    for (int i = 0; i < CX_SHMARENA_CLASSES; i++) {
        free(arena->free[i].offsets);
        arena->free[i] = (struct cx_shmarena_list){0};
    }
    free(arena->lent);
    arena->lent = NULL;
    arena->lents = arena->lent_room = 0;
}

bool
cx_shmarena_mine(const struct cx_shmarena *arena)
{
    return arena->shm->generation == cx_fork_generation();
}

/* Pages up to `end`, and some more. */
static bool
fill(struct cx_shmarena *arena, uint64_t end)
{
    uint64_t upto = (end + FILL - 1) / FILL * FILL;
    upto = upto < arena->shm->size ? upto : arena->shm->size;
    if (end <= arena->filled) {
        return true;
    }
    if (!cx_shm_fill(arena->shm, arena->filled, upto - arena->filled)) {
        return false;
    }
    arena->filled = upto;
    return true;
}

enum cx_status
cx_shmarena_take(struct cx_shmarena *arena, uint64_t size, struct cx_shmarena_block *block,
                 bool *fresh)
{
    uint64_t rounded, left = arena->shm->size - arena->next;
    if (size > CX_SHM_MOST / 2) {
        return CX_FULL;
    }
    struct cx_shmarena_list *list = &arena->free[class_of(size, &rounded)];
    *block = (struct cx_shmarena_block){.size = size, .forks = cx_shm_forks()};
    *fresh = list->length == 0;
    block->offset = *fresh ? arena->next : list->offsets[list->length - 1];
    if (*fresh && rounded > left) {
        /* What is left is handed out once, as it is less than its class. */
        if (size > left) {
            return CX_FULL;
        }
        rounded = left;
        block->exposed = true;
    }
    if (!fill(arena, block->offset + size)) {
        return CX_OSERROR;
    }
    list->length -= !*fresh;
    arena->next += *fresh ? rounded : 0;
    arena->used += rounded;
    return CX_OK;
}

void
cx_shmarena_give(struct cx_shmarena *arena, const struct cx_shmarena_block *block)
{
    uint64_t rounded;
    struct cx_shmarena_list *list = &arena->free[class_of(block->size, &rounded)];
    if (block->exposed || block->forks != cx_shm_forks() || !cx_shmarena_mine(arena)) {
        return;
    }
    if (list->length == list->room) {
        uint32_t room = list->room == 0 ? 8 : list->room * 2;
        uint64_t *more = realloc(list->offsets, room * sizeof *more);
        if (more == NULL) {
            return; /* one block less */
        }
        list->offsets = more;
        list->room = room;
    }
    list->offsets[list->length++] = block->offset;
    arena->used -= rounded;
}

/* --- lending ---------------------------------------------------------------------------------- */

#define MESSAGE 0x80000000u /* the message has it; the other bits count borrowers */

static uint32_t *
word_of(char *at)
{
    return (uint32_t *)(void *)(at - CX_SHMARENA_LINE);
}

enum cx_status
cx_shmarena_lend(struct cx_shmarena *arena, uint64_t size, uint64_t *offset)
{
    bool fresh;
    cx_shmarena_sweep(arena);
    if (arena->lents == arena->lent_room) {
        uint32_t room = arena->lent_room == 0 ? 16 : arena->lent_room * 2;
        struct cx_shmarena_block *more = realloc(arena->lent, room * sizeof *more);
        if (more == NULL) {
            return CX_NOMEM;
        }
        arena->lent = more;
        arena->lent_room = room;
    }
    struct cx_shmarena_block *block = &arena->lent[arena->lents];
    enum cx_status status = size > CX_SHM_MOST / 4
                                ? CX_FULL
                                : cx_shmarena_take(arena, size + CX_SHMARENA_LINE, block, &fresh);
    if (status == CX_OK) {
        arena->lents++;
        block->serial = ++arena->loans;
        *offset = block->offset + CX_SHMARENA_LINE;
        cx_shmarena_sign(arena->shm->base + *offset, 0);
        CX_KILL_POINT();
        cx_store_relaxed(word_of(arena->shm->base + *offset), MESSAGE);
        CX_KILL_POINT();
    }
    return status;
}

void
cx_shmarena_sweep(struct cx_shmarena *arena)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < arena->lents; i++) {
        struct cx_shmarena_block block = arena->lent[i];
        char *at = arena->shm->base + block.offset + CX_SHMARENA_LINE;
        uint32_t has = cx_load_acquire(word_of(at)); /* [A1] pairs with [A2] */
        if (has != 0 && (!CX_BUG(SHM_SWEEP_BORROWED) || (has & MESSAGE) != 0)) {
            arena->lent[kept++] = block;
            continue;
        }
        block.forks = cx_shm_forks(); /* nobody here has known it: a child knows nothing of it */
        cx_shmarena_give(arena, &block);
    }
    arena->lents = kept;
}

void
cx_shmarena_sign(char *at, uint32_t borrower)
{
    cx_store_relaxed(word_of(at) + 1, borrower);
    CX_KILL_POINT();
}

bool
cx_shmarena_borrow(char *at, bool over)
{
    uint32_t now = cx_load_relaxed(word_of(at));
    do {
        if ((now & MESSAGE) == 0 && !CX_BUG(SHM_BORROW_BLINDLY)) {
            return false;
        }
        CX_KILL_POINT();
        if (CX_BUG(SHM_BORROW_NO_CAS)) {
            cx_store_relaxed(word_of(at), (over ? now & ~MESSAGE : now) + 1);
            break;
        }
    } while (!cx_cas_acquire(word_of(at), &now, (over ? now & ~MESSAGE : now) + 1)); /* LP */
    CX_KILL_POINT();
    return true;
}

void
cx_shmarena_return(char *at)
{
    uint32_t now = cx_load_relaxed(word_of(at));
    do {
        if ((now & ~MESSAGE) == 0) {
            return; /* somebody else wrote there */
        }
        CX_KILL_POINT();
        if (CX_BUG(SHM_RETURN_NO_CAS)) {
            cx_store_relaxed(word_of(at), now - 1);
            break;
        }
    } while (!cx_cas_release(word_of(at), &now, now - 1)); /* LP; [A2] pairs with [A1] */
    CX_KILL_POINT();
}

bool
cx_shmarena_call_back(char *at)
{
    uint32_t now = cx_load_relaxed(word_of(at));
    do {
        if ((now & MESSAGE) == 0 && !CX_BUG(SHM_CALL_BACK_BLINDLY)) {
            return false;
        }
        CX_KILL_POINT();
    } while (!cx_cas_release(word_of(at), &now, now & ~MESSAGE)); /* LP; [A2] */
    CX_KILL_POINT();
    return true;
}

bool
cx_shmarena_recall(struct cx_shmarena *arena, uint64_t offset, uint32_t serial)
{
    for (uint32_t i = 0; i < arena->lents; i++) {
        struct cx_shmarena_block *block = &arena->lent[i];
        if (block->offset + CX_SHMARENA_LINE == offset &&
            (block->serial == serial || CX_BUG(SHM_RECALL_ANY_LOAN))) {
            return cx_shmarena_call_back(arena->shm->base + offset);
        }
    }
    return false;
}

bool
cx_shmarena_is_with(const struct cx_shmarena *arena, uint32_t index, uint32_t pid)
{
    char *at = arena->shm->base + arena->lent[index].offset + CX_SHMARENA_LINE;
    return (cx_load_acquire(word_of(at)) & ~MESSAGE) != 0 &&
           (cx_load_relaxed(word_of(at) + 1) & ((1u << CX_OWNER_PID_BITS) - 1)) == pid;
}

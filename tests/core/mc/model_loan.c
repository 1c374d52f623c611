// SPDX-License-Identifier: MIT
/* Lent blocks, by shmarena.c itself: an owner that lends, takes back, sweeps and lends again, against
 * receivers of its messages.
 *
 * A message goes through a word that its receiver empties, or the owner, as a slot of a lane is claimed.
 * Only one whose receiver has ended, or who was too late, is followed by another loan of the place: that
 * is what the owners of arenas see to. */
#include "core/lock.h"
#include "core/shmarena.h"
#include "models.h"

#define LOANS 2
#define BYTES 64
#define SEGMENT 512

enum what { OVER, KEPT };

struct state {
    struct cx_shm shm;
    struct cx_shmarena arena;
    uint32_t posted[LOANS + 1], mail[LOANS + 1], ended[LOANS + 1];
    uint32_t tried, back; /* KEPT: borrowers that have tried; that have ended */
    uint32_t borrowed[LOANS + 1], recalled[LOANS + 1]; /* how often; plain */
    uint32_t never;
    char *segment;
};

static struct state *s;

static uint32_t
lend(uint32_t loan)
{
    uint64_t place = 0;
    mc_check(cx_shmarena_lend(&s->arena, BYTES, &place) == CX_OK, "wrong answer", "no room");
    char *at = s->segment + place;
    mc_check(at[1] == 0, MC_FREED, "a block was lent again while somebody has it");
    at[0] = (char)loan;
    return (uint32_t)place;
}

static void
post(uint32_t loan, uint32_t place)
{
    cx_store_release(&s->mail[loan], place);
    cx_store_release(&s->posted[loan], 1);
}

static void
recall(uint32_t loan, uint32_t place)
{
    s->recalled[loan] += cx_shmarena_recall(&s->arena, place, loan);
}

/* Uses a block that it has borrowed, and gives it back. */
static void
use(uint32_t loan, char *at)
{
    s->borrowed[loan]++;
    mc_check(at[0] == (char)loan, MC_FREED, "the block is another loan's");
    at[1]++;
    (void)cx_load_relaxed(&s->never); /* a point to be scheduled at */
    at[1]--;
    mc_check(at[0] == (char)loan, MC_FREED, "the block was lent again under its borrower");
    cx_shmarena_return(at);
}

static void
receive(void *which)
{
    uint32_t loan = (uint32_t)(uintptr_t)which;
    mc_await(&s->posted[loan], 1);
    uint32_t place = cx_xchg_acq_rel(&s->mail[loan], 0);
    if (place != 0) {
        char *at = s->segment + place;
        cx_shmarena_sign(at, loan);
        if (cx_shmarena_borrow(at, true)) {
            use(loan, at);
        }
    }
    cx_store_release(&s->ended[loan], 1);
}

/* The message is not to arrive any more; if it is out of reach, its receiver ends some time. */
static void
revoke(uint32_t loan)
{
    if (cx_xchg_acq_rel(&s->mail[loan], 0) == 0) {
        mc_await(&s->ended[loan], 1);
    }
}

static void
own(void *unused)
{
    (void)unused;
    uint32_t first = lend(1), second;
    post(1, first);
    switch (mc_choose(3)) {
    case 0: /* it is given up at once, whoever reads it now */
        recall(1, first);
        revoke(1);
        second = lend(2);
        break;
    case 1: /* its task has come to its end, and its place is another loan's when that is told */
        revoke(1);
        if (s->borrowed[1] == 0) {
            recall(1, first);
        }
        second = lend(2);
        break;
    default: /* lent beside it, or in its place */
        second = lend(2);
        revoke(1);
        break;
    }
    post(2, second);
    recall(1, first);
    revoke(2);
    recall(2, second);
    cx_shmarena_sweep(&s->arena);
}

/* One of several that borrow while the message stays the owner's. */
static void
try(void *unused)
{
    (void)unused;
    mc_await(&s->posted[1], 1);
    char *at = s->segment + cx_load_acquire(&s->mail[1]);
    bool got = cx_shmarena_borrow(at, false);
    cx_fetch_add_acq_rel(&s->tried, 1);
    if (got) {
        use(1, at);
    }
    cx_fetch_add_acq_rel(&s->back, 1);
}

static void
keep(void *unused)
{
    (void)unused;
    uint32_t first = lend(1);
    post(1, first);
    recall(1, first);
    mc_await(&s->tried, 2);
    uint32_t second = lend(2);
    recall(2, second);
    mc_await(&s->back, 2);
    s->borrowed[1] = 0; /* it was recalled, which is the other thing that is counted */
    cx_shmarena_sweep(&s->arena);
}

void
model_loan_setup(void)
{
    s = calloc(1, sizeof *s);
    s->segment = mc_aligned(64, SEGMENT);
    s->shm = (struct cx_shm){.fd = -1, .size = SEGMENT, .base = s->segment};
    s->shm.generation = cx_fork_generation();
    cx_shmarena_init(&s->arena, &s->shm);
    s->arena.filled = SEGMENT;
    /* All that it allocates: where blocks of their size are listed when they are free, and loans. */
    for (int i = 0; i < 8; i++) {
        s->arena.free[i].room = 4;
        s->arena.free[i].offsets = calloc(4, sizeof(uint64_t));
    }
    s->arena.lent_room = 4;
    s->arena.lent = calloc(4, sizeof *s->arena.lent);
    mc_name(s->segment, SEGMENT, "segment");
    mc_name(s->mail, sizeof s->mail, "mail");
    mc_name(s->posted, sizeof s->posted, "posted");
    if (mc_variant() == OVER) {
        mc_thread("owner", own, NULL);
        mc_thread("receiver", receive, (void *)1);
        mc_thread("receiver", receive, (void *)2);
    }
    else {
        mc_thread("owner", keep, NULL);
        mc_thread("borrower", try, NULL);
        mc_thread("borrower", try, NULL);
    }
}

void
model_loan_finish(bool deadlock)
{
    mc_check(!deadlock, MC_LOST_WAKEUP, "somebody waits for ever");
    for (int loan = 1; loan <= LOANS; loan++) {
        mc_check(s->borrowed[loan] + s->recalled[loan] < 2, MC_DUPLICATED,
                 "it was taken over and called back");
        mc_check(s->borrowed[loan] + s->recalled[loan] > 0, MC_LOST_ITEM,
                 "it was neither taken over nor called back");
    }
    mc_check(s->arena.lents == 0 && s->arena.used == 0, MC_LOST_ITEM, "a block did not come back");
}

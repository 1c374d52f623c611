// SPDX-License-Identifier: MIT
#include "core/shmring.h"

#include <limits.h>
#include <string.h>
#include <sys/mman.h>

#define START UINT64_C(65536) /* of region 0; a multiple of every page size */
#define WORD UINT64_C(8)      /* messages are aligned to it; a message's first word */
#define FILL UINT64_C(65536)
#define LENGTH ((UINT64_C(1) << 48) - 1)
#define MARK 0x100 /* the kind of a mark; its length is the region to go on in */

/* A region larger than that gives its pages back when left. */
#ifdef CX_KILL
uint64_t cx_shmring_keep = UINT64_C(1) << 26;
#define KEEP cx_shmring_keep
#else
#define KEEP (UINT64_C(1) << 26)
#endif

_Static_assert(sizeof(struct cx_shmring_shared) + CX_SHM_HEADER <= 4096, "one page is filled");

static uint64_t
size_of(uint64_t region)
{
    return CX_SHMRING_FIRST << region;
}

uint64_t
cx_shmring_size(void)
{
    return START + size_of(CX_SHMRING_REGIONS) - CX_SHMRING_FIRST;
}

uint64_t
cx_shmring_mapped(void)
{
    return START;
}

static uint64_t
padded(uint64_t length)
{
    return (length + 2 * WORD - 1) / WORD * WORD;
}

static bool
is_sane(const struct cx_shmring_place *place)
{
    return place->region < CX_SHMRING_REGIONS && place->position % WORD == 0;
}

/* The bytes of a region in this process, or NULL. */
static char *
region_of(struct cx_shmring *ring, uint64_t region)
{
    char *at = cx_load_acquire(&ring->regions[region]); /* [R3] pairs with [R4] */
    if (CX_LIKELY(at != NULL)) {
        return at;
    }
    uint64_t offset = START + size_of(region) - CX_SHMRING_FIRST;
    char *mine = cx_shm_map(ring->shm, offset, size_of(region));
    if (mine != NULL && !cx_cas_acq_rel(&ring->regions[region], &at, mine)) { /* [R4] */
        munmap(mine, size_of(region));
        return at;
    }
    return mine;
}

static void
copy_in(char *region, uint64_t size, uint64_t position, const void *data, uint64_t length)
{
    uint64_t at = position & (size - 1), first = size - at < length ? size - at : length;
    memcpy(region + at, data, first);
    memcpy(region, (const char *)data + first, length - first);
}

static void
copy_out(const char *region, uint64_t size, uint64_t position, void *data, uint64_t length)
{
    uint64_t at = position & (size - 1), first = size - at < length ? size - at : length;
    memcpy(data, region + at, first);
    memcpy((char *)data + first, region, length - first);
}

void
cx_shmring_attach(struct cx_shmring *ring, struct cx_shm *shm, int event)
{
    *ring = (struct cx_shmring){.shm = shm, .event = event};
    ring->shared = (struct cx_shmring_shared *)(void *)(shm->base + CX_SHM_HEADER);
}

void
cx_shmring_create(struct cx_shmring *ring, struct cx_shm *shm, int event, uint64_t most)
{
    cx_shmring_attach(ring, shm, event);
    ring->shared->most = most;
    CX_KILL_POINT();
    ring->shared->tail.used = 1;
    CX_KILL_POINT();
}

void
cx_shmring_fini(struct cx_shmring *ring)
{
    for (uint64_t i = 0; i < CX_SHMRING_REGIONS; i++) {
        if (ring->regions[i] != NULL) {
            munmap(ring->regions[i], size_of(i));
            ring->regions[i] = NULL;
        }
    }
}

/* --- bells ------------------------------------------------------------------------------------ */

void
cx_shmring_await(struct cx_shmring_bell *bell)
{
    cx_shmbell_set(&bell->loops);
}

/* For loops; after a fence. */
static void
tell(struct cx_shmring *ring, struct cx_shmring_bell *bell)
{
    if (CX_UNLIKELY(cx_load_relaxed(&bell->loops) != 0)) {
        CX_KILL_POINT();
        cx_store_relaxed(&bell->loops, 0);
        CX_KILL_POINT();
        cx_event_signal(ring->event);
    }
}

static void
ring_for(struct cx_shmring *ring, struct cx_shmring_bell *bell, int n)
{
    cx_shmchime_strike(&bell->sleepers, n); /* with the fence */
    tell(ring, bell);
}

/* --- producers -------------------------------------------------------------------------------- */

/* What a producer that died has begun and not published. */
static void
repair_tail(struct cx_shmring_shared *s)
{
    uint32_t entering = cx_load_relaxed(&s->tail.entering);
    struct cx_shmring_place tail = cx_shmcursor_look(&s->tail.cursor);
    if (entering != 0 && entering - 1 != tail.region && entering <= CX_SHMRING_REGIONS) {
        uint32_t used = cx_load_relaxed(&s->tail.used);
        while (!cx_cas_relaxed(&s->tail.used, &used, used & ~(1u << (entering - 1)))) {
        }
        CX_KILL_POINT();
    }
    cx_store_relaxed(&s->tail.entering, 0);
    CX_KILL_POINT();
}

/* Free bytes of the tail's region, or UINT64_MAX if the cursors contradict each other. */
static uint64_t
room_in(const struct cx_shmring_place *tail, const struct cx_shmring_place *head)
{
    uint64_t size = size_of(tail->region);
    uint64_t held = tail->position - (head->region == tail->region ? head->position : 0);
    return held > size ? UINT64_MAX : size - held;
}

/* Pages for `need` bytes from the tail on. */
static bool
fill(struct cx_shmring *ring, const struct cx_shmring_place *tail, uint64_t need)
{
    uint64_t *filled = &ring->shared->tail.filled[tail->region];
    uint64_t size = size_of(tail->region), have = cx_load_relaxed(filled);
    uint64_t upto = tail->position + need;
    upto = upto > size ? size : upto;
    if (CX_LIKELY(upto <= have)) {
        return true;
    }
    upto = (upto + FILL - 1) / FILL * FILL;
    uint64_t from = have / FILL * FILL;
    if (!cx_shm_fill(ring->shm, START + size - CX_SHMRING_FIRST + from, upto - from)) {
        return false;
    }
    CX_KILL_POINT();
    cx_store_relaxed(filled, upto);
    CX_KILL_POINT();
    return true;
}

/* The region to go on in: the smallest free one that holds `need`, larger than `than` if any is. */
static int
other_region(uint32_t used, uint64_t need, uint64_t than)
{
    int found = -1;
    for (int i = CX_SHMRING_REGIONS - 1; i >= 0; i--) {
        bool fits = (used & 1u << i) == 0 && size_of((uint64_t)i) >= need;
        if (fits && (found < 0 || size_of((uint64_t)i) > than)) {
            found = i;
        }
    }
    return found;
}

/* Leaves a mark and enters another region, which has pages for `need` bytes then; the tail is
 * published with it. */
static enum cx_status
go_on_in(struct cx_shmring *ring, struct cx_shmring_place *tail, int region, uint64_t need)
{
    struct cx_shmring_shared *s = ring->shared;
    struct cx_shmring_place next = {(uint64_t)region, 0, tail->messages};
    char *here = region_of(ring, tail->region), *there = region_of(ring, next.region);
    if (here == NULL || there == NULL || !fill(ring, tail, WORD) || !fill(ring, &next, need)) {
        return CX_OSERROR;
    }
    uint64_t word = (uint64_t)MARK << 48 | (uint64_t)region;
    copy_in(here, size_of(tail->region), tail->position, &word, WORD);
    CX_KILL_POINT();
    cx_store_relaxed(&s->tail.entering, (uint32_t)region + 1);
    CX_KILL_POINT();
    uint32_t used = cx_load_relaxed(&s->tail.used);
    while (!cx_cas_relaxed(&s->tail.used, &used, used | 1u << region)) {
    }
    CX_KILL_POINT();
    *tail = next;
    cx_shmcursor_publish(&s->tail.cursor, tail);
    cx_store_relaxed(&s->tail.entering, 0);
    CX_KILL_POINT();
    return CX_OK;
}

/* Room for `need` bytes and a mark at the tail, which may move to another region for it. */
static enum cx_status
make_room(struct cx_shmring *ring, struct cx_shmring_place *tail,
          const struct cx_shmring_place *head, uint64_t need)
{
    /* [R5] A region that a consumer gave back is one whose bytes it has finished with; as long as it is
     * named in `leaving` it is given back again if that consumer dies. */
    uint32_t used = cx_load_acquire(&ring->shared->tail.used);
    uint32_t leaving = cx_load_relaxed(&ring->shared->head.leaving);
    used |= leaving == 0 ? 0 : 1u << (leaving - 1) % 32;
    uint64_t size = size_of(tail->region), room = room_in(tail, head);
    if (room == UINT64_MAX || room < WORD) {
        return CX_DAMAGED; /* every message leaves room for a mark */
    }
    bool drained = head->region == tail->region && head->position == tail->position;
    bool shrink = tail->region > 0 && drained && tail->position >= size && (used & 1) == 0 &&
                  need + WORD <= CX_SHMRING_FIRST;
    if (!shrink && room >= need + WORD) {
        return CX_OK;
    }
    int to = shrink ? 0 : other_region(used, need + WORD, size);
    return to < 0 ? CX_FULL : go_on_in(ring, tail, to, need);
}

static enum cx_status
put_one(struct cx_shmring *ring, struct cx_shmring_place *tail,
        const struct cx_shmring_message *message)
{
    uint64_t need = padded(message->length), most = ring->shared->most;
    struct cx_shmring_place head = cx_shmcursor_look(&ring->shared->head.cursor);
    if (message->length > CX_SHMRING_LONGEST || message->kind > 255) {
        return CX_TOO_BIG;
    }
    if (!is_sane(&head)) {
        return CX_DAMAGED;
    }
    if (most != 0 && tail->messages - head.messages >= most) {
        return CX_FULL;
    }
    enum cx_status status = make_room(ring, tail, &head, need);
    if (status != CX_OK) {
        return status;
    }
    char *region = region_of(ring, tail->region);
    if (region == NULL || !fill(ring, tail, need)) {
        return CX_OSERROR;
    }
    uint64_t size = size_of(tail->region), word = (uint64_t)message->kind << 48 | message->length;
    CX_KILL_POINT();
    copy_in(region, size, tail->position, &word, WORD);
    CX_KILL_POINT();
    copy_in(region, size, tail->position + WORD, message->data, message->length);
    CX_KILL_POINT();
    tail->position += need;
    tail->messages++;
    return CX_OK;
}

enum cx_status
cx_shmring_put(struct cx_shmring *ring, const struct cx_shmring_message *messages, uint64_t n,
               uint64_t *put, struct cx_shmlock_busy *busy)
{
    struct cx_shmring_shared *s = ring->shared;
    *put = 0;
    enum cx_status status = cx_shmlock_enter(&s->tail.lock, busy);
    if (status == CX_WAIT) {
        return CX_WAIT;
    }
    if (status == CX_DIED) {
        repair_tail(s);
    }
    status = CX_OK;
    struct cx_shmring_place tail = cx_shmcursor_look(&s->tail.cursor);
    if (!is_sane(&tail)) {
        status = CX_DAMAGED;
    }
    else if (cx_load_relaxed(&s->closed) != CX_SHMRING_OPEN) {
        status = CX_CLOSED;
    }
    while (status == CX_OK && *put < n) {
        status = put_one(ring, &tail, &messages[*put]);
        *put += status == CX_OK;
    }
    if (*put > 0) {
        cx_shmcursor_publish(&s->tail.cursor, &tail);
    }
    (void)cx_shmlock_release(&s->tail.lock);
    if (*put > 0) {
        ring_for(ring, &s->items, *put > INT_MAX ? INT_MAX : (int)*put);
    }
    if (status == CX_OK && *put > 0) {
        tell(ring, &s->room); /* of who found this producer inside and there is room yet */
    }
    return status;
}

/* --- consumers -------------------------------------------------------------------------------- */

/* Gives a region back that no cursor is in any more. */
static void
give_back(struct cx_shmring *ring, uint64_t region)
{
    struct cx_shmring_shared *s = ring->shared;
    if (size_of(region) > KEEP) {
        cx_store_relaxed(&s->tail.filled[region], 0);
        CX_KILL_POINT();
        cx_shm_drop(ring->shm, START + size_of(region) - CX_SHMRING_FIRST, size_of(region));
    }
    uint32_t used = cx_load_relaxed(&s->tail.used);
    while (!cx_cas_release(&s->tail.used, &used, used & ~(1u << region))) { /* pairs with [R5] */
    }
    CX_KILL_POINT();
    cx_store_relaxed(&s->head.leaving, 0);
    CX_KILL_POINT();
}

/* What a consumer that died has begun. */
static void
repair_head(struct cx_shmring *ring)
{
    struct cx_shmring_shared *s = ring->shared;
    uint32_t leaving = cx_load_relaxed(&s->head.leaving);
    if (leaving != 0 && leaving <= CX_SHMRING_REGIONS &&
        cx_shmcursor_look(&s->head.cursor).region != leaving - 1) {
        give_back(ring, leaving - 1);
    }
    cx_store_relaxed(&s->head.leaving, 0);
    CX_KILL_POINT();
}

/* Follows a mark. */
static enum cx_status
follow(struct cx_shmring *ring, struct cx_shmring_place *head, uint64_t to)
{
    struct cx_shmring_shared *s = ring->shared;
    uint64_t from = head->region;
    if (to >= CX_SHMRING_REGIONS || to == from ||
        (cx_load_relaxed(&s->tail.used) & 1u << to) == 0) {
        return CX_DAMAGED;
    }
    cx_store_relaxed(&s->head.leaving, (uint32_t)from + 1);
    CX_KILL_POINT();
    *head = (struct cx_shmring_place){to, 0, head->messages};
    cx_shmcursor_publish(&s->head.cursor, head);
    give_back(ring, from);
    return CX_OK;
}

/* The first message's word, past marks: CX_OK, CX_EMPTY, CX_OSERROR, CX_DAMAGED. */
static enum cx_status
first_word(struct cx_shmring *ring, struct cx_shmring_place *head, uint64_t *word)
{
    for (int marks = 0; marks <= 2 * CX_SHMRING_REGIONS; marks++) {
        struct cx_shmring_place tail = cx_shmcursor_look(&ring->shared->tail.cursor);
        if (!is_sane(&tail)) {
            return CX_DAMAGED;
        }
        uint64_t size = size_of(head->region), there = size;
        if (head->region == tail.region) {
            there = tail.position - head->position;
            if (there == 0) {
                return CX_EMPTY;
            }
        }
        char *region = region_of(ring, head->region);
        if (region == NULL) {
            return CX_OSERROR;
        }
        /* Pages that no producer has filled would have to be made by the read: none is beyond. */
        uint64_t filled = cx_load_relaxed(&ring->shared->tail.filled[head->region]);
        if (there > size || (head->position & (size - 1)) + WORD > filled) {
            return CX_DAMAGED;
        }
        copy_out(region, size, head->position, word, WORD);
        if (*word >> 48 != MARK) {
            bool whole = *word >> 48 <= 255 && (*word & LENGTH) <= size - WORD &&
                         padded(*word & LENGTH) <= there;
            return whole ? CX_OK : CX_DAMAGED;
        }
        enum cx_status status = follow(ring, head, *word & LENGTH);
        if (status != CX_OK) {
            return status;
        }
    }
    return CX_DAMAGED;
}

static enum cx_status
take_all(struct cx_shmring *ring, struct cx_shmring_place *head, void *space, uint64_t bytes,
         struct cx_shmring_message *taken, uint64_t n, uint64_t *got)
{
    uint64_t word = 0, at = 0;
    while (*got < n) {
        enum cx_status status = first_word(ring, head, &word);
        uint64_t length = word & LENGTH;
        if (status != CX_OK) {
            return *got > 0 && status == CX_EMPTY ? CX_OK : status;
        }
        if (length > bytes - at) {
            taken[*got].length = length;
            return *got > 0 ? CX_OK : CX_TOO_BIG;
        }
        char *region = ring->regions[head->region];
        copy_out(region, size_of(head->region), head->position + WORD, (char *)space + at, length);
        taken[*got] =
            (struct cx_shmring_message){(char *)space + at, length, (uint32_t)(word >> 48)};
        at += length;
        head->position += padded(length);
        head->messages++;
        ++*got;
    }
    return CX_OK;
}

enum cx_status
cx_shmring_take(struct cx_shmring *ring, void *space, uint64_t bytes,
                struct cx_shmring_message *taken, uint64_t n, uint64_t *got,
                struct cx_shmlock_busy *busy)
{
    struct cx_shmring_shared *s = ring->shared;
    *got = 0;
    enum cx_status status = cx_shmlock_enter(&s->head.lock, busy);
    if (status == CX_WAIT) {
        return CX_WAIT;
    }
    if (status == CX_DIED) {
        repair_head(ring);
    }
    status = CX_DAMAGED;
    /* Read before the tail: what was put before the close is seen. */
    uint32_t closed = cx_load_acquire(&s->closed); /* [R6] pairs with [R7] */
    struct cx_shmring_place head = cx_shmcursor_look(&s->head.cursor);
    if (closed >= CX_SHMRING_DISCARDED) {
        status = CX_CLOSED;
    }
    else if (is_sane(&head)) {
        status = take_all(ring, &head, space, bytes, taken, n, got);
    }
    if (*got > 0) {
        cx_shmcursor_publish(&s->head.cursor, &head);
    }
    (void)cx_shmlock_release(&s->head.lock);
    if (*got > 0) {
        ring_for(ring, &s->room, INT_MAX);
        if (CX_UNLIKELY(cx_load_relaxed(&s->items.loops) != 0) && cx_shmring_len(ring) > 0) {
            tell(ring, &s->items); /* one signal may have stood for several messages */
        }
    }
    return status == CX_EMPTY && closed != CX_SHMRING_OPEN ? CX_CLOSED : status;
}

/* --- both ------------------------------------------------------------------------------------- */

uint64_t
cx_shmring_puts(struct cx_shmring *ring)
{
    return cx_shmcursor_look(&ring->shared->tail.cursor).messages;
}

uint64_t
cx_shmring_takes(struct cx_shmring *ring)
{
    return cx_shmcursor_look(&ring->shared->head.cursor).messages;
}

uint64_t
cx_shmring_len(struct cx_shmring *ring)
{
    /* The head first: a tail seen later is not behind it. */
    uint64_t head = cx_shmring_takes(ring);
    uint64_t tail = cx_shmring_puts(ring);
    return cx_load_acquire(&ring->shared->closed) >= CX_SHMRING_DISCARDED ? 0 : tail - head;
}

uint64_t
cx_shmring_memory(struct cx_shmring *ring)
{
    uint64_t bytes = 4096; /* the page of the header */
    for (int i = 0; i < CX_SHMRING_REGIONS; i++) {
        bytes += cx_load_relaxed(&ring->shared->tail.filled[i]);
    }
    return bytes;
}

/* How many messages have to be finished with. */
static uint64_t
owed(struct cx_shmring *ring)
{
    bool discarded = cx_load_acquire(&ring->shared->closed) >= CX_SHMRING_DISCARDED;
    return discarded ? cx_shmring_takes(ring) : cx_shmring_puts(ring);
}

uint64_t
cx_shmring_unfinished(struct cx_shmring *ring)
{
    uint64_t done = cx_load_acquire(&ring->shared->done), all = owed(ring);
    return all > done ? all - done : 0;
}

bool
cx_shmring_done(struct cx_shmring *ring)
{
    uint64_t done = cx_load_acquire(&ring->shared->done);
    do {
        if (done >= owed(ring)) {
            return false;
        }
        CX_KILL_POINT();
    } while (!cx_cas_acq_rel(&ring->shared->done, &done, done + 1)); /* LP */
    CX_KILL_POINT();
    if (cx_shmring_all_done(ring)) {
        ring_for(ring, &ring->shared->joined, INT_MAX);
    }
    return true;
}

bool
cx_shmring_all_done(struct cx_shmring *ring)
{
    return cx_shmring_unfinished(ring) == 0;
}

/* Nobody reads or writes messages any more: their memory goes.  By the holder of both locks. */
static void
drop_all(struct cx_shmring *ring)
{
    for (int i = 0; i < CX_SHMRING_REGIONS; i++) {
        cx_store_relaxed(&ring->shared->tail.filled[i], 0);
        CX_KILL_POINT();
    }
    cx_shm_drop(ring->shm, START, cx_shmring_size() - START);
}

enum cx_status
cx_shmring_close(struct cx_shmring *ring, bool discard, struct cx_shmlock_busy *busy)
{
    struct cx_shmring_shared *s = ring->shared;
    enum cx_status status = cx_shmlock_enter(&s->tail.lock, busy);
    if (status == CX_WAIT) {
        return CX_WAIT;
    }
    if (status == CX_DIED) {
        repair_tail(s);
    }
    if (!discard && cx_load_relaxed(&s->closed) == CX_SHMRING_OPEN) {
        cx_store_release(&s->closed, CX_SHMRING_CLOSED); /* LP; [R7] pairs with [R6] */
        CX_KILL_POINT();
    }
    if (discard) {
        /* Nobody is between having taken a message and having published that. */
        status = cx_shmlock_enter(&s->head.lock, busy);
        if (status == CX_WAIT) {
            (void)cx_shmlock_release(&s->tail.lock);
            return CX_WAIT;
        }
        if (status == CX_DIED) {
            repair_head(ring);
        }
        cx_store_release(&s->closed, CX_SHMRING_DISCARDED); /* LP; [R7] */
        CX_KILL_POINT();
        drop_all(ring);
        (void)cx_shmlock_release(&s->head.lock);
    }
    (void)cx_shmlock_release(&s->tail.lock);
    ring_for(ring, &s->items, INT_MAX);
    ring_for(ring, &s->room, INT_MAX);
    ring_for(ring, &s->joined, INT_MAX);
    return CX_OK;
}

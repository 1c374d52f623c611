// SPDX-License-Identifier: MIT
/* libFuzzer over the ring between processes: the input writes into the shared header, the region's bytes
 * and the segment's own header as a hostile peer would, between puts and takes of every size.  Whatever is
 * there, nothing outside the segment and the caller's buffer is read or written (AddressSanitizer), every
 * answer is one of the header's, and what a take hands out lies in the buffer. */
#include "fuzz.h"

#include "core/shmring.h"

#define SPACE 70000

static char data[SPACE];

static void
damage(struct input *in, struct cx_shmring *ring)
{
    uint64_t what = next(in, 8);
    uint32_t where = (uint32_t)next(in, 2);
    char *region = cx_load_acquire(&ring->regions[0]);
    switch (next(in, 1) % 3) {
    case 0:
        ((uint64_t *)(void *)ring->shared)[where % (sizeof *ring->shared / 8)] = what;
        break;
    case 1:
        if (region != NULL) { /* only what has pages: a peer's store there would make one */
            memcpy(region + where % 8192 * 8, &what, 8);
        }
        break;
    default:
        ((char *)ring->shared)[where % sizeof *ring->shared] = (char)what;
        break;
    }
    /* A lock that a living process holds is waited for, which is right and takes for ever. */
    ring->shared->tail.lock = ring->shared->head.lock = 0;
}

static void
use(struct input *in, struct cx_shmring *ring, char *space)
{
    struct cx_shmring_message m[4] = {{data, next(in, 2), (uint32_t)next(in, 1)},
                                      {data, next(in, 1), 0}};
    struct cx_shmlock_busy busy = {0};
    uint64_t n = 0, bytes = next(in, 2);
    enum cx_status status;
    switch (next(in, 1) % 5) {
    case 0:
        status = cx_shmring_put(ring, m, 1 + next(in, 1) % 2, &n, &busy);
        EXPECT(n <= 2 && status != CX_WAIT && status != CX_EMPTY);
        break;
    case 1:
    case 2:
        status = cx_shmring_take(ring, space, bytes, m, 4, &n, &busy);
        EXPECT(n <= 4 && status != CX_WAIT && status != CX_FULL);
        for (uint64_t i = 0; i < n; i++) {
            const char *at = m[i].data;
            EXPECT(at >= space && m[i].length <= bytes && at + m[i].length <= space + bytes);
        }
        break;
    case 3:
        (void)cx_shmring_done(ring);
        (void)cx_shmring_len(ring);
        (void)cx_shmring_unfinished(ring);
        (void)cx_shmring_memory(ring);
        break;
    default:
        if (next(in, 1) == 7) {
            (void)cx_shmring_close(ring, next(in, 1) % 2, &busy);
        }
        break;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input in = {bytes, size};
    struct cx_shm shm, other;
    struct cx_shmring ring;
    char *space = malloc(SPACE);
    EXPECT(space != NULL);
    EXPECT(cx_shm_create(&shm, CX_SHM_RING, cx_shmring_size(), cx_shmring_mapped()) == CX_OK);
    cx_shmring_create(&ring, &shm, -1, next(&in, 1) % 8);
    while (in.left > 0) {
        if (next(&in, 1) % 4 == 0) {
            damage(&in, &ring);
        }
        use(&in, &ring, space);
    }
    /* Another process that attaches believes nothing that it has not checked. */
    shm.base[next(&in, 1) % CX_SHM_HEADER] ^= (char)next(&in, 1);
    int fd = dup(shm.fd);
    if (cx_shm_attach(&other, fd, CX_SHM_RING, cx_shmring_mapped()) == CX_OK) {
        EXPECT(other.size == shm.size && other.mapped <= other.size);
        cx_shm_close(&other);
    }
    else {
        close(fd);
    }
    cx_shmring_fini(&ring);
    cx_shm_close(&shm);
    free(space);
    return 0;
}

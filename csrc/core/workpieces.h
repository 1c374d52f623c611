// SPDX-License-Identifier: MIT
/* core/workpieces.h - data larger than a lane should hold at once: messages in order, each a piece.
 *
 * Both sides know what parts the data has.  The producer puts one piece after the other, never with
 * more than CX_PIECES of them in shared memory; the consumer copies each into its place and passes it,
 * so the next one lies in pages that are warm.  No piece has bytes of two parts.
 *
 *   id      whose data it is; a lane carries the pieces of one id at a time
 *   flags   how many bytes have crossed before it, so that none is lost, doubled or in another's place
 *   length  1 to CX_PIECE, and no more than is left of its part
 *
 * Messages of other kinds may lie between pieces.  Without memory for a piece, those that follow are
 * small ones, whose ring is there in any case.
 *
 * Synchronization: as worklink.h: each side excluded by the caller.
 */
#ifndef CX_CORE_WORKPIECES_H
#define CX_CORE_WORKPIECES_H

#include "core/worklink.h"

/* Bytes, and how many at once: 64 MB take 32 ms, in pieces of 256 KiB 38, of 4 and of 16 MiB 34. */
#define CX_PIECE (UINT64_C(1) << 20)
#define CX_PIECES 4

struct cx_part {
    char *data;
    uint64_t length;
};

/* How far one side has got. */
struct cx_pieces {
    const struct cx_part *parts; /* the caller's; NULL: a consumer that has no use for them */
    uint32_t count, part;        /* of them; the one that it is at */
    uint64_t within;             /* bytes of that part that have crossed */
    uint64_t at, total;          /* of all */
    uint64_t id;
    uint32_t kind;
    bool small; /* there was no memory */
};

/* The parts come to `total`, or are NULL. */
void cx_pieces_init(struct cx_pieces *pieces, const struct cx_part *parts, uint32_t count,
                    uint64_t total, uint32_t kind, uint64_t id);
static inline bool
cx_pieces_done(const struct cx_pieces *pieces)
{
    return pieces->at == pieces->total;
}

/* Producer: puts the next piece: CX_OK; CX_FULL: so many are under way; CX_OSERROR, CX_DAMAGED as
 * cx_lane_put. */
enum cx_status cx_pieces_put(struct cx_pieces *pieces, struct cx_lane *lane);
/* Whether that would put one, or tell of an error. */
CX_NODISCARD bool cx_pieces_fit(const struct cx_pieces *pieces, struct cx_lane *lane);

/* Consumer: cx_lane_take if the oldest message is of that kind; CX_EMPTY if not.  Passes what was
 * revoked. */
enum cx_status cx_pieces_take(struct cx_lane *lane, uint32_t kind, struct cx_lane_message *m);
/* Copies what was taken into its place: CX_OK; CX_DAMAGED: it is not the next one. */
enum cx_status cx_pieces_get(struct cx_pieces *pieces, const struct cx_lane_message *m);

#endif

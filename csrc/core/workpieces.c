// SPDX-License-Identifier: MIT
#include "core/workpieces.h"

#include <string.h>

void
cx_pieces_init(struct cx_pieces *pieces, const struct cx_part *parts, uint32_t count,
               uint64_t total, uint32_t kind, uint64_t id)
{
    *pieces =
        (struct cx_pieces){.parts = parts, .count = count, .total = total, .kind = kind, .id = id};
}

/* To the next part that has bytes left: how many, or 0. */
static uint64_t
left_of_part(struct cx_pieces *pieces)
{
    while (pieces->part < pieces->count && pieces->within == pieces->parts[pieces->part].length) {
        pieces->part++;
        pieces->within = 0;
    }
    return pieces->part < pieces->count ? pieces->parts[pieces->part].length - pieces->within : 0;
}

static void
advance(struct cx_pieces *pieces, uint64_t length)
{
    pieces->within += length;
    pieces->at += length;
}

/* --- the producer ----------------------------------------------------------------------------- */

/* The next piece's length. */
static uint64_t
next_length(const struct cx_pieces *pieces, uint64_t left)
{
    uint64_t most = pieces->small ? CX_LANE_SMALL : CX_PIECE;
    return left < most ? left : most;
}

/* After its room was reclaimed. */
static bool
fits(const struct cx_lane *lane, uint64_t length)
{
    if (length <= CX_LANE_SMALL) {
        /* As much again may be left over where the ring ends. */
        return lane->written - lane->freed + 2 * CX_LANE_SMALL <= CX_LANE_BYTES;
    }
    return lane->arena.used == 0 || lane->arena.used + length <= CX_PIECES * CX_PIECE;
}

bool
cx_pieces_fit(const struct cx_pieces *pieces, struct cx_lane *lane)
{
    struct cx_pieces copy = *pieces;
    uint64_t left = left_of_part(&copy);
    return left != 0 && cx_lane_room(lane) != 0 && fits(lane, next_length(pieces, left));
}

enum cx_status
cx_pieces_put(struct cx_pieces *pieces, struct cx_lane *lane)
{
    uint64_t left = left_of_part(pieces);
    uint32_t number;
    struct cx_lane_message m = {.id = pieces->id, .flags = pieces->at, .kind = pieces->kind};
    if (left == 0) {
        return CX_FULL;
    }
    m.data = pieces->parts[pieces->part].data + pieces->within;
    m.length = next_length(pieces, left);
    /* Without room, cx_lane_put says whether that is all. */
    if (cx_lane_room(lane) != 0 && !fits(lane, m.length)) {
        return CX_FULL;
    }
    enum cx_status status = cx_lane_put(lane, &m, &number);
    if (status == CX_OSERROR && m.length > CX_LANE_SMALL) {
        pieces->small = true;
        m.length = CX_LANE_SMALL;
        status = fits(lane, m.length) ? cx_lane_put(lane, &m, &number) : CX_FULL;
    }
    if (status == CX_OK) {
        advance(pieces, m.length);
    }
    return status;
}

/* --- the consumer ----------------------------------------------------------------------------- */

enum cx_status
cx_pieces_take(struct cx_lane *lane, uint32_t kind, struct cx_lane_message *m)
{
    while (cx_lane_peek(lane, m)) {
        if (cx_lane_claim(lane, lane->at, NULL) == CX_CLAIM_REVOKED) {
            cx_lane_pass(lane);
        }
        else {
            return m->kind == kind ? cx_lane_take(lane, m) : CX_EMPTY;
        }
    }
    return CX_EMPTY;
}

enum cx_status
cx_pieces_get(struct cx_pieces *pieces, const struct cx_lane_message *m)
{
    bool ours = m->kind == pieces->kind && m->id == pieces->id && m->flags == pieces->at;
    if (!ours || m->length == 0 || m->length > CX_PIECE || m->length > pieces->total - pieces->at) {
        return CX_DAMAGED;
    }
    if (pieces->parts != NULL) {
        if (m->length > left_of_part(pieces)) {
            return CX_DAMAGED;
        }
        memcpy(pieces->parts[pieces->part].data + pieces->within, m->data, m->length);
    }
    advance(pieces, m->length);
    return CX_OK;
}

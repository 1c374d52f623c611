// SPDX-License-Identifier: MIT
/* binding/pieces.h - data that crosses in pieces (core/workpieces.h): the buffers that it is read from,
 * and the objects that it becomes. */
#ifndef CX_BINDING_PIECES_H
#define CX_BINDING_PIECES_H

#include "binding/module.h"
#include "core/workpieces.h"

/* The sender's: buffers of others, held as long as this is. */
struct cxb_bulk {
    struct cx_pieces pieces;
    uint64_t size;
    uint32_t count;
    struct cx_part *parts;
    Py_buffer views[];
};

/* Of a sequence of contiguous buffers; NULL with an exception. */
struct cxb_bulk *cxb_bulk_new(PyObject *buffers);
void cxb_bulk_free(struct cxb_bulk *bulk); /* or NULL */
/* From its first byte on. */
void cxb_bulk_begin(struct cxb_bulk *bulk, uint32_t kind, uint64_t id);

/* The receiver's: a message that has begun to arrive. */
struct cxb_arrival {
    struct cx_pieces pieces;
    struct cx_part *parts;
    PyObject *head, *buffers; /* NULL if it cannot be: its pieces are passed */
    PyObject *error;          /* then why */
    uint64_t flags;
};

/* Makes the objects that are to be filled, as reader.expect(view of the head) says: (bytes, whether
 * they become a bytes object) of each; 1; 0 if that is None; -1 with an exception.  `kind` is that of
 * the pieces.  cxb_arrival_clear afterwards, in any case. */
int cxb_arrival_begin(struct cxb_arrival *arrival, PyObject *reader,
                      const struct cx_lane_message *m, uint32_t kind);
/* Copies a piece, without the GIL: as cx_pieces_get. */
enum cx_status cxb_arrival_get(struct cxb_arrival *arrival, const struct cx_lane_message *m);
/* reader.load(head, [how,] buffers), once they are full; NULL with an exception. */
PyObject *cxb_arrival_load(struct cxb_arrival *arrival, PyObject *reader, PyObject *how);
void cxb_arrival_clear(struct cxb_arrival *arrival);

#endif

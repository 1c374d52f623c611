// SPDX-License-Identifier: MIT
/* binding/payload.h - what crosses to another process, as bytes.
 *
 * Objects of which every pickler writes the same go through pickle.dumps; all else goes through
 * concx._pickled, where the choice of picklers and of other ways to move bytes is made.
 */
#ifndef CX_BINDING_PAYLOAD_H
#define CX_BINDING_PAYLOAD_H

#include "binding/module.h"

/* Whether it is of exact built-in types, not nested deeper than `depth` tuples. */
bool cxb_payload_is_plain(PyObject *object, int depth);

/* A bytes-like object, or NULL with an exception.  `plain`: as above, or what is pickled by name. */
PyObject *cxb_payload_dump(struct cxb_state *state, PyObject *object, bool plain);

/* The object that was dumped; `data` may be gone afterwards. */
PyObject *cxb_payload_load(struct cxb_state *state, const void *data, uint64_t length);
/* The same by `reader.load(data)` or, with `how`, `reader.load(data, how)`. */
PyObject *cxb_payload_load_with(PyObject *reader, const void *data, uint64_t length, PyObject *how);

#endif

// SPDX-License-Identifier: MIT
/* binding/special.h - `__enter__` and `__exit__` that cost a `with` statement no allocation.
 *
 * CPython before 3.14 looks both up on the type and binds them: two objects are made for each `with`.
 * A special method makes its bound form in memory that it keeps.  In all else it is the method that it
 * stands for. */
#ifndef CX_BINDING_SPECIAL_H
#define CX_BINDING_SPECIAL_H

#include "binding/module.h"

/* Puts special methods in the place of a class's own `__enter__` and `__exit__`, which are fast-call
 * methods without keywords: 0, or -1 with an exception.  Does nothing where there is nothing to gain. */
int cxb_add_specials(struct cxb_state *state, PyTypeObject *type, PyMethodDef *table);

#endif

// SPDX-License-Identifier: MIT
/* binding/share.h - `shared=True`: an object whose reference count no thread writes.
 *
 * Without a GIL every call of a method counts references to its object up and down, on one cache line
 * that all threads fight for, whatever the method does.  A shared object is not counted: from 3.14 on
 * the collector finds out when it is unused; on 3.13 it lives as long as the process.  Where there is a
 * GIL there is nothing to gain, and nothing is done.
 */
#ifndef CX_BINDING_SHARE_H
#define CX_BINDING_SHARE_H

#include "binding/compat.h"

/* In tp_new, before anybody else knows the object. */
static inline void
cxb_share(PyObject *object)
{
#if !CX_WITH_GIL && PY_VERSION_HEX >= 0x030E0000
    (void)PyUnstable_Object_EnableDeferredRefcount(object);
#elif !CX_WITH_GIL
    PyObject_GC_UnTrack(object); /* never collected, so the collector need not look */
    Py_SET_REFCNT(object, (Py_ssize_t)UINT32_MAX + 1);
#else
    (void)object;
#endif
}

#endif

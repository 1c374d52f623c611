// SPDX-License-Identifier: MIT
/* concx.h - pushing into a concx RingQueue from threads that do not have the interpreter.
 *
 *     const concx_api *concx = concx_import();                // once, with the GIL
 *     concx_ring *ring = concx->ring_from_object(queue);      // with the GIL
 *     ...
 *     concx->ring_push_int64(ring, 42, CONCX_FOREVER);        // any thread, without the GIL
 *     concx->ring_release(ring);                              // any thread
 *
 * The queue is a concx.queue.RingQueue(capacity, cells="int64").  A handle keeps the ring, not the
 * Python object: when the object is gone, or was shut down, pushes answer CONCX_CLOSED.  Pushing wakes
 * threads that wait in get() and tasks that wait in get_async().  A thread that holds the GIL must not
 * wait in a push for a consumer that needs the GIL: it gives it up first, or uses the try form.
 *
 * What a producer did before a push is visible to the consumer that got its value.  Signals do not end
 * a wait.  In a child of fork() the handles of the parent work, for threads of the child.
 * Waking event loops needs Linux.  Subinterpreters do not have the capsule.
 */
#ifndef CONCX_H
#define CONCX_H

#include <Python.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CONCX_API_VERSION 1
#define CONCX_API_NAME "concx._core._C_API"

/* What a push answers. */
#define CONCX_OK 0
#define CONCX_FULL 1   /* no room, or none until the deadline */
#define CONCX_CLOSED 2 /* shut down, or nobody is left to get anything */
#define CONCX_NOMEM 3  /* no memory to wait with */

/* Deadlines are nanoseconds of CLOCK_MONOTONIC. */
#define CONCX_NEVER_WAIT 0
#define CONCX_FOREVER INT64_MAX

typedef struct concx_ring concx_ring;

typedef struct {
    uint32_t version; /* CONCX_API_VERSION of the extension; later ones only add at the end */
    uint32_t size;    /* of this struct in the extension */

    /* A handle of an int64 RingQueue; NULL with TypeError for anything else.  Needs the GIL. */
    concx_ring *(*ring_from_object)(PyObject *queue);
    /* Another handle of the same ring. */
    concx_ring *(*ring_retain)(concx_ring *ring);
    /* Gives a handle up. */
    void (*ring_release)(concx_ring *ring);

    /* Pushes if there is room now: CONCX_OK, CONCX_FULL, CONCX_CLOSED. */
    int (*ring_try_push_int64)(concx_ring *ring, int64_t value);
    /* Pushes the first of n values, as many as there is room for, at one instant: how many. */
    size_t (*ring_try_push_many_int64)(concx_ring *ring, const int64_t *values, size_t n);
    /* Waits for room until the deadline: CONCX_OK, CONCX_FULL, CONCX_CLOSED, CONCX_NOMEM. */
    int (*ring_push_int64)(concx_ring *ring, int64_t value, int64_t deadline);
    /* How many values are in it, at one instant. */
    size_t (*ring_len)(concx_ring *ring);
    /* Whether it was shut down. */
    int (*ring_is_closed)(concx_ring *ring);
} concx_api;

/* The table of functions; NULL with ImportError or AttributeError.  Needs the GIL. */
static inline const concx_api *
concx_import(void)
{
    PyObject *module = PyImport_ImportModule("concx._core");
    if (module == NULL) {
        return NULL;
    }
    PyObject *capsule = PyObject_GetAttrString(module, "_C_API");
    const concx_api *api =
        capsule == NULL ? NULL : (const concx_api *)PyCapsule_GetPointer(capsule, CONCX_API_NAME);
    Py_XDECREF(capsule);
    Py_DECREF(module); /* sys.modules keeps it, and its code is never unloaded */
    if (api != NULL && api->version < CONCX_API_VERSION) {
        PyErr_Format(PyExc_ImportError, "concx offers version %u of its C interface, not %d",
                     (unsigned)api->version, CONCX_API_VERSION);
        return NULL;
    }
    return api;
}

#ifdef __cplusplus
}
#endif

#endif

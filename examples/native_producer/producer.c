// SPDX-License-Identifier: MIT
/* A thread of its own, without the interpreter, that pushes numbers into a RingQueue of int64 cells.
 *
 * run.py compiles this into a shared library and loads it with ctypes.PyDLL, so the functions are called
 * with the GIL held; the thread never has it.  An extension module would do the same.
 */
#include "concx.h"

#include <pthread.h>
#include <stdlib.h>

struct producer {
    const concx_api *concx;
    concx_ring *ring;
    int64_t count;
    int64_t pushed;
    pthread_t thread;
};

static void *
produce(void *arg)
{
    struct producer *self = arg;
    while (self->pushed < self->count &&
           self->concx->ring_push_int64(self->ring, self->pushed, CONCX_FOREVER) == CONCX_OK) {
        self->pushed++;
    }
    return NULL;
}

/* Starts a thread that pushes 0, 1, 2, ... count - 1; NULL with an exception. */
struct producer *
producer_start(PyObject *queue, int64_t count)
{
    const concx_api *concx = concx_import();
    concx_ring *ring = concx == NULL ? NULL : concx->ring_from_object(queue);
    struct producer *self = ring == NULL ? NULL : calloc(1, sizeof *self);
    if (self == NULL) {
        if (ring != NULL) {
            concx->ring_release(ring);
            PyErr_NoMemory();
        }
        return NULL;
    }
    self->concx = concx;
    self->ring = ring;
    self->count = count;
    if (pthread_create(&self->thread, NULL, produce, self) != 0) {
        concx->ring_release(ring);
        free(self);
        PyErr_SetString(PyExc_RuntimeError, "cannot start a thread");
        return NULL;
    }
    return self;
}

/* Waits for the thread to end; returns how many numbers it has pushed. */
int64_t
producer_join(struct producer *self)
{
    int64_t pushed;
    Py_BEGIN_ALLOW_THREADS
    pthread_join(self->thread, NULL);
    Py_END_ALLOW_THREADS
    pushed = self->pushed;
    self->concx->ring_release(self->ring);
    free(self);
    return pushed;
}

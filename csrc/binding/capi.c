// SPDX-License-Identifier: MIT
#include "binding/ringlike.h"
#include "concx.h"

/* A handle is a counted cx_ringqueue under the name that the public header gives it. */
static struct cx_ringqueue *
ring_of(concx_ring *ring)
{
    return (struct cx_ringqueue *)(void *)ring;
}

static concx_ring *
handle_of(struct cx_ringqueue *q)
{
    return (concx_ring *)(void *)q;
}

static concx_ring *
ring_from_object(PyObject *object)
{
    PyObject *module = PyType_GetModuleByDef(Py_TYPE(object), &cxb_module_def);
    struct cxb_state *state = module == NULL ? NULL : cxb_state_of_module(module);
    if (state == NULL) {
        PyErr_Clear();
    }
    if (state == NULL || !PyObject_TypeCheck(object, state->ringqueue_type) ||
        !((RingObject *)object)->ints) {
        PyErr_Format(PyExc_TypeError, "a RingQueue with cells='int64' is needed, got %R", object);
        return NULL;
    }
    return handle_of(cx_ringqueue_ref(((RingObject *)object)->core));
}

static concx_ring *
ring_retain(concx_ring *ring)
{
    return handle_of(cx_ringqueue_ref(ring_of(ring)));
}

static void
ring_release(concx_ring *ring)
{
    cx_ringqueue_unref(ring_of(ring));
}

static int
answer(enum cx_status status)
{
    switch (status) {
    case CX_OK:
        return CONCX_OK;
    case CX_CLOSED:
        return CONCX_CLOSED;
    case CX_NOMEM:
        return CONCX_NOMEM;
    default:
        return CONCX_FULL;
    }
}

static int
ring_push_int64(concx_ring *ring, int64_t value, int64_t deadline)
{
    return answer(cx_ringqueue_put_native(ring_of(ring), (uint64_t)value, deadline));
}

static int
ring_try_push_int64(concx_ring *ring, int64_t value)
{
    return ring_push_int64(ring, value, CONCX_NEVER_WAIT);
}

static size_t
ring_try_push_many_int64(concx_ring *ring, const int64_t *values, size_t n)
{
    struct cx_wakes wakes = CX_WAKES_INIT;
    enum cx_status why;
    if (n == 0) {
        return 0;
    }
    size_t k = cx_ringqueue_put(ring_of(ring), (const uint64_t *)values, n, &why, &wakes);
    cx_wakes_deliver_native(&wakes);
    return k;
}

static size_t
ring_len(concx_ring *ring)
{
    return cx_ringqueue_len(ring_of(ring));
}

static int
ring_is_closed(concx_ring *ring)
{
    return cx_ringqueue_closed(ring_of(ring));
}

static const concx_api api = {
    .version = CONCX_API_VERSION,
    .size = sizeof(concx_api),
    .ring_from_object = ring_from_object,
    .ring_retain = ring_retain,
    .ring_release = ring_release,
    .ring_try_push_int64 = ring_try_push_int64,
    .ring_try_push_many_int64 = ring_try_push_many_int64,
    .ring_push_int64 = ring_push_int64,
    .ring_len = ring_len,
    .ring_is_closed = ring_is_closed,
};

int
cxb_capi_exec(PyObject *module)
{
    /* A native thread belongs to no interpreter: what it lets go of last is dropped by whoever comes
     * next, so only the main interpreter's objects may be handed to native threads. */
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        return 0;
    }
    PyObject *capsule = PyCapsule_New((void *)&api, CONCX_API_NAME, NULL);
    int added = capsule == NULL ? -1 : PyModule_AddObjectRef(module, "_C_API", capsule);
    Py_XDECREF(capsule);
    return added;
}

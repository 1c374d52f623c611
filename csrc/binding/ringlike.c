// SPDX-License-Identifier: MIT
#include "binding/ringlike.h"

#include "core/clock.h"

/* How many words travel at once through a buffer on the stack. */
#define CHUNK 128

bool
cxb_ring_capacity(PyObject *object, const char *name, uint64_t *capacity)
{
    PyObject *number = PyNumber_Index(object);
    if (number == NULL) {
        if (PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_Format(PyExc_TypeError, "%s capacity must be an int, not %.200s", name,
                         Py_TYPE(object)->tp_name);
        }
        return false;
    }
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
    bool ok = overflow == 0 && value >= 1 && (unsigned long long)value <= CX_RING_MAX;
    if (!ok) {
        PyErr_Format(PyExc_ValueError, "%s capacity must be from 1 to 2**40, got %R", name, number);
    }
    Py_DECREF(number);
    *capacity = (uint64_t)value;
    return ok;
}

PyObject *
cxb_ring_new(PyTypeObject *type, enum cx_ringqueue_kind kind, uint64_t capacity, bool ints)
{
    struct cxb_state *state = cxb_state_of_type(type);
    if (state == NULL) {
        return NULL;
    }
    RingObject *q = (RingObject *)type->tp_alloc(type, 0);
    if (q == NULL) {
        return NULL;
    }
    q->state = state;
    q->ints = ints;
    q->core = cx_ringqueue_new(kind, capacity);
    if (q->core == NULL) {
        Py_DECREF(q);
        return PyErr_NoMemory();
    }
    q->core->native = ints; /* binding/capi.c hands out such rings, and only such */
    return (PyObject *)q;
}

bool
cxb_ring_word(const RingObject *q, PyObject *item, uint64_t *word)
{
    if (!q->ints) {
        *word = (uint64_t)(uintptr_t)Py_NewRef(item);
        return true;
    }
    PyObject *number = PyNumber_Index(item);
    if (number == NULL) {
        if (PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_Format(PyExc_TypeError, "a RingQueue of int64 cells holds ints, not %.200s",
                         Py_TYPE(item)->tp_name);
        }
        return false;
    }
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
    if (overflow != 0) {
        PyErr_Format(PyExc_OverflowError,
                     "a RingQueue of int64 cells holds ints from -2**63 to 2**63-1, got %R",
                     number);
    }
    Py_DECREF(number);
    *word = (uint64_t)value;
    return overflow == 0;
}

PyObject *
cxb_ring_item(const RingObject *q, uint64_t word)
{
    return q->ints ? PyLong_FromLongLong((long long)word) : (PyObject *)(uintptr_t)word;
}

void
cxb_ring_drop(const RingObject *q, const uint64_t *words, size_t n)
{
    for (size_t i = 0; i < n && !q->ints; i++) {
        Py_DECREF((PyObject *)(uintptr_t)words[i]);
    }
}

size_t
cxb_ring_look(RingObject *q)
{
    size_t len = cx_ringqueue_len(q->core);
    if (len > cx_load_relaxed(&q->high_water)) {
        cx_store_relaxed(&q->high_water, (uint64_t)len);
    }
    return len;
}

size_t
cxb_ring_try_put(RingObject *q, const uint64_t *words, size_t n, enum cx_status *why)
{
    struct cx_wakes wakes;
    wakes.count = 0;
    size_t k = cx_ringqueue_put(q->core, words, n, why, &wakes);
#if CX_WITH_GIL
    (void)cxb_ring_look(q); /* both indices are at hand; between cores this would cost a transfer */
#endif
    cxb_deliver(q->state, &wakes);
    if (CX_UNLIKELY(k == 0) && *why == CX_AGAIN) {
        *why = CX_FULL;
    }
    return k;
}

size_t
cxb_ring_try_get(RingObject *q, uint64_t *words, size_t n, enum cx_status *why)
{
    struct cx_wakes wakes;
    wakes.count = 0;
    size_t k = cx_ringqueue_get(q->core, words, n, why, &wakes);
    cxb_deliver(q->state, &wakes);
    if (CX_UNLIKELY(k == 0) && *why == CX_AGAIN) {
        *why = CX_EMPTY;
    }
    return k;
}

PyObject *
cxb_ring_raise(RingObject *q, enum cx_ringqueue_side side, enum cx_status why)
{
    if (why == CX_BUSY) {
        PyErr_SetString(PyExc_RuntimeError,
                        side == CX_PUTTERS
                            ? "SpscQueue has one producer, but two threads are putting at once"
                            : "SpscQueue has one consumer, but two threads are getting at once");
        return NULL;
    }
    return cxb_raise(q->state, why);
}

/* Sleeps until it is worth looking again: 1; 0: the time is up; -1 with an exception. */
static int
wait_turn(RingObject *q, enum cx_ringqueue_side side, struct cxb_limit *limit)
{
    struct cx_wakes wakes = CX_WAKES_INIT;
    if (limit->deadline == 0) {
        (void)cxb_ring_look(q);
    }
    struct cx_waiter *waiter = cxb_waiter_borrow(limit);
    if (waiter == NULL) {
        return -1;
    }
    int answer = 1;
    if (cx_ringqueue_wait(q->core, side, &waiter->node) == CX_WAIT) {
        enum cxb_wait how = cxb_wait_counted(q->state, waiter, limit->deadline, &q->waits);
        if (how == CXB_ERROR_LATE) {
            cx_ringqueue_pass_on(q->core, side, &wakes);
        }
        else if (how != CXB_GRANTED) {
            cx_ringqueue_unlink(q->core, side, &waiter->node);
        }
        answer = how == CXB_TIMED_OUT ? 0 : how == CXB_ERROR || how == CXB_ERROR_LATE ? -1 : 1;
    }
    cx_waiter_return(waiter);
    cxb_deliver(q->state, &wakes);
    return answer;
}

PyObject *
cxb_ring_put(RingObject *q, PyObject *item, bool block, PyObject *timeout)
{
    struct cxb_limit limit;
    enum cx_status why;
    uint64_t word;
    int turn = 1;
    if (cxb_limit_parse(&limit, block, timeout) < 0 || !cxb_ring_word(q, item, &word)) {
        return NULL;
    }
    while (turn > 0) {
        if (CX_LIKELY(cxb_ring_try_put(q, &word, 1, &why) == 1)) {
            Py_RETURN_NONE;
        }
        if (why != CX_FULL || !limit.block) {
            break;
        }
        turn = wait_turn(q, CX_PUTTERS, &limit);
    }
    if (turn >= 0) {
        (void)cxb_ring_raise(q, CX_PUTTERS, why);
    }
    cxb_ring_drop(q, &word, 1);
    return NULL;
}

PyObject *
cxb_ring_get(RingObject *q, bool block, PyObject *timeout)
{
    struct cxb_limit limit;
    enum cx_status why;
    uint64_t word;
    if (cxb_limit_parse(&limit, block, timeout) < 0) {
        return NULL;
    }
    for (;;) {
        if (CX_LIKELY(cxb_ring_try_get(q, &word, 1, &why) == 1)) {
            return cxb_ring_item(q, word);
        }
        int turn = why == CX_EMPTY && limit.block ? wait_turn(q, CX_GETTERS, &limit) : 0;
        if (turn <= 0) {
            return turn < 0 ? NULL : cxb_ring_raise(q, CX_GETTERS, why);
        }
    }
}

/* The words of all items of a tuple, or NULL with an exception and nothing converted. */
static uint64_t *
words_of(RingObject *q, PyObject *tuple)
{
    Py_ssize_t n = PyTuple_GET_SIZE(tuple);
    uint64_t *words = PyMem_New(uint64_t, n > 0 ? n : 1);
    if (words == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        if (!cxb_ring_word(q, PyTuple_GET_ITEM(tuple, i), &words[i])) {
            cxb_ring_drop(q, words, (size_t)i);
            PyMem_Free(words);
            return NULL;
        }
    }
    return words;
}

PyObject *
cxb_ring_put_many(RingObject *q, PyObject *items, bool block, PyObject *timeout)
{
    struct cxb_limit limit;
    enum cx_status why = CX_OK;
    int turn = 1;
    if (cxb_limit_parse(&limit, block, timeout) < 0) {
        return NULL;
    }
    PyObject *tuple = PySequence_Tuple(items);
    uint64_t *words = tuple == NULL ? NULL : words_of(q, tuple);
    if (words == NULL) {
        Py_XDECREF(tuple);
        return NULL;
    }
    size_t n = (size_t)PyTuple_GET_SIZE(tuple), done = 0;
    while (done < n && turn > 0) {
        size_t k = cxb_ring_try_put(q, words + done, n - done, &why);
        done += k;
        if (k == 0) {
            turn = why == CX_FULL && limit.block ? wait_turn(q, CX_PUTTERS, &limit) : 0;
        }
    }
    if (turn == 0 && why != CX_FULL && (done == 0 || why != CX_CLOSED)) {
        (void)cxb_ring_raise(q, CX_PUTTERS, why);
        turn = -1;
    }
    cxb_ring_drop(q, words + done, n - done);
    PyMem_Free(words);
    Py_DECREF(tuple);
    return turn < 0 ? NULL : PyLong_FromSize_t(done);
}

PyObject *
cxb_ring_take_list(RingObject *q, Py_ssize_t max, enum cx_status *why)
{
    /* The list is made first: what has left the ring cannot go back. */
    size_t there = cxb_ring_look(q), got = 0;
    size_t n = there == 0 ? 1 : there < (size_t)max ? there : (size_t)max;
    PyObject *list = PyList_New((Py_ssize_t)n);
    if (list == NULL) {
        *why = CX_INTR; /* an exception is set */
        return NULL;
    }
    uint64_t words[CHUNK];
    while (got < n) {
        size_t k = cxb_ring_try_get(q, words, n - got < CHUNK ? n - got : CHUNK, why);
        if (k == 0) {
            break;
        }
        for (size_t i = 0; i < k; i++) {
            PyObject *item = cxb_ring_item(q, words[i]);
            if (item == NULL) {
                Py_SET_SIZE(list, (Py_ssize_t)got);
                Py_DECREF(list);
                *why = CX_INTR;
                return NULL;
            }
            PyList_SET_ITEM(list, (Py_ssize_t)got++, item);
        }
    }
    Py_SET_SIZE(list, (Py_ssize_t)got);
    if (got == 0) {
        Py_CLEAR(list);
    }
    return list;
}

PyObject *
cxb_ring_get_many(RingObject *q, Py_ssize_t max, bool block, PyObject *timeout)
{
    struct cxb_limit limit;
    enum cx_status why;
    if (cxb_limit_parse(&limit, block, timeout) < 0) {
        return NULL;
    }
    if (max == 0) {
        return PyList_New(0);
    }
    for (;;) {
        PyObject *list = cxb_ring_take_list(q, max, &why);
        if (list != NULL || why == CX_INTR) {
            return list;
        }
        int turn = why == CX_EMPTY && limit.block ? wait_turn(q, CX_GETTERS, &limit) : 0;
        if (turn <= 0) {
            return turn < 0 ? NULL : cxb_ring_raise(q, CX_GETTERS, why);
        }
    }
}

/* Drops at most `most` words; with `to_the_end`, what late putters of a closed ring bring too. */
static size_t
discard(RingObject *q, size_t most, bool to_the_end)
{
    uint64_t words[CHUNK];
    size_t count = 0;
    for (;;) {
        struct cx_wakes wakes = CX_WAKES_INIT;
        enum cx_status why = CX_OK;
        size_t n = most - count < CHUNK ? most - count : CHUNK;
        size_t k = n == 0 ? 0 : cx_ringqueue_discard(q->core, words, n, &why, &wakes);
        cxb_deliver(q->state, &wakes);
        cxb_ring_drop(q, words, k);
        count += k;
        if (k == 0 && !(to_the_end && why == CX_AGAIN)) {
            return count;
        }
    }
}

PyObject *
cxb_ring_discard_all(RingObject *q)
{
    return PyLong_FromSize_t(discard(q, cxb_ring_look(q), false));
}

void
cxb_ring_shutdown(RingObject *q, bool immediate)
{
    struct cx_wakes wakes = CX_WAKES_INIT;
    bool more;
    (void)cxb_ring_look(q);
    (void)cx_ringqueue_close(q->core);
    if (immediate) {
        (void)discard(q, SIZE_MAX, true);
    }
    do {
        more = cx_ringqueue_wake_all(q->core, &wakes);
        cxb_deliver(q->state, &wakes);
    } while (more);
}

static int
visit_word(uint64_t word, void *arg)
{
    void **both = arg;
    visitproc visit = *(visitproc *)both[0];
    return visit((PyObject *)(uintptr_t)word, both[1]);
}

int
cxb_ring_traverse(RingObject *q, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(q));
    if (q->core == NULL || q->ints) {
        return 0; /* native threads may be inside: the tasks that wait count as held from outside */
    }
    /* No lock: nobody is inside an operation while the collector runs. */
    void *both[2] = {&visit, arg};
    int stop = cx_ringqueue_visit(q->core, visit_word, both);
    for (size_t i = 0; stop == 0 && i < Py_ARRAY_LENGTH(q->core->sides); i++) {
        stop = cxb_visit_waiters(&q->core->sides[i].list, visit, arg);
    }
    return stop;
}

int
cxb_ring_clear(RingObject *q)
{
    if (q->core != NULL && !q->ints) {
        (void)discard(q, SIZE_MAX, false);
    }
    return 0;
}

void
cxb_ring_dealloc(RingObject *q)
{
    PyTypeObject *type = Py_TYPE(q);
    PyObject_GC_UnTrack(q);
    if (q->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)q);
    }
    if (q->core != NULL) {
        (void)cxb_ring_clear(q);
        if (q->core->native) {
            struct cx_wakes wakes = CX_WAKES_INIT;
            bool more;
            (void)cx_ringqueue_close(q->core);
            do {
                more = cx_ringqueue_wake_all(q->core, &wakes);
                cx_wakes_deliver_native(&wakes); /* only native putters can be waiting */
            } while (more);
        }
        cx_ringqueue_unref(q->core);
    }
    type->tp_free(q);
    Py_DECREF(type);
}

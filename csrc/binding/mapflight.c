// SPDX-License-Identifier: MIT
/* compute_if_absent: one call of a factory, however many threads ask.
 *
 * A call that is under way, a flight, stands in a map of its own: key -> (future, thread).  Who finds one
 * waits for its future; who finds none puts his in, calls, settles it and takes it out.  A thread writes
 * down for which flight it waits before it looks whether that flight's thread waits, over others, for
 * one of its own: of two threads that close a circle at least one sees it.
 */
#include "binding/future.h"
#include "binding/map.h"

#define FUTURE(flight) ((FutureObject *)PyTuple_GET_ITEM(flight, 0))
#define THREAD(flight) PyTuple_GET_ITEM(flight, 1)

/* The map of flights of this process, a new reference; NULL with an exception. */
static MapObject *
flights_get(MapObject *self)
{
    MapObject *flights;
    PyObject *stale = NULL;
    MapObject *empty = cxb_map_alloc(self->state->map_type, self->state, 0);
    if (empty == NULL) {
        return NULL;
    }
    CXB_BEGIN_CRITICAL((PyObject *)self);
    if (self->flights == NULL || self->flights_generation != cx_fork_generation()) {
        stale = self->flights; /* of threads that the fork has lost */
        self->flights = Py_NewRef((PyObject *)empty);
        self->flights_generation = cx_fork_generation();
    }
    flights = (MapObject *)Py_NewRef(self->flights);
    CXB_END_CRITICAL;
    Py_DECREF((PyObject *)empty);
    Py_XDECREF(stale);
    return flights;
}

static PyObject *
flight_new(MapObject *self)
{
    PyObject *thread = PyLong_FromUnsignedLong(PyThread_get_thread_ident());
    PyObject *future =
        thread == NULL || cxb_future_prepare(self->state) < 0
            ? NULL
            : (PyObject *)cxb_future_alloc(self->state, self->state->futurebase_type);
    PyObject *flight = future == NULL ? NULL : PyTuple_Pack(2, future, thread);
    Py_XDECREF(thread);
    Py_XDECREF(future);
    return flight;
}

/* Whether waiting for `flight` would be waiting for oneself: 1, 0, or -1 with an exception. */
static int
closes_circle(MapObject *self, PyObject *flight, PyObject *me)
{
    PyObject *waits = self->state->flight_waits, *next;
    int answer = 0;
    Py_INCREF(flight);
    while (answer == 0 && flight != NULL) {
        PyObject *thread = THREAD(flight);
        answer = PyObject_RichCompareBool(thread, me, Py_EQ);
        next = NULL;
        if (answer == 0 && cxb_dict_get(waits, thread, &next) < 0) {
            answer = -1;
        }
        Py_SETREF(flight, next);
    }
    Py_XDECREF(flight);
    return answer;
}

/* The outcome of another thread's call: 1 and its value, 0 if it has none and somebody is to call
 * again, -1 with an exception. */
static int
wait_for(MapObject *self, PyObject *key, PyObject *flight, PyObject **value)
{
    PyObject *me = PyLong_FromUnsignedLong(PyThread_get_thread_ident());
    PyObject *waits = self->state->flight_waits;
    if (me == NULL || PyDict_SetItem(waits, me, flight) < 0) {
        Py_XDECREF(me);
        return -1;
    }
    int failed = closes_circle(self, flight, me);
    if (failed > 0) {
        PyErr_Format(PyExc_RuntimeError,
                     "the factory of %R waits for itself: it asks for a key whose value it makes",
                     key);
    }
    else if (failed == 0) {
        failed = cxb_future_await(FUTURE(flight), Py_None);
    }
    PyObject *error = cxb_error_set_aside();
    if (PyDict_DelItem(waits, me) < 0) {
        PyErr_Clear();
    }
    cxb_error_put_back(error);
    Py_DECREF(me);
    if (failed != 0) {
        return -1;
    }
    if (cx_future_state(&FUTURE(flight)->core) == CX_CALLED_OFF) {
        return 0;
    }
    *value = cxb_future_outcome(FUTURE(flight));
    return *value == NULL ? -1 : 1;
}

/* Calls, stores, and tells the others.  NULL with the factory's exception. */
static PyObject *
lead(MapObject *self, MapObject *flights, PyObject *key, PyObject *flight, PyObject *factory)
{
    PyObject *there = NULL, *value = NULL;
    /* It may have been stored between the look for it and the flight. */
    int found = cxb_map_find(self, key, &there);
    if (found == 0 && (value = PyObject_CallNoArgs(factory)) != NULL) {
        int done = cxb_map_write(self, key, CXB_NOTHING, NULL, value, &there);
        if (done != 0) { /* 0: somebody has set one meanwhile */
            there = done < 0 ? NULL : Py_NewRef(value);
        }
    }
    Py_XDECREF(value);
    PyObject *error = cxb_error_set_aside();
    if (cxb_map_write(flights, key, CXB_EXACTLY, flight, CXB_ABSENT, NULL) < 0) {
        PyErr_WriteUnraisable((PyObject *)self); /* its __hash__ or __eq__ has begun to fail */
    }
    int failed = 0;
    if (there != NULL) {
        failed = cxb_future_settle(FUTURE(flight), CX_FINISHED, Py_NewRef(there), NULL) == CX_INTR;
    }
    else if (PyErr_GivenExceptionMatches(error, PyExc_Exception)) {
        failed = cxb_future_settle(FUTURE(flight), CX_FAILED, Py_NewRef(error), NULL) == CX_INTR;
    }
    else {
        failed = cxb_future_cancel(FUTURE(flight)) < 0; /* the others call for themselves */
    }
    if (failed) {
        PyErr_WriteUnraisable((PyObject *)self);
    }
    cxb_error_put_back(error);
    return there;
}

PyObject *
cxb_map_compute_if_absent(MapObject *self, PyObject *key, PyObject *factory)
{
    MapObject *flights = flights_get(self);
    PyObject *flight = flights == NULL ? NULL : flight_new(self), *value = NULL;
    int done = flight == NULL ? -1 : 0;
    while (done == 0) {
        PyObject *other = NULL;
        done = cxb_map_write(flights, key, CXB_NOTHING, NULL, flight, &other);
        if (done == 1) {
            value = lead(self, flights, key, flight, factory);
        }
        else if (done == 0) {
            done = wait_for(self, key, other, &value);
            Py_DECREF(other);
        }
    }
    Py_XDECREF(flight);
    Py_XDECREF((PyObject *)flights);
    return value;
}

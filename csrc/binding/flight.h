// SPDX-License-Identifier: MIT
/* binding/flight.h - one call per key, however many threads and tasks ask.
 *
 * A call that is under way is a flight.  It stands in the table of a SingleFlight, key -> flight; who puts
 * it there leads it, who finds it joins it and waits, by the wait protocol, for its outcome: a value, an
 * Exception, or nothing, when its leader was killed, cancelled or collected.  Then whoever waited comes
 * again, and the first of them leads.
 *
 * Who would wait for himself calls directly instead.  What leads is a lead: made for each flight, it knows
 * the lead inside whose call it was made (by a context variable, so that child tasks know it too) and its
 * thread.  A wait hangs on the list of waits of the interpreter while it lasts, and before it is hung
 * there, in the same exclusion, the list is searched for a way from the flight to the waiter:
 *
 *     a lead waits for what waits inside its call, and, unless that wait is a task's, for every
 *     wait of its thread;
 *     a waiter is the leads inside of which it is, and, unless it is a task, every lead of its thread.
 *
 * So of any waits that would close a circle the last one is not made.
 *
 * No lock is held while Python runs.  A child of fork() begins with an empty table.
 */
#ifndef CX_BINDING_FLIGHT_H
#define CX_BINDING_FLIGHT_H

#include "binding/module.h"
#include "binding/timeout.h"
#include "core/future.h"

typedef struct {
    PyObject_HEAD
    struct cxb_state *state;
    PyObject *weakrefs;
    PyObject *map;                 /* a MapBase; NULL until the first flight */
    uint32_t generation;           /* the process it is of */
    uint64_t calls, joined, woken; /* atomic; what became of those who asked */
} SingleFlightObject;

typedef struct LeadObject {
    PyObject_HEAD
    struct LeadObject *outer;
    unsigned long thread;
    bool is_task;
    uint64_t mark; /* of the search that met it last; guarded, as is `todo` */
    struct LeadObject *todo;
} LeadObject;

typedef struct {
    PyObject_HEAD
    struct cxb_state *state;
    struct cx_future core;
    LeadObject *lead;
    SingleFlightObject *table;
    PyObject *key;
    uint32_t is_forgotten; /* atomic */
    uint32_t joined;       /* atomic */
} FlightObject;

/* A wait for a flight, while it lasts. */
struct cxb_flight_wait {
    struct cxb_flight_wait *next, **link; /* link: what points to it; NULL: it hangs nowhere */
    LeadObject *from, *to; /* from: NULL where no call is under way; each held by the waiter */
    unsigned long thread;
    uint32_t generation;
    bool is_task;
};

enum cxb_role { CXB_NO_ROLE = -1, CXB_LEADS, CXB_JOINS, CXB_DIRECT };

/* The table that *slot holds, made on first use; borrowed, NULL with an exception. */
SingleFlightObject *cxb_flights_of(struct cxb_state *state, PyObject **slot);

/* What the caller is to do, and the flight, a new reference, that it leads or joins.  Who joins hangs
 * *wait and takes it off again; it is allocated by the callee.  CXB_NO_ROLE: an exception. */
enum cxb_role cxb_flight_board(SingleFlightObject *table, PyObject *key, bool is_task,
                               FlightObject **flight, struct cxb_flight_wait **wait);
void cxb_flight_leave(struct cxb_state *state, struct cxb_flight_wait *wait);

/* The leader's context from now on, and the token that ends it; NULL with an exception. */
PyObject *cxb_flight_begin(FlightObject *flight);
/* Takes the token; also in another context, where there is nothing to end. */
void cxb_flight_end(struct cxb_state *state, PyObject *token);

/* Takes it off the table and tells those who joined: a value, or, NULL, the exception in flight, which
 * stays; what is no Exception tells them to come again.  Once. */
void cxb_flight_settle(FlightObject *flight, PyObject *value);

/* 1 and the value, 0: nobody leads it any more, or -1 with its exception.  It is done. */
int cxb_flight_outcome(FlightObject *flight, PyObject **value);

/* Off the table, and nothing is to be kept of it: 1, 0 there was none, or -1 with an exception. */
int cxb_flights_forget(SingleFlightObject *table, PyObject *key);
int cxb_flights_forget_all(SingleFlightObject *table);
Py_ssize_t cxb_flights_count(SingleFlightObject *table);

/* One thread's turn: calls `load` (`flight` NULL: directly) or waits for whom does. */
struct cxb_loading {
    PyObject *(*load)(struct cxb_loading *how, FlightObject *flight);
    PyObject *key;
    PyObject *timeout; /* NULL or None: none; of the wait */
    bool is_shared;    /* out: others got it too */
};
PyObject *cxb_flights_do(SingleFlightObject *table, struct cxb_loading *how);

/* The turn of a task, for the coroutine that takes it: flighttrip.c. */
PyObject *cxb_trip_new(SingleFlightObject *table, PyObject *key);

#endif

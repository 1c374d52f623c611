// SPDX-License-Identifier: MIT
#include "binding/flight.h"

#include "binding/block.h"
#include "binding/loopport.h"

#include <string.h>

/* --- the list of waits ---------------------------------------------------------------------------- */

static bool
is_inside(const LeadObject *lead, const LeadObject *outer)
{
    while (lead != NULL && lead != outer) {
        lead = lead->outer;
    }
    return lead != NULL;
}

/* Whether `lead` cannot go on before `wait` is over. */
static bool
waits_for(const LeadObject *lead, const struct cxb_flight_wait *wait)
{
    return (!wait->is_task && wait->thread == lead->thread) || is_inside(wait->from, lead);
}

/* Marks what a lead waits for over the waits of a list, and puts it in front of `todo`. */
static LeadObject *
follow(const LeadObject *lead, const struct cxb_flight_wait *list, LeadObject *todo)
{
    for (const struct cxb_flight_wait *wait = list; wait != NULL; wait = wait->next) {
        if (wait->to->mark != lead->mark && waits_for(lead, wait)) {
            wait->to->mark = lead->mark;
            wait->to->todo = todo;
            todo = wait->to;
        }
    }
    return todo;
}

/* Threads that wait outside of every call are many: they hang in a list by thread. */
static struct cxb_flight_wait **
list_of(struct cxb_flight_waits *waits, const LeadObject *from, unsigned long thread)
{
    uint64_t spread = (uint64_t)thread * UINT64_C(0x9E3779B97F4A7C15);
    return from != NULL ? &waits->inside
                        : &waits->outside[spread / (UINT64_MAX / CXB_FLIGHT_LISTS + 1)];
}

/* Whether the flight of `wait` waits, over others, for whoever is about to make that wait. */
static bool
closes_circle(struct cxb_flight_waits *waits, const struct cxb_flight_wait *wait)
{
    LeadObject *todo = wait->to;
    todo->mark = ++waits->searches;
    todo->todo = NULL;
    while (todo != NULL) {
        const LeadObject *lead = todo;
        if ((lead->thread == wait->thread && !(wait->is_task && lead->is_task)) ||
            is_inside(wait->from, lead)) {
            return true;
        }
        todo = follow(lead, waits->inside, lead->todo);
        todo = follow(lead, *list_of(waits, NULL, lead->thread), todo);
    }
    return false;
}

/* Hangs it up unless that would close a circle.  Those that a fork has lost are forgotten.  A task that
 * waits outside of every call keeps nobody else waiting. */
static bool
hang(struct cxb_state *state, struct cxb_flight_wait *wait)
{
    struct cxb_flight_waits *waits = &state->flights;
    cx_guard_take(&waits->guard);
    if (waits->generation != cx_fork_generation()) {
        waits->generation = cx_fork_generation();
        waits->inside = NULL;
        memset(waits->outside, 0, sizeof waits->outside);
    }
    bool fits = !closes_circle(waits, wait);
    wait->generation = waits->generation;
    if (fits && (wait->from != NULL || !wait->is_task)) {
        struct cxb_flight_wait **list = list_of(waits, wait->from, wait->thread);
        wait->next = *list;
        if (wait->next != NULL) {
            wait->next->link = &wait->next;
        }
        wait->link = list;
        *list = wait;
    }
    cx_guard_release(&waits->guard);
    return fits;
}

void
cxb_flight_leave(struct cxb_state *state, struct cxb_flight_wait *wait)
{
    cx_guard_take(&state->flights.guard);
    if (wait->link != NULL && wait->generation == cx_fork_generation()) {
        *wait->link = wait->next;
        if (wait->next != NULL) {
            wait->next->link = wait->link;
        }
    }
    cx_guard_release(&state->flights.guard);
    Py_XDECREF((PyObject *)wait->from);
    Py_DECREF((PyObject *)wait->to);
    PyMem_Free(wait);
}

/* --- leads and flights ----------------------------------------------------------------------------- */

/* The lead inside whose call this is, a new reference, or NULL; 0, or -1 with an exception. */
static int
current_lead(struct cxb_state *state, LeadObject **lead)
{
    PyObject *value = NULL;
    *lead = NULL;
    if (state->flight_context == NULL) {
        return 0;
    }
    if (PyContextVar_Get(state->flight_context, NULL, &value) < 0) {
        return -1;
    }
    *lead = (LeadObject *)value;
    return 0;
}

static int
make_context(struct cxb_state *state)
{
    PyObject *none = NULL;
    if (cx_load_acquire(&state->flight_context) != NULL) {
        return 0;
    }
    PyObject *made = PyContextVar_New("concx.flight", NULL);
    if (made == NULL) {
        return -1;
    }
    if (!cx_cas_acq_rel(&state->flight_context, &none, made)) {
        Py_DECREF(made);
    }
    return 0;
}

static void
lead_dealloc(LeadObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF((PyObject *)self->outer);
    type->tp_free(self);
    Py_DECREF(type);
}

static FlightObject *
flight_new(SingleFlightObject *table, PyObject *key, LeadObject *outer, bool is_task)
{
    struct cxb_state *state = table->state;
    LeadObject *lead = PyObject_New(LeadObject, state->lead_type);
    if (lead == NULL) {
        return NULL;
    }
    lead->outer = (LeadObject *)Py_XNewRef((PyObject *)outer);
    lead->thread = PyThread_get_thread_ident();
    lead->is_task = is_task;
    lead->mark = 0;
    lead->todo = NULL;
    FlightObject *flight = (FlightObject *)state->flight_type->tp_alloc(state->flight_type, 0);
    if (flight == NULL) {
        Py_DECREF((PyObject *)lead);
        return NULL;
    }
    flight->state = state;
    cx_future_init(&flight->core);
    flight->lead = lead;
    flight->table = (SingleFlightObject *)Py_NewRef((PyObject *)table);
    flight->key = Py_NewRef(key);
    return flight;
}

static int
flight_traverse(FlightObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)self->core.value);
    Py_VISIT((PyObject *)self->table);
    Py_VISIT(self->key);
    return cxb_visit_waiters(&self->core.waiters, visit, arg);
}

static int
flight_clear(FlightObject *self)
{
    PyObject *value = self->core.value;
    self->core.value = NULL;
    Py_XDECREF(value);
    Py_CLEAR(self->table);
    Py_CLEAR(self->key);
    return 0;
}

static void
flight_dealloc(FlightObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)flight_clear(self);
    Py_XDECREF((PyObject *)self->lead);
    type->tp_free(self);
    Py_DECREF(type);
}

PyObject *
cxb_flight_begin(FlightObject *flight)
{
    return make_context(flight->state) < 0
               ? NULL
               : PyContextVar_Set(flight->state->flight_context, (PyObject *)flight->lead);
}

void
cxb_flight_end(struct cxb_state *state, PyObject *token)
{
    PyObject *error = cxb_error_set_aside();
    if (PyContextVar_Reset(state->flight_context, token) < 0) {
        PyErr_Clear(); /* made in a context that nobody runs in any more */
    }
    Py_DECREF(token);
    cxb_error_put_back(error);
}

/* --- the table ------------------------------------------------------------------------------------- */

SingleFlightObject *
cxb_flights_of(struct cxb_state *state, PyObject **slot)
{
    PyObject *known = cx_load_acquire(slot);
    if (known == NULL) {
        PyTypeObject *type = state->singleflight_type;
        SingleFlightObject *made = (SingleFlightObject *)type->tp_alloc(type, 0);
        if (made == NULL) {
            return NULL;
        }
        made->state = state;
        if (cx_cas_acq_rel(slot, &known, (PyObject *)made)) {
            return made;
        }
        Py_DECREF((PyObject *)made);
    }
    return (SingleFlightObject *)known;
}

/* The map of this process, a new reference; NULL with an exception, or without one: there is none. */
static PyObject *
map_of(SingleFlightObject *table, bool make)
{
    PyObject *map = NULL, *stale = NULL, *fresh = NULL;
    uint32_t generation = cx_fork_generation();
    for (;;) {
        CXB_BEGIN_CRITICAL((PyObject *)table);
        if (table->map != NULL && table->generation != generation) {
            stale = table->map; /* of threads that the fork has lost */
            table->map = NULL;
        }
        if (table->map == NULL && fresh != NULL) {
            table->map = Py_NewRef(fresh);
            table->generation = generation;
        }
        map = Py_XNewRef(table->map);
        CXB_END_CRITICAL;
        Py_CLEAR(stale);
        if (map != NULL || !make) {
            break;
        }
        fresh = PyObject_CallNoArgs((PyObject *)table->state->map_type);
        if (fresh == NULL) {
            break;
        }
    }
    Py_XDECREF(fresh);
    return map;
}

/* Whether `flight` was in the map and `instead` has taken its place: 1, 0, or -1 with an exception. */
static int
replace(struct cxb_state *state, PyObject *map, FlightObject *flight, PyObject *instead)
{
    PyObject *args[] = {map, flight->key, (PyObject *)flight, instead};
    PyObject *done = PyObject_VectorcallMethod(state->names.compare_and_set, args,
                                               4 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    int answer = done == NULL ? -1 : done == Py_True;
    Py_XDECREF(done);
    return answer;
}

/* The flight that the map has for its key, a new reference, which is `flight` if there was none. */
static FlightObject *
enter(struct cxb_state *state, PyObject *map, FlightObject *flight)
{
    for (;;) {
        PyObject *args[] = {map, flight->key, (PyObject *)flight};
        FlightObject *there = (FlightObject *)PyObject_VectorcallMethod(
            state->names.setdefault, args, 3 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
        if (there == NULL || there == flight || !cx_future_done(&there->core)) {
            return there;
        }
        int replaced =
            replace(state, map, there, (PyObject *)flight); /* it could not be taken out */
        Py_DECREF((PyObject *)there);
        if (replaced != 0) {
            return replaced < 0 ? NULL : (FlightObject *)Py_NewRef((PyObject *)flight);
        }
    }
}

/* CXB_JOINS or CXB_DIRECT; CXB_NO_ROLE without memory. */
static enum cxb_role
join(struct cxb_state *state, FlightObject *flight, LeadObject *from, bool is_task,
     struct cxb_flight_wait **wait)
{
    struct cxb_flight_wait *made = PyMem_Calloc(1, sizeof *made);
    if (made == NULL) {
        PyErr_NoMemory();
        return CXB_NO_ROLE;
    }
    made->from = (LeadObject *)Py_XNewRef((PyObject *)from);
    made->to = (LeadObject *)Py_NewRef((PyObject *)flight->lead);
    made->thread = PyThread_get_thread_ident();
    made->is_task = is_task;
    if (!hang(state, made)) {
        cxb_flight_leave(state, made);
        return CXB_DIRECT;
    }
    *wait = made;
    return CXB_JOINS;
}

enum cxb_role
cxb_flight_board(SingleFlightObject *table, PyObject *key, bool is_task, FlightObject **flight,
                 struct cxb_flight_wait **wait)
{
    struct cxb_state *state = table->state;
    LeadObject *outer = NULL;
    enum cxb_role role = CXB_NO_ROLE;
    *wait = NULL;
    PyObject *map = current_lead(state, &outer) < 0 ? NULL : map_of(table, true);
    FlightObject *mine = map == NULL ? NULL : flight_new(table, key, outer, is_task);
    *flight = mine == NULL ? NULL : enter(state, map, mine);
    if (*flight != NULL) {
        role = *flight == mine ? CXB_LEADS : join(state, *flight, outer, is_task, wait);
    }
    if (role == CXB_LEADS) {
        (void)cx_fetch_add_relaxed(&table->calls, 1);
    }
    else if (role == CXB_JOINS) {
        (void)cx_fetch_add_relaxed(&(*flight)->joined, 1);
        (void)cx_fetch_add_relaxed(&table->joined, 1);
    }
    else {
        Py_CLEAR(*flight);
    }
    Py_XDECREF((PyObject *)mine);
    Py_XDECREF(map);
    Py_XDECREF((PyObject *)outer);
    return role;
}

static void
deliver(FlightObject *flight, struct cx_news *news)
{
    cxb_deliver(flight->state, &news->wakes);
    while (CX_UNLIKELY(news->more)) {
        cx_future_wake(&flight->core, news);
        cxb_deliver(flight->state, &news->wakes);
    }
}

/* For one more thread to raise, a new reference: without a GIL a copy, because nothing guards the
 * traceback that each of them writes. */
static PyObject *
error_for_another(struct cxb_state *state, PyObject *error)
{
#if CX_WITH_GIL
    (void)state;
    return Py_NewRef(error);
#else
    PyObject *make = cxb_import_once(&state->flight_copied, "concx._load", "copied");
    PyObject *copy = make == NULL ? NULL : PyObject_CallOneArg(make, error);
    PyErr_Clear(); /* there was no memory for it */
    return copy != NULL ? copy : Py_NewRef(error);
#endif
}

void
cxb_flight_settle(FlightObject *flight, PyObject *value)
{
    PyObject *error = cxb_error_set_aside();
    PyObject *map = map_of(flight->table, false);
    if (map != NULL && replace(flight->state, map, flight, flight->state->missing) < 0) {
        PyErr_WriteUnraisable((PyObject *)flight->table); /* __hash__ or __eq__ has begun to fail */
    }
    Py_XDECREF(map);
    struct cx_news news = CX_NEWS_INIT;
    bool fails =
        value == NULL && error != NULL && PyErr_GivenExceptionMatches(error, PyExc_Exception);
    if (value != NULL || fails) {
        PyObject *outcome =
            value != NULL ? Py_NewRef(value) : error_for_another(flight->state, error);
        if (cx_future_settle(&flight->core, value != NULL ? CX_FINISHED : CX_FAILED, outcome, false,
                             &news) != CX_OK) {
            Py_DECREF(outcome);
        }
    }
    else {
        (void)!cx_future_cancel(&flight->core, false, &news);
    }
    deliver(flight, &news);
    cxb_error_put_back(error);
}

int
cxb_flight_outcome(FlightObject *flight, PyObject **value)
{
    switch (cx_future_state(&flight->core)) {
    case CX_FINISHED:
        *value = Py_NewRef((PyObject *)flight->core.value);
        return 1;
    case CX_FAILED:
        cxb_error_put_back(error_for_another(flight->state, (PyObject *)flight->core.value));
        return -1;
    default:
        return 0;
    }
}

int
cxb_flights_forget(SingleFlightObject *table, PyObject *key)
{
    PyObject *map = map_of(table, false), *args[] = {map, key};
    int answer = map == NULL ? (PyErr_Occurred() ? -1 : 0) : 0;
    FlightObject *flight =
        map == NULL ? NULL
                    : (FlightObject *)PyObject_VectorcallMethod(
                          table->state->names.get, args, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    if (map != NULL && flight == NULL) {
        answer = -1;
    }
    else if (flight != NULL && (PyObject *)flight != Py_None) {
        cx_store_release(&flight->is_forgotten, 1);
        answer = replace(table->state, map, flight, table->state->missing);
    }
    Py_XDECREF((PyObject *)flight);
    Py_XDECREF(map);
    return answer;
}

int
cxb_flights_forget_all(SingleFlightObject *table)
{
    PyObject *map = map_of(table, false);
    if (map == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    PyObject *all = PyObject_CallMethod(map, "snapshot", NULL), *key, *flight;
    int failed = all == NULL ? -1 : 0;
    Py_ssize_t at = 0;
    while (failed == 0 && PyDict_Next(all, &at, &key, &flight)) {
        cx_store_release(&((FlightObject *)flight)->is_forgotten, 1);
        failed =
            replace(table->state, map, (FlightObject *)flight, table->state->missing) < 0 ? -1 : 0;
    }
    Py_XDECREF(all);
    Py_DECREF(map);
    return failed;
}

Py_ssize_t
cxb_flights_count(SingleFlightObject *table)
{
    PyObject *map = map_of(table, false);
    Py_ssize_t count = map == NULL ? (PyErr_Occurred() ? -1 : 0) : PyObject_Size(map);
    Py_XDECREF(map);
    return count;
}

/* --- a thread's turn ------------------------------------------------------------------------------- */

static PyObject *
lead(FlightObject *flight, struct cxb_loading *how)
{
    PyObject *token = cxb_flight_begin(flight), *value = NULL;
    if (token != NULL) {
        value = how->load(how, flight);
        cxb_flight_end(flight->state, token);
    }
    cxb_flight_settle(flight, value);
    how->is_shared = cx_load_relaxed(&flight->joined) > 0;
    return value;
}

/* 0, or -1 with an exception. */
static int
wait_for(FlightObject *flight, struct cxb_limit *limit)
{
    enum cxb_wait ended = CXB_GRANTED;
    while (ended != CXB_ERROR && ended != CXB_ERROR_LATE && !cx_future_done(&flight->core)) {
        struct cx_waiter *waiter;
        if (ended == CXB_TIMED_OUT || !limit->block) {
            PyErr_SetString(PyExc_TimeoutError, "the call that was joined has not ended in time");
            return -1;
        }
        if ((waiter = cxb_waiter_borrow(limit)) == NULL) {
            return -1;
        }
        ended = CXB_GRANTED;
        if (cx_future_wait(&flight->core, &waiter->node) == CX_WAIT) {
            ended = cxb_wait(waiter, limit->deadline);
            (void)cx_fetch_add_relaxed(&flight->table->woken, ended == CXB_GRANTED);
            if (ended != CXB_GRANTED && ended != CXB_ERROR_LATE) {
                cx_future_leave(&flight->core, &waiter->node);
            }
        }
        cx_waiter_return(waiter);
        if (ended == CXB_FORKED) {
            return 0; /* nobody leads it in this process */
        }
    }
    return ended == CXB_ERROR || ended == CXB_ERROR_LATE ? -1 : 0;
}

PyObject *
cxb_flights_do(SingleFlightObject *table, struct cxb_loading *how)
{
    PyObject *value = NULL;
    struct cxb_limit limit;
    int done = 0;
    how->is_shared = false;
    if (cxb_limit_parse(&limit, true, how->timeout != NULL ? how->timeout : Py_None) < 0) {
        return NULL;
    }
    while (done == 0) {
        FlightObject *flight;
        struct cxb_flight_wait *wait;
        switch (cxb_flight_board(table, how->key, false, &flight, &wait)) {
        case CXB_LEADS:
            value = lead(flight, how);
            done = 1;
            break;
        case CXB_DIRECT:
            return how->load(how, NULL);
        case CXB_JOINS: {
            int failed = wait_for(flight, &limit);
            PyObject *error = cxb_error_set_aside();
            cxb_flight_leave(table->state, wait);
            cxb_error_put_back(error);
            done = failed < 0 ? -1 : cxb_flight_outcome(flight, &value);
            how->is_shared = true;
            break;
        }
        default:
            return NULL;
        }
        Py_DECREF((PyObject *)flight);
    }
    return value;
}

/* --- types ----------------------------------------------------------------------------------------- */

static PyType_Slot lead_slots[] = {{Py_tp_dealloc, lead_dealloc}, {0, NULL}};

PyType_Spec cxb_lead_spec = {
    .name = "concx._core.Lead",
    .basicsize = sizeof(LeadObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = lead_slots,
};

static PyType_Slot flight_slots[] = {
    {Py_tp_traverse, flight_traverse},
    {Py_tp_clear, flight_clear},
    {Py_tp_dealloc, flight_dealloc},
    {0, NULL},
};

PyType_Spec cxb_flight_spec = {
    .name = "concx._core.Flight",
    .basicsize = sizeof(FlightObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = flight_slots,
};

// SPDX-License-Identifier: MIT
/* Trip: a task's turn at a flight, for the coroutine that takes it (concx._load).
 *
 *     with table._trip(key) as trip:
 *         if not trip.joins:                  # it leads, or nobody can be waited for
 *             value = await call(trip.flight)
 *             trip.finish(value)
 *         elif await trip.wait(timeout):      # False: its leader is gone; come again
 *             value = trip.result()
 *
 * A turn that ends without an outcome, however it does, the coroutine collected, say, tells those who
 * joined to come again.
 */
#include "binding/await.h"
#include "binding/flight.h"

typedef struct {
    PyObject_HEAD
    SingleFlightObject *table;
    PyObject *key;
    enum cxb_role role;
    FlightObject *flight;
    struct cxb_flight_wait *wait;
    PyObject *token;
    bool is_settled;
} TripObject;

PyObject *
cxb_trip_new(SingleFlightObject *table, PyObject *key)
{
    TripObject *self = (TripObject *)table->state->trip_type->tp_alloc(table->state->trip_type, 0);
    if (self != NULL) {
        self->table = (SingleFlightObject *)Py_NewRef((PyObject *)table);
        self->key = Py_NewRef(key);
        self->role = CXB_NO_ROLE;
    }
    return (PyObject *)self;
}

static PyObject *
trip_enter(TripObject *self, PyObject *unused)
{
    (void)unused;
    if (self->role != CXB_NO_ROLE) {
        PyErr_SetString(PyExc_RuntimeError, "this turn has been taken");
        return NULL;
    }
    self->role = cxb_flight_board(self->table, self->key, true, &self->flight, &self->wait);
    if (self->role == CXB_NO_ROLE ||
        (self->role == CXB_LEADS && (self->token = cxb_flight_begin(self->flight)) == NULL)) {
        return NULL;
    }
    return Py_NewRef((PyObject *)self);
}

/* With the exception in flight, if any, which stays. */
static void
finish(TripObject *self)
{
    struct cxb_state *state = self->table->state;
    struct cxb_flight_wait *wait = self->wait;
    PyObject *token = self->token;
    self->wait = NULL;
    self->token = NULL;
    if (token != NULL) {
        cxb_flight_end(state, token);
    }
    if (self->role == CXB_LEADS && !self->is_settled) {
        self->is_settled = true;
        cxb_flight_settle(self->flight, NULL);
    }
    if (wait != NULL) {
        PyObject *error = cxb_error_set_aside();
        cxb_flight_leave(state, wait);
        cxb_error_put_back(error);
    }
}

static PyObject *
trip_exit(TripObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs == 3 && args[1] != Py_None) {
        cxb_error_put_back(Py_NewRef(args[1]));
    }
    finish(self);
    PyErr_Clear();
    Py_RETURN_FALSE;
}

static PyObject *
trip_finish(TripObject *self, PyObject *value)
{
    if (self->role == CXB_LEADS && !self->is_settled) {
        self->is_settled = true;
        cxb_flight_settle(self->flight, value);
    }
    Py_RETURN_NONE;
}

/* --- the wait -------------------------------------------------------------------------------------- */

static FlightObject *
flight_of(AwaitObject *self)
{
    return (FlightObject *)self->owner;
}

static enum cxb_step
wait_granted(AwaitObject *self, struct cx_node *node, PyObject **result)
{
    (void)cx_fetch_add_relaxed(&flight_of(self)->table->woken, node != NULL);
    enum cx_future_state state = cx_future_state(&flight_of(self)->core);
    *result = PyBool_FromLong(state == CX_FINISHED || state == CX_FAILED);
    return CXB_DONE;
}

static enum cxb_step
wait_attempt(AwaitObject *self, struct cx_node *node, PyObject **result)
{
    struct cx_future *core = &flight_of(self)->core;
    if (!cx_future_done(core) && (node == NULL || cx_future_wait(core, node) == CX_WAIT)) {
        return CXB_MUST_WAIT;
    }
    return wait_granted(self, NULL, result);
}

static enum cxb_step
wait_timed_out(AwaitObject *self, PyObject **result)
{
    if (cx_future_done(&flight_of(self)->core)) {
        return wait_granted(self, NULL, result);
    }
    PyErr_SetString(PyExc_TimeoutError, "the call that was joined has not ended in time");
    return CXB_FAILED;
}

static void
wait_leave(PyObject *owner, struct cx_node *node)
{
    cx_future_leave(&((FlightObject *)owner)->core, node);
}

static void
wait_give_back(PyObject *owner, struct cx_node *node)
{
    (void)owner; /* the outcome stays where it is */
    (void)node;
}

static const struct cxb_await_ops wait_ops = {
    .wait = {.give_back = wait_give_back},
    .name = "SingleFlight.do_async",
    .attempt = wait_attempt,
    .granted = wait_granted,
    .leave = wait_leave,
    .timed_out = wait_timed_out,
    .watch = CX_WITH_GIL ? CXB_WATCH_WISHED : CXB_WATCH_NEVER,
};

static PyObject *
trip_wait(TripObject *self, PyObject *object)
{
    struct cxb_timeout timeout;
    if (self->flight == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "there is no flight to wait for");
        return NULL;
    }
    if (cxb_timeout_parse(object, &timeout) < 0) {
        return NULL;
    }
    return cxb_await_new(self->table->state, &wait_ops, (PyObject *)self->flight, NULL, true,
                         &timeout);
}

static PyObject *
trip_result(TripObject *self, PyObject *unused)
{
    (void)unused;
    PyObject *value = NULL;
    if (self->flight == NULL || cxb_flight_outcome(self->flight, &value) == 0) {
        PyErr_SetString(PyExc_RuntimeError, "the flight has no outcome");
    }
    return value;
}

static PyObject *
get_joins(TripObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(self->role == CXB_JOINS);
}

/* What it leads or joins, or None. */
static PyObject *
get_flight(TripObject *self, void *unused)
{
    (void)unused;
    return Py_NewRef(self->flight != NULL ? (PyObject *)self->flight : Py_None);
}

static PyObject *
get_is_shared(TripObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(self->flight != NULL && cx_load_relaxed(&self->flight->joined) > 0);
}

static int
trip_traverse(TripObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)self->table);
    Py_VISIT(self->key);
    Py_VISIT((PyObject *)self->flight);
    Py_VISIT(self->token);
    return 0;
}

static void
trip_finalize(TripObject *self)
{
    PyObject *error = cxb_error_set_aside();
    finish(self);
    cxb_error_put_back(error);
}

static int
trip_clear(TripObject *self)
{
    Py_CLEAR(self->flight);
    Py_CLEAR(self->key);
    return 0;
}

static void
trip_dealloc(TripObject *self)
{
    if (PyObject_CallFinalizerFromDealloc((PyObject *)self) < 0) {
        return;
    }
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)trip_clear(self);
    Py_CLEAR(self->table);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef trip_methods[] = {
    {"__enter__", (PyCFunction)trip_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))trip_exit, METH_FASTCALL, NULL},
    {"finish", (PyCFunction)trip_finish, METH_O, NULL},
    {"wait", (PyCFunction)trip_wait, METH_O, NULL},
    {"result", (PyCFunction)trip_result, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef trip_getset[] = {
    {"joins", (getter)get_joins, NULL, NULL, NULL},
    {"flight", (getter)get_flight, NULL, NULL, NULL},
    {"is_shared", (getter)get_is_shared, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot trip_slots[] = {
    {Py_tp_methods, trip_methods},
    {Py_tp_getset, trip_getset},
    {Py_tp_traverse, trip_traverse},
    {Py_tp_clear, trip_clear},
    {Py_tp_finalize, trip_finalize},
    {Py_tp_dealloc, trip_dealloc},
    {0, NULL},
};

PyType_Spec cxb_trip_spec = {
    .name = "concx._core.Trip",
    .basicsize = sizeof(TripObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = trip_slots,
};

// SPDX-License-Identifier: MIT
#include "binding/flight.h"
#include "binding/kwargs.h"

struct doing {
    struct cxb_loading loading; /* first */
    PyObject *fn;
};

static PyObject *
singleflight_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {NULL};
    struct cxb_state *state = cxb_state_of_type(type);
    if (state == NULL || !PyArg_ParseTupleAndKeywords(args, kwargs, ":SingleFlight", names)) {
        return NULL;
    }
    SingleFlightObject *self = (SingleFlightObject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->state = state;
    }
    return (PyObject *)self;
}

static PyObject *
load(struct cxb_loading *loading, FlightObject *flight)
{
    (void)flight;
    return PyObject_CallNoArgs(((struct doing *)loading)->fn);
}

/* (key, fn, *, timeout=None) */
static int
bind(const char *name, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, PyObject **out)
{
    const struct cxb_signature signature = {name, 2, {"key", "fn", "timeout", NULL}};
    if (nargs > 2) {
        PyErr_Format(PyExc_TypeError, "%s() takes 2 positional arguments (%zd given)", name, nargs);
        return -1;
    }
    return cxb_bind(&signature, args, nargs, kwnames, out);
}

static PyObject *
singleflight_do(SingleFlightObject *self, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames)
{
    PyObject *out[3];
    if (bind("do", args, nargs, kwnames, out) < 0) {
        return NULL;
    }
    struct doing how = {.loading = {.load = load, .key = out[0], .timeout = out[2]}, .fn = out[1]};
    PyObject *make = cxb_import_once(&self->state->flight_result, "concx._load", "Result");
    PyObject *value = make == NULL ? NULL : cxb_flights_do(self, &how.loading);
    if (value == NULL) {
        return NULL;
    }
    PyObject *result =
        PyObject_CallFunctionObjArgs(make, value, how.loading.is_shared ? Py_True : Py_False, NULL);
    Py_DECREF(value);
    return result;
}

static PyObject *
singleflight_do_async(SingleFlightObject *self, PyObject *const *args, Py_ssize_t nargs,
                      PyObject *kwnames)
{
    PyObject *out[3];
    PyObject *make = bind("do_async", args, nargs, kwnames, out) < 0
                         ? NULL
                         : cxb_import_once(&self->state->flight_do, "concx._load", "do_async");
    return make == NULL ? NULL
                        : PyObject_CallFunctionObjArgs(make, (PyObject *)self, out[0], out[1],
                                                       out[2] != NULL ? out[2] : Py_None, NULL);
}

static PyObject *
load_told(struct cxb_loading *loading, FlightObject *flight)
{
    return PyObject_CallOneArg(((struct doing *)loading)->fn,
                               flight == NULL ? Py_None : (PyObject *)flight);
}

/* _do(key, fn, timeout): the value; ``fn(flight)``, None if it is called directly. */
static PyObject *
singleflight_do_told(SingleFlightObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (!cxb_takes("_do", nargs, 3, 3)) {
        return NULL;
    }
    struct doing how = {.loading = {.load = load_told, .key = args[0], .timeout = args[2]},
                        .fn = args[1]};
    return cxb_flights_do(self, &how.loading);
}

static PyObject *
singleflight_forget(SingleFlightObject *self, PyObject *key)
{
    int was_there = cxb_flights_forget(self, key);
    return was_there < 0 ? NULL : PyBool_FromLong(was_there);
}

static PyObject *
singleflight_trip(SingleFlightObject *self, PyObject *key)
{
    return cxb_trip_new(self, key);
}

static PyObject *
singleflight_stats(SingleFlightObject *self, PyObject *unused)
{
    (void)unused;
    Py_ssize_t count = cxb_flights_count(self);
    PyObject *make =
        count < 0 ? NULL
                  : cxb_import_once(&self->state->flight_stats, "concx._load", "SingleFlightStats");
    unsigned long long calls = cx_load_relaxed(&self->calls);
    unsigned long long joined = cx_load_relaxed(&self->joined);
    unsigned long long woken = cx_load_relaxed(&self->woken);
    return make == NULL ? NULL : PyObject_CallFunction(make, "KKKn", calls, joined, woken, count);
}

static PyObject *
singleflight_repr(SingleFlightObject *self)
{
    Py_ssize_t count = cxb_flights_count(self);
    return count < 0 ? NULL : PyUnicode_FromFormat("<concx.SingleFlight running=%zd>", count);
}

static int
singleflight_traverse(SingleFlightObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->map);
    return 0;
}

static int
singleflight_clear(SingleFlightObject *self)
{
    Py_CLEAR(self->map);
    return 0;
}

static void
singleflight_dealloc(SingleFlightObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    (void)singleflight_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

#define DOC(text) PyDoc_STR(text)

static PyMethodDef singleflight_methods[] = {
    {"do", CXB_FASTCALL(singleflight_do),
     DOC("do($self, /, key, fn, *, timeout=None)\n--\n\n"
         "What ``fn()`` returns, as a `Result`; who comes with the same key while it runs, shares "
         "it.\n\n"
         "Its Exception reaches all who wait. If the call is killed (by another BaseException), "
         "one of\n"
         "those who wait calls their own `fn`. Who is inside the call of a key, or whose wait "
         "would\n"
         "close a circle of such calls, calls `fn` at once. `timeout`, in seconds, bounds the wait "
         "for\n"
         "the call of another, and raises TimeoutError; that call goes on.")},
    {"do_async", CXB_FASTCALL(singleflight_do_async),
     DOC("do_async($self, /, key, fn, *, timeout=None)\n--\n\n"
         "`do` for tasks: ``await fn()``. Tasks of any loops and threads share one call.")},
    {"forget", (PyCFunction)singleflight_forget, METH_O,
     DOC("forget($self, key, /)\n--\n\nWho comes from now on does not share the call that is "
         "running: "
         "whether there was one.\n\nThose who wait for it get what it returns.")},
    {"_do", (PyCFunction)(void (*)(void))singleflight_do_told, METH_FASTCALL, NULL},
    {"_trip", (PyCFunction)singleflight_trip, METH_O, NULL},
    {"stats", (PyCFunction)singleflight_stats, METH_NOARGS,
     DOC("stats($self, /)\n--\n\nCalls made, and shared, since it was made; calls that run now.")},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef singleflight_members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(SingleFlightObject, weakrefs), Py_READONLY,
     NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(singleflight_doc, "SingleFlight()\n--\n\n\
One call per key, however many threads and tasks ask for it at the same time.\n\
\n\
Nothing is kept once the call is over: that is what a cache is for.\n\
\n\
Notes\n\
-----\n\
Thread safety: everything may be called by any threads, and by tasks of any event loops, at once. No lock\n\
is held while a function, a ``__hash__`` or an ``__eq__`` runs. A child of fork() begins with no calls.");

static PyType_Slot singleflight_slots[] = {
    {Py_tp_new, singleflight_new},
    {Py_tp_doc, (void *)singleflight_doc},
    {Py_tp_repr, singleflight_repr},
    {Py_tp_methods, singleflight_methods},
    {Py_tp_members, singleflight_members},
    {Py_tp_traverse, singleflight_traverse},
    {Py_tp_clear, singleflight_clear},
    {Py_tp_dealloc, singleflight_dealloc},
    {0, NULL},
};

PyType_Spec cxb_singleflight_spec = {
    .name = "concx.cache.SingleFlight",
    .basicsize = sizeof(SingleFlightObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = singleflight_slots,
};

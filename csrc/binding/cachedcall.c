// SPDX-License-Identifier: MIT
/* Calls of a cached function: hits, and the misses of plain functions. */
#include "binding/cached.h"
#include "binding/done.h"

struct calling {
    struct cxb_loading loading; /* first */
    CachedObject *self;
    PyObject *const *args;
    Py_ssize_t nargs;
    PyObject *kwnames;
};

/* What the function returns, kept unless `flight` says otherwise. */
static PyObject *
load(struct cxb_loading *loading, FlightObject *flight)
{
    const struct calling *how = (struct calling *)loading;
    CacheObject *cache = how->self->cache;
    /* It may have been stored between the look for it and the flight. */
    PyObject *value = flight == NULL ? NULL : cxb_cache_look(cache, loading->key);
    if (value != NULL || PyErr_Occurred()) {
        return value;
    }
    int64_t began = cx_now();
    if (Py_EnterRecursiveCall(" while calling a cached function") == 0) {
        value =
            PyObject_Vectorcall(how->self->function, how->args, (size_t)how->nargs, how->kwnames);
        Py_LeaveRecursiveCall();
    }
    cxb_cache_count_load(cache, began, value == NULL);
    if (value != NULL && cxb_cache_keep(cache, loading->key, value, flight) < 0) {
        Py_CLEAR(value);
    }
    return value;
}

static PyObject *
load_alone(struct calling *how)
{
    PyObject *value = load(&how->loading, NULL);
    struct cxb_store store = {.when = CXB_IF_ABSENT};
    if (value != NULL && cxb_cache_store(how->self->cache, how->loading.key, value, &store) < 0) {
        Py_CLEAR(value);
    }
    Py_XDECREF(store.found);
    return value;
}

/* `loads` decides: a method of it, with the key and the call. */
static PyObject *
ask(CachedObject *self, PyObject *method, PyObject *key, PyObject *const *args, Py_ssize_t nargs,
    PyObject *kwnames)
{
    PyObject *tuple = PyTuple_New(nargs), *dict = tuple == NULL ? NULL : PyDict_New();
    PyObject *result = NULL;
    for (Py_ssize_t i = 0; tuple != NULL && i < nargs; i++) {
        PyTuple_SET_ITEM(tuple, i, Py_NewRef(args[i]));
    }
    for (Py_ssize_t i = 0; dict != NULL && kwnames != NULL && i < PyTuple_GET_SIZE(kwnames); i++) {
        if (PyDict_SetItem(dict, PyTuple_GET_ITEM(kwnames, i), args[nargs + i]) < 0) {
            Py_CLEAR(dict);
        }
    }
    if (dict != NULL) {
        PyObject *all[] = {self->loads, key, tuple, dict};
        result = PyObject_VectorcallMethod(method, all, 4 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    }
    Py_XDECREF(dict);
    Py_XDECREF(tuple);
    return result;
}

/* What a caller gets of a value; takes the reference over. */
static inline PyObject *
hand_out(CachedObject *self, PyObject *value)
{
    if (CX_UNLIKELY(self->copy != NULL) && value != NULL) {
        Py_SETREF(value, PyObject_CallOneArg(self->copy, value));
    }
    return value;
}

static CX_NOINLINE PyObject *
miss(CachedObject *self, PyObject *key, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    struct calling how = {.loading = {.load = load, .key = key, .timeout = self->timeout},
                          .self = self,
                          .args = args,
                          .nargs = nargs,
                          .kwnames = kwnames};
    if (!self->is_plain) {
        return ask(self, self->state->names.call, key, args, nargs, kwnames);
    }
    if (!self->is_single) {
        return hand_out(self, load_alone(&how));
    }
    SingleFlightObject *flights = cxb_cache_flights(self->cache);
    return flights == NULL ? NULL : hand_out(self, cxb_flights_do(flights, &how.loading));
}

/* A value that was found: the caller's, or, from its time on, `loads`'s to decide. */
static PyObject *
hit(CachedObject *self, const struct cxb_sought *sought, PyObject *value, PyObject *const *args,
    Py_ssize_t nargs, PyObject *kwnames)
{
    if (CX_UNLIKELY(self->is_timed) && PyObject_TypeCheck(value, self->state->entry_type)) {
        const EntryObject *entry = (EntryObject *)value;
        int64_t now;
        int failed = cxb_cache_read_timer(self->cache, &now);
        if (failed < 0 || now >= entry->check_at) {
            PyObject *key = failed < 0 ? NULL : cxb_sought_key(sought);
            Py_DECREF(value);
            value =
                key == NULL ? NULL : ask(self, self->state->names.call, key, args, nargs, kwnames);
            Py_XDECREF(key);
            return value;
        }
        Py_SETREF(value, Py_NewRef(entry->value));
    }
    value = hand_out(self, value);
    return self->is_async ? cxb_done_steal(self->state, value) : value;
}

/* A use, without the key; NULL: it is not there, or that is not known yet, or an exception is set. */
static inline PyObject *
find(CacheObject *cache, struct cxb_sought *sought)
{
    return sought->made != NULL
               ? NULL
               : cxb_cache_try(cache, (uint64_t)sought->hash, cxb_sought_same, sought);
}

static PyObject *call(PyObject *, PyObject *const *, size_t, PyObject *);

/* Of a function that is its instances', by the first argument. */
static CX_NOINLINE PyObject *
call_own(CachedObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (nargs == 0) {
        PyErr_SetString(PyExc_TypeError,
                        "a function with per_instance=True takes an instance first");
        return NULL;
    }
    PyObject *own = cxb_cached_of(self, args[0]);
    PyObject *value = own == NULL ? NULL : call(own, args, (size_t)nargs, kwnames);
    Py_XDECREF(own);
    return value;
}

static PyObject *
call(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    CachedObject *self = (CachedObject *)callable;
    Py_ssize_t nargs = PyVectorcall_NARGS(nargsf), own = self->owner != NULL && nargs > 0;
    struct cxb_sought sought;
    if (CX_UNLIKELY(self->make != NULL)) {
        return call_own(self, args, nargs, kwnames);
    }
    if (CX_UNLIKELY(self->function == NULL)) {
        PyErr_SetString(PyExc_RuntimeError, "the cached function has been garbage collected");
        return NULL;
    }
    if (cxb_sought_init(&sought, self, args + own, nargs - own, kwnames) < 0) {
        return NULL;
    }
    PyObject *value = find(self->cache, &sought), *key = NULL;
    if (CX_UNLIKELY(value == NULL) && !PyErr_Occurred()) {
        key = cxb_sought_key(&sought);
        value = key == NULL ? NULL : cxb_cache_use(self->cache, key);
    }
    if (CX_LIKELY(value != NULL)) {
        value = hit(self, &sought, value, args, nargs, kwnames);
    }
    else if (!PyErr_Occurred()) {
        value = miss(self, key, args, nargs, kwnames);
    }
    Py_XDECREF(key);
    cxb_sought_drop(&sought);
    return value;
}

vectorcallfunc
cxb_cached_vectorcall(void)
{
    return call;
}

/* --- an instance's own ----------------------------------------------------------------------------- */

/* What the instance has, a new reference; NULL without an exception: nothing that is its own. */
static CachedObject *
own_of(CachedObject *self, PyObject *instance)
{
    CachedObject *found = (CachedObject *)PyObject_GenericGetAttr(instance, self->slot);
    if (found == NULL) {
        if (PyErr_ExceptionMatches(PyExc_AttributeError)) {
            PyErr_Clear();
        }
        return NULL;
    }
    PyObject *owner =
        Py_TYPE((PyObject *)found) == Py_TYPE((PyObject *)self) && found->owner != NULL
            ? cxb_weakref_get(found->owner)
            : NULL;
    if (owner != instance) {
        Py_CLEAR(found);
    }
    Py_XDECREF(owner);
    return found;
}

static CachedObject *
own_new(CachedObject *self, PyObject *instance)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    PyObject *owner = PyWeakref_NewRef(instance, NULL);
    PyObject *made = owner == NULL ? NULL : PyObject_CallNoArgs(self->make);
    CachedObject *own = NULL;
    if (made != NULL && (own = (CachedObject *)type->tp_alloc(type, 0)) != NULL) {
        own->vectorcall = call;
        own->state = self->state;
        own->function = Py_NewRef(self->function);
        own->cache = (CacheObject *)Py_NewRef(PyTuple_GET_ITEM(made, 0));
        own->loads = Py_NewRef(PyTuple_GET_ITEM(made, 1));
        own->owner = Py_NewRef(owner);
        own->key = Py_XNewRef(self->key);
        own->copy = Py_XNewRef(self->copy);
        own->timeout = Py_XNewRef(self->timeout);
        own->ignored = Py_XNewRef(self->ignored);
        own->ignored_places = self->ignored_places >> 1;
        own->is_async = self->is_async;
        own->is_typed = self->is_typed;
        own->is_timed = self->is_timed;
        own->is_plain = self->is_plain;
        own->is_single = self->is_single;
        own->dict = Py_XNewRef(self->dict);
    }
    Py_XDECREF(owner);
    Py_XDECREF(made);
    return own;
}

/* Puts `made` on the instance unless another thread was first: what is there, a new reference; NULL with
 * an exception.  Nothing in the guard runs Python: the name is no attribute of any type, and what is
 * replaced is kept until later. */
static CachedObject *
publish(CachedObject *self, PyObject *instance, CachedObject *made)
{
    PyObject *former = PyObject_GenericGetAttr(instance, self->slot);
    PyErr_Clear();
    cx_guard_take(&self->guard);
    CachedObject *own = own_of(self, instance);
    if (own == NULL && !PyErr_Occurred() &&
        PyObject_GenericSetAttr(instance, self->slot, (PyObject *)made) == 0) {
        own = (CachedObject *)Py_NewRef((PyObject *)made);
    }
    cx_guard_release(&self->guard);
    Py_XDECREF(former);
    return own;
}

PyObject *
cxb_cached_of(CachedObject *self, PyObject *instance)
{
    CachedObject *own = own_of(self, instance);
    if (CX_LIKELY(own != NULL) || PyErr_Occurred()) {
        return (PyObject *)own;
    }
    CachedObject *made = own_new(self, instance);
    own = made == NULL ? NULL : publish(self, instance, made);
    if (own == NULL && (PyErr_ExceptionMatches(PyExc_AttributeError) ||
                        (made == NULL && PyErr_ExceptionMatches(PyExc_TypeError)))) {
        PyErr_Format(PyExc_TypeError,
                     "per_instance=True needs instances with a __dict__ and weak references, and "
                     "'%s' has not both",
                     Py_TYPE(instance)->tp_name);
    }
    Py_XDECREF((PyObject *)made);
    return (PyObject *)own;
}

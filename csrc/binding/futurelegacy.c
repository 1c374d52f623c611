// SPDX-License-Identifier: MIT
#include "binding/future.h"

/* The shim, made on first touch; NULL with an exception.  A free-threaded build holds the future's
 * critical section. */
static struct cxb_shim *
shim_of(FutureObject *f)
{
    if (f->shim != NULL) {
        return f->shim;
    }
    struct cxb_shim *shim = PyMem_New(struct cxb_shim, 1);
    if (shim == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    PyObject *made = cxb_import_once(&f->state->future_condition, "concx._futures", "Condition");
    *shim = (struct cxb_shim){
        .condition = made == NULL ? NULL : PyObject_CallOneArg(made, (PyObject *)f),
        .waiters = PyList_New(0),
        .result = Py_NewRef(Py_None),
        .exception = Py_NewRef(Py_None),
        .retired = PyList_New(0),
    };
    /* Making the condition ran Python code, and another thread may have made a shim meanwhile. */
    if (shim->condition == NULL || shim->waiters == NULL || shim->retired == NULL ||
        f->shim != NULL) {
        Py_XDECREF(shim->condition);
        Py_XDECREF(shim->waiters);
        Py_XDECREF(shim->retired);
        Py_DECREF(shim->result);
        Py_DECREF(shim->exception);
        PyMem_Free(shim);
        return PyErr_Occurred() ? NULL : f->shim;
    }
    f->shim = shim;
    cx_future_make_legacy(&f->core);
    return shim;
}

/* The condition or the list of waiters, a new reference. */
static PyObject *
shim_part(FutureObject *f, size_t offset)
{
    PyObject *part = NULL;
    CXB_BEGIN_CRITICAL((PyObject *)f);
    struct cxb_shim *shim = shim_of(f);
    part = shim == NULL ? NULL : Py_NewRef(*(PyObject **)((char *)shim + offset));
    CXB_END_CRITICAL;
    return part;
}

static int
set_shim_part(FutureObject *f, size_t offset, PyObject *value)
{
    PyObject *old = NULL;
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "cannot delete an attribute of a Future");
        return -1;
    }
    CXB_BEGIN_CRITICAL((PyObject *)f);
    struct cxb_shim *shim = shim_of(f);
    if (shim != NULL) {
        PyObject **part = (PyObject **)((char *)shim + offset);
        old = *part;
        *part = Py_NewRef(value);
    }
    CXB_END_CRITICAL;
    Py_XDECREF(old);
    return old == NULL ? -1 : 0;
}

static PyObject *
get_condition(FutureObject *f, void *unused)
{
    (void)unused;
    return shim_part(f, offsetof(struct cxb_shim, condition));
}

static int
set_condition(FutureObject *f, PyObject *value, void *unused)
{
    (void)unused;
    return set_shim_part(f, offsetof(struct cxb_shim, condition), value);
}

static PyObject *
get_waiters(FutureObject *f, void *unused)
{
    (void)unused;
    return shim_part(f, offsetof(struct cxb_shim, waiters));
}

static int
set_waiters(FutureObject *f, PyObject *value, void *unused)
{
    (void)unused;
    if (value != NULL && !PyList_Check(value)) {
        PyErr_Format(PyExc_TypeError, "'_waiters' must be a list, got %R", value);
        return -1;
    }
    return set_shim_part(f, offsetof(struct cxb_shim, waiters), value);
}

/* --- the condition, held around a change ------------------------------------------------------- */

int
cxb_shim_enter(FutureObject *f)
{
    PyObject *condition = shim_part(f, offsetof(struct cxb_shim, condition));
    PyObject *entered =
        condition == NULL ? NULL : PyObject_CallMethodNoArgs(condition, f->state->names.acquire);
    Py_XDECREF(condition);
    Py_XDECREF(entered);
    return entered == NULL ? -1 : 0;
}

static void
tell_waiters(FutureObject *f)
{
    enum cx_future_state now = cx_future_state(&f->core);
    const struct cxb_names *names = &f->state->names;
    PyObject *method = now == CX_FINISHED ? names->add_result
                       : now == CX_FAILED ? names->add_exception
                                          : names->add_cancelled;
    PyObject *list = shim_part(f, offsetof(struct cxb_shim, waiters));
    PyObject *waiters = list == NULL ? NULL : PyList_AsTuple(list);
    for (Py_ssize_t i = 0; waiters != NULL && i < PyTuple_GET_SIZE(waiters); i++) {
        PyObject *told =
            PyObject_CallMethodOneArg(PyTuple_GET_ITEM(waiters, i), method, (PyObject *)f);
        if (told == NULL) {
            PyErr_WriteUnraisable((PyObject *)f);
        }
        Py_XDECREF(told);
    }
    if (list != NULL && waiters == NULL) {
        PyErr_WriteUnraisable((PyObject *)f);
    }
    Py_XDECREF(waiters);
    Py_XDECREF(list);
}

void
cxb_shim_leave(FutureObject *f, bool tell)
{
    PyObject *error = cxb_error_set_aside();
    PyObject *condition = shim_part(f, offsetof(struct cxb_shim, condition));
    if (tell) {
        tell_waiters(f);
    }
    PyObject *const methods[] = {f->state->names.notify_all, f->state->names.release};
    for (size_t i = 0; condition != NULL && i < Py_ARRAY_LENGTH(methods); i++) {
        PyObject *done = PyObject_CallMethodNoArgs(condition, methods[i]);
        if (done == NULL) {
            PyErr_WriteUnraisable((PyObject *)f);
        }
        Py_XDECREF(done);
    }
    Py_XDECREF(condition);
    cxb_error_put_back(error);
}

/* --- state and outcome as attributes ----------------------------------------------------------- */

static PyObject *
get_state(FutureObject *f, void *unused)
{
    (void)unused;
    return cxb_future_state_name(f);
}

/* The outcome that the state is to have after an assignment; keeps the former one for readers that
 * are on their way.  0 or -1. */
static int
assign(FutureObject *f, struct cxb_shim *shim, enum cx_future_state to)
{
    PyObject *value = NULL;
    if (to >= CX_FINISHED) {
        to = shim->exception == Py_None ? CX_FINISHED : CX_FAILED;
        value = to == CX_FAILED ? shim->exception : shim->result;
    }
    if (f->core.value != NULL && PyList_Append(shim->retired, (PyObject *)f->core.value) < 0) {
        return -1;
    }
    PyObject *old = cx_future_assign(&f->core, to, Py_XNewRef(value));
    Py_XDECREF(old); /* the list has it too */
    return 0;
}

static int
state_of(PyObject *name, enum cx_future_state *state)
{
    static const struct {
        const char *name;
        enum cx_future_state state;
    } states[] = {{"PENDING", CX_PENDING},
                  {"RUNNING", CX_RUNNING},
                  {"CANCELLED", CX_CALLED_OFF},
                  {"CANCELLED_AND_NOTIFIED", CX_NOTIFIED},
                  {"FINISHED", CX_FINISHED}};
    for (size_t i = 0; PyUnicode_Check(name) && i < Py_ARRAY_LENGTH(states); i++) {
        if (PyUnicode_CompareWithASCIIString(name, states[i].name) == 0) {
            *state = states[i].state;
            return 0;
        }
    }
    PyErr_Format(PyExc_ValueError,
                 "'_state' must be 'PENDING', 'RUNNING', 'CANCELLED', 'CANCELLED_AND_NOTIFIED' or "
                 "'FINISHED', got %R",
                 name);
    return -1;
}

/* The shim's copies follow what was settled without it. */
static void
take_over(FutureObject *f, struct cxb_shim *shim)
{
    enum cx_future_state now = cx_future_state(&f->core);
    if (now == CX_FINISHED || now == CX_FAILED) {
        PyObject **copy = now == CX_FINISHED ? &shim->result : &shim->exception;
        PyObject *old = *copy;
        *copy = Py_NewRef((PyObject *)f->core.value);
        Py_DECREF(old);
    }
}

static int
set_state(FutureObject *f, PyObject *value, void *unused)
{
    enum cx_future_state to;
    int failed = -1;
    (void)unused;
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "cannot delete '_state'");
        return -1;
    }
    if (state_of(value, &to) < 0) {
        return -1;
    }
    CXB_BEGIN_CRITICAL((PyObject *)f);
    struct cxb_shim *shim = shim_of(f);
    if (shim != NULL) {
        take_over(f, shim);
        failed = assign(f, shim, to);
    }
    CXB_END_CRITICAL;
    return failed;
}

/* _result and _exception: what was settled, or what was assigned. */
static PyObject *
get_part(FutureObject *f, void *which)
{
    enum cx_future_state mine = which == NULL ? CX_FINISHED : CX_FAILED;
    if (cx_future_state(&f->core) == mine) {
        return Py_NewRef((PyObject *)f->core.value);
    }
    PyObject *part = NULL;
    CXB_BEGIN_CRITICAL((PyObject *)f);
    if (f->shim != NULL) {
        part = Py_NewRef(which == NULL ? f->shim->result : f->shim->exception);
    }
    CXB_END_CRITICAL;
    return part == NULL ? Py_NewRef(Py_None) : part;
}

static int
set_part(FutureObject *f, PyObject *value, void *which)
{
    int failed = -1;
    PyObject *old = NULL;
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "cannot delete the outcome of a Future");
        return -1;
    }
    CXB_BEGIN_CRITICAL((PyObject *)f);
    struct cxb_shim *shim = shim_of(f);
    if (shim != NULL) {
        take_over(f, shim);
        PyObject **part = which == NULL ? &shim->result : &shim->exception;
        old = *part;
        *part = Py_NewRef(value);
        failed = assign(f, shim, cx_future_state(&f->core));
    }
    CXB_END_CRITICAL;
    Py_XDECREF(old);
    return failed;
}

static PyObject *
get_callbacks(FutureObject *f, void *unused)
{
    (void)unused;
    PyObject *list = PyList_New(0);
    Py_ssize_t most = 0;
    /* Counted, then copied into room that is there: nothing is allocated under the guard. */
    for (;;) {
        Py_ssize_t n = 0;
        PyObject **found = list == NULL ? NULL : PyMem_New(PyObject *, most + 1);
        if (found == NULL) {
            Py_XDECREF(list);
            return PyErr_NoMemory();
        }
        cx_guard_take(&f->core.guard);
        for (struct cx_told *told = f->core.callbacks; told != NULL; told = told->next, n++) {
            if (n < most) {
                found[n] = Py_NewRef((PyObject *)told->what);
            }
        }
        cx_guard_release(&f->core.guard);
        int failed = 0;
        for (Py_ssize_t i = n < most ? n : most; i-- > 0;) {
            failed = n > most || failed != 0 ? failed : PyList_Append(list, found[i]);
            Py_DECREF(found[i]);
        }
        PyMem_Free(found);
        if (failed != 0) {
            Py_DECREF(list);
            return NULL;
        }
        if (n <= most) {
            return list;
        }
        most = n;
    }
}

static int
set_callbacks(FutureObject *f, PyObject *value, void *unused)
{
    (void)unused;
    PyObject *items = value == NULL ? NULL : PySequence_List(value);
    if (items == NULL) {
        if (value == NULL) {
            PyErr_SetString(PyExc_AttributeError, "cannot delete '_done_callbacks'");
        }
        return -1;
    }
    cx_guard_take(&f->core.guard);
    struct cx_told *old = f->core.callbacks;
    f->core.callbacks = NULL;
    cx_guard_release(&f->core.guard);
    while (old != NULL) {
        struct cx_told *next = old->next;
        Py_DECREF((PyObject *)old->what);
        PyMem_RawFree(old);
        old = next;
    }
    int failed = 0;
    for (Py_ssize_t i = 0; failed == 0 && i < PyList_GET_SIZE(items); i++) {
        PyObject *added = PyObject_CallMethodOneArg(
            (PyObject *)f, f->state->names.add_done_callback, PyList_GET_ITEM(items, i));
        failed = added == NULL ? -1 : 0;
        Py_XDECREF(added);
    }
    Py_DECREF(items);
    return failed;
}

PyGetSetDef cxb_future_legacy[] = {
    {"_condition", (getter)get_condition, (setter)set_condition, NULL, NULL},
    {"_waiters", (getter)get_waiters, (setter)set_waiters, NULL, NULL},
    {"_state", (getter)get_state, (setter)set_state, NULL, NULL},
    {"_result", (getter)get_part, (setter)set_part, NULL, NULL},
    {"_exception", (getter)get_part, (setter)set_part, NULL, "exception"},
    {"_done_callbacks", (getter)get_callbacks, (setter)set_callbacks, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

int
cxb_shim_traverse(FutureObject *f, visitproc visit, void *arg)
{
    if (f->shim != NULL) {
        Py_VISIT(f->shim->condition);
        Py_VISIT(f->shim->waiters);
        Py_VISIT(f->shim->result);
        Py_VISIT(f->shim->exception);
        Py_VISIT(f->shim->retired);
    }
    return 0;
}

void
cxb_shim_clear(FutureObject *f)
{
    struct cxb_shim *shim = f->shim;
    if (shim != NULL) {
        f->shim = NULL;
        Py_DECREF(shim->condition);
        Py_DECREF(shim->waiters);
        Py_DECREF(shim->result);
        Py_DECREF(shim->exception);
        Py_DECREF(shim->retired);
        PyMem_Free(shim);
    }
}

// SPDX-License-Identifier: MIT
#include "binding/queue.h"

#include <math.h>

#include "binding/kwargs.h"

#define DOC(text) PyDoc_STR(text)

/* True if looking `name` up on `type` finds what `native` has. */
static int
is_inherited(PyTypeObject *type, PyObject *native, const char *name)
{
    PyObject *found = cxb_attribute((PyObject *)type, name);
    PyObject *expected = found == NULL ? NULL : cxb_attribute(native, name);
    int same = expected == NULL ? -1 : found == expected;
    Py_XDECREF(found);
    Py_XDECREF(expected);
    return same;
}

/* True if `name` on `type` is the native function, from whichever class. */
static int
is_native(PyTypeObject *type, const char *name, PyCFunction function)
{
    PyObject *found = cxb_attribute((PyObject *)type, name);
    if (found == NULL) {
        return -1;
    }
    int native = Py_IS_TYPE(found, &PyMethodDescr_Type) &&
                 ((PyMethodDescrObject *)found)->d_method->ml_meth == function;
    Py_DECREF(found);
    return native;
}

static int
compare_hooks(QueueObject *q, PyTypeObject *type, PyObject *std)
{
    static const char *const hooks[] = {"_init", "_qsize", "_put", "_get"};
    for (size_t i = 0; i < Py_ARRAY_LENGTH(hooks); i++) {
        int same = is_inherited(type, std, hooks[i]);
        if (same < 0) {
            return -1;
        }
        q->own_hooks = q->own_hooks || !same;
    }
    int put = is_native(type, "put", cxb_queue_methods[0].ml_meth);
    int get = is_native(type, "get", cxb_queue_methods[1].ml_meth);
    q->own_put = put == 0;
    q->own_get = get == 0;
    return put < 0 || get < 0 ? -1 : 0;
}

static PyObject *
queue_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args;
    (void)kwargs;
    struct cxb_state *state = cxb_state_of_type(type);
    if (state == NULL) {
        return NULL;
    }
    QueueObject *q = (QueueObject *)type->tp_alloc(type, 0);
    if (q == NULL) {
        return NULL;
    }
    bool priority = PyType_IsSubtype(type, (PyTypeObject *)state->std_priority);
    bool lifo = PyType_IsSubtype(type, (PyTypeObject *)state->std_lifo);
    cxb_queue_setup(q, state, priority ? CX_PRIORITY : lifo ? CX_LIFO : CX_FIFO, false);
    q->maxsize = PyLong_FromLong(0);
    PyObject *std = priority ? state->std_priority : lifo ? state->std_lifo : state->std_queue;
    if (q->maxsize == NULL || !PyType_IsSubtype(type, (PyTypeObject *)std)) {
        if (!PyErr_Occurred()) {
            PyErr_Format(PyExc_TypeError, "cannot create '%.100s' instances; use concx.queue.Queue",
                         type->tp_name);
        }
        Py_DECREF(q);
        return NULL;
    }
    if (compare_hooks(q, type, std) < 0) {
        Py_DECREF(q);
        return NULL;
    }
    return (PyObject *)q;
}

/* The engine's limit for a maxsize: the least length that is full; INT64_MAX for none.  What does
 * not compare with an int fails as it does in the standard library, only earlier. */
static int
limit_of(PyObject *maxsize, int64_t *limit)
{
    *limit = INT64_MAX;
    PyObject *zero = PyLong_FromLong(0);
    int positive = zero == NULL ? -1 : PyObject_RichCompareBool(maxsize, zero, Py_GT);
    Py_XDECREF(zero);
    if (positive <= 0) {
        return positive;
    }
    int overflow = 0;
    long long size;
    if (PyLong_Check(maxsize)) {
        size = PyLong_AsLongLongAndOverflow(maxsize, &overflow);
    }
    else {
        double least = ceil(PyFloat_AsDouble(maxsize));
        overflow = least >= 9e18;
        size = overflow ? 0 : (long long)least;
    }
    if (PyErr_Occurred()) {
        return -1;
    }
    if (overflow == 0 && size > 0) {
        *limit = size;
    }
    return 0;
}

static PyObject *
get_maxsize(QueueObject *q, void *unused)
{
    (void)unused;
    PyObject *maxsize;
    CXB_BEGIN_CRITICAL(q);
    maxsize = Py_NewRef(q->maxsize);
    CXB_END_CRITICAL;
    return maxsize;
}

static int
set_maxsize(QueueObject *q, PyObject *value, void *unused)
{
    (void)unused;
    int64_t limit;
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "cannot delete attribute 'maxsize'");
        return -1;
    }
    if (limit_of(value, &limit) < 0) {
        return -1;
    }
    PyObject *old;
    CXB_BEGIN_CRITICAL(q);
    old = q->maxsize;
    q->maxsize = Py_NewRef(value);
    CXB_END_CRITICAL;
    struct cx_wakes wakes = CX_WAKES_INIT;
    cx_queue_set_limit(&q->core, limit);
    cx_queue_settle(&q->core, &wakes);
    cxb_queue_deliver(q, &wakes);
    Py_XDECREF(old);
    if (cxb_queue_is_moved(q)) {
        cxb_compat_quietly(q, "resized");
    }
    return 0;
}

static PyObject *
get_unfinished(QueueObject *q, void *unused)
{
    (void)unused;
    struct cx_queue_view view;
    cx_queue_look(&q->core, &view);
    return view.moved ? cxb_compat(q, "get_unfinished", "") : PyLong_FromLongLong(view.unfinished);
}

static int
set_unfinished(QueueObject *q, PyObject *value, void *unused)
{
    (void)unused;
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "cannot delete attribute 'unfinished_tasks'");
        return -1;
    }
    if (cxb_queue_is_moved(q)) {
        PyObject *set = cxb_compat(q, "set_unfinished", "O", value);
        Py_XDECREF(set);
        return set == NULL ? -1 : 0;
    }
    long long n = PyLong_AsLongLong(value);
    if (n == -1 && PyErr_Occurred()) {
        return -1;
    }
    struct cx_wakes wakes = CX_WAKES_INIT;
    cx_queue_set_unfinished(&q->core, n);
    cx_queue_settle(&q->core, &wakes);
    cxb_queue_deliver(q, &wakes);
    return 0;
}

static PyObject *
get_shutdown(QueueObject *q, void *unused)
{
    (void)unused;
    struct cx_queue_view view;
    cx_queue_look(&q->core, &view);
    return view.moved ? cxb_compat(q, "get_shutdown", "") : PyBool_FromLong(view.closed);
}

static int
set_shutdown(QueueObject *q, PyObject *value, void *unused)
{
    (void)unused;
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "cannot delete attribute 'is_shutdown'");
        return -1;
    }
    PyObject *set = cxb_compat(q, "set_shutdown", "O", value);
    Py_XDECREF(set);
    return set == NULL ? -1 : 0;
}

static int
overflow_of(PyObject *name, uint8_t *overflow)
{
    static const char *const names[] = {"block", "raise", "drop_oldest", "drop_newest"};
    for (uint8_t i = 0; PyUnicode_Check(name) && i < Py_ARRAY_LENGTH(names); i++) {
        if (PyUnicode_CompareWithASCIIString(name, names[i]) == 0) {
            *overflow = i;
            return 0;
        }
    }
    PyErr_Format(PyExc_ValueError,
                 "'overflow' must be 'block', 'raise', 'drop_oldest' or 'drop_newest', got %R",
                 name);
    return -1;
}

/* weigher and max_weight, which only make sense together. */
static int
init_weights(QueueObject *q, PyObject *weigher, PyObject *max_weight)
{
    if (weigher == Py_None && max_weight == Py_None) {
        return 0;
    }
    if (weigher == Py_None || max_weight == Py_None) {
        PyErr_Format(PyExc_TypeError, "'weigher' and 'max_weight' go together, got %R and %R",
                     weigher, max_weight);
        return -1;
    }
    if (!PyCallable_Check(weigher)) {
        PyErr_Format(PyExc_TypeError, "'weigher' must be callable, got %R", weigher);
        return -1;
    }
    int64_t most;
    if (cxb_int64(max_weight, 1, "'max_weight'", &most) < 0) {
        return -1;
    }
    cxb_queue_drop_content(q);
    cx_queue_fini(&q->core);
    cxb_queue_setup(q, q->state, q->core.discipline, true);
    q->core.max_weight = most;
    q->weigher = Py_NewRef(weigher);
    return 0;
}

static int
queue_init(QueueObject *q, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"maxsize", "overflow", "weigher", "max_weight", NULL};
    PyObject *maxsize = NULL, *overflow = NULL, *weigher = Py_None, *max_weight = Py_None;
    uint8_t mode = CX_BLOCK;
    int64_t limit = INT64_MAX;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O$OOO:Queue", names, &maxsize, &overflow,
                                     &weigher, &max_weight)) {
        return -1;
    }
    if ((overflow != NULL && overflow_of(overflow, &mode) < 0) ||
        (maxsize != NULL && limit_of(maxsize, &limit) < 0)) {
        return -1;
    }
    if (mode == CX_DROP_OLDEST && q->core.discipline == CX_PRIORITY) {
        PyErr_SetString(PyExc_ValueError, "a PriorityQueue has no oldest item: 'overflow' must be "
                                          "'block', 'raise' or 'drop_newest', got 'drop_oldest'");
        return -1;
    }
    if (init_weights(q, weigher, max_weight) < 0) {
        return -1;
    }
    if (cxb_queue_clear(q) > 0) {
        cx_queue_set_unfinished(&q->core, 0); /* a second __init__ starts afresh */
    }
    q->core.overflow = mode;
    if (maxsize != NULL) {
        Py_XSETREF(q->maxsize, Py_NewRef(maxsize));
    }
    cx_queue_set_limit(&q->core, limit);
    if (q->own_hooks || cxb_queue_is_moved(q)) {
        PyObject *made = cxb_compat(q, "init", "O", q->maxsize);
        Py_XDECREF(made);
        return made == NULL ? -1 : 0;
    }
    return 0;
}

/* Replaced methods and hooks of one instance are honoured, as queue.Queue honours them. */
static int
queue_setattro(QueueObject *q, PyObject *name, PyObject *value)
{
    if (PyUnicode_CompareWithASCIIString(name, "put") == 0) {
        cx_store_relaxed(&q->own_put, true);
    }
    else if (PyUnicode_CompareWithASCIIString(name, "get") == 0) {
        cx_store_relaxed(&q->own_get, true);
    }
    else if (PyUnicode_CompareWithASCIIString(name, "_put") == 0 ||
             PyUnicode_CompareWithASCIIString(name, "_get") == 0 ||
             PyUnicode_CompareWithASCIIString(name, "_qsize") == 0 ||
             PyUnicode_CompareWithASCIIString(name, "_init") == 0) {
        PyObject *compat = cxb_compat(q, "switch", "");
        if (compat == NULL) {
            return -1;
        }
        Py_DECREF(compat);
    }
    return PyObject_GenericSetAttr((PyObject *)q, name, value);
}

static PyObject *
queue_repr(QueueObject *q)
{
    struct cx_queue_view view;
    cx_queue_look(&q->core, &view);
    PyObject *size = cxb_queue_qsize(q, NULL), *maxsize = get_maxsize(q, NULL), *repr = NULL;
    PyObject *module = PyObject_GetAttr((PyObject *)Py_TYPE(q), q->state->names.module);
    PyObject *name = PyObject_GetAttr((PyObject *)Py_TYPE(q), q->state->names.name);
    if (size != NULL && module != NULL && name != NULL) {
        bool own = PyUnicode_CompareWithASCIIString(module, "concx.queue") == 0;
        PyObject *concx = PyUnicode_FromString("concx");
        if (concx != NULL) {
            repr =
                PyUnicode_FromFormat("<%U.%U size=%S maxsize=%S waiting=%u>", own ? concx : module,
                                     name, size, maxsize, view.takers + view.givers);
        }
        Py_XDECREF(concx);
    }
    Py_XDECREF(size);
    Py_XDECREF(maxsize);
    Py_XDECREF(module);
    Py_XDECREF(name);
    return repr;
}

static int
queue_tp_clear(QueueObject *q)
{
    cxb_queue_drop_content(q);
    return 0;
}

static void
queue_dealloc(QueueObject *q)
{
    PyTypeObject *type = Py_TYPE(q);
    PyObject_GC_UnTrack(q);
    cxb_queue_drop_content(q);
    Py_CLEAR(q->maxsize); /* kept by tp_clear: a finaliser may still look at it */
    cx_queue_fini(&q->core);
    type->tp_free(q);
    Py_DECREF(type);
}

static PyGetSetDef queue_getset[] = {
    {"maxsize", (getter)get_maxsize, (setter)set_maxsize,
     DOC("The most items it holds; 0 or less: no limit.  May be assigned at any time."), NULL},
    {"unfinished_tasks", (getter)get_unfinished, (setter)set_unfinished,
     DOC("Items put and not yet marked by task_done()."), NULL},
    {"is_shutdown", (getter)get_shutdown, (setter)set_shutdown,
     DOC("Whether shutdown() was called."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef queue_methods[] = {
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, DOC("See PEP 585")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot queue_slots[] = {
    {Py_tp_methods, queue_methods}, {Py_tp_new, queue_new},
    {Py_tp_init, queue_init},       {Py_tp_setattro, queue_setattro},
    {Py_tp_repr, queue_repr},       {Py_tp_traverse, cxb_queue_traverse},
    {Py_tp_clear, queue_tp_clear},  {Py_tp_dealloc, queue_dealloc},
    {Py_tp_getset, queue_getset},   {0, NULL},
};

PyType_Spec cxb_queuebase_spec = {
    .name = "concx._core.QueueBase",
    .basicsize = sizeof(QueueObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = queue_slots,
};

// SPDX-License-Identifier: MIT
/* binding/queuemode.c - the compatibility mode, seen from C.
 *
 * The mode itself is Python (concx/_queue_compat.py): a queue with a real mutex, conditions and
 * container.  Here is what leads there: the attributes that switch, and what the mode asks of C.
 */
#include "binding/queue.h"

#include <stdarg.h>
#include <string.h>

#define MOST_ARGUMENTS 5

/* A new reference to the next argument that a letter of the format stands for. */
static PyObject *
argument(char letter, va_list *va)
{
    switch (letter) {
    case 'O':
        return Py_XNewRef(va_arg(*va, PyObject *));
    case 'N':
        return va_arg(*va, PyObject *);
    case 'b':
        return PyBool_FromLong(va_arg(*va, int));
    case 'n':
        return PyLong_FromSsize_t(va_arg(*va, Py_ssize_t));
    case 's':
        return PyUnicode_InternFromString(va_arg(*va, const char *));
    default:
        PyErr_Format(PyExc_SystemError, "concx: unknown argument kind '%c'", letter);
        return NULL;
    }
}

PyObject *
cxb_compat(QueueObject *q, const char *name, const char *format, ...)
{
    PyObject *args[1 + MOST_ARGUMENTS] = {(PyObject *)q}, *result = NULL;
    size_t count = 1;
    bool complete = true;
    va_list va;
    va_start(va, format);
    for (; *format != '\0' && count <= MOST_ARGUMENTS; format++, count++) {
        args[count] = argument(*format, &va);
        complete = complete && args[count] != NULL;
    }
    va_end(va);
    PyObject *module = cxb_import_once(&q->state->queue_compat, "concx._queue_compat", NULL);
    PyObject *function = module == NULL || !complete ? NULL : PyObject_GetAttrString(module, name);
    if (function != NULL) {
        result = PyObject_Vectorcall(function, args, count, NULL);
    }
    Py_XDECREF(function);
    while (--count > 0) {
        Py_XDECREF(args[count]);
    }
    return result;
}

void
cxb_compat_quietly(QueueObject *q, const char *name)
{
    PyObject *error = cxb_error_set_aside();
    PyObject *result = cxb_compat(q, name, "");
    if (result == NULL) {
        PyErr_WriteUnraisable((PyObject *)q);
    }
    Py_XDECREF(result);
    cxb_error_put_back(error);
}

/* Stores an item in a slot of the list, or behind them; takes the reference. */
static void
put_into(PyObject *list, Py_ssize_t at, PyObject *item)
{
    if (at < PyList_GET_SIZE(list)) {
        PyList_SET_ITEM(list, at, item);
        return;
    }
    if (PyList_Append(list, item) < 0) {
        PyErr_WriteUnraisable(list);
    }
    Py_DECREF(item);
}

/* Everything inside as a list, oldest first (for a stack: the bottom first).  The list is made
 * before anything leaves: without memory the items stay where _native_returned() finds them. */
static PyObject *
content(QueueObject *q, size_t len)
{
    struct cx_buffer store;
    struct cx_node *returned;
    struct cx_waiter *spent = NULL;
    PyObject *list = PyList_New((Py_ssize_t)len);
    if (list == NULL || !cx_queue_take_all(&q->core, &store, &returned, false)) {
        return list;
    }
    /* Nothing enters a queue that has moved but what is given back; that cannot be waited out, so
     * the list may have to grow. */
    Py_ssize_t at = 0, front = 0;
    bool first = q->core.discipline == CX_FIFO;
    struct cx_node *node = returned;
    while (first && node != NULL) {
        front++;
        node = node->next;
    }
    for (size_t i = 0; i < store.count; i++) {
        put_into(list, front + at++, cx_buffer_at(&store, i));
    }
    for (Py_ssize_t i = 0; returned != NULL; i++) {
        PyObject *item = cx_queue_pop_returned(&returned, &spent);
        put_into(list, first ? i : at++, item);
    }
    cx_queue_recycle(&spent);
    cx_buffer_fini(&store);
    return list;
}

/* _native_move(): flips, and hands over (items, unfinished_tasks, is_shutdown). */
static PyObject *
mode_move(QueueObject *q, PyObject *unused)
{
    (void)unused;
    struct cx_wakes wakes = CX_WAKES_INIT;
    struct cx_queue_view view;
    cx_queue_move(&q->core);
    cx_queue_look(&q->core, &view);
    PyObject *list = content(q, view.len);
    cx_queue_settle(&q->core, &wakes);
    cxb_queue_deliver(q, &wakes);
    return list == NULL ? NULL
                        : Py_BuildValue("(NLO)", list, (long long)view.unfinished,
                                        view.closed ? Py_True : Py_False);
}

static PyObject *
mode_install(QueueObject *q, PyObject *compat)
{
    PyObject *expected = NULL;
    Py_INCREF(compat);
    if (!cx_cas_acq_rel(&q->compat, &expected, compat)) {
        Py_DECREF(compat);
        return Py_NewRef(expected);
    }
    return Py_NewRef(compat);
}

static PyObject *
wake(QueueObject *q, struct cx_waitlist *list, PyObject *count)
{
    Py_ssize_t n = PyLong_AsSsize_t(count);
    if (n == -1 && PyErr_Occurred()) {
        return NULL;
    }
    size_t left = n < 0 ? SIZE_MAX : (size_t)n;
    while (left > 0) {
        struct cx_wakes wakes = CX_WAKES_INIT;
        left = cx_queue_wake(&q->core, list, left, &wakes);
        cxb_deliver(q->state, &wakes);
    }
    Py_RETURN_NONE;
}

static PyObject *
mode_wake_takers(QueueObject *q, PyObject *n)
{
    return wake(q, &q->core.takers, n);
}

static PyObject *
mode_wake_givers(QueueObject *q, PyObject *n)
{
    return wake(q, &q->core.givers, n);
}

static PyObject *
mode_wake_joiners(QueueObject *q, PyObject *unused)
{
    (void)unused;
    PyObject *all = PyLong_FromLong(-1);
    PyObject *result = all == NULL ? NULL : wake(q, &q->core.joiners, all);
    Py_XDECREF(all);
    return result;
}

/* _native_returned(): items that cancelled awaits gave back after the switch, oldest first. */
static PyObject *
mode_returned(QueueObject *q, PyObject *unused)
{
    (void)unused;
    struct cx_queue_view view;
    cx_queue_look(&q->core, &view);
    return content(q, view.len);
}

static PyObject *
mode_returned_count(QueueObject *q, PyObject *unused)
{
    (void)unused;
    struct cx_queue_view view;
    cx_queue_look(&q->core, &view);
    return PyLong_FromSize_t(view.len);
}

/* _native_stats(): the engine's account, in the order of QueueStats. */
static PyObject *
mode_stats(QueueObject *q, PyObject *unused)
{
    (void)unused;
    return cxb_queue_account(q);
}

PyMethodDef cxb_queue_mode_methods[] = {
    {"_native_move", (PyCFunction)mode_move, METH_NOARGS, NULL},
    {"_native_returned", (PyCFunction)mode_returned, METH_NOARGS, NULL},
    {"_native_stats", (PyCFunction)mode_stats, METH_NOARGS, NULL},
    {"_native_returned_count", (PyCFunction)mode_returned_count, METH_NOARGS, NULL},
    {"_install_compat", (PyCFunction)mode_install, METH_O, NULL},
    {"_wake_takers", (PyCFunction)mode_wake_takers, METH_O, NULL},
    {"_wake_givers", (PyCFunction)mode_wake_givers, METH_O, NULL},
    {"_wake_joiners", (PyCFunction)mode_wake_joiners, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static const char *const lazy_names[] = {"mutex", "not_empty", "not_full", "all_tasks_done"};

/* The thin object of a name; it switches the queue when it is used, not when it is read. */
static PyObject *
get_lazy(QueueObject *q, void *closure)
{
    size_t i = (size_t)(uintptr_t)closure;
    PyObject *known, *made = NULL;
    CXB_BEGIN_CRITICAL(q);
    known = Py_XNewRef(q->lazy[i]);
    CXB_END_CRITICAL;
    if (known != NULL || (made = cxb_compat(q, "lazy", "s", lazy_names[i])) == NULL) {
        return known;
    }
    /* Another thread may have made one meanwhile; the first one is everybody's. */
    CXB_BEGIN_CRITICAL(q);
    if (q->lazy[i] == NULL) {
        q->lazy[i] = Py_NewRef(made);
    }
    known = Py_NewRef(q->lazy[i]);
    CXB_END_CRITICAL;
    Py_DECREF(made);
    return known;
}

/* Programs replace the mutex by a reentrant one, and the conditions with it. */
static int
set_lazy(QueueObject *q, PyObject *value, void *closure)
{
    size_t i = (size_t)(uintptr_t)closure;
    if (value == NULL) {
        PyErr_Format(PyExc_AttributeError, "cannot delete attribute '%s'", lazy_names[i]);
        return -1;
    }
    PyObject *set = cxb_compat(q, "set_lazy", "sO", lazy_names[i], value);
    if (set == NULL) {
        return -1;
    }
    Py_DECREF(set);
    PyObject *old;
    CXB_BEGIN_CRITICAL(q);
    old = q->lazy[i];
    q->lazy[i] = NULL;
    CXB_END_CRITICAL;
    Py_XDECREF(old);
    return 0;
}

static PyObject *
get_queue(QueueObject *q, void *unused)
{
    (void)unused;
    return cxb_compat(q, "get_queue", "");
}

static int
set_queue(QueueObject *q, PyObject *value, void *unused)
{
    (void)unused;
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "cannot delete attribute 'queue'");
        return -1;
    }
    PyObject *result = cxb_compat(q, "set_queue", "O", value);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static PyObject *
get_compat(QueueObject *q, void *unused)
{
    (void)unused;
    PyObject *compat = cx_load_acquire(&q->compat);
    return Py_NewRef(compat == NULL ? Py_None : compat);
}

static PyObject *
get_overflow(QueueObject *q, void *unused)
{
    static const char *const names[] = {"block", "raise", "drop_oldest", "drop_newest"};
    (void)unused;
    return PyUnicode_FromString(names[q->core.overflow]);
}

static PyObject *
get_weigher(QueueObject *q, void *unused)
{
    (void)unused;
    return Py_NewRef(q->weigher == NULL ? Py_None : q->weigher);
}

static PyObject *
get_max_weight(QueueObject *q, void *unused)
{
    (void)unused;
    if (q->weigher == NULL) {
        Py_RETURN_NONE;
    }
    return PyLong_FromLongLong(q->core.max_weight);
}

static PyObject *
get_kind(QueueObject *q, void *unused)
{
    static const char *const names[] = {"fifo", "lifo", "priority"};
    (void)unused;
    return PyUnicode_FromString(names[q->core.discipline]);
}

#define LAZY(name, i)                                                                              \
    {name, (getter)get_lazy, (setter)set_lazy,                                                     \
     PyDoc_STR("As in queue.Queue; using it switches the queue to its compatibility mode."),       \
     (void *)(uintptr_t)(i)}

PyGetSetDef cxb_queue_mode_getset[] = {
    LAZY("mutex", 0),
    LAZY("not_empty", 1),
    LAZY("not_full", 2),
    LAZY("all_tasks_done", 3),
    {"queue", (getter)get_queue, (setter)set_queue,
     PyDoc_STR("The container, as in queue.Queue; reading it switches to the compatibility mode."),
     NULL},
    {"_compat", (getter)get_compat, NULL, NULL, NULL},
    {"_overflow", (getter)get_overflow, NULL, NULL, NULL},
    {"_weigher", (getter)get_weigher, NULL, NULL, NULL},
    {"_max_weight", (getter)get_max_weight, NULL, NULL, NULL},
    {"_kind", (getter)get_kind, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

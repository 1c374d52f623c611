// SPDX-License-Identifier: MIT
/* What a future has to bring to an event loop: a call, or its outcome for a future of that loop.
 * A link owns a task's waiter that is enlisted at its future; the loop's port brings the wake. */
#include "binding/future.h"

#include <string.h>

typedef struct {
    PyObject_HEAD
    FutureObject *future;
    struct cx_waiter *waiter;
    LoopPortObject *face;
    PyObject *fn; /* NULL: the outcome goes to a future of the loop */
    PyObject *context;
} LinkObject;

PyObject *
cxb_link_loop(FutureObject *f, PyObject *fn, PyObject *context)
{
    if (context == NULL || context == Py_None) {
        PyObject *module = PyObject_GetAttr(fn, f->state->names.module);
        bool is_asyncio = false;
        if (module == NULL) {
            PyErr_Clear();
        }
        else if (PyUnicode_Check(module)) {
            const char *name = PyUnicode_AsUTF8(module);
            is_asyncio = name != NULL && strncmp(name, "asyncio", 7) == 0 &&
                         (name[7] == '.' || name[7] == '\0');
            PyErr_Clear();
        }
        Py_XDECREF(module);
        return is_asyncio ? cxb_running_loop(f->state) : Py_NewRef(Py_None);
    }
    PyObject *loop = cxb_running_loop(f->state);
    if (loop == Py_None) {
        PyErr_SetString(PyExc_RuntimeError,
                        "'context' needs a running event loop in this thread, which is to call the "
                        "callback");
        Py_CLEAR(loop);
    }
    return loop;
}

/* loop.call_soon(fn, future, context=context) */
static int
call_soon(PyObject *loop, PyObject *fn, FutureObject *f, PyObject *context)
{
    PyObject *method = PyObject_GetAttr(loop, f->state->names.call_soon);
    PyObject *args = method == NULL ? NULL : PyTuple_Pack(2, fn, (PyObject *)f);
    PyObject *kwargs = NULL, *handle = NULL;
    if (args != NULL && (kwargs = PyDict_New()) != NULL &&
        (context == NULL || context == Py_None ||
         PyDict_SetItem(kwargs, f->state->names.context, context) == 0)) {
        handle = PyObject_Call(method, args, kwargs);
    }
    Py_XDECREF(method);
    Py_XDECREF(args);
    Py_XDECREF(kwargs);
    Py_XDECREF(handle);
    return handle == NULL ? -1 : 0;
}

/* --- what the port does ------------------------------------------------------------------------ */

static void
bring_call(PyObject *owner, PyObject *what)
{
    LinkObject *link = (LinkObject *)what;
    PyObject *loop = NULL, *done = NULL;
    bool failed;
    if (link->context == NULL || link->context == Py_None) {
        /* asyncio's own: it is in its thread, and expects no iteration in between. */
        done = PyObject_CallOneArg(link->fn, owner);
        failed = done == NULL;
    }
    else {
        loop = cxb_running_loop(link->future->state);
        failed = loop == NULL || loop == Py_None ||
                 call_soon(loop, link->fn, (FutureObject *)owner, link->context) < 0;
    }
    if (failed) {
        PyErr_WriteUnraisable(link->fn);
    }
    Py_XDECREF(done);
    Py_XDECREF(loop);
    Py_DECREF(what);
}

/* Copies the outcome, unless the loop's future was cancelled meanwhile. */
static void
bring_outcome(PyObject *owner, PyObject *target)
{
    FutureObject *f = (FutureObject *)owner;
    const struct cxb_names *names = &f->state->names;
    PyObject *done = PyObject_CallMethodNoArgs(target, names->done), *set = NULL;
    if (done == Py_True) {
        set = Py_NewRef(done);
    }
    else if (done != NULL) {
        switch (cx_future_state(&f->core)) {
        case CX_FINISHED:
            set = PyObject_CallMethodOneArg(target, names->set_result, (PyObject *)f->core.value);
            break;
        case CX_FAILED: {
            PyObject *error = cxb_asyncio_error(f, (PyObject *)f->core.value);
            set = error == NULL ? NULL
                                : PyObject_CallMethodOneArg(target, names->set_exception, error);
            Py_XDECREF(error);
            break;
        }
        default:
            set = PyObject_CallMethodNoArgs(target, names->cancel);
        }
    }
    if (set == NULL) {
        PyErr_WriteUnraisable(target);
    }
    Py_XDECREF(done);
    Py_XDECREF(set);
    Py_DECREF(target);
}

static void
give_back(PyObject *owner, struct cx_node *node)
{
    (void)owner; /* an outcome stays where it is */
    (void)node;
}

static const struct cxb_wait_ops call_ops = {.give_back = give_back, .bring = bring_call};
static const struct cxb_wait_ops outcome_ops = {.give_back = give_back, .bring = bring_outcome};

/* --- links ------------------------------------------------------------------------------------- */

/* A link whose waiter holds `what` (the link itself if NULL) and is enlisted: 1; 0: the future is
 * done and nothing was enlisted; -1 with an exception.  *out is a new reference, or NULL. */
static int
link_new(FutureObject *f, PyObject *loop, PyObject *fn, PyObject *context, PyObject *what,
         LinkObject **out)
{
    PyTypeObject *type = f->state->link_type;
    LinkObject *link = *out = (LinkObject *)type->tp_alloc(type, 0);
    if (link == NULL) {
        return -1;
    }
    link->future = (FutureObject *)Py_NewRef((PyObject *)f);
    link->fn = Py_XNewRef(fn);
    link->context = Py_XNewRef(context);
    if ((link->face = cxb_port_of_loop(f->state, loop)) == NULL) {
        Py_CLEAR(*out);
        return -1;
    }
    struct cx_waiter *waiter = link->waiter = cx_waiter_new(link->face->port);
    if (waiter == NULL) {
        Py_CLEAR(*out);
        PyErr_NoMemory();
        return -1;
    }
    waiter->future = Py_NewRef(what == NULL ? (PyObject *)link : what);
    waiter->owner = Py_NewRef((PyObject *)f);
    waiter->ops = what == NULL ? &call_ops : &outcome_ops;
    return cx_future_wait(&f->core, &waiter->node) == CX_WAIT;
}

/* Lets go of the waiter; nothing will be brought that is not on its way. */
static void
link_drop(LinkObject *link)
{
    struct cx_waiter *waiter = cx_xchg_acq_rel(&link->waiter, NULL);
    if (waiter != NULL) {
        bool gone = cx_waiter_decide(waiter, CX_CANCELLED);
        if (gone) {
            cx_future_leave(&link->future->core, &waiter->node);
        }
        PyObject *owner = NULL, *what = NULL;
        if (gone || CX_COMMIT_STATE(cx_waiter_state(waiter)) != CX_GRANTED) {
            owner = cx_xchg_acq_rel(&waiter->owner, NULL);
            what = cx_xchg_acq_rel(&waiter->future, NULL);
        }
        cx_waiter_unref(waiter);
        Py_XDECREF(what);
        Py_XDECREF(owner);
    }
}

int
cxb_link_call(FutureObject *f, PyObject *loop, PyObject *fn, PyObject *context)
{
    LinkObject *link;
    int enlisted = link_new(f, loop, fn, context, NULL, &link);
    if (enlisted == 0) {
        link_drop(link);
        enlisted = call_soon(loop, fn, f, context);
    }
    Py_XDECREF(link); /* its waiter holds it */
    return enlisted < 0 ? -1 : 0;
}

PyObject *
cxb_link_future(FutureObject *f)
{
    PyObject *loop = cxb_running_loop(f->state), *target = NULL, *added = NULL;
    LinkObject *link = NULL;
    if (loop == Py_None) {
        PyErr_SetString(PyExc_RuntimeError, "no running event loop");
    }
    else if (loop != NULL) {
        target = PyObject_CallMethodNoArgs(loop, f->state->names.create_future);
    }
    int enlisted = target == NULL ? -1 : link_new(f, loop, NULL, NULL, target, &link);
    if (enlisted == 0) {
        bring_outcome((PyObject *)f, Py_NewRef(target));
    }
    else if (enlisted > 0) {
        added =
            PyObject_CallMethodOneArg(target, f->state->names.add_done_callback, (PyObject *)link);
        enlisted = added == NULL ? -1 : 1;
    }
    if (link != NULL && enlisted <= 0) {
        link_drop(link);
    }
    Py_XDECREF(link);
    Py_XDECREF(added);
    Py_XDECREF(loop);
    if (enlisted < 0) {
        Py_CLEAR(target);
    }
    return target;
}

Py_ssize_t
cxb_link_remove(FutureObject *f, PyObject *fn)
{
    Py_ssize_t removed = 0;
    for (;;) {
        LinkObject *found = NULL;
        cx_guard_take(&f->core.guard);
        for (struct cx_node *node = cx_waitlist_first(&f->core.waiters);
             node != NULL && found == NULL; node = node->next) {
            struct cx_waiter *waiter = node->waiter;
            LinkObject *link = waiter->kind == CX_TASK && waiter->ops == &call_ops
                                   ? (LinkObject *)cx_load_relaxed(&waiter->future)
                                   : NULL;
            if (link != NULL && cxb_same_callback(link->fn, fn)) {
                found = (LinkObject *)Py_NewRef((PyObject *)link);
            }
        }
        cx_guard_release(&f->core.guard);
        if (found == NULL) {
            return removed;
        }
        removed++;
        link_drop(found);
        Py_DECREF(found);
    }
}

/* The loop's future is done: if it was cancelled, so is what it stood for. */
static PyObject *
link_call(LinkObject *link, PyObject *args, PyObject *kwargs)
{
    (void)kwargs;
    PyObject *target, *cancelled;
    if (!PyArg_ParseTuple(args, "O:Link", &target) ||
        (cancelled = PyObject_CallMethodNoArgs(target, link->future->state->names.cancelled)) ==
            NULL) {
        return NULL;
    }
    int failed = 0;
    if (cancelled == Py_True) {
        link_drop(link);
        failed = cxb_future_cancel(link->future) < 0 ? -1 : 0;
    }
    Py_DECREF(cancelled);
    return failed < 0 ? NULL : Py_NewRef(Py_None);
}

static int
link_traverse(LinkObject *link, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(link));
    Py_VISIT((PyObject *)link->future);
    Py_VISIT((PyObject *)link->face);
    Py_VISIT(link->fn);
    Py_VISIT(link->context);
    if (link->waiter != NULL) {
        Py_VISIT((PyObject *)cx_load_relaxed(&link->waiter->owner));
    }
    return 0;
}

static int
link_clear(LinkObject *link)
{
    link_drop(link);
    Py_CLEAR(link->fn);
    Py_CLEAR(link->context);
    Py_CLEAR(link->face);
    return 0;
}

static void
link_dealloc(LinkObject *link)
{
    PyTypeObject *type = Py_TYPE(link);
    PyObject_GC_UnTrack(link);
    (void)link_clear(link);
    Py_CLEAR(link->future);
    type->tp_free(link);
    Py_DECREF(type);
}

static PyType_Slot link_slots[] = {
    {Py_tp_call, link_call},
    {Py_tp_traverse, link_traverse},
    {Py_tp_clear, link_clear},
    {Py_tp_dealloc, link_dealloc},
    {0, NULL},
};

PyType_Spec cxb_link_spec = {
    .name = "concx._core.Link",
    .basicsize = sizeof(LinkObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = link_slots,
};

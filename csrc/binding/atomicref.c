// SPDX-License-Identifier: MIT
/* AtomicRef: without a GIL a reader must take its reference before somebody else drops the last one,
 * so each step holds the object's own lock; what is replaced is dropped after it. */
#include "binding/atomics.h"

#define DOC(text) PyDoc_STR(text)

typedef struct {
    PyObject_HEAD
    PyObject *object;
} AtomicRefObject;

static PyObject *
ref_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"object", "shared", NULL};
    PyObject *object = Py_None;
    int shared = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O$p:AtomicRef", names, &object, &shared)) {
        return NULL;
    }
    AtomicRefObject *self = (AtomicRefObject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->object = Py_NewRef(object);
        if (shared) {
            cxb_share((PyObject *)self);
        }
    }
    return (PyObject *)self;
}

static PyObject *
ref_get(AtomicRefObject *self, PyObject *unused)
{
    PyObject *object;
    (void)unused;
    CXB_BEGIN_CRITICAL((PyObject *)self);
    object = Py_NewRef(self->object);
    CXB_END_CRITICAL;
    return object;
}

static PyObject *
ref_exchange(AtomicRefObject *self, PyObject *object)
{
    PyObject *old;
    CXB_BEGIN_CRITICAL((PyObject *)self);
    old = self->object;
    self->object = Py_NewRef(object); /* LP */
    CXB_END_CRITICAL;
    return old;
}

static PyObject *
ref_set(AtomicRefObject *self, PyObject *object)
{
    Py_DECREF(ref_exchange(self, object));
    Py_RETURN_NONE;
}

static bool
replace(AtomicRefObject *self, PyObject *expected, PyObject *object)
{
    bool same;
    CXB_BEGIN_CRITICAL((PyObject *)self);
    same = self->object == expected;
    if (same) {
        self->object = Py_NewRef(object); /* LP */
    }
    CXB_END_CRITICAL;
    if (same) {
        Py_DECREF(expected); /* the cell's */
    }
    return same;
}

static PyObject *
ref_compare_and_set(AtomicRefObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (!cxb_takes("compare_and_set", nargs, 2, 2)) {
        return NULL;
    }
    return PyBool_FromLong(replace(self, args[0], args[1]));
}

static PyObject *
ref_update(AtomicRefObject *self, PyObject *fn)
{
    for (;;) {
        PyObject *before = ref_get(self, NULL);
        PyObject *after = PyObject_CallOneArg(fn, before);
        bool done = after == NULL || replace(self, before, after);
        Py_DECREF(before);
        if (done) {
            return after;
        }
        Py_DECREF(after);
    }
}

static PyObject *
ref_repr(AtomicRefObject *self)
{
    PyObject *object = ref_get(self, NULL), *repr = NULL;
    int inside = Py_ReprEnter((PyObject *)self);
    if (inside == 0) {
        repr = PyUnicode_FromFormat("AtomicRef(%R)", object);
        Py_ReprLeave((PyObject *)self);
    }
    else if (inside > 0) {
        repr = PyUnicode_FromString("AtomicRef(...)");
    }
    Py_DECREF(object);
    return repr;
}

static int
ref_traverse(AtomicRefObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->object);
    return 0;
}

/* None, not NULL: a finaliser may still ask. */
static int
ref_clear(AtomicRefObject *self)
{
    Py_XSETREF(self->object, Py_NewRef(Py_None));
    return 0;
}

static void
ref_dealloc(AtomicRefObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_CLEAR(self->object);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef ref_methods[] = {
    {"get", (PyCFunction)ref_get, METH_NOARGS, DOC("get($self)\n--\n\nThe object.")},
    {"set", (PyCFunction)ref_set, METH_O, DOC("set($self, object, /)\n--\n\nReplace the object.")},
    {"exchange", (PyCFunction)ref_exchange, METH_O,
     DOC("exchange($self, object, /)\n--\n\nReplace the object; return the one before.")},
    {"compare_and_set", (PyCFunction)(void (*)(void))ref_compare_and_set, METH_FASTCALL,
     DOC("compare_and_set($self, expected, object, /)\n--\n\nReplace the object if it is "
         "`expected`, the same one and not an equal one; tell whether it was.")},
    {"update", (PyCFunction)ref_update, METH_O,
     DOC("update($self, fn, /)\n--\n\nReplace the object by ``fn(object)`` and return the new "
         "one.\n\n`fn` is called again if another thread has replaced the object meanwhile, so it "
         "must have no other effect.")},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(ref_doc, "AtomicRef(object=None, *, shared=False)\n--\n\n\
A reference that threads replace without a lock of yours.\n\
\n\
Parameters\n\
----------\n\
object : object, default None\n\
    The first object.\n\
shared : bool, default False\n\
    As for `AtomicInt`; on 3.13 what it refers to last is never freed either.\n\
\n\
Notes\n\
-----\n\
Objects are compared by identity: ``compare_and_set(1000, x)`` hardly ever succeeds.\n\
\n\
Thread safety: every method is atomic.");

static PyType_Slot ref_slots[] = {
    {Py_tp_new, ref_new},           {Py_tp_doc, (void *)ref_doc},
    {Py_tp_repr, ref_repr},         {Py_tp_methods, ref_methods},
    {Py_tp_traverse, ref_traverse}, {Py_tp_clear, ref_clear},
    {Py_tp_dealloc, ref_dealloc},   {0, NULL},
};

PyType_Spec cxb_atomicref_spec = {
    .name = "concx.atomic.AtomicRef",
    .basicsize = sizeof(AtomicRefObject),
    .flags = CXB_ATOMIC_FLAGS,
    .slots = ref_slots,
};

// SPDX-License-Identifier: MIT
/* NativeRange: a C function over a range, run by any number of threads that have left the
 * interpreter.  Each takes the next `grain` indices until none are left, so a slow piece holds
 * nobody else back. */
#include "binding/module.h"

#include <string.h>

#define SIGNATURE "void (int64_t, int64_t, void *)"

typedef void (*range_function)(int64_t begin, int64_t end, void *user_data);

typedef struct {
    PyObject_HEAD
    range_function function;
    void *user_data;
    int64_t next; /* atomic */
    int64_t end, grain;
    PyObject *owner;  /* keeps the function */
    Py_buffer buffer; /* keeps the data; obj NULL: none */
    PyObject *keeper; /* likewise */
} RangeObject;

/* Whether a capsule's name is the signature, white space aside. */
static bool
fits(const char *name)
{
    const char *wanted = SIGNATURE;
    for (;;) {
        while (name != NULL && *name == ' ') {
            name++;
        }
        while (*wanted == ' ') {
            wanted++;
        }
        if (name == NULL || *name != *wanted) {
            return false;
        }
        if (*name == '\0') {
            return true;
        }
        name++;
        wanted++;
    }
}

/* A capsule with the signature as its name, or an address. */
static int
set_function(RangeObject *self, PyObject *function)
{
    void *pointer = NULL;
    if (PyCapsule_CheckExact(function)) {
        const char *name = PyCapsule_GetName(function);
        if (!fits(name)) {
            PyErr_Format(PyExc_ValueError,
                         "the capsule's name must be the signature '" SIGNATURE "', got '%s'",
                         name == NULL ? "" : name);
            return -1;
        }
        pointer = PyCapsule_GetPointer(function, name);
    }
    else {
        pointer = PyLong_AsVoidPtr(function);
        if (pointer == NULL && !PyErr_Occurred()) {
            PyErr_SetString(PyExc_ValueError, "the function's address is NULL");
        }
    }
    if (pointer == NULL) {
        return -1;
    }
    memcpy(&self->function, &pointer, sizeof pointer);
    return 0;
}

/* None: NULL; an int: an address; a capsule: its pointer; otherwise the memory of a buffer. */
static int
set_user_data(RangeObject *self, PyObject *data)
{
    if (data == Py_None) {
        return 0;
    }
    if (PyLong_Check(data)) {
        self->user_data = PyLong_AsVoidPtr(data);
        return PyErr_Occurred() ? -1 : 0;
    }
    if (PyCapsule_CheckExact(data)) {
        self->user_data = PyCapsule_GetPointer(data, PyCapsule_GetName(data));
        self->keeper = Py_NewRef(data);
        return self->user_data == NULL ? -1 : 0;
    }
    if (!PyObject_CheckBuffer(data)) {
        PyErr_Format(PyExc_TypeError,
                     "'user_data' must be None, an address, a capsule or an object with a buffer, "
                     "got %R",
                     data);
        return -1;
    }
    if (PyObject_GetBuffer(data, &self->buffer, PyBUF_ANY_CONTIGUOUS) < 0) {
        return -1;
    }
    self->user_data = self->buffer.buf;
    return 0;
}

static PyObject *
range_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *function, *data, *owner;
    long long begin, end, grain;
    if ((kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0) ||
        !PyArg_ParseTuple(args, "OLLLOO:NativeRange", &function, &begin, &end, &grain, &data,
                          &owner)) {
        return NULL;
    }
    if (grain < 1) {
        PyErr_Format(PyExc_ValueError, "'grain' must be a positive int, got %lld", grain);
        return NULL;
    }
    RangeObject *self = (RangeObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->owner = Py_NewRef(owner);
    self->next = begin;
    self->end = end;
    self->grain = grain;
    if (set_function(self, function) < 0 || set_user_data(self, data) < 0) {
        Py_DECREF((PyObject *)self);
        return NULL;
    }
    return (PyObject *)self;
}

/* Takes part until nothing is left. */
static PyObject *
range_run(RangeObject *self, PyObject *unused)
{
    (void)unused;
    Py_BEGIN_ALLOW_THREADS
    int64_t begin = cx_load_relaxed(&self->next);
    while (begin < self->end) {
        int64_t rest = self->end - begin;
        int64_t stop = rest > self->grain ? begin + self->grain : self->end;
        if (cx_cas_relaxed(&self->next, &begin, stop)) {
            self->function(begin, stop, self->user_data);
            begin = cx_load_relaxed(&self->next);
        }
    }
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

/* No further pieces. */
static PyObject *
range_stop(RangeObject *self, PyObject *unused)
{
    (void)unused;
    cx_store_relaxed(&self->next, self->end);
    Py_RETURN_NONE;
}

static int
range_traverse(RangeObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->owner);
    Py_VISIT(self->keeper);
    Py_VISIT(self->buffer.obj);
    return 0;
}

static void
range_dealloc(RangeObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->buffer.obj != NULL) {
        PyBuffer_Release(&self->buffer);
    }
    Py_CLEAR(self->owner);
    Py_CLEAR(self->keeper);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef range_methods[] = {
    {"run", (PyCFunction)range_run, METH_NOARGS, NULL},
    {"stop", (PyCFunction)range_stop, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot range_slots[] = {
    {Py_tp_new, range_new},
    {Py_tp_methods, range_methods},
    {Py_tp_traverse, range_traverse},
    {Py_tp_dealloc, range_dealloc},
    {0, NULL},
};

PyType_Spec cxb_nativerange_spec = {
    .name = "concx._core.NativeRange",
    .basicsize = sizeof(RangeObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = range_slots,
};

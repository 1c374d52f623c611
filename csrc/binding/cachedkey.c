// SPDX-License-Identifier: MIT
#include "binding/cached.h"

/* --- what is sought -------------------------------------------------------------------------------- */

static inline bool
is_bare(PyObject *object)
{
    return PyLong_CheckExact(object) || PyUnicode_CheckExact(object);
}

static int
seek(struct cxb_sought *sought, bool is_typed, PyObject *const *args, Py_ssize_t nargs,
     PyObject *kwnames)
{
    if (nargs == 1 && kwnames == NULL && !is_typed && is_bare(args[0])) {
        sought->bare = args[0];
        sought->hash = cxb_argument_hash(args[0]);
        return sought->hash == -1 ? -1 : 0;
    }
    if (cxb_callkey_init(&sought->call, is_typed, args, nargs, kwnames) < 0) {
        return -1;
    }
    sought->hash = (Py_hash_t)sought->call.hash;
    sought->hash = sought->hash == -1 ? -2 : sought->hash;
    return 0;
}

/* The arguments that count, in `args`, and the names of those that have one: how many of them are
 * positional, or -1 with an exception. */
static Py_ssize_t
leave_out(struct cxb_sought *sought, const CachedObject *self, PyObject *const *args,
          Py_ssize_t nargs, PyObject *kwnames)
{
    Py_ssize_t n = 0, positional, nkw = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    for (Py_ssize_t i = 0; i < nargs; i++) {
        if (i >= 64 || !(self->ignored_places >> i & 1)) {
            sought->args[n++] = args[i];
        }
    }
    positional = n;
    PyObject *names = nkw == 0 ? NULL : PyList_New(0);
    for (Py_ssize_t i = 0; names != NULL && i < nkw; i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i);
        int goes = PySet_Contains(self->ignored, name);
        if (goes < 0 || (goes == 0 && PyList_Append(names, name) < 0)) {
            Py_CLEAR(names);
        }
        else if (goes == 0) {
            sought->args[n++] = args[nargs + i];
        }
    }
    if (names != NULL && PyList_GET_SIZE(names) > 0) {
        sought->kwnames = PyList_AsTuple(names);
    }
    Py_XDECREF(names);
    return PyErr_Occurred() ? -1 : positional;
}

int
cxb_sought_init(struct cxb_sought *sought, CachedObject *self, PyObject *const *args,
                Py_ssize_t nargs, PyObject *kwnames)
{
    Py_ssize_t nkw = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    sought->bare = sought->made = sought->kwnames = NULL;
    sought->args = NULL;
    sought->type = self->state->callkey_type;
    kwnames = nkw == 0 ? NULL : kwnames;
    if (CX_LIKELY(self->key == NULL && self->ignored == NULL)) {
        return seek(sought, self->is_typed, args, nargs, kwnames);
    }
    if (self->key != NULL) {
        sought->made = PyObject_Vectorcall(self->key, args, (size_t)nargs, kwnames);
        return sought->made == NULL ? -1 : 0;
    }
    sought->args =
        nargs + nkw <= CXB_KEY_INLINE ? sought->few : PyMem_New(PyObject *, (size_t)(nargs + nkw));
    if (sought->args == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    Py_ssize_t positional = leave_out(sought, self, args, nargs, kwnames);
    if (positional < 0 ||
        seek(sought, self->is_typed, sought->args, positional, sought->kwnames) < 0) {
        cxb_sought_drop(sought);
        return -1;
    }
    return 0;
}

void
cxb_sought_drop(struct cxb_sought *sought)
{
    if (CX_UNLIKELY(sought->made != NULL || sought->args != NULL)) {
        PyObject *error = cxb_error_set_aside();
        Py_CLEAR(sought->made);
        Py_CLEAR(sought->kwnames);
        if (sought->args != sought->few) {
            PyMem_Free(sought->args);
        }
        sought->args = NULL;
        cxb_error_put_back(error);
    }
}

PyObject *
cxb_sought_key(const struct cxb_sought *sought)
{
    PyObject *ready = sought->bare != NULL ? sought->bare : sought->made;
    if (ready != NULL) {
        return Py_NewRef(ready);
    }
    Py_ssize_t size = (Py_ssize_t)cxb_callkey_size(sought->call.shape);
    CallKeyObject *key = PyObject_GC_NewVar(CallKeyObject, sought->type, size);
    if (key != NULL) {
        key->hash = sought->hash;
        key->shape = sought->call.shape;
        cxb_callkey_take(&sought->call, key->key);
        PyObject_GC_Track(key);
    }
    return (PyObject *)key;
}

int
cxb_sought_same(void *stored, void *probe)
{
    const struct cxb_sought *sought = probe;
    if (sought->bare != NULL) {
        return stored == sought->bare ? 1
               : Py_TYPE((PyObject *)stored) == Py_TYPE(sought->bare)
                   ? cxb_same_other((PyObject *)stored, sought->bare)
                   : 0;
    }
    const CallKeyObject *key = stored;
    const struct cxb_callkey *call = &sought->call;
    if (Py_TYPE((PyObject *)stored) != sought->type || key->shape != call->shape) {
        return 0;
    }
    uint32_t i = 0;
    while (i < call->count && key->key[i] == call->args[i]) {
        i++;
    }
    bool is_same = i == call->count && !call->is_typed &&
                   (call->kwnames == NULL || key->key[i] == call->kwnames);
    return CX_LIKELY(is_same) ? 1 : (int)cxb_callkey_compare(key->key, call);
}

/* --- CallKey --------------------------------------------------------------------------------------- */

static Py_hash_t
callkey_hash(CallKeyObject *self)
{
    return self->hash;
}

static PyObject *
callkey_compare(CallKeyObject *self, PyObject *other, int op)
{
    const CallKeyObject *that = (CallKeyObject *)other;
    if ((op != Py_EQ && op != Py_NE) || Py_TYPE(other) != Py_TYPE((PyObject *)self)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    int equal = self->hash == that->hash && self->shape == that->shape;
    for (Py_ssize_t i = 0; equal == 1 && i < Py_SIZE(self); i++) {
        equal = PyObject_RichCompareBool(self->key[i], that->key[i], Py_EQ);
    }
    return equal < 0 ? NULL : PyBool_FromLong(equal == (op == Py_EQ));
}

/* CallKey(1, 2, a=3) */
static PyObject *
callkey_repr(CallKeyObject *self)
{
    uint64_t shape = self->shape & ~CXB_TYPED;
    Py_ssize_t nkw = (Py_ssize_t)(uint32_t)shape, nargs = (Py_ssize_t)(shape >> 32);
    PyObject *parts = PyList_New(0);
    for (Py_ssize_t i = 0; parts != NULL && i < nargs + nkw; i++) {
        PyObject *name = i < nargs ? NULL : PyTuple_GET_ITEM(self->key[nargs + nkw], i - nargs);
        PyObject *part = name == NULL ? PyObject_Repr(self->key[i])
                                      : PyUnicode_FromFormat("%U=%R", name, self->key[i]);
        if (part == NULL || PyList_Append(parts, part) < 0) {
            Py_CLEAR(parts);
        }
        Py_XDECREF(part);
    }
    PyObject *comma = PyUnicode_FromString(", ");
    PyObject *text = parts == NULL || comma == NULL ? NULL : PyUnicode_Join(comma, parts);
    PyObject *repr = text == NULL ? NULL : PyUnicode_FromFormat("CallKey(%U)", text);
    Py_XDECREF(text);
    Py_XDECREF(comma);
    Py_XDECREF(parts);
    return repr;
}

static int
callkey_traverse(CallKeyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    for (Py_ssize_t i = 0; i < Py_SIZE(self); i++) {
        Py_VISIT(self->key[i]);
    }
    return 0;
}

/* No tp_clear: like a tuple, it is part of no cycle that nobody else can break. */
static void
callkey_dealloc(CallKeyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    for (Py_ssize_t i = 0; i < Py_SIZE(self); i++) {
        Py_DECREF(self->key[i]);
    }
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyType_Slot callkey_slots[] = {
    {Py_tp_hash, callkey_hash},       {Py_tp_richcompare, callkey_compare},
    {Py_tp_repr, callkey_repr},       {Py_tp_traverse, callkey_traverse},
    {Py_tp_dealloc, callkey_dealloc}, {0, NULL},
};

PyType_Spec cxb_callkey_spec = {
    .name = "concx._core.CallKey",
    .basicsize = sizeof(CallKeyObject),
    .itemsize = sizeof(PyObject *),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = callkey_slots,
};

/* --- Entry ----------------------------------------------------------------------------------------- */

static PyObject *
entry_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *value;
    double check_at;
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "Od:Entry", &value, &check_at)) {
        return NULL;
    }
    EntryObject *self = (EntryObject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        double ns = check_at * 1e9;
        self->value = Py_NewRef(value);
        self->check_at = ns >= 0x1p62 ? INT64_MAX : ns <= -0x1p62 ? INT64_MIN : (int64_t)ns;
    }
    return (PyObject *)self;
}

static int
entry_traverse(EntryObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->value);
    return 0;
}

static int
entry_clear(EntryObject *self)
{
    Py_CLEAR(self->value);
    return 0;
}

static void
entry_dealloc(EntryObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_CLEAR(self->value);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
entry_value(EntryObject *self, void *unused)
{
    (void)unused;
    return Py_NewRef(self->value);
}

static PyGetSetDef entry_getset[] = {
    {"value", (getter)entry_value, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot entry_slots[] = {
    {Py_tp_new, entry_new},     {Py_tp_getset, entry_getset},   {Py_tp_traverse, entry_traverse},
    {Py_tp_clear, entry_clear}, {Py_tp_dealloc, entry_dealloc}, {0, NULL},
};

PyType_Spec cxb_entry_spec = {
    .name = "concx._core.Entry",
    .basicsize = sizeof(EntryObject),
    .flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = entry_slots,
};

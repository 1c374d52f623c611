// SPDX-License-Identifier: MIT
#include "binding/special.h"

#include <string.h>

/* What 3.14 looks up it does not bind, and without a GIL the memory would need a lock. */
#define GAINS (CX_WITH_GIL && PY_VERSION_HEX < 0x030E0000)

typedef PyObject *(*fastcall)(PyObject *self, PyObject *const *args, Py_ssize_t nargs);

struct special;

struct bound {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    struct special *special;
    PyObject *self;
};

struct special {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyTypeObject *bound_type;
    PyObject *method;    /* what it stands for */
    fastcall call;       /* the same, in C */
    struct bound *spare; /* memory of a bound one that has gone, or NULL */
};

/* --- the method ------------------------------------------------------------------------------- */

static PyObject *
special_vectorcall(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    return PyObject_Vectorcall(((struct special *)(void *)self)->method, args, nargsf, kwnames);
}

static PyObject *
bound_vectorcall(PyObject *object, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    struct bound *bound = (struct bound *)(void *)object;
    if (CX_UNLIKELY(kwnames != NULL && PyTuple_GET_SIZE(kwnames) > 0)) {
        return PyErr_Format(PyExc_TypeError, "%R takes no keyword arguments", object);
    }
    return bound->special->call(bound->self, args, PyVectorcall_NARGS(nargsf));
}

static PyObject *
special_get(PyObject *object, PyObject *instance, PyObject *type)
{
    struct special *special = (struct special *)(void *)object;
    struct bound *bound = special->spare;
    if (instance == NULL) {
        return Py_NewRef(object);
    }
    if (CX_UNLIKELY(!PyObject_TypeCheck(instance, PyDescr_TYPE(special->method)))) {
        return Py_TYPE(special->method)->tp_descr_get(special->method, instance, type);
    }
    if (CX_LIKELY(bound != NULL)) {
        special->spare = NULL;
        (void)PyObject_Init((PyObject *)bound, special->bound_type);
    }
    else if ((bound = PyObject_GC_New(struct bound, special->bound_type)) == NULL) {
        return NULL;
    }
    bound->vectorcall = bound_vectorcall;
    bound->special = (struct special *)(void *)Py_NewRef(object);
    bound->self = Py_NewRef(instance);
    PyObject_GC_Track((PyObject *)bound);
    return (PyObject *)bound;
}

static PyObject *
special_getattro(PyObject *object, PyObject *name)
{
    return PyObject_GetAttr(((struct special *)(void *)object)->method, name);
}

static PyObject *
special_repr(PyObject *object)
{
    return PyObject_Repr(((struct special *)(void *)object)->method);
}

static int
special_traverse(PyObject *object, visitproc visit, void *arg)
{
    struct special *special = (struct special *)(void *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT((PyObject *)special->bound_type);
    Py_VISIT(special->method);
    return 0;
}

static void
special_dealloc(PyObject *object)
{
    struct special *special = (struct special *)(void *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (special->spare != NULL) {
        PyObject_GC_Del(special->spare);
    }
    Py_XDECREF(special->method);
    Py_XDECREF((PyObject *)special->bound_type);
    type->tp_free(object);
    Py_DECREF(type);
}

/* --- bound ------------------------------------------------------------------------------------ */

static PyObject *
real_bound(PyObject *object)
{
    struct bound *bound = (struct bound *)(void *)object;
    PyObject *method = bound->special->method;
    return Py_TYPE(method)->tp_descr_get(method, bound->self, (PyObject *)Py_TYPE(bound->self));
}

static PyObject *
bound_getattro(PyObject *object, PyObject *name)
{
    PyObject *real = real_bound(object);
    PyObject *value = real == NULL ? NULL : PyObject_GetAttr(real, name);
    Py_XDECREF(real);
    return value;
}

static PyObject *
bound_repr(PyObject *object)
{
    PyObject *real = real_bound(object);
    PyObject *text = real == NULL ? NULL : PyObject_Repr(real);
    Py_XDECREF(real);
    return text;
}

static int
bound_traverse(PyObject *object, visitproc visit, void *arg)
{
    struct bound *bound = (struct bound *)(void *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT((PyObject *)bound->special);
    Py_VISIT(bound->self);
    return 0;
}

static void
bound_dealloc(PyObject *object)
{
    struct bound *bound = (struct bound *)(void *)object;
    struct special *special = bound->special;
    PyObject *self = bound->self;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (special->spare == NULL) {
        special->spare = bound;
    }
    else {
        PyObject_GC_Del(object);
    }
    Py_DECREF(type);
    Py_DECREF(self);
    Py_DECREF((PyObject *)special);
}

/* --- types ------------------------------------------------------------------------------------ */

static PyMemberDef special_members[] = {
    {"__vectorcalloffset__", Py_T_PYSSIZET, offsetof(struct special, vectorcall), Py_READONLY,
     NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot special_slots[] = {
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_descr_get, special_get},
    {Py_tp_getattro, special_getattro},
    {Py_tp_repr, special_repr},
    {Py_tp_traverse, special_traverse}, /* the class breaks the cycle */
    {Py_tp_dealloc, special_dealloc},
    {Py_tp_members, special_members},
    {0, NULL},
};

PyType_Spec cxb_special_spec = {
    .name = "concx._core.SpecialMethod",
    .basicsize = sizeof(struct special),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
             Py_TPFLAGS_METHOD_DESCRIPTOR | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = special_slots,
};

static PyMemberDef bound_members[] = {
    {"__vectorcalloffset__", Py_T_PYSSIZET, offsetof(struct bound, vectorcall), Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot bound_slots[] = {
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_getattro, bound_getattro},
    {Py_tp_repr, bound_repr},
    {Py_tp_traverse, bound_traverse},
    {Py_tp_dealloc, bound_dealloc},
    {Py_tp_members, bound_members},
    {0, NULL},
};

PyType_Spec cxb_boundspecial_spec = {
    .name = "concx._core.BoundSpecialMethod",
    .basicsize = sizeof(struct bound),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = bound_slots,
};

static int
add(struct cxb_state *state, PyTypeObject *type, PyMethodDef *def)
{
    PyObject *method = PyDescr_NewMethod(type, def);
    struct special *special =
        method == NULL ? NULL : PyObject_GC_New(struct special, state->special_type);
    if (special == NULL) {
        Py_XDECREF(method);
        return -1;
    }
    special->vectorcall = special_vectorcall;
    special->bound_type = (PyTypeObject *)Py_NewRef((PyObject *)state->boundspecial_type);
    special->method = method;
    special->call = (fastcall)(void (*)(void))def->ml_meth;
    special->spare = NULL;
    PyObject_GC_Track((PyObject *)special);
    int failed = PyObject_SetAttrString((PyObject *)type, def->ml_name, (PyObject *)special);
    Py_DECREF((PyObject *)special);
    return failed;
}

int
cxb_add_specials(struct cxb_state *state, PyTypeObject *type, PyMethodDef *table)
{
    for (PyMethodDef *def = table; def->ml_name != NULL; def++) {
        bool special =
            strcmp(def->ml_name, "__enter__") == 0 || strcmp(def->ml_name, "__exit__") == 0;
        if (GAINS && special && def->ml_flags == METH_FASTCALL && add(state, type, def) < 0) {
            return -1;
        }
    }
    return 0;
}

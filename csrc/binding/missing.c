// SPDX-License-Identifier: MIT
/* MISSING: stands for no value where a value may be anything, None too. */
#include "binding/module.h"

static PyObject *
missing_repr(PyObject *self)
{
    (void)self;
    return PyUnicode_FromString("MISSING");
}

/* Pickled and copied by its name: there is one. */
static PyObject *
missing_reduce(PyObject *self, PyObject *unused)
{
    (void)unused;
    return missing_repr(self);
}

static int
missing_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static void
missing_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef missing_methods[] = {
    {"__reduce__", missing_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot missing_slots[] = {
    {Py_tp_repr, missing_repr},
    {Py_tp_methods, missing_methods},
    {Py_tp_traverse, missing_traverse},
    {Py_tp_dealloc, missing_dealloc},
    {0, NULL},
};

PyType_Spec cxb_missing_spec = {
    .name = "concx.map._Missing",
    .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = missing_slots,
};

int
cxb_map_exec(PyObject *module)
{
    struct cxb_state *state = cxb_state_of_module(module);
    state->missing = state->missing_type->tp_alloc(state->missing_type, 0);
    if (state->missing == NULL || PyModule_AddObjectRef(module, "MISSING", state->missing) < 0) {
        return -1;
    }
    return cxb_add_methods(state->map_type, cxb_map_methods, NULL) < 0 ||
                   cxb_add_methods(state->map_type, cxb_map_compound, NULL) < 0 ||
                   cxb_add_methods(state->mapset_type, cxb_set_methods, NULL) < 0
               ? -1
               : 0;
}

// SPDX-License-Identifier: MIT
/* binding/compat.h - what differs between the CPython versions that concx supports (3.11 and later). */
#ifndef CX_BINDING_COMPAT_H
#define CX_BINDING_COMPAT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>

#include "core/config.h"

#if defined(Py_GIL_DISABLED) == CX_WITH_GIL
#error "CX_WITH_GIL contradicts the interpreter's headers"
#endif

#ifndef Py_T_PYSSIZET
#include <structmember.h>
#define Py_T_PYSSIZET T_PYSSIZET
#define Py_READONLY READONLY
#define Py_T_BOOL T_BOOL
#endif

/* The exception in flight, set aside and put back. */
static inline PyObject *
cxb_error_set_aside(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (type == NULL) {
        return NULL;
    }
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(value, traceback);
        Py_DECREF(traceback);
    }
    Py_DECREF(type);
    return value;
#endif
}

static inline void
cxb_error_put_back(PyObject *error)
{
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException(error);
#else
    if (error == NULL) {
        PyErr_Clear();
        return;
    }
    PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    Py_DECREF(error);
#endif
}

/* A new reference to what a weak reference points at; NULL without an exception if it is gone. */
static inline PyObject *
cxb_weakref_get(PyObject *ref)
{
#if PY_VERSION_HEX >= 0x030D0000
    PyObject *object = NULL;
    (void)PyWeakref_GetRef(ref, &object);
    return object;
#else
    PyObject *object = PyWeakref_GetObject(ref);
    return object == NULL || object == Py_None ? NULL : Py_NewRef(object);
#endif
}

/* A new reference to d[key]: 1 found, 0 missing, -1 error. */
static inline int
cxb_dict_get(PyObject *dict, PyObject *key, PyObject **value)
{
#if PY_VERSION_HEX >= 0x030D0000
    return PyDict_GetItemRef(dict, key, value);
#else
    *value = Py_XNewRef(PyDict_GetItemWithError(dict, key));
    return *value != NULL ? 1 : PyErr_Occurred() ? -1 : 0;
#endif
}

/* One object's lock on free-threaded builds, nothing where the GIL excludes. */
#if PY_VERSION_HEX >= 0x030D0000
#define CXB_BEGIN_CRITICAL(object) Py_BEGIN_CRITICAL_SECTION(object)
#define CXB_END_CRITICAL Py_END_CRITICAL_SECTION()
#else
#define CXB_BEGIN_CRITICAL(object) {
#define CXB_END_CRITICAL }
#endif

#endif

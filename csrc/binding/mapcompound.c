// SPDX-License-Identifier: MIT
/* Steps that look and change in one: what a dict needs a lock for.
 *
 * A function of the caller's runs with nothing held.  Its result goes in only if the very value that it
 * was given is still there; otherwise it is called again with the one that came.
 */
#include "binding/kwargs.h"
#include "binding/map.h"

#define DOC(text) PyDoc_STR(text)

/* MISSING stands for nothing. */
static inline PyObject *
or_absent(MapObject *self, PyObject *value)
{
    return value == self->state->missing ? CXB_ABSENT : value;
}

static PyObject *
compare_and_set(MapObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (!cxb_takes("compare_and_set", nargs, 3, 3)) {
        return NULL;
    }
    PyObject *key = args[0], *expected = or_absent(self, args[1]),
             *value = or_absent(self, args[2]);
    if (expected == CXB_ABSENT) {
        int done = value == CXB_ABSENT ? cxb_map_contains(self, key)
                                       : cxb_map_write(self, key, CXB_NOTHING, NULL, value, NULL);
        return done < 0 ? NULL : PyBool_FromLong(value == CXB_ABSENT ? !done : done);
    }
    PyObject *exactly = Py_NewRef(expected), *there;
    int done;
    while ((done = cxb_map_write(self, key, CXB_EXACTLY, exactly, value, &there)) == 0 &&
           there != NULL) {
        Py_SETREF(exactly, there);
        int equal = PyObject_RichCompareBool(exactly, expected, Py_EQ);
        if (equal <= 0) {
            Py_DECREF(exactly);
            return equal < 0 ? NULL : Py_NewRef(Py_False);
        }
    }
    if (done == 1) {
        Py_DECREF(there);
    }
    Py_DECREF(exactly);
    return done < 0 ? NULL : PyBool_FromLong(done);
}

/* A new value from the old one, NULL with an exception; `old` may be CXB_ABSENT. */
typedef PyObject *step(MapObject *self, PyObject *old, PyObject *const *args);

/* Takes the step and puts its result in: what is there then, MISSING if nothing. */
static PyObject *
take_step(MapObject *self, PyObject *key, step *take, PyObject *const *args)
{
    PyObject *old;
    if (cxb_map_find(self, key, &old) < 0) {
        return NULL;
    }
    for (;;) {
        PyObject *there = NULL, *value = take(self, old, args);
        if (value == NULL) {
            Py_XDECREF(old);
            return NULL;
        }
        PyObject *given = or_absent(self, value);
        int done = old == CXB_ABSENT && given == CXB_ABSENT
                       ? !cxb_map_contains(self, key)
                       : cxb_map_write(self, key, old == CXB_ABSENT ? CXB_NOTHING : CXB_EXACTLY,
                                       old, given, &there);
        if (done != 0) {
            Py_XDECREF(old);
            Py_XDECREF(done < 0 ? NULL : there);
            if (done < 0) {
                Py_CLEAR(value);
            }
            return value;
        }
        Py_DECREF(value);
        Py_XDECREF(old);
        old = there;
    }
}

static PyObject *
step_compute(MapObject *self, PyObject *old, PyObject *const *args)
{
    return PyObject_CallOneArg(args[1], old == CXB_ABSENT ? self->state->missing : old);
}

static PyObject *
compute(MapObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    return cxb_takes("compute", nargs, 2, 2) ? take_step(self, args[0], step_compute, args) : NULL;
}

static PyObject *
step_merge(MapObject *self, PyObject *old, PyObject *const *args)
{
    (void)self;
    return old == CXB_ABSENT ? Py_NewRef(args[1])
                             : PyObject_CallFunctionObjArgs(args[2], old, args[1], NULL);
}

static PyObject *
merge(MapObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    return cxb_takes("merge", nargs, 3, 3) ? take_step(self, args[0], step_merge, args) : NULL;
}

/* args: key, delta, default or NULL for 0 */
static PyObject *
step_add(MapObject *self, PyObject *old, PyObject *const *args)
{
    (void)self;
    if (old != CXB_ABSENT || args[2] != NULL) {
        return PyNumber_Add(old != CXB_ABSENT ? old : args[2], args[1]);
    }
    PyObject *zero = PyLong_FromLong(0), *sum = zero == NULL ? NULL : PyNumber_Add(zero, args[1]);
    Py_XDECREF(zero);
    return sum;
}

static PyObject *
add(MapObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (!cxb_takes("add", nargs, 2, 3)) {
        return NULL;
    }
    PyObject *all[3] = {args[0], args[1], nargs == 3 ? args[2] : NULL}, *sum = NULL;
    int done = PyLong_CheckExact(args[1]) ? cxb_map_add_int(self, args[0], args[1], &sum) : 0;
    if (CX_LIKELY(done != 0)) {
        return sum;
    }
    return take_step(self, all[0], step_add, all);
}

static PyObject *
compute_if_absent(MapObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *value;
    if (!cxb_takes("compute_if_absent", nargs, 2, 2)) {
        return NULL;
    }
    return cxb_map_find(self, args[0], &value) != 0
               ? value
               : cxb_map_compute_if_absent(self, args[0], args[1]);
}

static PyObject *
get_many(MapObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (!cxb_takes("get_many", nargs, 1, 2)) {
        return NULL;
    }
    PyObject *iterator = PyObject_GetIter(args[0]), *key, *value;
    PyObject *list = iterator == NULL ? NULL : PyList_New(0);
    while (list != NULL && (key = PyIter_Next(iterator)) != NULL) {
        if (cxb_map_find(self, key, &value) == 0) {
            value = Py_NewRef(nargs == 2 ? args[1] : Py_None);
        }
        if (value == NULL || PyList_Append(list, value) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(value);
        Py_DECREF(key);
    }
    Py_XDECREF(iterator);
    if (PyErr_Occurred()) {
        Py_CLEAR(list);
    }
    return list;
}

#define FAST(function) (PyCFunction)(void (*)(void))(function), METH_FASTCALL

PyMethodDef cxb_map_compound[] = {
    {"compare_and_set", FAST(compare_and_set),
     DOC("compare_and_set($self, key, expected, new, /)\n--\n\nMake `new` the value of `key` if it "
         "is `expected` now, the same object or an equal one; tell whether it was.\n\nMISSING as "
         "`expected`: there is no value; as `new`: remove the key.")},
    {"compute", FAST(compute),
     DOC("compute($self, key, fn, /)\n--\n\nMake ``fn(value)`` the value of `key`, and return "
         "it.\n\n`fn` gets MISSING if there is no value; if it returns MISSING, the key is "
         "removed. "
         "It is called again if another thread has changed the value meanwhile, so it must have no "
         "other effect.")},
    {"compute_if_absent", FAST(compute_if_absent),
     DOC("compute_if_absent($self, key, factory, /)\n--\n\nThe value of `key`; if there is none, "
         "what ``factory()`` returns.\n\nHowever many threads ask, one calls, the others wait for "
         "it. If it raises an Exception, all of them get that, and nothing is kept. A factory that "
         "asks for its own key, or for one whose factory waits for this one, gets RuntimeError.")},
    {"merge", FAST(merge),
     DOC("merge($self, key, value, fn, /)\n--\n\nSet `key` to `value`, or to ``fn(old, value)`` if "
         "it has a value; return the new one.\n\n`fn` is called again if another thread has "
         "changed "
         "the value meanwhile; MISSING as its result removes the key.")},
    {"add", FAST(add),
     DOC("add($self, key, delta, default=0, /)\n--\n\nAdd `delta` to the value of `key`, which is "
         "`default` if there is none; return the sum.")},
    {"get_many", FAST(get_many),
     DOC("get_many($self, keys, default=None, /)\n--\n\nA list of the values of `keys`, in their "
         "order, with `default` where there is none.\n\nEach is looked up by itself; faster than "
         "as "
         "many calls.")},
    {NULL, NULL, 0, NULL},
};

// SPDX-License-Identifier: MIT
#include "binding/cachekey.h"

#include <string.h>

#define DEPTH 4 /* of tuples in tuples */

/* Both have been hashed, so both are in their final form. */
static bool
same_text(PyObject *a, PyObject *b)
{
    Py_ssize_t length = PyUnicode_GET_LENGTH(a);
    return length == PyUnicode_GET_LENGTH(b) && PyUnicode_KIND(a) == PyUnicode_KIND(b) &&
           memcmp(PyUnicode_DATA(a), PyUnicode_DATA(b), (size_t)length * PyUnicode_KIND(a)) == 0;
}

/* 1, 0, or -1: C cannot tell. */
static int
decide(PyObject *a, PyObject *b, int depth)
{
    if (a == b) {
        return 1;
    }
    if (Py_TYPE(a) != Py_TYPE(b)) {
        return -1;
    }
    if (PyUnicode_CheckExact(a)) {
        return same_text(a, b);
    }
    if (PyLong_CheckExact(a) || PyFloat_CheckExact(a) || PyBytes_CheckExact(a)) {
        /* Nothing but C, and an answer that is not allocated. */
        PyObject *answer = Py_TYPE(a)->tp_richcompare(a, b, Py_EQ);
        Py_XDECREF(answer);
        return answer == Py_True;
    }
    if (!PyTuple_CheckExact(a) || depth == DEPTH) {
        return -1;
    }
    int answer = PyTuple_GET_SIZE(a) == PyTuple_GET_SIZE(b);
    for (Py_ssize_t i = 0; answer == 1 && i < PyTuple_GET_SIZE(a); i++) {
        answer = decide(PyTuple_GET_ITEM(a, i), PyTuple_GET_ITEM(b, i), depth + 1);
    }
    return answer;
}

int
cxb_probe_same_slow(PyObject *stored, struct cxb_probe *probe)
{
    int answer = decide(stored, probe->key, 0);
    for (unsigned i = 0; answer < 0 && i < probe->count; i++) {
        if (probe->known[i].key == stored) {
            answer = probe->known[i].equal;
        }
    }
    if (answer < 0) {
        probe->undecided = Py_NewRef(stored);
    }
    return answer;
}

static int
make_room(struct cxb_probe *probe)
{
    if (probe->count < probe->room) {
        return 0;
    }
    bool is_first = probe->known == probe->first;
    size_t size = (size_t)2 * probe->room * sizeof *probe->known;
    struct cxb_answer *more = PyMem_Realloc(is_first ? NULL : probe->known, size);
    if (more == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (is_first) {
        memcpy(more, probe->first, sizeof probe->first);
    }
    probe->known = more;
    probe->room *= 2;
    return 0;
}

int
cxb_probe_decide(struct cxb_probe *probe)
{
    int equal = PyObject_RichCompareBool(probe->undecided, probe->key, Py_EQ);
    if (equal < 0 || make_room(probe) < 0) {
        return -1;
    }
    probe->known[probe->count++] = (struct cxb_answer){.key = probe->undecided, .equal = equal > 0};
    probe->undecided = NULL;
    return 0;
}

void
cxb_probe_drop(struct cxb_probe *probe)
{
    PyObject *error = cxb_error_set_aside();
    Py_CLEAR(probe->undecided);
    while (probe->count > 0) {
        Py_DECREF(probe->known[--probe->count].key);
    }
    if (probe->known != probe->first) {
        PyMem_Free(probe->known);
    }
    cxb_error_put_back(error);
}

// SPDX-License-Identifier: MIT
#include "binding/cachekey.h"

#include <string.h>

int
cxb_probe_same_slow(PyObject *stored, struct cxb_probe *probe)
{
    int answer = cxb_same_other(stored, probe->key);
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

// SPDX-License-Identifier: MIT
#include "binding/errors.h"
#include "binding/mpwait.h"
#include "core/shmcond.h"

#define DOC(text) PyDoc_STR(text)

/* --- Event ------------------------------------------------------------------------------------ */

typedef struct {
    BlockedObject head;
    uint32_t *word;
} EventObject;

static PyObject *
event_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"block", NULL};
    PyObject *block;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:EventBase", names, &block)) {
        return NULL;
    }
    EventObject *self = (EventObject *)cxb_blocked_new(type, block, sizeof(uint32_t));
    if (self != NULL) {
        self->word = (uint32_t *)(void *)self->head.block->at;
    }
    return (PyObject *)self;
}

static PyObject *
event_is_set(EventObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(cx_load_acquire(self->word) & 1);
}

static PyObject *
event_set(EventObject *self, PyObject *unused)
{
    (void)unused;
    cx_shmevent_set(self->word);
    Py_RETURN_NONE;
}

static PyObject *
event_clear(EventObject *self, PyObject *unused)
{
    (void)unused;
    cx_shmevent_clear(self->word);
    Py_RETURN_NONE;
}

static PyObject *
event_wait(EventObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const struct cxb_signature signature = {"wait", 0, {"timeout", NULL}};
    PyObject *out[1] = {NULL};
    int64_t deadline;
    uint32_t seen;
    if (cxb_bind(&signature, args, nargs, kwnames, out) < 0 ||
        cxb_mp_deadline(NULL, out[0], &deadline) < 0) {
        return NULL;
    }
    if (cx_shmevent_look(self->word, &seen) == CX_OK) {
        Py_RETURN_TRUE;
    }
    while (!cx_shmevent_happened(self->word, seen)) {
        enum cxb_wait how =
            deadline == 0 ? CXB_TIMED_OUT : cxb_wait_shared(self->word, seen, deadline);
        if (how == CXB_ERROR) {
            return NULL;
        }
        if (how == CXB_TIMED_OUT) {
            return PyBool_FromLong(cx_shmevent_happened(self->word, seen));
        }
    }
    Py_RETURN_TRUE;
}

static PyObject *
event_stats(EventObject *self, PyObject *unused)
{
    (void)unused;
    uint32_t now = cx_load_acquire(self->word) & ~CX_SHM_WAITED;
    return Py_BuildValue("(OI)", (now & 1) != 0 ? Py_True : Py_False, now >> 1);
}

PyMethodDef cxb_mpevent_methods[] = {
    {"is_set", (PyCFunction)event_is_set, METH_NOARGS,
     DOC("is_set($self)\n--\n\nWhether it is set.")},
    {"set", (PyCFunction)event_set, METH_NOARGS,
     DOC("set($self)\n--\n\nSet it, and wake all who wait.")},
    {"clear", (PyCFunction)event_clear, METH_NOARGS, DOC("clear($self)\n--\n\nReset it.")},
    {"wait", CXB_FASTCALL(event_wait),
     DOC("wait($self, timeout=None)\n--\n\nWait until it is set; False if it was not within "
         "`timeout` seconds.")},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef event_methods[] = {
    {"_stats", (PyCFunction)event_stats, METH_NOARGS,
     DOC("_stats($self)\n--\n\nWhether it is set, and how often it was.")},
    {"_block", cxb_blocked_block, METH_NOARGS, DOC("_block($self)\n--\n\nWhere it is.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot event_slots[] = {
    {Py_tp_new, event_new},
    {Py_tp_doc, (void *)DOC("EventBase(block)\n--\n\nThe base of an event between processes.")},
    {Py_tp_methods, event_methods},
    {Py_tp_traverse, cxb_blocked_traverse},
    {Py_tp_dealloc, cxb_blocked_dealloc},
    {0, NULL},
};

PyType_Spec cxb_mpevent_spec = {
    .name = "concx._core.EventBase",
    .basicsize = sizeof(EventObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = event_slots,
};

/* --- who waits for a condition ---------------------------------------------------------------- */

typedef struct {
    BlockedObject head;
    struct cx_shmcond *cond;
} LineObject;

static PyObject *
line_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"block", NULL};
    PyObject *block;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:WaitLine", names, &block)) {
        return NULL;
    }
    LineObject *self = (LineObject *)cxb_blocked_new(type, block, sizeof(struct cx_shmcond));
    if (self != NULL) {
        self->cond = (struct cx_shmcond *)(void *)self->head.block->at;
    }
    return (PyObject *)self;
}

/* A place in line as an int: the cell, or what was seen of the crowd's word beyond the cells. */
static int64_t
place_of(int cell, uint32_t seen)
{
    return cell >= 0 ? cell : (int64_t)CX_SHMCOND_CELLS + seen;
}

static int
to_place(PyObject *object, int *cell, uint32_t *seen)
{
    int64_t place;
    if (cxb_int64(object, 0, "'place'", &place) < 0) {
        return -1;
    }
    *cell = place < CX_SHMCOND_CELLS ? (int)place : -1;
    *seen = (uint32_t)(place - CX_SHMCOND_CELLS);
    return 0;
}

static PyObject *
line_enter(LineObject *self, PyObject *unused)
{
    uint32_t seen;
    (void)unused;
    int cell = cx_shmcond_enter(self->cond, &seen);
    return PyLong_FromLongLong(place_of(cell, seen));
}

static PyObject *
line_sleep(LineObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    int64_t deadline;
    uint32_t seen;
    int cell;
    if (nargs != 2) {
        PyErr_SetString(PyExc_TypeError, "sleep() takes a place and a timeout");
        return NULL;
    }
    if (to_place(args[0], &cell, &seen) < 0 || cxb_mp_deadline(NULL, args[1], &deadline) < 0) {
        return NULL;
    }
    const uint32_t *word = cx_shmcond_word(self->cond, cell, &seen);
    while (cx_load_acquire(word) == seen && deadline != 0) {
        enum cxb_wait how = cxb_wait_shared(word, seen, deadline);
        if (how == CXB_ERROR) {
            return NULL;
        }
        if (how == CXB_TIMED_OUT) {
            break;
        }
    }
    Py_RETURN_NONE;
}

static PyObject *
line_leave(LineObject *self, PyObject *place)
{
    uint32_t seen;
    int cell;
    if (to_place(place, &cell, &seen) < 0) {
        return NULL;
    }
    return PyBool_FromLong(cx_shmcond_leave(self->cond, cell, seen));
}

static PyObject *
line_notify(LineObject *self, PyObject *n)
{
    int64_t most;
    if (cxb_int64(n, INT64_MIN, "'n'", &most) < 0) {
        return NULL;
    }
    if (most > 0) {
        cx_shmcond_notify(self->cond, most > UINT32_MAX ? UINT32_MAX : (uint32_t)most);
    }
    Py_RETURN_NONE;
}

static PyObject *
line_waiting(LineObject *self, PyObject *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(cx_shmcond_waiting(self->cond));
}

static PyMethodDef line_methods[] = {
    {"enter", (PyCFunction)line_enter, METH_NOARGS,
     DOC("enter($self)\n--\n\nGet into line, under the lock: a place.")},
    {"sleep", (PyCFunction)(void (*)(void))line_sleep, METH_FASTCALL,
     DOC("sleep($self, place, timeout, /)\n--\n\nWithout the lock, until notified or time is up.")},
    {"leave", (PyCFunction)line_leave, METH_O,
     DOC("leave($self, place, /)\n--\n\nUnder the lock again: whether it was notified.")},
    {"notify", (PyCFunction)line_notify, METH_O,
     DOC("notify($self, n, /)\n--\n\nWake the n that came first, under the lock.")},
    {"waiting", (PyCFunction)line_waiting, METH_NOARGS,
     DOC("waiting($self)\n--\n\nHow many are in line.")},
    {"_block", cxb_blocked_block, METH_NOARGS, DOC("_block($self)\n--\n\nWhere it is.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot line_slots[] = {
    {Py_tp_new, line_new},
    {Py_tp_doc, (void *)DOC("WaitLine(block)\n--\n\nWho waits for a condition between processes.")},
    {Py_tp_methods, line_methods},
    {Py_tp_traverse, cxb_blocked_traverse},
    {Py_tp_dealloc, cxb_blocked_dealloc},
    {0, NULL},
};

PyType_Spec cxb_mpline_spec = {
    .name = "concx._core.WaitLine",
    .basicsize = sizeof(LineObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = line_slots,
};

// SPDX-License-Identifier: MIT
#include "binding/mpwait.h"

#include "binding/errors.h"

#define DOC(text) PyDoc_STR(text)

enum { RECURSIVE, SEMAPHORE, LOCK };

typedef struct {
    BlockedObject head;
    uint32_t *word;
    uint32_t most; /* of a semaphore */
    int kind;
    bool recovers;
    uint32_t generation; /* of forks: in which the following was true */
    uint32_t me;         /* this process */
    int64_t count;       /* atomic; acquired less released in this process */
    uint64_t owner;      /* atomic; the thread that acquired last */
} LockObject;

static CX_COLD void
start_over(LockObject *self)
{
    self->me = cx_owner_self();
    cx_store_relaxed(&self->count, 0);
    self->generation = cx_fork_generation();
}

/* A thread that goes on in a forked child holds nothing there. */
static inline void
look_for_fork(LockObject *self)
{
    if (CX_UNLIKELY(self->generation != cx_fork_generation())) {
        start_over(self);
    }
}

static inline int64_t
count_of(LockObject *self)
{
    look_for_fork(self);
    return cx_load_relaxed(&self->count);
}

/* Any thread may release, so without a GIL two may count at once. */
static inline void
add_to_count(LockObject *self, int64_t n)
{
#if CX_WITH_GIL
    self->count += n;
#else
    (void)cx_fetch_add_relaxed(&self->count, n);
#endif
}

static inline bool
is_mine(LockObject *self)
{
    return count_of(self) > 0 && cx_load_relaxed(&self->owner) == PyThread_get_thread_ident();
}

static PyObject *
lock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"block", "kind", "value", "maxvalue", "recovers", NULL};
    PyObject *block, *value_object = NULL, *most_object = NULL;
    int kind, recovers = 0;
    int64_t most = 1, value = -1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "Oi|OOp:LockBase", names, &block, &kind,
                                     &value_object, &most_object, &recovers) ||
        (most_object != NULL && cxb_int64(most_object, 0, "'maxvalue'", &most) < 0) ||
        (value_object != NULL && value_object != Py_None &&
         cxb_int64(value_object, 0, "'value'", &value) < 0)) {
        return NULL;
    }
    if (value > most || most > INT32_MAX) {
        PyErr_Format(PyExc_ValueError, "'value' must be from 0 to %lld, got %lld",
                     most > INT32_MAX ? (long long)INT32_MAX : (long long)most, (long long)value);
        return NULL;
    }
    LockObject *self = (LockObject *)cxb_blocked_new(type, block, sizeof(uint32_t));
    if (self != NULL) {
        self->word = (uint32_t *)(void *)self->head.block->at;
        self->kind = kind;
        self->most = (uint32_t)most;
        self->recovers = recovers;
        start_over(self);
        if (kind == SEMAPHORE && value >= 0) {
            cx_store_relaxed(self->word, (uint32_t)value);
        }
    }
    return (PyObject *)self;
}

static enum cx_status
take(LockObject *self, bool slept, uint32_t *seen)
{
    if (self->kind == SEMAPHORE) {
        return cx_shmsem_take(self->word, seen);
    }
    enum cx_status status = cx_shmlock_take(self->word, self->recovers, slept, seen);
    return status == CX_DIED && self->recovers ? CX_OK : status;
}

/* 1 taken, 0 not in time, -1 an exception. */
static int
acquire_slow(LockObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const struct cxb_signature signature = {"acquire", 0, {"block", "timeout", NULL}};
    PyObject *out[2] = {NULL};
    int64_t deadline;
    uint32_t seen;
    if (cxb_bind(&signature, args, nargs, kwnames, out) < 0 ||
        cxb_mp_deadline(out[0], out[1], &deadline) < 0) {
        return -1;
    }
    for (bool slept = false;; slept = true) {
        enum cx_status status = take(self, slept, &seen);
        if (status == CX_OK) {
            return 1;
        }
        if (status == CX_DIED) {
            cxb_raise(self->head.state, status);
            return -1;
        }
        if (deadline == 0) {
            return 0;
        }
        enum cxb_wait how = cxb_wait_shared(self->word, seen, deadline);
        if (how == CXB_TIMED_OUT) {
            deadline = 0; /* one more look: it may have been left for this thread */
        }
        else if (how == CXB_ERROR) {
            cxb_mp_pass_on(self->word, self->kind == SEMAPHORE);
            return -1;
        }
    }
}

static inline bool
try_at_once(LockObject *self)
{
    uint32_t seen;
    return self->kind == SEMAPHORE ? cx_shmsem_take(self->word, &seen) == CX_OK
                                   : cx_shmlock_try(self->word, self->me);
}

static PyObject *
lock_acquire(LockObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    look_for_fork(self);
    if (self->kind == RECURSIVE && is_mine(self)) {
        cx_store_relaxed(&self->count, self->count + 1);
        Py_RETURN_TRUE;
    }
    if (nargs != 0 || kwnames != NULL || !try_at_once(self)) {
        int taken = acquire_slow(self, args, nargs, kwnames);
        if (taken <= 0) {
            return taken < 0 ? NULL : Py_NewRef(Py_False);
        }
        look_for_fork(self);
    }
    cx_store_relaxed(&self->owner, PyThread_get_thread_ident());
    add_to_count(self, 1);
    Py_RETURN_TRUE;
}

static PyObject *
lock_release(LockObject *self, PyObject *unused)
{
    (void)unused;
    if (self->kind == RECURSIVE) {
        if (!is_mine(self)) {
            PyErr_SetString(PyExc_AssertionError,
                            "attempt to release recursive lock not owned by thread");
            return NULL;
        }
        if (self->count > 1) {
            cx_store_relaxed(&self->count, self->count - 1);
            Py_RETURN_NONE;
        }
    }
    look_for_fork(self);
    add_to_count(self, -1); /* before another thread can take it */
    bool released = self->kind == SEMAPHORE ? cx_shmsem_give(self->word, self->most)
                                            : cx_shmlock_release(self->word);
    if (!released) {
        add_to_count(self, 1);
        PyErr_SetString(PyExc_ValueError, "semaphore or lock released too many times");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
lock_enter(LockObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    (void)args;
    if (nargs != 0) {
        return PyErr_Format(PyExc_TypeError, "__enter__() takes no arguments (%zd given)", nargs);
    }
    return lock_acquire(self, NULL, 0, NULL);
}

static PyObject *
lock_exit(LockObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    (void)args;
    (void)nargs;
    return lock_release(self, NULL);
}

static PyObject *
lock_recover(LockObject *self, PyObject *unused)
{
    (void)unused;
    uint32_t now = cx_load_relaxed(self->word), seen;
    if (self->kind == SEMAPHORE || now == 0) {
        Py_RETURN_FALSE;
    }
    /* Whoever takes it over is the only one that may free it; it may have become free meanwhile. */
    enum cx_status status = cx_shmlock_take(self->word, true, true, &seen);
    if (status != CX_WAIT) {
        (void)cx_shmlock_release(self->word);
    }
    return PyBool_FromLong(status == CX_DIED);
}

static PyObject *
lock_count(LockObject *self, PyObject *unused)
{
    (void)unused;
    return PyLong_FromLongLong(count_of(self));
}

static PyObject *
lock_is_mine(LockObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(is_mine(self));
}

static uint32_t
value_of(LockObject *self)
{
    return self->kind == SEMAPHORE ? cx_shmsem_value(self->word) : cx_load_acquire(self->word) == 0;
}

static PyObject *
lock_get_value(LockObject *self, PyObject *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(value_of(self));
}

static PyObject *
lock_is_zero(LockObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(value_of(self) == 0);
}

static PyObject *
lock_stats(LockObject *self, PyObject *unused)
{
    (void)unused;
    uint32_t now = cx_load_acquire(self->word), pid = now & ((1u << CX_OWNER_PID_BITS) - 1);
    PyObject *contended = (now & CX_SHM_WAITED) != 0 ? Py_True : Py_False;
    if (self->kind == SEMAPHORE) {
        return Py_BuildValue("(IIO)", now & ~CX_SHM_WAITED, self->most, contended);
    }
    PyObject *owner = pid == 0 ? Py_NewRef(Py_None) : PyLong_FromUnsignedLong(pid);
    return Py_BuildValue("(ONO)", now != 0 ? Py_True : Py_False, owner, contended);
}

static PyObject *
lock_semlock(PyObject *self, void *unused)
{
    (void)unused;
    return Py_NewRef(self);
}

static PyObject *
lock_maxvalue(LockObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(self->kind == SEMAPHORE ? self->most : 1);
}

static PyObject *
lock_recovers(LockObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(self->recovers);
}

PyMethodDef cxb_mplock_methods[] = {
    {"acquire", CXB_FASTCALL(lock_acquire),
     DOC("acquire($self, block=True, timeout=None)\n--\n\n"
         "Take it; False if it was not free within `timeout` seconds.")},
    {"locked", (PyCFunction)lock_is_zero, METH_NOARGS,
     DOC("locked($self)\n--\n\nWhether it cannot be acquired now.")},
    {"release", (PyCFunction)lock_release, METH_NOARGS, DOC("release($self)\n--\n\nGive it back.")},
    {"__enter__", (PyCFunction)(void (*)(void))lock_enter, METH_FASTCALL,
     DOC("__enter__($self)\n--\n\nTake it.")},
    {"__exit__", (PyCFunction)(void (*)(void))lock_exit, METH_FASTCALL,
     DOC("__exit__($self, *exc)\n--\n\nGive it back.")},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef lock_methods[] = {
    {"recover", (PyCFunction)lock_recover, METH_NOARGS,
     DOC("recover($self)\n--\n\nFree the lock if the process that held it has died; tell whether "
         "it had.")},
    {"_block", cxb_blocked_block, METH_NOARGS, DOC("_block($self)\n--\n\nWhere it is.")},
    {"_stats", (PyCFunction)lock_stats, METH_NOARGS,
     DOC("_stats($self)\n--\n\nLocked, owner, contended; of a semaphore value, most, contended.")},
    {"_count", (PyCFunction)lock_count, METH_NOARGS,
     DOC("_count($self)\n--\n\nAcquired less released in this process.")},
    {"_is_mine", (PyCFunction)lock_is_mine, METH_NOARGS,
     DOC("_is_mine($self)\n--\n\nWhether this thread holds it.")},
    {"_get_value", (PyCFunction)lock_get_value, METH_NOARGS,
     DOC("_get_value($self)\n--\n\nHow often it can be acquired now.")},
    {"_is_zero", (PyCFunction)lock_is_zero, METH_NOARGS,
     DOC("_is_zero($self)\n--\n\nWhether it cannot be acquired now.")},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef lock_getset[] = {
    {"_semlock", lock_semlock, NULL, DOC("Itself, under the name that its twin has inside."), NULL},
    {"maxvalue", (getter)lock_maxvalue, NULL, DOC("The most that release() counts to."), NULL},
    {"_recovers", (getter)lock_recovers, NULL, DOC("Whether a dead owner is passed over."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot lock_slots[] = {
    {Py_tp_new, lock_new},
    {Py_tp_doc, (void *)DOC("LockBase(block, kind, value=None, maxvalue=1, recovers=False)\n--\n\n"
                            "The base of locks and semaphores between processes.")},
    {Py_tp_methods, lock_methods},
    {Py_tp_getset, lock_getset},
    {Py_tp_traverse, cxb_blocked_traverse},
    {Py_tp_dealloc, cxb_blocked_dealloc},
    {0, NULL},
};

PyType_Spec cxb_mplock_spec = {
    .name = "concx._core.LockBase",
    .basicsize = sizeof(LockObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = lock_slots,
};

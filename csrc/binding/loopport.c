// SPDX-License-Identifier: MIT
#include "binding/loopport.h"

#include <unistd.h>

#if defined(__linux__)
#include <sys/eventfd.h>
#endif

#include "core/fork.h"

/* How many futures one loop iteration resolves; the rest waits for the next. */
#define DRAIN_AT_ONCE 512

typedef struct {
    PyObject_HEAD
    struct cx_port *port;
    struct cxb_state *state;
    bool called;
} TokenObject;

typedef struct {
    PyObject_HEAD
    LoopPortObject *face; /* which lasts as long as the loop watches */
} ReaderObject;

PyObject *
cxb_running_loop(struct cxb_state *state)
{
    PyObject *function = cx_load_acquire(&state->running_loop);
    if (function == NULL) {
        PyObject *modules = PyImport_GetModuleDict(), *events = NULL;
        int found = cxb_dict_get(modules, state->names.events, &events);
        Py_XDECREF(events);
        if (found <= 0) {
            return found < 0 ? NULL : Py_NewRef(Py_None);
        }
        function = cxb_import_once(&state->running_loop, "asyncio.events", "_get_running_loop");
    }
    return function == NULL ? NULL : PyObject_CallNoArgs(function);
}

void
cxb_future_resolve(const struct cxb_names *names, PyObject *future)
{
    if (future == NULL) {
        return;
    }
    PyObject *done = PyObject_CallMethodNoArgs(future, names->done);
    PyObject *set = done == Py_False ? PyObject_CallMethodOneArg(future, names->set_result, Py_None)
                                     : Py_XNewRef(done);
    if (set == NULL) {
        PyErr_WriteUnraisable(future);
    }
    Py_XDECREF(done);
    Py_XDECREF(set);
    Py_DECREF(future);
}

/* Brings a granted wake, in the thread of its loop. */
static void
resolve(const struct cxb_names *names, struct cx_waiter *waiter)
{
    const struct cxb_wait_ops *ops = waiter->ops;
    PyObject *future = cx_xchg_acq_rel(&waiter->future, NULL);
    if (future != NULL && ops->bring != NULL) {
        PyObject *owner = cx_xchg_acq_rel(&waiter->owner, NULL);
        ops->bring(owner, future);
        Py_XDECREF(owner);
    }
    else {
        cxb_future_resolve(names, future);
    }
    cx_waiter_unref(waiter);
}

/* The loop will never come: what was granted to its tasks goes back to where it came from. */
static void
return_grant(struct cx_waiter *waiter)
{
    /* Taken before the settling: once that is lost, the await drops the owner as its own.  Without
     * an owner the await is past that point already. */
    PyObject *owner = cx_xchg_acq_rel(&waiter->owner, NULL);
    if (owner != NULL && cx_waiter_settle(waiter, CX_RETURNED)) {
        const struct cxb_wait_ops *ops = waiter->ops;
        ops->give_back(owner, &waiter->node);
    }
    Py_XDECREF(owner);
    PyObject *future = cx_xchg_acq_rel(&waiter->future, NULL);
    Py_XDECREF(future);
    cx_waiter_unref(waiter);
}

/* Giving back may grant to the next task of the same dead loop, which ends here again: whoever
 * finds the work under way leaves a request and goes. */
static void
abandon(struct cx_port *port)
{
    PyObject *error = cxb_error_set_aside();
    cx_port_ref(port);
    if (cx_fetch_add_acq_rel(&port->abandons, 1) == 0) {
        uint32_t seen;
        do {
            bool more;
            seen = cx_load_acquire(&port->abandons);
            struct cx_waiter *waiter = cx_port_take(port, SIZE_MAX, &more);
            while (waiter != NULL) {
                struct cx_waiter *next = waiter->next;
                return_grant(waiter);
                waiter = next;
            }
        } while (!cx_cas_acq_rel(&port->abandons, &seen, 0));
    }
    cx_port_unref(port);
    cxb_error_put_back(error);
}

void
cxb_port_drain(struct cxb_state *state, struct cx_port *port)
{
    bool more;
    struct cx_waiter *waiter = cx_port_take(port, DRAIN_AT_ONCE, &more);
    while (waiter != NULL) {
        struct cx_waiter *next = waiter->next;
        resolve(&state->names, waiter);
        waiter = next;
    }
    if (more && cx_xchg_acq_rel(&port->armed, 1) == 0) {
        cxb_port_tell(state, port);
    }
}

static PyObject *
token_call(TokenObject *self, PyObject *args, PyObject *kwargs)
{
    (void)args;
    (void)kwargs;
    if (!self->called) {
        self->called = true;
        cxb_port_drain(self->state, self->port);
    }
    Py_RETURN_NONE;
}

static void
token_dealloc(TokenObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (!self->called) {
        abandon(self->port);
    }
    cx_port_unref(self->port);
    type->tp_free(self);
    Py_DECREF(type);
}

static int
visit_chain(struct cx_waiter *waiter, visitproc visit, void *arg)
{
    for (; waiter != NULL; waiter = waiter->next) {
        Py_VISIT((PyObject *)cx_load_relaxed(&waiter->future));
    }
    return 0;
}

/* A task whose wake is on its way is held by what will bring it, the reader if there is one or else
 * the token, so that a loop which nobody runs any more can be collected with it.  No lock: nobody is
 * inside a push or a take while the collector runs, but for threads that have no interpreter, and
 * where they may be, the tasks count as held from outside. */
static int
visit_pending(struct cx_port *port, visitproc visit, void *arg)
{
    if (cx_load_relaxed(&port->native)) {
        return 0;
    }
    int stop = visit_chain(cx_load_acquire(&port->pending), visit, arg);
    return stop != 0 ? stop : visit_chain(port->backlog, visit, arg);
}

static int
token_traverse(TokenObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    bool brings = !self->called && self->port->token == self;
    return brings && !cx_load_relaxed(&self->port->watched) ? visit_pending(self->port, visit, arg)
                                                            : 0;
}

int
cxb_visit_waiters(const struct cx_waitlist *list, visitproc visit, void *arg)
{
    if (list->generation != cx_fork_generation()) {
        return 0;
    }
    for (const struct cx_node *node = list->head; node != NULL; node = node->next) {
        const struct cx_waiter *waiter = node->waiter;
        if (waiter->kind == CX_TASK && node == &waiter->node) {
            Py_VISIT((PyObject *)cx_load_relaxed(&waiter->future));
        }
    }
    return 0;
}

static PyType_Slot token_slots[] = {
    {Py_tp_call, token_call},
    {Py_tp_dealloc, token_dealloc},
    {Py_tp_traverse, token_traverse},
    {0, NULL},
};

PyType_Spec cxb_token_spec = {
    .name = "concx._core.LoopToken",
    .basicsize = sizeof(TokenObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = token_slots,
};

static PyObject *
token_new(struct cxb_state *state, struct cx_port *port)
{
    TokenObject *token = (TokenObject *)state->token_type->tp_alloc(state->token_type, 0);
    if (token != NULL) {
        token->port = cx_port_ref(port);
        token->state = state;
        cx_store_relaxed(&port->token, token);
    }
    return (PyObject *)token;
}

void
cxb_port_tell(struct cxb_state *state, struct cx_port *port)
{
    PyObject *loop = cxb_weakref_get(port->loop);
    PyObject *token = loop == NULL ? NULL : token_new(state, port);
    if (token == NULL) {
        PyErr_Clear();
        abandon(port);
        Py_XDECREF(loop);
        return;
    }
    PyObject *handle = PyObject_CallMethodOneArg(loop, state->names.call_soon_threadsafe, token);
    if (handle == NULL) {
        /* The token dies uncalled and gives everything back.  A closed loop is expected; a signal
         * that came just now must not be lost with it. */
        bool interrupted = PyErr_ExceptionMatches(PyExc_KeyboardInterrupt);
        PyErr_Clear();
        if (interrupted) {
            PyErr_SetInterrupt();
        }
    }
    Py_XDECREF(handle);
    Py_DECREF(token);
    Py_DECREF(loop);
}

/* The loop in which a task of this thread is at this moment being stepped; a new reference, NULL
 * without an error if there is none.  Only then may its futures be resolved directly: outside a
 * step (in a signal handler, say) the loop may be asleep in its selector. */
static PyObject *
loop_of_running_task(struct cxb_state *state)
{
    PyObject *loop = cxb_running_loop(state);
    if (loop == NULL || loop == Py_None) {
        PyErr_Clear();
        Py_XDECREF(loop);
        return NULL;
    }
    PyObject *current_task = cxb_import_once(&state->current_task, "asyncio", "current_task");
    PyObject *task = current_task == NULL ? NULL : PyObject_CallOneArg(current_task, loop);
    if (task == NULL || task == Py_None) {
        PyErr_Clear();
        Py_XDECREF(task);
        Py_DECREF(loop);
        return NULL;
    }
    Py_DECREF(task);
    return loop;
}

void
cxb_port_shortcut(struct cxb_state *state, struct cx_wakes *wakes)
{
    bool any = false;
    for (uint32_t i = 0; i < wakes->count; i++) {
        any = any || wakes->waiters[i]->kind == CX_TASK;
    }
    PyObject *loop = any ? loop_of_running_task(state) : NULL;
    if (loop == NULL) {
        return;
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < wakes->count; i++) {
        struct cx_waiter *waiter = wakes->waiters[i];
        PyObject *its = waiter->kind == CX_TASK ? cxb_weakref_get(waiter->port->loop) : NULL;
        if (its == loop) {
            resolve(&state->names, waiter);
        }
        else {
            wakes->waiters[kept++] = waiter;
        }
        Py_XDECREF(its);
    }
    wakes->count = kept;
    Py_DECREF(loop);
}

static LoopPortObject *
face_new(struct cxb_state *state, PyObject *loop, PyObject *key)
{
    PyObject *ref = PyWeakref_NewRef(loop, NULL);
    if (ref == NULL) {
        return NULL;
    }
    struct cx_port *port = cx_port_new(ref, state->port_home);
    if (port == NULL) {
        Py_DECREF(ref);
        PyErr_NoMemory();
        return NULL;
    }
    LoopPortObject *face =
        (LoopPortObject *)state->loopport_type->tp_alloc(state->loopport_type, 0);
    if (face == NULL) {
        cx_port_unref(port);
        return NULL;
    }
    face->port = port;
    face->state = state;
    face->key = Py_NewRef(key);
    PyObject *weak = PyWeakref_NewRef((PyObject *)face, NULL);
    if (weak == NULL || PyDict_SetItem(state->ports, key, weak) < 0) {
        Py_CLEAR(face);
    }
    Py_XDECREF(weak);
    return face;
}

/* The face in the table if it is this loop's, of this process, and alive. */
static LoopPortObject *
face_known(struct cxb_state *state, PyObject *loop, PyObject *key)
{
    PyObject *weak;
    if (cxb_dict_get(state->ports, key, &weak) <= 0) {
        return NULL;
    }
    LoopPortObject *face = (LoopPortObject *)cxb_weakref_get(weak);
    Py_DECREF(weak);
    if (face == NULL) {
        return NULL;
    }
    PyObject *its = cxb_weakref_get(face->port->loop);
    bool fits = its == loop && face->port->generation == cx_fork_generation();
    Py_XDECREF(its);
    if (!fits) {
        Py_CLEAR(face);
    }
    return face;
}

LoopPortObject *
cxb_port_of_loop(struct cxb_state *state, PyObject *loop)
{
    PyObject *key = PyLong_FromVoidPtr(loop);
    if (key == NULL) {
        return NULL;
    }
    LoopPortObject *face = face_known(state, loop, key);
    if (face == NULL && !PyErr_Occurred()) {
        face = face_new(state, loop, key);
    }
    Py_DECREF(key);
    return face;
}

static PyObject *
reader_call(ReaderObject *self, PyObject *args, PyObject *kwargs)
{
    (void)args;
    (void)kwargs;
    uint64_t count;
    ssize_t got = read(self->face->port->event_fd, &count, sizeof count);
    (void)got; /* nothing to read: another drain was faster */
    cxb_port_drain(self->face->state, self->face->port);
    Py_RETURN_NONE;
}

static void
reader_dealloc(ReaderObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    cx_store_relaxed(&self->face->port->watched, 0);
    abandon(self->face->port);
    Py_DECREF((PyObject *)self->face);
    type->tp_free(self);
    Py_DECREF(type);
}

static int
reader_traverse(ReaderObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)self->face);
    return visit_pending(self->face->port, visit, arg);
}

static PyType_Slot reader_slots[] = {
    {Py_tp_call, reader_call},
    {Py_tp_dealloc, reader_dealloc},
    {Py_tp_traverse, reader_traverse},
    {0, NULL},
};

PyType_Spec cxb_reader_spec = {
    .name = "concx._core.LoopReader",
    .basicsize = sizeof(ReaderObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = reader_slots,
};

int
cxb_port_watch(LoopPortObject *face, PyObject *loop, bool native)
{
#if defined(__linux__)
    struct cx_port *port = face->port;
    if (native) {
        cx_store_relaxed(&port->native, 1);
    }
    if (cx_load_relaxed(&port->watched)) {
        return 0;
    }
    if (port->event_fd < 0 && (port->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    PyTypeObject *type = face->state->reader_type;
    ReaderObject *reader = (ReaderObject *)type->tp_alloc(type, 0);
    if (reader == NULL) {
        return -1;
    }
    reader->face = (LoopPortObject *)Py_NewRef((PyObject *)face);
    cx_store_relaxed(&port->watched, 1);
    PyObject *added =
        PyObject_CallMethod(loop, "add_reader", "iO", port->event_fd, (PyObject *)reader);
    Py_DECREF((PyObject *)reader);
    Py_XDECREF(added);
    return added == NULL ? -1 : 0;
#else
    (void)face;
    (void)loop;
    (void)native;
    PyErr_SetString(PyExc_NotImplementedError,
                    "threads without the interpreter can wake event loops on Linux only");
    return -1;
#endif
}

static void
loopport_dealloc(LoopPortObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject *error = cxb_error_set_aside();
    PyObject_GC_UnTrack(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    if (self->port->event_fd >= 0) {
        abandon(self->port); /* what was written there after the loop had let go of its reader */
    }
    PyObject *weak = NULL;
    if (self->key != NULL && self->state->ports != NULL &&
        cxb_dict_get(self->state->ports, self->key, &weak) > 0) {
        PyObject *other = cxb_weakref_get(weak);
        Py_DECREF(weak);
        if (other == NULL && PyDict_DelItem(self->state->ports, self->key) < 0) {
            PyErr_Clear();
        }
        Py_XDECREF(other);
    }
    Py_CLEAR(self->key);
    cx_port_unref(self->port);
    cxb_error_put_back(error);
    type->tp_free(self);
    Py_DECREF(type);
}

static int
loopport_traverse(LoopPortObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static PyMemberDef loopport_members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(LoopPortObject, weakrefs), Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot loopport_slots[] = {
    {Py_tp_dealloc, loopport_dealloc},
    {Py_tp_traverse, loopport_traverse},
    {Py_tp_members, loopport_members},
    {0, NULL},
};

PyType_Spec cxb_loopport_spec = {
    .name = "concx._core.LoopPort",
    .basicsize = sizeof(LoopPortObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = loopport_slots,
};

// SPDX-License-Identifier: MIT
#include "binding/module.h"

#include "binding/block.h"
#include "binding/special.h"
#include "core/port.h"
#include "core/rcu.h"
#include "core/workpieces.h"

/* One entry of the type table: where the type is kept and what it is made from. */
struct type_entry {
    PyType_Spec *spec;
    size_t offset; /* in cxb_state */
    bool is_public;
};

static struct type_entry type_table[] = {
#define ENTRY(name, is_public)                                                                     \
    {&cxb_##name##_spec, offsetof(struct cxb_state, name##_type), is_public}
    ENTRY(special, false),    ENTRY(boundspecial, false), ENTRY(await, false),
    ENTRY(loopport, false),   ENTRY(token, false),        ENTRY(reader, false),
    ENTRY(consumer, false),   ENTRY(queuebase, true),     ENTRY(simplequeue, true),
    ENTRY(ringqueue, true),   ENTRY(spscqueue, true),     ENTRY(stack, true),
    ENTRY(ringiter, false),   ENTRY(futurebase, true),    ENTRY(link, false),
    ENTRY(countdown, true),   ENTRY(taskqueue, true),     ENTRY(executorbase, true),
    ENTRY(nativerange, true), ENTRY(atomicint, true),     ENTRY(atomicfloat, true),
    ENTRY(atomicflag, true),  ENTRY(atomicref, true),     ENTRY(cache, true),
    ENTRY(cacheiter, false),  ENTRY(counter, true),       ENTRY(segment, true),
    ENTRY(block, true),       ENTRY(mplock, true),        ENTRY(mpevent, true),
    ENTRY(mpline, true),      ENTRY(mpqueue, true),       ENTRY(mpwatch, false),
    ENTRY(map, true),         ENTRY(mapset, true),        ENTRY(mapiter, false),
    ENTRY(missing, false),    ENTRY(lrucache, true),      ENTRY(lead, false),
    ENTRY(flight, false),     ENTRY(trip, false),         ENTRY(singleflight, true),
    ENTRY(done, false),       ENTRY(callkey, false),      ENTRY(entry, true),
    ENTRY(cached, true),      ENTRY(prochub, true),       ENTRY(worklink, true),
    ENTRY(procworker, true),  ENTRY(procexecutor, true),
#undef ENTRY
};

PyObject *
cxb_import_once(PyObject **slot, const char *module, const char *attribute)
{
    PyObject *known = cx_load_acquire(slot);
    if (known == NULL) {
        PyObject *from = PyImport_ImportModule(module);
        PyObject *found = from == NULL        ? NULL
                          : attribute == NULL ? Py_NewRef(from)
                                              : PyObject_GetAttrString(from, attribute);
        Py_XDECREF(from);
        /* Two threads may get here at once; the first one's stays. */
        if (found != NULL && cx_cas_acq_rel(slot, &known, found)) {
            known = found;
        }
        else {
            Py_XDECREF(found);
        }
    }
    return known;
}

struct cxb_state *
cxb_state_of_type(PyTypeObject *type)
{
    PyObject *module = PyType_GetModuleByDef(type, &cxb_module_def);
    return module == NULL ? NULL : cxb_state_of_module(module);
}

static PyObject *
build_info(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
#if defined(CX_TSAN)
    const char *sanitizer = "thread";
#elif defined(__SANITIZE_ADDRESS__)
    const char *sanitizer = "address";
#else
    const char *sanitizer = NULL;
#endif
#if defined(CX_URCU_VERSION)
    const char *urcu = CX_URCU_VERSION;
#else
    const char *urcu = NULL;
#endif
#if defined(NDEBUG)
    PyObject *debug = Py_False;
#else
    PyObject *debug = Py_True;
#endif
    return Py_BuildValue("{s:s, s:O, s:O, s:z, s:O, s:z}", "compiler", __VERSION__, "gil",
                         CX_WITH_GIL ? Py_True : Py_False, "futex", CX_FUTEX ? Py_True : Py_False,
                         "urcu", urcu, "debug", debug, "sanitizer", sanitizer);
}

int
cxb_add_methods(PyTypeObject *type, PyMethodDef *table, const char *const *without)
{
    for (PyMethodDef *def = table; def->ml_name != NULL; def++) {
        bool left_out = false;
        for (const char *const *name = without; name != NULL && *name != NULL; name++) {
            left_out = left_out || strcmp(*name, def->ml_name) == 0;
        }
        PyObject *method = left_out ? NULL : PyDescr_NewMethod(type, def);
        if (!left_out && (method == NULL ||
                          PyObject_SetAttrString((PyObject *)type, def->ml_name, method) < 0)) {
            Py_XDECREF(method);
            return -1;
        }
        Py_XDECREF(method);
    }
    return 0;
}

/* bind_methods(cls): the public methods as cls's own, because CPython specialises a call only where
 * the method is defined on the object's own type. */
static PyObject *
bind_methods(PyObject *module, PyObject *cls)
{
    struct cxb_state *state = cxb_state_of_module(module);
    const struct {
        PyTypeObject *base;
        PyMethodDef *methods;
    } families[] = {{state->queuebase_type, cxb_queue_methods},
                    {state->futurebase_type, cxb_future_methods},
                    {state->executorbase_type, cxb_executor_methods},
                    {state->procexecutor_type, cxb_procexecutor_methods},
                    {state->mplock_type, cxb_mplock_methods},
                    {state->mpevent_type, cxb_mpevent_methods},
                    {state->mpqueue_type, cxb_mpqueue_methods},
                    {state->map_type, cxb_map_methods},
                    {state->map_type, cxb_map_compound},
                    {state->mapset_type, cxb_set_methods}};
    bool is_known = false;
    for (size_t i = 0; PyType_Check(cls) && i < Py_ARRAY_LENGTH(families); i++) {
        if (PyType_IsSubtype((PyTypeObject *)cls, families[i].base)) {
            is_known = true;
            if (cxb_add_methods((PyTypeObject *)cls, families[i].methods, NULL) < 0 ||
                cxb_add_specials(state, (PyTypeObject *)cls, families[i].methods) < 0) {
                return NULL;
            }
        }
    }
    if (!is_known) {
        return PyErr_Format(
            PyExc_TypeError,
            "bind_methods() takes a subclass of QueueBase, FutureBase, ExecutorBase, "
            "ProcessExecutorBase, "
            "MapBase, SetBase, LockBase, EventBase or MpQueueBase, got %R",
            cls);
    }
    return Py_NewRef(cls);
}

static PyMethodDef module_methods[] = {
    {"bind_methods", bind_methods, METH_O,
     PyDoc_STR("bind_methods(cls, /)\n--\n\nPut the native methods of its family on a final "
               "class.")},
    {"build_info", build_info, METH_NOARGS,
     PyDoc_STR("build_info()\n--\n\nHow this extension was built, as a dict.")},
    {NULL, NULL, 0, NULL},
};

static int
add_types(PyObject *module, struct cxb_state *state)
{
    for (size_t i = 0; i < Py_ARRAY_LENGTH(type_table); i++) {
        PyObject *type = PyType_FromModuleAndSpec(module, type_table[i].spec, NULL);
        if (type == NULL) {
            return -1;
        }
        *(PyTypeObject **)((char *)state + type_table[i].offset) = (PyTypeObject *)type;
        if (type_table[i].is_public && PyModule_AddType(module, (PyTypeObject *)type) < 0) {
            return -1;
        }
    }
    return 0;
}

/* The exceptions are the standard library's own; ShutDown came with 3.13. */
static int
add_exceptions(PyObject *module, struct cxb_state *state)
{
    PyObject *std = PyImport_ImportModule("queue");
    if (std == NULL) {
        return -1;
    }
    state->Empty = PyObject_GetAttrString(std, "Empty");
    state->Full = PyObject_GetAttrString(std, "Full");
    state->std_queue = PyObject_GetAttrString(std, "Queue");
    state->std_lifo = PyObject_GetAttrString(std, "LifoQueue");
    state->std_priority = PyObject_GetAttrString(std, "PriorityQueue");
    state->ShutDown = PyObject_GetAttrString(std, "ShutDown");
    Py_DECREF(std);
    if (state->ShutDown == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        state->ShutDown = PyErr_NewExceptionWithDoc(
            "concx.queue.ShutDown", "Raised when put/get with shut-down queue.", NULL, NULL);
    }
    state->OwnerDied = PyErr_NewExceptionWithDoc(
        "concx.multiprocessing.OwnerDied",
        "A process died while it held a lock: what the lock protects may be half done.",
        PyExc_RuntimeError, NULL);
    state->SegmentDamaged = PyErr_NewExceptionWithDoc(
        "concx.shm.SegmentDamaged", "Shared memory holds what concx has not written.",
        PyExc_RuntimeError, NULL);
    if (state->OwnerDied == NULL || state->SegmentDamaged == NULL || state->Empty == NULL ||
        state->Full == NULL || state->ShutDown == NULL || state->std_queue == NULL ||
        state->std_lifo == NULL || state->std_priority == NULL) {
        return -1;
    }
    return PyModule_AddObjectRef(module, "Empty", state->Empty) < 0 ||
                   PyModule_AddObjectRef(module, "Full", state->Full) < 0 ||
                   PyModule_AddObjectRef(module, "ShutDown", state->ShutDown) < 0 ||
                   PyModule_AddObjectRef(module, "OwnerDied", state->OwnerDied) < 0 ||
                   PyModule_AddObjectRef(module, "SegmentDamaged", state->SegmentDamaged) < 0 ||
                   PyModule_AddIntConstant(module, "PIECE", (long)CX_PIECE) < 0
               ? -1
               : 0;
}

static int
module_exec(PyObject *module)
{
    struct cxb_state *state = cxb_state_of_module(module);
    cxb_block_install();
    cx_rcu_install();
    if (cxb_names_init(&state->names) < 0) {
        return -1;
    }
    state->port_home = cx_port_home_new();
    if (state->port_home == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    state->ports = PyDict_New();
    if (state->ports == NULL || add_exceptions(module, state) < 0 || add_types(module, state) < 0 ||
        cxb_queue_exec(module) < 0 ||
        cxb_add_methods(state->futurebase_type, cxb_future_methods, NULL) < 0 ||
        cxb_add_methods(state->executorbase_type, cxb_executor_methods, NULL) < 0 ||
        cxb_add_methods(state->procexecutor_type, cxb_procexecutor_methods, NULL) < 0 ||
        cxb_add_methods(state->prochub_type, cxb_hub_job_methods, NULL) < 0 ||
        cxb_add_methods(state->mplock_type, cxb_mplock_methods, NULL) < 0 ||
        cxb_add_methods(state->mpevent_type, cxb_mpevent_methods, NULL) < 0 ||
        cxb_add_methods(state->mpqueue_type, cxb_mpqueue_methods, NULL) < 0 ||
        cxb_add_methods(state->mpqueue_type, cxb_mpqueue_async_methods, NULL) < 0 ||
        cxb_map_exec(module) < 0 || cxb_capi_exec(module) < 0) {
        return -1;
    }
    return 0;
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    struct cxb_state *state = cxb_state_of_module(module);
    for (size_t i = 0; i < Py_ARRAY_LENGTH(type_table); i++) {
        Py_VISIT(*(PyObject **)((char *)state + type_table[i].offset));
    }
    Py_VISIT(state->Empty);
    Py_VISIT(state->Full);
    Py_VISIT(state->ShutDown);
    Py_VISIT(state->OwnerDied);
    Py_VISIT(state->SegmentDamaged);
    Py_VISIT(state->std_queue);
    Py_VISIT(state->std_lifo);
    Py_VISIT(state->std_priority);
    Py_VISIT(state->queue_compat);
    Py_VISIT(state->queue_stats);
    Py_VISIT(state->running_loop);
    Py_VISIT(state->current_task);
    Py_VISIT(state->CancelledError);
    Py_VISIT(state->InvalidStateError);
    Py_VISIT(state->asyncio_cancelled);
    Py_VISIT(state->asyncio_invalid);
    Py_VISIT(state->future_condition);
    Py_VISIT(state->log_callback);
    Py_VISIT(state->log_state);
    Py_VISIT(state->cache_stats);
    Py_VISIT(state->cache_keys);
    Py_VISIT(state->cache_values);
    Py_VISIT(state->cache_items);
    Py_VISIT(state->cache_same);
    Py_VISIT(state->cache_watch);
    Py_VISIT(state->pickle_dumps);
    Py_VISIT(state->pickle_loads);
    Py_VISIT(state->forking_dumps);
    Py_VISIT(state->payload_dump);
    Py_VISIT(state->cache_info);
    Py_VISIT(state->ports);
    Py_VISIT(state->missing);
    Py_VISIT(state->flight_context);
    Py_VISIT(state->flight_result);
    Py_VISIT(state->flight_do);
    Py_VISIT(state->flight_stats);
    Py_VISIT(state->flight_copied);
    Py_VISIT(state->cache_load);
    return 0;
}

static int
module_clear(PyObject *module)
{
    struct cxb_state *state = cxb_state_of_module(module);
    for (size_t i = 0; i < Py_ARRAY_LENGTH(type_table); i++) {
        Py_CLEAR(*(PyObject **)((char *)state + type_table[i].offset));
    }
    Py_CLEAR(state->Empty);
    Py_CLEAR(state->Full);
    Py_CLEAR(state->ShutDown);
    Py_CLEAR(state->OwnerDied);
    Py_CLEAR(state->SegmentDamaged);
    Py_CLEAR(state->std_queue);
    Py_CLEAR(state->std_lifo);
    Py_CLEAR(state->std_priority);
    Py_CLEAR(state->queue_compat);
    Py_CLEAR(state->queue_stats);
    Py_CLEAR(state->running_loop);
    Py_CLEAR(state->current_task);
    Py_CLEAR(state->CancelledError);
    Py_CLEAR(state->InvalidStateError);
    Py_CLEAR(state->asyncio_cancelled);
    Py_CLEAR(state->asyncio_invalid);
    Py_CLEAR(state->future_condition);
    Py_CLEAR(state->log_callback);
    Py_CLEAR(state->log_state);
    Py_CLEAR(state->cache_stats);
    Py_CLEAR(state->cache_keys);
    Py_CLEAR(state->cache_values);
    Py_CLEAR(state->cache_items);
    Py_CLEAR(state->cache_same);
    Py_CLEAR(state->cache_watch);
    Py_CLEAR(state->pickle_dumps);
    Py_CLEAR(state->pickle_loads);
    Py_CLEAR(state->forking_dumps);
    Py_CLEAR(state->payload_dump);
    Py_CLEAR(state->cache_info);
    Py_CLEAR(state->ports);
    Py_CLEAR(state->missing);
    Py_CLEAR(state->flight_context);
    Py_CLEAR(state->flight_result);
    Py_CLEAR(state->flight_do);
    Py_CLEAR(state->flight_stats);
    Py_CLEAR(state->flight_copied);
    Py_CLEAR(state->cache_load);
    return 0;
}

static void
module_free(void *module)
{
    struct cxb_state *state = cxb_state_of_module((PyObject *)module);
    (void)module_clear((PyObject *)module);
    cxb_names_fini(&state->names);
    if (state->port_home != NULL) {
        cx_port_home_close(state->port_home);
    }
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

struct PyModuleDef cxb_module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "concx._core",
    .m_doc = PyDoc_STR("The C core of concx; use it through concx.queue and its siblings."),
    .m_size = sizeof(struct cxb_state),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__core(void);

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&cxb_module_def);
}

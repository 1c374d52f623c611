// SPDX-License-Identifier: MIT
/* binding/module.h - the state of one interpreter's concx._core, and how its types come to be.
 *
 * There is no other static Python object: types are heap types, made by the exec slot from the
 * table in module.c.  An object finds the state through its own `state` field, which it got in
 * tp_new (cxb_state_of_type); its type keeps the module alive.
 */
#ifndef CX_BINDING_MODULE_H
#define CX_BINDING_MODULE_H

#include "binding/names.h"
#include "core/atomic.h"
#include "core/lock.h"

/* Who waits for which call: binding/flight.h. */
#define CXB_FLIGHT_LISTS 64
struct cxb_flight_wait;
struct cxb_flight_waits {
    struct cx_guard guard;
    uint32_t generation;
    uint64_t searches;
    struct cxb_flight_wait *inside, *outside[CXB_FLIGHT_LISTS];
};

struct cxb_state {
    struct cxb_names names; /* they last until the module goes */
    struct cx_port_home *port_home;
    /* types */
    PyTypeObject *await_type, *loopport_type, *token_type;
    PyTypeObject *reader_type;
    PyTypeObject *queuebase_type;
    PyTypeObject *simplequeue_type;
    PyTypeObject *consumer_type;
    PyTypeObject *ringqueue_type;
    PyTypeObject *spscqueue_type;
    PyTypeObject *stack_type;
    PyTypeObject *ringiter_type;
    PyTypeObject *futurebase_type;
    PyTypeObject *link_type;
    PyTypeObject *countdown_type;
    PyTypeObject *taskqueue_type;
    PyTypeObject *executorbase_type;
    PyTypeObject *nativerange_type;
    PyTypeObject *atomicint_type;
    PyTypeObject *atomicfloat_type;
    PyTypeObject *atomicflag_type;
    PyTypeObject *atomicref_type;
    PyTypeObject *counter_type;
    PyTypeObject *cache_type;
    PyTypeObject *cacheiter_type;
    PyTypeObject *segment_type;
    PyTypeObject *block_type;
    PyTypeObject *special_type, *boundspecial_type;
    PyTypeObject *mplock_type, *mpevent_type;
    PyTypeObject *mpline_type;
    PyTypeObject *mpqueue_type;
    PyTypeObject *mpwatch_type;
    PyTypeObject *map_type;
    PyTypeObject *mapset_type;
    PyTypeObject *mapiter_type;
    PyTypeObject *missing_type;
    PyTypeObject *lrucache_type;
    PyTypeObject *lead_type;
    PyTypeObject *flight_type;
    PyTypeObject *trip_type;
    PyTypeObject *singleflight_type;
    PyTypeObject *done_type;
    PyTypeObject *callkey_type;
    PyTypeObject *entry_type;
    PyTypeObject *cached_type;
    PyTypeObject *prochub_type;
    PyTypeObject *worklink_type;
    PyTypeObject *procworker_type;
    PyTypeObject *procexecutor_type;
    /* from the standard library */
    PyObject *Empty, *Full, *ShutDown;
    PyObject *OwnerDied, *SegmentDamaged;          /* made here */
    PyObject *std_queue, *std_lifo, *std_priority; /* queue.Queue and its subclasses */
    PyObject *missing;                             /* concx.map.MISSING */
    struct cxb_flight_waits flights;
    /* filled on first use */
    PyObject *queue_compat;                        /* module concx._queue_compat */
    PyObject *queue_stats;                         /* concx.queue.QueueStats */
    PyObject *running_loop;                        /* asyncio.events._get_running_loop */
    PyObject *current_task;                        /* asyncio.current_task */
    PyObject *CancelledError, *InvalidStateError;  /* of concurrent.futures */
    PyObject *asyncio_cancelled, *asyncio_invalid; /* asyncio's twins */
    PyObject *future_condition;                    /* concx._futures.Condition */
    PyObject *log_callback, *log_state;            /* concx._futures.log_... */
    PyObject *cache_stats;                         /* concx.cache.CacheStats */
    PyObject *cache_keys, *cache_values, *cache_items, *cache_same; /* its helpers */
    PyObject *cache_watch;                                          /* concx._expiry.watch */
    PyObject *pickle_dumps, *pickle_loads;                          /* of pickle */
    PyObject *forking_dumps;                                        /* concx._shm.dumps */
    PyObject *payload_dump;                                         /* concx._pickled.dump */
    PyObject *cache_info;                                           /* functools._CacheInfo */
    PyObject *flight_context;            /* a ContextVar: the innermost lead of a context */
    PyObject *flight_result, *flight_do; /* concx._load.Result, its do_async */
    PyObject *flight_stats;              /* concx._load.SingleFlightStats */
    PyObject *flight_copied;             /* concx._load.copied */
    PyObject *cache_load;                /* concx._load.get_or_load_async */
    PyObject *ports;                     /* id of a loop -> weak reference to its LoopPort */
};

extern struct PyModuleDef cxb_module_def;

/* NULL with TypeError if `type` does not come from concx._core. */
struct cxb_state *cxb_state_of_type(PyTypeObject *type);

static inline struct cxb_state *
cxb_state_of_module(PyObject *module)
{
    return (struct cxb_state *)PyModule_GetState(module);
}

/* Fills *slot with the attribute of a module once; a borrowed reference, or NULL with an error. */
PyObject *cxb_import_once(PyObject **slot, const char *module, const char *attribute);

extern PyType_Spec cxb_await_spec, cxb_loopport_spec, cxb_token_spec, cxb_reader_spec,
    cxb_queuebase_spec, cxb_simplequeue_spec, cxb_consumer_spec, cxb_ringqueue_spec,
    cxb_spscqueue_spec, cxb_stack_spec, cxb_ringiter_spec, cxb_futurebase_spec, cxb_link_spec,
    cxb_countdown_spec, cxb_taskqueue_spec, cxb_executorbase_spec, cxb_nativerange_spec,
    cxb_atomicint_spec, cxb_atomicfloat_spec, cxb_atomicflag_spec, cxb_atomicref_spec,
    cxb_counter_spec, cxb_cache_spec, cxb_cacheiter_spec, cxb_lrucache_spec, cxb_segment_spec,
    cxb_block_spec, cxb_mplock_spec, cxb_mpevent_spec, cxb_mpline_spec, cxb_mpqueue_spec,
    cxb_mpwatch_spec, cxb_map_spec, cxb_mapset_spec, cxb_mapiter_spec, cxb_missing_spec,
    cxb_lead_spec, cxb_flight_spec, cxb_trip_spec, cxb_singleflight_spec, cxb_done_spec,
    cxb_callkey_spec, cxb_entry_spec, cxb_cached_spec, cxb_prochub_spec, cxb_worklink_spec,
    cxb_procworker_spec, cxb_procexecutor_spec, cxb_special_spec, cxb_boundspecial_spec;

/* Puts the methods of a table on a type as its own, but for those named in `without`: 0 or -1. */
int cxb_add_methods(PyTypeObject *type, PyMethodDef *table, const char *const *without);

/* What bind_methods puts on the final classes of a family. */
extern PyMethodDef cxb_queue_methods[], cxb_future_methods[], cxb_executor_methods[],
    cxb_mplock_methods[], cxb_mpevent_methods[], cxb_mpqueue_methods[], cxb_mpqueue_async_methods[],
    cxb_map_methods[], cxb_map_compound[], cxb_set_methods[], cxb_procexecutor_methods[],
    cxb_hub_job_methods[];

/* Adds the methods of the queue family; binding/queuemethods.c. */
int cxb_queue_exec(PyObject *module);
/* Adds the methods of maps and sets, and MISSING; binding/missing.c. */
int cxb_map_exec(PyObject *module);
/* Adds the capsule; binding/capi.c. */
int cxb_capi_exec(PyObject *module);
/* Hooks of the blocking layer; binding/block.c. */
void cxb_block_install(void);

#endif

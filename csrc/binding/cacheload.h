// SPDX-License-Identifier: MIT
/* binding/cacheload.h - a value that is made where it is missed: one load per key, however many ask.
 *
 * Loads are flights (binding/flight.h) of the cache's own table.  What removes a key while it is loaded
 * forgets the flight: who waits for it gets what it returns, and nothing of it is kept.
 */
#ifndef CX_BINDING_CACHELOAD_H
#define CX_BINDING_CACHELOAD_H

#include "binding/cacheread.h"
#include "binding/flight.h"

/* The table; borrowed, NULL with an exception. */
static inline SingleFlightObject *
cxb_cache_flights(CacheObject *self)
{
    return cxb_flights_of(self->state, &self->flights);
}

/* Counts a load that began then. */
void cxb_cache_count_load(CacheObject *self, int64_t began, bool failed);

/* Keeps what was loaded unless a value has been stored meanwhile, or the flight was forgotten:
 * 0, or -1 with an exception.  `flight` NULL: nothing is kept. */
int cxb_cache_keep(CacheObject *self, PyObject *key, PyObject *value, FlightObject *flight);

/* What is being loaded is not to be kept: 0, or -1 with an exception; binding/cachestore.c. */
int cxb_cache_forget_loads(CacheObject *self);

PyObject *cxb_cache_get_or_load(CacheObject *self, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *kwnames);
PyObject *cxb_cache_get_or_load_async(CacheObject *self, PyObject *const *args, Py_ssize_t nargs,
                                      PyObject *kwnames);

/* For concx._load. */
PyObject *cxb_cache_private_keep(CacheObject *self, PyObject *const *args, Py_ssize_t nargs);
PyObject *cxb_cache_private_loaded(CacheObject *self, PyObject *const *args, Py_ssize_t nargs);
PyObject *cxb_cache_private_was_miss(CacheObject *self, PyObject *unused);
PyObject *cxb_cache_private_flights(CacheObject *self, void *unused);

#endif

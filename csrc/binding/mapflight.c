// SPDX-License-Identifier: MIT
/* compute_if_absent: one call of a factory, however many threads ask (binding/flight.h). */
#include "binding/flight.h"
#include "binding/map.h"

struct computing {
    struct cxb_loading loading; /* first */
    MapObject *map;
    PyObject *factory;
};

static PyObject *
load(struct cxb_loading *loading, FlightObject *flight)
{
    const struct computing *how = (struct computing *)loading;
    PyObject *there = NULL, *key = loading->key;
    if (flight == NULL) {
        return PyErr_Format(
            PyExc_RuntimeError,
            "the factory of %R waits for itself: it asks for a key whose value it makes", key);
    }
    /* It may have been stored between the look for it and the flight. */
    int found = cxb_map_find(how->map, key, &there);
    PyObject *value = found == 0 ? PyObject_CallNoArgs(how->factory) : NULL;
    if (value != NULL) {
        int done = cxb_map_write(how->map, key, CXB_NOTHING, NULL, value, &there);
        if (done != 0) { /* 0: somebody has set one meanwhile */
            there = done < 0 ? NULL : Py_NewRef(value);
        }
        Py_DECREF(value);
    }
    return there;
}

PyObject *
cxb_map_compute_if_absent(MapObject *self, PyObject *key, PyObject *factory)
{
    SingleFlightObject *flights = cxb_flights_of(self->state, &self->flights);
    struct computing how = {.loading = {.load = load, .key = key}, .map = self, .factory = factory};
    return flights == NULL ? NULL : cxb_flights_do(flights, &how.loading);
}

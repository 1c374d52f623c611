// SPDX-License-Identifier: MIT
#include "binding/cache.h"

#include <math.h>
#include <time.h>

#define MOST (INT64_C(1) << 61) /* ns, 73 years: sums of two stay below 2**62 */

static int64_t
to_ns(double seconds)
{
    double ns = seconds * 1e9;
    return ns >= (double)MOST ? MOST : ns <= -(double)MOST ? -MOST : (int64_t)ns;
}

/* A number or a timedelta as seconds: 0, or -1 with an exception that says what it was for. */
static int
to_seconds(PyObject *object, const char *what, double *seconds)
{
    PyNumberMethods *number = Py_TYPE(object)->tp_as_number;
    PyObject *plain = NULL;
    if (number != NULL && (number->nb_float != NULL || number->nb_index != NULL)) {
        plain = Py_NewRef(object);
    }
    else {
        plain = PyObject_CallMethod(object, "total_seconds", NULL);
    }
    *seconds = plain == NULL ? -1.0 : PyFloat_AsDouble(plain);
    Py_XDECREF(plain);
    if (*seconds != -1.0 || !PyErr_Occurred()) {
        return 0;
    }
    if (plain == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Format(PyExc_TypeError, "%s must be a number of seconds or a timedelta, got %R", what,
                     object);
    }
    return -1;
}

int
cxb_cache_span(PyObject *object, const char *what, int64_t otherwise, int64_t *span)
{
    double seconds;
    *span = otherwise;
    if (object == NULL || object == Py_None) {
        return 0;
    }
    if (to_seconds(object, what, &seconds) < 0) {
        return -1;
    }
    if (!(seconds > 0)) {
        PyErr_Format(PyExc_ValueError, "%s must be more than 0 seconds, got %R", what, object);
        return -1;
    }
    *span = isinf(seconds) ? 0 : to_ns(seconds);
    *span = *span == 0 && !isinf(seconds) ? 1 : *span;
    return 0;
}

void
cxb_cache_starts_timing(CacheObject *self, int64_t span)
{
    if (span > 0 && span < CX_SECOND) {
        cx_store_relaxed(&self->is_fine, 1);
    }
    if (span > 0) {
        cx_store_relaxed(&self->is_timed, 1);
    }
}

/* A number from 0 to 1 for each call, by splitmix64. */
static double
random_share(CacheObject *self)
{
    uint64_t z = cx_fetch_add_relaxed(&self->random, UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

int64_t
cxb_cache_deadline(CacheObject *self, int64_t now, int64_t ttl)
{
    if (ttl == 0) {
        return CX_FOREVER;
    }
    if (self->jitter > 0) {
        double share = 1 + self->jitter * (2 * random_share(self) - 1);
        ttl = to_ns((double)ttl * share / 1e9);
        ttl = ttl > 0 ? ttl : 1;
    }
    return now + ttl;
}

int
cxb_cache_read_timer(CacheObject *self, int64_t *now)
{
    if (self->timer != NULL) {
        PyObject *seconds = PyObject_CallNoArgs(self->timer);
        double value = seconds == NULL ? -1.0 : PyFloat_AsDouble(seconds);
        Py_XDECREF(seconds);
        *now = isnan(value) ? 0 : to_ns(value);
        return value == -1.0 && PyErr_Occurred() ? -1 : 0;
    }
#ifdef CLOCK_MONOTONIC_COARSE
    /* Some milliseconds behind, and a quarter of the price. */
    if (!cx_load_relaxed(&self->is_fine)) {
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
        *now = (int64_t)ts.tv_sec * CX_SECOND + ts.tv_nsec;
        return 0;
    }
#endif
    *now = cx_now();
    return 0;
}

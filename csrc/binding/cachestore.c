// SPDX-License-Identifier: MIT
#include "binding/cacheload.h"
#include "binding/cacheread.h"

int
cxb_cache_enter_fresh(CacheObject *self, struct cxb_probe *probe, int64_t now, uint32_t *at,
                      struct cx_dead *dead)
{
    int status = cxb_cache_enter(self, probe, now, at);
    if (status == CX_TIMEOUT) {
        cx_cache_remove(&self->core, *at, CX_EXPIRED, dead);
        status = CX_EMPTY;
    }
    return status;
}

/* --- what has left ------------------------------------------------------------------------------- */

static void
tell(CacheObject *self, PyObject *key, PyObject *value, enum cx_cause cause)
{
    const struct cxb_names *names = &self->state->names;
    PyObject *const causes[CX_CAUSES] = {
        [CX_SIZE] = names->size,         [CX_EXPIRED] = names->expired,
        [CX_REPLACED] = names->replaced, [CX_EXPLICIT] = names->explicit,
        [CX_CLEARED] = names->cleared,
    };
    PyObject *args[] = {key, value, causes[cause]};
    PyObject *result = PyObject_Vectorcall(self->on_evict, args, 3, NULL);
    if (result == NULL) {
        PyErr_WriteUnraisable(self->on_evict);
    }
    Py_XDECREF(result);
}

void
cxb_cache_bury(CacheObject *self, struct cx_dead *dead, PyObject *key, PyObject *value)
{
    PyObject *error = dead->count > 0 && self->on_evict != NULL ? cxb_error_set_aside() : NULL;
    for (unsigned i = 0; i < dead->count; i++) {
        PyObject *old_key = dead->item[i].key, *old_value = dead->item[i].value;
        bool left = old_key != NULL || old_value != value; /* not: the same was put again */
        if (self->on_evict != NULL && left) {
            tell(self, old_key != NULL ? old_key : key, old_value, dead->item[i].cause);
        }
        Py_XDECREF(old_key);
        Py_DECREF(old_value);
    }
    dead->count = 0;
    if (error != NULL) {
        cxb_error_put_back(error);
    }
    if (CX_UNLIKELY(cx_cache_is_due(&self->core))) {
        cxb_cache_settle(self);
    }
}

/* --- one entry ----------------------------------------------------------------------------------- */

/* Before anything is removed: of one key, or, NULL, of all.  0, or -1 with an exception. */
static int
forget_loads(CacheObject *self, PyObject *key)
{
    SingleFlightObject *flights = cx_load_acquire((SingleFlightObject **)&self->flights);
    return flights == NULL                        ? 0
           : key == NULL                          ? cxb_flights_forget_all(flights)
           : cxb_flights_forget(flights, key) < 0 ? -1
                                                  : 0;
}

int
cxb_cache_forget_loads(CacheObject *self)
{
    return forget_loads(self, NULL);
}

PyObject *
cxb_cache_take_out(CacheObject *self, PyObject *key)
{
    struct cxb_probe probe;
    struct cx_dead dead;
    dead.count = 0;
    PyObject *value = NULL;
    int64_t now;
    uint32_t at;
    if (forget_loads(self, key) < 0 || cxb_probe_init(&probe, key) < 0 ||
        cxb_cache_now(self, &now) < 0) {
        return NULL;
    }
    int status = cxb_cache_enter_fresh(self, &probe, now, &at, &dead);
    if (status == CX_OK) {
        value = Py_NewRef((PyObject *)self->core.entries.at[at].value);
        cx_cache_remove(&self->core, at, CX_EXPLICIT, &dead);
    }
    if (status >= 0) {
        cx_cache_release(&self->core);
    }
    cxb_cache_bury(self, &dead, NULL, NULL);
    cxb_probe_fini(&probe);
    return value;
}

/* --- storing ------------------------------------------------------------------------------------- */

static int
weigh(CacheObject *self, const struct cxb_store *how, struct cx_put *put)
{
    put->weight = 1;
    if (how->weight != NULL && how->weight != Py_None) {
        return cxb_int64(how->weight, 0, "weight", &put->weight);
    }
    if (self->weigher == NULL) {
        return 0;
    }
    PyObject *args[] = {put->key, put->value};
    PyObject *weight = PyObject_Vectorcall(self->weigher, args, 2, NULL);
    int done = weight == NULL
                   ? -1
                   : cxb_int64(weight, 0, "what weigher(key, value) returns", &put->weight);
    Py_XDECREF(weight);
    return done;
}

/* What depends on the caller's code, before the exclusion. */
static int
prepare(CacheObject *self, const struct cxb_store *how, struct cx_put *put)
{
    int64_t ttl = self->ttl;
    put->span = self->tti;
    if (how->ttl == NULL && how->tti == NULL && how->weight == NULL && self->weigher == NULL &&
        ttl == 0 && put->span == 0) {
        put->weight = 1;
        put->deadline = CX_FOREVER;
        return cxb_cache_now(self, &put->now);
    }
    if (cxb_cache_span(how->ttl, "ttl", self->ttl, &ttl) < 0 ||
        cxb_cache_span(how->tti, "tti", self->tti, &put->span) < 0 || weigh(self, how, put) < 0) {
        return -1;
    }
    cxb_cache_starts_timing(self, ttl);
    cxb_cache_starts_timing(self, put->span);
    if (cxb_cache_now(self, &put->now) < 0) {
        return -1;
    }
    put->deadline = cxb_cache_deadline(self, put->now, ttl);
    return 0;
}

int
cxb_cache_get_room(CacheObject *self, struct cx_room *room)
{
    if (!cx_room_allocate(self->core.policy.kind, room) || !cx_cache_take(&self->core)) {
        PyErr_NoMemory();
        return -1;
    }
    cx_cache_adopt(&self->core, room);
    cx_cache_release(&self->core);
    cx_room_free(room);
    return 0;
}

/* Whether what is there is what the caller wants to see there; if not, what it is. */
static bool
is_wanted(CacheObject *self, struct cxb_store *how, int status, uint32_t at, int64_t now)
{
    PyObject *present = status == CX_OK ? self->core.entries.at[at].value : NULL;
    if (how->when == CXB_IF_ABSENT && present != NULL) {
        how->found = Py_NewRef(present);
        cx_cache_hit(&self->core, at, now);
    }
    if (how->unless != NULL && cx_load_acquire(how->unless)) {
        return false;
    }
    return how->when == CXB_ALWAYS || (how->when == CXB_IF_ABSENT && present == NULL) ||
           (how->when == CXB_IF_SAME && present == how->expected);
}

/* One attempt, in one exclusion: CX_AGAIN, or how it ended, or -1. */
static int
attempt(CacheObject *self, struct cxb_probe *probe, struct cx_put *put, struct cxb_store *how,
        const struct cxb_tagging *tagging, bool *was_there)
{
    struct cx_dead dead;
    dead.count = 0;
    struct cx_room room;
    struct cx_tags_room tags_room;
    uint32_t at;
    int status = cxb_cache_enter_fresh(self, probe, put->now, &at, &dead);
    if (status < 0) {
        return -1;
    }
    struct cx_cache *core = &self->core;
    *was_there = status == CX_OK;
    bool wanted = is_wanted(self, how, status, at, put->now);
    bool planned = wanted && !cx_cache_has_room(core, put) && cx_cache_plan(core, put, &room);
    bool tags_planned =
        wanted && !planned && tagging->count > 0 &&
        cx_tags_plan(core->tags, tagging->count, core->entries.capacity, &tags_room);
    status = !wanted ? CX_BUSY
             : planned || tags_planned
                 ? CX_AGAIN
                 : (int)cx_cache_put(core, *was_there ? at : CX_NONE, put, &dead);
    for (uint32_t i = 0; status == CX_OK && i < tagging->count; i++) {
        cx_tags_attach(core->tags, tagging->tag[i], put->at);
    }
    cx_cache_release(core);
    cxb_cache_bury(self, &dead, put->key, put->value);
    if ((planned && cxb_cache_get_room(self, &room) < 0) ||
        (tags_planned && cxb_cache_get_tags_room(self, &tags_room) < 0)) {
        return -1;
    }
    return status;
}

int
cxb_cache_store(CacheObject *self, PyObject *key, PyObject *value, struct cxb_store *how)
{
    struct cxb_probe probe;
    struct cxb_tagging tagging = {0};
    struct cx_put put = {.key = key, .value = value};
    int status;
    bool was_there = false;
    if (cxb_probe_init(&probe, key) < 0 || prepare(self, how, &put) < 0 ||
        (how->tags != NULL && cxb_cache_hold_tags(self, how->tags, &tagging) < 0)) {
        return -1;
    }
    put.hash = (uint64_t)probe.hash;
    Py_INCREF(key);
    Py_INCREF(value);
    do {
        status = attempt(self, &probe, &put, how, &tagging, &was_there);
    } while (status == CX_AGAIN);
    if (status != CX_OK || was_there) {
        Py_DECREF(key);
    }
    if (status != CX_OK) {
        Py_DECREF(value);
    }
    if (how->tags != NULL) {
        cxb_cache_release_tags(self, &tagging);
    }
    cxb_probe_fini(&probe);
    how->is_refused = status == CX_TOO_BIG;
    return status < 0 ? -1 : status == CX_OK;
}

int
cxb_cache_empty(CacheObject *self, bool told)
{
    struct cx_growth out;
    told = told && self->on_evict != NULL;
    cx_entries_plan_empty(&out);
    if (!cx_growth_allocate(&out)) {
        return -1;
    }
    if (!cx_cache_take(&self->core)) {
        cx_growth_free(&out);
        return -1;
    }
    cx_cache_swap(&self->core, &out);
    cx_cache_release(&self->core);
    const struct cx_entries *full = &out.arrays;
    for (uint32_t at = 0; told && (at = cx_entries_next(full, at)) != CX_NONE; at++) {
        tell(self, full->at[at].key, full->at[at].value, CX_CLEARED);
    }
    if (!cxb_cache_retire(self, &out)) {
        cxb_entries_drop(full);
        cx_growth_free(&out);
    }
    return 0;
}

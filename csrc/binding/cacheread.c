// SPDX-License-Identifier: MIT
/* How a key is looked up, and what becomes of what others may be looking at. */
#include "binding/cacheread.h"

#include <sched.h>

/* In the exclusion. */
static inline PyObject *
find_inside(CacheObject *self, struct cxb_probe *probe, int64_t now, bool is_use)
{
    PyObject *value = NULL;
    uint32_t at;
    int status = cxb_cache_enter(self, probe, now, &at);
    if (CX_LIKELY(status == CX_OK)) {
        value = Py_NewRef((PyObject *)self->core.entries.at[at].value); /* LP */
        if (is_use) {
            cx_cache_hit(&self->core, at, now);
            cx_tally_add(&self->core.tally, CX_HITS);
        }
        cx_cache_release(&self->core);
    }
    else if (status >= 0) {
        struct cx_dead dead;
        dead.count = 0;
        if (status == CX_TIMEOUT) {
            cx_cache_remove(&self->core, at, CX_EXPIRED, &dead);
        }
        if (is_use) {
            cx_tally_add(&self->core.tally, CX_MISSES);
        }
        cx_cache_release(&self->core);
        cxb_cache_bury(self, &dead, NULL, NULL);
    }
    return value;
}

void
cxb_entries_drop(const struct cx_entries *full)
{
    for (uint32_t i = 0; i < full->used; i++) {
        Py_XDECREF((PyObject *)full->at[i].key);
        Py_XDECREF((PyObject *)full->at[i].value);
    }
}

/* Inside, if it can be told. */
static PyObject *
try_inside(CacheObject *self, uint64_t hash, cx_same same, void *probe, int64_t now,
           bool is_counted)
{
    PyObject *value = NULL;
    uint32_t at;
    if (CX_UNLIKELY(!cx_cache_take(&self->core))) {
        return PyErr_NoMemory();
    }
    if (CX_LIKELY(cx_cache_find(&self->core, hash, same, probe, now, &at) == CX_OK)) {
        value = Py_NewRef((PyObject *)self->core.entries.at[at].value); /* LP */
        cx_cache_hit(&self->core, at, now);
        if (!is_counted) {
            cx_tally_add(&self->core.tally, CX_HITS);
        }
    }
    cx_cache_release(&self->core);
    return value;
}

#if CX_WITH_GIL

PyObject *
cxb_cache_try(CacheObject *self, uint64_t hash, cx_same same, void *probe)
{
    int64_t now;
    return cxb_cache_now(self, &now) < 0 ? NULL : try_inside(self, hash, same, probe, now, false);
}

static PyObject *
find(CacheObject *self, PyObject *key, bool is_use)
{
    struct cxb_probe probe;
    int64_t now;
    if (cxb_probe_init(&probe, key) < 0 || cxb_cache_now(self, &now) < 0) {
        return NULL;
    }
    PyObject *value = find_inside(self, &probe, now, is_use);
    cxb_probe_fini(&probe);
    return value;
}

#else

/* A use that could not be noted beside the exclusion. */
static CX_NOINLINE int
tell_inside(CacheObject *self, struct cxb_probe *probe, int64_t now)
{
    uint32_t at;
    cx_cache_begin_notes(&self->core);
    int status = cxb_cache_enter(self, probe, now, &at);
    if (status == CX_OK) {
        cx_cache_hit(&self->core, at, now);
    }
    if (status >= 0) {
        cx_cache_release(&self->core);
    }
    return status < 0 ? -1 : 0;
}

static inline PyObject *
find(CacheObject *self, PyObject *key, bool is_use)
{
    struct cx_cache *core = &self->core;
    struct cxb_probe probe;
    struct cx_seen seen;
    PyObject *value = NULL;
    enum cx_status status;
    bool is_told = true;
    int64_t now;
    if (cxb_probe_init(&probe, key) < 0 || cxb_cache_now(self, &now) < 0) {
        return NULL;
    }
    cx_tally_arrive(&core->tally);
    for (;;) {
        cx_rcu_enter();
        status = cx_cache_read(core, (uint64_t)probe.hash, cxb_probe_same, &probe, now, &seen);
        if (CX_LIKELY(status == CX_OK)) {
            value = Py_NewRef((PyObject *)seen.value);
            is_told = !is_use || cx_cache_note(core, &seen, now);
        }
        cx_rcu_exit();
        if (CX_LIKELY(status != CX_UNDECIDED)) {
            break;
        }
        if (cxb_probe_decide(&probe) < 0) {
            cxb_probe_fini(&probe);
            return NULL;
        }
    }
    if (CX_UNLIKELY(status != CX_OK && status != CX_EMPTY)) {
        value = find_inside(self, &probe, now, is_use);
    }
    else if (is_use) {
        cx_tally_add(&core->tally, status == CX_OK ? CX_HITS : CX_MISSES);
        if (CX_UNLIKELY(!is_told) && tell_inside(self, &probe, now) < 0) {
            Py_CLEAR(value);
        }
    }
    cxb_probe_fini(&probe);
    return value;
}

PyObject *
cxb_cache_try(CacheObject *self, uint64_t hash, cx_same same, void *probe)
{
    struct cx_cache *core = &self->core;
    struct cx_seen seen;
    PyObject *value = NULL;
    bool is_told = true;
    int64_t now;
    if (cxb_cache_now(self, &now) < 0) {
        return NULL;
    }
    cx_tally_arrive(&core->tally);
    cx_rcu_enter();
    if (CX_LIKELY(cx_cache_read(core, hash, same, probe, now, &seen) == CX_OK)) {
        value = Py_NewRef((PyObject *)seen.value);
        is_told = cx_cache_note(core, &seen, now);
    }
    cx_rcu_exit();
    if (CX_LIKELY(value != NULL)) {
        cx_tally_add(&core->tally, CX_HITS);
    }
    if (CX_UNLIKELY(!is_told)) {
        cx_cache_begin_notes(core);
        PyObject *again = try_inside(self, hash, same, probe, now, true);
        if (again == NULL && PyErr_Occurred()) {
            Py_CLEAR(value);
        }
        Py_XDECREF(again);
    }
    return value;
}

/* Takes out what can be dropped, some at a time, and drops it outside. */
static void
reap(CacheObject *self, bool is_over)
{
    struct cx_entries *arrays;
    bool more;
    do {
        struct cx_dead dead;
        dead.count = 0;
        if (!cx_cache_take(&self->core)) {
            return;
        }
        more = cx_cache_reap(&self->core, &dead, is_over);
        arrays = more ? NULL : cx_cache_reap_arrays(&self->core, is_over);
        cx_cache_release(&self->core);
        for (unsigned i = 0; i < dead.count; i++) {
            Py_XDECREF((PyObject *)dead.item[i].key);
            Py_DECREF((PyObject *)dead.item[i].value);
        }
        if (arrays != NULL && arrays->is_full) {
            cxb_entries_drop(arrays);
        }
        if (arrays != NULL) {
            cx_gone_free_arrays(arrays);
        }
    } while (more || arrays != NULL);
}

CX_NOINLINE void
cxb_cache_settle(CacheObject *self)
{
    if (!cx_cache_take(&self->core)) {
        return;
    }
    cx_cache_seal(&self->core);
    cx_cache_release(&self->core);
    /* With nobody inside a section twice is enough.  A reader that was stopped there holds up what all
     * others remove, and lets the table grow; it may only be waiting for a processor. */
    bool is_over = cx_rcu_try_advance();
    if (!(is_over && cx_rcu_try_advance())) {
        (void)sched_yield();
        is_over = cx_rcu_try_advance();
        (void)(is_over && cx_rcu_try_advance());
    }
    reap(self, false);
}

bool
cxb_cache_retire(CacheObject *self, struct cx_growth *out)
{
    if (!cx_cache_take(&self->core)) {
        return false;
    }
    bool waits = cx_cache_retire(&self->core, out, true);
    cx_cache_release(&self->core);
    if (waits) {
        cxb_cache_settle(self); /* what had been sealed before, */
        cxb_cache_settle(self); /* and this */
    }
    return waits;
}

void
cxb_cache_drop_gone(CacheObject *self)
{
    reap(self, true);
}

#endif

PyObject *
cxb_cache_use(CacheObject *self, PyObject *key)
{
    return find(self, key, true);
}

PyObject *
cxb_cache_look(CacheObject *self, PyObject *key)
{
    return find(self, key, false);
}

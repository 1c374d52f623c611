// SPDX-License-Identifier: MIT
/* Tags of a cache's entries.  A tag is an exact str, so that C compares it. */
#include "binding/cachemethods.h"

#define REAPED_AT_ONCE 16

static bool
is_tag(PyObject *tag)
{
    if (!PyUnicode_CheckExact(tag)) {
        PyErr_Format(PyExc_TypeError, "a tag must be a str, got %R", tag);
        return false;
    }
    return true;
}

int
cxb_cache_get_tags_room(CacheObject *self, struct cx_tags_room *room)
{
    if (!cx_tags_room_allocate(room) || !cx_cache_take(&self->core)) {
        PyErr_NoMemory();
        return -1;
    }
    cx_tags_adopt(self->core.tags, room);
    cx_cache_release(&self->core);
    cx_tags_room_free(room);
    return 0;
}

/* 0, or -1 with an exception. */
static int
begin_tags(CacheObject *self)
{
    struct cx_tags *fresh = NULL;
    if (cx_load_acquire(&self->core.tags) == NULL && (fresh = cx_tags_new()) == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (!cx_cache_take(&self->core)) {
        cx_tags_free(fresh);
        PyErr_NoMemory();
        return -1;
    }
    if (self->core.tags == NULL) {
        cx_store_release(&self->core.tags, fresh);
        fresh = NULL;
    }
    cx_cache_release(&self->core);
    cx_tags_free(fresh);
    return 0;
}

/* The name's number, made if need be: 0, or -1 with an exception. */
static int
hold(CacheObject *self, PyObject *name, uint32_t *tag)
{
    struct cxb_probe probe;
    if (cxb_probe_init(&probe, name) < 0) {
        return -1;
    }
    for (;;) {
        struct cx_tags_room room;
        bool planned = false;
        if (!cx_cache_take(&self->core)) {
            PyErr_NoMemory();
            return -1;
        }
        struct cx_tags *tags = self->core.tags;
        enum cx_status status =
            cx_tags_hold(tags, (uint64_t)probe.hash, cxb_probe_same, &probe, tag);
        if (status != CX_OK && !(planned = cx_tags_plan(tags, 0, 0, &room))) {
            *tag = cx_tags_add(tags, Py_NewRef(name), (uint64_t)probe.hash);
        }
        cx_cache_release(&self->core);
        if (!planned) {
            return 0;
        }
        if (cxb_cache_get_tags_room(self, &room) < 0) {
            return -1;
        }
    }
}

int
cxb_cache_hold_tags(CacheObject *self, PyObject *tags, struct cxb_tagging *tagging)
{
    if (PyUnicode_Check(tags)) {
        PyErr_Format(PyExc_TypeError, "tags must be an iterable of str, not a str: %R", tags);
        return -1;
    }
    PyObject *all = PySequence_Tuple(tags);
    if (all == NULL) {
        return -1;
    }
    Py_ssize_t count = PyTuple_GET_SIZE(all);
    int done = count > 0 ? begin_tags(self) : 0;
    tagging->tag = done < 0 ? NULL : PyMem_New(uint32_t, (size_t)count + 1);
    if (done == 0 && tagging->tag == NULL) {
        PyErr_NoMemory();
        done = -1;
    }
    for (Py_ssize_t i = 0; done == 0 && i < count; i++) {
        PyObject *name = PyTuple_GET_ITEM(all, i);
        done = is_tag(name) ? hold(self, name, &tagging->tag[i]) : -1;
        tagging->count += done == 0;
    }
    Py_DECREF(all);
    if (done < 0) {
        cxb_cache_release_tags(self, tagging);
    }
    return done;
}

/* Drops names that nothing has any more, some at a time. */
static void
reap(CacheObject *self)
{
    void *names[REAPED_AT_ONCE];
    unsigned count;
    do {
        if (!cx_cache_take(&self->core)) {
            return;
        }
        count = cx_tags_reap(self->core.tags, names, REAPED_AT_ONCE);
        cx_cache_release(&self->core);
        for (unsigned i = 0; i < count; i++) {
            Py_DECREF((PyObject *)names[i]);
        }
    } while (count == REAPED_AT_ONCE);
}

void
cxb_cache_release_tags(CacheObject *self, struct cxb_tagging *tagging)
{
    if (tagging->count > 0 && cx_cache_take(&self->core)) {
        for (uint32_t i = 0; i < tagging->count; i++) {
            cx_tags_release(self->core.tags, tagging->tag[i]);
        }
        cx_cache_release(&self->core);
        reap(self);
    }
    PyMem_Free(tagging->tag);
}

void
cxb_cache_drop_tags(CacheObject *self)
{
    const struct cx_tags *tags = self->core.tags;
    if (tags == NULL) {
        return;
    }
    for (uint32_t at = cx_entries_next(&tags->names, 0); at != CX_NONE;
         at = cx_entries_next(&tags->names, at + 1)) {
        Py_DECREF((PyObject *)tags->names.at[at].key);
    }
}

PyObject *
cxb_cache_invalidate_tag(CacheObject *self, PyObject *name)
{
    struct cxb_tagging tagging = {.count = 1};
    Py_ssize_t removed = 0;
    struct cx_dead dead;
    if (!is_tag(name)) {
        return NULL;
    }
    if (cx_load_acquire(&self->core.tags) == NULL) {
        return PyLong_FromLong(0);
    }
    tagging.tag = PyMem_New(uint32_t, 1);
    if (tagging.tag == NULL) {
        return PyErr_NoMemory();
    }
    if (hold(self, name, tagging.tag) < 0) {
        PyMem_Free(tagging.tag);
        return NULL;
    }
    do {
        dead.count = 0;
        uint32_t at;
        if (!cx_cache_take(&self->core)) {
            break;
        }
        while (dead.count < CX_DEAD &&
               (at = cx_tags_member(self->core.tags, tagging.tag[0])) != CX_NONE) {
            cx_cache_remove(&self->core, at, CX_EXPLICIT, &dead);
        }
        cx_cache_release(&self->core);
        removed += dead.count;
        at = dead.count;
        cxb_cache_bury(self, &dead, NULL, NULL);
        dead.count = at;
    } while (dead.count == CX_DEAD);
    cxb_cache_release_tags(self, &tagging);
    return PyLong_FromSsize_t(removed);
}

// SPDX-License-Identifier: MIT
/* binding/cachekey.h - is this the wanted key? answered under a lock if C can tell, outside otherwise.
 *
 * What binding/same.h cannot tell is undecided: it gets a reference, the lock is left, Python compares,
 * and the search is made anew with the answer known.
 * As in a dict, answers are taken to last as long as the operation.
 */
#ifndef CX_BINDING_CACHEKEY_H
#define CX_BINDING_CACHEKEY_H

#include "binding/same.h"

struct cxb_answer {
    PyObject *key; /* owned, so that no other object has its address */
    bool equal;
};

struct cxb_probe {
    PyObject *key; /* wanted; borrowed */
    Py_hash_t hash;
    PyObject *undecided; /* owned; what the search stopped at */
    struct cxb_answer *known;
    unsigned count, room;
    struct cxb_answer first[4];
};

/* 0, or -1 with TypeError if the key is unhashable. */
static inline int
cxb_probe_init(struct cxb_probe *probe, PyObject *key)
{
    probe->key = key;
    probe->undecided = NULL;
    probe->known = probe->first;
    probe->count = 0;
    probe->room = Py_ARRAY_LENGTH(probe->first);
    probe->hash = cxb_hash(key);
    return probe->hash == -1 ? -1 : 0;
}

/* Compares what was undecided; 0, or -1 with an exception.  Outside of locks. */
int cxb_probe_decide(struct cxb_probe *probe);
void cxb_probe_drop(struct cxb_probe *probe);

static inline void
cxb_probe_fini(struct cxb_probe *probe)
{
    if (CX_UNLIKELY(probe->count > 0 || probe->undecided != NULL)) {
        cxb_probe_drop(probe);
    }
}

/* A cx_same of core/entries.h. */
int cxb_probe_same_slow(PyObject *stored, struct cxb_probe *probe);
static inline int
cxb_probe_same(void *stored, void *probe)
{
    return CX_LIKELY(stored == ((struct cxb_probe *)probe)->key)
               ? 1
               : cxb_probe_same_slow((PyObject *)stored, (struct cxb_probe *)probe);
}

#endif

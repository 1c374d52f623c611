// SPDX-License-Identifier: MIT
#include "binding/lrucachelimbo.h"

/* --- looking up ------------------------------------------------------------------------------- */

/* A reader's look-up is made in a section; one that may change what it finds, inside the guard. */
enum place { SECTION, GUARD };
enum found { FAILED = -1, ABSENT, FOUND };

static inline void
enter(LruCache *self, enum place place)
{
    if (place == SECTION) {
        cx_rcu_enter();
    }
    else {
        cx_lru_enter(&self->lru);
    }
}

static inline void
leave(LruCache *self, enum place place)
{
    if (place == SECTION) {
        cx_rcu_exit();
    }
    else {
        cx_lru_leave(&self->lru);
    }
}

/* Most keys that are the same are made of the same objects. */
static inline enum cxb_sameness
compare(const struct cxb_item *item, const struct cxb_callkey *probe)
{
    uint32_t i = 0;
    while (i < probe->count && item->key[i] == probe->args[i]) {
        i++;
    }
    bool is_same = i == probe->count && !probe->is_typed &&
                   (probe->kwnames == NULL || item->key[i] == probe->kwnames);
    return CX_LIKELY(is_same) ? CXB_SAME : cxb_item_compare(item, probe);
}

/* The first item from `entry` on that is the probe's, or may be: then *is_sure is false. */
static inline struct cxb_item *
scan(struct cx_lru_entry *entry, const struct cxb_callkey *probe, bool *is_sure)
{
    *is_sure = true;
    for (; entry != NULL; entry = cx_lru_next(entry)) {
        struct cxb_item *item = cxb_item_of(entry);
        if (entry->hash == probe->hash && item->shape == probe->shape) {
            enum cxb_sameness same = compare(item, probe);
            if (CX_LIKELY(same != CXB_DIFFERENT)) {
                *is_sure = same == CXB_SAME;
                return item;
            }
        }
    }
    return NULL;
}

/* Goes on where `item` may be the one: asks its __eq__ outside, then looks whether it is still there.
 * As in a dict, an __eq__ that takes the entry away makes the look-up start over. */
static enum found
ask(LruCache *self, const struct cxb_callkey *probe, enum place place, struct cxb_item **found)
{
    struct cxb_item *item = *found;
    bool is_sure = false;
    while (item != NULL && !is_sure) {
        cx_lru_pin(&item->entry);
        leave(self, place);
        int equal = cxb_item_equals(item, probe);
        if (equal < 0) {
            cxb_item_unpin(item);
            return FAILED;
        }
        enter(self, place);
        bool is_in = cx_load_acquire(&item->entry.is_in);
        if (CX_UNLIKELY(!is_in)) {
            leave(self, place);
            cxb_item_unpin(item);
            enter(self, place);
            item = scan(cx_lru_first(&self->lru, probe->hash), probe, &is_sure);
            continue;
        }
        (void)cx_lru_unpin(&item->entry); /* not the last: the table has its own */
        if (equal) {
            break;
        }
        item = scan(cx_lru_next(&item->entry), probe, &is_sure);
    }
    *found = item;
    return item == NULL ? ABSENT : FOUND;
}

/* FOUND and ABSENT are answered inside `place`; FAILED outside. */
static inline enum found
look(LruCache *self, const struct cxb_callkey *probe, enum place place, struct cxb_item **found)
{
    for (;;) {
        bool is_sure;
        uint32_t moves = place == SECTION ? cx_lru_moves(&self->lru) : 0;
        *found = scan(cx_lru_first(&self->lru, probe->hash), probe, &is_sure);
        enum found answer = *found == NULL       ? ABSENT
                            : CX_LIKELY(is_sure) ? FOUND
                                                 : ask(self, probe, place, found);
        if (place == GUARD || answer != ABSENT || !cx_lru_may_have_missed(&self->lru, moves)) {
            return answer;
        }
        /* Whoever moves entries has the guard. */
        cx_rcu_exit();
        cx_lru_enter(&self->lru);
        cx_lru_leave(&self->lru);
        cx_rcu_enter();
    }
}

/* --- storing ---------------------------------------------------------------------------------- */

/* Of a use now, by this thread.  Whoever is ordered behind a call of another thread knows that it is not
 * alone. */
static inline uint64_t
stamp_of(const LruCache *self)
{
#if CX_WITH_GIL
    (void)self;
    return 0;
#else
    return CX_LIKELY(cx_tally_is_alone(&self->tally)) ? cx_stamp_alone() : cx_stamp();
#endif
}

/* Outside the guard, for one more item: 0, or -1 with MemoryError. */
static CX_COLD int
make_room(LruCache *self)
{
    struct cx_lru_room room;
    struct cxb_removed removed = {NULL};
    cx_lru_enter(&self->lru);
    bool is_limbo_full = !cxb_limbo_has_room(self), is_tight = cx_lru_is_tight(&self->lru);
    size_t size = self->lru.size;
    cx_lru_leave(&self->lru);
    if (is_limbo_full && cxb_limbo_make_room(self) < 0) {
        return -1;
    }
    if (!is_tight) {
        return 0;
    }
    if (!cx_lru_room(&room, size, self->lru.capacity)) {
        (void)PyErr_NoMemory();
        return -1;
    }
    cx_lru_enter(&self->lru);
    if (cxb_limbo_has_room(self)) {
        cx_lru_grow(&self->lru, &room);
        removed.buckets = room.buckets;
        room.buckets = NULL;
        cxb_limbo_retire(self, &removed);
    }
    cx_lru_leave(&self->lru);
    cx_lru_room_free(&room);
    cxb_limbo_release(self, &removed);
    return 0;
}

/* As functools: where the key has come in the meantime, a bounded cache keeps what it has and an
 * unbounded one takes the new value. */
static int
store(LruCache *self, const struct cxb_callkey *probe, PyObject *value)
{
    struct cxb_removed removed = {NULL};
    struct cxb_item *item = cxb_item_new(probe, value), *known;
    enum found found;
    if (item == NULL) {
        return -1;
    }
    cx_lru_enter(&self->lru);
    for (;;) {
        found = look(self, probe, GUARD, &known);
        if (CX_UNLIKELY(found == FAILED)) {
            cxb_item_unpin(item);
            return -1;
        }
        if (CX_LIKELY(cxb_limbo_has_room(self) &&
                      (found == FOUND || !cx_lru_is_tight(&self->lru)))) {
            break;
        }
        cx_lru_leave(&self->lru);
        if (make_room(self) < 0) {
            cxb_item_unpin(item);
            return -1;
        }
        cx_lru_enter(&self->lru);
    }
    if (CX_LIKELY(found == ABSENT)) {
        removed.items = cx_lru_insert(&self->lru, &item->entry, stamp_of(self));
        item = NULL;
    }
    else if (self->lru.capacity == SIZE_MAX) {
        removed.value = known->value;
        cx_store_release(&known->value, item->value); /* [V1] pairs with [V2] */
        item->value = NULL;
    }
    cxb_limbo_retire(self, &removed);
    cx_lru_leave(&self->lru);
    if (item != NULL) {
        cxb_item_unpin(item);
    }
    cxb_limbo_release(self, &removed);
    return 0;
}

/* --- calling ---------------------------------------------------------------------------------- */

/* In a section, which it leaves. */
static inline PyObject *
hit(LruCache *self, struct cxb_item *item)
{
    PyObject *value = Py_NewRef(cx_load_acquire(&item->value)); /* [V2] pairs with [V1] */
    cx_lru_use(&self->lru, &item->entry, stamp_of(self));
    cx_rcu_exit();
    cx_tally_add(&self->tally, CX_HITS);
    return value;
}

static inline PyObject *
call_function(LruCache *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    PyObject *function = self->function, *result = NULL;
    cx_tally_add(&self->tally, CX_MISSES);
    if (CX_UNLIKELY(function == NULL)) {
        PyErr_SetString(PyExc_RuntimeError, "the cached function has been garbage collected");
        return NULL;
    }
    if (PyFunction_Check(function)) { /* whose depth the interpreter watches */
        return PyObject_Vectorcall(function, args, nargsf, kwnames);
    }
    if (Py_EnterRecursiveCall(" while calling a cached function") == 0) {
        result = PyObject_Vectorcall(function, args, nargsf, kwnames);
        Py_LeaveRecursiveCall();
    }
    return result;
}

static CX_NOINLINE PyObject *
miss(LruCache *self, const struct cxb_callkey *probe, size_t nargsf)
{
    PyObject *result = call_function(self, probe->args, nargsf, probe->kwnames);
    if (CX_LIKELY(result != NULL) && CX_UNLIKELY(store(self, probe, result) < 0)) {
        Py_CLEAR(result);
    }
    return result;
}

static inline PyObject *
call(LruCache *self, const struct cxb_callkey *probe, size_t nargsf)
{
    struct cxb_item *item;
    cx_tally_arrive(&self->tally);
    cx_rcu_enter();
    enum found found = look(self, probe, SECTION, &item);
    if (CX_LIKELY(found == FOUND)) {
        return hit(self, item);
    }
    if (found == FAILED) {
        return NULL;
    }
    cx_rcu_exit();
    return miss(self, probe, nargsf);
}

static PyObject *
call_any(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    LruCache *self = (LruCache *)callable;
    struct cxb_callkey probe;
    if (cxb_callkey_init(&probe, self->is_typed, args, PyVectorcall_NARGS(nargsf), kwnames) < 0) {
        return NULL;
    }
    return call(self, &probe, nargsf);
}

/* The usual calls: what cxb_callkey_init does, without a call of it. */
static inline int
init_usual(struct cxb_callkey *probe, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    Py_ssize_t nkw = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    PyObject *only = nargs + nkw == 1 && nkw == 0 ? args[0] : NULL;
    if (CX_UNLIKELY(nargs + nkw > 8 || (nkw == 0) != (kwnames == NULL) ||
                    (only != NULL && PyLong_CheckExact(only)))) {
        return cxb_callkey_init(probe, false, args, nargs, kwnames);
    }
    *probe = (struct cxb_callkey){0,       CXB_SHAPE(nargs, nkw),   args,
                                  kwnames, (uint32_t)(nargs + nkw), false};
    if (only != NULL && PyUnicode_CheckExact(only)) {
        Py_hash_t hash = cxb_argument_hash(only);
        probe->shape = CXB_SHAPE_STR;
        probe->hash = cxb_spread(hash);
        return 0; /* no str is without a hash */
    }
    uint64_t state = probe->shape;
    for (Py_ssize_t i = 0; i < nargs + nkw; i++) {
        Py_hash_t hash = 0;
        if (i >= nargs &&
            CX_LIKELY((hash = cxb_argument_hash(PyTuple_GET_ITEM(kwnames, i - nargs))) != -1)) {
            state = cxb_mix(state, hash);
        }
        if (CX_UNLIKELY(hash == -1 || (hash = cxb_argument_hash(args[i])) == -1)) {
            return -1;
        }
        state = cxb_mix(state, hash);
    }
    probe->hash = state;
    return 0;
}

/* One int goes by its own way. */
static PyObject *
call_untyped(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    LruCache *self = (LruCache *)callable;
    struct cxb_callkey probe;
    if (CX_LIKELY(kwnames == NULL && PyVectorcall_NARGS(nargsf) == 1)) {
        PyObject *key = args[0];
        if (PyLong_CheckExact(key) && CX_LIKELY(cxb_int_is_compact(key))) {
            uint64_t hash = cxb_spread((Py_hash_t)cxb_int_compact(key));
            uint32_t moves = cx_lru_moves(&self->lru);
            cx_tally_arrive(&self->tally);
            cx_rcu_enter();
            struct cx_lru_entry *entry = cx_lru_first(&self->lru, hash);
            for (; entry != NULL; entry = cx_lru_next(entry)) {
                struct cxb_item *item = cxb_item_of(entry);
                if (CX_LIKELY(entry->hash == hash && item->shape == CXB_SHAPE_INT)) {
                    return hit(self, item);
                }
            }
            cx_rcu_exit();
            probe = (struct cxb_callkey){hash, CXB_SHAPE_INT, args, NULL, 1, false};
            return CX_LIKELY(!cx_lru_may_have_missed(&self->lru, moves))
                       ? miss(self, &probe, nargsf)
                       : call(self, &probe, nargsf);
        }
    }
    if (init_usual(&probe, args, PyVectorcall_NARGS(nargsf), kwnames) < 0) {
        return NULL;
    }
    return call(self, &probe, nargsf);
}

/* Nothing is kept, so nothing need have a hash. */
static PyObject *
call_uncached(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    LruCache *self = (LruCache *)callable;
    cx_tally_arrive(&self->tally);
    return call_function(self, args, nargsf, kwnames);
}

vectorcallfunc
cxb_lrucache_vectorcall(size_t capacity, bool is_typed)
{
    return capacity == 0 ? call_uncached : is_typed ? call_any : call_untyped;
}

/* --- what functools has not ------------------------------------------------------------------- */

int
cxb_lrucache_contains(LruCache *self, const struct cxb_callkey *probe)
{
    struct cxb_item *item;
    cx_tally_arrive(&self->tally);
    cx_rcu_enter();
    enum found found = look(self, probe, SECTION, &item);
    if (found != FAILED) {
        cx_rcu_exit();
    }
    return found;
}

int
cxb_lrucache_invalidate(LruCache *self, const struct cxb_callkey *probe)
{
    struct cxb_removed removed = {NULL};
    struct cxb_item *item;
    enum found found;
    cx_lru_enter(&self->lru);
    while ((found = look(self, probe, GUARD, &item)) == FOUND && !cxb_limbo_has_room(self)) {
        cx_lru_leave(&self->lru);
        if (cxb_limbo_make_room(self) < 0) {
            return -1;
        }
        cx_lru_enter(&self->lru);
    }
    if (found == FOUND) {
        cx_lru_remove(&self->lru, &item->entry);
        removed.items = &item->entry;
        cxb_limbo_retire(self, &removed);
    }
    if (found != FAILED) {
        cx_lru_leave(&self->lru);
    }
    cxb_limbo_release(self, &removed);
    return found;
}

int
cxb_lrucache_clear(LruCache *self)
{
    struct cxb_removed removed = {NULL};
    struct cx_lru_room room;
    cx_lru_enter(&self->lru);
    while (!cxb_limbo_has_room(self)) {
        cx_lru_leave(&self->lru);
        if (cxb_limbo_make_room(self) < 0) {
            return -1;
        }
        cx_lru_enter(&self->lru);
    }
    cx_tally_reset(&self->tally);
    removed.items = cx_lru_clear(&self->lru, &room);
    removed.buckets = room.buckets;
    room.buckets = NULL;
    cxb_limbo_retire(self, &removed);
    cx_lru_leave(&self->lru);
    cx_lru_room_free(&room);
    cxb_limbo_release(self, &removed);
    return 0;
}

// SPDX-License-Identifier: MIT
/* Reading and writing one entry. */
#include "binding/map.h"

#include "core/lock.h"

/* --- keys that only Python can tell apart --------------------------------------------------------- */

struct pins {
    struct cx_map_pins core;
    uint32_t retained; /* of the list */
    struct cx_map_pin few[4];
};

static inline void
pins_init(struct pins *p)
{
    p->core = (struct cx_map_pins){.list = p->few, .room = Py_ARRAY_LENGTH(p->few)};
    p->retained = 0;
}

/* Inside the section or guard where they were found. */
static inline void
pins_retain(struct pins *p)
{
    for (; CX_UNLIKELY(p->retained < p->core.count); p->retained++) {
        Py_INCREF((PyObject *)p->core.list[p->retained].key);
        cxb_value_retain(p->core.list[p->retained].value);
    }
}

static CX_COLD void
pins_drop(struct pins *p)
{
    PyObject *error = cxb_error_set_aside();
    for (uint32_t i = 0; i < p->retained; i++) {
        Py_DECREF((PyObject *)p->core.list[i].key);
        cxb_value_drop(p->core.list[i].value);
    }
    if (p->core.list != p->few) {
        PyMem_Free(p->core.list);
    }
    cxb_error_put_back(error);
}

static inline void
pins_fini(struct pins *p)
{
    if (CX_UNLIKELY(p->retained > 0 || p->core.list != p->few)) {
        pins_drop(p);
    }
}

static int
pins_grow(struct pins *p)
{
    size_t room = 2 * ((size_t)p->core.count + p->core.wanted), size = room * sizeof *p->core.list;
    bool is_first = p->core.list == p->few;
    struct cx_map_pin *list =
        room > UINT32_MAX ? NULL : PyMem_Realloc(is_first ? NULL : p->core.list, size);
    if (list == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (is_first) {
        memcpy(list, p->few, sizeof p->few);
    }
    p->core.list = list;
    p->core.room = (uint32_t)room;
    p->core.wanted = 0;
    return 0;
}

/* Compares what has not been, up to one that is equal, and makes room for what was wanted: 0, or -1 with
 * an exception.  Runs Python.  *equal: that one, or NULL.  One that was found equal before is no answer: a
 * writer who comes again has not found it any more. */
static CX_COLD int
pins_compare(struct pins *p, PyObject *key, struct cx_map_pin **equal)
{
    uint32_t found = UINT32_MAX;
    for (uint32_t i = 0; i < p->core.count && found == UINT32_MAX; i++) {
        struct cx_map_pin *pin = &p->core.list[i];
        if (pin->is_same < 0) {
            /* As dict has it: what is stored stands on the left. */
            int is_same = PyObject_RichCompareBool((PyObject *)pin->key, key, Py_EQ);
            if (is_same < 0) {
                return -1;
            }
            pin->is_same = is_same;
            found = is_same ? i : UINT32_MAX;
        }
    }
    if (p->core.wanted > 0 && pins_grow(p) < 0) {
        return -1;
    }
    *equal = found == UINT32_MAX ? NULL : &p->core.list[found];
    return 0;
}

/* --- reading ---------------------------------------------------------------------------------- */

static inline int
found(MapObject *self, bool is_there)
{
    struct cx_counter *counter = is_there ? &self->hits : &self->misses;
    if (CX_UNLIKELY(counter->cells != NULL) && !cx_counter_add(counter, 1)) {
        return is_there; /* 2**63 of them: it stays where it is */
    }
    return is_there;
}

/* *value becomes the object of a retained value: 1, or -1 with MemoryError. */
static inline int
hand_over(MapObject *self, void *there, PyObject **value)
{
    *value = cxb_value_object(there);
    return CX_LIKELY(*value != NULL) ? found(self, true) : -1;
}

static CX_COLD int
find_undecided(MapObject *self, PyObject *key, uint64_t hash, struct pins *pins, PyObject **value)
{
    *value = NULL;
    for (;;) {
        struct cx_map_pin *equal;
        bool is_all = pins->core.wanted == 0;
        if (pins_compare(pins, key, &equal) < 0) {
            pins_fini(pins);
            return -1;
        }
        void *there = equal == NULL ? NULL : equal->value;
        if (equal != NULL || is_all) {
            cxb_value_retain(there);
            pins_fini(pins);
            return there == NULL ? found(self, false) : hand_over(self, there, value);
        }
        cx_rcu_enter();
        there = cx_map_find(&self->core, hash, key, cxb_same, &pins->core);
        cxb_value_retain(there);
        pins_retain(pins);
        cx_rcu_exit();
        if (there != NULL) {
            pins_fini(pins);
            return hand_over(self, there, value);
        }
    }
}

int
cxb_map_find(MapObject *self, PyObject *key, PyObject **value)
{
    struct pins pins;
    Py_hash_t hash = cxb_hash(key);
    if (CX_UNLIKELY(hash == -1)) {
        *value = NULL;
        return -1;
    }
    uint64_t spread = cxb_spread(hash);
    pins_init(&pins);
    cx_rcu_enter();
    void *there = cx_map_find(&self->core, spread, key, cxb_same, &pins.core);
    cxb_value_retain(there);
    pins_retain(&pins);
    cx_rcu_exit();
    if (CX_UNLIKELY(there == NULL && (pins.retained > 0 || pins.core.wanted > 0))) {
        return find_undecided(self, key, spread, &pins, value);
    }
    pins_fini(&pins);
    if (there != NULL) {
        return hand_over(self, there, value);
    }
    *value = NULL;
    return found(self, false);
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Whether a look without the guard finds no entry, so that a node will be wanted. */
static inline bool
seems_absent(MapObject *self, PyObject *key, uint64_t hash)
{
    struct cx_map_pins none = {.room = 0};
    cx_rcu_enter();
    bool is_there = cx_map_find(&self->core, hash, key, cxb_same, &none) != NULL;
    cx_rcu_exit();
    return !is_there;
}

/* Whether the value that is there is the one that was expected: an object by its identity. */
static inline bool
is_expected(void *there, PyObject *expected)
{
    if (there == expected || !cxb_value_is_int(there)) {
        return there == expected;
    }
    int overflow;
    return !cxb_value_is_int(expected) && PyLong_CheckExact(expected) &&
           PyLong_AsLongLongAndOverflow(expected, &overflow) == cxb_value_int(there) &&
           overflow == 0;
}

#define CHANGED 2

/* Under the guard, with op->node known and its value `there`: 1 done, 0 not as wanted, -1 a node is wanted
 * first, CHANGED the value is another by now. */
static inline int
change_from(struct cx_map_op *op, void *there, PyObject *key, enum cxb_want want,
            PyObject *expected, PyObject *value)
{
    bool is_wanted = want == CXB_ANYTHING  ? true
                     : want == CXB_NOTHING ? there == NULL
                     : want == CXB_ENTRY   ? there != NULL
                                           : there != NULL && is_expected(there, expected);
    if (is_wanted && there == NULL && value != NULL) {
#if CX_WITH_GIL
        /* Nothing runs meanwhile. */
        if (op->spare == NULL) {
            op->spare = op->map->hooks->node_new(sizeof *op->spare);
        }
#endif
        if (op->spare == NULL) {
            return -1;
        }
    }
    if (!is_wanted) {
        return 0;
    }
    if (there != NULL && value != NULL) {
        if (!cx_map_replace(op, there, value)) {
            return CHANGED;
        }
        Py_INCREF(value);
    }
    else if (there != NULL) {
        return cx_map_remove(op, there) ? 1 : CHANGED;
    }
    else if (value != NULL) {
        cx_map_insert(op, Py_NewRef(key), Py_NewRef(value));
    }
    return 1;
}

/* *before is retained if it is asked for. */
static inline int
change(struct cx_map_op *op, PyObject *key, enum cxb_want want, PyObject *expected, PyObject *value,
       void **before)
{
    void *there;
    int done;
    do {
        there = op->node == NULL ? NULL : cx_load_relaxed(&op->node->value);
        if (before != NULL) {
            cxb_value_retain(there); /* nothing to take back if it is a word, which alone changes */
            *before = there;
        }
        done = change_from(op, there, key, want, expected, value);
    } while (CX_UNLIKELY(done == CHANGED));
    return done;
}

/* With an exception set. */
static CX_COLD int
fail(struct cx_map_op *op, struct pins *pins)
{
    PyObject *error = cxb_error_set_aside();
    cx_map_settle(op);
    pins_fini(pins);
    cxb_error_put_back(error);
    return -1;
}

static CX_COLD int
no_memory(struct cx_map_op *op, struct pins *pins)
{
    PyErr_NoMemory();
    return fail(op, pins);
}

int
cxb_map_write_at(MapObject *self, PyObject *key, uint64_t hash, enum cxb_want want,
                 PyObject *expected, PyObject *value, PyObject **before)
{
    struct pins pins;
    struct cx_map_op op = {.map = &self->core, .hash = hash};
    void *there = NULL;
    int done;
    pins_init(&pins);
    bool wants_node =
        !CX_WITH_GIL && value != NULL && want <= CXB_NOTHING && seems_absent(self, key, op.hash);
    for (;;) {
        if (wants_node && op.spare == NULL &&
            (op.spare = self->core.hooks->node_new(sizeof *op.spare)) == NULL) {
            return no_memory(&op, &pins);
        }
        if (!cx_map_begin(&op)) {
            return no_memory(&op, &pins);
        }
        bool is_known = cx_map_seek(&op, key, cxb_same, &pins.core);
        pins_retain(&pins);
        done =
            is_known ? change(&op, key, want, expected, value, before == NULL ? NULL : &there) : -1;
        cx_map_leave(&op);
        if (done >= 0) {
            break;
        }
        if (is_known && wants_node) {
            return no_memory(&op, &pins); /* on a GIL build, where it was tried */
        }
        wants_node = is_known;
        struct cx_map_pin *equal;
        if (!is_known && pins_compare(&pins, key, &equal) < 0) {
            return fail(&op, &pins);
        }
    }
    cx_map_settle(&op);
    pins_fini(&pins);
    if (before != NULL) {
        *before = cxb_value_object(there);
        return *before == NULL && there != NULL ? -1 : done;
    }
    return done;
}

int
cxb_map_write(MapObject *self, PyObject *key, enum cxb_want want, PyObject *expected,
              PyObject *value, PyObject **before)
{
    Py_hash_t hash = cxb_hash(key);
    return CX_UNLIKELY(hash == -1)
               ? -1
               : cxb_map_write_at(self, key, cxb_spread(hash), want, expected, value, before);
}

/* The int that a value is, if it is one of 64 bits. */
static inline bool
int_of(void *value, long long *n)
{
    int overflow = 0;
    if (cxb_value_is_int(value)) {
        *n = cxb_value_int(value);
    }
    else if (PyLong_CheckExact((PyObject *)value)) {
        *n = PyLong_AsLongLongAndOverflow((PyObject *)value, &overflow);
    }
    else {
        return false;
    }
    return overflow == 0;
}

/* The word of a sum, if it fits into one. */
static inline bool
sum_of(void *there, long long change_by, long long *n, void **word)
{
    bool fits = int_of(there, n) && !__builtin_add_overflow(*n, change_by, n) &&
                *n <= INTPTR_MAX / 2 && *n >= INTPTR_MIN / 2;
    *word = fits ? cxb_value_of_int(*n) : NULL;
    return fits;
}

/* Whether it was there as a word, which is another now. */
static inline bool
add_to_word(MapObject *self, PyObject *key, uint64_t hash, long long change_by, long long *n)
{
    struct cx_map_pins none = {.room = 0};
    bool is_done = false;
    cx_rcu_enter();
    struct cx_map_node *node = cx_map_find_node(&self->core, hash, key, cxb_same, &none);
    void *there = node == NULL ? NULL : cx_load_acquire(&node->value), *word;
    while (!is_done && cx_map_is_word(there) && sum_of(there, change_by, n, &word)) {
        is_done = cx_map_swap(&self->core, node, &there, word);
    }
    cx_rcu_exit();
    return is_done;
}

/* The same under the guard, and for one that is an object as yet. */
static CX_COLD bool
add_under_guard(MapObject *self, PyObject *key, uint64_t hash, long long change_by, long long *n)
{
    struct cx_map_pins none = {.room = 0};
    struct cx_map_op op = {.map = &self->core, .hash = hash};
    bool is_done = false;
    if (!cx_map_begin(&op)) {
        return false;
    }
    if (cx_map_seek(&op, key, cxb_same, &none) && op.node != NULL) {
        void *there, *word;
        do {
            there = cx_load_relaxed(&op.node->value);
        } while (sum_of(there, change_by, n, &word) &&
                 !(is_done = cx_map_replace(&op, there, word)));
    }
    cx_map_leave(&op);
    cx_map_settle(&op);
    return is_done;
}

int
cxb_map_add_int(MapObject *self, PyObject *key, PyObject *delta, PyObject **sum)
{
    long long n, change_by;
    Py_hash_t hash = cxb_hash(key);
    if (CX_UNLIKELY(hash == -1)) {
        return -1;
    }
    uint64_t spread = cxb_spread(hash);
    if (!int_of(delta, &change_by) ||
        (CX_UNLIKELY(!add_to_word(self, key, spread, change_by, &n)) &&
         !add_under_guard(self, key, spread, change_by, &n))) {
        return 0;
    }
    *sum = PyLong_FromLongLong(n);
    return *sum == NULL ? -1 : 1;
}

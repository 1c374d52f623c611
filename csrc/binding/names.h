// SPDX-License-Identifier: MIT
/* binding/names.h - the attribute names that C looks up, made once for each interpreter.
 *
 * A name made anew for each call costs more than the look-up, and CPython's cache of a type's
 * attributes keeps names by address: it would never find one again, and fill with them.
 */
#ifndef CX_BINDING_NAMES_H
#define CX_BINDING_NAMES_H

#include "binding/compat.h"

/* Field, text. */
#define CXB_EACH_NAME(X)                                                                           \
    X(acquire, "acquire")                                                                          \
    X(add_cancelled, "add_cancelled")                                                              \
    X(add_done_callback, "add_done_callback")                                                      \
    X(add_exception, "add_exception")                                                              \
    X(add_result, "add_result")                                                                    \
    X(args, "args")                                                                                \
    X(blocking, "_asyncio_future_blocking")                                                        \
    X(call, "call")                                                                                \
    X(call_later, "call_later")                                                                    \
    X(call_soon, "call_soon")                                                                      \
    X(call_soon_threadsafe, "call_soon_threadsafe")                                                \
    X(cancel, "cancel")                                                                            \
    X(cancelled, "cancelled")                                                                      \
    X(cleared, "cleared")                                                                          \
    X(compare_and_set, "compare_and_set")                                                          \
    X(context, "context")                                                                          \
    X(create_future, "create_future")                                                              \
    X(done, "done")                                                                                \
    X(events, "asyncio.events")                                                                    \
    X(expired, "expired")                                                                          \
    X(explicit, "explicit")                                                                        \
    X(get, "get")                                                                                  \
    X(keys, "keys")                                                                                \
    X(missing, "__missing__")                                                                      \
    X(module, "__module__")                                                                        \
    X(name, "__name__")                                                                            \
    X(notify_all, "notify_all")                                                                    \
    X(release, "release")                                                                          \
    X(replaced, "replaced")                                                                        \
    X(run, "run")                                                                                  \
    X(set_exception, "set_exception")                                                              \
    X(set_result, "set_result")                                                                    \
    X(setdefault, "setdefault")                                                                    \
    X(size, "size")                                                                                \
    X(time_is_up, "_time_is_up")                                                                   \
    X(total_seconds, "total_seconds")

struct cxb_names {
#define FIELD(field, text) PyObject *field;
    CXB_EACH_NAME(FIELD)
#undef FIELD
};

/* 0 or -1 */
int cxb_names_init(struct cxb_names *names);
void cxb_names_fini(struct cxb_names *names);

/* For a name that is looked up too rarely to be kept: object.name */
static inline PyObject *
cxb_attribute(PyObject *object, const char *name)
{
    PyObject *interned = PyUnicode_InternFromString(name);
    PyObject *found = interned == NULL ? NULL : PyObject_GetAttr(object, interned);
    Py_XDECREF(interned);
    return found;
}

#endif

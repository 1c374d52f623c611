// SPDX-License-Identifier: MIT
#include "binding/future.h"

/* Where the arguments stand; the place before them is there too, as vectorcall wants it. */
static PyObject **
args_of(struct cxb_task *task)
{
    return (task->count > CXB_INLINE_ARGS ? task->args.many : task->args.few) + 1;
}

int
cxb_task_set(struct cxb_task *task, PyObject *fn, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    Py_ssize_t count = nargs + (kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames));
    if (count > CXB_INLINE_ARGS) {
        PyObject **many = PyMem_New(PyObject *, count + 1);
        if (many == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        task->args.many = many;
    }
    task->count = count;
    task->fn = Py_NewRef(fn);
    task->kwnames = Py_XNewRef(kwnames);
    PyObject **to = args_of(task);
    for (Py_ssize_t i = 0; i < count; i++) {
        to[i] = Py_NewRef(args[i]);
    }
    return 0;
}

PyObject *
cxb_task_call(struct cxb_task *task)
{
    Py_ssize_t named = task->kwnames == NULL ? 0 : PyTuple_GET_SIZE(task->kwnames);
    return PyObject_Vectorcall(task->fn, args_of(task),
                               (size_t)(task->count - named) | PY_VECTORCALL_ARGUMENTS_OFFSET,
                               task->kwnames);
}

void
cxb_task_clear(struct cxb_task *task)
{
    struct cxb_task old = *task;
    if (old.fn == NULL) {
        return;
    }
    *task = (struct cxb_task){0};
    PyObject **args = args_of(&old);
    Py_DECREF(old.fn);
    Py_XDECREF(old.kwnames);
    for (Py_ssize_t i = 0; i < old.count; i++) {
        Py_DECREF(args[i]);
    }
    if (old.count > CXB_INLINE_ARGS) {
        PyMem_Free(old.args.many);
    }
}

int
cxb_task_traverse(struct cxb_task *task, visitproc visit, void *arg)
{
    if (task->fn != NULL) {
        PyObject **args = args_of(task);
        Py_VISIT(task->fn);
        for (Py_ssize_t i = 0; i < task->count; i++) {
            Py_VISIT(args[i]);
        }
    }
    return 0;
}

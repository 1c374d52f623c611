// SPDX-License-Identifier: MIT
#include "binding/lrucache.h"

enum cxb_sameness
cxb_item_compare(const struct cxb_item *item, const struct cxb_callkey *probe)
{
    return cxb_callkey_compare(item->key, probe);
}

int
cxb_item_equals(const struct cxb_item *item, const struct cxb_callkey *probe)
{
    return cxb_callkey_equals(item->key, probe);
}

struct cxb_item *
cxb_item_new(const struct cxb_callkey *probe, PyObject *value)
{
    struct cxb_item *item =
        PyMem_Malloc(sizeof *item + cxb_callkey_size(probe->shape) * sizeof item->key[0]);
    if (item == NULL) {
        return (struct cxb_item *)PyErr_NoMemory();
    }
    item->entry = (struct cx_lru_entry){.hash = probe->hash, .pins = 1};
    item->value = Py_NewRef(value);
    item->shape = probe->shape;
    cxb_callkey_take(probe, item->key);
    return item;
}

void
cxb_item_free(struct cxb_item *item)
{
    size_t size = cxb_callkey_size(item->shape);
    for (size_t i = 0; i < size; i++) {
        Py_DECREF(item->key[i]);
    }
    Py_XDECREF(item->value); /* NULL: another item has it */
    PyMem_Free(item);
}

size_t
cxb_item_memory(const struct cxb_item *item)
{
    return sizeof *item + cxb_callkey_size(item->shape) * sizeof item->key[0];
}

int
cxb_item_traverse(const struct cxb_item *item, visitproc visit, void *arg)
{
    size_t size = cxb_callkey_size(item->shape);
    for (size_t i = 0; i < size; i++) {
        Py_VISIT(item->key[i]);
    }
    Py_VISIT(item->value);
    return 0;
}

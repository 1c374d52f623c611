// SPDX-License-Identifier: MIT
/* binding/cachemethods.h - the methods of Cache, for its table. */
#ifndef CX_BINDING_CACHEMETHODS_H
#define CX_BINDING_CACHEMETHODS_H

#include "binding/cacheread.h"

#define CXB_CACHE_METHOD(name) PyObject *cxb_cache_##name(CacheObject *self, PyObject *arg)
#define CXB_CACHE_CALL(name)                                                                       \
    PyObject *cxb_cache_##name(CacheObject *self, PyObject *const *args, Py_ssize_t nargs,         \
                               PyObject *kwnames)

CXB_CACHE_CALL(get);
CXB_CACHE_CALL(set);
CXB_CACHE_CALL(peek);
CXB_CACHE_CALL(touch);
CXB_CACHE_CALL(pop);
CXB_CACHE_CALL(setdefault);
CXB_CACHE_CALL(compute);
CXB_CACHE_METHOD(ttl);
CXB_CACHE_METHOD(clear);
CXB_CACHE_METHOD(get_many);
CXB_CACHE_CALL(set_many);
CXB_CACHE_CALL(update_method);
CXB_CACHE_METHOD(popitem);
CXB_CACHE_METHOD(coldest);
CXB_CACHE_METHOD(hottest);
CXB_CACHE_METHOD(invalidate_if);
CXB_CACHE_METHOD(invalidate_tag);
CXB_CACHE_CALL(expire);
CXB_CACHE_CALL(resize);
CXB_CACHE_METHOD(stats);

#endif

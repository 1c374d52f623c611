// SPDX-License-Identifier: MIT
#include "binding/names.h"

int
cxb_names_init(struct cxb_names *names)
{
#define MAKE(field, text)                                                                          \
    if ((names->field = PyUnicode_InternFromString(text)) == NULL) {                               \
        return -1;                                                                                 \
    }
    CXB_EACH_NAME(MAKE)
#undef MAKE
    return 0;
}

void
cxb_names_fini(struct cxb_names *names)
{
#define DROP(field, text) Py_CLEAR(names->field);
    CXB_EACH_NAME(DROP)
#undef DROP
}

/* SPDX-License-Identifier: Apache-2.0 */
/* dtype.c -- names and sizes of the element types of safetensors files. */
#include "dtype.h"

#include <string.h>

static const struct {
    const char *name;
    unsigned bits;
} dtypes[MXQ_DTYPES] = {
#define MXQ_DTYPE(name, bits) {#name, bits},
    MXQ_DTYPE_LIST
#undef MXQ_DTYPE
};

const char *mxq_dtype_name(enum mxq_dtype dtype)
{
    return dtypes[dtype].name;
}

unsigned mxq_dtype_bits(enum mxq_dtype dtype)
{
    return dtypes[dtype].bits;
}

enum mxq_dtype mxq_dtype_find(const char *name)
{
    for (int i = 0; i < MXQ_DTYPES; i++)
        if (!strcmp(dtypes[i].name, name))
            return (enum mxq_dtype)i;
    return MXQ_DTYPES;
}

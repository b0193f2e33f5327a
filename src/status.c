/* SPDX-License-Identifier: Apache-2.0 */
/* status.c -- names of things. */
#include "mxq/mxq.h"

const char *mxq_status_string(enum mxq_status status)
{
    switch (status) {
    case MXQ_OK:
        return "ok";
    case MXQ_ERR_ARGUMENT:
        return "a pointer is null, an enumerator unknown or a reserved field not zero";
    case MXQ_ERR_FORMAT:
        return "this combination of element, scale and block shape is not supported";
    case MXQ_ERR_SHAPE:
        return "shapes differ, a stride is shorter than a row or a size overflows";
    case MXQ_ERR_OVERLAP:
        return "an output overlaps another operand";
    case MXQ_ERR_NONFINITE:
        return "the input holds a NaN or an infinity";
    case MXQ_ERR_ISA:
        return "this instruction set is unknown or not available on this machine";
    case MXQ_ERR_PACKED:
        return "a packed buffer is too short, not one of this library's, or damaged";
    case MXQ_ERR_SCRATCH:
        return "scratch memory is missing or smaller than the size query says";
    }
    return "unknown status";
}

const char *mxq_version(void)
{
    return MXQ_VERSION_STRING;
}

size_t mxq_type_bytes(enum mxq_type type)
{
    switch (type) {
    case MXQ_F32:
        return 4;
    case MXQ_BF16:
    case MXQ_F16:
        return 2;
    }
    return 0;
}

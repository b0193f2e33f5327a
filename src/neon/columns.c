/* SPDX-License-Identifier: Apache-2.0 */
/* columns.c -- quantizing down the columns, NEON column. */
#include "neon/vec.h"

#include "lanes/columns.h"

#define MXQ_ELEMENT(E, e, ...)                                                                     \
    COLUMNS_KERNEL(mxq_columns_##e##_f32_neon, MXQ_##E, MXQ_F32)                                   \
    COLUMNS_KERNEL(mxq_columns_##e##_bf16_neon, MXQ_##E, MXQ_BF16)                                 \
    COLUMNS_KERNEL(mxq_columns_##e##_f16_neon, MXQ_##E, MXQ_F16)
#include "elements.def"

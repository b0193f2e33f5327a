/* SPDX-License-Identifier: Apache-2.0 */
/* quantize.c -- amax, scale and pack in one pass, NEON column. */
#include "neon/vec.h"

#include "lanes/quantize.h"

#define MXQ_ELEMENT(E, e, ...)                                                                     \
    QUANTIZE_KERNEL(mxq_quantize_##e##_f32_neon, MXQ_##E, MXQ_F32)                                 \
    QUANTIZE_KERNEL(mxq_quantize_##e##_bf16_neon, MXQ_##E, MXQ_BF16)                               \
    QUANTIZE_KERNEL(mxq_quantize_##e##_f16_neon, MXQ_##E, MXQ_F16)
#include "elements.def"

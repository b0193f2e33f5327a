/* SPDX-License-Identifier: Apache-2.0 */
/* quantize.c -- amax, scale and pack in one pass, AVX-512 column. */
#include "avx512/vec.h"

#include "lanes/quantize.h"

#define MXQ_ELEMENT(E, e, ...)                                                                     \
    QUANTIZE_KERNEL(mxq_quantize_##e##_f32_avx512, MXQ_##E, MXQ_F32)                               \
    QUANTIZE_KERNEL(mxq_quantize_##e##_bf16_avx512, MXQ_##E, MXQ_BF16)                             \
    QUANTIZE_KERNEL(mxq_quantize_##e##_f16_avx512, MXQ_##E, MXQ_F16)
#include "elements.def"

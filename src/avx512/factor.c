/* SPDX-License-Identifier: Apache-2.0 */
/* factor.c -- packing, unpacking and scaling by the scales of blocks, AVX-512 column. */
#include "avx512/significand.h"

#include "lanes/factor.h"

#define MXQ_ELEMENT(E, e, ...) FACTOR_KERNELS(avx512, E, e)
#include "elements.def"

SCALE_BY_KERNEL(mxq_scale_by_f32_f32_avx512, MXQ_F32)
SCALE_BY_KERNEL(mxq_scale_by_f32_bf16_avx512, MXQ_BF16)
SCALE_BY_KERNEL(mxq_scale_by_f32_f16_avx512, MXQ_F16)

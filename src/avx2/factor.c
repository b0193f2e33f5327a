/* SPDX-License-Identifier: Apache-2.0 */
/* factor.c -- packing, unpacking and scaling by the scales of blocks, AVX2 column. */
#include "avx2/vec.h"

#include "lanes/factor.h"

#define MXQ_ELEMENT(E, e, ...) FACTOR_KERNELS(avx2, E, e)
#include "elements.def"

SCALE_BY_KERNEL(mxq_scale_by_f32_f32_avx2, MXQ_F32)
SCALE_BY_KERNEL(mxq_scale_by_f32_bf16_avx2, MXQ_BF16)
SCALE_BY_KERNEL(mxq_scale_by_f32_f16_avx2, MXQ_F16)

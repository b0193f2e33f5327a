/* SPDX-License-Identifier: Apache-2.0 */
/* factor.c -- packing, unpacking and scaling by the scales of blocks, NEON column. */
#include "neon/vec.h"

#include "lanes/factor.h"

#define MXQ_ELEMENT(E, e, ...) FACTOR_KERNELS(neon, E, e)
#include "elements.def"

SCALE_BY_KERNEL(mxq_scale_by_f32_f32_neon, MXQ_F32)
SCALE_BY_KERNEL(mxq_scale_by_f32_bf16_neon, MXQ_BF16)
SCALE_BY_KERNEL(mxq_scale_by_f32_f16_neon, MXQ_F16)

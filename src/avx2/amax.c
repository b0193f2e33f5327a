/* SPDX-License-Identifier: Apache-2.0 */
/* amax.c -- block amax, AVX2 column. */
#include "avx2/vec.h"

#include "lanes/amax.h"

AMAX_KERNEL(mxq_amax_f32_avx2, MXQ_F32)
AMAX_KERNEL(mxq_amax_bf16_avx2, MXQ_BF16)
AMAX_KERNEL(mxq_amax_f16_avx2, MXQ_F16)

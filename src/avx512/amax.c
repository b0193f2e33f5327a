/* SPDX-License-Identifier: Apache-2.0 */
/* amax.c -- block amax, AVX-512 column. */
#include "avx512/vec.h"

#include "lanes/amax.h"

AMAX_KERNEL(mxq_amax_f32_avx512, MXQ_F32)
AMAX_KERNEL(mxq_amax_bf16_avx512, MXQ_BF16)
AMAX_KERNEL(mxq_amax_f16_avx512, MXQ_F16)

/* SPDX-License-Identifier: Apache-2.0 */
/* factor.c -- values divided or multiplied by the scales of their blocks, AVX2 column. */
#include "avx2/vec.h"

#include "lanes/factor.h"

FACTOR_KERNELS(avx2, f32, MXQ_F32)
FACTOR_KERNELS(avx2, bf16, MXQ_BF16)
FACTOR_KERNELS(avx2, f16, MXQ_F16)

/* SPDX-License-Identifier: Apache-2.0 */
/* amax.c -- block amax, AVX2 column. */
#include "avx2/vec.h"

#include "lanes/amax.h"

AMAX_KERNELS(avx2, f32, MXQ_F32)
AMAX_KERNELS(avx2, bf16, MXQ_BF16)
AMAX_KERNELS(avx2, f16, MXQ_F16)

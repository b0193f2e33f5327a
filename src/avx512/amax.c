/* SPDX-License-Identifier: Apache-2.0 */
/* amax.c -- block amax, AVX-512 column. */
#include "avx512/vec.h"

#include "lanes/amax.h"

AMAX_KERNELS(avx512, f32, MXQ_F32)
AMAX_KERNELS(avx512, bf16, MXQ_BF16)
AMAX_KERNELS(avx512, f16, MXQ_F16)

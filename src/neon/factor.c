/* SPDX-License-Identifier: Apache-2.0 */
/* factor.c -- values divided or multiplied by the scales of their blocks, NEON column. */
#include "neon/vec.h"

#include "lanes/factor.h"

FACTOR_KERNELS(neon, f32, MXQ_F32)
FACTOR_KERNELS(neon, bf16, MXQ_BF16)
FACTOR_KERNELS(neon, f16, MXQ_F16)

/* SPDX-License-Identifier: Apache-2.0 */
/* amax.c -- block amax, NEON column. */
#include "neon/vec.h"

#include "lanes/amax.h"

AMAX_KERNELS(neon, f32, MXQ_F32)
AMAX_KERNELS(neon, bf16, MXQ_BF16)
AMAX_KERNELS(neon, f16, MXQ_F16)

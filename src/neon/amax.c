/* SPDX-License-Identifier: Apache-2.0 */
/* amax.c -- block amax, NEON column. */
#include "neon/vec.h"

#include "lanes/amax.h"

AMAX_KERNEL(mxq_amax_f32_neon, MXQ_F32)
AMAX_KERNEL(mxq_amax_bf16_neon, MXQ_BF16)
AMAX_KERNEL(mxq_amax_f16_neon, MXQ_F16)

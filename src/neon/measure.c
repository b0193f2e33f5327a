/* SPDX-License-Identifier: Apache-2.0 */
/* measure.c -- what quantizing did to the values, NEON column. */
#include "neon/vec.h"

#include "lanes/measure.h"

MEASURE_KERNEL(mxq_measure_f32_neon, MXQ_F32)
MEASURE_KERNEL(mxq_measure_bf16_neon, MXQ_BF16)
MEASURE_KERNEL(mxq_measure_f16_neon, MXQ_F16)

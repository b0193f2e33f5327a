/* SPDX-License-Identifier: Apache-2.0 */
/* measure.c -- what quantizing did to the values, AVX2 column. */
#include "avx2/vec.h"

#include "lanes/measure.h"

MEASURE_KERNEL(mxq_measure_f32_avx2, MXQ_F32)
MEASURE_KERNEL(mxq_measure_bf16_avx2, MXQ_BF16)
MEASURE_KERNEL(mxq_measure_f16_avx2, MXQ_F16)

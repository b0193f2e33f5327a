/* SPDX-License-Identifier: Apache-2.0 */
/* measure.c -- what quantizing did to the values, AVX-512 column. */
#include "avx512/vec.h"

#include "lanes/measure.h"

MEASURE_KERNEL(mxq_measure_f32_avx512, MXQ_F32)
MEASURE_KERNEL(mxq_measure_bf16_avx512, MXQ_BF16)
MEASURE_KERNEL(mxq_measure_f16_avx512, MXQ_F16)

/* SPDX-License-Identifier: Apache-2.0 */
/* quantize.c -- amax, scale and pack in one pass, AVX2 column. */
#include "avx2/vec.h"

#include "lanes/quantize.h"

QUANTIZE_KERNEL(mxq_quantize_e4m3_f32_avx2, MXQ_E4M3, MXQ_F32)
QUANTIZE_KERNEL(mxq_quantize_e4m3_bf16_avx2, MXQ_E4M3, MXQ_BF16)
QUANTIZE_KERNEL(mxq_quantize_e4m3_f16_avx2, MXQ_E4M3, MXQ_F16)
QUANTIZE_KERNEL(mxq_quantize_e5m2_f32_avx2, MXQ_E5M2, MXQ_F32)
QUANTIZE_KERNEL(mxq_quantize_e5m2_bf16_avx2, MXQ_E5M2, MXQ_BF16)
QUANTIZE_KERNEL(mxq_quantize_e5m2_f16_avx2, MXQ_E5M2, MXQ_F16)

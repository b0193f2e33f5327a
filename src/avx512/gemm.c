/* SPDX-License-Identifier: Apache-2.0 */
/* gemm.c -- the dequantize-accumulate GEMM microkernels, AVX-512 column. */
#include "avx512/vec.h"

#define GEMM_ROWS          6
#define GEMM_PANELS        2
#define FUSED_ROWS         4
#define FUSED_PANELS(rows) ((rows) <= 2 ? 4u : 2u)
#define FUSED_SUMS         8
#define FUSED_X_BYTES      4

#include "lanes/gemm.h"

GEMM_KERNEL(mxq_gemm_f32_avx512)
GEMM_FUSED_KERNEL(mxq_gemm_f32_e4m3_avx512, MXQ_PACKED_E4M3)
GEMM_FUSED_KERNEL(mxq_gemm_f32_e5m2_avx512, MXQ_PACKED_E5M2)
GEMM_FUSED_KERNEL(mxq_gemm_f32_e2m1_avx512, MXQ_PACKED_E2M1)
GEMM_FUSED_KERNEL(mxq_gemm_f32_nvfp4_avx512, MXQ_PACKED_NVFP4)
GEMM_FUSED_KERNEL(mxq_gemm_f32_int8_avx512, MXQ_PACKED_INT8)

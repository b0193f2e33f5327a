/* SPDX-License-Identifier: Apache-2.0 */
/* gemm.c -- the dequantize-accumulate GEMM microkernels, AVX2 column. */
#include "avx2/vec.h"

#define GEMM_ROWS          3
#define GEMM_PANELS        1
#define FUSED_ROWS         2
#define FUSED_PANELS(rows) ((rows) == 1 ? 2u : 1u)
#define FUSED_SUMS         4
#define FUSED_X_BYTES      4

#include "lanes/gemm.h"

GEMM_KERNEL(mxq_gemm_f32_avx2)
GEMM_FUSED_KERNEL(mxq_gemm_f32_e4m3_avx2, MXQ_PACKED_E4M3)
GEMM_FUSED_KERNEL(mxq_gemm_f32_e5m2_avx2, MXQ_PACKED_E5M2)
GEMM_FUSED_KERNEL(mxq_gemm_f32_e2m1_avx2, MXQ_PACKED_E2M1)
GEMM_FUSED_KERNEL(mxq_gemm_f32_nvfp4_avx2, MXQ_PACKED_NVFP4)
GEMM_FUSED_KERNEL(mxq_gemm_f32_int8_avx2, MXQ_PACKED_INT8)

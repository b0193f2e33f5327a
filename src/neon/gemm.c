/* SPDX-License-Identifier: Apache-2.0 */
/* gemm.c -- the dequantize-accumulate GEMM microkernels, NEON column. */
#include "neon/vec.h"

/* 3 rows x 4 vectors x 2 chains are 24 of 32 registers; decoding in between needs more of them. */
#define GEMM_ROWS          3
#define GEMM_PANELS        1
#define FUSED_ROWS         2
#define FUSED_PANELS(rows) ((rows) == 1 ? 2u : 1u)
#define FUSED_SUMS         8
#define FUSED_X_BYTES      4

#include "lanes/gemm.h"

GEMM_KERNEL(mxq_gemm_f32_neon)
GEMM_FUSED_KERNEL(mxq_gemm_f32_e4m3_neon, MXQ_PACKED_E4M3)
GEMM_FUSED_KERNEL(mxq_gemm_f32_e5m2_neon, MXQ_PACKED_E5M2)
GEMM_FUSED_KERNEL(mxq_gemm_f32_e2m1_neon, MXQ_PACKED_E2M1)
GEMM_FUSED_KERNEL(mxq_gemm_f32_nvfp4_neon, MXQ_PACKED_NVFP4)
GEMM_FUSED_KERNEL(mxq_gemm_f32_int8_neon, MXQ_PACKED_INT8)

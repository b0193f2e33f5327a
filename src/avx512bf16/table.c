/* SPDX-License-Identifier: Apache-2.0 */
/* table.c -- the avx512bf16 row of the kernel matrix: avx512, and what deals with BF16 operands.
 * Everything else has no use for VDPBF16PS. */
#include "column.h"
#include "cpu.h"
#include "kernels.h"

/* clang-format off */
#define COLUMN avx512

const struct mxq_kernels mxq_kernels_avx512bf16 = {
    .isa = "avx512bf16",
    .requires = MXQ_CPU_AVX512 | MXQ_CPU_AVX512BF16,

#define MXQ_KERNEL MXQ_SLOT
#define MXQ_PRODUCT_KERNEL(name, family, index)
#include "kernels.def"
#undef MXQ_KERNEL

    .operand[MXQ_F32]               = mxq_operand_f32_f32_avx512,
    .operand[MXQ_BF16]              = mxq_operand_f32_bf16_avx512,
    .operand[MXQ_F16]               = mxq_operand_f32_f16_avx512,

    .round[MXQ_F32]                 = mxq_round_f32_f32_avx512,
    .round[MXQ_BF16]                = mxq_round_bf16_f32_avx512bf16,

    .panel[MXQ_PACKED_E4M3][MXQ_F32]          = mxq_panel_f32_e4m3_avx512,
    .panel[MXQ_PACKED_E4M3][MXQ_BF16]         = mxq_panel_bf16_e4m3_avx512bf16,
    .panel[MXQ_PACKED_E5M2][MXQ_F32]          = mxq_panel_f32_e5m2_avx512,
    .panel[MXQ_PACKED_E5M2][MXQ_BF16]         = mxq_panel_bf16_e5m2_avx512bf16,
    .panel[MXQ_PACKED_E2M1][MXQ_F32]          = mxq_panel_f32_e2m1_avx512,
    .panel[MXQ_PACKED_E2M1][MXQ_BF16]         = mxq_panel_bf16_e2m1_avx512bf16,
    .panel[MXQ_PACKED_NVFP4][MXQ_F32]         = mxq_panel_f32_nvfp4_avx512,
    .panel[MXQ_PACKED_NVFP4][MXQ_BF16]        = mxq_panel_bf16_nvfp4_avx512bf16,
    .panel[MXQ_PACKED_INT8][MXQ_F32]          = mxq_panel_f32_int8_avx512,
    .panel[MXQ_PACKED_INT8][MXQ_BF16]         = mxq_panel_bf16_int8_avx512bf16,
    .panel[MXQ_PACKED_E2M1][MXQ_COMPUTE_INT8] = mxq_panel_int8_e2m1_avx512,
    .panel[MXQ_PACKED_INT8][MXQ_COMPUTE_INT8] = mxq_panel_int8_int8_avx512,

    .gemm[MXQ_F32]                            = mxq_gemm_f32_avx512,
    .gemm[MXQ_BF16]                           = mxq_gemm_bf16_avx512bf16,
    .gemm[MXQ_COMPUTE_INT8]                   = mxq_gemm_int8_avx512,

    .gemm_fused[MXQ_PACKED_E4M3][MXQ_F32]     = mxq_gemm_f32_e4m3_avx512,
    .gemm_fused[MXQ_PACKED_E4M3][MXQ_BF16]    = mxq_gemm_bf16_e4m3_avx512bf16,
    .gemm_fused[MXQ_PACKED_E5M2][MXQ_F32]     = mxq_gemm_f32_e5m2_avx512,
    .gemm_fused[MXQ_PACKED_E5M2][MXQ_BF16]    = mxq_gemm_bf16_e5m2_avx512bf16,
    .gemm_fused[MXQ_PACKED_E2M1][MXQ_F32]     = mxq_gemm_f32_e2m1_avx512,
    .gemm_fused[MXQ_PACKED_E2M1][MXQ_BF16]    = mxq_gemm_bf16_e2m1_avx512bf16,
    .gemm_fused[MXQ_PACKED_NVFP4][MXQ_F32]    = mxq_gemm_f32_nvfp4_avx512,
    .gemm_fused[MXQ_PACKED_NVFP4][MXQ_BF16]   = mxq_gemm_bf16_nvfp4_avx512bf16,
    .gemm_fused[MXQ_PACKED_INT8][MXQ_F32]     = mxq_gemm_f32_int8_avx512,
    .gemm_fused[MXQ_PACKED_INT8][MXQ_BF16]    = mxq_gemm_bf16_int8_avx512bf16,

    .fold[MXQ_F32]                  = mxq_fold_f32_avx512,

    .output[MXQ_F32]                = mxq_output_f32_avx512,
    .output[MXQ_BF16]               = mxq_output_bf16_avx512,
    .output[MXQ_F16]                = mxq_output_f16_avx512,

    /*                           x,   w bytes rows  panels  blocks  few  flushes  k order        fused rows, of    task rows */
    .tile[MXQ_F32]          = {  128, 2048,  6,    2,      8,      8,   0,       {0, 1, 2, 3},  16, MXQ_F32, 192 },
    .tile[MXQ_BF16]         = {  64,  1024,  6,    2,      8,      8,   1,       {2, 0, 3, 1},  8, MXQ_BF16, 192 },
    .tile[MXQ_COMPUTE_INT8] = {  36,  640,   6,    2,      16,     4,   0,       {0, 1, 2, 3},  3, MXQ_F32, 528 },
};
/* clang-format on */

/* SPDX-License-Identifier: Apache-2.0 */
/* table.c -- the scalar row of the kernel matrix. */
#include "column.h"
#include "cpu.h"
#include "kernels.h"

/* clang-format off */
#define COLUMN scalar

const struct mxq_kernels mxq_kernels_scalar = {
    .isa = "scalar",
    .requires = 0,

#define MXQ_KERNEL MXQ_SLOT
#define MXQ_PRODUCT_KERNEL(name, family, index)
#include "kernels.def"
#undef MXQ_KERNEL

    .operand[MXQ_F32]               = mxq_operand_f32_f32_scalar,
    .operand[MXQ_BF16]              = mxq_operand_f32_bf16_scalar,
    .operand[MXQ_F16]               = mxq_operand_f32_f16_scalar,

    .round[MXQ_F32]                 = mxq_round_f32_f32_scalar,
    .round[MXQ_BF16]                = mxq_round_bf16_f32_scalar,

    .panel[MXQ_PACKED_E4M3][MXQ_F32]          = mxq_panel_f32_e4m3_scalar,
    .panel[MXQ_PACKED_E4M3][MXQ_BF16]         = mxq_panel_bf16_e4m3_scalar,
    .panel[MXQ_PACKED_E5M2][MXQ_F32]          = mxq_panel_f32_e5m2_scalar,
    .panel[MXQ_PACKED_E5M2][MXQ_BF16]         = mxq_panel_bf16_e5m2_scalar,
    .panel[MXQ_PACKED_E2M1][MXQ_F32]          = mxq_panel_f32_e2m1_scalar,
    .panel[MXQ_PACKED_E2M1][MXQ_BF16]         = mxq_panel_bf16_e2m1_scalar,
    .panel[MXQ_PACKED_NVFP4][MXQ_F32]         = mxq_panel_f32_nvfp4_scalar,
    .panel[MXQ_PACKED_NVFP4][MXQ_BF16]        = mxq_panel_bf16_nvfp4_scalar,
    .panel[MXQ_PACKED_INT8][MXQ_F32]          = mxq_panel_f32_int8_scalar,
    .panel[MXQ_PACKED_INT8][MXQ_BF16]         = mxq_panel_bf16_int8_scalar,
    .panel[MXQ_PACKED_E2M1][MXQ_COMPUTE_INT8] = mxq_panel_int8_e2m1_scalar,
    .panel[MXQ_PACKED_INT8][MXQ_COMPUTE_INT8] = mxq_panel_int8_int8_scalar,

    .gemm[MXQ_F32]                            = mxq_gemm_f32_scalar,
    .gemm[MXQ_BF16]                           = mxq_gemm_bf16_scalar,
    .gemm[MXQ_COMPUTE_INT8]                   = mxq_gemm_int8_scalar,

    .gemm_fused[MXQ_PACKED_E4M3][MXQ_F32]     = mxq_gemm_f32_e4m3_scalar,
    .gemm_fused[MXQ_PACKED_E4M3][MXQ_BF16]    = mxq_gemm_bf16_e4m3_scalar,
    .gemm_fused[MXQ_PACKED_E5M2][MXQ_F32]     = mxq_gemm_f32_e5m2_scalar,
    .gemm_fused[MXQ_PACKED_E5M2][MXQ_BF16]    = mxq_gemm_bf16_e5m2_scalar,
    .gemm_fused[MXQ_PACKED_E2M1][MXQ_F32]     = mxq_gemm_f32_e2m1_scalar,
    .gemm_fused[MXQ_PACKED_E2M1][MXQ_BF16]    = mxq_gemm_bf16_e2m1_scalar,
    .gemm_fused[MXQ_PACKED_NVFP4][MXQ_F32]    = mxq_gemm_f32_nvfp4_scalar,
    .gemm_fused[MXQ_PACKED_NVFP4][MXQ_BF16]   = mxq_gemm_bf16_nvfp4_scalar,
    .gemm_fused[MXQ_PACKED_INT8][MXQ_F32]     = mxq_gemm_f32_int8_scalar,
    .gemm_fused[MXQ_PACKED_INT8][MXQ_BF16]    = mxq_gemm_bf16_int8_scalar,

    .fold[MXQ_F32]                  = mxq_fold_f32_scalar,

    .output[MXQ_F32]                = mxq_output_f32_scalar,
    .output[MXQ_BF16]               = mxq_output_bf16_scalar,
    .output[MXQ_F16]                = mxq_output_f16_scalar,

    /*                           x,   w bytes rows  panels  blocks  few  flushes  k order        fused rows, of    task rows */
    .tile[MXQ_F32]          = {  128, 2048,  1,    1,      4,      4,   0,       {0, 1, 2, 3},  1, MXQ_F32, 128 },
    .tile[MXQ_BF16]         = {  64,  1024,  1,    1,      4,      4,   0,       {0, 1, 2, 3},  1, MXQ_BF16, 128 },
    .tile[MXQ_COMPUTE_INT8] = {  36,  640,   1,    1,      4,      4,   0,       {0, 1, 2, 3},  1, MXQ_F32, 128 },
};
/* clang-format on */

/* SPDX-License-Identifier: Apache-2.0 */
/* table.c -- the avx2 row of the kernel matrix. */
#include "column.h"
#include "cpu.h"
#include "kernels.h"

/* clang-format off */
#define COLUMN avx2

const struct mxq_kernels mxq_kernels_avx2 = {
    .isa = "avx2",
    .requires = MXQ_CPU_AVX2,

#define MXQ_KERNEL MXQ_SLOT
#define MXQ_PRODUCT_KERNEL(name, family, index)
#include "kernels.def"
#undef MXQ_KERNEL

    .operand[MXQ_F32]               = mxq_operand_f32_f32_avx2,
    .operand[MXQ_BF16]              = mxq_operand_f32_bf16_avx2,
    .operand[MXQ_F16]               = mxq_operand_f32_f16_avx2,

    .round[MXQ_F32]                 = mxq_round_f32_f32_avx2,
    .round[MXQ_BF16]                = mxq_round_f32_f32_avx2,

    .panel[MXQ_PACKED_E4M3][MXQ_F32]          = mxq_panel_f32_e4m3_avx2,
    .panel[MXQ_PACKED_E4M3][MXQ_BF16]         = mxq_panel_f32_e4m3_avx2,
    .panel[MXQ_PACKED_E5M2][MXQ_F32]          = mxq_panel_f32_e5m2_avx2,
    .panel[MXQ_PACKED_E5M2][MXQ_BF16]         = mxq_panel_f32_e5m2_avx2,
    .panel[MXQ_PACKED_E2M1][MXQ_F32]          = mxq_panel_f32_e2m1_avx2,
    .panel[MXQ_PACKED_E2M1][MXQ_BF16]         = mxq_panel_f32_e2m1_avx2,
    .panel[MXQ_PACKED_NVFP4][MXQ_F32]         = mxq_panel_f32_nvfp4_avx2,
    .panel[MXQ_PACKED_NVFP4][MXQ_BF16]        = mxq_panel_f32_nvfp4_avx2,
    .panel[MXQ_PACKED_INT8][MXQ_F32]          = mxq_panel_f32_int8_avx2,
    .panel[MXQ_PACKED_INT8][MXQ_BF16]         = mxq_panel_f32_int8_avx2,
    .panel[MXQ_PACKED_E2M1][MXQ_COMPUTE_INT8] = mxq_panel_int8_e2m1_avx2,
    .panel[MXQ_PACKED_INT8][MXQ_COMPUTE_INT8] = mxq_panel_int8_int8_avx2,

    .gemm[MXQ_F32]                            = mxq_gemm_f32_avx2,
    .gemm[MXQ_BF16]                           = mxq_gemm_f32_avx2,
    .gemm[MXQ_COMPUTE_INT8]                   = mxq_gemm_int8_avx2,

    .gemm_fused[MXQ_PACKED_E4M3][MXQ_F32]     = mxq_gemm_f32_e4m3_avx2,
    .gemm_fused[MXQ_PACKED_E4M3][MXQ_BF16]    = mxq_gemm_f32_e4m3_avx2,
    .gemm_fused[MXQ_PACKED_E5M2][MXQ_F32]     = mxq_gemm_f32_e5m2_avx2,
    .gemm_fused[MXQ_PACKED_E5M2][MXQ_BF16]    = mxq_gemm_f32_e5m2_avx2,
    .gemm_fused[MXQ_PACKED_E2M1][MXQ_F32]     = mxq_gemm_f32_e2m1_avx2,
    .gemm_fused[MXQ_PACKED_E2M1][MXQ_BF16]    = mxq_gemm_f32_e2m1_avx2,
    .gemm_fused[MXQ_PACKED_NVFP4][MXQ_F32]    = mxq_gemm_f32_nvfp4_avx2,
    .gemm_fused[MXQ_PACKED_NVFP4][MXQ_BF16]   = mxq_gemm_f32_nvfp4_avx2,
    .gemm_fused[MXQ_PACKED_INT8][MXQ_F32]     = mxq_gemm_f32_int8_avx2,
    .gemm_fused[MXQ_PACKED_INT8][MXQ_BF16]    = mxq_gemm_f32_int8_avx2,

    .fold[MXQ_F32]                  = mxq_fold_f32_avx2,

    .output[MXQ_F32]                = mxq_output_f32_avx2,
    .output[MXQ_BF16]               = mxq_output_bf16_avx2,
    .output[MXQ_F16]                = mxq_output_f16_avx2,

    /* Without a BF16 unit F32 is the faster one for BF16 values too: their slots hold the F32 kernels. */
    /*                           x,   w bytes rows  panels  blocks  few  flushes  k order        fused rows, of    task rows */
    .tile[MXQ_F32]          = {  128, 2048,  3,    1,      8,      8,   0,       {0, 1, 2, 3},  4, MXQ_F32, 192 },
    .tile[MXQ_BF16]         = {  128, 2048,  3,    1,      8,      8,   0,       {0, 1, 2, 3},  4, MXQ_F32, 192 },
    .tile[MXQ_COMPUTE_INT8] = {  36,  1088,  6,    2,      8,      4,   0,       {0, 1, 2, 3},  2, MXQ_F32, 192 },
};
/* clang-format on */

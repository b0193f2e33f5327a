/* SPDX-License-Identifier: Apache-2.0 */
/* table.c -- the amx row of the kernel matrix: avx512, with tiles for the product, and operands of BF16 for
 * them.  Everything else has no use for tiles, nor has a product with few rows. */
#include "column.h"
#include "cpu.h"
#include "kernels.h"

/* clang-format off */
#define COLUMN avx512

const struct mxq_kernels mxq_kernels_amx = {
    .isa = "amx",
    .requires = MXQ_CPU_AVX512 | MXQ_CPU_AVX512BF16 | MXQ_CPU_AMX,

#define MXQ_KERNEL MXQ_SLOT
#define MXQ_PRODUCT_KERNEL(name, family, index)
#include "kernels.def"
#undef MXQ_KERNEL

    .operand[MXQ_F32]               = mxq_operand_f32_f32_avx512,
    .operand[MXQ_BF16]              = mxq_operand_f32_bf16_avx512,
    .operand[MXQ_F16]               = mxq_operand_f32_f16_avx512,

    .round[MXQ_F32]                 = mxq_round_f32_f32_avx512,
    .round[MXQ_BF16]                = mxq_round_bf16_f32_amx,

    .panel[MXQ_PACKED_E4M3][MXQ_F32]          = mxq_panel_f32_e4m3_avx512,
    .panel[MXQ_PACKED_E4M3][MXQ_BF16]         = mxq_panel_bf16_e4m3_amx,
    .panel[MXQ_PACKED_E5M2][MXQ_F32]          = mxq_panel_f32_e5m2_avx512,
    .panel[MXQ_PACKED_E5M2][MXQ_BF16]         = mxq_panel_bf16_e5m2_amx,
    .panel[MXQ_PACKED_E2M1][MXQ_F32]          = mxq_panel_f32_e2m1_avx512,
    .panel[MXQ_PACKED_E2M1][MXQ_BF16]         = mxq_panel_bf16_e2m1_amx,
    .panel[MXQ_PACKED_NVFP4][MXQ_F32]         = mxq_panel_f32_nvfp4_avx512,
    .panel[MXQ_PACKED_NVFP4][MXQ_BF16]        = mxq_panel_bf16_nvfp4_amx,
    .panel[MXQ_PACKED_INT8][MXQ_F32]          = mxq_panel_f32_int8_avx512,
    .panel[MXQ_PACKED_INT8][MXQ_BF16]         = mxq_panel_bf16_int8_amx,
    .panel[MXQ_PACKED_E2M1][MXQ_COMPUTE_INT8] = mxq_panel_int8_e2m1_avx512,
    .panel[MXQ_PACKED_INT8][MXQ_COMPUTE_INT8] = mxq_panel_int8_int8_avx512,

    .gemm[MXQ_F32]                            = mxq_gemm_f32_avx512,
    .gemm[MXQ_BF16]                           = mxq_gemm_bf16_amx,
    .gemm[MXQ_COMPUTE_INT8]                   = mxq_gemm_int8_amx,

    .gemm_fused[MXQ_PACKED_E4M3][MXQ_F32]     = mxq_gemm_f32_e4m3_avx512,
    .gemm_fused[MXQ_PACKED_E4M3][MXQ_BF16]    = mxq_gemm_f32_e4m3_avx512,
    .gemm_fused[MXQ_PACKED_E5M2][MXQ_F32]     = mxq_gemm_f32_e5m2_avx512,
    .gemm_fused[MXQ_PACKED_E5M2][MXQ_BF16]    = mxq_gemm_f32_e5m2_avx512,
    .gemm_fused[MXQ_PACKED_E2M1][MXQ_F32]     = mxq_gemm_f32_e2m1_avx512,
    .gemm_fused[MXQ_PACKED_E2M1][MXQ_BF16]    = mxq_gemm_f32_e2m1_avx512,
    .gemm_fused[MXQ_PACKED_NVFP4][MXQ_F32]    = mxq_gemm_f32_nvfp4_avx512,
    .gemm_fused[MXQ_PACKED_NVFP4][MXQ_BF16]   = mxq_gemm_f32_nvfp4_avx512,
    .gemm_fused[MXQ_PACKED_INT8][MXQ_F32]     = mxq_gemm_f32_int8_avx512,
    .gemm_fused[MXQ_PACKED_INT8][MXQ_BF16]    = mxq_gemm_f32_int8_avx512,

    .fold[MXQ_F32]                  = mxq_fold_f32_avx512,

    .output[MXQ_F32]                = mxq_output_f32_avx512,
    .output[MXQ_BF16]               = mxq_output_bf16_avx512,
    .output[MXQ_F16]                = mxq_output_f16_avx512,

    /*                           x,   w bytes rows  panels  blocks  few  flushes  k order        fused rows, of    task rows */
    .tile[MXQ_F32]          = {  128, 2048,  6,    2,      8,      8,   0,       {0, 1, 2, 3},  16, MXQ_F32, 192 },
    .tile[MXQ_BF16]         = {  64,  1024,  32,   2,      16,     16,  2,       {0, 1, 2, 3},  4, MXQ_F32, 512 },
    .tile[MXQ_COMPUTE_INT8] = {  36,  640,   32,   2,      16,     16,  0,       {0, 1, 2, 3},  4, MXQ_F32, 512 },
};
/* clang-format on */

/* SPDX-License-Identifier: Apache-2.0 */
/* table.c -- the avx2 row of the kernel matrix. */
#include "cpu.h"
#include "kernels.h"

/* clang-format off */
const struct mxq_kernels mxq_kernels_avx2 = {
    .isa = "avx2",
    .requires = MXQ_CPU_AVX2,

    .amax[MXQ_F32]                  = mxq_amax_f32_avx2,
    .amax[MXQ_BF16]                 = mxq_amax_bf16_avx2,
    .amax[MXQ_F16]                  = mxq_amax_f16_avx2,

    .scale[MXQ_E8M0]                = mxq_scale_e8m0_avx2,

    .pack[MXQ_E4M3][MXQ_F32]        = mxq_pack_e4m3_f32_avx2,
    .pack[MXQ_E4M3][MXQ_BF16]       = mxq_pack_e4m3_bf16_avx2,
    .pack[MXQ_E4M3][MXQ_F16]        = mxq_pack_e4m3_f16_avx2,
    .pack[MXQ_E5M2][MXQ_F32]        = mxq_pack_e5m2_f32_avx2,
    .pack[MXQ_E5M2][MXQ_BF16]       = mxq_pack_e5m2_bf16_avx2,
    .pack[MXQ_E5M2][MXQ_F16]        = mxq_pack_e5m2_f16_avx2,

    .unpack[MXQ_E4M3][MXQ_F32]      = mxq_unpack_f32_e4m3_avx2,
    .unpack[MXQ_E4M3][MXQ_BF16]     = mxq_unpack_bf16_e4m3_avx2,
    .unpack[MXQ_E4M3][MXQ_F16]      = mxq_unpack_f16_e4m3_avx2,
    .unpack[MXQ_E5M2][MXQ_F32]      = mxq_unpack_f32_e5m2_avx2,
    .unpack[MXQ_E5M2][MXQ_BF16]     = mxq_unpack_bf16_e5m2_avx2,
    .unpack[MXQ_E5M2][MXQ_F16]      = mxq_unpack_f16_e5m2_avx2,

    .quantize[MXQ_E4M3][MXQ_F32]    = mxq_quantize_e4m3_f32_avx2,
    .quantize[MXQ_E4M3][MXQ_BF16]   = mxq_quantize_e4m3_bf16_avx2,
    .quantize[MXQ_E4M3][MXQ_F16]    = mxq_quantize_e4m3_f16_avx2,
    .quantize[MXQ_E5M2][MXQ_F32]    = mxq_quantize_e5m2_f32_avx2,
    .quantize[MXQ_E5M2][MXQ_BF16]   = mxq_quantize_e5m2_bf16_avx2,
    .quantize[MXQ_E5M2][MXQ_F16]    = mxq_quantize_e5m2_f16_avx2,

    .operand[MXQ_F32]               = mxq_operand_f32_f32_avx2,
    .operand[MXQ_BF16]              = mxq_operand_f32_bf16_avx2,
    .operand[MXQ_F16]               = mxq_operand_f32_f16_avx2,

    .round[MXQ_F32]                 = mxq_round_f32_f32_avx2,
    .round[MXQ_BF16]                = mxq_round_f32_f32_avx2,

    .panel[MXQ_E4M3][MXQ_F32]       = mxq_panel_f32_e4m3_avx2,
    .panel[MXQ_E4M3][MXQ_BF16]      = mxq_panel_f32_e4m3_avx2,
    .panel[MXQ_E5M2][MXQ_F32]       = mxq_panel_f32_e5m2_avx2,
    .panel[MXQ_E5M2][MXQ_BF16]      = mxq_panel_f32_e5m2_avx2,

    .gemm[MXQ_F32]                  = mxq_gemm_f32_avx2,
    .gemm[MXQ_BF16]                 = mxq_gemm_f32_avx2,

    .gemm_fused[MXQ_E4M3][MXQ_F32]  = mxq_gemm_f32_e4m3_avx2,
    .gemm_fused[MXQ_E4M3][MXQ_BF16] = mxq_gemm_f32_e4m3_avx2,
    .gemm_fused[MXQ_E5M2][MXQ_F32]  = mxq_gemm_f32_e5m2_avx2,
    .gemm_fused[MXQ_E5M2][MXQ_BF16] = mxq_gemm_f32_e5m2_avx2,

    .output[MXQ_F32]                = mxq_output_f32_avx2,
    .output[MXQ_BF16]               = mxq_output_bf16_avx2,
    .output[MXQ_F16]                = mxq_output_f16_avx2,

    /* Without a BF16 unit F32 is the faster one for BF16 values too: their slots hold the F32 kernels. */
    /*                   bytes  rows  panels  blocks  flushes  k order        fused rows, of    task rows */
    .tile[MXQ_F32]  = {  4,     3,    1,      8,      0,       {0, 1, 2, 3},  4, MXQ_F32, 192 },
    .tile[MXQ_BF16] = {  4,     3,    1,      8,      0,       {0, 1, 2, 3},  4, MXQ_F32, 192 },
};
/* clang-format on */

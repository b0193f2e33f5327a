/* SPDX-License-Identifier: Apache-2.0 */
/* table.c -- the scalar row of the kernel matrix. */
#include "cpu.h"
#include "kernels.h"

/* clang-format off */
const struct mxq_kernels mxq_kernels_scalar = {
    .isa = "scalar",
    .requires = 0,

    .amax[MXQ_F32]                  = mxq_amax_f32_scalar,
    .amax[MXQ_BF16]                 = mxq_amax_bf16_scalar,
    .amax[MXQ_F16]                  = mxq_amax_f16_scalar,

    .scale[MXQ_E8M0]                = mxq_scale_e8m0_scalar,

    .pack[MXQ_E4M3][MXQ_F32]        = mxq_pack_e4m3_f32_scalar,
    .pack[MXQ_E4M3][MXQ_BF16]       = mxq_pack_e4m3_bf16_scalar,
    .pack[MXQ_E4M3][MXQ_F16]        = mxq_pack_e4m3_f16_scalar,
    .pack[MXQ_E5M2][MXQ_F32]        = mxq_pack_e5m2_f32_scalar,
    .pack[MXQ_E5M2][MXQ_BF16]       = mxq_pack_e5m2_bf16_scalar,
    .pack[MXQ_E5M2][MXQ_F16]        = mxq_pack_e5m2_f16_scalar,

    .unpack[MXQ_E4M3][MXQ_F32]      = mxq_unpack_f32_e4m3_scalar,
    .unpack[MXQ_E4M3][MXQ_BF16]     = mxq_unpack_bf16_e4m3_scalar,
    .unpack[MXQ_E4M3][MXQ_F16]      = mxq_unpack_f16_e4m3_scalar,
    .unpack[MXQ_E5M2][MXQ_F32]      = mxq_unpack_f32_e5m2_scalar,
    .unpack[MXQ_E5M2][MXQ_BF16]     = mxq_unpack_bf16_e5m2_scalar,
    .unpack[MXQ_E5M2][MXQ_F16]      = mxq_unpack_f16_e5m2_scalar,

    .quantize[MXQ_E4M3][MXQ_F32]    = mxq_quantize_e4m3_f32_scalar,
    .quantize[MXQ_E4M3][MXQ_BF16]   = mxq_quantize_e4m3_bf16_scalar,
    .quantize[MXQ_E4M3][MXQ_F16]    = mxq_quantize_e4m3_f16_scalar,
    .quantize[MXQ_E5M2][MXQ_F32]    = mxq_quantize_e5m2_f32_scalar,
    .quantize[MXQ_E5M2][MXQ_BF16]   = mxq_quantize_e5m2_bf16_scalar,
    .quantize[MXQ_E5M2][MXQ_F16]    = mxq_quantize_e5m2_f16_scalar,

    .operand[MXQ_F32]               = mxq_operand_f32_f32_scalar,
    .operand[MXQ_BF16]              = mxq_operand_f32_bf16_scalar,
    .operand[MXQ_F16]               = mxq_operand_f32_f16_scalar,

    .round[MXQ_F32]                 = mxq_round_f32_f32_scalar,
    .round[MXQ_BF16]                = mxq_round_bf16_f32_scalar,

    .panel[MXQ_E4M3][MXQ_F32]       = mxq_panel_f32_e4m3_scalar,
    .panel[MXQ_E4M3][MXQ_BF16]      = mxq_panel_bf16_e4m3_scalar,
    .panel[MXQ_E5M2][MXQ_F32]       = mxq_panel_f32_e5m2_scalar,
    .panel[MXQ_E5M2][MXQ_BF16]      = mxq_panel_bf16_e5m2_scalar,

    .gemm[MXQ_F32]                  = mxq_gemm_f32_scalar,
    .gemm[MXQ_BF16]                 = mxq_gemm_bf16_scalar,

    .gemm_fused[MXQ_E4M3][MXQ_F32]  = mxq_gemm_f32_e4m3_scalar,
    .gemm_fused[MXQ_E4M3][MXQ_BF16] = mxq_gemm_bf16_e4m3_scalar,
    .gemm_fused[MXQ_E5M2][MXQ_F32]  = mxq_gemm_f32_e5m2_scalar,
    .gemm_fused[MXQ_E5M2][MXQ_BF16] = mxq_gemm_bf16_e5m2_scalar,

    .output[MXQ_F32]                = mxq_output_f32_scalar,
    .output[MXQ_BF16]               = mxq_output_bf16_scalar,
    .output[MXQ_F16]                = mxq_output_f16_scalar,

    /*                   bytes  rows  panels  blocks  flushes  k order        fused rows, of    task rows */
    .tile[MXQ_F32]  = {  4,     1,    1,      4,      0,       {0, 1, 2, 3},  1, MXQ_F32, 128 },
    .tile[MXQ_BF16] = {  2,     1,    1,      4,      0,       {0, 1, 2, 3},  1, MXQ_BF16, 128 },
};
/* clang-format on */

/* SPDX-License-Identifier: Apache-2.0 */
/* table.c -- the avx512bf16 row of the kernel matrix: avx512, and what deals with BF16 operands.
 * Everything else has no use for VDPBF16PS. */
#include "cpu.h"
#include "kernels.h"

/* clang-format off */
const struct mxq_kernels mxq_kernels_avx512bf16 = {
    .isa = "avx512bf16",
    .requires = MXQ_CPU_AVX512 | MXQ_CPU_AVX512BF16,

    .amax[MXQ_F32]                  = mxq_amax_f32_avx512,
    .amax[MXQ_BF16]                 = mxq_amax_bf16_avx512,
    .amax[MXQ_F16]                  = mxq_amax_f16_avx512,

    .scale[MXQ_E8M0]                = mxq_scale_e8m0_avx512,

    .pack[MXQ_E4M3][MXQ_F32]        = mxq_pack_e4m3_f32_avx512,
    .pack[MXQ_E4M3][MXQ_BF16]       = mxq_pack_e4m3_bf16_avx512,
    .pack[MXQ_E4M3][MXQ_F16]        = mxq_pack_e4m3_f16_avx512,
    .pack[MXQ_E5M2][MXQ_F32]        = mxq_pack_e5m2_f32_avx512,
    .pack[MXQ_E5M2][MXQ_BF16]       = mxq_pack_e5m2_bf16_avx512,
    .pack[MXQ_E5M2][MXQ_F16]        = mxq_pack_e5m2_f16_avx512,

    .unpack[MXQ_E4M3][MXQ_F32]      = mxq_unpack_f32_e4m3_avx512,
    .unpack[MXQ_E4M3][MXQ_BF16]     = mxq_unpack_bf16_e4m3_avx512,
    .unpack[MXQ_E4M3][MXQ_F16]      = mxq_unpack_f16_e4m3_avx512,
    .unpack[MXQ_E5M2][MXQ_F32]      = mxq_unpack_f32_e5m2_avx512,
    .unpack[MXQ_E5M2][MXQ_BF16]     = mxq_unpack_bf16_e5m2_avx512,
    .unpack[MXQ_E5M2][MXQ_F16]      = mxq_unpack_f16_e5m2_avx512,

    .quantize[MXQ_E4M3][MXQ_F32]    = mxq_quantize_e4m3_f32_avx512,
    .quantize[MXQ_E4M3][MXQ_BF16]   = mxq_quantize_e4m3_bf16_avx512,
    .quantize[MXQ_E4M3][MXQ_F16]    = mxq_quantize_e4m3_f16_avx512,
    .quantize[MXQ_E5M2][MXQ_F32]    = mxq_quantize_e5m2_f32_avx512,
    .quantize[MXQ_E5M2][MXQ_BF16]   = mxq_quantize_e5m2_bf16_avx512,
    .quantize[MXQ_E5M2][MXQ_F16]    = mxq_quantize_e5m2_f16_avx512,

    .operand[MXQ_F32]               = mxq_operand_f32_f32_avx512,
    .operand[MXQ_BF16]              = mxq_operand_f32_bf16_avx512,
    .operand[MXQ_F16]               = mxq_operand_f32_f16_avx512,

    .round[MXQ_F32]                 = mxq_round_f32_f32_avx512,
    .round[MXQ_BF16]                = mxq_round_bf16_f32_avx512bf16,

    .panel[MXQ_E4M3][MXQ_F32]       = mxq_panel_f32_e4m3_avx512,
    .panel[MXQ_E4M3][MXQ_BF16]      = mxq_panel_bf16_e4m3_avx512bf16,
    .panel[MXQ_E5M2][MXQ_F32]       = mxq_panel_f32_e5m2_avx512,
    .panel[MXQ_E5M2][MXQ_BF16]      = mxq_panel_bf16_e5m2_avx512bf16,

    .gemm[MXQ_F32]                  = mxq_gemm_f32_avx512,
    .gemm[MXQ_BF16]                 = mxq_gemm_bf16_avx512bf16,

    .gemm_fused[MXQ_E4M3][MXQ_F32]  = mxq_gemm_f32_e4m3_avx512,
    .gemm_fused[MXQ_E4M3][MXQ_BF16] = mxq_gemm_bf16_e4m3_avx512bf16,
    .gemm_fused[MXQ_E5M2][MXQ_F32]  = mxq_gemm_f32_e5m2_avx512,
    .gemm_fused[MXQ_E5M2][MXQ_BF16] = mxq_gemm_bf16_e5m2_avx512bf16,

    .output[MXQ_F32]                = mxq_output_f32_avx512,
    .output[MXQ_BF16]               = mxq_output_bf16_avx512,
    .output[MXQ_F16]                = mxq_output_f16_avx512,

    /*                   bytes  rows  panels  blocks  flushes  k order        fused rows, of    task rows */
    .tile[MXQ_F32]  = {  4,     6,    2,      8,      0,       {0, 1, 2, 3},  16, MXQ_F32, 192 },
    .tile[MXQ_BF16] = {  2,     6,    2,      8,      1,       {2, 0, 3, 1},  8, MXQ_BF16, 192 },
};
/* clang-format on */

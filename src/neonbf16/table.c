/* SPDX-License-Identifier: Apache-2.0 */
/* table.c -- the neonbf16 row of the kernel matrix: neon, with a BF16 GEMM.
 *
 * FEAT_BF16 multiplies BF16 and converts to it, FEAT_DotProd multiplies bytes: nothing that the other families
 * need, so they are neon's.
 *
 * Its unit does not flush.  BFMLALB and BFMLALT, says the Arm manual, are fused and honour all control
 * bits of FPCR that apply to F32 arithmetic, and the entry points set those to nearest even without
 * flushing.  (BFDOT and BFMMLA do flush, whatever FPCR says: one more reason not to use them.) */
#include "column.h"
#include "cpu.h"
#include "kernels.h"

/* clang-format off */
#define COLUMN neon

const struct mxq_kernels mxq_kernels_neonbf16 = {
    .isa = "neonbf16",
    .requires = MXQ_CPU_NEON | MXQ_CPU_NEONBF16,

#define MXQ_KERNEL MXQ_SLOT
#define MXQ_PRODUCT_KERNEL(name, family, index)
#include "kernels.def"
#undef MXQ_KERNEL

    .operand[MXQ_F32]               = mxq_operand_f32_f32_neon,
    .operand[MXQ_BF16]              = mxq_operand_f32_bf16_neon,
    .operand[MXQ_F16]               = mxq_operand_f32_f16_neon,

    .round[MXQ_F32]                 = mxq_round_f32_f32_neon,
    .round[MXQ_BF16]                = mxq_round_bf16_f32_neonbf16,

    .panel[MXQ_PACKED_E4M3][MXQ_F32]          = mxq_panel_f32_e4m3_neon,
    .panel[MXQ_PACKED_E4M3][MXQ_BF16]         = mxq_panel_bf16_e4m3_neonbf16,
    .panel[MXQ_PACKED_E5M2][MXQ_F32]          = mxq_panel_f32_e5m2_neon,
    .panel[MXQ_PACKED_E5M2][MXQ_BF16]         = mxq_panel_bf16_e5m2_neonbf16,
    .panel[MXQ_PACKED_E2M1][MXQ_F32]          = mxq_panel_f32_e2m1_neon,
    .panel[MXQ_PACKED_E2M1][MXQ_BF16]         = mxq_panel_bf16_e2m1_neonbf16,
    .panel[MXQ_PACKED_NVFP4][MXQ_F32]         = mxq_panel_f32_nvfp4_neon,
    .panel[MXQ_PACKED_NVFP4][MXQ_BF16]        = mxq_panel_bf16_nvfp4_neonbf16,
    .panel[MXQ_PACKED_INT8][MXQ_F32]          = mxq_panel_f32_int8_neon,
    .panel[MXQ_PACKED_INT8][MXQ_BF16]         = mxq_panel_bf16_int8_neonbf16,
    .panel[MXQ_PACKED_E2M1][MXQ_COMPUTE_INT8] = mxq_panel_int8_e2m1_neon,
    .panel[MXQ_PACKED_INT8][MXQ_COMPUTE_INT8] = mxq_panel_int8_int8_neon,

    .gemm[MXQ_F32]                            = mxq_gemm_f32_neon,
    .gemm[MXQ_BF16]                           = mxq_gemm_bf16_neonbf16,
    .gemm[MXQ_COMPUTE_INT8]                   = mxq_gemm_int8_neonbf16,

    .gemm_fused[MXQ_PACKED_E4M3][MXQ_F32]     = mxq_gemm_f32_e4m3_neon,
    .gemm_fused[MXQ_PACKED_E4M3][MXQ_BF16]    = mxq_gemm_f32_e4m3_neon,
    .gemm_fused[MXQ_PACKED_E5M2][MXQ_F32]     = mxq_gemm_f32_e5m2_neon,
    .gemm_fused[MXQ_PACKED_E5M2][MXQ_BF16]    = mxq_gemm_f32_e5m2_neon,
    .gemm_fused[MXQ_PACKED_E2M1][MXQ_F32]     = mxq_gemm_f32_e2m1_neon,
    .gemm_fused[MXQ_PACKED_E2M1][MXQ_BF16]    = mxq_gemm_f32_e2m1_neon,
    .gemm_fused[MXQ_PACKED_NVFP4][MXQ_F32]    = mxq_gemm_f32_nvfp4_neon,
    .gemm_fused[MXQ_PACKED_NVFP4][MXQ_BF16]   = mxq_gemm_f32_nvfp4_neon,
    .gemm_fused[MXQ_PACKED_INT8][MXQ_F32]     = mxq_gemm_f32_int8_neon,
    .gemm_fused[MXQ_PACKED_INT8][MXQ_BF16]    = mxq_gemm_f32_int8_neon,

    .fold[MXQ_F32]                  = mxq_fold_f32_neon,

    .output[MXQ_F32]                = mxq_output_f32_neon,
    .output[MXQ_BF16]               = mxq_output_bf16_neon,
    .output[MXQ_F16]                = mxq_output_f16_neon,

    /*                           x,   w bytes rows  panels  blocks  few  flushes  k order        fused rows, of    task rows */
    .tile[MXQ_F32]          = {  128, 2048,  3,    1,      8,      8,   0,       {0, 1, 2, 3},  2, MXQ_F32, 192 },
    .tile[MXQ_BF16]         = {  64,  1024,  3,    1,      16,     16,  0,       {0, 1, 2, 3},  2, MXQ_F32, 192 },
    .tile[MXQ_COMPUTE_INT8] = {  36,  640,   4,    2,      16,     16,  0,       {0, 1, 2, 3},  2, MXQ_F32, 192 },
};
/* clang-format on */

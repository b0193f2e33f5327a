/* SPDX-License-Identifier: Apache-2.0 */
/* operand.c -- what goes into and comes out of the GEMM, AVX2 column. */
#include "avx2/vec.h"

#include "lanes/operand.h"

OPERAND_KERNEL(mxq_operand_f32_f32_avx2, MXQ_F32)
OPERAND_KERNEL(mxq_operand_f32_bf16_avx2, MXQ_BF16)
OPERAND_KERNEL(mxq_operand_f32_f16_avx2, MXQ_F16)
ROUND_F32_KERNEL(mxq_round_f32_f32_avx2)
FOLD_KERNEL(mxq_fold_f32_avx2)
OUTPUT_KERNEL(mxq_output_f32_avx2, MXQ_F32)
OUTPUT_KERNEL(mxq_output_bf16_avx2, MXQ_BF16)
OUTPUT_KERNEL(mxq_output_f16_avx2, MXQ_F16)

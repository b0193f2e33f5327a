/* SPDX-License-Identifier: Apache-2.0 */
/* operand.c -- what goes into and comes out of the GEMM, NEON column. */
#include "neon/vec.h"

#include "lanes/operand.h"

OPERAND_KERNEL(mxq_operand_f32_f32_neon, MXQ_F32)
OPERAND_KERNEL(mxq_operand_f32_bf16_neon, MXQ_BF16)
OPERAND_KERNEL(mxq_operand_f32_f16_neon, MXQ_F16)
ROUND_F32_KERNEL(mxq_round_f32_f32_neon)
FOLD_KERNEL(mxq_fold_f32_neon)
OUTPUT_KERNEL(mxq_output_f32_neon, MXQ_F32)
OUTPUT_KERNEL(mxq_output_bf16_neon, MXQ_BF16)
OUTPUT_KERNEL(mxq_output_f16_neon, MXQ_F16)

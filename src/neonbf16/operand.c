/* SPDX-License-Identifier: Apache-2.0 */
/* operand.c -- x of the BF16 GEMM, NEON with FEAT_BF16. */
#include "kernels.h"

/* In plain order x is what the neon row stores as BF16 output: the same rounding, by integers.  BFCVTN
 * would keep the payloads of NaNs. */
void mxq_round_bf16_f32_neonbf16(void *out, const float *x, size_t blocks)
{
    mxq_output_bf16_neon(out, x, NULL, blocks * (MXQ_BLOCK / MXQ_PANEL));
}

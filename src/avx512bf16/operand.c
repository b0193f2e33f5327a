/* SPDX-License-Identifier: Apache-2.0 */
/* operand.c -- x as VDPBF16PS takes it, AVX512-BF16 column. */
#include "avx512bf16/round.h"

/* The order of the row's tile.k_order. */
static const uint16_t upper[32] = UPPER_32(2, 0, 3, 1);

void mxq_round_bf16_f32_avx512bf16(void *out, const float *x, size_t blocks)
{
    round_blocks(out, x, blocks, upper);
}

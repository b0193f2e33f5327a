/* SPDX-License-Identifier: Apache-2.0 */
/* operand.c -- x as TDPBF16PS takes it, AMX column: in the order of k. */
#include "avx512bf16/round.h"

static const uint16_t upper[32] = UPPER_32(0, 1, 2, 3);

void mxq_round_bf16_f32_amx(void *out, const float *x, size_t blocks)
{
    round_blocks(out, x, blocks, upper);
}

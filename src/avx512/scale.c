/* SPDX-License-Identifier: Apache-2.0 */
/* scale.c -- E8M0 scale from amax, AVX-512 column. */
#include "avx512/vec.h"

#include "lanes/scale.h"

void mxq_scale_e8m0_avx512(uint8_t *scale, const uint32_t *amax, size_t blocks,
                           const struct mxq_scale_rule *rule)
{
    scale_blocks(scale, amax, blocks, rule);
}

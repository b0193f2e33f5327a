/* SPDX-License-Identifier: Apache-2.0 */
/* scale.c -- E8M0 scale from amax, AVX2 column. */
#include "avx2/vec.h"

#include "lanes/scale.h"

void mxq_scale_e8m0_avx2(uint8_t *scale, const uint32_t *amax, size_t blocks,
                         const struct mxq_scale_rule *rule)
{
    scale_blocks(scale, amax, blocks, rule);
}

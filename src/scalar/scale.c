/* SPDX-License-Identifier: Apache-2.0 */
/* scale.c -- E8M0 scale from amax, the reference. */
#include "kernels.h"

static uint8_t scale_of(uint32_t amax, const struct mxq_scale_rule *rule)
{
    if (amax >= 0x7F800000)
        return 0xFF;
    const int d = (amax & 0x7FFFFF) >= rule->threshold && amax != rule->exception;
    const int code = (int)(amax >> 23) - (int)rule->emax + d;
    return (uint8_t)(code < 0 ? 0 : code > 254 ? 254 : code);
}

void mxq_scale_e8m0_scalar(uint8_t *scale, const uint32_t *amax, size_t blocks,
                           const struct mxq_scale_rule *rule)
{
    for (size_t b = 0; b < blocks; b++)
        scale[b] = scale_of(amax[b], rule);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* amax.c -- block amax, the reference. */
#include "scalar/wide.h"

MXQ_INLINE void amax_blocks(uint32_t *amax, const void *x, size_t blocks, enum mxq_type type)
{
    for (size_t b = 0; b < blocks; b++) {
        uint32_t largest = 0;
        for (size_t i = 0; i < MXQ_BLOCK; i++) {
            const uint32_t magnitude = load_f32_bits(x, b * MXQ_BLOCK + i, type) & 0x7FFFFFFF;
            if (magnitude > largest)
                largest = magnitude;
        }
        amax[b] = largest > 0x7F800000 ? F32_NAN : largest;
    }
}

#define AMAX_KERNEL(name, type)                                                                    \
    void name(uint32_t *amax, const void *x, size_t blocks)                                        \
    {                                                                                              \
        amax_blocks(amax, x, blocks, type);                                                        \
    }

AMAX_KERNEL(mxq_amax_f32_scalar, MXQ_F32)
AMAX_KERNEL(mxq_amax_bf16_scalar, MXQ_BF16)
AMAX_KERNEL(mxq_amax_f16_scalar, MXQ_F16)

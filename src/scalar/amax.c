/* SPDX-License-Identifier: Apache-2.0 */
/* amax.c -- block amax, and that of each 8 values, the reference. */
#include "scalar/wide.h"

MXQ_INLINE void amax_blocks(uint32_t *amax, const void *x, size_t blocks, enum mxq_type type,
                            size_t block)
{
    for (size_t b = 0; b < blocks; b++) {
        uint32_t largest = 0;
        for (size_t i = 0; i < block; i++) {
            const uint32_t magnitude = load_f32_bits(x, b * block + i, type) & 0x7FFFFFFF;
            if (magnitude > largest)
                largest = magnitude;
        }
        amax[b] = largest > 0x7F800000 ? F32_NAN : largest;
    }
}

#define AMAX_KERNELS(name, type)                                                                   \
    void mxq_amax_##name##_scalar(uint32_t *amax, const void *x, size_t blocks, size_t ahead)      \
    {                                                                                              \
        (void)ahead;                                                                               \
        amax_blocks(amax, x, blocks, type, MXQ_BLOCK);                                             \
    }                                                                                              \
    void mxq_amax_8_##name##_scalar(uint32_t *amax, const void *x, size_t blocks, size_t ahead)    \
    {                                                                                              \
        (void)ahead;                                                                               \
        amax_blocks(amax, x, blocks *(MXQ_BLOCK / 8), type, 8);                                    \
    }

AMAX_KERNELS(f32, MXQ_F32)
AMAX_KERNELS(bf16, MXQ_BF16)
AMAX_KERNELS(f16, MXQ_F16)

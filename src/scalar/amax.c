/* SPDX-License-Identifier: Apache-2.0 */
/* amax.c -- the largest magnitude of blocks, or of all values, the reference. */
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

#define AMAX_KERNEL(name, type, values, block)                                                     \
    void name(uint32_t *amax, const void *x, size_t blocks, size_t ahead)                          \
    {                                                                                              \
        (void)ahead;                                                                               \
        amax_blocks(amax, x, (values) / (block), type, block);                                     \
    }

#define AMAX_KERNELS(name, type)                                                                   \
    AMAX_KERNEL(mxq_amax_##name##_scalar, type, blocks *MXQ_BLOCK, MXQ_BLOCK)                      \
    AMAX_KERNEL(mxq_amax_8_##name##_scalar, type, blocks *MXQ_BLOCK, 8)                            \
    AMAX_KERNEL(mxq_amax_16_##name##_scalar, type, blocks *MXQ_BLOCK, 16)                          \
    void mxq_amax_all_##name##_scalar(uint32_t *amax, const void *x, size_t blocks, size_t ahead)  \
    {                                                                                              \
        (void)ahead;                                                                               \
        amax_blocks(amax, x, 1, type, blocks *MXQ_BLOCK);                                          \
    }

AMAX_KERNELS(f32, MXQ_F32)
AMAX_KERNELS(bf16, MXQ_BF16)
AMAX_KERNELS(f16, MXQ_F16)

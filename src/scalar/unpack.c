/* SPDX-License-Identifier: Apache-2.0 */
/* unpack.c -- FP8 unpacking, the reference. */
#include "scalar/unpack.h"

MXQ_INLINE void unpack_blocks(void *y, const uint8_t *elements, const uint8_t *scale, size_t blocks,
                              enum mxq_element element, enum mxq_type type)
{
    for (size_t i = 0; i < blocks * MXQ_BLOCK; i++)
        store_f32_bits(y, i, type, unpack_value(elements[i], scale[i / MXQ_BLOCK], element));
}

#define UNPACK_KERNEL(name, element, type)                                                         \
    void name(void *y, const uint8_t *elements, const uint8_t *scale, size_t blocks)               \
    {                                                                                              \
        unpack_blocks(y, elements, scale, blocks, element, type);                                  \
    }

UNPACK_KERNEL(mxq_unpack_f32_e4m3_scalar, MXQ_E4M3, MXQ_F32)
UNPACK_KERNEL(mxq_unpack_bf16_e4m3_scalar, MXQ_E4M3, MXQ_BF16)
UNPACK_KERNEL(mxq_unpack_f16_e4m3_scalar, MXQ_E4M3, MXQ_F16)
UNPACK_KERNEL(mxq_unpack_f32_e5m2_scalar, MXQ_E5M2, MXQ_F32)
UNPACK_KERNEL(mxq_unpack_bf16_e5m2_scalar, MXQ_E5M2, MXQ_BF16)
UNPACK_KERNEL(mxq_unpack_f16_e5m2_scalar, MXQ_E5M2, MXQ_F16)

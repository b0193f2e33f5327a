/* SPDX-License-Identifier: Apache-2.0 */
/* pack.c -- FP8 packing, the reference. */
#include "scalar/pack.h"

MXQ_INLINE void pack_blocks(uint8_t *elements, const void *x, const uint8_t *scale, size_t blocks,
                            enum mxq_element element, enum mxq_type type)
{
    for (size_t b = 0; b < blocks; b++)
        pack_block(elements, x, b, scale[b], element, type);
}

#define PACK_KERNEL(name, element, type)                                                           \
    void name(uint8_t *elements, const void *x, const uint8_t *scale, size_t blocks)               \
    {                                                                                              \
        pack_blocks(elements, x, scale, blocks, element, type);                                    \
    }

PACK_KERNEL(mxq_pack_e4m3_f32_scalar, MXQ_E4M3, MXQ_F32)
PACK_KERNEL(mxq_pack_e4m3_bf16_scalar, MXQ_E4M3, MXQ_BF16)
PACK_KERNEL(mxq_pack_e4m3_f16_scalar, MXQ_E4M3, MXQ_F16)
PACK_KERNEL(mxq_pack_e5m2_f32_scalar, MXQ_E5M2, MXQ_F32)
PACK_KERNEL(mxq_pack_e5m2_bf16_scalar, MXQ_E5M2, MXQ_BF16)
PACK_KERNEL(mxq_pack_e5m2_f16_scalar, MXQ_E5M2, MXQ_F16)

/* SPDX-License-Identifier: Apache-2.0 */
/* pack.c -- element packing, the reference. */
#include "scalar/pack.h"

MXQ_INLINE void pack_blocks(uint8_t *elements, const void *x, const uint8_t *scale, size_t blocks,
                            enum mxq_element element, enum mxq_type type)
{
    for (size_t b = 0; b < blocks; b++)
        pack_block(elements + b * mxq_code_bytes(&mxq_elements[element], MXQ_BLOCK), x, b, scale[b],
                   element, type);
}

#define PACK_KERNEL(name, element, type)                                                           \
    void name(uint8_t *elements, const void *x, const uint8_t *scale, size_t blocks)               \
    {                                                                                              \
        pack_blocks(elements, x, scale, blocks, element, type);                                    \
    }

#define MXQ_ELEMENT(E, e, ...)                                                                     \
    PACK_KERNEL(mxq_pack_##e##_f32_scalar, MXQ_##E, MXQ_F32)                                       \
    PACK_KERNEL(mxq_pack_##e##_bf16_scalar, MXQ_##E, MXQ_BF16)                                     \
    PACK_KERNEL(mxq_pack_##e##_f16_scalar, MXQ_##E, MXQ_F16)
#include "elements.def"

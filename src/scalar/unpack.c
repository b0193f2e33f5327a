/* SPDX-License-Identifier: Apache-2.0 */
/* unpack.c -- element unpacking, the reference. */
#include "scalar/unpack.h"

#include "bits.h"

MXQ_INLINE void unpack_blocks(void *y, const uint8_t *elements, const uint8_t *scale, size_t blocks,
                              enum mxq_element element, enum mxq_type type)
{
    const struct mxq_element_info *e = &mxq_elements[element];
    for (size_t b = 0; b < blocks; b++) {
        uint8_t codes[MXQ_BLOCK];
        mxq_unpack_bits(codes, elements + b * mxq_code_bytes(e, MXQ_BLOCK), MXQ_BLOCK, e->bits);
        for (size_t i = 0; i < MXQ_BLOCK; i++)
            store_f32_bits(y, b * MXQ_BLOCK + i, type, unpack_value(codes[i], scale[b], element));
    }
}

#define UNPACK_KERNEL(name, element, type)                                                         \
    void name(void *y, const uint8_t *elements, const uint8_t *scale, size_t blocks)               \
    {                                                                                              \
        unpack_blocks(y, elements, scale, blocks, element, type);                                  \
    }

#define MXQ_ELEMENT(E, e, ...)                                                                     \
    UNPACK_KERNEL(mxq_unpack_f32_##e##_scalar, MXQ_##E, MXQ_F32)                                   \
    UNPACK_KERNEL(mxq_unpack_bf16_##e##_scalar, MXQ_##E, MXQ_BF16)                                 \
    UNPACK_KERNEL(mxq_unpack_f16_##e##_scalar, MXQ_##E, MXQ_F16)
#include "elements.def"

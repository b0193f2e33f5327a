/* SPDX-License-Identifier: Apache-2.0 */
/* factor.c -- packing, unpacking and scaling by the scales of blocks, the reference. */
#include "scalar/pack.h"
#include "scalar/unpack.h"

MXQ_INLINE float scaled(const void *x, size_t i, const struct mxq_factors *by, enum mxq_type type)
{
    const uint32_t bits = load_f32_bits(x, i, type);
    const float factor = by->value[i >> by->shift];
    float value;
    memcpy(&value, &bits, sizeof value);
    return by->divides ? value / factor : value * factor;
}

#define SCALE_BY_KERNEL(name, type)                                                                \
    void name(float *v, const void *x, const struct mxq_factors *by, size_t blocks)                \
    {                                                                                              \
        for (size_t i = 0; i < blocks * MXQ_BLOCK; i++)                                            \
            v[i] = scaled(x, i, by, type);                                                         \
    }

SCALE_BY_KERNEL(mxq_scale_by_f32_f32_scalar, MXQ_F32)
SCALE_BY_KERNEL(mxq_scale_by_f32_bf16_scalar, MXQ_BF16)
SCALE_BY_KERNEL(mxq_scale_by_f32_f16_scalar, MXQ_F16)

MXQ_INLINE void pack_blocks_by(uint8_t *elements, const void *x, const struct mxq_factors *by,
                               size_t blocks, enum mxq_element element, enum mxq_type type)
{
    for (size_t b = 0; b < blocks; b++) {
        float v[MXQ_BLOCK];
        for (size_t i = 0; i < MXQ_BLOCK; i++)
            v[i] = scaled(x, b * MXQ_BLOCK + i, by, type);
        pack_block(elements + b * mxq_code_bytes(&mxq_elements[element], MXQ_BLOCK), v, 0, 127,
                   element, MXQ_F32);
    }
}

#define PACK_BY_KERNEL(name, element, type)                                                        \
    void name(uint8_t *elements, const void *x, const struct mxq_factors *by, size_t blocks,       \
              size_t ahead)                                                                        \
    {                                                                                              \
        (void)ahead;                                                                               \
        pack_blocks_by(elements, x, by, blocks, element, type);                                    \
    }

MXQ_INLINE void unpack_blocks_by(void *y, const uint8_t *elements, const struct mxq_factors *by,
                                 float tensor, size_t blocks, enum mxq_element element,
                                 enum mxq_type type)
{
    const struct mxq_element_info *e = &mxq_elements[element];
    for (size_t b = 0; b < blocks; b++) {
        uint8_t codes[MXQ_BLOCK];
        mxq_unpack_bits(codes, elements + b * mxq_code_bytes(e, MXQ_BLOCK), MXQ_BLOCK, e->bits);
        for (size_t j = 0; j < MXQ_BLOCK; j++) {
            const size_t i = b * MXQ_BLOCK + j;
            uint32_t bits = unpack_value(codes[j], 127, element);
            float value;
            memcpy(&value, &bits, sizeof value);
            value = value * by->value[i >> by->shift] * tensor;
            memcpy(&bits, &value, sizeof bits);
            store_f32_bits(y, i, type, (bits & 0x7FFFFFFF) > 0x7F800000 ? F32_NAN : bits);
        }
    }
}

#define UNPACK_BY_KERNEL(name, element, type)                                                      \
    void name(void *y, const uint8_t *elements, const struct mxq_factors *by, float tensor,        \
              size_t blocks)                                                                       \
    {                                                                                              \
        unpack_blocks_by(y, elements, by, tensor, blocks, element, type);                          \
    }

#define MXQ_ELEMENT(E, e, ...)                                                                     \
    PACK_BY_KERNEL(mxq_pack_by_##e##_f32_scalar, MXQ_##E, MXQ_F32)                                 \
    PACK_BY_KERNEL(mxq_pack_by_##e##_bf16_scalar, MXQ_##E, MXQ_BF16)                               \
    PACK_BY_KERNEL(mxq_pack_by_##e##_f16_scalar, MXQ_##E, MXQ_F16)                                 \
    UNPACK_BY_KERNEL(mxq_unpack_by_f32_##e##_scalar, MXQ_##E, MXQ_F32)                             \
    UNPACK_BY_KERNEL(mxq_unpack_by_bf16_##e##_scalar, MXQ_##E, MXQ_BF16)                           \
    UNPACK_BY_KERNEL(mxq_unpack_by_f16_##e##_scalar, MXQ_##E, MXQ_F16)
#include "elements.def"

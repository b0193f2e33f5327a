/* SPDX-License-Identifier: Apache-2.0 */
/* quantize.c -- amax, scale and pack block by block, the reference. */
#include "scalar/pack.h"

static void choose_by_error(uint8_t *scale, const void *block, enum mxq_element element,
                            enum mxq_type type)
{
    float values[MXQ_BLOCK];
    for (size_t i = 0; i < MXQ_BLOCK; i++)
        store_f32_bits(values, i, MXQ_F32, load_f32_bits(block, i, type));
    mxq_kernels_scalar.mse[element](scale, values, 1);
}

MXQ_INLINE void quantize_blocks(uint8_t *elements, uint8_t *scale, const void *x, size_t blocks,
                                const struct mxq_scale_rule *rule, enum mxq_element element,
                                enum mxq_type type)
{
    for (size_t b = 0; b < blocks; b++) {
        const unsigned char *block =
            (const unsigned char *)x + b * MXQ_BLOCK * mxq_type_bytes(type);
        uint32_t amax;
        mxq_kernels_scalar.amax[type](&amax, block, 1, 0);
        mxq_scale_e8m0_scalar(scale + b, &amax, 1, rule);
        if (rule->by_error)
            choose_by_error(scale + b, block, element, type);
        pack_block(elements + b * mxq_code_bytes(&mxq_elements[element], MXQ_BLOCK), x, b, scale[b],
                   element, type);
    }
}

#define QUANTIZE_KERNEL(name, element, type)                                                       \
    void name(uint8_t *elements, uint8_t *scale, const void *x, size_t blocks,                     \
              const struct mxq_scale_rule *rule, size_t ahead)                                     \
    {                                                                                              \
        (void)ahead;                                                                               \
        quantize_blocks(elements, scale, x, blocks, rule, element, type);                          \
    }

#define MXQ_ELEMENT(E, e, ...)                                                                     \
    QUANTIZE_KERNEL(mxq_quantize_##e##_f32_scalar, MXQ_##E, MXQ_F32)                               \
    QUANTIZE_KERNEL(mxq_quantize_##e##_bf16_scalar, MXQ_##E, MXQ_BF16)                             \
    QUANTIZE_KERNEL(mxq_quantize_##e##_f16_scalar, MXQ_##E, MXQ_F16)
#include "elements.def"

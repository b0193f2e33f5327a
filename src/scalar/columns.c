/* SPDX-License-Identifier: Apache-2.0 */
/* columns.c -- blocks down the columns of a matrix, the reference. */
#include "scalar/pack.h"

#define GROUP 16 /* columns */

MXQ_INLINE void quantize_columns(uint8_t *elements, size_t elements_stride, uint8_t *scale,
                                 size_t scale_stride, const void *x, size_t x_stride, size_t groups,
                                 const struct mxq_scale_rule *rule, enum mxq_element element,
                                 enum mxq_type type)
{
    for (size_t c = 0; c < groups * GROUP; c++) {
        float column[MXQ_BLOCK];
        uint32_t amax;
        for (size_t i = 0; i < MXQ_BLOCK; i++)
            store_f32_bits(column, i, MXQ_F32, load_f32_bits(x, i * x_stride + c, type));
        mxq_amax_f32_scalar(&amax, column, 1, 0);
        mxq_scale_e8m0_scalar(scale + c * scale_stride, &amax, 1, rule);
        if (rule->by_error)
            mxq_kernels_scalar.mse[element](scale + c * scale_stride, column, 1);
        pack_block(elements + c * elements_stride, column, 0, scale[c * scale_stride], element,
                   MXQ_F32);
    }
}

#define COLUMNS_KERNEL(name, element, type)                                                        \
    void name(uint8_t *elements, size_t elements_stride, uint8_t *scale, size_t scale_stride,      \
              const void *x, size_t x_stride, size_t groups, const struct mxq_scale_rule *rule,    \
              const struct mxq_ahead *ahead)                                                       \
    {                                                                                              \
        (void)ahead;                                                                               \
        quantize_columns(elements, elements_stride, scale, scale_stride, x, x_stride, groups,      \
                         rule, element, type);                                                     \
    }

#define MXQ_ELEMENT(E, e, ...)                                                                     \
    COLUMNS_KERNEL(mxq_columns_##e##_f32_scalar, MXQ_##E, MXQ_F32)                                 \
    COLUMNS_KERNEL(mxq_columns_##e##_bf16_scalar, MXQ_##E, MXQ_BF16)                               \
    COLUMNS_KERNEL(mxq_columns_##e##_f16_scalar, MXQ_##E, MXQ_F16)
#include "elements.def"

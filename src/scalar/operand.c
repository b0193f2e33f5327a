/* SPDX-License-Identifier: Apache-2.0 */
/* operand.c -- what goes into and comes out of the GEMM, the reference. */
#include <math.h>

#include "scalar/wide.h"

MXQ_INLINE void operand(float *out, const void *x, size_t blocks, struct mxq_range *range,
                        enum mxq_type type)
{
    for (size_t i = 0; i < blocks * MXQ_BLOCK; i++) {
        const uint32_t bits = load_f32_bits(x, i, type), magnitude = bits & 0x7FFFFFFF;
        if (magnitude && magnitude < range->low)
            range->low = magnitude;
        if (magnitude > range->high)
            range->high = magnitude;
        memcpy(out + i, &bits, sizeof bits);
    }
}

#define OPERAND_KERNEL(name, type)                                                                 \
    void name(float *out, const void *x, size_t blocks, struct mxq_range *range)                   \
    {                                                                                              \
        operand(out, x, blocks, range, type);                                                      \
    }

OPERAND_KERNEL(mxq_operand_f32_f32_scalar, MXQ_F32)
OPERAND_KERNEL(mxq_operand_f32_bf16_scalar, MXQ_BF16)
OPERAND_KERNEL(mxq_operand_f32_f16_scalar, MXQ_F16)

void mxq_round_bf16_f32_scalar(void *out, const float *x, size_t blocks)
{
    for (size_t i = 0; i < blocks * MXQ_BLOCK; i++)
        store_f32_bits(out, i, MXQ_BF16, load_f32_bits(x, i, MXQ_F32));
}

void mxq_round_f32_f32_scalar(void *out, const float *x, size_t blocks)
{
    for (size_t i = 0; i < blocks * MXQ_BLOCK; i++) {
        const uint32_t bits = (uint32_t)bf16_of_f32_bits(load_f32_bits(x, i, MXQ_F32)) << 16;
        store_f32_bits(out, i, MXQ_F32, bits);
    }
}

void mxq_fold_f32_scalar(float *y, size_t y_stride, float *group, size_t group_stride,
                         const void *x_scale, size_t x_stride_bytes, const void *w_scale,
                         size_t w_stride_bytes, size_t rows, size_t panels)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < panels * MXQ_PANEL; i++) {
            float *sum = &y[r * y_stride + i], *of_group = &group[r * group_stride + i], of_x, of_w;
            memcpy(&of_x, (const char *)x_scale + r * x_stride_bytes, sizeof of_x);
            memcpy(&of_w,
                   (const char *)w_scale + i / MXQ_PANEL * w_stride_bytes +
                       i % MXQ_PANEL * sizeof of_w,
                   sizeof of_w);
            const float scale = of_x * of_w;
            *sum = fmaf(*of_group, scale, *sum);
            *of_group = 0;
        }
}

MXQ_INLINE void output(void *y, const float *acc, const float *bias, size_t groups,
                       enum mxq_type type)
{
    for (size_t i = 0; i < groups * MXQ_PANEL; i++) {
        const float sum = bias ? acc[i] + bias[i] : acc[i];
        uint32_t bits = load_f32_bits(&sum, 0, MXQ_F32);
        if ((bits & 0x7FFFFFFF) > 0x7F800000)
            bits = F32_NAN;
        store_f32_bits(y, i, type, bits);
    }
}

#define OUTPUT_KERNEL(name, type)                                                                  \
    void name(void *y, const float *acc, const float *bias, size_t groups)                         \
    {                                                                                              \
        output(y, acc, bias, groups, type);                                                        \
    }

OUTPUT_KERNEL(mxq_output_f32_scalar, MXQ_F32)
OUTPUT_KERNEL(mxq_output_bf16_scalar, MXQ_BF16)
OUTPUT_KERNEL(mxq_output_f16_scalar, MXQ_F16)

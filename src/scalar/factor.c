/* SPDX-License-Identifier: Apache-2.0 */
/* factor.c -- values divided or multiplied by the scales of their blocks, the reference. */
#include "scalar/wide.h"

MXQ_INLINE float value_of(const void *x, size_t i, enum mxq_type type)
{
    const uint32_t bits = load_f32_bits(x, i, type);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#define DIVIDE_KERNEL(name, type)                                                                  \
    void mxq_divide_f32_##name##_scalar(float *v, const void *x, const float *divisor,             \
                                        size_t blocks)                                             \
    {                                                                                              \
        for (size_t i = 0; i < blocks * MXQ_BLOCK; i++)                                            \
            v[i] = value_of(x, i, type) / divisor[i / 8];                                          \
    }

#define MULTIPLY_KERNEL(name, type)                                                                \
    void mxq_multiply_f32_##name##_scalar(float *v, const void *x, const float *factor,            \
                                          size_t blocks)                                           \
    {                                                                                              \
        for (size_t i = 0; i < blocks * MXQ_BLOCK; i++)                                            \
            v[i] = value_of(x, i, type) * factor[i / 8];                                           \
    }

MXQ_INLINE void rescale(void *y, const float *v, const float *factor, float tensor, size_t blocks,
                        enum mxq_type type)
{
    for (size_t i = 0; i < blocks * MXQ_BLOCK; i++) {
        const float product = v[i] * factor[i / 8] * tensor;
        uint32_t bits;
        memcpy(&bits, &product, sizeof bits);
        if ((bits & 0x7FFFFFFF) > 0x7F800000)
            bits = F32_NAN;
        store_f32_bits(y, i, type, bits);
    }
}

#define RESCALE_KERNEL(name, type)                                                                 \
    void mxq_rescale_##name##_f32_scalar(void *y, const float *v, const float *factor,             \
                                         float tensor, size_t blocks)                              \
    {                                                                                              \
        rescale(y, v, factor, tensor, blocks, type);                                               \
    }

#define FACTOR_KERNELS(name, type)                                                                 \
    DIVIDE_KERNEL(name, type)                                                                      \
    MULTIPLY_KERNEL(name, type)                                                                    \
    RESCALE_KERNEL(name, type)

FACTOR_KERNELS(f32, MXQ_F32)
FACTOR_KERNELS(bf16, MXQ_BF16)
FACTOR_KERNELS(f16, MXQ_F16)

/* SPDX-License-Identifier: Apache-2.0 */
/* factor.h -- values divided or multiplied by the scales of their blocks, written once over vec.h.
 *
 *   vec_factors(factor, i)   the factors of values i .. i + VEC_LANES - 1, one for each 8 */
#ifndef MXQ_LANES_FACTOR_H
#define MXQ_LANES_FACTOR_H

#include "lanes/group.h"

/* Asks for the input ahead, once a line, before value `i` is loaded. */
MXQ_INLINE void prefetch_values(const void *x, size_t i, enum mxq_type type)
{
    if (i * type_bytes(type) % 64 == 0)
        prefetch_input(x, i * type_bytes(type));
}

MXQ_INLINE void scale_blocks_by(float *v, const void *x, const float *factor, size_t blocks,
                                enum mxq_type type, int divides)
{
    const unsigned char *wide = x;
    for (size_t b = 0; b < blocks; b++) {
        for (size_t i = 0; i < MXQ_BLOCK; i += VEC_LANES) {
            const vec_ps value = vec_as_ps(load_wide(wide, i, type));
            const vec_ps by = vec_factors(factor, i);
            prefetch_values(wide, i, type);
            vec_store_ps(v + i, divides ? vec_div_ps(value, by) : vec_mul_ps(value, by));
        }
        v += MXQ_BLOCK;
        wide += block_bytes(type);
        factor += MXQ_BLOCK / 8;
    }
}

MXQ_INLINE vec rescaled(const float *v, const float *factor, size_t i, vec_ps tensor,
                        enum mxq_type type)
{
    const vec_ps product = vec_mul_ps(vec_load_ps(v + i), vec_factors(factor, i));
    const vec value = canonical(vec_of_ps(vec_mul_ps(product, tensor)));
    return type == MXQ_BF16 ? round_to_bf16(value) : value;
}

MXQ_INLINE void rescale_blocks(void *y, const float *v, const float *factor, float tensor,
                               size_t blocks, enum mxq_type type)
{
    const vec_ps by = vec_broadcast_ps(&tensor);
    for (size_t i = 0; i < blocks * MXQ_BLOCK; i += 2 * VEC_LANES)
        store_two(y, i, type, rescaled(v, factor, i, by, type),
                  rescaled(v, factor, i + VEC_LANES, by, type));
}

#define FACTOR_KERNELS(isa, name, type)                                                            \
    void mxq_divide_f32_##name##_##isa(float *v, const void *x, const float *divisor,              \
                                       size_t blocks)                                              \
    {                                                                                              \
        scale_blocks_by(v, x, divisor, blocks, type, 1);                                           \
    }                                                                                              \
    void mxq_multiply_f32_##name##_##isa(float *v, const void *x, const float *factor,             \
                                         size_t blocks)                                            \
    {                                                                                              \
        scale_blocks_by(v, x, factor, blocks, type, 0);                                            \
    }                                                                                              \
    void mxq_rescale_##name##_f32_##isa(void *y, const float *v, const float *factor,              \
                                        float tensor, size_t blocks)                               \
    {                                                                                              \
        rescale_blocks(y, v, factor, tensor, blocks, type);                                        \
    }

#endif

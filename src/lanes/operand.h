/* SPDX-License-Identifier: Apache-2.0 */
/* operand.h -- what goes into and comes out of the GEMM, written once over vec.h. */
#ifndef MXQ_LANES_OPERAND_H
#define MXQ_LANES_OPERAND_H

#include "lanes/group.h"

/* A range as vectors of magnitudes. */
struct range_lanes {
    vec low, high;
};

MXQ_INLINE struct range_lanes extend_range(struct range_lanes range, vec value)
{
    const vec magnitude = vec_and(value, vec_set1(0x7FFFFFFF));
    const vec zero = vec_eq(magnitude, vec_set1(0)); /* is no smallest one */
    range.low = vec_min(range.low, vec_or(magnitude, vec_srl(zero, 1)));
    range.high = vec_max(range.high, magnitude);
    return range;
}

MXQ_INLINE void store_range(struct mxq_range *range, struct range_lanes lanes)
{
    uint32_t low[VEC_LANES], high[VEC_LANES];
    vec_store(low, lanes.low);
    vec_store(high, lanes.high);
    for (size_t i = 0; i < VEC_LANES; i++) {
        range->low = low[i] < range->low ? low[i] : range->low;
        range->high = high[i] > range->high ? high[i] : range->high;
    }
}

MXQ_INLINE void operand_blocks(float *out, const void *x, size_t blocks, struct mxq_range *range,
                               enum mxq_type type)
{
    struct range_lanes lanes = {vec_set1(0x7FFFFFFF), vec_set1(0)};
    for (size_t i = 0; i < blocks * MXQ_BLOCK; i += VEC_LANES) {
        const vec value = load_wide(x, i, type);
        vec_store(out + i, value);
        lanes = extend_range(lanes, value);
    }
    store_range(range, lanes);
}

#define OPERAND_KERNEL(name, type)                                                                 \
    void name(float *out, const void *x, size_t blocks, struct mxq_range *range)                   \
    {                                                                                              \
        operand_blocks(out, x, blocks, range, type);                                               \
    }

#define ROUND_F32_KERNEL(name)                                                                     \
    void name(void *out, const float *x, size_t blocks)                                            \
    {                                                                                              \
        for (size_t i = 0; i < blocks * MXQ_BLOCK; i += VEC_LANES) {                               \
            const vec rounded = round_to_bf16(canonical(vec_load(x + i)));                         \
            vec_store((float *)out + i, vec_and(rounded, vec_set1(0xFFFF0000)));                   \
        }                                                                                          \
    }

#define FOLD_KERNEL(name)                                                                          \
    void name(float *y, size_t y_stride, float *group, size_t group_stride, const void *x_scale,   \
              size_t x_stride_bytes, const void *w_scale, size_t w_stride_bytes, size_t rows,      \
              size_t panels)                                                                       \
    {                                                                                              \
        for (size_t r = 0; r < rows; r++) {                                                        \
            const vec_ps of_x = vec_broadcast_ps((const char *)x_scale + r * x_stride_bytes);      \
            for (size_t i = 0; i < panels * MXQ_PANEL; i += VEC_LANES) {                           \
                float *to = y + r * y_stride + i, *from = group + r * group_stride + i;            \
                const vec_ps of_w =                                                                \
                    vec_load_ps((const char *)w_scale + i / MXQ_PANEL * w_stride_bytes +           \
                                i % MXQ_PANEL * sizeof(float));                                    \
                vec_store_ps(                                                                      \
                    to, vec_fma_ps(vec_load_ps(from), vec_mul_ps(of_x, of_w), vec_load_ps(to)));   \
                vec_store_ps(from, vec_zero_ps());                                                 \
            }                                                                                      \
        }                                                                                          \
    }

/* 16 values: one vector, or a few. */
MXQ_INLINE void output_group(unsigned char *y, const float *acc, const float *bias,
                             enum mxq_type type)
{
    enum { VECTORS = MXQ_PANEL / VEC_LANES };
    unsigned char pair[2 * MXQ_PANEL * 4];
    for (size_t v = 0; v < VECTORS; v += 2) {
        vec value[2];
        for (size_t i = 0; i < 2 && v + i < VECTORS; i++) {
            vec_ps sum = vec_load_ps(acc + (v + i) * VEC_LANES);
            if (bias)
                sum = vec_add_ps(sum, vec_load_ps(bias + (v + i) * VEC_LANES));
            value[i] = canonical(vec_of_ps(sum));
            if (type == MXQ_BF16)
                value[i] = round_to_bf16(value[i]);
        }
        if (VECTORS == 1) { /* half of what store_two() stores */
            store_two(pair, 0, type, value[0], value[0]);
            memcpy(y, pair, MXQ_PANEL * type_bytes(type));
        } else {
            store_two(y, v * VEC_LANES, type, value[0], value[1]);
        }
    }
}

#define OUTPUT_KERNEL(name, type)                                                                  \
    void name(void *y, const float *acc, const float *bias, size_t groups)                         \
    {                                                                                              \
        for (size_t g = 0; g < groups; g++)                                                        \
            output_group((unsigned char *)y + g * MXQ_PANEL * type_bytes(type),                    \
                         acc + g * MXQ_PANEL, bias ? bias + g * MXQ_PANEL : NULL, type);           \
    }

#endif

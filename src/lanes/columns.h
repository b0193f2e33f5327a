/* SPDX-License-Identifier: Apache-2.0 */
/* columns.h -- amax, scale and pack down the columns of 32 rows, written once over vec.h.
 *
 * A lane is a column: its amax needs no reduction, its scale no broadcast.  The codes of four rows make a
 * 32-bit lane, and eight such vectors, transposed, give each column its 32 bytes.  Steps of the vocabulary,
 * beside those of pack.h:
 *
 *   vec_column_bias(bias)   a bias that differs from lane to lane, as vec_column_codes wants it
 *   vec_column_codes(t, x, bias, e)
 *                           byte k of lane c = the code of lane c of vector k, of 4 vectors
 *   vec_store_columns(out, stride, v)
 *                           lane c of the 8 vectors, one after the other, to out + c * stride
 *   vec_repack(out, bytes, bits)
 *                           4 * VEC_LANES codes, a byte each as vec_column_codes gives them, packed */
#ifndef MXQ_LANES_COLUMNS_H
#define MXQ_LANES_COLUMNS_H

#include "lanes/mse.h"
#include "lanes/pack.h"
#include "lanes/scale.h"
#include "unroll.h"

/* 32 rows of VEC_LANES columns. */
struct columns {
    const unsigned char *x;
    size_t x_stride_bytes;
    uint8_t *elements;
    size_t elements_stride;
    uint8_t *scale;
    size_t scale_stride;
    const struct mxq_ahead *ahead;
    size_t asked; /* lines of it, until now */
};

static void gather_column(unsigned char *values, const struct columns *c, size_t lane,
                          enum mxq_type type)
{
    const size_t bytes = type_bytes(type);
    for (size_t row = 0; row < MXQ_BLOCK; row++)
        memcpy(values + row * bytes, c->x + row * c->x_stride_bytes + lane * bytes, bytes);
}

/* Packs again, the slow way, the columns whose bit is set. */
static __attribute__((noinline)) void pack_columns_any(uint32_t which, const struct columns *c,
                                                       const struct mxq_element_info *e,
                                                       enum mxq_type type)
{
    for (; which; which &= which - 1) {
        const size_t lane = (size_t)__builtin_ctz(which);
        unsigned char column[MXQ_BLOCK * 4];
        gather_column(column, c, lane, type);
        pack_block_any(c->elements + lane * c->elements_stride, column,
                       c->scale[lane * c->scale_stride], e, type);
    }
}

MXQ_INLINE vec larger_magnitude(vec amax, vec value)
{
    return vec_max(amax, vec_and(value, vec_set1(0x7FFFFFFF)));
}

MXQ_INLINE vec columns_amax(const struct columns *c, enum mxq_type type)
{
    vec amax = vec_set1(0);
    for (size_t row = 0; row < MXQ_BLOCK; row++)
        amax = larger_magnitude(amax, load_wide(c->x + row * c->x_stride_bytes, 0, type));
    return amax;
}

/* Adds 1 to the scale of each of these columns that is better so. */
MXQ_INLINE vec better_columns(uint32_t which, const struct columns *c, vec scales,
                              const struct mxq_element_info *e, enum mxq_type type)
{
    const vec factor = factor_of(scales);
    vec_ps sum = vec_zero_ps();
    float sums[VEC_LANES];
    uint8_t codes[VEC_LANES];
    for (size_t row = 0; row < MXQ_BLOCK; row++)
        sum = add_errors(sum, load_wide(c->x + row * c->x_stride_bytes, 0, type), factor, e);
    vec_store_ps(sums, sum);
    vec_store_u8(codes, scales);
    uint32_t better = 0;
    for (; which; which &= which - 1) {
        const size_t lane = (size_t)__builtin_ctz(which);
        int is_better = sums[lane] > 0;
        if (!decides(sums[lane], e)) {
            unsigned char column[MXQ_BLOCK * 4];
            gather_column(column, c, lane, type);
            is_better = decide(column, codes[lane], is_better, e, type);
        }
        better |= (uint32_t)is_better << lane;
    }
    return vec_add(scales, lanes_of_bits(better));
}

MXQ_INLINE void store_scales(const struct columns *c, vec scales)
{
    uint8_t codes[VEC_LANES];
    vec_store_u8(codes, scales);
    for (size_t lane = 0; lane < VEC_LANES; lane++)
        c->scale[lane * c->scale_stride] = codes[lane];
}

/* Codes of less than a byte are packed on the way. */
MXQ_INLINE void store_columns(const struct columns *c, const vec quads[MXQ_BLOCK / 4],
                              const struct mxq_element_info *e)
{
    uint8_t codes[VEC_LANES * MXQ_BLOCK];
    const size_t bytes = packed_bytes(MXQ_BLOCK, e);
    if (e->bits == 8) {
        vec_store_columns(c->elements, c->elements_stride, quads);
        return;
    }
    vec_store_columns(codes, MXQ_BLOCK, quads);
    for (size_t i = 0; i < VEC_LANES * MXQ_BLOCK; i += 4 * VEC_LANES)
        vec_repack(codes + packed_bytes(i, e), codes + i, e->bits);
    for (size_t lane = 0; lane < VEC_LANES; lane++)
        memcpy(c->elements + lane * c->elements_stride, codes + lane * bytes, bytes);
}

/* The share of these columns. */
MXQ_INLINE size_t lines_ahead(const struct columns *c)
{
    return c->ahead ? c->ahead->lines * VEC_LANES / 16 : 0;
}

/* What is asked for next lies together. */
MXQ_INLINE size_t offset_ahead(const struct columns *c)
{
    return c->ahead ? c->asked / c->ahead->row_lines * c->ahead->stride_bytes +
                          c->asked % c->ahead->row_lines * 64
                    : 0;
}

/* Packs columns, and returns amax of the columns `next` bytes further on: the machine overlaps the two. */
MXQ_INLINE vec pack_columns(const struct columns *c, struct pack_group g, size_t next,
                            const struct mxq_element_info *e, enum mxq_type type)
{
    const vec bias = vec_column_bias(g.bias);
    const unsigned char *x = c->x;
    const size_t lines = lines_ahead(c), offset = offset_ahead(c);
    vec quads[MXQ_BLOCK / 4], amax = vec_set1(0);
    size_t asked = 0;
    for (size_t i = 0; i < MXQ_BLOCK / 4; i++, x += 4 * c->x_stride_bytes) {
        vec value[4], t[4];
        for (; asked < lines * (i + 1) / (MXQ_BLOCK / 4); asked++)
            prefetch_at(c->ahead->first, offset + asked * 64);
        UNROLL
        for (size_t k = 0; k < 4; k++) {
            const unsigned char *row = x + k * c->x_stride_bytes;
            value[k] = load_wide(row, 0, type);
            t[k] = rounded_sum(value[k], g.rounding, e);
            amax = larger_magnitude(amax, load_wide(row + next, 0, type));
        }
        quads[i] = vec_column_codes(t, value, bias, e);
    }
    store_columns(c, quads, e);
    return amax;
}

/* Lane i = the true scale of column i. */
MXQ_INLINE vec columns_scales(const struct columns *c, vec amax, const struct mxq_scale_rule *rule,
                              const struct mxq_element_info *e, enum mxq_type type)
{
    const vec scales = scale_group(amax, rule);
    const uint32_t to_gain = rule->by_error ? lanes_to_gain(amax, scales, e).ordinary : 0;
    return to_gain ? better_columns(to_gain, c, scales, e, type) : scales;
}

/* Returns amax of the columns `next` bytes further on. */
MXQ_INLINE vec quantize_columns(const struct columns *c, vec amax, size_t next,
                                const struct mxq_scale_rule *rule, const struct mxq_element_info *e,
                                enum mxq_type type)
{
    const vec scales = columns_scales(c, amax, rule, e, type);
    const struct pack_group g = pack_group_of(vec_max(scales, vec_set1(scale_low(e))), e);
    const uint32_t outside = scales_outside(scales, e);
    store_scales(c, scales);
    const vec next_amax = pack_columns(c, g, next, e, type);
    if (outside) /* columns of zeros pack right with any scale */
        pack_columns_any(outside & ~vec_mask(vec_eq(amax, vec_set1(0))), c, e, type);
    return next_amax;
}

#define COLUMNS_KERNEL(name, element, type)                                                        \
    void name(uint8_t *elements, size_t elements_stride, uint8_t *scale, size_t scale_stride,      \
              const void *x, size_t x_stride, size_t groups, const struct mxq_scale_rule *rule,    \
              const struct mxq_ahead *ahead)                                                       \
    {                                                                                              \
        const size_t step = VEC_LANES * type_bytes(type);                                          \
        struct columns c = {                                                                       \
            x, x_stride * type_bytes(type), elements, elements_stride, scale, scale_stride, ahead, \
            0};                                                                                    \
        vec amax = groups ? columns_amax(&c, type) : vec_set1(0);                                  \
        for (size_t left = 16 / VEC_LANES * groups; left; left--) {                                \
            amax = quantize_columns(&c, amax, left > 1 ? step : 0, rule, &mxq_elements[element],   \
                                    type);                                                         \
            c.x += step;                                                                           \
            c.elements += VEC_LANES * elements_stride;                                             \
            c.scale += VEC_LANES * scale_stride;                                                   \
            c.asked += lines_ahead(&c);                                                            \
        }                                                                                          \
    }

#endif

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

MXQ_INLINE vec columns_amax(const struct columns *c, enum mxq_type type)
{
    vec amax = vec_set1(0);
    for (size_t row = 0; row < MXQ_BLOCK; row++)
        amax = vec_max(amax, vec_and(load_wide(c->x + row * c->x_stride_bytes, 0, type),
                                     vec_set1(0x7FFFFFFF)));
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

MXQ_INLINE void pack_columns(const struct columns *c, struct pack_group g,
                             const struct mxq_element_info *e, enum mxq_type type)
{
    const vec bias = vec_column_bias(g.bias);
    vec quads[MXQ_BLOCK / 4];
    UNROLL
    for (size_t i = 0; i < MXQ_BLOCK / 4; i++) {
        vec x[4], t[4];
        UNROLL
        for (size_t k = 0; k < 4; k++) {
            x[k] = load_wide(c->x + (4 * i + k) * c->x_stride_bytes, 0, type);
            t[k] = rounded_sum(x[k], g.rounding, e);
        }
        quads[i] = vec_column_codes(t, x, bias, e);
    }
    store_columns(c, quads, e);
}

/* Lane i = the true scale of column i. */
MXQ_INLINE vec columns_scales(const struct columns *c, vec amax, const struct mxq_scale_rule *rule,
                              const struct mxq_element_info *e, enum mxq_type type)
{
    const vec scales = scale_group(amax, rule);
    const uint32_t to_gain = rule->by_error ? lanes_to_gain(amax, scales, e).ordinary : 0;
    return to_gain ? better_columns(to_gain, c, scales, e, type) : scales;
}

MXQ_INLINE void quantize_columns(const struct columns *c, const struct mxq_scale_rule *rule,
                                 const struct mxq_element_info *e, enum mxq_type type)
{
    const vec amax = columns_amax(c, type);
    const vec scales = columns_scales(c, amax, rule, e, type);
    const struct pack_group g = pack_group_of(vec_max(scales, vec_set1(scale_low(e))), e);
    const uint32_t outside = scales_outside(scales, e);
    store_scales(c, scales);
    pack_columns(c, g, e, type);
    if (outside) /* columns of zeros pack right with any scale */
        pack_columns_any(outside & ~vec_mask(vec_eq(amax, vec_set1(0))), c, e, type);
}

#define COLUMNS_KERNEL(name, element, type)                                                        \
    void name(uint8_t *elements, size_t elements_stride, uint8_t *scale, size_t scale_stride,      \
              const void *x, size_t x_stride, size_t groups, const struct mxq_scale_rule *rule)    \
    {                                                                                              \
        struct columns c = {                                                                       \
            x, x_stride * type_bytes(type), elements, elements_stride, scale, scale_stride};       \
        for (size_t i = 0; i < 16 * groups; i += VEC_LANES) {                                      \
            quantize_columns(&c, rule, &mxq_elements[element], type);                              \
            c.x += VEC_LANES * type_bytes(type);                                                   \
            c.elements += VEC_LANES * elements_stride;                                             \
            c.scale += VEC_LANES * scale_stride;                                                   \
        }                                                                                          \
    }

#endif

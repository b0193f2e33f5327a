/* SPDX-License-Identifier: Apache-2.0 */
/* pack.h -- element packing, written once over vec.h.
 *
 * One addition does the rounding.  Of a float, let 2^e be the binade of x, but no less than the scaled
 * smallest normal of the element.  In
 *
 *     t = x + 2^(e + 23 - mantissa_bits)          (exact product, so fused or not gives the same)
 *
 * the last place of the F32 sum is the last place of the element's grid: t holds |x|, rounded to
 * nearest even onto the grid, as an integer n in its low bits, under the exponent field of e.  Codes
 * of one sign count grid points from zero, 2^mantissa_bits per binade, hence
 *
 *     code = ((field(t) - field(t of the smallest normal)) << mantissa_bits) + n
 *
 * for subnormal, normal and carried values alike.  Of an integer, whose steps are the same everywhere,
 * t = x + 1.5 * 2^23 steps: its last place is a step, and its lower half is n in two's complement.
 * Steps of the vocabulary:
 *
 *   vec_fma(a, b, c)                a * b + c in F32
 *   vec_round(x, smallest, grid)    t of a float, without the sign of x, or, with VEC_ROUND_KEEPS_SIGN,
 *                                   with it; smallest: F32 bits of the scaled smallest normal; grid: of
 *                                   2^(23 - mantissa_bits)
 *   vec_clamp(x, limit)             the magnitude no larger than limit; NaN gives limit
 *   vec_code_bias(field, mbits)     field(t of the smallest normal), as vec_store_codes wants it
 *   vec_store_codes(out, t, signs, bias, e, type)
 *                                   4 vectors, as load_step loads that type, to 4 * VEC_LANES codes,
 *                                   packed: sign and code, no larger than max_code; bias[k] belongs to
 *                                   vector k
 *
 * This needs the scale code in [scale_low, scale_high].  Blocks outside it, NaN blocks and blocks that
 * hold a NaN go through pack_block_any(). */
#ifndef MXQ_LANES_PACK_H
#define MXQ_LANES_PACK_H

#include "bits.h"
#include "lanes/group.h"

/* From here the scaled smallest normal of a float, 2^(scale - 127 + 1 - bias), is a normal F32, and so
 * is the scaled largest element; and the scale of rule->exception, 1, is below. */
MXQ_INLINE uint32_t scale_low(const struct mxq_element_info *e)
{
    return (uint32_t)(e->bias + 1);
}

/* Up to here no sum overflows: what is added to a float is at most 2^(scale - 127 + emax + 23 - mbits), to
 * an integer 1.5 times that, and that power of two may be 2^127. */
MXQ_INLINE uint32_t scale_high(const struct mxq_element_info *e)
{
    return (uint32_t)(254 - 23 - e->emax + e->mantissa_bits);
}

#ifndef VEC_ROUND_KEEPS_SIGN
/* Without a maximum of magnitudes that carries the sign along, the sign is left to vec_store_codes. */
MXQ_INLINE vec round_magnitude(vec magnitude, vec smallest, vec grid)
{
    const vec binade = vec_max(vec_and(magnitude, vec_set1(0x7F800000)), smallest);
    return vec_fma(binade, grid, magnitude);
}

MXQ_INLINE vec vec_round(vec x, vec smallest, vec grid)
{
    return round_magnitude(vec_and(x, vec_set1(0x7FFFFFFF)), smallest, grid);
}

MXQ_INLINE vec vec_clamp(vec x, vec limit)
{
    const vec sign = vec_and(x, vec_set1(0x80000000));
    return vec_or(sign, vec_min(vec_and(x, vec_set1(0x7FFFFFFF)), limit));
}
#endif

/* What the blocks of a group need, a lane each.  It stays in registers: a store that is read back in
 * smaller pieces stalls until it has left the store buffer, and with it the next group. */
struct pack_group {
    vec rounding; /* what vec_round takes as the smallest normal, or what is added to round an integer */
    vec bias; /* of floats */
    vec limit;
};

/* For scale lanes in [scale_low, scale_high]; of others comes nonsense, but no trap. */
MXQ_INLINE struct pack_group pack_group_of(vec scale, const struct mxq_element_info *e)
{
    uint32_t max_bits;
    memcpy(&max_bits, &e->max, sizeof max_bits);
    const vec limit = vec_add(vec_sll(vec_sub(scale, vec_set1(127)), 23), vec_set1(max_bits));
    if (e->kind == MXQ_INTEGER) {
        const uint32_t field = (uint32_t)(23 + e->emax - e->mantissa_bits);
        const vec power = vec_sll(vec_add(scale, vec_set1(field)), 23);
        return (struct pack_group){vec_or(power, vec_set1(0x400000)), vec_set1(0), limit};
    }
    const vec smallest_field = vec_sub(scale, vec_set1((uint32_t)(e->bias - 1)));
    const vec t_field = vec_add(smallest_field, vec_set1((uint32_t)(23 - e->mantissa_bits)));
    return (struct pack_group){
        .rounding = vec_sll(smallest_field, 23),
        .bias = vec_code_bias(t_field, e->mantissa_bits),
        .limit = limit,
    };
}

MXQ_INLINE vec grid_of(const struct mxq_element_info *e)
{
    return vec_set1((uint32_t)(127 + 23 - e->mantissa_bits) << 23);
}

/* Returns t of x. */
MXQ_INLINE vec rounded_sum(vec x, vec rounding, const struct mxq_element_info *e)
{
    if (e->kind == MXQ_INTEGER)
        return vec_of_ps(vec_add_ps(vec_as_ps(x), vec_as_ps(rounding)));
    return vec_round(x, rounding, grid_of(e));
}

/* Returns t of x, which may be beyond the largest element; a NaN gives anything. */
MXQ_INLINE vec clamped_sum(vec x, struct pack_group g, const struct mxq_element_info *e)
{
#ifndef VEC_ROUND_KEEPS_SIGN
    if (e->kind == MXQ_FLOAT)
        return round_magnitude(vec_min(vec_and(x, vec_set1(0x7FFFFFFF)), g.limit), g.rounding,
                               grid_of(e));
#endif
    return rounded_sum(vec_clamp(x, g.limit), g.rounding, e);
}

/* Packs `values` values, a multiple of 4 * VEC_LANES.  With `any` magnitudes may be beyond the limit,
 * and the result tells whether there was a NaN.  What is `ahead` bytes behind is asked for, unless that is 0. */
MXQ_INLINE int pack_values(uint8_t *elements, const void *x, size_t values, struct pack_group g,
                           const struct mxq_element_info *e, enum mxq_type type, int any,
                           size_t ahead)
{
    vec largest = vec_set1(0);
    vec lane = vec_first_lane();
    for (size_t i = 0; i < values; i += 4 * VEC_LANES) {
        vec original[4], signs[4], t[4], bias[4];
        load_step(original, signs, x, i, type);
        for (size_t k = 0; k < 4; k++) {
            vec value = original[k];
            if (any) {
                largest = vec_max(largest, vec_and(value, vec_set1(0x7FFFFFFF)));
                value = vec_clamp(value, vec_lane(g.limit, lane));
            }
            if (ahead && k * VEC_LANES * type_bytes(type) % 64 == 0)
                prefetch_at(x, (i + k * VEC_LANES) * type_bytes(type) + ahead);
            t[k] = rounded_sum(value, vec_lane(g.rounding, lane), e);
            bias[k] = vec_lane(g.bias, lane);
            if (ends_block(i, k))
                lane = vec_next_lane(lane);
        }
        vec_store_codes(elements + packed_bytes(i, e), t, signs, bias, e, type);
    }
    return any && vec_mask(vec_gt(largest, vec_set1(0x7F800000))) != 0;
}

/* One block, with any scale code and any values. */
static __attribute__((noinline)) void pack_block_any(uint8_t *elements, const void *x,
                                                     uint8_t scale,
                                                     const struct mxq_element_info *e,
                                                     enum mxq_type type)
{
    enum { VALUES = 4 * VEC_LANES < MXQ_BLOCK ? MXQ_BLOCK : 4 * VEC_LANES };
    uint32_t values[VALUES] = {0};
    uint8_t packed[VALUES], codes[MXQ_BLOCK];
    if (scale == 0xFF) {
        memset(codes, e->nan_code, MXQ_BLOCK);
        mxq_pack_bits(elements, codes, MXQ_BLOCK, e->bits);
        return;
    }
    /* Scaling value and scale by 2^64 or 2^-64 is exact, but for what rounds to zero anyway and
     * what saturates anyway. */
    const int shift = scale < scale_low(e) ? 64 : scale > scale_high(e) ? -64 : 0;
    const vec factor = vec_set1((uint32_t)(127 + shift) << 23);
    for (size_t i = 0; i < MXQ_BLOCK; i += VEC_LANES)
        vec_store(values + i, vec_mul(load_wide(x, i, type), factor));
    pack_values(packed, values, VALUES, pack_group_of(vec_set1((uint32_t)(scale + shift)), e), e,
                MXQ_F32, 1, 0);
    mxq_unpack_bits(codes, packed, MXQ_BLOCK, e->bits);
    for (size_t i = 0; i < MXQ_BLOCK; i++)
        if ((values[i] & 0x7FFFFFFF) > 0x7F800000)
            codes[i] = e->nan_code;
    mxq_pack_bits(elements, codes, MXQ_BLOCK, e->bits);
}

/* One bit for each lane whose scale is outside [scale_low, scale_high]. */
MXQ_INLINE uint32_t scales_outside(vec scale, const struct mxq_element_info *e)
{
    return vec_mask_gt_u(vec_sub(scale, vec_set1(scale_low(e))),
                         vec_set1(scale_high(e) - scale_low(e)));
}

/* Packs again, the slow way, the blocks of a group whose bit is set. */
MXQ_INLINE void pack_blocks_any(uint32_t blocks, uint8_t *elements, const void *x,
                                const uint8_t *scale, const struct mxq_element_info *e,
                                enum mxq_type type)
{
    for (; blocks; blocks &= blocks - 1) {
        const size_t b = (size_t)__builtin_ctz(blocks);
        pack_block_any(elements + packed_bytes(b * MXQ_BLOCK, e),
                       (const unsigned char *)x + b * block_bytes(type), scale[b], e, type);
    }
}

MXQ_INLINE void pack_one_group(uint8_t *elements, const void *x, const uint8_t *scale,
                               const struct mxq_element_info *e, enum mxq_type type)
{
    const vec scales = vec_load_u8(scale);
    const struct pack_group g = pack_group_of(scales, e);
    uint32_t any = scales_outside(scales, e);
    if (pack_values(elements, x, VEC_LANES * MXQ_BLOCK, g, e, type, 1, 0))
        any = (uint32_t)((UINT64_C(1) << VEC_LANES) - 1);
    pack_blocks_any(any, elements, x, scale, e, type);
}

MXQ_INLINE void pack_blocks(uint8_t *elements, const void *x, const uint8_t *scale, size_t blocks,
                            const struct mxq_element_info *e, enum mxq_type type)
{
    const unsigned char *wide = x;
    for (; blocks >= VEC_LANES; blocks -= VEC_LANES) {
        pack_one_group(elements, wide, scale, e, type);
        elements += packed_bytes(VEC_LANES * MXQ_BLOCK, e);
        scale += VEC_LANES;
        wide += VEC_LANES * block_bytes(type);
    }
    if (blocks) {
        unsigned char padded[GROUP_BYTES_MAX];
        uint8_t codes[VEC_LANES * MXQ_BLOCK], scales[VEC_LANES];
        pad_group(padded, wide, blocks * block_bytes(type), VEC_LANES * block_bytes(type));
        memset(scales, 127, sizeof scales); /* an ordinary one, that takes no slow path */
        memcpy(scales, scale, blocks);
        pack_one_group(codes, padded, scales, e, type);
        memcpy(elements, codes, packed_bytes(blocks * MXQ_BLOCK, e));
    }
}

#define PACK_KERNEL(name, element, type)                                                           \
    void name(uint8_t *elements, const void *x, const uint8_t *scale, size_t blocks)               \
    {                                                                                              \
        pack_blocks(elements, x, scale, blocks, &mxq_elements[element], type);                     \
    }

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* pack.h -- FP8 packing, written once over vec.h.
 *
 * One addition does the rounding.  Let 2^e be the binade of x, but no less than the scaled smallest
 * normal of the element.  In
 *
 *     t = x + 2^(e + 23 - mantissa_bits)          (exact product, so fused or not gives the same)
 *
 * the last place of the F32 sum is the last place of the element's grid: t holds |x|, rounded to
 * nearest even onto the grid, as an integer n in its low bits, under the exponent field of e.  Codes
 * of one sign count grid points from zero, 2^mantissa_bits per binade, hence
 *
 *     code = ((field(t) - field(t of the smallest normal)) << mantissa_bits) + n
 *
 * for subnormal, normal and carried values alike.  Steps of the vocabulary:
 *
 *   vec_fma(a, b, c)                a * b + c in F32
 *   vec_round(x, smallest, grid)    t, without the sign of x, or, with VEC_ROUND_KEEPS_SIGN, with it;
 *                                   smallest: F32 bits of the scaled smallest normal; grid: of
 *                                   2^(23 - mantissa_bits)
 *   vec_clamp(x, limit)             the magnitude no larger than limit; NaN gives limit
 *   vec_code_bias(field, mbits)     field(t of the smallest normal), as vec_store_codes wants it
 *   vec_store_codes(out, t, x, bias, mbits, max_code, type)
 *                                   4 vectors, as load_step loads that type, to 4 * VEC_LANES bytes:
 *                                   sign and code, no larger than max_code; bias[k] belongs to
 *                                   vector k
 *
 * This needs the scale code in [SCALE_LOW, SCALE_HIGH], so that no operand is subnormal and no sum
 * overflows.  Blocks outside it, NaN blocks and blocks that hold a NaN go through pack_block_any(). */
#ifndef MXQ_LANES_PACK_H
#define MXQ_LANES_PACK_H

#include "lanes/group.h"

#define SCALE_LOW  16  /* of E5M2: smallest normal 2^(16 - 127 - 14) >= 2^-126 */
#define SCALE_HIGH 200 /* of E5M2: 2^(200 - 127 + 16 + 21) <= 2^127 */

#ifndef VEC_ROUND_KEEPS_SIGN
/* Without a maximum of magnitudes that carries the sign along, the sign is left to vec_store_codes. */
MXQ_INLINE vec vec_round(vec x, vec smallest, vec grid)
{
    const vec magnitude = vec_and(x, vec_set1(0x7FFFFFFF));
    const vec binade = vec_max(vec_and(x, vec_set1(0x7F800000)), smallest);
    return vec_fma(binade, grid, magnitude);
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
    vec smallest;
    vec bias;
    vec limit;
};

/* For scale lanes in [SCALE_LOW, SCALE_HIGH]; of others comes nonsense, but no trap. */
MXQ_INLINE struct pack_group pack_group_of(vec scale, const struct mxq_element_info *e)
{
    uint32_t max_bits;
    memcpy(&max_bits, &e->max, sizeof max_bits);
    const vec smallest_field = vec_sub(scale, vec_set1((uint32_t)(e->bias - 1)));
    const vec t_field = vec_add(smallest_field, vec_set1((uint32_t)(23 - e->mantissa_bits)));
    return (struct pack_group){
        .smallest = vec_sll(smallest_field, 23),
        .bias = vec_code_bias(t_field, e->mantissa_bits),
        .limit = vec_add(vec_sll(vec_sub(scale, vec_set1(127)), 23), vec_set1(max_bits)),
    };
}

/* Packs `values` values, a multiple of 4 * VEC_LANES.  With `any` magnitudes may be beyond the limit,
 * and the result tells whether there was a NaN; without, x is a stream that is worth prefetching. */
MXQ_INLINE int pack_values(uint8_t *elements, const void *x, size_t values, struct pack_group g,
                           const struct mxq_element_info *e, enum mxq_type type, int any)
{
    const vec grid = vec_set1((uint32_t)(127 + 23 - e->mantissa_bits) << 23);
    vec largest = vec_set1(0);
    vec lane = vec_first_lane();
    for (size_t i = 0; i < values; i += 4 * VEC_LANES) {
        vec original[4], rounded[4], bias[4];
        load_step(original, x, i, type);
        for (size_t k = 0; k < 4; k++) {
            vec value = original[k];
            if (any) {
                largest = vec_max(largest, vec_and(value, vec_set1(0x7FFFFFFF)));
                value = vec_clamp(value, vec_lane(g.limit, lane));
            } else if (k * VEC_LANES * type_bytes(type) % 64 == 0) {
                prefetch_input(x, (i + k * VEC_LANES) * type_bytes(type));
            }
            rounded[k] = vec_round(value, vec_lane(g.smallest, lane), grid);
            bias[k] = vec_lane(g.bias, lane);
            if (ends_block(i, k))
                lane = vec_next_lane(lane);
        }
        vec_store_codes(elements + i, rounded, original, bias, e->mantissa_bits, e->max_code, type);
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
    if (scale == 0xFF) {
        memset(elements, 0x7F, MXQ_BLOCK);
        return;
    }
    /* Scaling value and scale by 2^64 or 2^-64 is exact, but for what rounds to zero anyway and
     * what saturates anyway. */
    const int shift = scale < SCALE_LOW ? 64 : scale > SCALE_HIGH ? -64 : 0;
    const vec factor = vec_set1((uint32_t)(127 + shift) << 23);
    uint32_t values[VALUES] = {0};
    uint8_t codes[VALUES];
    for (size_t i = 0; i < MXQ_BLOCK; i += VEC_LANES)
        vec_store(values + i, vec_mul(load_wide(x, i, type), factor));
    pack_values(codes, values, VALUES, pack_group_of(vec_set1((uint32_t)(scale + shift)), e), e,
                MXQ_F32, 1);
    for (size_t i = 0; i < MXQ_BLOCK; i++)
        elements[i] = (values[i] & 0x7FFFFFFF) > 0x7F800000 ? 0x7F : codes[i];
}

/* One bit for each lane whose scale is outside [SCALE_LOW, SCALE_HIGH]. */
MXQ_INLINE uint32_t scales_outside(vec scale)
{
    return vec_mask_gt_u(vec_sub(scale, vec_set1(SCALE_LOW)), vec_set1(SCALE_HIGH - SCALE_LOW));
}

/* Packs again, the slow way, the blocks of a group whose bit is set. */
MXQ_INLINE void pack_blocks_any(uint32_t blocks, uint8_t *elements, const void *x,
                                const uint8_t *scale, const struct mxq_element_info *e,
                                enum mxq_type type)
{
    for (; blocks; blocks &= blocks - 1) {
        const size_t b = (size_t)__builtin_ctz(blocks);
        pack_block_any(elements + b * MXQ_BLOCK, (const unsigned char *)x + b * block_bytes(type),
                       scale[b], e, type);
    }
}

MXQ_INLINE void pack_one_group(uint8_t *elements, const void *x, const uint8_t *scale,
                               const struct mxq_element_info *e, enum mxq_type type)
{
    const vec scales = vec_load_u8(scale);
    const struct pack_group g = pack_group_of(scales, e);
    uint32_t any = scales_outside(scales);
    if (pack_values(elements, x, VEC_LANES * MXQ_BLOCK, g, e, type, 1))
        any = (uint32_t)((UINT64_C(1) << VEC_LANES) - 1);
    pack_blocks_any(any, elements, x, scale, e, type);
}

MXQ_INLINE void pack_blocks(uint8_t *elements, const void *x, const uint8_t *scale, size_t blocks,
                            const struct mxq_element_info *e, enum mxq_type type)
{
    const unsigned char *wide = x;
    for (; blocks >= VEC_LANES; blocks -= VEC_LANES) {
        pack_one_group(elements, wide, scale, e, type);
        elements += VEC_LANES * MXQ_BLOCK;
        scale += VEC_LANES;
        wide += VEC_LANES * block_bytes(type);
    }
    if (blocks) {
        unsigned char padded[GROUP_BYTES_MAX];
        uint8_t codes[VEC_LANES * MXQ_BLOCK], scales[VEC_LANES];
        pad_group(padded, wide, blocks * block_bytes(type), VEC_LANES * block_bytes(type));
        pad_group(scales, scale, blocks, VEC_LANES);
        pack_one_group(codes, padded, scales, e, type);
        memcpy(elements, codes, blocks * MXQ_BLOCK);
    }
}

#define PACK_KERNEL(name, element, type)                                                           \
    void name(uint8_t *elements, const void *x, const uint8_t *scale, size_t blocks)               \
    {                                                                                              \
        if (is_fp8(element))                                                                       \
            pack_blocks(elements, x, scale, blocks, &mxq_elements[element], type);                 \
        else                                                                                       \
            mxq_kernels_scalar.pack[element][type](elements, x, scale, blocks);                    \
    }

#endif

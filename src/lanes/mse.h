/* SPDX-License-Identifier: Apache-2.0 */
/* mse.h -- the better of two E8M0 scales, written once over vec.h.
 *
 * In units of the smaller scale, let H be the step of the grid up to the largest element, max,
 * and h the step below T, twice the smallest normal; of an integer, H = h and T is beyond all
 * values.  Let all magnitudes m be below P, the power of two above max.  With the larger scale
 * the steps below T are 2 h, and beyond max there are elements, too; all else is the same.  So
 * the difference of a value's two squared errors is zero but for
 *
 *     m below T:    the larger scale loses 2 h max(0, r - h / 2), r being the distance to the
 *                   nearest multiple of 2 h;
 *     m above max:  it gains 2 H max(0, m - (max + H / 2)); and, where P is max + 2 H as of E4M3,
 *                   2 H max(0, m - (max + 3 H / 2)) more.
 *
 * The sum of all that in F32 decides, unless it is too close to zero.  How close is that?  In
 * units of 2 H no term is above H / 2, or 2 H as of E4M3, and all are exact, but for what is
 * below 2^-126.  Each of the at most 69 additions, or 101, is off by 2^-24 of its result, a sum
 * of at most 32 terms: that makes 2^-13 H, or 2^-11 H.  The sums of the contract are far closer
 * to the truth.
 *
 *   vec_sum_ps     of all lanes, in any order
 *   vec_larger_magnitude(a, b) _smaller_magnitude   the larger or smaller of |a| and b, b > 0 */
#ifndef MXQ_LANES_MSE_H
#define MXQ_LANES_MSE_H

#include <math.h>

#include "lanes/amax.h"
#include "scalar/wide.h"
#include "unroll.h"

/* Blocks whose choices are made one after the other.  Leaving the loop, which no machine
 * foresees, costs less the more they are, and memory idles meanwhile: F32 from DRAM, Zen 5, 10.0
 * ns per 64 values with 64, 7.8 with 32. */
#define MSE_BLOCKS 32
#define MSE_GROUPS (MSE_BLOCKS / VEC_LANES)

MXQ_INLINE float top_step(const struct mxq_element_info *e)
{
    return power_of_two(e->emax - e->mantissa_bits);
}

MXQ_INLINE float low_step(const struct mxq_element_info *e)
{
    return e->kind == MXQ_INTEGER ? top_step(e) : power_of_two(1 - e->bias - e->mantissa_bits);
}

/* Only beyond this there is something to gain. */
MXQ_INLINE float gain_begin(const struct mxq_element_info *e)
{
    return e->max + top_step(e) / 2;
}

MXQ_INLINE vec_ps set1_ps(float value)
{
    return vec_broadcast_ps(&value);
}

/* Whether P is max + 2 H. */
MXQ_INLINE int has_second_gain(const struct mxq_element_info *e)
{
    return gain_begin(e) + top_step(e) < power_of_two(e->emax + 1);
}

MXQ_INLINE int decides(float sum, const struct mxq_element_info *e)
{
    return fabsf(sum) > top_step(e) * (has_second_gain(e) ? 0x1p-11F : 0x1p-13F);
}

/* max(0, |v| - begin). */
MXQ_INLINE vec_ps excess(vec_ps v, float begin)
{
    return vec_sub_ps(vec_larger_magnitude(v, set1_ps(begin)), set1_ps(begin));
}

/* Adds to a lane of d by what the larger scale is better for values below P, in units of 2 H. */
MXQ_INLINE vec_ps add_errors(vec_ps d, vec x, vec factor, const struct mxq_element_info *e)
{
    const float high = power_of_two(e->emax + 1), step = low_step(e);
    const float low_end = e->kind == MXQ_INTEGER ? high : power_of_two(2 - e->bias);
    const vec_ps scaled = vec_as_ps(vec_mul(x, factor));
    d = vec_add_ps(d, excess(scaled, gain_begin(e)));
    if (has_second_gain(e))
        d = vec_add_ps(d, excess(scaled, gain_begin(e) + top_step(e)));
    /* Added, it leaves no bits below 2 h. */
    const vec_ps offset = set1_ps(0x1.8p23F * 2 * step);
    const vec_ps low = vec_smaller_magnitude(scaled, set1_ps(low_end));
    const vec_ps nearest = vec_sub_ps(vec_add_ps(low, offset), offset);
    return vec_fma_ps(excess(vec_sub_ps(low, nearest), step / 2), set1_ps(-step / top_step(e)), d);
}

/* What brings values to the grid of a scale below 254. */
MXQ_INLINE vec factor_of(vec scale)
{
    return vec_sll(vec_sub(vec_set1(254), scale), 23);
}

/* Whether the larger scale is better, 0 or 1, where F32 sums are too close to tell: more than
 * zero or not is what they say if they are exact. */
static __attribute__((noinline)) int decide(const void *x, uint8_t scale, int is_more,
                                            const struct mxq_element_info *e, enum mxq_type type)
{
    const vec factor = factor_of(vec_set1(scale));
    float values[MXQ_BLOCK];
    uint8_t chosen = scale;
    /* The sums of multiples of 2^-16 H and 2^-19 H^2 / h are exact, those of the contract too,
     * and that happens: BF16 has few bits.  Added, this leaves no bits below. */
    const float grid =
        top_step(e) / low_step(e) < 8 ? 0x1p-16F : 0x1p-19F * top_step(e) / low_step(e);
    const vec_ps offset = set1_ps(0x1p23F * top_step(e) * grid);
    vec is_exact = vec_set1(0xFFFFFFFF);
    for (size_t i = 0; i < MXQ_BLOCK; i += VEC_LANES) {
        const vec value = load_wide(x, i, type);
        const vec magnitude = vec_and(vec_mul(value, factor), vec_set1(0x7FFFFFFF));
        const vec_ps sum = vec_add_ps(vec_as_ps(magnitude), offset);
        is_exact = vec_and(is_exact, vec_eq(magnitude, vec_of_ps(vec_sub_ps(sum, offset))));
        vec_store(values + i, value);
    }
    if (vec_mask(is_exact) == (uint32_t)((UINT64_C(1) << VEC_LANES) - 1))
        return is_more;
    mxq_kernels_scalar.mse[e - mxq_elements](&chosen, values, 1);
    return chosen > scale;
}

/* VEC_LANES values of a block from value i on; of BF16 the even ones of twice as many, then the
 * odd ones. */
MXQ_INLINE vec load_in_any_order(const void *x, size_t i, enum mxq_type type)
{
    if (type != MXQ_BF16)
        return load_wide(x, i, type);
    const size_t first = i / (2 * VEC_LANES) * 2 * VEC_LANES;
    const vec pairs = vec_load((const unsigned char *)x + first * sizeof(uint16_t));
    return i == first ? vec_sll(pairs, 16) : vec_and(pairs, vec_set1(0xFFFF0000));
}

/* Whether the larger scale is better: 0 or 1. */
MXQ_INLINE int is_better_above(const void *x, uint8_t scale, const uint32_t *factor,
                               const struct mxq_element_info *e, enum mxq_type type)
{
    const vec by = vec_of_ps(vec_broadcast_ps(factor));
    vec_ps d = vec_zero_ps();
    UNROLL
    for (size_t i = 0; i < MXQ_BLOCK; i += VEC_LANES)
        d = add_errors(d, load_in_any_order(x, i, type), by, e);
    const float sum = vec_sum_ps(d);
    return decides(sum, e) ? sum > 0 : decide(x, scale, sum > 0, e, type);
}

/* One bit for each lane whose block has something to gain, of ordinary ones and of those with
 * values beyond P, for which nothing above holds; and what brings values to the grid of the
 * smaller scale. */
struct mse_lanes {
    uint32_t ordinary, beyond;
    vec factor;
};

/* Scales of 254 and 255 and blocks that are not finite are never ordinary: their factors are 0
 * or -infinity, or what comes of them an infinity or a NaN. */
MXQ_INLINE struct mse_lanes lanes_to_gain(vec amax, vec scale, const struct mxq_element_info *e)
{
    const uint32_t all = (uint32_t)((UINT64_C(1) << VEC_LANES) - 1);
    const vec factor = factor_of(scale), scaled = vec_mul(amax, factor);
    const vec first = vec_add(vec_of_ps(set1_ps(gain_begin(e))), vec_set1(1));
    const vec last = vec_sub(vec_of_ps(set1_ps(power_of_two(e->emax + 1))), vec_set1(1));
    const uint32_t others = vec_mask_gt_u(vec_sub(scaled, first), vec_sub(last, first));
    return (struct mse_lanes){all & ~others, vec_mask(vec_gt(scaled, last)), factor};
}

/* One bit for each block for which the larger scale is better, among the ordinary ones that have
 * something to gain. */
MXQ_INLINE uint64_t better_above(uint64_t blocks, const unsigned char *x, const uint8_t *scale,
                                 const uint32_t *factor, const struct mxq_element_info *e,
                                 enum mxq_type type)
{
    uint64_t better = 0;
    for (; blocks; blocks &= blocks - 1) {
        const size_t b = (size_t)__builtin_ctzll(blocks);
        const int is_better =
            is_better_above(x + b * block_bytes(type), scale[b], factor + b, e, type);
        better |= (uint64_t)is_better << b;
    }
    return better;
}

/* Lane i = bit i. */
MXQ_INLINE vec lanes_of_bits(uint32_t bits)
{
    static const uint32_t numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return vec_and(vec_srlv(vec_set1(bits), vec_load(numbers)), vec_set1(1));
}

MXQ_INLINE void mse_groups(uint8_t *scale, const float *x, size_t groups,
                           const struct mxq_element_info *e)
{
    uint32_t factors[MSE_BLOCKS];
    uint64_t ordinary = 0, beyond = 0;
    for (size_t g = 0; g < groups; g++) {
        const vec amax = amax_group(x + g * VEC_LANES * MXQ_BLOCK, MXQ_F32);
        const struct mse_lanes to_gain = lanes_to_gain(amax, vec_load_u8(scale + g * VEC_LANES), e);
        vec_store(factors + g * VEC_LANES, to_gain.factor);
        ordinary |= (uint64_t)to_gain.ordinary << (g * VEC_LANES);
        beyond |= (uint64_t)to_gain.beyond << (g * VEC_LANES);
    }
    const uint64_t better =
        better_above(ordinary, (const unsigned char *)x, scale, factors, e, MXQ_F32);
    for (size_t g = 0; g < groups; g++) {
        const vec one = lanes_of_bits((uint32_t)(better >> (g * VEC_LANES)));
        vec_store_u8(scale + g * VEC_LANES, vec_add(vec_load_u8(scale + g * VEC_LANES), one));
    }
    for (; beyond; beyond &= beyond - 1) {
        const size_t b = (size_t)__builtin_ctzll(beyond);
        mxq_kernels_scalar.mse[e - mxq_elements](scale + b, x + b * MXQ_BLOCK, 1);
    }
}

MXQ_INLINE void mse_blocks(uint8_t *scale, const float *x, size_t blocks,
                           const struct mxq_element_info *e)
{
    while (blocks >= VEC_LANES) {
        const size_t groups = blocks < MSE_BLOCKS ? blocks / VEC_LANES : MSE_GROUPS;
        mse_groups(scale, x, groups, e);
        scale += groups * VEC_LANES;
        x += groups * VEC_LANES * MXQ_BLOCK;
        blocks -= groups * VEC_LANES;
    }
    if (blocks) {
        float padded[VEC_LANES * MXQ_BLOCK];
        uint8_t scales[VEC_LANES] = {0};
        pad_group(padded, x, blocks * block_bytes(MXQ_F32), sizeof padded);
        memcpy(scales, scale, blocks);
        mse_groups(scales, padded, 1, e);
        memcpy(scale, scales, blocks);
    }
}

#define MSE_KERNEL(name, element)                                                                  \
    void name(uint8_t *scale, const float *x, size_t blocks)                                       \
    {                                                                                              \
        mse_blocks(scale, x, blocks, &mxq_elements[element]);                                      \
    }

#endif

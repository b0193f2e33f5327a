/* SPDX-License-Identifier: Apache-2.0 */
/* mse.h -- the better of two E8M0 scales, written once over vec.h.
 *
 * In units of the smaller scale, let H be the step of the grid up to the largest element, max, and h the
 * step below T, twice the smallest normal; of an integer, H = h and T is beyond all values.  Let all
 * magnitudes m be below P, the power of two above max.  With the larger scale the steps below T are 2 h,
 * and beyond max there are elements, too; all else is the same.  So the difference of a value's two
 * squared errors is zero but for
 *
 *     m below T:    the larger scale loses 2 h max(0, r - h / 2), r being the distance to the nearest
 *                   multiple of 2 h;
 *     m above max:  it gains 2 H max(0, m - (max + H / 2)); and, where P is max + 2 H as of E4M3,
 *                   2 H max(0, m - (max + 3 H / 2)) more.
 *
 * F32 sums of both decide, unless they are too close to each other.  How close is that?  In these units
 * values are exact but for what is below 2^-126, and so are the terms.  No sum is of more than 64 of them, all
 * positive, and each addition is off by 2^-24 of its result: so a sum is within 2^-18 of itself.  A gain
 * that is not zero is at least 2^-24 P, so that the sums of the contract differ by more than F64 loses. */
#ifndef MXQ_LANES_MSE_H
#define MXQ_LANES_MSE_H

#include <math.h>

#include "lanes/amax.h"
#include "unroll.h"

#define MSE_CLOSE 0x1p-16f /* more than twice 2^-18, and what the products with it lose */

/* Blocks whose choices are made one after the other: so many that leaving the loop, which no machine
 * foresees, costs little. */
#define MSE_BLOCKS 64
#define MSE_GROUPS (MSE_BLOCKS / VEC_LANES)

/* 2^exponent. */
MXQ_INLINE float power_of_two(int exponent)
{
    const uint32_t bits = (uint32_t)(127 + exponent) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return power;
}

MXQ_INLINE float top_step(const struct mxq_element_info *e)
{
    return power_of_two(e->emax - e->mantissa_bits);
}

MXQ_INLINE float low_step(const struct mxq_element_info *e)
{
    return e->kind == MXQ_INTEGER ? top_step(e) : power_of_two(1 - e->bias - e->mantissa_bits);
}

/* That of a loss in those of a gain. */
MXQ_INLINE float loss_unit(const struct mxq_element_info *e)
{
    return low_step(e) / top_step(e);
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

/* max(0, v - begin), v being positive or zero. */
MXQ_INLINE vec_ps excess(vec v, float begin)
{
    const vec_ps least = set1_ps(begin);
    return vec_sub_ps(vec_as_ps(vec_max(v, vec_of_ps(least))), least);
}

/* Sums, in each lane, over some of the values. */
struct mse_sums {
    vec_ps gain; /* in units of 2 H */
    vec_ps loss; /* in units of 2 h */
};

/* Adds values, whose magnitudes are below P. */
MXQ_INLINE void add_errors(struct mse_sums *s, vec x, vec factor, const struct mxq_element_info *e)
{
    const vec all_but_sign = vec_set1(0x7FFFFFFF);
    const float high = power_of_two(e->emax + 1), step = low_step(e);
    const float low_end = e->kind == MXQ_INTEGER ? high : power_of_two(2 - e->bias);
    const vec magnitude = vec_and(vec_mul(x, factor), all_but_sign);
    s->gain = vec_add_ps(s->gain, excess(magnitude, gain_begin(e)));
    if (gain_begin(e) + top_step(e) < high)
        s->gain = vec_add_ps(s->gain, excess(magnitude, gain_begin(e) + top_step(e)));
    /* Added, it leaves no bits below 2 h. */
    const vec_ps offset = set1_ps(0x1.8p23F * 2 * step);
    const vec_ps low = vec_as_ps(vec_min(magnitude, vec_of_ps(set1_ps(low_end))));
    const vec_ps nearest = vec_sub_ps(vec_add_ps(low, offset), offset);
    const vec distance = vec_and(vec_of_ps(vec_sub_ps(low, nearest)), all_but_sign);
    s->loss = vec_add_ps(s->loss, excess(distance, step / 2));
}

/* What brings values to the grid of a scale below 254. */
MXQ_INLINE vec factor_of(vec scale)
{
    return vec_sll(vec_sub(vec_set1(254), scale), 23);
}

/* Whether the larger scale is better, 0 or 1, where F32 sums are too close to tell. */
static __attribute__((noinline)) int decide(const void *x, uint8_t scale, int is_more,
                                            const struct mxq_element_info *e, enum mxq_type type)
{
    const vec factor = factor_of(vec_set1(scale));
    float values[MXQ_BLOCK];
    uint8_t chosen = scale;
    /* Of multiples of 2^-16 H all sums are exact, those of the contract too, and that happens: BF16 has few
     * bits.  Added, this leaves no bits below. */
    const vec_ps offset = set1_ps(128 * top_step(e));
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

/* Whether the contract's sums could compare differently. */
MXQ_INLINE int is_close(float gain, float loss)
{
    return fabsf(gain - loss) <= MSE_CLOSE * loss;
}

/* Whether the larger scale is better: 0 or 1. */
MXQ_INLINE int is_better_above(const void *x, uint8_t scale, const struct mxq_element_info *e,
                               enum mxq_type type)
{
    const vec factor = factor_of(vec_set1(scale));
    struct mse_sums s = {vec_zero_ps(), vec_zero_ps()};
    UNROLL
    for (size_t i = 0; i < MXQ_BLOCK; i += VEC_LANES)
        add_errors(&s, load_wide(x, i, type), factor, e);
    const float gain = vec_sum_ps(s.gain), loss = vec_sum_ps(s.loss) * loss_unit(e);
    if (is_close(gain, loss))
        return decide(x, scale, gain > loss, e, type);
    return gain > loss;
}

/* One bit for each lane whose block has something to gain, of ordinary ones and of those with values beyond
 * P, for which nothing above holds. */
struct mse_lanes {
    uint32_t ordinary, beyond;
};

MXQ_INLINE struct mse_lanes lanes_to_gain(vec amax, vec scale, const struct mxq_element_info *e)
{
    const vec is_finite = vec_gt(vec_set1(0x7F800000), amax);
    const vec may_grow = vec_and(is_finite, vec_gt(vec_set1(254), scale));
    const vec scaled = vec_mul(amax, factor_of(scale));
    const vec gains = vec_gt(scaled, vec_of_ps(set1_ps(gain_begin(e))));
    const vec is_below = vec_gt(vec_of_ps(set1_ps(power_of_two(e->emax + 1))), scaled);
    const vec which = vec_and(may_grow, gains);
    return (struct mse_lanes){vec_mask(vec_and(which, is_below)),
                              vec_mask(vec_andnot(is_below, which))};
}

/* One bit for each block for which the larger scale is better, among the ordinary ones that have something
 * to gain. */
MXQ_INLINE uint64_t better_above(uint64_t blocks, const unsigned char *x, const uint8_t *scale,
                                 const struct mxq_element_info *e, enum mxq_type type)
{
    uint64_t better = 0;
    for (; blocks; blocks &= blocks - 1) {
        const size_t b = (size_t)__builtin_ctzll(blocks);
        const int is_better = is_better_above(x + b * block_bytes(type), scale[b], e, type);
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
    uint64_t ordinary = 0, beyond = 0;
    for (size_t g = 0; g < groups; g++) {
        const vec amax = amax_group(x + g * VEC_LANES * MXQ_BLOCK, MXQ_F32);
        const struct mse_lanes to_gain = lanes_to_gain(amax, vec_load_u8(scale + g * VEC_LANES), e);
        ordinary |= (uint64_t)to_gain.ordinary << (g * VEC_LANES);
        beyond |= (uint64_t)to_gain.beyond << (g * VEC_LANES);
    }
    const uint64_t better = better_above(ordinary, (const unsigned char *)x, scale, e, MXQ_F32);
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

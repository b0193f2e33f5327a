/* SPDX-License-Identifier: Apache-2.0 */
/* mse.h -- the better of two E8M0 scales, written once over vec.h.
 *
 * The grid of a larger scale is, as far as the smaller one's reaches, part of that: no value within reach comes
 * closer to it, and rounding keeps the order of differences, squares and sums.  So only a block with a value
 * beyond the smaller scale's largest element can gain.  For these the sums of squares in F32 decide, unless
 * they are too close to each other: then the scalar kernel does.
 *
 *   vec_sum_ps   of all lanes, in any order
 *
 * How close is that?  Scaled to the element's grid, values are exact but for what is below 2^-126.  Each
 * difference, square and addition is off by 2^-24 of itself, and no sum is of more than 32 squares, all
 * positive: so a sum is within 36 * 2^-24 of itself, and the F64 sums of the contract far closer.  The value
 * beyond the largest element makes the first sum at least 2^-48, which hides all underflow. */
#ifndef MXQ_LANES_MSE_H
#define MXQ_LANES_MSE_H

#include <math.h>

#include "lanes/amax.h"

#define MSE_CLOSE 0x1p-16f /* more than twice 36 * 2^-24 */

/* The distance of magnitudes to the nearest element, both unscaled. */
MXQ_INLINE vec_ps rounding_error(vec_ps magnitude, const struct mxq_element_info *e)
{
    uint32_t max_bits;
    memcpy(&max_bits, &e->max, sizeof max_bits);
    const vec clipped = vec_min(vec_of_ps(magnitude), vec_set1(max_bits));
    const vec binade = e->kind == MXQ_INTEGER ? vec_set1((uint32_t)(127 + e->emax) << 23)
                                              : vec_max(vec_and(clipped, vec_set1(0x7F800000)),
                                                        vec_set1((uint32_t)(128 - e->bias) << 23));
    /* Added, it leaves no bits below the grid. */
    const vec_ps offset = vec_mul_ps(vec_as_ps(binade),
                                     vec_as_ps(vec_set1((uint32_t)(150 - e->mantissa_bits) << 23)));
    const vec_ps rounded = vec_sub_ps(vec_add_ps(vec_as_ps(clipped), offset), offset);
    return vec_sub_ps(magnitude, rounded);
}

/* 1 when the larger scale is better, 0 when it is not, -1 when that is not certain.  `factor` brings values to
 * the grid of the smaller scale. */
MXQ_INLINE int is_better_above(const float *x, float factor, const struct mxq_element_info *e)
{
    const vec_ps by = vec_broadcast_ps(&factor), half = vec_as_ps(vec_set1(0x3F000000));
    vec_ps sums[2] = {vec_zero_ps(), vec_zero_ps()};
    vec same = vec_set1(0xFFFFFFFF); /* where both grids have the same nearest element */
    for (size_t i = 0; i < MXQ_BLOCK; i += VEC_LANES) {
        const vec scaled = vec_of_ps(vec_mul_ps(vec_load_ps(x + i), by));
        const vec_ps magnitude = vec_as_ps(vec_and(scaled, vec_set1(0x7FFFFFFF)));
        const vec_ps error = rounding_error(magnitude, e);
        const vec_ps error_above = rounding_error(vec_mul_ps(magnitude, half), e);
        same = vec_and(same,
                       vec_eq(vec_of_ps(error), vec_of_ps(vec_add_ps(error_above, error_above))));
        sums[0] = vec_fma_ps(error, error, sums[0]);
        sums[1] = vec_fma_ps(error_above, error_above, sums[1]);
    }
    const float sum = vec_sum_ps(sums[0]), above = 4 * vec_sum_ps(sums[1]);
    /* Often nothing changes but the scale: then the contract's sums are equal, too.  Below 3 max, which the
     * bound says of every magnitude, the differences are exact. */
    const int is_same = (sum < 4 * e->max * e->max) &
                        (vec_mask(same) == (uint32_t)((UINT64_C(1) << VEC_LANES) - 1));
    const int is_less = !is_same & (above < sum * (1 - MSE_CLOSE));
    const int is_more = (above > sum * (1 + MSE_CLOSE)) & (above < INFINITY);
    return is_less | is_more | is_same ? is_less : -1;
}

/* What brings values to the grid of a scale below 254. */
MXQ_INLINE float factor_of(uint8_t scale)
{
    const uint32_t bits = (254 - (uint32_t)scale) << 23;
    float factor;
    memcpy(&factor, &bits, sizeof factor);
    return factor;
}

/* Whether some value of a block is beyond the largest element: only then is there something to compare. */
MXQ_INLINE int is_clipped(uint8_t scale, uint32_t amax_bits, const struct mxq_element_info *e)
{
    const uint32_t ordinary = scale < 254 ? scale : 0;
    float amax;
    memcpy(&amax, &amax_bits, sizeof amax);
    return (scale < 254) & (amax_bits < 0x7F800000) &
           (amax * factor_of((uint8_t)ordinary) > e->max);
}

MXQ_INLINE void mse_blocks(uint8_t *scale, const float *x, size_t blocks, enum mxq_element element)
{
    enum { GROUP = 32 };
    const struct mxq_element_info *e = &mxq_elements[element];
    for (size_t done = 0; done < blocks; done += GROUP) {
        const size_t count = blocks - done < GROUP ? blocks - done : GROUP;
        uint32_t amax[GROUP];
        uint8_t clipped[GROUP];
        size_t clipped_count = 0;
        amax_blocks(amax, x + done * MXQ_BLOCK, count, 0, MXQ_F32);
        /* As many as not are clipped, and no machine guesses which: listed first, they cost no branch. */
        for (size_t b = 0; b < count; b++) {
            clipped[clipped_count] = (uint8_t)b;
            clipped_count += (size_t)is_clipped(scale[done + b], amax[b], e);
        }
        for (size_t i = 0; i < clipped_count; i++) {
            const size_t b = done + clipped[i];
            const int is_better = is_better_above(x + b * MXQ_BLOCK, factor_of(scale[b]), e);
            if (is_better < 0)
                mxq_kernels_scalar.mse[element](scale + b, x + b * MXQ_BLOCK, 1);
            else
                scale[b] = (uint8_t)(scale[b] + is_better);
        }
    }
}

#define MSE_KERNEL(name, element)                                                                  \
    void name(uint8_t *scale, const float *x, size_t blocks)                                       \
    {                                                                                              \
        mse_blocks(scale, x, blocks, element);                                                     \
    }

#endif

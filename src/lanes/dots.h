/* SPDX-License-Identifier: Apache-2.0 */
/* dots.h -- when the dots of several sub-blocks may be added up as integers, over vec.h.
 *
 * The contract adds each dot to y in F32.  As long as the factors are 1 and y and all that it becomes are
 * integers up to 2^24, F32 rounds none of these additions: then one addition of the sum of the dots, in int32,
 * gives the same bits.  512 products of two bytes are together at most 512 * 2^14 = 2^23, in any order and
 * after any of them.  So it is enough that y is an integer of at most 2^23 before each 16 sub-blocks: all
 * weights with a scale per channel or group, until a sum is larger than ordinary ones ever are.
 *
 *   vec_truncate vec_to_ps   F32 to integers, toward zero; integers to F32 */
#ifndef MXQ_LANES_DOTS_H
#define MXQ_LANES_DOTS_H

#include <string.h>

#include "kernels.h"
#include "unroll.h"

#define DOT_VECTORS (MXQ_PANEL / VEC_LANES) /* of the dots of a row and a panel */

#define EXACT_BLOCKS 16
#define EXACT_SUM    UINT32_C(0x4B000000) /* 2^23 */
#define UNIT_FACTOR  UINT32_C(0x3F800000)

/* How factors differ from 1: as bits that are all 0 if none does. */
struct differences {
    uint32_t x;
    vec w;
};

MXQ_INLINE int is_zero(vec bits)
{
    return vec_mask(vec_eq(bits, vec_set1(0))) == (UINT32_C(1) << VEC_LANES) - 1;
}

/* The factor of a sub-block of a row of x, and those of a panel of w. */
MXQ_INLINE void note_x_factor(struct differences *d, const unsigned char *factor)
{
    uint32_t bits;
    memcpy(&bits, factor, sizeof bits);
    d->x |= bits ^ UNIT_FACTOR;
}

MXQ_INLINE void note_w_factors(struct differences *d, const unsigned char *factors)
{
    UNROLL
    for (size_t v = 0; v < DOT_VECTORS; v++)
        d->w = vec_or(d->w, vec_xor(vec_load(factors + v * VEC_LANES * sizeof(float)),
                                    vec_set1(UNIT_FACTOR)));
}

MXQ_INLINE int are_units(const struct differences *d)
{
    return !d->x && is_zero(d->w);
}

/* Sums as integers; returns whether all of them are such, of at most 2^23.  (-0 is none: a slower way
 * takes it.) */
MXQ_INLINE int load_integer_sums(vec *integers, const float *y, size_t y_stride, const size_t rows,
                                 const size_t panels)
{
    vec fractions = vec_set1(0), largest = vec_set1(0);
    UNROLL
    for (size_t i = 0; i < rows * panels * DOT_VECTORS; i++) {
        const size_t row = i / (panels * DOT_VECTORS), vector = i % (panels * DOT_VECTORS);
        const vec_ps sum = vec_load_ps(y + row * y_stride + vector * VEC_LANES);
        integers[i] = vec_truncate(sum); /* of what has none: anything */
        fractions = vec_or(fractions, vec_xor(vec_of_ps(vec_to_ps(integers[i])), vec_of_ps(sum)));
        largest = vec_max(largest, vec_and(vec_of_ps(sum), vec_set1(0x7FFFFFFF)));
    }
    return is_zero(fractions) && !vec_mask(vec_gt(largest, vec_set1(EXACT_SUM)));
}

#endif

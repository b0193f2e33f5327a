/* SPDX-License-Identifier: Apache-2.0 */
/* dots.h -- what columns that multiply small integers share: where things are in their operands, and when the
 * dots of several sub-blocks may be added up as integers.
 *
 * The contract adds each dot to y in F32.  As long as the factors are 1 and y and all that it becomes are
 * integers up to 2^24, F32 rounds none of these additions: then one addition of the sum of the dots, in int32,
 * gives the same bits.  512 products of two bytes are together at most 512 * 2^14 = 2^23, in any order and
 * after any of them.  So it is enough that y is an integer of at most 2^23 before each 16 sub-blocks: all
 * weights with a scale per channel or group, until a sum is larger than ordinary ones ever are. */
#ifndef MXQ_AVX512_DOTS_H
#define MXQ_AVX512_DOTS_H

#include <string.h>

#include "avx512/vec.h"
#include "kernels.h"
#include "unroll.h"

#define QUADS          (MXQ_BLOCK / 4)
#define QUAD_BYTES     (4 * MXQ_PANEL)
#define AT_CORRECTIONS (QUADS * QUAD_BYTES)
#define AT_FACTORS     (AT_CORRECTIONS + 4 * MXQ_PANEL)

#define EXACT_BLOCKS 16
#define EXACT_SUM    (1 << 23)
#define UNIT_FACTOR  UINT32_C(0x3F800000)

/* How factors differ from 1: as bits that are all 0 if none does. */
struct differences {
    uint32_t x;
    vec w;
};

/* Of a sub-block of a row of x, of a panel of w. */
MXQ_INLINE void note_x_factor(struct differences *d, const unsigned char *x)
{
    uint32_t factor;
    memcpy(&factor, x + MXQ_BLOCK, sizeof factor);
    d->x |= factor ^ UNIT_FACTOR;
}

MXQ_INLINE void note_w_factors(struct differences *d, const unsigned char *w)
{
    d->w = _mm512_ternarylogic_epi32(d->w, vec_load(w + AT_FACTORS), vec_set1(UNIT_FACTOR),
                                     0xF6); /* a | (b ^ c) */
}

MXQ_INLINE int are_units(const struct differences *d)
{
    return !(d->x | vec_bits(_mm512_test_epi32_mask(d->w, d->w)));
}

/* Sums as integers; returns whether all of them are such, of at most EXACT_SUM. */
MXQ_INLINE int load_integer_sums(vec *integers, const float *y, size_t y_stride, const size_t rows,
                                 const size_t panels)
{
    uint32_t exact = 0xFFFF;
    UNROLL
    for (size_t i = 0; i < rows * panels; i++) {
        const vec_ps sum = vec_load_ps(y + i / panels * y_stride + i % panels * MXQ_PANEL);
        integers[i] = _mm512_cvttps_epi32(sum); /* of what has none: -2^31 */
        exact &=
            vec_bits(_mm512_cmp_ps_mask(_mm512_cvtepi32_ps(integers[i]), sum, _CMP_EQ_OQ)) &
            vec_bits(_mm512_cmple_epu32_mask(_mm512_abs_epi32(integers[i]), vec_set1(EXACT_SUM)));
    }
    return exact == 0xFFFF;
}

#endif

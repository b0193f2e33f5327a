/* SPDX-License-Identifier: Apache-2.0 */
/* measure.h -- what quantizing did to the values, written once over vec.h.
 *
 * What is left out is made +0 in x and y: that adds nothing to any sum.  Squares of F32 are exact in F64.
 *
 *   VEC_PDS                        vectors that eight F64 take
 *   vec_load_pd vec_store_pd       eight F64
 *   vec_add_squares(sum, v, half)  adds the squares of v to eight sums, in order; half 0 or 1 of the eight
 *                                  where v is so short
 *   vec_ge_ps(a, b)                F32, false for NaNs; all ones where true */
#ifndef MXQ_LANES_MEASURE_H
#define MXQ_LANES_MEASURE_H

#include "lanes/group.h"
#include "unroll.h"

struct measured {
    vec_pd xx[VEC_PDS], yy[VEC_PDS], ee[VEC_PDS];
    vec max_error, amax;
    vec left_out, saturated, flushed; /* counts, going down */
};

MXQ_INLINE void measure_lanes(struct measured *m, vec x, vec y, vec_ps limit, int half)
{
    const vec magnitude_mask = vec_set1(0x7FFFFFFF), infinity = vec_set1(0x7F800000);
    const vec largest = vec_max(vec_and(x, magnitude_mask), vec_and(y, magnitude_mask));
    const vec is_finite = vec_gt(infinity, largest);
    x = vec_and(x, is_finite);
    y = vec_and(y, is_finite);
    const vec error = vec_of_ps(vec_sub_ps(vec_as_ps(x), vec_as_ps(y)));
    const vec ax = vec_and(x, magnitude_mask), ay = vec_and(y, magnitude_mask);
    const vec is_limited = vec_ge_ps(vec_as_ps(ay), limit);
    vec_add_squares(m->xx, vec_as_ps(x), half);
    vec_add_squares(m->yy, vec_as_ps(y), half);
    vec_add_squares(m->ee, vec_as_ps(error), half);
    m->max_error = vec_max(m->max_error, vec_and(error, magnitude_mask));
    m->amax = vec_max(m->amax, ax);
    m->left_out = vec_add(m->left_out, vec_add(is_finite, vec_set1(1)));
    m->saturated = vec_add(m->saturated, vec_and(is_limited, vec_gt(ax, ay)));
    m->flushed = vec_add(m->flushed, vec_and(vec_eq(ay, vec_set1(0)), vec_gt(ax, vec_set1(0))));
}

MXQ_INLINE uint64_t sum_lanes(vec counts)
{
    uint32_t lane[VEC_LANES];
    uint64_t sum = 0;
    vec_store(lane, counts);
    for (size_t i = 0; i < VEC_LANES; i++)
        sum += lane[i];
    return sum;
}

MXQ_INLINE float larger_of_lanes(float largest, vec magnitudes)
{
    float lane[VEC_LANES];
    vec_store_ps(lane, vec_as_ps(magnitudes));
    for (size_t i = 0; i < VEC_LANES; i++)
        largest = lane[i] > largest ? lane[i] : largest;
    return largest;
}

/* Counts are 32 bits a lane: enough for 2^31 blocks. */
MXQ_INLINE void measure_blocks(struct mxq_sums *sums, const void *x, const float *y,
                               const float *limit, size_t blocks, enum mxq_type type)
{
    struct measured m;
    vec_load_pd(m.xx, sums->xx);
    vec_load_pd(m.yy, sums->yy);
    vec_load_pd(m.ee, sums->ee);
    m.max_error = m.amax = m.left_out = m.saturated = m.flushed = vec_set1(0);
    for (size_t b = 0; b < blocks; b++)
        UNROLL for (size_t k = 0; k < MXQ_BLOCK; k += VEC_LANES)
        {
            const size_t i = b * MXQ_BLOCK + k;
            measure_lanes(&m, load_wide(x, i, type), vec_of_ps(vec_load_ps(y + i)),
                          vec_factors(limit, i), k % 8 != 0);
        }
    vec_store_pd(sums->xx, m.xx);
    vec_store_pd(sums->yy, m.yy);
    vec_store_pd(sums->ee, m.ee);
    sums->max_error = larger_of_lanes(sums->max_error, m.max_error);
    sums->amax = larger_of_lanes(sums->amax, m.amax);
    sums->values += blocks * MXQ_BLOCK - sum_lanes(m.left_out);
    sums->saturated += sum_lanes(vec_sub(vec_set1(0), m.saturated));
    sums->flushed += sum_lanes(vec_sub(vec_set1(0), m.flushed));
}

#define MEASURE_KERNEL(name, type)                                                                 \
    void name(struct mxq_sums *sums, const void *x, const float *y, const float *limit,            \
              size_t blocks)                                                                       \
    {                                                                                              \
        measure_blocks(sums, x, y, limit, blocks, type);                                           \
    }

#endif

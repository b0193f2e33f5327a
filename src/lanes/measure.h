/* SPDX-License-Identifier: Apache-2.0 */
/* measure.h -- what quantizing did to the values, written once over vec.h.
 *
 * Nearly all blocks hold finite values, and elements that are neither zeros nor the largest one: of these
 * nothing is to be counted, and one sign bit for each value tells.  Other blocks are looked at once more.  Where
 * the largest |x| or error is not finite, the sums of the whole chunk are thrown away and made again with what is
 * left out as +0 in x and y: that adds nothing to any sum.
 *
 * Squares of F32 are exact in F64: fused or not, a sum is rounded once.
 *
 *   VEC_PDS                        vectors that eight F64 take
 *   vec_load_pd vec_store_pd       eight F64
 *   vec_add_squares(sum, v, half)  adds the squares of v to eight sums, in order; half 0 or 1 of the eight
 *                                  where v is so short
 *   vec_add_squares_at(sum, p, half)  the same of VEC_LANES F32 in memory */
#ifndef MXQ_LANES_MEASURE_H
#define MXQ_LANES_MEASURE_H

#include "lanes/group.h"
#include "unroll.h"

#define MEASURED_BLOCKS 64 /* a bit each */

struct measured {
    vec_pd xx[VEC_PDS], yy[VEC_PDS], ee[VEC_PDS];
    vec max_error, amax;
};

struct counts {
    uint64_t values, saturated, flushed;
};

MXQ_INLINE vec magnitude_of(vec value)
{
    return vec_and(value, vec_set1(0x7FFFFFFF));
}

/* Adds all but the squares of x. */
MXQ_INLINE void add_errors(struct measured *m, vec x, vec y, int half)
{
    const vec error = vec_of_ps(vec_sub_ps(vec_as_ps(x), vec_as_ps(y)));
    vec_add_squares(m->ee, vec_as_ps(error), half);
    m->max_error = vec_max(m->max_error, magnitude_of(error));
    m->amax = vec_max(m->amax, magnitude_of(x));
}

/* Adds a block of finite values.  Returns whether there may be anything to count. */
MXQ_INLINE int measure_finite(struct measured *m, const void *x, const float *y, const float *limit,
                              enum mxq_type type)
{
    vec others = vec_set1(0);
    UNROLL for (size_t i = 0; i < MXQ_BLOCK; i += VEC_LANES)
    {
        const int half = i % 8 != 0;
        const vec wide = load_wide(x, i, type), value = vec_of_ps(vec_load_ps(y + i));
        const vec magnitude = magnitude_of(value);
        const vec below = vec_sub(magnitude, vec_of_ps(vec_factors(limit, i)));
        const vec above_zero = vec_sub(vec_set1(0), magnitude);
        others = vec_or(others, vec_xor(vec_set1(0x80000000), vec_and(below, above_zero)));
        if (type == MXQ_F32)
            vec_add_squares_at(m->xx, (const unsigned char *)x + 4 * i, half);
        else
            vec_add_squares(m->xx, vec_as_ps(wide), half);
        vec_add_squares_at(m->yy, y + i, half);
        add_errors(m, wide, value, half);
    }
    return vec_mask(others) != 0;
}

/* Adds a block in which any value may be left out. */
MXQ_INLINE void measure_any(struct measured *m, const void *x, const float *y, enum mxq_type type)
{
    UNROLL for (size_t i = 0; i < MXQ_BLOCK; i += VEC_LANES)
    {
        const int half = i % 8 != 0;
        vec wide = load_wide(x, i, type), value = vec_of_ps(vec_load_ps(y + i));
        const vec is_finite =
            vec_gt(vec_set1(0x7F800000), vec_max(magnitude_of(wide), magnitude_of(value)));
        wide = vec_and(wide, is_finite);
        value = vec_and(value, is_finite);
        vec_add_squares(m->xx, vec_as_ps(wide), half);
        vec_add_squares(m->yy, vec_as_ps(value), half);
        add_errors(m, wide, value, half);
    }
}

MXQ_INLINE void count_block(struct counts *counts, const void *x, const float *y,
                            const float *limit, enum mxq_type type)
{
    const vec zero = vec_set1(0), infinity = vec_set1(0x7F800000);
    for (size_t i = 0; i < MXQ_BLOCK; i += VEC_LANES) {
        const vec ax = magnitude_of(load_wide(x, i, type));
        const vec ay = magnitude_of(vec_of_ps(vec_load_ps(y + i)));
        const vec is_finite = vec_gt(infinity, vec_max(ax, ay));
        const vec below = vec_gt(vec_of_ps(vec_factors(limit, i)), ay);
        const vec saturated = vec_and(vec_andnot(below, is_finite), vec_gt(ax, ay));
        const vec flushed = vec_and(vec_and(is_finite, vec_eq(ay, zero)), vec_gt(ax, zero));
        counts->values -= VEC_LANES - (size_t)__builtin_popcount(vec_mask(is_finite));
        counts->saturated += (size_t)__builtin_popcount(vec_mask(saturated));
        counts->flushed += (size_t)__builtin_popcount(vec_mask(flushed));
    }
}

MXQ_INLINE float larger_of_lanes(float largest, vec magnitudes)
{
    uint32_t lane[VEC_LANES], bits; /* magnitudes compare as integers too */
    vec_store(lane, magnitudes);
    memcpy(&bits, &largest, sizeof bits);
    for (size_t i = 0; i < VEC_LANES; i++)
        bits = lane[i] > bits ? lane[i] : bits;
    memcpy(&largest, &bits, sizeof bits);
    return largest;
}

MXQ_INLINE struct measured load_sums(const struct mxq_sums *sums)
{
    struct measured m;
    vec_load_pd(m.xx, sums->xx);
    vec_load_pd(m.yy, sums->yy);
    vec_load_pd(m.ee, sums->ee);
    m.max_error = m.amax = vec_set1(0);
    return m;
}

/* At most MEASURED_BLOCKS of them. */
MXQ_INLINE void measure_chunk(struct mxq_sums *sums, const unsigned char *x, const float *y,
                              const float *limit, size_t blocks, size_t ahead, enum mxq_type type)
{
    const size_t bytes = block_bytes(type);
    struct measured m = load_sums(sums);
    struct counts counts = {blocks * MXQ_BLOCK, 0, 0};
    uint64_t others = 0;
    for (size_t b = 0; b < blocks; b++) {
        prefetch_lines(x + b * bytes, bytes, ahead);
        others |=
            (uint64_t)measure_finite(&m, x + b * bytes, y + b * MXQ_BLOCK, limit + 4 * b, type)
            << b;
    }
    for (; others; others &= others - 1) {
        const size_t b = (size_t)__builtin_ctzll(others);
        count_block(&counts, x + b * bytes, y + b * MXQ_BLOCK, limit + 4 * b, type);
    }
    if (vec_mask(vec_gt(vec_max(m.amax, m.max_error), vec_set1(0x7F7FFFFF)))) {
        m = load_sums(sums);
        counts = (struct counts){blocks * MXQ_BLOCK, 0, 0};
        for (size_t b = 0; b < blocks; b++) {
            measure_any(&m, x + b * bytes, y + b * MXQ_BLOCK, type);
            count_block(&counts, x + b * bytes, y + b * MXQ_BLOCK, limit + 4 * b, type);
        }
    }
    vec_store_pd(sums->xx, m.xx);
    vec_store_pd(sums->yy, m.yy);
    vec_store_pd(sums->ee, m.ee);
    sums->max_error = larger_of_lanes(sums->max_error, m.max_error);
    sums->amax = larger_of_lanes(sums->amax, m.amax);
    sums->values += counts.values;
    sums->saturated += counts.saturated;
    sums->flushed += counts.flushed;
}

MXQ_INLINE void measure_blocks(struct mxq_sums *sums, const void *x, const float *y,
                               const float *limit, size_t blocks, size_t ahead, enum mxq_type type)
{
    const unsigned char *wide = x;
    for (size_t done = 0; done < blocks; done += MEASURED_BLOCKS) {
        const size_t left = blocks - done;
        measure_chunk(sums, wide + done * block_bytes(type), y + done * MXQ_BLOCK, limit + 4 * done,
                      left < MEASURED_BLOCKS ? left : MEASURED_BLOCKS, ahead, type);
    }
}

#define MEASURE_KERNEL(name, type)                                                                 \
    void name(struct mxq_sums *sums, const void *x, const float *y, const float *limit,            \
              size_t blocks, size_t ahead)                                                         \
    {                                                                                              \
        measure_blocks(sums, x, y, limit, blocks, ahead, type);                                    \
    }

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* amax.h -- the largest magnitude of blocks, or of all values, written once over vec.h.
 *
 * VEC_LANES blocks make a group: each block is reduced to one vector, and the vectors of the group
 * to one whose lane b is block b's amax, so that no lane idles in the reduction.  For eights:
 *
 *   vec_fold_8(a, b)       each four lanes the larger ones of an eight of a, then of b
 *   vec_reduce_quads(v)    lane i = the largest of the i-th four lanes of four vectors */
#ifndef MXQ_LANES_AMAX_H
#define MXQ_LANES_AMAX_H

#include "lanes/group.h"
#include "unroll.h"

MXQ_INLINE vec larger_of(vec a, vec b, enum mxq_type type)
{
    return type == MXQ_F32 ? vec_max(a, b) : vec_max_16(a, b);
}

/* A vector whose largest lane is the largest magnitude of the block at x: of 32-bit lanes for F32, of
 * 16-bit lanes for the narrow types, whose magnitudes compare as integers too. */
MXQ_INLINE vec amax_block(const unsigned char *x, enum mxq_type type)
{
    const vec magnitude_mask = vec_set1(type == MXQ_F32 ? 0x7FFFFFFF : 0x7FFF7FFF);
    vec largest = vec_and(vec_load(x), magnitude_mask);
    for (size_t i = 4 * VEC_LANES; i < block_bytes(type); i += 4 * VEC_LANES) {
        const vec magnitude = vec_and(vec_load(x + i), magnitude_mask);
        largest = larger_of(largest, magnitude, type);
    }
    return largest;
}

/* Lane b = the largest magnitude of block b of VEC_LANES blocks, as an integer: of a block with NaNs
 * that is some NaN. */
MXQ_INLINE vec amax_group(const void *x, enum mxq_type type)
{
    vec largest[VEC_LANES];
    for (size_t b = 0; b < VEC_LANES; b++)
        largest[b] = amax_block((const unsigned char *)x + b * block_bytes(type), type);
    return type == MXQ_F32 ? vec_reduce_max(largest) : vec_reduce_max_16(largest, type);
}

/* Conversions differ in what they keep of a NaN's payload: the result is the canonical one. */
MXQ_INLINE vec with_canonical_nan(vec amax)
{
    const vec is_nan = vec_gt(amax, vec_set1(0x7F800000));
    return vec_or(vec_andnot(is_nan, amax), vec_and(is_nan, vec_set1(0x7FC00000)));
}

/* A vector of which each four lanes hold the largest magnitudes among eight values, from value `i` on. */
MXQ_INLINE vec amax_quads(const unsigned char *x, size_t i, enum mxq_type type)
{
    if (type == MXQ_BF16) {
        const vec pairs = vec_and(vec_load(x + i * sizeof(uint16_t)), vec_set1(0x7FFF7FFF));
        return vec_max(pairs, vec_sll(pairs, 16));
    }
    const vec magnitude_mask = vec_set1(0x7FFFFFFF);
    return vec_fold_8(vec_and(load_wide(x, i, type), magnitude_mask),
                      vec_and(load_wide(x, i + VEC_LANES, type), magnitude_mask));
}

/* Lane i = the largest magnitude among values 8 i .. 8 i + 7 of 8 * VEC_LANES. */
MXQ_INLINE vec amax_group_8(const unsigned char *x, enum mxq_type type)
{
    vec quads[4];
    for (size_t k = 0; k < 4; k++) {
        const size_t i = 2 * VEC_LANES * k;
        quads[k] = amax_quads(x, i, type);
    }
    const vec amax = vec_reduce_quads(quads);
    return with_canonical_nan(type == MXQ_BF16 ? vec_and(amax, vec_set1(0xFFFF0000)) : amax);
}

/* Lane b = the largest magnitude of values 16 b .. 16 b + 15. */
MXQ_INLINE vec amax_group_16(const unsigned char *x, enum mxq_type type)
{
    vec largest[VEC_LANES];
    UNROLL for (size_t b = 0; b < VEC_LANES; b++)
    {
        largest[b] = vec_set1(0);
        UNROLL for (size_t i = 0; i < 16; i += VEC_LANES) largest[b] =
            vec_max(largest[b], vec_and(load_wide(x, 16 * b + i, type), vec_set1(0x7FFFFFFF)));
    }
    return with_canonical_nan(vec_reduce_max(largest));
}

/* Lane b = the largest magnitude of values unit * b .. unit * b + unit - 1. */
MXQ_INLINE vec amax_of_units(const unsigned char *x, const size_t unit, enum mxq_type type)
{
    return unit == 8    ? amax_group_8(x, type)
           : unit == 16 ? amax_group_16(x, type)
                        : with_canonical_nan(amax_group(x, type));
}

MXQ_INLINE void amax_units(uint32_t *amax, const void *x, size_t blocks, size_t ahead,
                           const size_t unit, enum mxq_type type)
{
    const size_t group = unit * VEC_LANES / MXQ_BLOCK;
    const unsigned char *wide = x;
    for (; blocks >= group; blocks -= group) {
        prefetch_lines(wide, group * block_bytes(type), ahead);
        vec_store(amax, amax_of_units(wide, unit, type));
        amax += VEC_LANES;
        wide += group * block_bytes(type);
    }
    if (blocks) {
        unsigned char padded[GROUP_BYTES_MAX];
        uint32_t found[VEC_LANES];
        pad_group(padded, wide, blocks * block_bytes(type), group * block_bytes(type));
        vec_store(found, amax_of_units(padded, unit, type));
        memcpy(amax, found, blocks * (MXQ_BLOCK / unit) * sizeof *amax);
    }
}

/* Four maxima at a time hide their latency. */
MXQ_INLINE void amax_of_all(uint32_t *amax, const void *x, size_t blocks, size_t ahead,
                            enum mxq_type type)
{
    const unsigned char *wide = x;
    vec largest[4] = {vec_set1(0), vec_set1(0), vec_set1(0), vec_set1(0)};
    for (; blocks >= 4; blocks -= 4) {
        prefetch_lines(wide, 4 * block_bytes(type), ahead);
        UNROLL for (size_t b = 0; b < 4; b++) largest[b] =
            larger_of(largest[b], amax_block(wide + b * block_bytes(type), type), type);
        wide += 4 * block_bytes(type);
    }
    for (; blocks; blocks--, wide += block_bytes(type))
        largest[0] = larger_of(largest[0], amax_block(wide, type), type);
    vec all[VEC_LANES];
    uint32_t lanes[VEC_LANES];
    for (size_t i = 0; i < VEC_LANES; i++)
        all[i] = larger_of(larger_of(largest[0], largest[1], type),
                           larger_of(largest[2], largest[3], type), type);
    vec_store(lanes, with_canonical_nan(type == MXQ_F32 ? vec_reduce_max(all)
                                                        : vec_reduce_max_16(all, type)));
    *amax = lanes[0];
}

#define AMAX_KERNEL(name, unit, type)                                                              \
    void name(uint32_t *amax, const void *x, size_t blocks, size_t ahead)                          \
    {                                                                                              \
        amax_units(amax, x, blocks, ahead, unit, type);                                            \
    }

#define AMAX_KERNELS(isa, name, type)                                                              \
    AMAX_KERNEL(mxq_amax_##name##_##isa, MXQ_BLOCK, type)                                          \
    AMAX_KERNEL(mxq_amax_8_##name##_##isa, 8, type)                                                \
    AMAX_KERNEL(mxq_amax_16_##name##_##isa, 16, type)                                              \
    void mxq_amax_all_##name##_##isa(uint32_t *amax, const void *x, size_t blocks, size_t ahead)   \
    {                                                                                              \
        amax_of_all(amax, x, blocks, ahead, type);                                                 \
    }

#endif

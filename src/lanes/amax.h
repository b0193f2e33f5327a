/* SPDX-License-Identifier: Apache-2.0 */
/* amax.h -- block amax, written once over vec.h.
 *
 * VEC_LANES blocks make a group: each block is reduced to one vector, and the vectors of the group
 * to one whose lane b is block b's amax, so that no lane idles in the reduction. */
#ifndef MXQ_LANES_AMAX_H
#define MXQ_LANES_AMAX_H

#include "lanes/group.h"

/* A vector whose largest lane is the largest magnitude of the block at x. */
MXQ_INLINE vec amax_block(const unsigned char *x, enum mxq_type type)
{
    if (type == MXQ_BF16) {
        /* Magnitudes of BF16 compare as 16-bit integers; the lower ones join the upper ones last. */
        const vec magnitude_mask = vec_set1(0x7FFF7FFF);
        vec largest = vec_and(vec_load(x), magnitude_mask);
        for (size_t i = 4 * VEC_LANES; i < MXQ_BLOCK * sizeof(uint16_t); i += 4 * VEC_LANES)
            largest = vec_max_16(largest, vec_and(vec_load(x + i), magnitude_mask));
        return vec_max(largest, vec_sll(largest, 16));
    }
    const vec magnitude_mask = vec_set1(0x7FFFFFFF);
    vec largest = vec_and(load_wide(x, 0, type), magnitude_mask);
    for (size_t i = VEC_LANES; i < MXQ_BLOCK; i += VEC_LANES)
        largest = vec_max(largest, vec_and(load_wide(x, i, type), magnitude_mask));
    return largest;
}

/* Lane b = the largest magnitude of block b of VEC_LANES blocks, as an integer: of a block with NaNs
 * that is some NaN. */
MXQ_INLINE vec amax_group(const void *x, enum mxq_type type)
{
    vec largest[VEC_LANES];
    for (size_t b = 0; b < VEC_LANES; b++)
        largest[b] = amax_block((const unsigned char *)x + b * block_bytes(type), type);
    const vec amax = vec_reduce_max(largest);
    return type == MXQ_BF16 ? vec_and(amax, vec_set1(0xFFFF0000)) : amax;
}

/* Conversions differ in what they keep of a NaN's payload: the result is the canonical one. */
MXQ_INLINE vec with_canonical_nan(vec amax)
{
    const vec is_nan = vec_gt(amax, vec_set1(0x7F800000));
    return vec_or(vec_andnot(is_nan, amax), vec_and(is_nan, vec_set1(0x7FC00000)));
}

MXQ_INLINE void amax_blocks(uint32_t *amax, const void *x, size_t blocks, enum mxq_type type)
{
    const unsigned char *wide = x;
    for (; blocks >= VEC_LANES; blocks -= VEC_LANES) {
        vec_store(amax, with_canonical_nan(amax_group(wide, type)));
        amax += VEC_LANES;
        wide += VEC_LANES * block_bytes(type);
    }
    if (blocks) {
        unsigned char padded[GROUP_BYTES_MAX];
        uint32_t found[VEC_LANES];
        pad_group(padded, wide, blocks * block_bytes(type), VEC_LANES * block_bytes(type));
        vec_store(found, with_canonical_nan(amax_group(padded, type)));
        memcpy(amax, found, blocks * sizeof *amax);
    }
}

#define AMAX_KERNEL(name, type)                                                                    \
    void name(uint32_t *amax, const void *x, size_t blocks)                                        \
    {                                                                                              \
        amax_blocks(amax, x, blocks, type);                                                        \
    }

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* quantize.h -- amax, scale and pack of a group while it is in L1, written once over vec.h. */
#ifndef MXQ_LANES_QUANTIZE_H
#define MXQ_LANES_QUANTIZE_H

#include "lanes/mse.h"
#include "lanes/pack.h"
#include "lanes/scale.h"

/* A group whose scales are known and stored, and whose elements are yet to be packed. */
struct scaled_group {
    struct pack_group pack;
    uint32_t any; /* the blocks that need pack_block_any() */
};

/* Blocks of zeros pack right with any scale. */
MXQ_INLINE struct scaled_group scaled_group_of(vec scales, vec amax, uint32_t outside,
                                               const struct mxq_element_info *e)
{
    struct scaled_group g = {pack_group_of(vec_max(scales, vec_set1(scale_low(e))), e), 0};
    if (outside)
        g.any = outside & ~vec_mask(vec_eq(amax, vec_set1(0)));
    return g;
}

MXQ_INLINE struct scaled_group scale_one_group(uint8_t *scale, const void *x,
                                               const struct mxq_scale_rule *rule,
                                               const struct mxq_element_info *e, enum mxq_type type)
{
    const vec amax = amax_group(x, type);
    const vec scales = scale_of_ordinary(amax, rule);
    vec_store_u8(scale, scales);
    const uint32_t outside = scales_outside(scales, e);
    if (outside) /* among these are the blocks whose scale is not the ordinary one */
        vec_store_u8(scale, scale_group(amax, rule));
    return scaled_group_of(scales, amax, outside, e);
}

MXQ_INLINE void pack_scaled_group(uint8_t *elements, const uint8_t *scale, const void *x,
                                  struct scaled_group g, const struct mxq_element_info *e,
                                  enum mxq_type type, size_t ahead)
{
    pack_values(elements, x, VEC_LANES * MXQ_BLOCK, g.pack, e, type, 0, ahead);
    pack_blocks_any(g.any, elements, x, scale, e, type);
}

/* Up to MSE_BLOCKS blocks whose scales are being chosen. */
struct mse_chunk {
    vec amax[MSE_GROUPS], scales[MSE_GROUPS];
    uint32_t factors[MSE_BLOCKS];
    uint64_t to_gain, better; /* a bit for each block */
};

MXQ_INLINE void scale_chunk(struct mse_chunk *chunk, uint8_t *scale, const unsigned char *x,
                            size_t groups, const struct mxq_scale_rule *rule,
                            const struct mxq_element_info *e, enum mxq_type type)
{
    chunk->to_gain = 0;
    for (size_t g = 0; g < groups; g++) {
        const vec amax = amax_group(x + g * VEC_LANES * block_bytes(type), type);
        const vec scales = scale_group(amax, rule);
        vec_store_u8(scale + g * VEC_LANES, scales);
        chunk->amax[g] = amax;
        chunk->scales[g] = scales;
        const struct mse_lanes to_gain = lanes_to_gain(amax, scales, e);
        vec_store(chunk->factors + g * VEC_LANES, to_gain.factor);
        chunk->to_gain |= (uint64_t)to_gain.ordinary << (g * VEC_LANES);
    }
}

MXQ_INLINE void pack_chunk(const struct mse_chunk *chunk, uint8_t *elements, uint8_t *scale,
                           const unsigned char *x, size_t groups, const struct mxq_element_info *e,
                           enum mxq_type type, size_t ahead)
{
    for (size_t g = 0; g < groups; g++) {
        const uint32_t better = (uint32_t)(chunk->better >> (g * VEC_LANES));
        const vec scales = vec_add(chunk->scales[g], lanes_of_bits(better));
        const struct scaled_group scaled =
            scaled_group_of(scales, chunk->amax[g], scales_outside(scales, e), e);
        vec_store_u8(scale, scales);
        pack_scaled_group(elements, scale, x, scaled, e, type, ahead);
        elements += packed_bytes(VEC_LANES * MXQ_BLOCK, e);
        scale += VEC_LANES;
        x += VEC_LANES * block_bytes(type);
    }
}

MXQ_INLINE size_t groups_of_chunk(size_t chunk, size_t groups)
{
    const size_t left = groups - chunk * MSE_GROUPS;
    return left < MSE_GROUPS ? left : MSE_GROUPS;
}

/* Each step waits for the one before: three chunks are in work, so that no step waits for its
 * own. */
MXQ_INLINE void quantize_by_error(uint8_t *elements, uint8_t *scale, const unsigned char *x,
                                  size_t groups, const struct mxq_scale_rule *rule,
                                  const struct mxq_element_info *e, enum mxq_type type,
                                  size_t ahead)
{
    const size_t chunks = (groups + MSE_GROUPS - 1) / MSE_GROUPS;
    const size_t x_step = MSE_BLOCKS * block_bytes(type);
    const size_t elements_step = packed_bytes(MSE_BLOCKS * MXQ_BLOCK, e);
    struct mse_chunk ring[3];
    for (size_t i = 0; i < chunks + 2; i++) {
        if (i < chunks)
            scale_chunk(&ring[i % 3], scale + i * MSE_BLOCKS, x + i * x_step,
                        groups_of_chunk(i, groups), rule, e, type);
        if (i >= 1 && i <= chunks) {
            struct mse_chunk *chunk = &ring[(i - 1) % 3];
            chunk->better = better_above(chunk->to_gain, x + (i - 1) * x_step,
                                         scale + (i - 1) * MSE_BLOCKS, chunk->factors, e, type);
        }
        if (i >= 2)
            pack_chunk(&ring[(i - 2) % 3], elements + (i - 2) * elements_step,
                       scale + (i - 2) * MSE_BLOCKS, x + (i - 2) * x_step,
                       groups_of_chunk(i - 2, groups), e, type, ahead);
    }
}

/* Packing a group waits for the whole chain from its amax to its scales.  So the scales of the next
 * group are worked out before the elements of this one: the machine overlaps the two. */
MXQ_INLINE void quantize_by_rule(uint8_t *elements, uint8_t *scale, const unsigned char *x,
                                 size_t groups, const struct mxq_scale_rule *rule,
                                 const struct mxq_element_info *e, enum mxq_type type, size_t ahead)
{
    const size_t x_step = VEC_LANES * block_bytes(type);
    struct scaled_group g = scale_one_group(scale, x, rule, e, type);
    for (; groups > 1; groups--) {
        const struct scaled_group next =
            scale_one_group(scale + VEC_LANES, x + x_step, rule, e, type);
        pack_scaled_group(elements, scale, x, g, e, type, ahead);
        g = next;
        elements += packed_bytes(VEC_LANES * MXQ_BLOCK, e);
        scale += VEC_LANES;
        x += x_step;
    }
    pack_scaled_group(elements, scale, x, g, e, type, ahead);
}

MXQ_INLINE void quantize_groups(uint8_t *elements, uint8_t *scale, const unsigned char *x,
                                size_t groups, const struct mxq_scale_rule *rule,
                                const struct mxq_element_info *e, enum mxq_type type, size_t ahead)
{
    if (rule->by_error)
        quantize_by_error(elements, scale, x, groups, rule, e, type, ahead);
    else
        quantize_by_rule(elements, scale, x, groups, rule, e, type, ahead);
}

MXQ_INLINE void quantize_blocks(uint8_t *elements, uint8_t *scale, const void *x, size_t blocks,
                                const struct mxq_scale_rule *rule, const struct mxq_element_info *e,
                                enum mxq_type type, size_t ahead)
{
    const size_t groups = blocks / VEC_LANES, whole = groups * VEC_LANES, rest = blocks - whole;
    const unsigned char *wide = x;
    if (groups)
        quantize_groups(elements, scale, wide, groups, rule, e, type, ahead);
    if (rest) {
        unsigned char padded[GROUP_BYTES_MAX];
        uint8_t codes[VEC_LANES * MXQ_BLOCK], scales[VEC_LANES];
        pad_group(padded, wide + whole * block_bytes(type), rest * block_bytes(type),
                  VEC_LANES * block_bytes(type));
        quantize_groups(codes, scales, padded, 1, rule, e, type, 0);
        memcpy(elements + packed_bytes(whole * MXQ_BLOCK, e), codes,
               packed_bytes(rest * MXQ_BLOCK, e));
        memcpy(scale + whole, scales, rest);
    }
}

#define QUANTIZE_KERNEL(name, element, type)                                                       \
    void name(uint8_t *elements, uint8_t *scale, const void *x, size_t blocks,                     \
              const struct mxq_scale_rule *rule, size_t ahead)                                     \
    {                                                                                              \
        quantize_blocks(elements, scale, x, blocks, rule, &mxq_elements[element], type, ahead);    \
    }

#endif

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
                                  enum mxq_type type)
{
    pack_values(elements, x, VEC_LANES * MXQ_BLOCK, g.pack, e, type, 0);
    pack_blocks_any(g.any, elements, x, scale, e, type);
}

/* Up to MSE_GROUPS groups, the larger scale for blocks that are better with it. */
MXQ_INLINE void quantize_by_error(uint8_t *elements, uint8_t *scale, const unsigned char *x,
                                  size_t groups, const struct mxq_scale_rule *rule,
                                  const struct mxq_element_info *e, enum mxq_type type)
{
    vec amax[MSE_GROUPS], scales[MSE_GROUPS];
    uint64_t to_gain = 0;
    for (size_t g = 0; g < groups; g++) {
        amax[g] = amax_group(x + g * VEC_LANES * block_bytes(type), type);
        scales[g] = scale_group(amax[g], rule);
        vec_store_u8(scale + g * VEC_LANES, scales[g]);
        to_gain |= (uint64_t)lanes_to_gain(amax[g], scales[g], e).ordinary << (g * VEC_LANES);
    }
    const uint64_t better = better_above(to_gain, x, scale, e, type);
    for (size_t g = 0; g < groups; g++) {
        const vec chosen = vec_add(scales[g], lanes_of_bits((uint32_t)(better >> (g * VEC_LANES))));
        vec_store_u8(scale, chosen);
        pack_scaled_group(elements, scale, x,
                          scaled_group_of(chosen, amax[g], scales_outside(chosen, e), e), e, type);
        elements += packed_bytes(VEC_LANES * MXQ_BLOCK, e);
        scale += VEC_LANES;
        x += VEC_LANES * block_bytes(type);
    }
}

/* Packing a group waits for the whole chain from its amax to its scales.  So the scales of the next
 * group are worked out before the elements of this one: the machine overlaps the two. */
MXQ_INLINE void quantize_by_rule(uint8_t *elements, uint8_t *scale, const unsigned char *x,
                                 size_t groups, const struct mxq_scale_rule *rule,
                                 const struct mxq_element_info *e, enum mxq_type type)
{
    const size_t x_step = VEC_LANES * block_bytes(type);
    struct scaled_group g = scale_one_group(scale, x, rule, e, type);
    for (; groups > 1; groups--) {
        const struct scaled_group next =
            scale_one_group(scale + VEC_LANES, x + x_step, rule, e, type);
        pack_scaled_group(elements, scale, x, g, e, type);
        g = next;
        elements += packed_bytes(VEC_LANES * MXQ_BLOCK, e);
        scale += VEC_LANES;
        x += x_step;
    }
    pack_scaled_group(elements, scale, x, g, e, type);
}

MXQ_INLINE void quantize_groups(uint8_t *elements, uint8_t *scale, const unsigned char *x,
                                size_t groups, const struct mxq_scale_rule *rule,
                                const struct mxq_element_info *e, enum mxq_type type)
{
    if (!rule->by_error) {
        quantize_by_rule(elements, scale, x, groups, rule, e, type);
        return;
    }
    for (size_t done = 0; done < groups; done += MSE_GROUPS) {
        const size_t left = groups - done;
        quantize_by_error(elements + packed_bytes(done * VEC_LANES * MXQ_BLOCK, e),
                          scale + done * VEC_LANES, x + done * VEC_LANES * block_bytes(type),
                          left < MSE_GROUPS ? left : MSE_GROUPS, rule, e, type);
    }
}

MXQ_INLINE void quantize_blocks(uint8_t *elements, uint8_t *scale, const void *x, size_t blocks,
                                const struct mxq_scale_rule *rule, const struct mxq_element_info *e,
                                enum mxq_type type)
{
    const size_t groups = blocks / VEC_LANES, whole = groups * VEC_LANES, rest = blocks - whole;
    const unsigned char *wide = x;
    if (groups)
        quantize_groups(elements, scale, wide, groups, rule, e, type);
    if (rest) {
        unsigned char padded[GROUP_BYTES_MAX];
        uint8_t codes[VEC_LANES * MXQ_BLOCK], scales[VEC_LANES];
        pad_group(padded, wide + whole * block_bytes(type), rest * block_bytes(type),
                  VEC_LANES * block_bytes(type));
        quantize_groups(codes, scales, padded, 1, rule, e, type);
        memcpy(elements + packed_bytes(whole * MXQ_BLOCK, e), codes,
               packed_bytes(rest * MXQ_BLOCK, e));
        memcpy(scale + whole, scales, rest);
    }
}

#define QUANTIZE_KERNEL(name, element, type)                                                       \
    void name(uint8_t *elements, uint8_t *scale, const void *x, size_t blocks,                     \
              const struct mxq_scale_rule *rule)                                                   \
    {                                                                                              \
        quantize_blocks(elements, scale, x, blocks, rule, &mxq_elements[element], type);           \
    }

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* quantize.h -- amax, scale and pack of a group while it is in L1, written once over vec.h. */
#ifndef MXQ_LANES_QUANTIZE_H
#define MXQ_LANES_QUANTIZE_H

#include "lanes/amax.h"
#include "lanes/pack.h"
#include "lanes/scale.h"

/* A group whose scales are known and stored, and whose elements are yet to be packed. */
struct scaled_group {
    struct pack_group pack;
    uint32_t any; /* the blocks that need pack_block_any() */
};

MXQ_INLINE struct scaled_group scale_one_group(uint8_t *scale, const void *x,
                                               const struct mxq_scale_rule *rule,
                                               const struct mxq_element_info *e, enum mxq_type type)
{
    const vec amax = amax_group(x, type);
    const vec scales = scale_of_ordinary(amax, rule);
    vec_store_u8(scale, scales);
    const uint32_t outside = scales_outside(scales, e);
    struct scaled_group g = {pack_group_of(vec_max(scales, vec_set1(scale_low(e))), e), 0};
    if (outside) {
        /* Among these are the blocks whose scale is not the ordinary one.  Blocks of zeros pack right
         * with any scale. */
        vec_store_u8(scale, scale_group(amax, rule));
        g.any = outside & ~vec_mask(vec_eq(amax, vec_set1(0)));
    }
    return g;
}

MXQ_INLINE void pack_scaled_group(uint8_t *elements, const uint8_t *scale, const void *x,
                                  struct scaled_group g, const struct mxq_element_info *e,
                                  enum mxq_type type)
{
    pack_values(elements, x, VEC_LANES * MXQ_BLOCK, g.pack, e, type, 0);
    pack_blocks_any(g.any, elements, x, scale, e, type);
}

/* Packing a group waits for the whole chain from its amax to its scales.  So the scales of the next
 * group are worked out before the elements of this one: the machine overlaps the two. */
MXQ_INLINE void quantize_blocks(uint8_t *elements, uint8_t *scale, const void *x, size_t blocks,
                                const struct mxq_scale_rule *rule, const struct mxq_element_info *e,
                                enum mxq_type type)
{
    const unsigned char *wide = x;
    const size_t wide_step = VEC_LANES * block_bytes(type);
    if (blocks >= VEC_LANES) {
        struct scaled_group g = scale_one_group(scale, wide, rule, e, type);
        for (; blocks >= 2 * VEC_LANES; blocks -= VEC_LANES) {
            const struct scaled_group next =
                scale_one_group(scale + VEC_LANES, wide + wide_step, rule, e, type);
            pack_scaled_group(elements, scale, wide, g, e, type);
            g = next;
            elements += packed_bytes(VEC_LANES * MXQ_BLOCK, e);
            scale += VEC_LANES;
            wide += wide_step;
        }
        pack_scaled_group(elements, scale, wide, g, e, type);
        elements += packed_bytes(VEC_LANES * MXQ_BLOCK, e);
        scale += VEC_LANES;
        wide += wide_step;
        blocks -= VEC_LANES;
    }
    if (blocks) {
        unsigned char padded[GROUP_BYTES_MAX];
        uint8_t codes[VEC_LANES * MXQ_BLOCK], scales[VEC_LANES];
        pad_group(padded, wide, blocks * block_bytes(type), wide_step);
        const struct scaled_group g = scale_one_group(scales, padded, rule, e, type);
        pack_scaled_group(codes, scales, padded, g, e, type);
        memcpy(elements, codes, packed_bytes(blocks * MXQ_BLOCK, e));
        memcpy(scale, scales, blocks);
    }
}

#define QUANTIZE_KERNEL(name, element, type)                                                       \
    void name(uint8_t *elements, uint8_t *scale, const void *x, size_t blocks,                     \
              const struct mxq_scale_rule *rule)                                                   \
    {                                                                                              \
        quantize_blocks(elements, scale, x, blocks, rule, &mxq_elements[element], type);           \
    }

#endif

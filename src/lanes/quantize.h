/* SPDX-License-Identifier: Apache-2.0 */
/* quantize.h -- amax, scale and pack of a group while it is in L1, written once over vec.h. */
#ifndef MXQ_LANES_QUANTIZE_H
#define MXQ_LANES_QUANTIZE_H

#include "lanes/amax.h"
#include "lanes/pack.h"
#include "lanes/scale.h"

static inline void quantize_group(uint8_t *elements, uint8_t *scale, const void *x,
                                  const struct mxq_scale_rule *rule,
                                  const struct mxq_element_info *e, enum mxq_type type)
{
    const vec amax = amax_group(x, type);
    const vec scales = scale_group(amax, rule);
    struct pack_group g;
    vec_store_u8(scale, scales);
    pack_group_init(&g, scales_moved_inside(scales), e);
    /* Blocks of zeros pack right with any scale; all other blocks outside go the slow way. */
    const uint32_t zeros = vec_mask(vec_eq(amax, vec_set1(0)));
    const uint32_t any = scales_outside(scales) & ~zeros;
    pack_values(elements, x, VEC_LANES * MXQ_BLOCK, &g, e, type, 0);
    pack_blocks_any(any, elements, x, scale, e, type);
}

static inline void quantize_blocks(uint8_t *elements, uint8_t *scale, const void *x, size_t blocks,
                                   const struct mxq_scale_rule *rule,
                                   const struct mxq_element_info *e, enum mxq_type type)
{
    const unsigned char *wide = x;
    for (; blocks >= VEC_LANES; blocks -= VEC_LANES) {
        quantize_group(elements, scale, wide, rule, e, type);
        elements += VEC_LANES * MXQ_BLOCK;
        scale += VEC_LANES;
        wide += VEC_LANES * block_bytes(type);
    }
    if (blocks) {
        unsigned char padded[GROUP_BYTES_MAX];
        uint8_t codes[VEC_LANES * MXQ_BLOCK], scales[VEC_LANES];
        pad_group(padded, wide, blocks * block_bytes(type), VEC_LANES * block_bytes(type));
        quantize_group(codes, scales, padded, rule, e, type);
        memcpy(elements, codes, blocks * MXQ_BLOCK);
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

/* SPDX-License-Identifier: Apache-2.0 */
/* scale.h -- E8M0 scales from amax, written once over vec.h. */
#ifndef MXQ_LANES_SCALE_H
#define MXQ_LANES_SCALE_H

#include "lanes/group.h"

/* Lane b = the scale code of amax lane b; see mxq_scale_fn. */
static inline vec scale_group(vec amax, const struct mxq_scale_rule *rule)
{
    const vec mantissa = vec_and(amax, vec_set1(0x7FFFFF));
    const vec reached = vec_gt(mantissa, vec_set1(rule->threshold - 1));
    /* All ones is -1: subtracting it adds d. */
    const vec minus_d = vec_andnot(vec_eq(amax, vec_set1(rule->exception)), reached);
    const vec code = vec_sub(vec_sub(vec_srl(amax, 23), vec_set1(rule->emax)), minus_d);
    const vec clamped = vec_min(vec_max(code, vec_set1(0)), vec_set1(254));
    const vec is_nonfinite = vec_gt(amax, vec_set1(0x7F7FFFFF));
    return vec_or(clamped, vec_and(is_nonfinite, vec_set1(0xFF)));
}

static inline void scale_blocks(uint8_t *scale, const uint32_t *amax, size_t blocks,
                                const struct mxq_scale_rule *rule)
{
    for (; blocks >= VEC_LANES; blocks -= VEC_LANES) {
        vec_store_u8(scale, scale_group(vec_load(amax), rule));
        amax += VEC_LANES;
        scale += VEC_LANES;
    }
    if (blocks) {
        uint32_t padded[VEC_LANES];
        uint8_t codes[VEC_LANES];
        pad_group(padded, amax, blocks * sizeof *amax, sizeof padded);
        vec_store_u8(codes, scale_group(vec_load(padded), rule));
        memcpy(scale, codes, blocks);
    }
}

#endif

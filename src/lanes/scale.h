/* SPDX-License-Identifier: Apache-2.0 */
/* scale.h -- E8M0 scales from amax, written once over vec.h. */
#ifndef MXQ_LANES_SCALE_H
#define MXQ_LANES_SCALE_H

#include "lanes/group.h"

/* Lane b = E - emax + d of amax lane b, at least 0.  This is the scale code of every block but those
 * with rule->exception, with a NaN or an infinity, or beyond 254; see mxq_scale_fn.  Adding what the
 * threshold lacks to 2^23 carries into the exponent field exactly when d = 1. */
MXQ_INLINE vec scale_of_ordinary(vec amax, const struct mxq_scale_rule *rule)
{
    const vec carried = vec_add(amax, vec_set1((UINT32_C(1) << 23) - rule->threshold));
    return vec_max(vec_sub(vec_srl(carried, 23), vec_set1(rule->emax)), vec_set1(0));
}

/* Lane b = the scale code of amax lane b. */
MXQ_INLINE vec scale_group(vec amax, const struct mxq_scale_rule *rule)
{
    /* One below the exception has d = 0 and the same exponent field. */
    const vec excepted = vec_eq(amax, vec_set1(rule->exception));
    const vec code = scale_of_ordinary(vec_add(amax, excepted), rule);
    /* Unsigned, like the contract: what looks negative is above every number too. */
    const vec is_nonfinite = vec_or(vec_gt(amax, vec_set1(0x7F7FFFFF)), vec_gt(vec_set1(0), amax));
    return vec_or(vec_min(code, vec_set1(254)), vec_and(is_nonfinite, vec_set1(0xFF)));
}

MXQ_INLINE void scale_blocks(uint8_t *scale, const uint32_t *amax, size_t blocks,
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

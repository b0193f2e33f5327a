/* SPDX-License-Identifier: Apache-2.0 */
/* quotient.h -- scales that are no powers of two, from amax, written once over vec.h. */
#ifndef MXQ_LANES_QUOTIENT_H
#define MXQ_LANES_QUOTIENT_H

#include <float.h>

#include "lanes/pack.h"
#include "lanes/unpack.h"
#include "unroll.h"

#define F32_ONE      0x3F800000
#define F32_INFINITY 0x7F800000

MXQ_INLINE vec where(vec mask, vec a, vec b)
{
    return vec_or(vec_and(mask, a), vec_andnot(mask, b));
}

MXQ_INLINE vec quotient(vec a, float by)
{
    return vec_of_ps(vec_div_ps(vec_as_ps(a), vec_broadcast_ps(&by)));
}

MXQ_INLINE vec is_nonfinite(vec amax)
{
    return vec_gt(amax, vec_set1(0x7F7FFFFF));
}

/* The smallest power of two that is no smaller than s >= 0; 0 for 0. */
MXQ_INLINE vec power_of_two_above(vec s)
{
    /* Times 2^32 a subnormal has an exponent, too. */
    const vec is_subnormal = vec_gt(vec_set1(0x800000), s);
    const vec normal = vec_mul(s, where(is_subnormal, vec_set1(0x4F800000), vec_set1(F32_ONE)));
    const vec power = vec_and(vec_add(normal, vec_set1(0x7FFFFF)), vec_set1(0x7F800000));
    return vec_mul(power, where(is_subnormal, vec_set1(0x2F800000), vec_set1(F32_ONE)));
}

/* The scale before its type rounds it. */
MXQ_INLINE vec float_scale(vec amax, const struct mxq_quotient_rule *rule)
{
    vec s = quotient(amax, rule->max);
    if (rule->is_power)
        s = power_of_two_above(s);
    s = where(is_nonfinite(amax), vec_set1(0x7FC00000), s);
    return where(vec_eq(amax, vec_set1(0)), vec_set1(rule->reciprocal ? 0 : F32_ONE), s);
}

MXQ_INLINE vec reciprocal_of(vec scale)
{
    const vec one = vec_set1(F32_ONE), largest = vec_set1(0x7F7FFFFF);
    const vec is_nan = vec_gt(scale, vec_set1(F32_INFINITY));
    const vec r = vec_of_ps(vec_div_ps(vec_as_ps(one), vec_as_ps(scale)));
    return where(is_nan, scale, vec_andnot(vec_eq(scale, vec_set1(0)), vec_min(r, largest)));
}

/* What is divided by: the zeros of a block give zeros. */
MXQ_INLINE vec divisor_of(vec scale)
{
    return where(vec_eq(scale, vec_set1(0)), vec_set1(F32_INFINITY), scale);
}

/* Stores scales `i` .. of a type, two vectors of them, and returns the stored values in s. */
MXQ_INLINE void store_float_scales(uint8_t *scales, size_t i, vec s[2], enum mxq_scale type)
{
    if (type == MXQ_F32_SCALE) {
        store_two(scales, i, MXQ_F32, s[0], s[1]);
        return;
    }
    for (size_t k = 0; k < 2; k++) {
        const vec is_nan = vec_gt(s[k], vec_set1(F32_INFINITY)), most = vec_set1(0x477FE000);
        s[k] = type == MXQ_BF16_SCALE ? vec_and(round_to_bf16(s[k]), vec_set1(0xFFFF0000))
                                      : where(is_nan, s[k], vec_min(s[k], most)); /* 65504 */
    }
    if (type == MXQ_BF16_SCALE) {
        store_two(scales, i, MXQ_BF16, s[0], s[1]);
        return;
    }
    store_two(scales, i, MXQ_F16, s[0], s[1]);
    s[0] = load_wide(scales, i, MXQ_F16);
    s[1] = load_wide(scales, i + VEC_LANES, MXQ_F16);
}

MXQ_INLINE void float_quotients(uint8_t *scales, float *by, const uint32_t *amax, size_t blocks,
                                const struct mxq_quotient_rule *rule)
{
    for (size_t i = 0; i < blocks; i += 2 * VEC_LANES) {
        vec exact[2], stored[2];
        for (size_t k = 0; k < 2; k++)
            exact[k] = stored[k] = float_scale(vec_load(amax + i + k * VEC_LANES), rule);
        store_float_scales(scales, i, stored, rule->scale);
        for (size_t k = 0; k < 2; k++)
            vec_store(by + i + k * VEC_LANES,
                      rule->reciprocal ? reciprocal_of(exact[k]) : divisor_of(stored[k]));
    }
}

MXQ_INLINE vec e4m3_quotient(vec amax, const struct mxq_quotient_rule *rule)
{
    const vec zero = vec_set1(0), is_zero = vec_eq(amax, zero);
    if (!rule->is_positive)
        return vec_andnot(is_zero, quotient(quotient(amax, 6), rule->tensor));
    const vec q = vec_andnot(is_zero, quotient(amax, 6 * rule->tensor));
    return where(vec_eq(q, zero), vec_set1(F32_ONE), vec_max(q, vec_set1(0x3B000000)));
}

MXQ_INLINE void e4m3_quotients(uint8_t *scales, float *by, const uint32_t *amax, size_t blocks,
                               const struct mxq_quotient_rule *rule)
{
    const struct mxq_element_info *e = &mxq_elements[MXQ_E4M3];
    const struct pack_group g = pack_group_of(vec_set1(127), e);
    const vec nan = vec_set1(0x7FC00000);
    uint32_t tensor;
    memcpy(&tensor, &rule->tensor, sizeof tensor);
    const vec is_bad = vec_gt(vec_set1(tensor), vec_set1(F32_INFINITY));
    for (size_t i = 0; i < blocks; i += 4 * VEC_LANES) {
        vec q[4], t[4], bias[4], is_nan[4];
        UNROLL for (size_t k = 0; k < 4; k++)
        {
            const vec a = vec_load(amax + i + k * VEC_LANES);
            q[k] = e4m3_quotient(a, rule);
            /* 0 / 0 comes from scales that underflowed. */
            is_nan[k] = vec_or(vec_or(is_bad, is_nonfinite(a)),
                               vec_gt(vec_and(q[k], vec_set1(0x7FFFFFFF)), vec_set1(F32_INFINITY)));
            q[k] = vec_clamp(q[k], g.limit);
            t[k] = rounded_sum(q[k], g.rounding, e);
            bias[k] = g.bias;
        }
        vec_store_codes(scales + i, t, q, bias, e, MXQ_F32);
        vec_decode(q, scales + i, e);
        UNROLL for (size_t k = 0; k < 4; k++)
        {
            const vec value = vec_mul(q[k], vec_set1((uint32_t)(127 + decode_shift(e)) << 23));
            const vec divisor = divisor_of(vec_mul(value, vec_set1(tensor)));
            vec_store(by + i + k * VEC_LANES, where(is_nan[k], nan, divisor));
            for (uint32_t lanes = vec_mask(is_nan[k]); lanes; lanes &= lanes - 1)
                scales[i + k * VEC_LANES + (size_t)__builtin_ctz(lanes)] = e->nan_code;
        }
    }
}

#define QUOTIENT_KERNEL(isa)                                                                       \
    void mxq_quotient_f32_##isa(void *scales, float *by, const uint32_t *amax, size_t blocks,      \
                                const struct mxq_quotient_rule *rule)                              \
    {                                                                                              \
        if (rule->scale == MXQ_E4M3_SCALE)                                                         \
            e4m3_quotients(scales, by, amax, blocks, rule);                                        \
        else                                                                                       \
            float_quotients(scales, by, amax, blocks, rule);                                       \
    }

#endif

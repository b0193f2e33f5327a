/* SPDX-License-Identifier: Apache-2.0 */
/* quotient.c -- scales that are no powers of two, from amax, the reference. */
#include <float.h>
#include <math.h>

#include "scalar/pack.h"
#include "scalar/unpack.h"

#define NONFINITE UINT32_C(0x7F800000) /* F32 bits of infinity: NaNs are above, the rest below */

/* The smallest power of two that is at least s >= 0; 0 for 0. */
static float power_of_two_above(float s)
{
    const uint32_t bits = bits_of(s);
    if (bits >= 0x800000)
        return value_of(bits & 0x7FFFFF ? (bits + 0x800000) & NONFINITE : bits);
    uint32_t power = 1;
    while (power < bits)
        power <<= 1;
    return value_of(bits ? power : 0);
}

/* Stores a scale and returns it as it was stored. */
static float store_scale(void *scales, size_t index, float scale, enum mxq_scale type)
{
    const enum mxq_type as = type == MXQ_F32_SCALE    ? MXQ_F32
                             : type == MXQ_BF16_SCALE ? MXQ_BF16
                                                      : MXQ_F16;
    if (type == MXQ_F16_SCALE && scale > 65504)
        scale = 65504;
    store_f32_bits(scales, index, as, bits_of(scale));
    return value_of(load_f32_bits(scales, index, as));
}

static float float_quotient(void *scales, size_t index, uint32_t amax,
                            const struct mxq_quotient_rule *rule)
{
    float scale = amax < NONFINITE ? value_of(amax) / rule->max : value_of(F32_NAN);
    if (rule->is_power && amax < NONFINITE)
        scale = power_of_two_above(scale);
    if (amax == 0)
        scale = rule->reciprocal ? 0 : 1;
    const float stored = store_scale(scales, index, scale, rule->scale);
    if (!rule->reciprocal)
        return stored == 0 ? INFINITY : stored;
    const float reciprocal = scale == 0 ? 0 : 1 / scale;
    return reciprocal > FLT_MAX ? FLT_MAX : reciprocal; /* zeros times infinity would be NaN */
}

static float e4m3_quotient(uint8_t *scales, size_t index, uint32_t amax,
                           const struct mxq_quotient_rule *rule)
{
    const float value = value_of(amax);
    float quotient;
    if (amax >= NONFINITE || isnan(rule->tensor)) {
        quotient = value_of(F32_NAN);
    } else if (!rule->is_positive) { /* 0 also where the tensor's scale underflowed */
        quotient = amax == 0 ? 0 : value / 6 / rule->tensor;
    } else {
        quotient = amax == 0 ? 0 : value / (6 * rule->tensor);
        quotient = quotient == 0 ? 1 : quotient < 0x1p-9F ? 0x1p-9F : quotient;
    }
    scales[index] = pack_value(bits_of(quotient), 127, &mxq_elements[MXQ_E4M3]);
    const float by = rule->tensor * value_of(unpack_value(scales[index], 127, MXQ_E4M3));
    return by == 0 ? INFINITY : isnan(by) ? value_of(F32_NAN) : by;
}

void mxq_quotient_f32_scalar(void *scales, float *by, const uint32_t *amax, size_t blocks,
                             const struct mxq_quotient_rule *rule)
{
    for (size_t b = 0; b < blocks; b++)
        by[b] = rule->scale == MXQ_E4M3_SCALE ? e4m3_quotient(scales, b, amax[b], rule)
                                              : float_quotient(scales, b, amax[b], rule);
}

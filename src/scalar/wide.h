/* SPDX-License-Identifier: Apache-2.0 */
/* wide.h -- F32, BF16 and F16 in integers: widening is exact, narrowing rounds to nearest even. */
#ifndef MXQ_SCALAR_WIDE_H
#define MXQ_SCALAR_WIDE_H

#include <stdint.h>
#include <string.h>

#include "kernels.h"

#define F32_NAN  UINT32_C(0x7FC00000) /* the canonical NaNs */
#define BF16_NAN UINT16_C(0x7FC0)
#define F16_NAN  UINT16_C(0x7E00)

static inline uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float value_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Returns 2^exponent, -126 <= exponent <= 127. */
static inline float power_of_two(int exponent)
{
    return value_of((uint32_t)(exponent + 127) << 23);
}

/* F16 -> F32, exact; a NaN keeps its payload. */
static inline uint32_t f32_bits_of_f16(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t exponent = h >> 10 & 0x1F;
    uint32_t mantissa = h & 0x3FF;
    if (exponent == 0x1F)
        return sign | 0x7F800000 | mantissa << 13;
    if (exponent == 0) {
        if (mantissa == 0)
            return sign;
        /* A subnormal: shift the leading one into the hidden position. */
        exponent = 1;
        while (!(mantissa & 0x400)) {
            mantissa <<= 1;
            exponent--; /* may wrap below zero; the sum below brings it back */
        }
        mantissa &= 0x3FF;
    }
    return sign | (exponent + (127 - 15)) << 23 | mantissa << 13;
}

/* Returns value i of x, widened, as F32 bits. */
MXQ_INLINE uint32_t load_f32_bits(const void *x, size_t i, enum mxq_type type)
{
    if (type == MXQ_F32) {
        uint32_t bits;
        memcpy(&bits, (const unsigned char *)x + 4 * i, sizeof bits);
        return bits;
    }
    uint16_t half;
    memcpy(&half, (const unsigned char *)x + 2 * i, sizeof half);
    return type == MXQ_BF16 ? (uint32_t)half << 16 : f32_bits_of_f16(half);
}

/* Returns value >> shift, rounded to nearest, ties to even. */
static inline uint32_t shift_right_to_nearest_even(uint32_t value, int shift)
{
    if (shift > 31) /* value < 2^31 is below half a unit: every caller passes at most 24 bits */
        return 0;
    const uint32_t rest = value & ((UINT32_C(1) << shift) - 1);
    const uint32_t half = UINT32_C(1) << shift >> 1;
    uint32_t quotient = value >> shift;
    if (rest > half || (rest == half && shift && (quotient & 1)))
        quotient++;
    return quotient;
}

static inline uint16_t bf16_of_f32_bits(uint32_t bits)
{
    if ((bits & 0x7FFFFFFF) > 0x7F800000)
        return BF16_NAN;
    return (uint16_t)((bits & 0x80000000) >> 16 |
                      shift_right_to_nearest_even(bits & 0x7FFFFFFF, 16));
}

static inline uint16_t f16_of_f32_bits(uint32_t bits)
{
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    const uint32_t magnitude = bits & 0x7FFFFFFF;
    if (magnitude > 0x7F800000)
        return F16_NAN;
    if (magnitude >= 0x47800000) /* 2^16: beyond what rounds to a finite F16 */
        return sign | 0x7C00;
    const int exponent = (int)(magnitude >> 23) - 127;
    if (exponent < -26) /* below half the smallest subnormal, 2^-24; so are the F32 subnormals */
        return sign;
    /* Rounded to the F16 grid the significand counts codes: in the normal range its hidden bit
     * adds one to the exponent field, hence the -1; a carry into the next binade, or from 65520 to
     * infinity, is the right code too. */
    const uint32_t significand = (magnitude & 0x7FFFFF) | 0x800000;
    const int shift = exponent >= -14 ? 13 : 13 + (-14 - exponent);
    const uint32_t field = exponent >= -14 ? (uint32_t)(exponent + 14) : 0;
    return (uint16_t)(sign | ((field << 10) + shift_right_to_nearest_even(significand, shift)));
}

/* Stores F32 bits as value i of y, narrowed. */
MXQ_INLINE void store_f32_bits(void *y, size_t i, enum mxq_type type, uint32_t bits)
{
    if (type == MXQ_F32) {
        memcpy((unsigned char *)y + 4 * i, &bits, sizeof bits);
        return;
    }
    const uint16_t half = type == MXQ_BF16 ? bf16_of_f32_bits(bits) : f16_of_f32_bits(bits);
    memcpy((unsigned char *)y + 2 * i, &half, sizeof half);
}

#endif

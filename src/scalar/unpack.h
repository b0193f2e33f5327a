/* SPDX-License-Identifier: Apache-2.0 */
/* unpack.h -- one element code to F32: the reference of unpack and of the GEMM. */
#ifndef MXQ_SCALAR_UNPACK_H
#define MXQ_SCALAR_UNPACK_H

#include "scalar/wide.h"

/* Returns the F32 bits of decode(code) * 2^(scale - 127). */
static inline uint32_t unpack_value(uint8_t code, uint8_t scale, enum mxq_element element)
{
    const struct mxq_element_info *e = &mxq_elements[element];
    const int is_integer = e->kind == MXQ_INTEGER;
    const int is_negative = code >> (e->bits - 1) & 1;
    const uint32_t sign = (uint32_t)is_negative << 31;
    /* -128 has a magnitude of its own. */
    const uint32_t field = is_integer ? (uint32_t)(is_negative ? 256 - code : code)
                                      : code & ((1u << (e->bits - 1)) - 1);
    const int is_infinity = element == MXQ_E5M2 && field == 0x7C;
    if (scale == 0xFF || (field > e->max_code && !is_infinity && !is_integer))
        return F32_NAN;
    if (is_infinity)
        return sign | 0x7F800000;
    /* decode(code) = significand * 2^exponent; the significand has at most 8 bits. */
    const uint32_t mantissa = field & ((UINT32_C(1) << e->mantissa_bits) - 1);
    const uint32_t binade = field >> e->mantissa_bits;
    const uint32_t significand = is_integer ? field
                                 : binade   ? mantissa | UINT32_C(1) << e->mantissa_bits
                                            : mantissa;
    const int step = is_integer ? e->emax - e->mantissa_bits
                                : (int)(binade ? binade : 1) - e->bias - e->mantissa_bits;
    const int exponent = step + (int)scale - 127;
    /* Two exact steps, for 2^exponent alone may be beyond F32: only the last product can overflow
     * (to infinity) or become subnormal (and is exact there too, the grid being 2^-149). */
    const int first = exponent / 2;
    const float value = (float)significand * power_of_two(first) * power_of_two(exponent - first);
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return sign | bits;
}

#endif

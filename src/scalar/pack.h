/* SPDX-License-Identifier: Apache-2.0 */
/* pack.h -- one value to one element code in integers: the reference of pack and quantize. */
#ifndef MXQ_SCALAR_PACK_H
#define MXQ_SCALAR_PACK_H

#include "scalar/wide.h"

/* Returns the code of the F32 `bits` times 2^(127 - scale). */
MXQ_INLINE uint8_t pack_value(uint32_t bits, uint8_t scale, const struct mxq_element_info *e)
{
    const uint8_t sign = (uint8_t)(bits >> 24 & 0x80);
    const uint32_t magnitude = bits & 0x7FFFFFFF;
    if (scale == 0xFF || magnitude > 0x7F800000)
        return 0x7F;
    if (magnitude == 0x7F800000)
        return sign | e->max_code;
    if (magnitude == 0)
        return sign;
    /* magnitude = significand * 2^(exponent - 23), 2^23 <= significand < 2^24. */
    int exponent = (int)(magnitude >> 23) - 127;
    uint32_t significand = magnitude & 0x7FFFFF;
    if (exponent == -127) {
        exponent = -126;
        while (!(significand & 0x800000)) {
            significand <<= 1;
            exponent--;
        }
    } else {
        significand |= 0x800000;
    }
    const int scaled = exponent - ((int)scale - 127);
    if (scaled > e->emax)
        return sign | e->max_code;
    /* Codes count in steps of the grid: 2^mantissa_bits of them per binade, from the smallest
     * normal binade upwards, and below it the subnormals with the same step. */
    const int emin = 1 - e->bias;
    const int binade = scaled > emin ? scaled : emin;
    const int shift = 23 - e->mantissa_bits + (binade - scaled);
    const uint32_t code = ((uint32_t)(binade - emin) << e->mantissa_bits) +
                          shift_right_to_nearest_even(significand, shift);
    return sign | (uint8_t)(code < e->max_code ? code : e->max_code);
}

MXQ_INLINE void pack_block(uint8_t *elements, const void *x, size_t block, uint8_t scale,
                           enum mxq_element element, enum mxq_type type)
{
    for (size_t i = block * MXQ_BLOCK; i < (block + 1) * MXQ_BLOCK; i++)
        elements[i] = pack_value(load_f32_bits(x, i, type), scale, &mxq_elements[element]);
}

#endif

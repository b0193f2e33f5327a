/* SPDX-License-Identifier: Apache-2.0 */
/* pack.h -- one value to one element code in integers: the reference of all that makes elements. */
#ifndef MXQ_SCALAR_PACK_H
#define MXQ_SCALAR_PACK_H

#include "bits.h"
#include "scalar/wide.h"

/* A finite magnitude other than zero as significand * 2^(exponent - 23), 2^23 <= significand < 2^24. */
struct magnitude {
    uint32_t significand;
    int exponent;
};

MXQ_INLINE struct magnitude magnitude_of(uint32_t bits)
{
    struct magnitude m = {bits & 0x7FFFFF, (int)(bits >> 23 & 0xFF) - 127};
    if (m.exponent > -127) {
        m.significand |= 0x800000;
        return m;
    }
    m.exponent = -126;
    while (!(m.significand & 0x800000)) {
        m.significand <<= 1;
        m.exponent--;
    }
    return m;
}

/* Where a magnitude in the binade of 2^exponent, at most 2^emax, is among the codes: it is code `base` plus
 * significand >> shift, rounded somehow. */
struct grid {
    uint32_t base;
    int shift;
};

MXQ_INLINE struct grid grid_of(int exponent, const struct mxq_element_info *e)
{
    if (e->kind == MXQ_INTEGER)
        return (struct grid){0, 23 - e->mantissa_bits + e->emax - exponent};
    /* Codes count in steps of the grid: 2^mantissa_bits of them per binade, from the smallest normal
     * binade upwards, and below it the subnormals with the same step. */
    const int emin = 1 - e->bias;
    const int binade = exponent > emin ? exponent : emin;
    return (struct grid){(uint32_t)(binade - emin) << e->mantissa_bits,
                         23 - e->mantissa_bits + (binade - exponent)};
}

/* Returns the code of a sign and the code of a magnitude. */
MXQ_INLINE uint8_t with_sign(uint32_t code, int is_negative, const struct mxq_element_info *e)
{
    if (!is_negative)
        return (uint8_t)code;
    return (uint8_t)(e->kind == MXQ_INTEGER ? 0u - code : code | 1u << (e->bits - 1));
}

/* Returns the code of the F32 `bits` times 2^(127 - scale), rounded to nearest even. */
MXQ_INLINE uint8_t pack_value(uint32_t bits, uint8_t scale, const struct mxq_element_info *e)
{
    const int is_negative = (int)(bits >> 31);
    const uint32_t magnitude = bits & 0x7FFFFFFF;
    if (scale == 0xFF || magnitude > 0x7F800000)
        return e->nan_code;
    if (magnitude == 0x7F800000)
        return with_sign(e->max_code, is_negative, e);
    if (magnitude == 0)
        return with_sign(0, is_negative, e);
    const struct magnitude m = magnitude_of(bits);
    const int scaled = m.exponent - ((int)scale - 127);
    if (scaled > e->emax)
        return with_sign(e->max_code, is_negative, e);
    const struct grid g = grid_of(scaled, e);
    const uint32_t code = g.base + shift_right_to_nearest_even(m.significand, g.shift);
    return with_sign(code < e->max_code ? code : e->max_code, is_negative, e);
}

/* Packs block number `block` of x to `elements`. */
MXQ_INLINE void pack_block(uint8_t *elements, const void *x, size_t block, uint8_t scale,
                           enum mxq_element element, enum mxq_type type)
{
    const struct mxq_element_info *e = &mxq_elements[element];
    uint8_t codes[MXQ_BLOCK];
    for (size_t i = 0; i < MXQ_BLOCK; i++)
        codes[i] = pack_value(load_f32_bits(x, block * MXQ_BLOCK + i, type), scale, e);
    mxq_pack_bits(elements, codes, MXQ_BLOCK, e->bits);
}

#endif

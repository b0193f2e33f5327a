/* SPDX-License-Identifier: Apache-2.0 */
/* significand.h -- BF16 divided by one scale and packed to FP8 by a table of significands, AVX-512 column.
 *
 * A BF16 has 128 significands.  Where the quotient by d is a normal number of the element, its code is that of
 * 1.m divided by the significand of d, which a table of 128 bytes has, plus 2^mantissa_bits for each power of
 * two in between: in the bits of x they are next to each other,
 *
 *     code = table[m] + (x >> (7 - mantissa_bits)),   modulo 2^7,
 *
 * the table less the exponent of d and the bits of m that this leaves below.  VPERMI2B looks up 64 of them. */
#ifndef MXQ_AVX512_SIGNIFICAND_H
#define MXQ_AVX512_SIGNIFICAND_H

#include "avx512/vec.h"

#include "lanes/pack.h"
#include "unroll.h"

/* A table takes the time that it saves in some 256 values: it is for scales of rows. */
#define VEC_TABLE_SHIFT 10

struct vec_table {
    vec bytes[2];
    vec least; /* 16-bit lanes: twice the bits of |x| from which quotients are normal */
};

MXQ_INLINE int vec_has_table(const struct mxq_element_info *e, enum mxq_type type)
{
    return type == MXQ_BF16 && e->kind == MXQ_FLOAT && e->bits == 8;
}

/* Shifts 7 - mantissa_bits down, within 32 bits. */
MXQ_INLINE vec vec_shift_down(vec a, const struct mxq_element_info *e)
{
    return e->mantissa_bits == 3 ? vec_srl(a, 4) : vec_srl(a, 5);
}

/* For divisor d, an ordinary one, and its inverse. */
MXQ_INLINE struct vec_table vec_table_of(uint32_t d, uint32_t inverse,
                                         const struct mxq_element_info *e)
{
    static const uint8_t index[64] = {
        0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
        22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43,
        44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};
    const int shift = 7 - e->mantissa_bits;
    const uint32_t one = 0x3F800000, exponent = (d >> 23) - 127;
    const struct pack_group g = pack_group_of(vec_set1(127), e);
    const vec_ps divisor = vec_as_ps(vec_set1(d - (exponent << 23)));
    const vec_ps r = vec_as_ps(vec_set1(inverse + (exponent << 23)));
    const vec first = vec_sll(vec_load_u8(index), 16);
    struct vec_table table;
    UNROLL
    for (uint32_t half = 0; half < 2; half++) {
        vec t[4], bias[4];
        UNROLL
        for (uint32_t k = 0; k < 4; k++) {
            const vec_ps significand =
                vec_as_ps(vec_add(first, vec_set1(one + ((64 * half + 16 * k) << 16))));
            const vec_ps q = vec_mul_ps(significand, r);
            const vec_ps rest = vec_fms_ps(q, divisor, significand);
            t[k] = rounded_sum(vec_of_ps(_mm512_fnmadd_ps(rest, r, q)), g.rounding, e);
            bias[k] = g.bias;
        }
        /* All bits of a byte of `below` are of its m. */
        const vec below =
            vec_shift_down(vec_and(vec_load(index), _mm512_set1_epi8((char)(0xFF << shift))), e);
        const int above =
            (int)(half << (6 - shift)) + (int)(((d >> 23) << e->mantissa_bits) & 0xFF);
        table.bytes[half] = _mm512_sub_epi8(vec_codes_8(t, bias, e, vec_code_order),
                                            _mm512_add_epi8(below, _mm512_set1_epi8((char)above)));
    }
    /* The smallest quotient of significands is above 1/2. */
    table.least = _mm512_set1_epi16((short)(((d >> 23) - (uint32_t)(e->bias - 2)) << 8));
    return table;
}

/* Packs 64 values; returns 0, and nothing, where one of them is too small. */
MXQ_INLINE int vec_pack_by_table(uint8_t *elements, const unsigned char *x,
                                 const struct vec_table *table, const struct mxq_element_info *e)
{
    static const uint8_t low_bytes[64] = {
        0,  2,  4,   6,   8,   10,  12,  14,  16,  18,  20,  22,  24,  26,  28,  30,
        32, 34, 36,  38,  40,  42,  44,  46,  48,  50,  52,  54,  56,  58,  60,  62,
        64, 66, 68,  70,  72,  74,  76,  78,  80,  82,  84,  86,  88,  90,  92,  94,
        96, 98, 100, 102, 104, 106, 108, 110, 112, 114, 116, 118, 120, 122, 124, 126};
    const vec order = vec_load(low_bytes);
    vec wide[2], twice[2], code[2];
    UNROLL
    for (size_t i = 0; i < 2; i++) {
        wide[i] = vec_load(x + 64 * i);
        twice[i] = _mm512_add_epi16(wide[i], wide[i]);
        code[i] =
            _mm512_add_epi16(_mm512_permutex2var_epi8(table->bytes[0], wide[i], table->bytes[1]),
                             vec_shift_down(wide[i], e));
    }
    const vec missing = _mm512_subs_epu16(table->least, _mm512_min_epu16(twice[0], twice[1]));
    if (vec_bits(_mm512_test_epi32_mask(missing, missing)))
        return 0;
    const vec codes = _mm512_permutex2var_epi8(code[0], order, code[1]);
    const vec high =
        _mm512_permutex2var_epi8(wide[0], _mm512_add_epi8(order, _mm512_set1_epi8(1)), wide[1]);
    vec_store(elements, _mm512_ternarylogic_epi32(_mm512_set1_epi8((char)0x80), high, codes, 0xCA));
    return 1;
}

#endif

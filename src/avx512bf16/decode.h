/* SPDX-License-Identifier: Apache-2.0 */
/* decode.h -- element codes to BF16 pairs in the row's k_order, by tables, AVX512-BF16 column. */
#ifndef MXQ_AVX512BF16_DECODE_H
#define MXQ_AVX512BF16_DECODE_H

#include "avx512/vec.h"

#include "lanes/group.h"

/* The BF16 of every magnitude: codes count on from 2^(1 - bias) as the upper halves of F32 do, but for the
 * subnormals. */
#define CODE_BF16(c, mbits, bias)                                                                  \
    ((c) >> (mbits) ? ((c) << (7 - (mbits))) + ((127 - (bias)) << 7)                               \
     : (c) > 3      ? ((128 - (bias) - (mbits) + 2) << 7) + (((c)&3) << 5)                         \
     : (c) > 1      ? ((128 - (bias) - (mbits) + 1) << 7) + (((c)&1) << 6)                         \
     : (c) > 0      ? ((128 - (bias) - (mbits)) << 7)                                              \
                    : 0)
#define CODE_BYTE(c, mbits, bias, shift) (CODE_BF16(c, mbits, bias) >> (shift)&0xFF)

/* For c .. c + 63, f(c, ...) each. */
#define FOR_4(f, c, ...)                                                                           \
    f((c), __VA_ARGS__), f((c) + 1, __VA_ARGS__), f((c) + 2, __VA_ARGS__), f((c) + 3, __VA_ARGS__)
#define FOR_16(f, c, ...)                                                                          \
    FOR_4(f, (c), __VA_ARGS__), FOR_4(f, (c) + 4, __VA_ARGS__), FOR_4(f, (c) + 8, __VA_ARGS__),    \
        FOR_4(f, (c) + 12, __VA_ARGS__)
#define FOR_64(f, c, ...)                                                                          \
    FOR_16(f, (c), __VA_ARGS__), FOR_16(f, (c) + 16, __VA_ARGS__),                                 \
        FOR_16(f, (c) + 32, __VA_ARGS__), FOR_16(f, (c) + 48, __VA_ARGS__)

/* [mantissa bits - 2][lower, upper byte][code] */
#define CODES(mbits, bias, shift)                                                                  \
    {                                                                                              \
        FOR_64(CODE_BYTE, 0, mbits, bias, shift), FOR_64(CODE_BYTE, 64, mbits, bias, shift)        \
    }
static const uint8_t code_bytes[2][2][128] = {{CODES(2, 15, 0), CODES(2, 15, 8)},
                                              {CODES(3, 7, 0), CODES(3, 7, 8)}};

/* Byte i of the lanes of the even (0) or odd (1) chain, out of 64 lower and, from 64 on, 64 upper bytes of
 * the codes [2 pairs][16 n][2]: the lower and the upper byte of k + 2, then those of k. */
#define CHAIN_BYTE(i, odd) ((i) % 2 * 64 + ((i) % 4 < 2 ? 32 : 0) + (i) / 4 * 2 + (odd))
static const uint8_t chain_order[2][64] = {{FOR_64(CHAIN_BYTE, 0, 0)}, {FOR_64(CHAIN_BYTE, 0, 1)}};

struct decoder {
    vec low[2], high[2]; /* tables for VPERMI2B, which reads seven bits of a code */
    vec order[2];
};

MXQ_INLINE struct decoder decoder_of(const struct mxq_element_info *e)
{
    const uint8_t(*bytes)[128] = code_bytes[e->mantissa_bits - 2];
    return (struct decoder){{vec_load(bytes[0]), vec_load(bytes[0] + 64)},
                            {vec_load(bytes[1]), vec_load(bytes[1] + 64)},
                            {vec_load(chain_order[0]), vec_load(chain_order[1])}};
}

/* 64 codes, four k of 16 outputs, to one operand for each chain. */
MXQ_INLINE void decode_quad(vec w[2], const uint8_t *p, const struct decoder *d)
{
    const vec codes = vec_load(p);
    const vec low = _mm512_permutex2var_epi8(d->low[0], codes, d->low[1]);
    const vec magnitude = _mm512_permutex2var_epi8(d->high[0], codes, d->high[1]);
    const vec high =
        _mm512_ternarylogic_epi32(magnitude, codes, _mm512_set1_epi8((char)0x80), 0xF8);
    w[0] = _mm512_permutex2var_epi8(low, d->order[0], high);
    w[1] = _mm512_permutex2var_epi8(low, d->order[1], high);
}

#endif

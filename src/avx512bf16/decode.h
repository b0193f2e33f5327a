/* SPDX-License-Identifier: Apache-2.0 */
/* decode.h -- element codes to BF16 pairs in the row's k_order, by tables, AVX512-BF16 column.
 *
 * A line is 64 bytes of codes: one quad of k of FP8, two of E2M1; a quad makes an operand for each chain. */
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

/* For E2M1, 64 bytes [4 pairs][16 n]: the bytes that a lane takes its lower half from, in one quad and in
 * the other, then those of its upper half. */
#define PAIR_BYTE(i, unused) ((i) % 4 * 2 % 4 * MXQ_PANEL + ((i) % 4 < 2 ? MXQ_PANEL : 0) + (i) / 4)
static const uint8_t pair_order[64] = {FOR_64(PAIR_BYTE, 0, 0)};

/* VPERMW reads five bits, of which E2M1 has four. */
#define E2M1_BF16       0x0000, 0x3F00, 0x3F80, 0x3FC0, 0x4000, 0x4040, 0x4080, 0x40C0
#define MINUS_E2M1_BF16 0x8000, 0xBF00, 0xBF80, 0xBFC0, 0xC000, 0xC040, 0xC080, 0xC0C0
static const uint16_t e2m1_values[32] = {E2M1_BF16, MINUS_E2M1_BF16, E2M1_BF16, MINUS_E2M1_BF16};

struct decoder {
    vec low[2], high[2]; /* tables for VPERMI2B, which reads seven bits of a code */
    vec order[2];        /* for E2M1: that of pairs, and the table */
};

MXQ_INLINE struct decoder decoder_of(const enum mxq_packed_element element)
{
    const int is_e5m2 = element == MXQ_PACKED_E5M2;
    const uint8_t(*bytes)[128] = code_bytes[is_e5m2 ? 0 : 1];
    if (element == MXQ_PACKED_E2M1)
        return (struct decoder){.order = {vec_load(pair_order), vec_load(e2m1_values)}};
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

/* 128 codes, eight k of 16 outputs, to operands of two quads. */
MXQ_INLINE void decode_e2m1(vec w[4], const uint8_t *p, const struct decoder *d)
{
    const vec codes = _mm512_permutexvar_epi8(d->order[0], vec_load(p)), values = d->order[1];
    w[0] = _mm512_permutexvar_epi16(codes, values);
    w[1] = _mm512_permutexvar_epi16(_mm512_srli_epi16(codes, 4), values);
    w[2] = _mm512_permutexvar_epi16(_mm512_srli_epi16(codes, 8), values);
    w[3] = _mm512_permutexvar_epi16(_mm512_srli_epi16(codes, 12), values);
}

#define LINE_OPERANDS(element) ((element) == MXQ_PACKED_E2M1 ? 4 : 2)

MXQ_INLINE void decode_line(vec w[4], const uint8_t *p, const struct decoder *d,
                            const enum mxq_packed_element element)
{
    if (element == MXQ_PACKED_E2M1)
        decode_e2m1(w, p, d);
    else
        decode_quad(w, p, d);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* panel.c -- packed weights to BF16 operands, AMX column: pairs of k as they are packed.
 *
 * In a 16-bit lane, an FP8 code moved left by 7 - mantissa_bits has its exponent and mantissa where
 * BF16 has them, with another bias.  That and the scale are one addition.  Subnormal codes and zeros,
 * of which weights have few, then take a correction from a table.  Looking all codes up instead, as
 * avx512bf16 does, takes half as long again on Intel's, by count of ports: there VPERMI2B is three
 * operations.
 *
 * E2M1 has only 16 codes, 4 of them zeros and subnormal, and is looked up; NVFP4 and INT8 go through F32. */
#include "avx512bf16/decode.h"
#include "avx512bf16/pairs.h"

/* What the addition leaves to be added for the subnormal code m, which is m * 2^(1 - bias - mbits): the
 * exponent and the mantissa of m's leading one and the rest, less m where the mantissa is. */
#define LEADING(m) (((m) > 3) + ((m) > 1))
#define CORRECTION(m, mbits)                                                                       \
    (uint16_t)((1 - (mbits) + LEADING(m)) * 128 + (((m) << 7) >> LEADING(m)) - 128 -               \
               ((m) << (7 - (mbits))))

/* [mantissa bits - 2][code].  That of zero is not used. */
static const uint16_t corrections[2][32] = {
    {0, CORRECTION(1, 2), CORRECTION(2, 2), CORRECTION(3, 2)},
    {0, CORRECTION(1, 3), CORRECTION(2, 3), CORRECTION(3, 3), CORRECTION(4, 3), CORRECTION(5, 3),
     CORRECTION(6, 3), CORRECTION(7, 3)},
};

static inline vec set1_16(int v)
{
    return _mm512_set1_epi16((short)v);
}

/* Unpacks 32 codes: one pair of k.  `rare`: some may be subnormal or zero. */
MXQ_INLINE vec unpack_pair(const uint8_t *codes, vec bias, const uint16_t *correction, int rare,
                           const struct mxq_element_info *e)
{
    const int mbits = e->mantissa_bits;
    const vec code = _mm512_cvtepi8_epi16(vec_load_256(codes)); /* copies the sign upwards */
    const vec moved = mbits == 2 ? _mm512_slli_epi16(code, 5) : _mm512_slli_epi16(code, 4);
    const vec fields = vec_and(moved, set1_16(0x8000 | 0x7F << (7 - mbits)));
    vec value = _mm512_add_epi16(fields, bias);
    if (rare) {
        const vec exponent = set1_16(0x7F >> mbits << mbits), sign = set1_16(0x8000);
        const __mmask32 subnormal = _mm512_testn_epi16_mask(code, exponent);
        const __mmask32 zero = _mm512_testn_epi16_mask(code, set1_16(0x7F));
        value = _mm512_mask_add_epi16(value, subnormal, value,
                                      _mm512_permutexvar_epi16(code, vec_load(correction)));
        value = _mm512_mask_mov_epi16(value, zero, vec_and(code, sign));
    }
    return value;
}

/* Unpacks 64 codes: two pairs of k. */
MXQ_INLINE void unpack_quad(uint16_t *w, const uint8_t *codes, vec bias, const uint16_t *correction,
                            int rare, const struct mxq_element_info *e)
{
    vec_store(w, unpack_pair(codes, bias, correction, rare, e));
    vec_store(w + 32, unpack_pair(codes + 32, bias, correction, rare, e));
}

/* The same codes, to be loaded anew: else clang 14 puts halves together from the bytes of the whole. */
MXQ_INLINE const uint8_t *halves(const uint8_t *codes)
{
    __asm__("" : "+r"(codes));
    return codes;
}

MXQ_INLINE void rebias(uint16_t *w, const uint8_t *elements, const uint8_t *scales, size_t blocks,
                       const enum mxq_packed_element element)
{
    const struct mxq_element_info *e = &mxq_elements[mxq_packed_elements[element].element];
    const uint16_t *correction = corrections[e->mantissa_bits - 2];
    const vec exponent = _mm512_set1_epi8((char)(0x7F >> e->mantissa_bits << e->mantissa_bits));
    for (size_t b = 0; b < blocks; b++) {
        /* (scale - bias) << 7, in both halves of the lane of an output */
        const vec shift = vec_sub(vec_load_u8(scales + b * MXQ_PANEL), vec_set1((uint32_t)e->bias));
        const vec bias = vec_or(vec_sll(shift, 23), vec_sll(shift, 7));
        for (size_t i = 0; i < MXQ_PANEL_ELEMENTS; i += 64) {
            const uint8_t *codes = elements + b * MXQ_PANEL_ELEMENTS + i;
            uint16_t *to = w + b * MXQ_PANEL_ELEMENTS + i;
            prefetch(codes, blocks * MXQ_PANEL_ELEMENTS);
            if (_mm512_testn_epi8_mask(vec_load(codes), exponent))
                unpack_quad(to, halves(codes), bias, correction, 1, e);
            else
                unpack_quad(to, halves(codes), bias, correction, 0, e);
        }
    }
}

/* For E2M1, 64 bytes [4 pairs][16 n]: in both halves of a lane the bytes of two pairs, from `first`
 * on.  The lower half of an operand takes the lower code of a byte, the upper half the upper one. */
#define TWO_PAIRS_BYTE(i, first) (((first) + (i) % 2) * MXQ_PANEL + (i) / 4)
static const uint8_t two_pairs[2][64] = {{FOR_64(TWO_PAIRS_BYTE, 0, 0)},
                                         {FOR_64(TWO_PAIRS_BYTE, 0, 2)}};

/* 128 codes, eight k of 16 outputs, to four pairs of k. */
MXQ_INLINE void look_up_line(vec w[4], const uint8_t *p)
{
    const vec values = vec_load(e2m1_values), line = vec_load(p);
    const vec to_first = vec_set1(4 << 16), to_second = vec_set1(12 << 16 | 8);
    for (size_t j = 0; j < 4; j += 2) {
        const vec codes = _mm512_permutexvar_epi8(vec_load(two_pairs[j / 2]), line);
        w[j] = _mm512_permutexvar_epi16(_mm512_srlv_epi16(codes, to_first), values);
        w[j + 1] = _mm512_permutexvar_epi16(_mm512_srlv_epi16(codes, to_second), values);
    }
}

MXQ_INLINE void look_up(uint16_t *w, const uint8_t *elements, const uint8_t *scales, size_t blocks,
                        const enum mxq_packed_element element)
{
    for (size_t b = 0; b < blocks; b++) {
        const vec shift = exponent_shift(scales + b * MXQ_PANEL);
        for (size_t i = 0; i < BARE_BYTES(element); i += 64, elements += 64) {
            vec pairs[4];
            prefetch(elements, blocks * BARE_BYTES(element));
            look_up_line(pairs, elements);
            for (size_t j = 0; j < 4; j++, w += 32)
                vec_store(w, scaled(pairs[j], shift));
        }
    }
}

MXQ_INLINE void widen(uint16_t *w, const uint8_t *elements, const uint8_t *scales, size_t blocks,
                      const enum mxq_packed_element element)
{
    widen_to_pairs(w, elements, scales, blocks, element, PAIRS_0123);
}

PANEL_BF16_KERNEL(mxq_panel_bf16_e4m3_amx, rebias, MXQ_PACKED_E4M3)
PANEL_BF16_KERNEL(mxq_panel_bf16_e5m2_amx, rebias, MXQ_PACKED_E5M2)
PANEL_BF16_KERNEL(mxq_panel_bf16_e2m1_amx, look_up, MXQ_PACKED_E2M1)
PANEL_BF16_KERNEL(mxq_panel_bf16_nvfp4_amx, widen, MXQ_PACKED_NVFP4)
PANEL_BF16_KERNEL(mxq_panel_bf16_int8_amx, widen, MXQ_PACKED_INT8)

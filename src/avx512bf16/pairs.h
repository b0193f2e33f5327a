/* SPDX-License-Identifier: Apache-2.0 */
/* pairs.h -- what columns that multiply BF16 pairs share of bringing packed weights to them. */
#ifndef MXQ_AVX512BF16_PAIRS_H
#define MXQ_AVX512BF16_PAIRS_H

#include "avx512/vec.h"

#include "lanes/panel.h"

/* Brings the next part of the panel to L2, as long as this one is multiplied; L1 is full. */
MXQ_INLINE void prefetch(const uint8_t *codes, size_t bytes)
{
    __builtin_prefetch((const void *)((uintptr_t)codes + bytes), 0, 2);
}

/* (scale - 127) << 7 of 16 scales, in both halves of the lane of an output. */
MXQ_INLINE vec exponent_shift(const uint8_t *scales)
{
    const vec exponent = vec_sub(vec_load_u8(scales), vec_set1(127));
    return _mm512_mask_blend_epi16(0x55555555, vec_sll(exponent, 23), vec_sll(exponent, 7));
}

/* Adds to the exponents of all values but zeros. */
MXQ_INLINE vec scaled(vec value, vec shift)
{
    const __mmask32 is_number = _mm512_test_epi16_mask(value, _mm512_set1_epi16(0x7FFF));
    return _mm512_mask_add_epi16(value, is_number, value, shift);
}

/* A lane of pairs, its lower half and its upper one, of F32 that are BF16 too. */
MXQ_INLINE vec pair_up(vec_ps lower, vec_ps upper)
{
    return vec_or(vec_srl(vec_of_ps(lower), 16), vec_of_ps(upper));
}

/* The two pairs of four k: a row's tile.k_order. */
enum pair_order { PAIRS_0123, PAIRS_2031 };

/* Unpacks through F32, of which BF16 is the upper half. */
MXQ_INLINE void widen_to_pairs(uint16_t *w, const uint8_t *elements, const uint8_t *scales,
                               size_t blocks, const enum mxq_packed_element element,
                               const enum pair_order order)
{
    const int in_order = order == PAIRS_0123;
    for (size_t half = 0; half < 2 * blocks; half++) {
        vec_ps factor;
        load_element_factors(&factor, scales + half / 2 * mxq_packed_elements[element].scale_bytes,
                             half % 2, element);
        for (size_t quad = 0; quad < MXQ_BLOCK / 8; quad++, w += 64) {
            vec_ps value[4];
            prefetch(elements, blocks * BARE_BYTES(element));
            for (size_t k = 0; k < 4; k += 2, elements += PAIR_BYTES(element)) {
                decode_pair(&value[k], &value[k + 1], elements, element);
                value[k] = vec_mul_ps(value[k], factor);
                value[k + 1] = vec_mul_ps(value[k + 1], factor);
            }
            vec_store(w, in_order ? pair_up(value[0], value[1]) : pair_up(value[2], value[0]));
            vec_store(w + 32, in_order ? pair_up(value[2], value[3]) : pair_up(value[3], value[1]));
        }
    }
}

#define PANEL_BF16_KERNEL(name, body, element)                                                     \
    void name(void *w, const uint8_t *elements, const uint8_t *scales, size_t blocks)              \
    {                                                                                              \
        body(w, elements, scales, blocks, element);                                                \
    }

#endif

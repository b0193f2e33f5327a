/* SPDX-License-Identifier: Apache-2.0 */
/* panel.c -- packed weights to BF16 operands, AVX512-BF16 column: in the order of its tile.k_order.
 *
 * FP8 and E2M1 are looked up.  What has more values goes through F32, of which BF16 is the upper half. */
#include "avx512bf16/decode.h"

#include "lanes/panel.h"

/* Brings the next part of the panel to L2, as long as this one is multiplied; L1 is full. */
MXQ_INLINE void prefetch(const uint8_t *codes, size_t bytes)
{
    __builtin_prefetch((const void *)((uintptr_t)codes + bytes), 0, 2);
}

/* Adds to the exponents of all values but zeros. */
MXQ_INLINE vec scaled(vec value, vec shift)
{
    const __mmask32 is_number = _mm512_test_epi16_mask(value, _mm512_set1_epi16(0x7FFF));
    return _mm512_mask_add_epi16(value, is_number, value, shift);
}

MXQ_INLINE void look_up(uint16_t *w, const uint8_t *elements, const uint8_t *scales, size_t blocks,
                        const enum mxq_packed_element element)
{
    const struct decoder decoder = decoder_of(element);
    for (size_t b = 0; b < blocks; b++) {
        /* (scale - 127) << 7, in both halves of the lane of an output */
        const vec exponent = vec_sub(vec_load_u8(scales + b * MXQ_PANEL), vec_set1(127));
        const vec shift =
            _mm512_mask_blend_epi16(0x55555555, vec_sll(exponent, 23), vec_sll(exponent, 7));
        for (size_t i = 0; i < BARE_BYTES(element); i += 64) {
            vec pairs[4];
            prefetch(elements, blocks * BARE_BYTES(element));
            decode_line(pairs, elements, &decoder, element);
            for (size_t j = 0; j < LINE_OPERANDS(element); j++, w += 32)
                vec_store(w, scaled(pairs[j], shift));
            elements += 64;
        }
    }
}

/* A lane of pairs, its lower half and its upper one. */
MXQ_INLINE vec pair_up(vec_ps lower, vec_ps upper)
{
    return vec_or(vec_srl(vec_of_ps(lower), 16), vec_of_ps(upper));
}

MXQ_INLINE void widen(uint16_t *w, const uint8_t *elements, const uint8_t *scales, size_t blocks,
                      const enum mxq_packed_element element)
{
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
            vec_store(w, pair_up(value[2], value[0]));
            vec_store(w + 32, pair_up(value[3], value[1]));
        }
    }
}

#define PANEL_BF16_KERNEL(name, body, element)                                                     \
    void name(void *w, const uint8_t *elements, const uint8_t *scales, size_t blocks)              \
    {                                                                                              \
        body(w, elements, scales, blocks, element);                                                \
    }

PANEL_BF16_KERNEL(mxq_panel_bf16_e4m3_avx512bf16, look_up, MXQ_PACKED_E4M3)
PANEL_BF16_KERNEL(mxq_panel_bf16_e5m2_avx512bf16, look_up, MXQ_PACKED_E5M2)
PANEL_BF16_KERNEL(mxq_panel_bf16_e2m1_avx512bf16, look_up, MXQ_PACKED_E2M1)
PANEL_BF16_KERNEL(mxq_panel_bf16_nvfp4_avx512bf16, widen, MXQ_PACKED_NVFP4)
PANEL_BF16_KERNEL(mxq_panel_bf16_int8_avx512bf16, widen, MXQ_PACKED_INT8)

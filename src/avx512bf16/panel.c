/* SPDX-License-Identifier: Apache-2.0 */
/* panel.c -- packed weights to BF16 operands, AVX512-BF16 column: in the order of its tile.k_order. */
#include "avx512bf16/decode.h"

/* Brings the next part of the panel to L2, as long as this one is multiplied; L1 is full. */
MXQ_INLINE void prefetch(const uint8_t *codes, size_t blocks)
{
    __builtin_prefetch((const void *)((uintptr_t)codes + blocks * MXQ_PANEL_ELEMENTS), 0, 2);
}

/* Adds to the exponents of all values but zeros. */
MXQ_INLINE vec scaled(vec value, vec shift)
{
    const __mmask32 is_number = _mm512_test_epi16_mask(value, _mm512_set1_epi16(0x7FFF));
    return _mm512_mask_add_epi16(value, is_number, value, shift);
}

MXQ_INLINE void panel_blocks(uint16_t *w, const uint8_t *elements, const uint8_t *scales,
                             size_t blocks, const struct mxq_element_info *e)
{
    const struct decoder decoder = decoder_of(e);
    for (size_t b = 0; b < blocks; b++) {
        /* (scale - 127) << 7, in both halves of the lane of an output */
        const vec exponent = vec_sub(vec_load_u8(scales + b * MXQ_PANEL), vec_set1(127));
        const vec shift =
            _mm512_mask_blend_epi16(0x55555555, vec_sll(exponent, 23), vec_sll(exponent, 7));
        for (size_t i = 0; i < MXQ_PANEL_ELEMENTS; i += 64) {
            const size_t at = b * MXQ_PANEL_ELEMENTS + i;
            vec pairs[2];
            prefetch(elements + at, blocks);
            decode_quad(pairs, elements + at, &decoder);
            vec_store(w + at, scaled(pairs[0], shift));
            vec_store(w + at + 32, scaled(pairs[1], shift));
        }
    }
}

void mxq_panel_bf16_e4m3_avx512bf16(void *w, const uint8_t *elements, const uint8_t *scales,
                                    size_t blocks)
{
    panel_blocks(w, elements, scales, blocks, &mxq_elements[MXQ_E4M3]);
}

void mxq_panel_bf16_e5m2_avx512bf16(void *w, const uint8_t *elements, const uint8_t *scales,
                                    size_t blocks)
{
    panel_blocks(w, elements, scales, blocks, &mxq_elements[MXQ_E5M2]);
}

/* From the reference's order of four k to the row's. */
MXQ_INLINE void reorder(uint16_t *w, size_t blocks)
{
    for (size_t i = 0; i < blocks * MXQ_PANEL_ELEMENTS; i += 64) {
        const vec a = vec_load(w + i), b = vec_load(w + i + 32);
        vec_store(w + i, vec_or(vec_sll(a, 16), vec_and(b, vec_set1(0xFFFF))));
        vec_store(w + i + 32, vec_or(vec_and(a, vec_set1(0xFFFF0000)), vec_srl(b, 16)));
    }
}

#define PANEL_KERNEL(name)                                                                         \
    void mxq_panel_bf16_##name##_avx512bf16(void *w, const uint8_t *elements,                      \
                                            const uint8_t *scales, size_t blocks)                  \
    {                                                                                              \
        mxq_panel_bf16_##name##_scalar(w, elements, scales, blocks);                               \
        reorder(w, blocks);                                                                        \
    }

PANEL_KERNEL(e2m1)
PANEL_KERNEL(nvfp4)
PANEL_KERNEL(int8)

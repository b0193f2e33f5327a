/* SPDX-License-Identifier: Apache-2.0 */
/* panel.c -- packed weights to BF16 operands, AVX512-BF16 column: in the order of its tile.k_order.
 *
 * FP8 and E2M1 are looked up.  What has more values goes through F32, of which BF16 is the upper half. */
#include "avx512bf16/decode.h"
#include "avx512bf16/pairs.h"

MXQ_INLINE void look_up(uint16_t *w, const uint8_t *elements, const uint8_t *scales, size_t blocks,
                        const enum mxq_packed_element element)
{
    const struct decoder decoder = decoder_of(element);
    for (size_t b = 0; b < blocks; b++) {
        const vec shift = exponent_shift(scales + b * MXQ_PANEL);
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

MXQ_INLINE void widen(uint16_t *w, const uint8_t *elements, const uint8_t *scales, size_t blocks,
                      const enum mxq_packed_element element)
{
    widen_to_pairs(w, elements, scales, blocks, element, PAIRS_2031);
}

PANEL_BF16_KERNEL(mxq_panel_bf16_e4m3_avx512bf16, look_up, MXQ_PACKED_E4M3)
PANEL_BF16_KERNEL(mxq_panel_bf16_e5m2_avx512bf16, look_up, MXQ_PACKED_E5M2)
PANEL_BF16_KERNEL(mxq_panel_bf16_e2m1_avx512bf16, look_up, MXQ_PACKED_E2M1)
PANEL_BF16_KERNEL(mxq_panel_bf16_nvfp4_avx512bf16, widen, MXQ_PACKED_NVFP4)
PANEL_BF16_KERNEL(mxq_panel_bf16_int8_avx512bf16, widen, MXQ_PACKED_INT8)

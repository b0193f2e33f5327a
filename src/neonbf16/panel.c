/* SPDX-License-Identifier: Apache-2.0 */
/* panel.c -- packed weights to BF16 pairs, NEON with FEAT_BF16. */
#include "neon/vec.h"

#include "lanes/panel.h"

MXQ_INLINE void panel_bf16(void *w, const uint8_t *elements, const uint8_t *scales, size_t blocks,
                           const struct mxq_element_info *e)
{
    for (size_t b = 0; b < blocks; b++) {
        vec_ps factor[PANEL_VECTORS];
        load_factors(factor, scales + b * MXQ_PANEL, PAIR_SHIFT(e));
        for (size_t i = 0; i < MXQ_PANEL_ELEMENTS; i += PAIR_BYTES) {
            vec_ps even[PANEL_VECTORS], odd[PANEL_VECTORS];
            const size_t at = b * MXQ_PANEL_ELEMENTS + i;
            unsigned char *to = (unsigned char *)w + at * sizeof(uint16_t);
            vec_decode_pair(even, odd, elements + at, e->mantissa_bits);
            for (size_t v = 0; v < PANEL_VECTORS; v++)
                vst1q_u8(to + v * sizeof(vec),
                         vec_halves(vec_of_ps(vec_mul_ps(even[v], factor[v])),
                                    vec_of_ps(vec_mul_ps(odd[v], factor[v])), 1, 1));
        }
    }
}

#define PANEL_BF16_KERNEL(name, element)                                                           \
    void name(void *w, const uint8_t *elements, const uint8_t *scales, size_t blocks)              \
    {                                                                                              \
        panel_bf16(w, elements, scales, blocks, &mxq_elements[element]);                           \
    }

PANEL_BF16_KERNEL(mxq_panel_bf16_e4m3_neonbf16, MXQ_E4M3)
PANEL_BF16_KERNEL(mxq_panel_bf16_e5m2_neonbf16, MXQ_E5M2)

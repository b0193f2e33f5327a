/* SPDX-License-Identifier: Apache-2.0 */
/* panel.c -- packed weights to BF16 pairs, NEON with FEAT_BF16. */
#include "neon/vec.h"

#include "lanes/panel.h"

MXQ_INLINE void panel_bf16(void *w, const uint8_t *elements, const uint8_t *scales, size_t blocks,
                           const enum mxq_packed_element element)
{
    unsigned char *to = w;
    for (size_t half = 0; half < 2 * blocks; half++) {
        vec_ps factor[PANEL_VECTORS];
        load_element_factors(factor, scales + half / 2 * mxq_packed_elements[element].scale_bytes,
                             half % 2, element);
        for (size_t pair = 0; pair < MXQ_BLOCK / 4; pair++) {
            vec_ps even[PANEL_VECTORS], odd[PANEL_VECTORS];
            decode_pair(even, odd, elements, element);
            for (size_t v = 0; v < PANEL_VECTORS; v++)
                vst1q_u8(to + v * sizeof(vec),
                         vec_halves(vec_of_ps(vec_mul_ps(even[v], factor[v])),
                                    vec_of_ps(vec_mul_ps(odd[v], factor[v])), 1, 1));
            elements += PAIR_BYTES(element);
            to += PANEL_VECTORS * sizeof(vec);
        }
    }
}

#define PANEL_BF16_KERNEL(name, element)                                                           \
    void name(void *w, const uint8_t *elements, const uint8_t *scales, size_t blocks)              \
    {                                                                                              \
        panel_bf16(w, elements, scales, blocks, element);                                          \
    }

PANEL_BF16_KERNEL(mxq_panel_bf16_e4m3_neonbf16, MXQ_PACKED_E4M3)
PANEL_BF16_KERNEL(mxq_panel_bf16_e5m2_neonbf16, MXQ_PACKED_E5M2)
PANEL_BF16_KERNEL(mxq_panel_bf16_e2m1_neonbf16, MXQ_PACKED_E2M1)
PANEL_BF16_KERNEL(mxq_panel_bf16_nvfp4_neonbf16, MXQ_PACKED_NVFP4)
PANEL_BF16_KERNEL(mxq_panel_bf16_int8_neonbf16, MXQ_PACKED_INT8)

/* SPDX-License-Identifier: Apache-2.0 */
/* panel.c -- packed weights to the operands of the GEMM, the reference. */
#include "scalar/unpack.h"

/* Returns the F32 bits of weight k of output n in a sub-block. */
MXQ_INLINE uint32_t weight(const uint8_t *elements, const uint8_t *scales, size_t k, size_t n,
                           enum mxq_element element)
{
    const size_t pair = k / 2 * MXQ_PANEL + n;
    return unpack_value(elements[2 * pair + k % 2], scales[n], element);
}

MXQ_INLINE void panel_f32(void *w, const uint8_t *elements, const uint8_t *scales, size_t blocks,
                          enum mxq_element element)
{
    for (size_t i = 0; i < blocks * MXQ_PANEL_ELEMENTS; i++) {
        const size_t b = i / MXQ_PANEL_ELEMENTS, k = i / MXQ_PANEL % MXQ_BLOCK, n = i % MXQ_PANEL;
        store_f32_bits(
            w, i, MXQ_F32,
            weight(elements + b * MXQ_PANEL_ELEMENTS, scales + b * MXQ_PANEL, k, n, element));
    }
}

MXQ_INLINE void panel_bf16(void *w, const uint8_t *elements, const uint8_t *scales, size_t blocks,
                           enum mxq_element element)
{
    for (size_t i = 0; i < blocks * MXQ_PANEL_ELEMENTS; i++) {
        const size_t b = i / MXQ_PANEL_ELEMENTS, n = i / 2 % MXQ_PANEL;
        store_f32_bits(w, i, MXQ_BF16,
                       unpack_value(elements[i], scales[b * MXQ_PANEL + n], element));
    }
}

#define PANEL_KERNEL(name, compute, element)                                                       \
    void name(void *w, const uint8_t *elements, const uint8_t *scales, size_t blocks)              \
    {                                                                                              \
        panel_##compute(w, elements, scales, blocks, element);                                     \
    }

PANEL_KERNEL(mxq_panel_f32_e4m3_scalar, f32, MXQ_E4M3)
PANEL_KERNEL(mxq_panel_f32_e5m2_scalar, f32, MXQ_E5M2)
PANEL_KERNEL(mxq_panel_bf16_e4m3_scalar, bf16, MXQ_E4M3)
PANEL_KERNEL(mxq_panel_bf16_e5m2_scalar, bf16, MXQ_E5M2)

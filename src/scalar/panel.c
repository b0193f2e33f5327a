/* SPDX-License-Identifier: Apache-2.0 */
/* panel.c -- packed weights to the operands of the GEMM, the reference. */
#include "scalar/unpack.h"

/* A sub-block of a panel, as it is packed. */
struct packed {
    const uint8_t *elements, *scales;
};

MXQ_INLINE struct packed sub_block(const uint8_t *elements, const uint8_t *scales, size_t b,
                                   enum mxq_packed_element element)
{
    const struct mxq_packed_element_info *info = &mxq_packed_elements[element];
    return (struct packed){elements + b * info->element_bytes, scales + b * info->scale_bytes};
}

/* Returns the code of weight k of output n. */
MXQ_INLINE uint8_t code_of(struct packed p, size_t k, size_t n, enum mxq_packed_element element)
{
    const size_t pair = k / 2 * MXQ_PANEL + n;
    if (mxq_packed_elements[element].element_bytes == MXQ_PANEL_ELEMENTS)
        return p.elements[2 * pair + k % 2];
    return (uint8_t)(p.elements[pair] >> k % 2 * 4 & 0xF);
}

MXQ_INLINE float float_of(uint8_t code, uint8_t scale, enum mxq_element element)
{
    const uint32_t bits = unpack_value(code, scale, element);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Returns the F32 bits of weight k of output n. */
MXQ_INLINE uint32_t weight(struct packed p, size_t k, size_t n, enum mxq_packed_element element)
{
    const uint8_t code = code_of(p, k, n, element);
    if (element != MXQ_PACKED_NVFP4)
        return unpack_value(code, p.scales[n], mxq_packed_elements[element].element);
    const uint8_t scale = p.scales[k / (MXQ_BLOCK / 2) * MXQ_PANEL + n];
    const float product = float_of(code, 127, MXQ_E2M1) * float_of(scale, 127, MXQ_E4M3);
    uint32_t bits;
    memcpy(&bits, &product, sizeof bits);
    return bits;
}

MXQ_INLINE void panel_f32(void *w, const uint8_t *elements, const uint8_t *scales, size_t blocks,
                          enum mxq_packed_element element)
{
    for (size_t i = 0; i < blocks * MXQ_PANEL_ELEMENTS; i++) {
        const size_t b = i / MXQ_PANEL_ELEMENTS, k = i / MXQ_PANEL % MXQ_BLOCK, n = i % MXQ_PANEL;
        store_f32_bits(w, i, MXQ_F32,
                       weight(sub_block(elements, scales, b, element), k, n, element));
    }
}

MXQ_INLINE void panel_bf16(void *w, const uint8_t *elements, const uint8_t *scales, size_t blocks,
                           enum mxq_packed_element element)
{
    for (size_t i = 0; i < blocks * MXQ_PANEL_ELEMENTS; i++) {
        const size_t b = i / MXQ_PANEL_ELEMENTS, n = i / 2 % MXQ_PANEL;
        const size_t k = i % MXQ_PANEL_ELEMENTS / (2 * MXQ_PANEL) * 2 + i % 2;
        store_f32_bits(w, i, MXQ_BF16,
                       weight(sub_block(elements, scales, b, element), k, n, element));
    }
}

/* One sub-block; E2M1 counts in halves. */
MXQ_INLINE void panel_integers(unsigned char *w, struct packed p, enum mxq_packed_element element)
{
    const int is_e2m1 = element == MXQ_PACKED_E2M1;
    for (size_t n = 0; n < MXQ_PANEL; n++) {
        int32_t sum = 0;
        for (size_t k = 0; k < MXQ_BLOCK; k++) {
            const float value =
                float_of(code_of(p, k, n, element), 127, mxq_packed_elements[element].element);
            const int8_t integer = (int8_t)(is_e2m1 ? 2 * value : value);
            w[(k / 4 * MXQ_PANEL + n) * 4 + k % 4] = (unsigned char)integer;
            sum += integer;
        }
        const int32_t correction = -128 * sum;
        const float factor = power_of_two(p.scales[n] - 127 - is_e2m1);
        memcpy(w + MXQ_PANEL_ELEMENTS + 4 * n, &correction, sizeof correction);
        memcpy(w + MXQ_PANEL_ELEMENTS + 4 * (MXQ_PANEL + n), &factor, sizeof factor);
    }
}

MXQ_INLINE void panel_int8(void *w, const uint8_t *elements, const uint8_t *scales, size_t blocks,
                           enum mxq_packed_element element)
{
    for (size_t b = 0; b < blocks; b++)
        panel_integers((unsigned char *)w + b * MXQ_INT8_W_BYTES,
                       sub_block(elements, scales, b, element), element);
}

#define PANEL_KERNEL(name, compute, element)                                                       \
    void name(void *w, const uint8_t *elements, const uint8_t *scales, size_t blocks)              \
    {                                                                                              \
        panel_##compute(w, elements, scales, blocks, element);                                     \
    }

PANEL_KERNEL(mxq_panel_f32_e4m3_scalar, f32, MXQ_PACKED_E4M3)
PANEL_KERNEL(mxq_panel_f32_e5m2_scalar, f32, MXQ_PACKED_E5M2)
PANEL_KERNEL(mxq_panel_f32_e2m1_scalar, f32, MXQ_PACKED_E2M1)
PANEL_KERNEL(mxq_panel_f32_nvfp4_scalar, f32, MXQ_PACKED_NVFP4)
PANEL_KERNEL(mxq_panel_f32_int8_scalar, f32, MXQ_PACKED_INT8)
PANEL_KERNEL(mxq_panel_bf16_e4m3_scalar, bf16, MXQ_PACKED_E4M3)
PANEL_KERNEL(mxq_panel_bf16_e5m2_scalar, bf16, MXQ_PACKED_E5M2)
PANEL_KERNEL(mxq_panel_bf16_e2m1_scalar, bf16, MXQ_PACKED_E2M1)
PANEL_KERNEL(mxq_panel_bf16_nvfp4_scalar, bf16, MXQ_PACKED_NVFP4)
PANEL_KERNEL(mxq_panel_bf16_int8_scalar, bf16, MXQ_PACKED_INT8)
PANEL_KERNEL(mxq_panel_int8_e2m1_scalar, int8, MXQ_PACKED_E2M1)
PANEL_KERNEL(mxq_panel_int8_int8_scalar, int8, MXQ_PACKED_INT8)

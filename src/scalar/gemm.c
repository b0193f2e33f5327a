/* SPDX-License-Identifier: Apache-2.0 */
/* gemm.c -- the dequantize-accumulate GEMM microkernel, the reference: the canonical order in fmaf(). */
#include <math.h>

#include "scalar/unpack.h"

MXQ_INLINE float value(const void *values, size_t i, enum mxq_type type)
{
    const uint32_t bits = load_f32_bits(values, i, type);
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* Returns the position of weight k of output n in a sub-block of a panel. */
MXQ_INLINE size_t position(size_t k, size_t n, enum mxq_type compute)
{
    return compute == MXQ_F32 ? k * MXQ_PANEL + n : (k / 2 * MXQ_PANEL + n) * 2 + k % 2;
}

/* Returns the dot of one sub-block: the even and the odd chain, and their sum. */
MXQ_INLINE float dot(const void *x, const void *w, size_t n, enum mxq_type compute)
{
    float chain[2] = {0, 0};
    for (size_t k = 0; k < MXQ_BLOCK; k++)
        chain[k % 2] =
            fmaf(value(x, k, compute), value(w, position(k, n, compute), compute), chain[k % 2]);
    return chain[0] + chain[1];
}

MXQ_INLINE void gemm(float *y, size_t y_stride, const void *x, size_t x_stride_bytes, const void *w,
                     size_t w_stride_bytes, size_t rows, size_t panels, size_t blocks,
                     enum mxq_type compute)
{
    const size_t bytes = compute == MXQ_F32 ? 4 : 2;
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < panels * MXQ_PANEL; i++)
            for (size_t b = 0; b < blocks; b++)
                y[r * y_stride + i] +=
                    dot((const char *)x + r * x_stride_bytes + b * MXQ_BLOCK * bytes,
                        (const char *)w + i / MXQ_PANEL * w_stride_bytes +
                            b * MXQ_PANEL_ELEMENTS * bytes,
                        i % MXQ_PANEL, compute);
}

void mxq_gemm_f32_scalar(float *y, size_t y_stride, const void *x, size_t x_stride_bytes,
                         const void *w, size_t w_stride_bytes, size_t rows, size_t panels,
                         size_t blocks)
{
    gemm(y, y_stride, x, x_stride_bytes, w, w_stride_bytes, rows, panels, blocks, MXQ_F32);
}

void mxq_gemm_bf16_scalar(float *y, size_t y_stride, const void *x, size_t x_stride_bytes,
                          const void *w, size_t w_stride_bytes, size_t rows, size_t panels,
                          size_t blocks)
{
    gemm(y, y_stride, x, x_stride_bytes, w, w_stride_bytes, rows, panels, blocks, MXQ_BF16);
}

MXQ_INLINE int32_t int32_at(const unsigned char *p)
{
    int32_t value;
    memcpy(&value, p, sizeof value);
    return value;
}

/* Returns the exact dot of a sub-block, of output n. */
MXQ_INLINE int32_t integer_dot(const unsigned char *x, const unsigned char *w, size_t n)
{
    int32_t sum = int32_at(w + MXQ_PANEL_ELEMENTS + 4 * n); /* takes the 128 of x away */
    for (size_t k = 0; k < MXQ_BLOCK; k++)
        sum += x[k] * (int8_t)w[(k / 4 * MXQ_PANEL + n) * 4 + k % 4];
    return sum;
}

void mxq_gemm_int8_scalar(float *y, size_t y_stride, const void *x, size_t x_stride_bytes,
                          const void *w, size_t w_stride_bytes, size_t rows, size_t panels,
                          size_t blocks)
{
    for (size_t i = 0; i < rows * panels * MXQ_PANEL; i++) {
        const size_t r = i / (panels * MXQ_PANEL), n = i % (panels * MXQ_PANEL);
        const unsigned char *values = (const unsigned char *)x + r * x_stride_bytes;
        const unsigned char *weights = (const unsigned char *)w + n / MXQ_PANEL * w_stride_bytes;
        float *sum = &y[r * y_stride + n];
        for (size_t b = 0; b < blocks; b++) {
            const float product =
                value(values + MXQ_BLOCK, 0, MXQ_F32) *
                value(weights + MXQ_PANEL_ELEMENTS, MXQ_PANEL + n % MXQ_PANEL, MXQ_F32);
            *sum = fmaf((float)integer_dot(values, weights, n % MXQ_PANEL), product, *sum);
            values += MXQ_INT8_X_BYTES;
            weights += MXQ_INT8_W_BYTES;
        }
    }
}

MXQ_INLINE void gemm_fused(float *y, size_t y_stride, const void *x, size_t x_stride_bytes,
                           const uint8_t *elements, const uint8_t *scales, size_t panel_bytes,
                           size_t rows, size_t panels, size_t blocks,
                           enum mxq_packed_element element, enum mxq_type compute)
{
    const struct mxq_packed_element_info *info = &mxq_packed_elements[element];
    const size_t bytes = compute == MXQ_F32 ? 4 : 2;
    uint8_t ones[MXQ_PANEL];
    float w[MXQ_PANEL_ELEMENTS];
    memset(ones, 127, sizeof ones);
    for (size_t p = 0; p < panels; p++)
        for (size_t b = 0; b < blocks; b++) {
            const uint8_t *own = scales + p * panel_bytes + b * info->scale_bytes;
            const int is_scaled = element == MXQ_PACKED_NVFP4;
            mxq_kernels_scalar.panel[element][compute](
                w, elements + p * panel_bytes + b * info->element_bytes, is_scaled ? own : ones, 1);
            for (size_t i = 0; i < rows * MXQ_PANEL; i++) {
                const size_t r = i / MXQ_PANEL, n = i % MXQ_PANEL;
                const char *values = (const char *)x + r * x_stride_bytes + b * MXQ_BLOCK * bytes;
                float *sum = &y[r * y_stride + p * MXQ_PANEL + n];
                *sum = fmaf(dot(values, w, n, compute), is_scaled ? 1 : power_of_two(own[n] - 127),
                            *sum);
            }
        }
}

#define GEMM_FUSED_KERNEL(name, element, compute)                                                  \
    void name(float *y, size_t y_stride, const void *x, size_t x_stride_bytes,                     \
              const uint8_t *elements, const uint8_t *scales, size_t panel_bytes, size_t rows,     \
              size_t panels, size_t blocks)                                                        \
    {                                                                                              \
        gemm_fused(y, y_stride, x, x_stride_bytes, elements, scales, panel_bytes, rows, panels,    \
                   blocks, element, compute);                                                      \
    }

GEMM_FUSED_KERNEL(mxq_gemm_f32_e4m3_scalar, MXQ_PACKED_E4M3, MXQ_F32)
GEMM_FUSED_KERNEL(mxq_gemm_f32_e5m2_scalar, MXQ_PACKED_E5M2, MXQ_F32)
GEMM_FUSED_KERNEL(mxq_gemm_f32_e2m1_scalar, MXQ_PACKED_E2M1, MXQ_F32)
GEMM_FUSED_KERNEL(mxq_gemm_f32_nvfp4_scalar, MXQ_PACKED_NVFP4, MXQ_F32)
GEMM_FUSED_KERNEL(mxq_gemm_f32_int8_scalar, MXQ_PACKED_INT8, MXQ_F32)
GEMM_FUSED_KERNEL(mxq_gemm_bf16_e4m3_scalar, MXQ_PACKED_E4M3, MXQ_BF16)
GEMM_FUSED_KERNEL(mxq_gemm_bf16_e5m2_scalar, MXQ_PACKED_E5M2, MXQ_BF16)
GEMM_FUSED_KERNEL(mxq_gemm_bf16_e2m1_scalar, MXQ_PACKED_E2M1, MXQ_BF16)
GEMM_FUSED_KERNEL(mxq_gemm_bf16_nvfp4_scalar, MXQ_PACKED_NVFP4, MXQ_BF16)
GEMM_FUSED_KERNEL(mxq_gemm_bf16_int8_scalar, MXQ_PACKED_INT8, MXQ_BF16)

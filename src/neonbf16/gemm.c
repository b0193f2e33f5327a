/* SPDX-License-Identifier: Apache-2.0 */
/* gemm.c -- the BF16 GEMM microkernel, NEON with FEAT_BF16.
 *
 * BFMLALB multiplies the even values of vectors of BF16 pairs, BFMLALT the odd ones, and each adds its
 * products to F32 with one rounding: the two chains of the canonical order.  BFDOT and BFMMLA add both
 * products of a pair at once, round to odd and flush: they cannot follow it. */
#include "neon/vec.h"

#include "kernels.h"

/* 3 rows x 4 vectors x 2 chains are 24 of 32 registers; 4 hold weights, 3 hold x. */
#define ROWS    3
#define VECTORS (MXQ_PANEL / VEC_LANES)

MXQ_INLINE bfloat16x8_t load_bf16(const unsigned char *p)
{
    return vreinterpretq_bf16_u8(vld1q_u8(p));
}

/* Pair `pair` of the four that value[] holds: the instructions name a lane of x by a constant. */
#define MULTIPLY_PAIR(pair)                                                                        \
    for (size_t v = 0; v < VECTORS; v++) {                                                         \
        const bfloat16x8_t weight = load_bf16(w + ((pair)*VECTORS + v) * sizeof(vec));             \
        for (size_t r = 0; r < rows; r++) {                                                        \
            even[r][v] = vbfmlalbq_laneq_f32(even[r][v], weight, value[r], 2 * (pair));            \
            odd[r][v] = vbfmlaltq_laneq_f32(odd[r][v], weight, value[r], 2 * (pair) + 1);          \
        }                                                                                          \
    }

MXQ_INLINE void gemm_tile(float *y, size_t y_stride, const unsigned char *x, size_t x_stride_bytes,
                          const unsigned char *w, size_t blocks, const size_t rows)
{
    for (size_t b = 0; b < blocks; b++) {
        vec_ps even[ROWS][VECTORS], odd[ROWS][VECTORS];
        for (size_t r = 0; r < rows; r++)
            for (size_t v = 0; v < VECTORS; v++)
                even[r][v] = odd[r][v] = vec_zero_ps();
        for (size_t eight = 0; eight < MXQ_BLOCK / 8; eight++) {
            bfloat16x8_t value[ROWS];
            for (size_t r = 0; r < rows; r++)
                value[r] = load_bf16(x + r * x_stride_bytes);
            MULTIPLY_PAIR(0)
            MULTIPLY_PAIR(1)
            MULTIPLY_PAIR(2)
            MULTIPLY_PAIR(3)
            x += 8 * sizeof(uint16_t);
            w += 8 * MXQ_PANEL * sizeof(uint16_t);
        }
        for (size_t r = 0; r < rows; r++)
            for (size_t v = 0; v < VECTORS; v++) {
                float *to = y + r * y_stride + v * VEC_LANES;
                const vec_ps dot = vec_add_ps(even[r][v], odd[r][v]);
                vec_store_ps(to, vec_add_ps(vec_load_ps(to), dot));
            }
    }
}

void mxq_gemm_bf16_neonbf16(float *y, size_t y_stride, const void *x, size_t x_stride_bytes,
                            const void *w, size_t w_stride_bytes, size_t rows, size_t panels,
                            size_t blocks)
{
    for (size_t p = 0; p < panels; p++) {
        const unsigned char *weights = (const unsigned char *)w + p * w_stride_bytes;
        const unsigned char *values = x;
        float *to = y + p * MXQ_PANEL;
        size_t r = 0;
        for (; rows - r >= ROWS; r += ROWS)
            gemm_tile(to + r * y_stride, y_stride, values + r * x_stride_bytes, x_stride_bytes,
                      weights, blocks, ROWS);
        if (rows - r == 2)
            gemm_tile(to + r * y_stride, y_stride, values + r * x_stride_bytes, x_stride_bytes,
                      weights, blocks, 2);
        else if (rows - r == 1)
            gemm_tile(to + r * y_stride, y_stride, values + r * x_stride_bytes, x_stride_bytes,
                      weights, blocks, 1);
    }
}

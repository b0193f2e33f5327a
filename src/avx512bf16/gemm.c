/* SPDX-License-Identifier: Apache-2.0 */
/* gemm.c -- the GEMM microkernel with VDPBF16PS, AVX512-BF16 column.
 *
 * VDPBF16PS adds the product of the upper halves, then that of the lower ones, as two FMAs.  So a lane
 * that holds k and k + 2 in this order takes two steps of a chain: x comes in that order (tile.x_order),
 * and pairs of rows of w are paired anew here, once for all rows of the tile.
 *
 * A tile is 6 rows x 2 panels: 24 chains, 4 operands w and one x are 29 of 32 registers.  Per FMA pipe and
 * cycle it loads less than 12 rows x 1 panel, each x for two products, and that is what decides: both pipes
 * take a VDPBF16PS every cycle, and there are two loads. */
#include "avx512/vec.h"

#include "lanes/group.h"
#include "unroll.h"

#define ROWS   6
#define PANELS 2

#define X_QUAD  8               /* bytes of four values of x */
#define W_PAIR  (4 * MXQ_PANEL) /* bytes of a pair of k */
#define W_BLOCK (16 * W_PAIR)   /* bytes of a sub-block */
#define X_BLOCK (2 * MXQ_BLOCK)

/* The same two FMAs, flushing as the instruction does. */
#if defined(MXQ_EMULATED)
#include <math.h>

static float flush(float f)
{
    return fabsf(f) < 0x1p-126F ? copysignf(0, f) : f;
}

static float half(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return flush(f);
}

static vec_ps dot_pairs(vec_ps sum, vec x, vec w)
{
    float s[16];
    uint32_t a[16], b[16];
    vec_store_ps(s, sum);
    vec_store(a, x);
    vec_store(b, w);
    for (int i = 0; i < 16; i++) {
        s[i] = flush(fmaf(half(a[i] & 0xFFFF0000), half(b[i] & 0xFFFF0000), flush(s[i])));
        s[i] = flush(fmaf(half(a[i] << 16), half(b[i] << 16), s[i]));
    }
    return vec_load_ps(s);
}
#else
MXQ_INLINE vec_ps dot_pairs(vec_ps sum, vec x, vec w)
{
    return _mm512_dpbf16_ps(sum, (__m512bh)x, (__m512bh)w);
}
#endif

MXQ_INLINE vec broadcast_pair(const unsigned char *p)
{
    int pair;
    memcpy(&pair, p, sizeof pair);
    return _mm512_set1_epi32(pair);
}

/* The rows of pairs (k, k + 1) and (k + 2, k + 3) to (k, k + 2) and (k + 1, k + 3). */
MXQ_INLINE void pair_anew(vec *even, vec *odd, const unsigned char *w)
{
    const vec first = vec_load(w), second = vec_load(w + W_PAIR);
    *even = _mm512_mask_blend_epi16(0x55555555, vec_sll(first, 16), second);
    *odd = _mm512_mask_blend_epi16(0x55555555, first, vec_srl(second, 16));
}

MXQ_INLINE void gemm_tile(float *y, size_t y_stride, const unsigned char *x, size_t x_stride,
                          const unsigned char *w, size_t w_stride, size_t blocks, const size_t rows,
                          const size_t panels)
{
    for (size_t b = 0; b < blocks; b++) {
        vec_ps even[ROWS * PANELS], odd[ROWS * PANELS];
        UNROLL
        for (size_t i = 0; i < rows * panels; i++)
            even[i] = odd[i] = vec_zero_ps();
        for (size_t quad = 0; quad < MXQ_BLOCK / 4; quad++) {
            vec w_even[PANELS], w_odd[PANELS];
            UNROLL
            for (size_t p = 0; p < panels; p++)
                pair_anew(&w_even[p], &w_odd[p], w + p * w_stride + 2 * quad * W_PAIR);
            UNROLL
            for (size_t i = 0; i < rows * panels; i++) {
                const unsigned char *values = x + i / panels * x_stride + quad * X_QUAD;
                even[i] = dot_pairs(even[i], broadcast_pair(values), w_even[i % panels]);
                odd[i] = dot_pairs(odd[i], broadcast_pair(values + 4), w_odd[i % panels]);
            }
        }
        UNROLL
        for (size_t i = 0; i < rows * panels; i++) {
            float *to = y + i / panels * y_stride + i % panels * MXQ_PANEL;
            vec_store_ps(to, vec_add_ps(vec_load_ps(to), vec_add_ps(even[i], odd[i])));
        }
        x += X_BLOCK;
        w += W_BLOCK;
    }
}

#define GEMM_TILE(n)                                                                               \
    case n:                                                                                        \
        gemm_tile(y, y_stride, x, x_stride, w, w_stride, blocks, n, panels);                       \
        break

/* Whole tiles, then one with the rows that are left. */
MXQ_INLINE void gemm_rows(float *y, size_t y_stride, const unsigned char *x, size_t x_stride,
                          const unsigned char *w, size_t w_stride, size_t rows, size_t blocks,
                          const size_t panels)
{
    for (; rows >= ROWS; rows -= ROWS) {
        gemm_tile(y, y_stride, x, x_stride, w, w_stride, blocks, ROWS, panels);
        y += ROWS * y_stride;
        x += ROWS * x_stride;
    }
    switch (rows) {
        GEMM_TILE(1);
        GEMM_TILE(2);
        GEMM_TILE(3);
        GEMM_TILE(4);
        GEMM_TILE(5);
    }
}

void mxq_gemm_bf16_avx512bf16(float *y, size_t y_stride, const void *x, size_t x_stride_bytes,
                              const void *w, size_t w_stride_bytes, size_t rows, size_t panels,
                              size_t blocks)
{
    if (panels == PANELS)
        gemm_rows(y, y_stride, x, x_stride_bytes, w, w_stride_bytes, rows, blocks, PANELS);
    else
        gemm_rows(y, y_stride, x, x_stride_bytes, w, w_stride_bytes, rows, blocks, 1);
}

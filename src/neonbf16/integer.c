/* SPDX-License-Identifier: Apache-2.0 */
/* integer.c -- gemm of small integers with SDOT, NEON with FEAT_DotProd.
 *
 * The instruction adds four products of signed bytes to 32 bits: 16 products, where FMLA does 4.  A tile is 4 rows
 * x 1 panel: 16 sums are as many as four units with a latency of four cycles ask for. */
#include "neon/bytes.h"

#define GEMM_ROWS   4
#define GEMM_PANELS 2
#define SUM_PANELS  1

#include "lanes/integer.h"

MXQ_INLINE void add_products(vec *sums, const unsigned char *x, size_t x_stride,
                             const unsigned char *w, size_t w_stride, const size_t rows,
                             const size_t panels)
{
    (void)w_stride;
    (void)panels; /* one */
    for (size_t quad = 0; quad < QUADS; quad++) {
        int8x16_t weight[DOT_VECTORS];
        __asm__("" : "+r"(quad)); /* no more unrolling: gcc 12 would load all of w first */
        UNROLL
        for (size_t v = 0; v < DOT_VECTORS; v++)
            weight[v] = load_weights(w, quad, v);
        UNROLL
        for (size_t i = 0; i < rows * DOT_VECTORS; i++)
            sums[i] = vreinterpretq_u32_s32(
                vdotq_s32(vec_as_s32(sums[i]), weight[i % DOT_VECTORS],
                          broadcast_quad(x + i / DOT_VECTORS * x_stride + 4 * quad)));
    }
}

GEMM_KERNEL(mxq_gemm_int8_neonbf16)

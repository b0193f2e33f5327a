/* SPDX-License-Identifier: Apache-2.0 */
/* gemm.h -- the dequantize-accumulate GEMM microkernels, written once over vec.h.
 *
 * A tile is some rows of x times some panels of w.  While a sub-block runs, the even and the odd chain
 * of each output of the tile stay in registers; y is read and written once for each sub-block, in L1.
 * Loops over a tile have constant bounds and must be unrolled, for registers have no index.
 *
 * An instruction set gives what panel.h names, and the sizes that tiles.h names. */
#ifndef MXQ_LANES_GEMM_H
#define MXQ_LANES_GEMM_H

#include "lanes/panel.h"
#include "lanes/tiles.h"

#define GEMM_VECTORS (GEMM_PANELS * PANEL_VECTORS)
#define VEC_BYTES    (VEC_LANES * sizeof(float))
#define ROW_BYTES    (MXQ_PANEL * sizeof(float)) /* of a k of w */

/* ------------------------------------ Operands of F32 in L1 ------------------------------------ */

MXQ_INLINE void gemm_tile(float *y, size_t y_stride, const unsigned char *x, size_t x_stride,
                          const unsigned char *w, size_t w_stride, size_t blocks, const size_t rows,
                          const size_t panels)
{
    const size_t vectors = panels * PANEL_VECTORS;
    for (size_t b = 0; b < blocks; b++) {
        vec_ps chains[2][GEMM_ROWS * GEMM_VECTORS]; /* even, odd */
        UNROLL
        for (size_t i = 0; i < rows * vectors; i++)
            chains[0][i] = chains[1][i] = vec_zero_ps();
        for (size_t k = b * MXQ_BLOCK; k < (b + 1) * MXQ_BLOCK; k += 2) {
            UNROLL
            for (size_t odd = 0; odd < 2; odd++) {
                const unsigned char *row = w + (k + odd) * ROW_BYTES;
                vec_ps weight[GEMM_VECTORS];
                UNROLL
                for (size_t v = 0; v < vectors; v++)
                    weight[v] = vec_load_ps(row + v / PANEL_VECTORS * w_stride +
                                            v % PANEL_VECTORS * VEC_BYTES);
                UNROLL
                for (size_t i = 0; i < rows * vectors; i++)
                    chains[odd][i] = vec_fma_ps(
                        vec_broadcast_ps(x + i / vectors * x_stride + (k + odd) * sizeof(float)),
                        weight[i % vectors], chains[odd][i]);
            }
        }
        UNROLL
        for (size_t i = 0; i < rows * vectors; i++) {
            float *to = y + i / vectors * y_stride + i % vectors * VEC_LANES;
            const vec_ps dot = vec_add_ps(chains[0][i], chains[1][i]);
            vec_store_ps(to, vec_add_ps(vec_load_ps(to), dot));
        }
    }
}

/* --------------------------------- Packed weights, in registers -------------------------------- */

/* Decoded weights are as small as 2^-129: x is made larger by this, so that products stay exact. */
#define FUSED_X_SHIFT 100

/* Copies a sub-block of some rows: next to each other they need one address register, not many. */
MXQ_INLINE void load_rows(float values[FUSED_ROWS][MXQ_BLOCK], const unsigned char *x,
                          size_t x_stride, const size_t rows)
{
    const vec_ps factor = vec_as_ps(vec_set1((uint32_t)(127 + FUSED_X_SHIFT) << 23));
    UNROLL
    for (size_t i = 0; i < rows * MXQ_BLOCK; i += VEC_LANES) {
        const size_t r = i / MXQ_BLOCK, k = i % MXQ_BLOCK;
        const unsigned char *from = x + r * x_stride + k * sizeof(float);
        vec_store_ps(values[r] + k, vec_mul_ps(vec_load_ps(from), factor));
    }
}

/* y += dots * 2^(scale - 127), for one row and one panel. */
MXQ_INLINE void add_scaled(float *y, const vec_ps *even, const vec_ps *odd, const vec_ps *factor)
{
    vec_ps dot[PANEL_VECTORS];
    UNROLL
    for (size_t v = 0; v < PANEL_VECTORS; v++)
        dot[v] = vec_mul_ps(vec_add_ps(even[v], odd[v]), factor[v]);
    vec_order(dot);
    UNROLL
    for (size_t v = 0; v < PANEL_VECTORS; v++)
        vec_store_ps(y + v * VEC_LANES, vec_add_ps(vec_load_ps(y + v * VEC_LANES), dot[v]));
}

MXQ_INLINE void fused_tile(float *y, size_t y_stride, const unsigned char *x, size_t x_stride,
                           struct packed_panels w, size_t blocks, const size_t rows,
                           const size_t panels, const struct mxq_element_info *e)
{
    enum { V = PANEL_VECTORS };
    for (size_t b = 0; b < blocks; b++) {
        float values[FUSED_ROWS][MXQ_BLOCK];
        vec_ps chains[2][FUSED_SUMS]; /* even, odd */
        load_rows(values, x + b * MXQ_BLOCK * sizeof(float), x_stride, rows);
        UNROLL
        for (size_t i = 0; i < rows * panels * V; i++)
            chains[0][i] = chains[1][i] = vec_zero_ps();
        for (size_t line = 0; line < MXQ_PANEL_ELEMENTS; line += 64) {
            UNROLL
            for (size_t i = 0; i < panels * 64; i += PAIR_BYTES) {
                /* Pair by pair, so that the panels' chains take turns. */
                const size_t p = i / PAIR_BYTES % panels, pair = i / PAIR_BYTES / panels;
                const size_t k = line / MXQ_PANEL + 2 * pair;
                const uint8_t *codes =
                    w.elements + p * w.panel_bytes + b * MXQ_PANEL_ELEMENTS + line;
                vec_ps weight[2][V];
                if (pair == 0)
                    __builtin_prefetch((const void *)((uintptr_t)codes + FUSED_PREFETCH));
                vec_decode_pair(weight[0], weight[1], codes + pair * PAIR_BYTES, e->mantissa_bits);
                UNROLL
                for (size_t j = 0; j < 2 * rows * V; j++) {
                    const size_t odd = j % 2, v = j / 2 % V, r = j / 2 / V;
                    const size_t sum = (r * panels + p) * V + v;
                    chains[odd][sum] = vec_fma_ps(vec_broadcast_ps(values[r] + k + odd),
                                                  weight[odd][v], chains[odd][sum]);
                }
            }
        }
        UNROLL
        for (size_t p = 0; p < panels; p++) {
            vec_ps factor[V];
            load_factors(factor, w.scales + p * w.panel_bytes + b * MXQ_PANEL,
                         PAIR_SHIFT(e) - FUSED_X_SHIFT);
            UNROLL
            for (size_t r = 0; r < rows; r++)
                add_scaled(y + r * y_stride + p * MXQ_PANEL, chains[0] + (r * panels + p) * V,
                           chains[1] + (r * panels + p) * V, factor);
        }
    }
}

#endif

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

#define VEC_BYTES (VEC_LANES * sizeof(float))
#define ROW_BYTES (MXQ_PANEL * sizeof(float)) /* of a k of w */

/* ------------------------------------ Operands of F32 in L1 ------------------------------------ */

#if defined(GEMM_ROWS)
#define GEMM_VECTORS (GEMM_PANELS * PANEL_VECTORS)

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

#endif

/* --------------------------------- Packed weights, in registers -------------------------------- */

/* Decoded weights are as small as 2^-129: x is made larger by this, so that products stay exact. */
#define FUSED_X_SHIFT(element) ((element) != MXQ_PACKED_NVFP4 && PAIR_SHIFT(element) ? 100 : 0)

/* A file whose x is of another type has its own load_x(). */
#if FUSED_X_BYTES == 4
MXQ_INLINE void load_x(float values[MXQ_BLOCK], const unsigned char *x, vec_ps factor)
{
    UNROLL
    for (size_t k = 0; k < MXQ_BLOCK; k += VEC_LANES)
        vec_store_ps(values + k, vec_mul_ps(vec_load_ps(x + k * sizeof(float)), factor));
}
#endif

/* Copies a sub-block of some rows: next to each other they need one address register, not many. */
MXQ_INLINE void load_rows(float values[FUSED_ROWS][MXQ_BLOCK], const unsigned char *x,
                          size_t x_stride, const size_t rows, const int shift)
{
    const vec_ps factor = vec_as_ps(vec_set1((uint32_t)(127 + shift) << 23));
    UNROLL
    for (size_t r = 0; r < rows; r++)
        load_x(values[r], x + r * x_stride, factor);
}

/* y += dots * factor, for one row and one panel. */
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

/* One pair of k of a panel.  NVFP4 is multiplied by its scales here, for they are no powers of two. */
MXQ_INLINE void load_weights(vec_ps weight[2][PANEL_VECTORS], const uint8_t *codes,
                             const vec_ps *factor, const enum mxq_packed_element element)
{
    decode_pair(weight[0], weight[1], codes, element);
    UNROLL
    for (size_t i = 0; i < 2 * PANEL_VECTORS; i++)
        if (element == MXQ_PACKED_NVFP4)
            weight[i % 2][i / 2] = vec_mul_ps(weight[i % 2][i / 2], factor[i / 2]);
}

/* 64 bytes of codes of each panel: some pairs of k. */
MXQ_INLINE void fused_line(vec_ps chains[2][FUSED_SUMS], float values[FUSED_ROWS][MXQ_BLOCK],
                           struct packed_panels w, size_t line, struct ahead ahead,
                           const size_t rows, const size_t panels,
                           const enum mxq_packed_element element)
{
    enum { V = PANEL_VECTORS };
    vec_ps factors[4][V];
    UNROLL
    for (size_t p = 0; p < panels; p++)
        if (element == MXQ_PACKED_NVFP4)
            load_element_factors(factors[p], w.scales + p * w.panel_bytes,
                                 line / (BARE_BYTES(element) / 2), element);
    UNROLL
    for (size_t i = 0; i < panels * 64; i += PAIR_BYTES(element)) {
        /* Pair by pair, so that the panels' chains take turns. */
        const size_t p = i / PAIR_BYTES(element) % panels, pair = i / PAIR_BYTES(element) / panels;
        const size_t k = 2 * (line / PAIR_BYTES(element) + pair);
        const uint8_t *codes = w.elements + p * w.panel_bytes + line;
        vec_ps weight[2][V];
        if (pair == 0)
            ask_for(codes, ahead.elements);
        load_weights(weight, codes + pair * PAIR_BYTES(element), factors[p], element);
        UNROLL
        for (size_t j = 0; j < 2 * rows * V; j++) {
            const size_t odd = j % 2, v = j / 2 % V, r = j / 2 / V;
            const size_t sum = (r * panels + p) * V + v;
            chains[odd][sum] =
                vec_fma_ps(vec_broadcast_ps(values[r] + k + odd), weight[odd][v], chains[odd][sum]);
        }
    }
}

MXQ_INLINE void fused_tile(float *y, size_t y_stride, const unsigned char *x, size_t x_stride,
                           struct packed_panels w, size_t blocks, struct ahead ahead,
                           const size_t rows, const size_t panels,
                           const enum mxq_packed_element element)
{
    enum { V = PANEL_VECTORS };
    for (size_t b = 0; b < blocks; b++) {
        float values[FUSED_ROWS][MXQ_BLOCK];
        vec_ps chains[2][FUSED_SUMS]; /* even, odd */
        load_rows(values, x, x_stride, rows, FUSED_X_SHIFT(element));
        ask_for_scales(w, ahead, panels);
        UNROLL
        for (size_t i = 0; i < rows * panels * V; i++)
            chains[0][i] = chains[1][i] = vec_zero_ps();
        for (size_t line = 0; line < BARE_BYTES(element); line += 64)
            fused_line(chains, values, w, line, ahead, rows, panels, element);
        UNROLL
        for (size_t p = 0; p < panels; p++) {
            vec_ps factor[V];
            if (element == MXQ_PACKED_NVFP4)
                for (size_t v = 0; v < V; v++)
                    factor[v] = vec_as_ps(vec_set1(UINT32_C(127) << 23));
            else
                load_factors(factor, w.scales + p * w.panel_bytes,
                             PAIR_SHIFT(element) - FUSED_X_SHIFT(element));
            UNROLL
            for (size_t r = 0; r < rows; r++)
                add_scaled(y + r * y_stride + p * MXQ_PANEL, chains[0] + (r * panels + p) * V,
                           chains[1] + (r * panels + p) * V, factor);
        }
        x += MXQ_BLOCK * FUSED_X_BYTES;
        w.elements += BARE_BYTES(element);
        w.scales += mxq_packed_elements[element].scale_bytes;
    }
}

#endif

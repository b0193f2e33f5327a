/* SPDX-License-Identifier: Apache-2.0 */
/* gemm.h -- the dequantize-accumulate GEMM microkernels, written once over vec.h.
 *
 * A tile is some rows of x times some panels of w.  While a sub-block runs, the even and the odd chain
 * of each output of the tile stay in registers; y is read and written once for each sub-block, in L1.
 * Loops over a tile have constant bounds and must be unrolled, for registers have no index.
 *
 * An instruction set gives, besides what panel.h names:
 *
 *   GEMM_ROWS GEMM_PANELS  the tile of gemm_f32
 *   FUSED_ROWS             rows of the largest tile of gemm_fused
 *   FUSED_PANELS(rows)     how many panels its tiles have
 *   FUSED_SUMS             output vectors of the largest one */
#ifndef MXQ_LANES_GEMM_H
#define MXQ_LANES_GEMM_H

#include "lanes/panel.h"
#include "unroll.h"

#define GEMM_VECTORS (GEMM_PANELS * PANEL_VECTORS)

/* ------------------------------------ Operands of F32 in L1 ------------------------------------ */

MXQ_INLINE void gemm_tile(float *y, size_t y_stride, const float *x, size_t x_stride,
                          const float *w, size_t w_stride, size_t blocks, const size_t rows,
                          const size_t panels)
{
    const size_t vectors = panels * PANEL_VECTORS;
    for (size_t b = 0; b < blocks; b++) {
        vec_ps chains[2][GEMM_ROWS * GEMM_VECTORS]; /* even, odd */
        UNROLL
        for (size_t i = 0; i < rows * vectors; i++)
            chains[0][i] = chains[1][i] = vec_zero_ps();
        const size_t end = (b + 1) * MXQ_BLOCK;
        for (size_t k = b * MXQ_BLOCK; k < end; k += 2)
            UNROLL
        for (size_t odd = 0; odd < 2; odd++) {
            vec_ps weight[GEMM_VECTORS];
            UNROLL
            for (size_t v = 0; v < vectors; v++)
                weight[v] = vec_load_ps(w + v / PANEL_VECTORS * w_stride + (k + odd) * MXQ_PANEL +
                                        v % PANEL_VECTORS * VEC_LANES);
            UNROLL
            for (size_t i = 0; i < rows * vectors; i++)
                chains[odd][i] = vec_fma_ps(vec_broadcast_ps(x + i / vectors * x_stride + k + odd),
                                            weight[i % vectors], chains[odd][i]);
        }
        UNROLL
        for (size_t i = 0; i < rows * vectors; i++) {
            float *to = y + i / vectors * y_stride + i % vectors * VEC_LANES;
            const vec_ps dot = vec_add_ps(chains[0][i], chains[1][i]);
            vec_store_ps(to, vec_add_ps(vec_load_ps(to), dot));
        }
    }
}

#define GEMM_TILE(n)                                                                               \
    case n:                                                                                        \
        gemm_tile(y, y_stride, x, x_stride, w, w_stride, blocks, n, panels);                       \
        break

/* All rows against some panels: whole tiles, then one with the rows that are
 * left. */
MXQ_INLINE void gemm_rows(float *y, size_t y_stride, const float *x, size_t x_stride,
                          const float *w, size_t w_stride, size_t rows, size_t blocks,
                          const size_t panels)
{
    for (; rows >= GEMM_ROWS; rows -= GEMM_ROWS) {
        gemm_tile(y, y_stride, x, x_stride, w, w_stride, blocks, GEMM_ROWS, panels);
        y += GEMM_ROWS * y_stride;
        x += GEMM_ROWS * x_stride;
    }
    switch (rows) {
        GEMM_TILE(1);
        GEMM_TILE(2);
#if GEMM_ROWS > 3
        GEMM_TILE(3);
        GEMM_TILE(4);
        GEMM_TILE(5);
#endif
    }
}

#define GEMM_F32_KERNEL(name)                                                                      \
    void name(float *y, size_t y_stride, const void *x, size_t x_stride_bytes, const void *w,      \
              size_t w_stride_bytes, size_t rows, size_t panels, size_t blocks)                    \
    {                                                                                              \
        const size_t x_stride = x_stride_bytes / sizeof(float);                                    \
        const size_t w_stride = w_stride_bytes / sizeof(float);                                    \
        if (panels == GEMM_PANELS)                                                                 \
            gemm_rows(y, y_stride, x, x_stride, w, w_stride, rows, blocks, GEMM_PANELS);           \
        else                                                                                       \
            gemm_rows(y, y_stride, x, x_stride, w, w_stride, rows, blocks, 1);                     \
    }

/* --------------------------------- Packed weights, in registers -------------------------------- */

/* How far ahead of a panel's codes to ask for the next ones, so that DRAM has the time it takes. */
#define FUSED_PREFETCH 4096

struct packed_panels {
    const uint8_t *elements;
    const uint8_t *scales;
    size_t panel_bytes;
};

/* Decoded weights are as small as 2^-136; x is made larger by this, so that no product is subnormal. */
#define FUSED_X_SHIFT 100

/* Copies a sub-block of some rows: next to each other they need one address register, not many. */
MXQ_INLINE void load_rows(float values[FUSED_ROWS][MXQ_BLOCK], const float *x, size_t x_stride,
                          const size_t rows)
{
    const vec_ps factor = vec_as_ps(vec_set1((uint32_t)(127 + FUSED_X_SHIFT) << 23));
    UNROLL
    for (size_t i = 0; i < rows * MXQ_BLOCK; i += VEC_LANES) {
        const size_t r = i / MXQ_BLOCK, k = i % MXQ_BLOCK;
        vec_store_ps(values[r] + k, vec_mul_ps(vec_load_ps(x + r * x_stride + k), factor));
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

MXQ_INLINE void fused_tile(float *y, size_t y_stride, const float *x, size_t x_stride,
                           struct packed_panels w, size_t blocks, const size_t rows,
                           const size_t panels, const struct mxq_element_info *e)
{
    enum { V = PANEL_VECTORS };
    for (size_t b = 0; b < blocks; b++) {
        float values[FUSED_ROWS][MXQ_BLOCK];
        vec_ps chains[2][FUSED_SUMS]; /* even, odd */
        load_rows(values, x + b * MXQ_BLOCK, x_stride, rows);
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

/* Some rows, which make one tile, against all panels. */
MXQ_INLINE void fused_panels(float *y, size_t y_stride, const float *x, size_t x_stride,
                             struct packed_panels w, size_t panels, size_t blocks,
                             const size_t rows, const struct mxq_element_info *e)
{
    for (; panels >= FUSED_PANELS(rows); panels -= FUSED_PANELS(rows)) {
        fused_tile(y, y_stride, x, x_stride, w, blocks, rows, FUSED_PANELS(rows), e);
        y += FUSED_PANELS(rows) * MXQ_PANEL;
        w.elements += FUSED_PANELS(rows) * w.panel_bytes;
        w.scales += FUSED_PANELS(rows) * w.panel_bytes;
    }
    for (; panels; panels--) {
        fused_tile(y, y_stride, x, x_stride, w, blocks, rows, 1, e);
        y += MXQ_PANEL;
        w.elements += w.panel_bytes;
        w.scales += w.panel_bytes;
    }
}

#define FUSED_TILE(n)                                                                              \
    case n:                                                                                        \
        fused_panels(y, y_stride, x, x_stride, w, panels, blocks, n, e);                           \
        break

MXQ_INLINE void fused_rows(float *y, size_t y_stride, const float *x, size_t x_stride,
                           struct packed_panels w, size_t rows, size_t panels, size_t blocks,
                           const struct mxq_element_info *e)
{
    while (rows) {
        /* Two halves are better than a large tile and a small one. */
        const size_t some = rows >= 2 * FUSED_ROWS ? FUSED_ROWS
                            : rows > FUSED_ROWS    ? (rows + 1) / 2
                                                   : rows;
        switch (some) {
            FUSED_TILE(1);
            FUSED_TILE(2);
#if FUSED_ROWS > 2
            FUSED_TILE(3);
            FUSED_TILE(4);
#endif
        }
        y += some * y_stride;
        x += some * x_stride;
        rows -= some;
    }
}

#define GEMM_FUSED_KERNEL(name, element)                                                           \
    void name(float *y, size_t y_stride, const float *x, size_t x_stride, const uint8_t *elements, \
              const uint8_t *scales, size_t panel_bytes, size_t rows, size_t panels,               \
              size_t blocks)                                                                       \
    {                                                                                              \
        const struct packed_panels w = {elements, scales, panel_bytes};                            \
        fused_rows(y, y_stride, x, x_stride, w, rows, panels, blocks, &mxq_elements[element]);     \
    }

#endif

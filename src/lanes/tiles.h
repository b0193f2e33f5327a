/* SPDX-License-Identifier: Apache-2.0 */
/* tiles.h -- cuts the work of a GEMM kernel into tiles of a size that its registers hold.
 *
 * The including file defines
 *
 *   GEMM_ROWS GEMM_PANELS  the tile of gemm
 *   FUSED_ROWS             rows of the largest tile of gemm_fused
 *   FUSED_PANELS(rows)     how many panels its tiles have
 *   FUSED_SUMS             output vectors of the largest one
 *   FUSED_X_BYTES          of a value of x
 *   gemm_tile, fused_tile  as declared below; rows and panels are constants there
 *
 * Without FUSED_ROWS there is no gemm_fused, without GEMM_ROWS no gemm. */
#ifndef MXQ_LANES_TILES_H
#define MXQ_LANES_TILES_H

#include "kernels.h"
#include "unroll.h"

struct packed_panels {
    const uint8_t *elements;
    const uint8_t *scales;
    size_t panel_bytes;
};

#if defined(GEMM_ROWS)
/* Strides of x and w in bytes. */
MXQ_INLINE void gemm_tile(float *y, size_t y_stride, const unsigned char *x, size_t x_stride,
                          const unsigned char *w, size_t w_stride, size_t blocks, const size_t rows,
                          const size_t panels);
#define GEMM_TILE(n)                                                                               \
    case n:                                                                                        \
        gemm_tile(y, y_stride, x, x_stride, w, w_stride, blocks, n, panels);                       \
        break

/* All rows against some panels: whole tiles, then one with the rows that are left. */
MXQ_INLINE void gemm_rows(float *y, size_t y_stride, const unsigned char *x, size_t x_stride,
                          const unsigned char *w, size_t w_stride, size_t rows, size_t blocks,
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
#endif
#if GEMM_ROWS > 4
        GEMM_TILE(4);
        GEMM_TILE(5);
#endif
    }
}

#define GEMM_KERNEL(name)                                                                          \
    void name(float *y, size_t y_stride, const void *x, size_t x_stride_bytes, const void *w,      \
              size_t w_stride_bytes, size_t rows, size_t panels, size_t blocks)                    \
    {                                                                                              \
        if (panels == GEMM_PANELS)                                                                 \
            gemm_rows(y, y_stride, x, x_stride_bytes, w, w_stride_bytes, rows, blocks,             \
                      GEMM_PANELS);                                                                \
        else                                                                                       \
            gemm_rows(y, y_stride, x, x_stride_bytes, w, w_stride_bytes, rows, blocks, 1);         \
    }
#endif

#if defined(FUSED_ROWS)
/* Bytes of codes, of all panels of a tile together, that are asked for before they are needed: what DRAM delivers
 * in the time that it takes, 200 ns at 40 GB/s. */
#define FUSED_AHEAD 8192

/* While a sub-block is multiplied, what begins so many bytes behind its codes and its scales is asked for. */
struct ahead {
    size_t elements, scales;
};

/* p + bytes need not be in an object. */
MXQ_INLINE void ask_for(const uint8_t *p, size_t bytes)
{
    __builtin_prefetch((const void *)((uintptr_t)p + bytes));
}

MXQ_INLINE void ask_for_scales(struct packed_panels w, struct ahead ahead, const size_t panels)
{
    UNROLL
    for (size_t p = 0; p < panels; p++)
        ask_for(w.scales + p * w.panel_bytes, ahead.scales);
}

MXQ_INLINE void fused_tile(float *y, size_t y_stride, const unsigned char *x, size_t x_stride,
                           struct packed_panels w, size_t blocks, struct ahead ahead,
                           const size_t rows, const size_t panels,
                           const enum mxq_packed_element element);

/* A tile, which at the end of k asks for the beginning of the next one.  Fewer sub-blocks than are asked for ahead
 * are a group of scales: what follows them is the next group. */
MXQ_INLINE void fused_blocks(float *y, size_t y_stride, const unsigned char *x, size_t x_stride,
                             struct packed_panels w, size_t blocks, const size_t rows,
                             const size_t panels, const enum mxq_packed_element element)
{
    const struct mxq_packed_element_info *e = &mxq_packed_elements[element];
    const size_t distance = FUSED_AHEAD / panels / e->element_bytes;
    struct ahead ahead = {distance * e->element_bytes, distance * e->scale_bytes};
    size_t some = blocks > distance ? blocks - distance : blocks;
    for (size_t left = blocks; left; some = left) {
        fused_tile(y, y_stride, x, x_stride, w, some, ahead, rows, panels, element);
        left -= some;
        x += some * MXQ_BLOCK * FUSED_X_BYTES;
        w.elements += some * e->element_bytes;
        w.scales += some * e->scale_bytes;
        ahead.elements += panels * w.panel_bytes - blocks * e->element_bytes;
        ahead.scales += panels * w.panel_bytes - blocks * e->scale_bytes;
    }
}

/* Some rows, which make one tile, against all panels. */
MXQ_INLINE void fused_panels(float *y, size_t y_stride, const unsigned char *x, size_t x_stride,
                             struct packed_panels w, size_t panels, size_t blocks,
                             const size_t rows, const enum mxq_packed_element element)
{
    for (; panels >= FUSED_PANELS(rows); panels -= FUSED_PANELS(rows)) {
        fused_blocks(y, y_stride, x, x_stride, w, blocks, rows, FUSED_PANELS(rows), element);
        y += FUSED_PANELS(rows) * MXQ_PANEL;
        w.elements += FUSED_PANELS(rows) * w.panel_bytes;
        w.scales += FUSED_PANELS(rows) * w.panel_bytes;
    }
    for (; panels; panels--) {
        fused_blocks(y, y_stride, x, x_stride, w, blocks, rows, 1, element);
        y += MXQ_PANEL;
        w.elements += w.panel_bytes;
        w.scales += w.panel_bytes;
    }
}

#define FUSED_TILE(n)                                                                              \
    case n:                                                                                        \
        fused_panels(y, y_stride, x, x_stride, w, panels, blocks, n, element);                     \
        break

MXQ_INLINE void fused_rows(float *y, size_t y_stride, const unsigned char *x, size_t x_stride,
                           struct packed_panels w, size_t rows, size_t panels, size_t blocks,
                           const enum mxq_packed_element element)
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
#if FUSED_ROWS > 4
            FUSED_TILE(5);
            FUSED_TILE(6);
            FUSED_TILE(7);
            FUSED_TILE(8);
#endif
        }
        y += some * y_stride;
        x += some * x_stride;
        rows -= some;
    }
}

#define GEMM_FUSED_KERNEL(name, element)                                                           \
    void name(float *y, size_t y_stride, const void *x, size_t x_stride_bytes,                     \
              const uint8_t *elements, const uint8_t *scales, size_t panel_bytes, size_t rows,     \
              size_t panels, size_t blocks)                                                        \
    {                                                                                              \
        const struct packed_panels w = {elements, scales, panel_bytes};                            \
        fused_rows(y, y_stride, x, x_stride_bytes, w, rows, panels, blocks, element);              \
    }

#endif

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* gemm.c -- the GEMM microkernel with TDPBF16PS, AMX column.
 *
 * One tile step is one sub-block in the canonical order: rows of x are tile A as they lie in memory, a
 * sub-block of a panel is tile B, and y itself is tile C.  Two by two tiles, 32 rows x 2 panels, load
 * four tiles for four products, half of what the load ports have time for.
 *
 * Tiles are the thread's, and other libraries use them too: some configure a thread once and never look
 * again.  So a kernel loads its own configuration on entry, and on return puts back the one it found, or
 * releases the tiles when there was none.  What the caller had in its tiles is lost, as the ABI lets every
 * function do: they would take 8 KiB to save. */
#include <string.h>

#include "kernels.h"

#include "amx/tile.h"

#define X_BLOCK ((size_t)2 * MXQ_BLOCK)          /* bytes of a sub-block of a row of x */
#define W_BLOCK ((size_t)2 * MXQ_PANEL_ELEMENTS) /* bytes of a sub-block of a panel */

/* Tiles: C of rows 0-15 and panels 0, 1; C of rows 16-31; A; B. */
#define C00 0
#define C01 1
#define C10 2
#define C11 3
#define A0  4
#define A1  5
#define B0  6
#define B1  7

/* The macros of tile.h paste a tile's number. */
#define LOAD(t, p, stride)  tile_load(t, p, stride)
#define STORE(t, p, stride) tile_store(t, p, stride)
#define DOT(c, a, b)        tile_dot(c, a, b)

/* Configures the tiles for so many rows, 1 .. 32. */
static void configure(size_t rows)
{
    struct tile_config config;
    memset(&config, 0, sizeof config);
    config.palette = 1;
    const size_t first = rows < TILE_ROWS ? rows : TILE_ROWS;
    /* No tile may have no rows: where there is no second half, it is not used. */
    const size_t second = rows > TILE_ROWS ? rows - TILE_ROWS : 1;
    const size_t tile_rows[TILES] = {first, first, second, second, first, second, 16, 16};
    for (size_t t = 0; t < TILES; t++) {
        config.rows[t] = (uint8_t)tile_rows[t];
        config.row_bytes[t] = TILE_BYTES;
    }
    tile_load_config(&config);
}

/* Rows of x, from the first on, times panels of w. */
MXQ_INLINE void gemm_tile(float *y, size_t y_stride, const unsigned char *x, size_t x_stride,
                          const unsigned char *w, size_t w_stride, size_t blocks, const int halves,
                          const int panels)
{
    float *y1 = y + TILE_ROWS * y_stride;
    const unsigned char *x1 = x + TILE_ROWS * x_stride, *w1 = w + w_stride;
    const size_t stride = y_stride * sizeof(float);
    LOAD(C00, y, stride);
    if (panels > 1)
        LOAD(C01, y + MXQ_PANEL, stride);
    if (halves > 1)
        LOAD(C10, y1, stride);
    if (halves > 1 && panels > 1)
        LOAD(C11, y1 + MXQ_PANEL, stride);
    for (size_t b = 0; b < blocks; b++) {
        LOAD(B0, w + b * W_BLOCK, TILE_BYTES);
        LOAD(A0, x + b * X_BLOCK, x_stride);
        DOT(C00, A0, B0);
        if (panels > 1) {
            LOAD(B1, w1 + b * W_BLOCK, TILE_BYTES);
            DOT(C01, A0, B1);
        }
        if (halves > 1) {
            LOAD(A1, x1 + b * X_BLOCK, x_stride);
            DOT(C10, A1, B0);
        }
        if (halves > 1 && panels > 1)
            DOT(C11, A1, B1);
    }
    STORE(C00, y, stride);
    if (panels > 1)
        STORE(C01, y + MXQ_PANEL, stride);
    if (halves > 1)
        STORE(C10, y1, stride);
    if (halves > 1 && panels > 1)
        STORE(C11, y1 + MXQ_PANEL, stride);
}

MXQ_INLINE void gemm_rows(float *y, size_t y_stride, const unsigned char *x, size_t x_stride,
                          const unsigned char *w, size_t w_stride, size_t rows, size_t blocks,
                          const int panels)
{
    const size_t step = 2 * TILE_ROWS;
    if (rows >= step)
        configure(step);
    for (; rows >= step; rows -= step) {
        gemm_tile(y, y_stride, x, x_stride, w, w_stride, blocks, 2, panels);
        y += step * y_stride;
        x += step * x_stride;
    }
    if (rows)
        configure(rows);
    if (rows > TILE_ROWS)
        gemm_tile(y, y_stride, x, x_stride, w, w_stride, blocks, 2, panels);
    else if (rows)
        gemm_tile(y, y_stride, x, x_stride, w, w_stride, blocks, 1, panels);
}

void mxq_gemm_bf16_amx(float *y, size_t y_stride, const void *x, size_t x_stride_bytes,
                       const void *w, size_t w_stride_bytes, size_t rows, size_t panels,
                       size_t blocks)
{
    struct tile_config found;
    tile_save(&found);
    if (panels > 1)
        gemm_rows(y, y_stride, x, x_stride_bytes, w, w_stride_bytes, rows, blocks, 2);
    else
        gemm_rows(y, y_stride, x, x_stride_bytes, w, w_stride_bytes, rows, blocks, 1);
    if (found.palette)
        tile_load_config(&found);
    else
        tile_release();
}

/* SPDX-License-Identifier: Apache-2.0 */
/* gemm.h -- what the GEMM kernels of tiles share: which tile is what, the configuration, and the cut of a
 * product into two by two tiles of y, 32 rows x 2 panels, which load four tiles for four products, half of what
 * the load ports have time for.
 *
 * The including file defines B_ROWS, the rows of tile B for a sub-block, DOT(c, a, b), the instruction, and
 * gemm_tile as declared below.
 *
 * Tiles are the thread's, and other libraries use them too: some configure a thread once and never look
 * again.  So a kernel loads its own configuration on entry, and on return puts back the one it found, or
 * releases the tiles when there was none.  What the caller had in its tiles is lost, as the ABI lets every
 * function do: they would take 8 KiB to save. */
#ifndef MXQ_AMX_GEMM_H
#define MXQ_AMX_GEMM_H

#include <string.h>

#include "kernels.h"

#include "amx/tile.h"

#define B_BYTES ((size_t)TILE_BYTES * B_ROWS)
#define A_BYTES ((size_t)4 * B_ROWS) /* of a row: what is multiplied by one row of B is 4 bytes */

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

/* One sub-block: C += A . B. */
MXQ_INLINE void multiply_block(const unsigned char *x, size_t x_stride, const unsigned char *w,
                               size_t w_stride, const int halves, const int panels)
{
    LOAD(B0, w, TILE_BYTES);
    LOAD(A0, x, x_stride);
    DOT(C00, A0, B0);
    if (panels > 1) {
        LOAD(B1, w + w_stride, TILE_BYTES);
        DOT(C01, A0, B1);
    }
    if (halves > 1) {
        LOAD(A1, x + TILE_ROWS * x_stride, x_stride);
        DOT(C10, A1, B0);
    }
    if (halves > 1 && panels > 1)
        DOT(C11, A1, B1);
}

/* Rows of x, 1 .. 16 in one half or 17 .. 32 in two, times panels of w.  halves and panels are constants. */
MXQ_INLINE void gemm_tile(float *y, size_t y_stride, const unsigned char *x, size_t x_stride,
                          const unsigned char *w, size_t w_stride, size_t blocks, size_t rows,
                          const int halves, const int panels);

/* Configures the tiles for so many rows, 1 .. 32. */
static void configure(size_t rows)
{
    struct tile_config config;
    memset(&config, 0, sizeof config);
    config.palette = 1;
    const size_t first = rows < TILE_ROWS ? rows : TILE_ROWS;
    /* No tile may have no rows: where there is no second half, it is not used. */
    const size_t second = rows > TILE_ROWS ? rows - TILE_ROWS : 1;
    const size_t tile_rows[TILES] = {first, first, second, second, first, second, B_ROWS, B_ROWS};
    for (size_t t = 0; t < TILES; t++) {
        config.rows[t] = (uint8_t)tile_rows[t];
        config.row_bytes[t] = (uint16_t)(t == A0 || t == A1 ? A_BYTES : TILE_BYTES);
    }
    tile_load_config(&config);
}

MXQ_INLINE void gemm_rows(float *y, size_t y_stride, const unsigned char *x, size_t x_stride,
                          const unsigned char *w, size_t w_stride, size_t rows, size_t blocks,
                          const int panels)
{
    const size_t step = 2 * TILE_ROWS;
    if (rows >= step)
        configure(step);
    for (; rows >= step; rows -= step) {
        gemm_tile(y, y_stride, x, x_stride, w, w_stride, blocks, step, 2, panels);
        y += step * y_stride;
        x += step * x_stride;
    }
    if (rows)
        configure(rows);
    if (rows > TILE_ROWS)
        gemm_tile(y, y_stride, x, x_stride, w, w_stride, blocks, rows, 2, panels);
    else if (rows)
        gemm_tile(y, y_stride, x, x_stride, w, w_stride, blocks, rows, 1, panels);
}

/* A mxq_gemm_fn. */
MXQ_INLINE void gemm_as_guest(float *y, size_t y_stride, const void *x, size_t x_stride_bytes,
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

#endif

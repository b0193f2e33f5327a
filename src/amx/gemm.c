/* SPDX-License-Identifier: Apache-2.0 */
/* gemm.c -- the GEMM microkernel with TDPBF16PS, AMX column.
 *
 * One tile step is one sub-block in the canonical order: rows of x are tile A as they lie in memory, a
 * sub-block of a panel is tile B, and y itself is tile C. */
#define B_ROWS       16
#define DOT(c, a, b) tile_dot(c, a, b)

#include "amx/gemm.h"

#define X_BLOCK A_BYTES /* bytes of a sub-block of a row of x */
#define W_BLOCK B_BYTES /* bytes of a sub-block of a panel */

MXQ_INLINE void gemm_tile(float *y, size_t y_stride, const unsigned char *x, size_t x_stride,
                          const unsigned char *w, size_t w_stride, size_t blocks, size_t rows,
                          const int halves, const int panels)
{
    (void)rows; /* configured */
    float *y1 = y + TILE_ROWS * y_stride;
    const size_t stride = y_stride * sizeof(float);
    LOAD(C00, y, stride);
    if (panels > 1)
        LOAD(C01, y + MXQ_PANEL, stride);
    if (halves > 1)
        LOAD(C10, y1, stride);
    if (halves > 1 && panels > 1)
        LOAD(C11, y1 + MXQ_PANEL, stride);
    for (size_t b = 0; b < blocks; b++)
        multiply_block(x + b * X_BLOCK, x_stride, w + b * W_BLOCK, w_stride, halves, panels);
    STORE(C00, y, stride);
    if (panels > 1)
        STORE(C01, y + MXQ_PANEL, stride);
    if (halves > 1)
        STORE(C10, y1, stride);
    if (halves > 1 && panels > 1)
        STORE(C11, y1 + MXQ_PANEL, stride);
}

void mxq_gemm_bf16_amx(float *y, size_t y_stride, const void *x, size_t x_stride_bytes,
                       const void *w, size_t w_stride_bytes, size_t rows, size_t panels,
                       size_t blocks)
{
    gemm_as_guest(y, y_stride, x, x_stride_bytes, w, w_stride_bytes, rows, panels, blocks);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* piece.h -- what mxq_quantize() would make of a matrix, a piece of a row at a time. */
#ifndef MXQ_PIECE_H
#define MXQ_PIECE_H

#include "span.h"

/* What is quantized, to what, and how.  The options' statistics and nonfinite errors are the caller's. */
struct mxq_pieces {
    const struct mxq_kernels *kernels;
    const struct mxq_matrix *x;
    struct mxq_format format;
    struct mxq_quantize_options options;
    uint32_t tensor_amax; /* F32 bits, where the format or its scales ask for it */
};

/* Blocks of a piece whose amax is found before it. */
#define MXQ_PIECE_AMAXES (MXQ_SPAN / 128)

/* Up to MXQ_SPAN values of a row: q is 1 x count and has its scales from scales[0] on. */
struct mxq_piece {
    struct mxq_quantized q;
    float tensor_scale;
    uint8_t elements[MXQ_SPAN];
    uint8_t scales[MXQ_SPAN_FACTORS * 4];
};

/* Begins: finds the amax of the tensor if need be. */
void mxq_begin_pieces(struct mxq_pieces *p, const struct mxq_parallel *parallel);

/* The amaxes, as F32 bits, that a piece at row, col needs besides its own values: that of a row, of each block
 * of 128 x 128, of the tensor; the same for all rows of a block. */
void mxq_find_amaxes(const struct mxq_pieces *p, uint32_t amax[MXQ_PIECE_AMAXES], size_t row,
                     size_t col, size_t count);

/* Quantizes values col .. col + count - 1, of which col is a multiple of the block or of MXQ_SPAN, and count
 * too or the row ends there. */
void mxq_quantize_piece(const struct mxq_pieces *p, struct mxq_piece *piece, size_t row, size_t col,
                        size_t count, const uint32_t amax[MXQ_PIECE_AMAXES]);

#endif

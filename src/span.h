/* SPDX-License-Identifier: Apache-2.0 */
/* span.h -- spans: pieces of a row that stay in L1 from one kernel to the next, and the scales of their
 * blocks as kernels want them. */
#ifndef MXQ_SPAN_H
#define MXQ_SPAN_H

#include "kernels.h"

/* A multiple of every block length; blocks of 32 of a span, and factors, four to a block. */
#define MXQ_SPAN         1024
#define MXQ_SPAN_BLOCKS  (MXQ_SPAN / MXQ_BLOCK)
#define MXQ_SPAN_FACTORS (MXQ_SPAN / 8)

/* E8M0 codes that scale nothing. */
extern const uint8_t mxq_unit_codes[MXQ_SPAN_BLOCKS];

/* Returns the scale of block `block` along the columns at row `row`, which is no E8M0. */
float mxq_block_scale(const struct mxq_quantized *q, size_t row, size_t block);

/* The E8M0 codes of a span of row `row` from column `col` on, one for each of `blocks` blocks of 32. */
void mxq_span_codes(uint8_t *codes, const struct mxq_quantized *q, size_t row, size_t col,
                    size_t blocks);

/* The other scales of the blocks of such a span, to multiply by.  `col` is within no block shorter than a row.
 * Factors beyond the last column of q are those of its last block.  `room` must live as long as they do. */
struct mxq_factors mxq_span_factors(float room[MXQ_SPAN_FACTORS], const struct mxq_kernels *kernels,
                                    const struct mxq_quantized *q, size_t row, size_t col,
                                    size_t blocks);

/* What shift brings the index of a value in a row to the index of its block: struct mxq_factors. */
unsigned mxq_block_shift(uint32_t block_cols);

/* Dequantizes `count` <= MXQ_SPAN values of a row from column `col` on.  y has room for whole blocks of 32;
 * what is behind the values is undefined. */
void mxq_dequantize_span(const struct mxq_kernels *kernels, void *y, enum mxq_type type,
                         const struct mxq_quantized *q, size_t row, size_t col, size_t count);

#endif

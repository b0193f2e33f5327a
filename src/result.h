/* SPDX-License-Identifier: Apache-2.0 */
/* result.h -- y of a product, quantized on the way out. */
#ifndef MXQ_RESULT_H
#define MXQ_RESULT_H

#include "quantize.h"

/* The memory of quantized y: elements, scales, and the scale of the tensor. */
#define MXQ_RESULT_SPANS 3

/* Checks options->quantized_y, if there is one, for a product of m x n, with the F32 matrix y or, where that is
 * NULL, without. */
enum mxq_status mxq_check_result(struct mxq_span spans[MXQ_RESULT_SPANS],
                                 const struct mxq_matmul_options *options, size_t m, size_t n,
                                 const struct mxq_matrix *y, struct mxq_error *error);

/* Quantizes values col .. col + cols - 1 of row `row`, of n columns; col is a multiple of 32, and so is cols, or
 * the row ends there. */
void mxq_store_result(const struct mxq_matmul_options *options, const float *values, size_t row,
                      size_t col, size_t cols, size_t n);

/* Quantizes all of y. */
void mxq_quantize_result(const struct mxq_matmul_options *options, const struct mxq_matrix *y);

#endif

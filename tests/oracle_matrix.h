/* SPDX-License-Identifier: Apache-2.0 */
/* oracle_matrix.h -- the contract for whole matrices: every format, rounding and policy.
 *
 * Written from docs/numerics.md and the text of mxq.h, one value at a time.  Where the contract rounds to
 * F32, so does this: a double that holds the exact result, or a quotient of two F32 values, rounded once
 * more to F32, gives the correctly rounded F32. */
#ifndef MXQ_TESTS_ORACLE_MATRIX_H
#define MXQ_TESTS_ORACLE_MATRIX_H

#include <stddef.h>
#include <stdint.h>

#include "mxq/mxq.h"

/* Philox4x32-10. */
void oracle_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t word[4]);

/* The random word of value `index` of a tensor. */
uint32_t oracle_random(uint64_t seed, uint64_t index);

/* The code of a scaled value; options say how it is rounded.  `word` is the value's random word. */
uint8_t oracle_encode(enum mxq_element element, const struct mxq_quantize_options *options,
                      double v, uint32_t word);

/* Whether the contract has this combination of element, scale and block. */
int oracle_has_format(const struct mxq_format *format);

/* What mxq_quantize() and mxq_dequantize() write, for valid arguments; options->parallel is not used. */
void oracle_quantize_matrix(const struct mxq_quantized *q, const struct mxq_matrix *x,
                            const struct mxq_quantize_options *options);
void oracle_dequantize_matrix(const struct mxq_matrix *y, const struct mxq_quantized *q);

/* The F32 that dequantizing value (row, col) gives, as a double. */
double oracle_dequantized(const struct mxq_quantized *q, size_t row, size_t col);

#endif

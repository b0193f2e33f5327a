/* SPDX-License-Identifier: Apache-2.0 */
/* matrix.h -- what quantize and dequantize share: checks of operands, and the cut into tasks. */
#ifndef MXQ_MATRIX_H
#define MXQ_MATRIX_H

#include "kernels.h"

/* Fills `error`, if there is one, and returns `status`. */
enum mxq_status mxq_fail(struct mxq_error *error, enum mxq_status status, const char *what);

/* A strided range of memory: `rows` pieces of `row_bytes`, `stride_bytes` apart. */
struct mxq_span {
    const unsigned char *data;
    size_t rows;
    size_t row_bytes;
    size_t stride_bytes;
};

/* Two spans may interleave row by row, as elements and scales in one buffer do; any other crossing
 * counts as an overlap. */
int mxq_spans_overlap(const struct mxq_span *a, const struct mxq_span *b);

/* Checks one operand and gives its memory. */
enum mxq_status mxq_matrix_span(struct mxq_span *span, const struct mxq_matrix *x,
                                struct mxq_error *error);
enum mxq_status mxq_quantized_spans(struct mxq_span *elements, struct mxq_span *scales,
                                    const struct mxq_quantized *q, struct mxq_error *error);

/* Checks the options of a quantization to a format, of so many blocks. */
enum mxq_status mxq_check_quantize_options(const struct mxq_quantize_options *o,
                                           const struct mxq_format *format, size_t blocks,
                                           struct mxq_error *error);

/* Fails with the position of the first NaN or infinity of x, if there is one. */
enum mxq_status mxq_check_finite(const struct mxq_kernels *row, const struct mxq_matrix *x,
                                 const struct mxq_parallel *parallel, struct mxq_error *error);

/* The largest of some magnitudes, as F32 bits, not counting those that are not finite. */
uint32_t mxq_finite_amax(const unsigned char *x, size_t values, enum mxq_type type);

/* Calls task(context, i) for each i < tasks, over the threads of `parallel` if there are any. */
void mxq_for_each_task(const struct mxq_parallel *parallel, size_t tasks,
                       void (*task)(void *context, size_t index), void *context);

/* Checks a quantized and a wide matrix against each other.  `output` names the operands that are
 * written: overlap is refused only where at least one of the two is. */
enum mxq_output { MXQ_OUTPUT_QUANTIZED, MXQ_OUTPUT_WIDE };
enum mxq_status mxq_check_operands(const struct mxq_quantized *q, const struct mxq_matrix *x,
                                   enum mxq_output output, struct mxq_error *error);

/* A run of consecutive blocks of one row: what a kernel sees. */
struct mxq_run {
    uint8_t *elements;
    uint8_t *scales;
    unsigned char *wide;
    size_t row;
    size_t block;  /* the first one, in its row */
    size_t blocks; /* whole blocks */
    size_t tail;   /* elements of a partial block behind them, 0 .. MXQ_BLOCK - 1 */
};

/* Calls visit(context, run) for every run of the matrix, over the threads of `parallel`, each call
 * inside the contract's floating-point environment.  q may be NULL: runs of x alone; its scales are E8M0 on
 * blocks of 1 x 32.  A matrix without
 * gaps is one long row.  The cut does not depend on the number of threads. */
void mxq_for_each_run(const struct mxq_quantized *q, const struct mxq_matrix *x,
                      const struct mxq_parallel *parallel,
                      void (*visit)(void *context, const struct mxq_run *run), void *context);

#endif

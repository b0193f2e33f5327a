/* SPDX-License-Identifier: Apache-2.0 */
/* quantize.h -- what quantizing in one orientation and in both share. */
#ifndef MXQ_QUANTIZE_H
#define MXQ_QUANTIZE_H

#include "matrix.h"

/* E8M0 scales on blocks of 1 x 32, rounded to nearest even: one pass over memory does all. */
struct mxq_one_pass {
    mxq_quantize_fn *quantize;
    mxq_columns_fn *columns;
    const struct mxq_element_info *element;
    struct mxq_scale_rule rule;
    size_t type_bytes;
    size_t ahead; /* see mxq_amax_fn */
};

/* Whether one pass does what the options ask for, but for statistics. */
int mxq_is_one_pass(const struct mxq_format *f, const struct mxq_quantize_options *o);

struct mxq_one_pass mxq_one_pass_of(const struct mxq_kernels *row, const struct mxq_format *f,
                                    enum mxq_type type, enum mxq_scale_mode mode);

/* Quantizes a run; context is a struct mxq_one_pass. */
void mxq_quantize_run(void *context, const struct mxq_run *run);

/* How many blocks a matrix has. */
size_t mxq_blocks_of(const struct mxq_quantized *q);

/* Quantizes x, or its transpose, once all is checked. */
void mxq_quantize_checked(const struct mxq_kernels *row, const struct mxq_quantized *q,
                          const struct mxq_matrix *x, int is_transposed,
                          const struct mxq_quantize_options *o);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* operands.h -- x of a product, brought into scratch as the gemm kernels want it. */
#ifndef MXQ_OPERANDS_H
#define MXQ_OPERANDS_H

#include <stdatomic.h>

#include "matrix.h"
#include "packed.h"
#include "piece.h"

struct mxq_x {
    const struct mxq_kernels *kernels;
    const struct mxq_matrix *wide;         /* the source is this one, */
    const struct mxq_quantized *quantized; /* or this one */
    const struct mxq_format *format;       /* of what is multiplied; NULL: not quantized */
    struct mxq_pieces pieces;              /* where the wide one is quantized first */
    int is_rounded;                        /* to BF16 */
    size_t rows, cols;
    size_t run, blocks;   /* of w: values of k of a sub-block, and how many there are */
    size_t factor_blocks; /* sub-blocks that share an F32 factor; 0: none */

    unsigned char *data; /* in scratch: for each row its sub-blocks, then its factors */
    size_t stride_bytes;
    size_t factors; /* offset of a row's factors */
    int compute;    /* what the sub-blocks hold: MXQ_F32, MXQ_BF16 or MXQ_COMPUTE_INT8 */
    _Atomic uint32_t low,
        high; /* a range of magnitudes; in INT8, of the factors and 128 times them */
};

/* The bytes of scratch that a row may take in any compute type. */
size_t mxq_x_row_bytes(size_t blocks);

/* Whether every value that is multiplied is a BF16 value, or an integer of 8 bits times a factor. */
int mxq_x_is_bf16(const struct mxq_x *x);
int mxq_x_is_integer(const struct mxq_x *x);

/* Brings all rows into a compute type, and notes their range. */
void mxq_prepare_x(struct mxq_x *x, int compute, const struct mxq_parallel *parallel);

/* Widens values first .. first + 32 * blocks - 1 of a row of a matrix; those beyond cols are zeros. */
void mxq_load_wide(const struct mxq_kernels *kernels, float *out, const struct mxq_matrix *x,
                   size_t row, size_t first, size_t blocks, struct mxq_range *range);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* oracle_gemm.h -- the order of additions of a matrix product a second time: one output after the
 * other, in fmaf(). */
#ifndef MXQ_TESTS_ORACLE_GEMM_H
#define MXQ_TESTS_ORACLE_GEMM_H

#include "oracle.h"

/* F32 scales of an operand: rows x ceil(k / length), one for each `length` values of a row. */
struct oracle_scales {
    const float *values;
    size_t length; /* 0: there are none */
};

/* Operands, dense: elements times their scales where these are exact, else bare. */
struct oracle_product {
    size_t m, n, k;
    size_t run; /* values of a sub-block: 32, or what is shorter and has an F32 scale of its own */
    const float *x;    /* m x k */
    const float *w;    /* n x k */
    const float *sums; /* m x n: what the sums start from; NULL: +0 */
    const float *bias; /* n; NULL: none */
    struct oracle_scales x_scales, w_scales;
};

/* The F32 of a bit pattern of a type, exact; the canonical NaN for a NaN. */
float oracle_float(enum mxq_type type, uint32_t bits);

/* Output (row, col), as the bit pattern of a type. */
uint32_t oracle_output(const struct oracle_product *p, size_t row, size_t col, enum mxq_type type);

#endif

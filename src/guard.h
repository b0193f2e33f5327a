/* SPDX-License-Identifier: Apache-2.0 */
/* guard.h -- the range guard: which kernels give the canonical bits for these operands. */
#ifndef MXQ_GUARD_H
#define MXQ_GUARD_H

#include "operands.h"

/* Whether the scales of w suit every row's unpacking. */
int mxq_w_is_ordinary(const struct mxq_packed *w);

/* Whether x, as it was prepared, may be multiplied with w by the fused kernels, by the unit of BF16, or by
 * that of integers. */
int mxq_allows_fused(struct mxq_x *x, const struct mxq_packed *w);
int mxq_allows_bf16(struct mxq_x *x, const struct mxq_packed *w);
int mxq_allows_int8(struct mxq_x *x, const struct mxq_packed *w);

/* Whether what y holds may be added to by the unit of BF16: it may flush it. */
int mxq_allows_accumulation(const struct mxq_kernels *kernels, const struct mxq_matrix *y);

#endif

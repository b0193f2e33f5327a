/* SPDX-License-Identifier: Apache-2.0 */
/* dequantize.c -- mxq_dequantize(): checks and the partial last block. */
#include <string.h>

#include "matrix.h"

struct dequantize {
    mxq_unpack_fn *kernel;
    size_t type_bytes;
};

static void dequantize_run(void *context, const struct mxq_run *run)
{
    const struct dequantize *c = context;
    c->kernel(run->wide, run->elements, run->scales, run->blocks);
    if (run->tail) {
        uint8_t elements[MXQ_BLOCK] = {0};
        unsigned char y[MXQ_BLOCK * 4];
        memcpy(elements, run->elements + run->blocks * MXQ_BLOCK, run->tail);
        c->kernel(y, elements, run->scales + run->blocks, 1);
        memcpy(run->wide + run->blocks * MXQ_BLOCK * c->type_bytes, y, run->tail * c->type_bytes);
    }
}

enum mxq_status mxq_dequantize(const struct mxq_matrix *y, const struct mxq_quantized *q,
                               const struct mxq_parallel *parallel, struct mxq_error *error)
{
    if (parallel && !parallel->run)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "parallel->run must not be null");
    const enum mxq_status status = mxq_check_operands(q, y, MXQ_OUTPUT_WIDE, error);
    if (status)
        return status;
    struct dequantize c = {mxq_active_kernels()->unpack[q->format.element][y->type],
                           mxq_type_bytes(y->type)};
    mxq_for_each_run(q, y, parallel, dequantize_run, &c);
    return MXQ_OK;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* dequantize.c -- mxq_dequantize(): checks, and the partial last block. */
#include <string.h>

#include "fpenv.h"
#include "matrix.h"
#include "span.h"

/* ------------------------------ E8M0 scales on 1 x 32 blocks: long runs ------------------------- */

struct dequantize {
    mxq_unpack_fn *kernel;
    const struct mxq_element_info *element;
    size_t type_bytes;
};

static void dequantize_run(void *context, const struct mxq_run *run)
{
    const struct dequantize *c = context;
    c->kernel(run->wide, run->elements, run->scales, run->blocks);
    if (run->tail) {
        uint8_t elements[MXQ_BLOCK] = {0};
        unsigned char y[MXQ_BLOCK * 4];
        memcpy(elements, run->elements + mxq_code_bytes(c->element, run->blocks * MXQ_BLOCK),
               mxq_code_bytes(c->element, run->tail));
        c->kernel(y, elements, run->scales + run->blocks, 1);
        memcpy(run->wide + run->blocks * MXQ_BLOCK * c->type_bytes, y, run->tail * c->type_bytes);
    }
}

/* --------------------------------------- Any format: spans -------------------------------------- */

#define TASK_SPANS 64

struct spans {
    const struct mxq_kernels *kernels;
    const struct mxq_matrix *y;
    const struct mxq_quantized *q;
    size_t across; /* spans of a row */
    size_t count;
};

static void dequantize_spans(void *context, size_t index)
{
    const struct spans *c = context;
    const size_t type_bytes = mxq_type_bytes(c->y->type);
    const uint64_t fpenv = mxq_fpenv_enter();
    for (size_t i = index * TASK_SPANS; i < c->count && i < (index + 1) * TASK_SPANS; i++) {
        const size_t row = i / c->across, col = i % c->across * MXQ_SPAN;
        const size_t left = c->y->cols - col, count = left < MXQ_SPAN ? left : MXQ_SPAN;
        unsigned char *y = (unsigned char *)c->y->data + (row * c->y->stride + col) * type_bytes;
        unsigned char padded[MXQ_SPAN * 4];
        unsigned char *to = count % MXQ_BLOCK ? padded : y;
        mxq_dequantize_span(c->kernels, to, c->y->type, c->q, row, col, count);
        if (to != y)
            memcpy(y, padded, count * type_bytes);
    }
    mxq_fpenv_leave(fpenv);
}

/* -------------------------------------------- Public -------------------------------------------- */

enum mxq_status mxq_dequantize(const struct mxq_matrix *y, const struct mxq_quantized *q,
                               const struct mxq_parallel *parallel, struct mxq_error *error)
{
    if (parallel && !parallel->run)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "parallel->run must not be null");
    const enum mxq_status status = mxq_check_operands(q, y, MXQ_OUTPUT_WIDE, error);
    if (status)
        return status;
    const struct mxq_kernels *kernels = mxq_active_kernels();
    if (q->format.scale == MXQ_E8M0 && q->format.block_cols == MXQ_BLOCK) {
        struct dequantize c = {kernels->unpack[q->format.element][y->type],
                               &mxq_elements[q->format.element], mxq_type_bytes(y->type)};
        mxq_for_each_run(q, y, parallel, dequantize_run, &c);
        return MXQ_OK;
    }
    struct spans c = {kernels, y, q, mxq_block_count(MXQ_SPAN, y->cols), 0};
    c.count = y->rows * c.across;
    mxq_for_each_task(parallel, (c.count + TASK_SPANS - 1) / TASK_SPANS, dequantize_spans, &c);
    return MXQ_OK;
}

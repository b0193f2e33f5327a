/* SPDX-License-Identifier: Apache-2.0 */
/* result.c -- y of a product, quantized on the way out: a piece of a row after the other as its sums are done,
 * or all of it in the end. */
#include "result.h"

static struct mxq_quantize_options options_of(const struct mxq_matmul_options *options)
{
    const struct mxq_quantize_options defaults = MXQ_QUANTIZE_OPTIONS;
    return options->y_options ? *options->y_options : defaults;
}

/* Whether pieces of 32 columns of a row are quantized by themselves. */
static int is_local(const struct mxq_format *f)
{
    return f->block_rows == 1 && f->block_cols && MXQ_BLOCK % f->block_cols == 0 &&
           f->scale != MXQ_E4M3_SCALE;
}

enum mxq_status mxq_check_result(struct mxq_span spans[MXQ_RESULT_SPANS],
                                 const struct mxq_matmul_options *options, size_t m, size_t n,
                                 const struct mxq_matrix *y, struct mxq_error *error)
{
    const struct mxq_quantized *q = options->quantized_y;
    const struct mxq_quantize_options o = options_of(options);
    if (!q)
        return MXQ_OK;
    enum mxq_status status = mxq_quantized_spans(&spans[0], &spans[1], q, error);
    if (!status)
        status = mxq_check_quantize_options(&o, &q->format, mxq_blocks_of(q), error);
    if (status)
        return status;
    if (q->tensor_scale)
        spans[2] = (struct mxq_span){(const unsigned char *)q->tensor_scale, 1, sizeof(float), 0};
    if (q->rows != m || q->cols != n)
        return mxq_fail(error, MXQ_ERR_SHAPE,
                        "options.quantized_y must have the rows of x and a column for each output");
    if (o.nonfinite == MXQ_NONFINITE_ERROR)
        return mxq_fail(error, MXQ_ERR_ARGUMENT,
                        "options.y_options->nonfinite must not be MXQ_NONFINITE_ERROR");
    if (y && y->type != MXQ_F32)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "y must be F32 when it is quantized too");
    if (!y && (!is_local(&q->format) || o.statistics || options->accumulate))
        return mxq_fail(error, MXQ_ERR_ARGUMENT,
                        "y must not be null unless options.quantized_y has blocks of 1 x 8, 1 x 16 "
                        "or 1 x 32 without E4M3 scales, without statistics and accumulation");
    for (int i = 0; i < MXQ_RESULT_SPANS; i++)
        for (int j = 0; j < i; j++)
            if (mxq_spans_overlap(&spans[i], &spans[j]))
                return mxq_fail(error, MXQ_ERR_OVERLAP,
                                "elements and scales of options.quantized_y must not overlap");
    return MXQ_OK;
}

void mxq_store_result(const struct mxq_matmul_options *options, const float *values, size_t row,
                      size_t col, size_t cols, size_t n)
{
    const struct mxq_quantized *q = options->quantized_y;
    const struct mxq_format *f = &q->format;
    struct mxq_quantize_options o = options_of(options);
    const struct mxq_quantized part = {
        *f,
        1,
        cols,
        q->elements + row * q->elements_stride + mxq_code_bytes(&mxq_elements[f->element], col),
        0,
        q->scales + row * q->scales_stride + col / f->block_cols * mxq_scale_bytes(f->scale),
        0,
        NULL};
    const struct mxq_matrix x = {(void *)(uintptr_t)values, MXQ_F32, 1, cols, cols};
    o.parallel = NULL;
    o.first_index += (uint64_t)row * n + col;
    if (o.amax_count > 1) {
        o.amax += row * mxq_block_count(f->block_cols, n) + col / f->block_cols;
        o.amax_count = mxq_block_count(f->block_cols, cols);
    }
    mxq_quantize_checked(mxq_active_kernels(), &part, &x, 0, &o);
}

void mxq_quantize_result(const struct mxq_matmul_options *options, const struct mxq_matrix *y)
{
    struct mxq_quantize_options o = options_of(options);
    o.parallel = options->parallel;
    mxq_quantize_checked(mxq_active_kernels(), options->quantized_y, y, 0, &o);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* matrix.c -- operand checks, and the cut of a matrix into runs of blocks. */
#include "matrix.h"

#include "fpenv.h"

enum mxq_status mxq_fail(struct mxq_error *error, enum mxq_status status, const char *what)
{
    if (error)
        *error = (struct mxq_error){status, what, 0, 0};
    return status;
}

static int multiply(size_t *product, size_t a, size_t b)
{
    return !__builtin_mul_overflow(a, b, product);
}

enum mxq_status mxq_quantized_sizes(const struct mxq_format *format, size_t rows, size_t cols,
                                    struct mxq_sizes *sizes)
{
    if (!format || !sizes)
        return MXQ_ERR_ARGUMENT;
    if (!mxq_format_is_supported(format))
        return MXQ_ERR_FORMAT;
    const struct mxq_element_info *e = &mxq_elements[format->element];
    struct mxq_sizes s;
    s.elements_row_bytes = mxq_code_bytes(e, cols);
    s.scales_row_bytes = mxq_block_count(format->block_cols, cols) * mxq_scale_bytes(format->scale);
    s.scales_rows = mxq_block_count(format->block_rows, rows);
    if (!multiply(&s.elements_bytes, rows, s.elements_row_bytes) ||
        !multiply(&s.scales_bytes, s.scales_rows, s.scales_row_bytes))
        return MXQ_ERR_SHAPE;
    *sizes = s;
    return MXQ_OK;
}

static size_t extent(const struct mxq_span *s)
{
    return s->rows && s->row_bytes ? (s->rows - 1) * s->stride_bytes + s->row_bytes : 0;
}

int mxq_spans_overlap(const struct mxq_span *a, const struct mxq_span *b)
{
    const uintptr_t a_begin = (uintptr_t)a->data, b_begin = (uintptr_t)b->data;
    if (!extent(a) || !extent(b) || a_begin + extent(a) <= b_begin ||
        b_begin + extent(b) <= a_begin)
        return 0;
    if (a->stride_bytes != b->stride_bytes || a->rows == 1 || b->rows == 1)
        return 1;
    const size_t stride = a->stride_bytes;
    const size_t offset = a_begin <= b_begin ? (b_begin - a_begin) % stride
                                             : (stride - (a_begin - b_begin) % stride) % stride;
    return offset < a->row_bytes || offset + b->row_bytes > stride;
}

/* Checks that every byte of the span has an address. */
static int is_addressable(const struct mxq_span *s)
{
    size_t bytes;
    return !s->rows || !s->row_bytes ||
           (multiply(&bytes, s->rows - 1, s->stride_bytes) && bytes <= SIZE_MAX - s->row_bytes &&
            bytes + s->row_bytes <= UINTPTR_MAX - (uintptr_t)s->data);
}

static const char past_memory[] = "rows * stride must not pass the end of memory";

enum mxq_status mxq_matrix_span(struct mxq_span *span, const struct mxq_matrix *x,
                                struct mxq_error *error)
{
    if (!x)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "the matrix pointers must not be null");
    const size_t type_bytes = mxq_type_bytes(x->type);
    if (!type_bytes)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "matrix type must be MXQ_F32, _BF16 or _F16");
    if (x->rows > 1 && x->stride < x->cols)
        return mxq_fail(error, MXQ_ERR_SHAPE, "matrix stride must be at least cols");
    *span = (struct mxq_span){x->data, x->rows, 0, 0};
    if (!multiply(&span->row_bytes, x->cols, type_bytes) ||
        !multiply(&span->stride_bytes, x->stride, type_bytes) || !is_addressable(span))
        return mxq_fail(error, MXQ_ERR_SHAPE, past_memory);
    if (x->rows && x->cols && !x->data)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "data, elements and scales must not be null");
    return MXQ_OK;
}

enum mxq_status mxq_quantized_spans(struct mxq_span *elements, struct mxq_span *scales,
                                    const struct mxq_quantized *q, struct mxq_error *error)
{
    if (!q)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "the matrix pointers must not be null");
    if (!mxq_format_is_supported(&q->format))
        return mxq_fail(error, MXQ_ERR_FORMAT, mxq_supported_formats);
    struct mxq_sizes sizes;
    if (mxq_quantized_sizes(&q->format, q->rows, q->cols, &sizes))
        return mxq_fail(error, MXQ_ERR_SHAPE, "rows * cols must not overflow size_t");
    if (q->rows > 1 && q->elements_stride < sizes.elements_row_bytes)
        return mxq_fail(error, MXQ_ERR_SHAPE, "elements_stride must be at least a row of elements");
    if (sizes.scales_rows > 1 && q->scales_stride < sizes.scales_row_bytes)
        return mxq_fail(error, MXQ_ERR_SHAPE, "scales_stride must be at least a row of scales");
    *elements =
        (struct mxq_span){q->elements, q->rows, sizes.elements_row_bytes, q->elements_stride};
    *scales =
        (struct mxq_span){q->scales, sizes.scales_rows, sizes.scales_row_bytes, q->scales_stride};
    if (!is_addressable(elements) || !is_addressable(scales))
        return mxq_fail(error, MXQ_ERR_SHAPE, past_memory);
    if (q->rows && q->cols && (!q->elements || !q->scales))
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "data, elements and scales must not be null");
    if ((q->format.scale == MXQ_E4M3_SCALE) != (q->tensor_scale != NULL))
        return mxq_fail(error, MXQ_ERR_ARGUMENT,
                        "tensor_scale must be set for E4M3 scales and null for all others");
    return MXQ_OK;
}

enum mxq_status mxq_check_operands(const struct mxq_quantized *q, const struct mxq_matrix *x,
                                   enum mxq_output output, struct mxq_error *error)
{
    struct mxq_span wide, elements, scales;
    if (!q || !x)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "the matrix pointers must not be null");
    enum mxq_status status = mxq_matrix_span(&wide, x, error);
    if (!status)
        status = mxq_quantized_spans(&elements, &scales, q, error);
    if (status)
        return status;
    if (q->rows != x->rows || q->cols != x->cols)
        return mxq_fail(error, MXQ_ERR_SHAPE, "both matrices must have the same rows and cols");
    if (mxq_spans_overlap(&wide, &elements) || mxq_spans_overlap(&wide, &scales) ||
        (output == MXQ_OUTPUT_QUANTIZED && mxq_spans_overlap(&elements, &scales)))
        return mxq_fail(error, MXQ_ERR_OVERLAP, "data, elements and scales must not overlap");
    return MXQ_OK;
}

void mxq_for_each_task(const struct mxq_parallel *parallel, size_t tasks,
                       void (*task)(void *context, size_t index), void *context)
{
    if (parallel && tasks > 1)
        parallel->run(parallel->pool, tasks, task, context);
    else
        for (size_t i = 0; i < tasks; i++)
            task(context, i);
}

/* A task: about this many blocks, 64 Ki values.  Large enough to hide a task's start, small enough
 * for its output to stay in L2. */
#define TASK_BLOCKS 2048

struct cut {
    const struct mxq_quantized *q;
    const struct mxq_matrix *x;
    void (*visit)(void *context, const struct mxq_run *run);
    void *context;
    size_t rows;       /* of the matrix as cut: 1 when it has no gaps */
    size_t blocks;     /* whole blocks of a row */
    size_t tail;       /* elements behind them */
    size_t task_rows;  /* rows of a task */
    size_t row_pieces; /* tasks that share a row */
};

static void run_task(void *context, size_t index)
{
    const struct cut *cut = context;
    const size_t first_row = index / cut->row_pieces * cut->task_rows;
    const size_t piece = index % cut->row_pieces;
    const size_t rows_left = cut->rows - first_row;
    const size_t rows = rows_left < cut->task_rows ? rows_left : cut->task_rows;
    const size_t type_bytes = mxq_type_bytes(cut->x->type);
    struct mxq_run run = {0};
    run.block = piece * TASK_BLOCKS;
    run.blocks = cut->row_pieces == 1 ? cut->blocks : TASK_BLOCKS;
    run.tail = 0;
    if (piece == cut->row_pieces - 1) {
        run.blocks = cut->blocks - run.block;
        run.tail = cut->tail;
    }
    const uint64_t fpenv = mxq_fpenv_enter();
    for (run.row = first_row; run.row < first_row + rows; run.row++) {
        run.wide = (unsigned char *)cut->x->data +
                   (run.row * cut->x->stride + run.block * MXQ_BLOCK) * type_bytes;
        if (cut->q) {
            run.elements =
                cut->q->elements + run.row * cut->q->elements_stride +
                mxq_code_bytes(&mxq_elements[cut->q->format.element], run.block * MXQ_BLOCK);
            run.scales = cut->q->scales + run.row * cut->q->scales_stride + run.block;
        }
        cut->visit(cut->context, &run);
    }
    mxq_fpenv_leave(fpenv);
}

void mxq_for_each_run(const struct mxq_quantized *q, const struct mxq_matrix *x,
                      const struct mxq_parallel *parallel,
                      void (*visit)(void *context, const struct mxq_run *run), void *context)
{
    if (!x->rows || !x->cols)
        return;
    struct cut cut = {q, x, visit, context, x->rows, x->cols / MXQ_BLOCK, x->cols % MXQ_BLOCK,
                      1, 1};
    if (!cut.tail && x->stride == x->cols &&
        (!q || (q->elements_stride == mxq_code_bytes(&mxq_elements[q->format.element], x->cols) &&
                q->scales_stride == cut.blocks))) {
        cut.blocks *= cut.rows;
        cut.rows = 1;
    }
    if (cut.blocks > TASK_BLOCKS)
        cut.row_pieces = (cut.blocks + TASK_BLOCKS - 1) / TASK_BLOCKS;
    else
        cut.task_rows = TASK_BLOCKS / (cut.blocks + 1) + 1;
    const size_t tasks = ((cut.rows - 1) / cut.task_rows + 1) * cut.row_pieces;
    mxq_for_each_task(parallel, tasks, run_task, &cut);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* both.c -- mxq_quantize_both(): a matrix and its transpose, quantized from one read.
 *
 * Where one pass over a block does all, a tile of x goes through the kernel for rows, which brings
 * it into the cache, and then through the one for columns.  All else is two passes of
 * mxq_quantize(), the second of which reads x across its rows. */
#include <string.h>

#include "fpenv.h"
#include "quantize.h"

/* A tile stays in L2 between the two kernels, and its 128 rows make a column 128 bytes of FP8:
 * two lines of the cache.  A task is a strip of tiles, one below the other: it fills the lines
 * and pages of its columns before others need their place. */
#define TILE_ROWS      128
#define TILE_ROW_BYTES 4096
#define TASK_ROWS      1024
#define ROWS_AHEAD     16384 /* bytes, at least: a row or more */
#define L1_WAY_BYTES   4096
#define GROUP          16  /* columns of a group of mxq_columns_fn */
#define CHUNK_COLS     256 /* columns whose outputs stay in L1 from one block to the next */

struct both {
    const struct mxq_matrix *x;
    const struct mxq_quantized *rows; /* NULL: only columns */
    const struct mxq_quantized *cols;
    struct mxq_one_pass of_rows, of_cols;
    size_t tile_cols, tasks_across;
};

/* A piece of x: up to 32 rows, which are one block of each column. */
struct piece {
    size_t row, rows, col, cols;
};

static const unsigned char *value_at(const struct both *b, size_t row, size_t col)
{
    return (const unsigned char *)b->x->data + (row * b->x->stride + col) * b->of_cols.type_bytes;
}

static void quantize_rows(const struct both *b, const struct piece *tile)
{
    const struct mxq_quantized *q = b->rows;
    for (size_t row = tile->row; row < tile->row + tile->rows; row++) {
        const struct mxq_run run = {
            .elements = q->elements + row * q->elements_stride +
                        mxq_code_bytes(b->of_rows.element, tile->col),
            .scales = q->scales + row * q->scales_stride + tile->col / MXQ_BLOCK,
            .wide = (unsigned char *)(uintptr_t)value_at(b, row, tile->col),
            .row = row,
            .block = tile->col / MXQ_BLOCK,
            .blocks = tile->cols / MXQ_BLOCK,
            .tail = tile->cols % MXQ_BLOCK,
        };
        mxq_quantize_run((void *)(uintptr_t)&b->of_rows, &run);
    }
}

/* Up to 16 columns: those that are no group, or have no whole block, are made one with zeros. */
static void quantize_padded(const struct both *b, const struct piece *p, uint8_t *elements,
                            uint8_t *scales)
{
    const size_t bytes = b->of_cols.type_bytes;
    unsigned char x[MXQ_BLOCK * GROUP * 4] = {0};
    uint8_t codes[GROUP * MXQ_BLOCK], found[GROUP];
    for (size_t row = 0; row < p->rows; row++)
        memcpy(x + row * GROUP * bytes, value_at(b, p->row + row, p->col), p->cols * bytes);
    b->of_cols.columns(codes, MXQ_BLOCK, found, 1, x, GROUP, 1, &b->of_cols.rule);
    for (size_t c = 0; c < p->cols; c++) {
        memcpy(elements + c * b->cols->elements_stride, codes + c * MXQ_BLOCK,
               mxq_code_bytes(b->of_cols.element, p->rows));
        scales[c * b->cols->scales_stride] = found[c];
    }
}

/* Whether lines one below the other compete for the same few places of L1: then a copy is
 * faster. */
static int is_aliased(const struct both *b)
{
    return b->x->stride * b->of_cols.type_bytes % L1_WAY_BYTES == 0;
}

static void quantize_piece(const struct both *b, const struct piece *p)
{
    const struct mxq_quantized *q = b->cols;
    const size_t whole = p->rows == MXQ_BLOCK ? p->cols / GROUP : 0;
    uint8_t *elements =
        q->elements + p->col * q->elements_stride + mxq_code_bytes(b->of_cols.element, p->row);
    uint8_t *scales = q->scales + p->col * q->scales_stride + p->row / MXQ_BLOCK;
    if (whole && is_aliased(b)) {
        unsigned char x[MXQ_BLOCK * CHUNK_COLS * 4];
        const size_t cols = whole * GROUP, bytes = cols * b->of_cols.type_bytes;
        for (size_t row = 0; row < MXQ_BLOCK; row++)
            memcpy(x + row * bytes, value_at(b, p->row + row, p->col), bytes);
        b->of_cols.columns(elements, q->elements_stride, scales, q->scales_stride, x, cols, whole,
                           &b->of_cols.rule);
    } else if (whole) {
        b->of_cols.columns(elements, q->elements_stride, scales, q->scales_stride,
                           value_at(b, p->row, p->col), b->x->stride, whole, &b->of_cols.rule);
    }
    for (size_t done = whole * GROUP; done < p->cols; done += GROUP) {
        const size_t left = p->cols - done;
        const struct piece rest = {p->row, p->rows, p->col + done, left < GROUP ? left : GROUP};
        quantize_padded(b, &rest, elements + done * q->elements_stride,
                        scales + done * q->scales_stride);
    }
}

static size_t at_most(size_t left, size_t most)
{
    return left < most ? left : most;
}

static void quantize_tile(const struct both *b, const struct piece *tile)
{
    if (b->rows)
        quantize_rows(b, tile);
    for (size_t col = 0; col < tile->cols; col += CHUNK_COLS)
        for (size_t row = 0; row < tile->rows; row += MXQ_BLOCK) {
            const struct piece piece = {tile->row + row, at_most(tile->rows - row, MXQ_BLOCK),
                                        tile->col + col, at_most(tile->cols - col, CHUNK_COLS)};
            quantize_piece(b, &piece);
        }
}

static void quantize_strip(void *context, size_t index)
{
    const struct both *b = context;
    const size_t first = index / b->tasks_across * TASK_ROWS;
    struct piece tile = {.col = index % b->tasks_across * b->tile_cols};
    const size_t end = first + at_most(b->x->rows - first, TASK_ROWS);
    const uint64_t fpenv = mxq_fpenv_enter();
    tile.cols = at_most(b->x->cols - tile.col, b->tile_cols);
    for (tile.row = first; tile.row < end; tile.row += TILE_ROWS) {
        tile.rows = at_most(end - tile.row, TILE_ROWS);
        quantize_tile(b, &tile);
    }
    mxq_fpenv_leave(fpenv);
}

/* Returns how far ahead to look where the rows below are next: at the same columns of one, ROWS_AHEAD on or more. */
static size_t rows_ahead(const struct mxq_matrix *x)
{
    const size_t row_bytes = x->stride * mxq_type_bytes(x->type);
    return (ROWS_AHEAD + row_bytes - 1) / row_bytes * row_bytes;
}

/* Columns in one pass, and with them rows, unless they are NULL. */
static void quantize_tiles(const struct mxq_kernels *row, const struct mxq_quantized *rows,
                           const struct mxq_quantized *cols, const struct mxq_matrix *x,
                           const struct mxq_quantize_options *o)
{
    struct both b = {.x = x, .rows = rows, .cols = cols};
    if (!x->rows || !x->cols)
        return;
    if (rows) {
        /* What a tile needs next is not behind its rows, but below. */
        b.of_rows = mxq_one_pass_of(row, &rows->format, x->type, o->scale_mode);
        b.of_rows.ahead = rows_ahead(x);
    }
    b.of_cols = mxq_one_pass_of(row, &cols->format, x->type, o->scale_mode);
    b.tile_cols = TILE_ROW_BYTES / b.of_cols.type_bytes;
    b.tasks_across = (x->cols - 1) / b.tile_cols + 1;
    mxq_for_each_task(o->parallel, ((x->rows - 1) / TASK_ROWS + 1) * b.tasks_across, quantize_strip,
                      &b);
}

/* ------------------------------------------ Public -------------------------------------------- */

/* Checks an output and options for it, and gives its memory. */
static enum mxq_status check_output(struct mxq_span spans[2], const struct mxq_quantized *q,
                                    size_t rows, size_t cols, const struct mxq_quantize_options *o,
                                    struct mxq_error *error)
{
    const enum mxq_status status = mxq_quantized_spans(&spans[0], &spans[1], q, error);
    if (status)
        return status;
    if (q->rows != rows || q->cols != cols)
        return mxq_fail(error, MXQ_ERR_SHAPE,
                        "rows must have the shape of x, and cols that of its transpose");
    return mxq_check_quantize_options(o, &q->format, mxq_blocks_of(q), error);
}

static enum mxq_status check_both(const struct mxq_quantized *rows,
                                  const struct mxq_quantized *cols, const struct mxq_matrix *x,
                                  const struct mxq_quantize_options *o, struct mxq_error *error)
{
    struct mxq_span spans[5];
    size_t count = 1;
    if (!rows && !cols)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "rows and cols must not both be null");
    enum mxq_status status = mxq_matrix_span(&spans[0], x, error);
    if (!status && rows) {
        status = check_output(spans + count, rows, x->rows, x->cols, o, error);
        count += 2;
    }
    if (!status && cols) {
        status = check_output(spans + count, cols, x->cols, x->rows, o, error);
        count += 2;
    }
    if (status)
        return status;
    if (rows && cols && o->amax_count > 1)
        return mxq_fail(error, MXQ_ERR_SHAPE,
                        "options.amax_count must be 0 or 1 when rows and cols are both made");
    for (size_t i = 1; i < count; i++)
        for (size_t j = 0; j < i; j++)
            if (mxq_spans_overlap(&spans[i], &spans[j]))
                return mxq_fail(error, MXQ_ERR_OVERLAP,
                                "data, elements and scales must not overlap");
    return MXQ_OK;
}

enum mxq_status mxq_quantize_both(const struct mxq_quantized *rows,
                                  const struct mxq_quantized *cols, const struct mxq_matrix *x,
                                  const struct mxq_quantize_options *options,
                                  struct mxq_error *error)
{
    struct mxq_quantize_options o = MXQ_QUANTIZE_OPTIONS;
    enum mxq_status status = check_both(rows, cols, x, options ? options : &o, error);
    if (status)
        return status;
    if (options)
        o = *options;
    const struct mxq_kernels *row = mxq_active_kernels();
    if (o.nonfinite == MXQ_NONFINITE_ERROR) {
        status = mxq_check_finite(row, x, o.parallel, error);
        if (status)
            return status;
    }
    const int has_rows_in_tiles =
        rows && cols && mxq_is_one_pass(&rows->format, &o) && !o.statistics;
    const int is_in_tiles = cols && mxq_is_one_pass(&cols->format, &o) && (rows || !o.statistics);
    if (rows && !(is_in_tiles && has_rows_in_tiles)) {
        mxq_quantize_checked(row, rows, x, 0, &o);
        o.statistics = NULL; /* they are of the rows */
        rows = NULL;
    }
    if (is_in_tiles)
        quantize_tiles(row, rows, cols, x, &o);
    else if (cols)
        mxq_quantize_checked(row, cols, x, 1, &o);
    return MXQ_OK;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* both.c -- mxq_quantize_both(): a matrix and its transpose, quantized from one read.
 *
 * Where one pass over a block does all and it pays, 32 rows of a tile of x go through the kernel for rows, which
 * brings them into the cache, and then through the one for columns.  All else is two passes of
 * mxq_quantize(), the second of which reads x across its rows. */
#include <string.h>

#include "fpenv.h"
#include "quantize.h"
#include "stream.h"

/* A task is a strip of tiles, one below the other.  A tile is as many rows as make a line of the cache of
 * each column's codes: lines of columns a power of two apart compete for the same few places, and half
 * a line would be thrown out before the other half is there.  Scales are a line of their own for each
 * column, and wait for more. */
#define TILE_COLS      512
#define TASK_ROWS      1024
#define SCALE_BLOCKS   16 /* of a column, that are written together */
#define L1_WAY_BYTES   4096
#define GROUP          16                /* columns of a group of mxq_columns_fn */
#define PIECE_COLS     64                /* to write lines while the next ones are worked out */
#define STREAMED_BYTES ((size_t)1 << 22) /* of elements, that do not stay in the caches anyway */

struct both {
    const struct mxq_matrix *x;
    const struct mxq_quantized *rows; /* NULL: only columns */
    const struct mxq_quantized *cols;
    struct mxq_one_pass of_rows, of_cols;
    size_t tile_rows, tasks_across;
    int streams;
};

/* Rows of x: a tile, up to 32 rows of one, or of these up to PIECE_COLS columns. */
struct piece {
    size_t row, rows, col, cols;
};

/* What a strip makes of its columns, until it is written. */
struct made {
    size_t row; /* of the first scales */
    uint8_t elements[TILE_COLS][MXQ_LINE];
    uint8_t scales[TILE_COLS][SCALE_BLOCKS];
};

static const unsigned char *value_at(const struct both *b, size_t row, size_t col)
{
    return (const unsigned char *)b->x->data + (row * b->x->stride + col) * b->of_cols.type_bytes;
}

static void put_elements(const struct both *b, uint8_t *to, const uint8_t *from, size_t bytes)
{
    if (b->streams && bytes % MXQ_LINE == 0 && (uintptr_t)to % MXQ_LINE == 0)
        mxq_stream(to, from, bytes);
    else
        memcpy(to, from, bytes);
}

static void quantize_rows(const struct both *b, const struct piece *p)
{
    const struct mxq_quantized *q = b->rows;
    for (size_t row = p->row; row < p->row + p->rows; row++) {
        uint8_t elements[TILE_COLS];
        const struct mxq_run run = {
            .elements = elements,
            .scales = q->scales + row * q->scales_stride + p->col / MXQ_BLOCK,
            .wide = (unsigned char *)(uintptr_t)value_at(b, row, p->col),
            .row = row,
            .block = p->col / MXQ_BLOCK,
            .blocks = p->cols / MXQ_BLOCK,
            .tail = p->cols % MXQ_BLOCK,
        };
        mxq_quantize_run((void *)(uintptr_t)&b->of_rows, &run);
        put_elements(
            b, q->elements + row * q->elements_stride + mxq_code_bytes(b->of_rows.element, p->col),
            elements, mxq_code_bytes(b->of_rows.element, p->cols));
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
    b->of_cols.columns(codes, MXQ_BLOCK, found, 1, x, GROUP, 1, &b->of_cols.rule, NULL);
    for (size_t c = 0; c < p->cols; c++) {
        memcpy(elements + c * MXQ_LINE, codes + c * MXQ_BLOCK,
               mxq_code_bytes(b->of_cols.element, p->rows));
        scales[c * SCALE_BLOCKS] = found[c];
    }
}

/* Whether lines one below the other compete for the same few places of L1: then a copy is
 * faster. */
static int is_aliased(const struct both *b)
{
    return b->x->stride * b->of_cols.type_bytes % L1_WAY_BYTES == 0;
}

static size_t at_most(size_t left, size_t most)
{
    return left < most ? left : most;
}

/* What a piece asks for: its share of the tile's next 32 rows.  The kernel for rows asks for them itself. */
static struct mxq_ahead ahead_of(const struct both *b, const struct piece *p)
{
    const size_t row_bytes = b->x->stride * b->of_cols.type_bytes;
    const size_t lines = TILE_COLS * b->of_cols.type_bytes / MXQ_LINE;
    const size_t rows = MXQ_BLOCK + p->col % TILE_COLS * MXQ_BLOCK / TILE_COLS;
    const unsigned char *first = value_at(b, p->row, p->col / TILE_COLS * TILE_COLS);
    return (struct mxq_ahead){(const void *)((uintptr_t)first + rows * row_bytes), row_bytes, lines,
                              b->rows ? 0 : lines};
}

static void quantize_piece(const struct both *b, const struct piece *p, uint8_t *elements,
                           uint8_t *scales)
{
    const size_t bytes = b->of_cols.type_bytes, cols = p->cols / GROUP * GROUP;
    const size_t whole = p->rows == MXQ_BLOCK ? cols / GROUP : 0;
    const struct mxq_ahead ahead = ahead_of(b, p);
    if (whole && is_aliased(b)) {
        unsigned char x[MXQ_BLOCK * PIECE_COLS * 4];
        for (size_t row = 0; row < MXQ_BLOCK; row++)
            memcpy(x + row * cols * bytes, value_at(b, p->row + row, p->col), cols * bytes);
        b->of_cols.columns(elements, MXQ_LINE, scales, SCALE_BLOCKS, x, cols, whole,
                           &b->of_cols.rule, &ahead);
    } else if (whole) {
        b->of_cols.columns(elements, MXQ_LINE, scales, SCALE_BLOCKS, value_at(b, p->row, p->col),
                           b->x->stride, whole, &b->of_cols.rule, &ahead);
    }
    for (size_t done = whole * GROUP; done < p->cols; done += GROUP) {
        const struct piece rest = {p->row, p->rows, p->col + done, at_most(p->cols - done, GROUP)};
        quantize_padded(b, &rest, elements + done * MXQ_LINE, scales + done * SCALE_BLOCKS);
    }
}

/* Writes some columns of a tile. */
static void put_columns(const struct both *b, const struct piece *tile, size_t col, size_t cols,
                        const struct made *made)
{
    const struct mxq_quantized *q = b->cols;
    const size_t bytes = mxq_code_bytes(b->of_cols.element, tile->rows);
    uint8_t *to = q->elements + (tile->col + col) * q->elements_stride +
                  mxq_code_bytes(b->of_cols.element, tile->row);
    for (size_t c = 0; c < cols; c++)
        put_elements(b, to + c * q->elements_stride, made->elements[col + c], bytes);
}

/* Writes the scales of a strip from made->row on. */
static void put_scales(const struct both *b, const struct piece *strip, struct made *made)
{
    const struct mxq_quantized *q = b->cols;
    const size_t blocks = (strip->row - made->row + MXQ_BLOCK - 1) / MXQ_BLOCK;
    uint8_t *to = q->scales + strip->col * q->scales_stride + made->row / MXQ_BLOCK;
    for (size_t c = 0; c < strip->cols; c++)
        memcpy(to + c * q->scales_stride, made->scales[c], blocks);
    made->row = strip->row;
}

static void quantize_tile(const struct both *b, const struct piece *tile, struct made *made)
{
    for (size_t row = 0; row < tile->rows; row += MXQ_BLOCK) {
        const size_t block = (tile->row + row - made->row) / MXQ_BLOCK;
        struct piece p = {tile->row + row, at_most(tile->rows - row, MXQ_BLOCK), tile->col,
                          tile->cols};
        if (b->rows)
            quantize_rows(b, &p);
        for (size_t col = 0; col < tile->cols; col += PIECE_COLS) {
            p.col = tile->col + col;
            p.cols = at_most(tile->cols - col, PIECE_COLS);
            quantize_piece(b, &p, made->elements[col] + mxq_code_bytes(b->of_cols.element, row),
                           made->scales[col] + block);
            if (row + MXQ_BLOCK >= tile->rows)
                put_columns(b, tile, col, p.cols, made);
        }
    }
}

static void quantize_strip(void *context, size_t index)
{
    const struct both *b = context;
    const size_t first = index / b->tasks_across * TASK_ROWS;
    struct piece tile = {first, 0, index % b->tasks_across * TILE_COLS, 0};
    const size_t end = first + at_most(b->x->rows - first, TASK_ROWS);
    const uint64_t fpenv = mxq_fpenv_enter();
    struct made made;
    made.row = first;
    tile.cols = at_most(b->x->cols - tile.col, TILE_COLS);
    while (tile.row < end) {
        tile.rows = at_most(end - tile.row, b->tile_rows);
        quantize_tile(b, &tile, &made);
        tile.row += tile.rows;
        if (tile.row == end || tile.row == made.row + SCALE_BLOCKS * MXQ_BLOCK)
            put_scales(b, &tile, &made);
    }
    if (b->streams)
        mxq_stream_end();
    mxq_fpenv_leave(fpenv);
}

static int is_beyond_caches(const struct mxq_matrix *x)
{
    return x->rows * x->cols >= STREAMED_BYTES;
}

/* Rows in tiles are short runs, which cost more than a second read from a cache, or of narrow values. */
static int saves_by_one_read(const struct mxq_matrix *x)
{
    return x->type == MXQ_F32 && is_beyond_caches(x);
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
        b.of_rows.ahead = MXQ_BLOCK * x->stride * mxq_type_bytes(x->type);
    }
    b.of_cols = mxq_one_pass_of(row, &cols->format, x->type, o->scale_mode);
    b.tile_rows = b.of_cols.element->bits == 4 ? 2 * MXQ_LINE : MXQ_LINE;
    b.tasks_across = (x->cols - 1) / TILE_COLS + 1;
    b.streams = is_beyond_caches(x);
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
        rows && cols && saves_by_one_read(x) && mxq_is_one_pass(&rows->format, &o) && !o.statistics;
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

/* SPDX-License-Identifier: Apache-2.0 */
/* piece.c -- what mxq_quantize() would make of a matrix, a piece of a row at a time: the amax of a block that
 * is larger than a piece is found first, and given to it. */
#include "piece.h"

#include <stdatomic.h>
#include <string.h>

#include "fpenv.h"
#include "matrix.h"

#define NONFINITE UINT32_C(0x7F800000)

/* ---------------------------------------- amax of an area --------------------------------------- */

/* amax of up to MXQ_SPAN values. */
static uint32_t amax_of_values(const struct mxq_pieces *p, const unsigned char *x, size_t count)
{
    const enum mxq_type type = p->x->type;
    const size_t whole = count / MXQ_BLOCK, bytes = mxq_type_bytes(type);
    uint32_t largest, rest = 0;
    p->kernels->amax_all[type](&largest, x, whole, mxq_ahead(type));
    if (count % MXQ_BLOCK) {
        unsigned char padded[MXQ_BLOCK * 4] = {0};
        memcpy(padded, x + whole * MXQ_BLOCK * bytes, count % MXQ_BLOCK * bytes);
        p->kernels->amax_all[type](&rest, padded, 1, 0);
    }
    largest = rest > largest ? rest : largest;
    return largest >= NONFINITE && p->options.nonfinite == MXQ_NONFINITE_CLAMP
               ? mxq_finite_amax(x, count, type)
               : largest;
}

/* amax of some rows, from column `col` to `end`. */
static uint32_t amax_of_area(const struct mxq_pieces *p, size_t row, size_t rows, size_t col,
                             size_t end)
{
    const struct mxq_matrix *x = p->x;
    const size_t bytes = mxq_type_bytes(x->type);
    uint32_t largest = 0;
    for (size_t r = row; r < row + rows && r < x->rows; r++)
        for (size_t i = col; i < end; i += MXQ_SPAN) {
            const unsigned char *data =
                (const unsigned char *)x->data + (r * x->stride + i) * bytes;
            const uint32_t amax = amax_of_values(p, data, end - i < MXQ_SPAN ? end - i : MXQ_SPAN);
            largest = amax > largest ? amax : largest;
        }
    return largest;
}

#define TASK_ROWS 16

struct search {
    const struct mxq_pieces *pieces;
    _Atomic uint32_t largest;
};

static void search_rows(void *context, size_t index)
{
    struct search *s = context;
    const uint64_t fpenv = mxq_fpenv_enter();
    const uint32_t amax =
        amax_of_area(s->pieces, index * TASK_ROWS, TASK_ROWS, 0, s->pieces->x->cols);
    mxq_fpenv_leave(fpenv);
    uint32_t seen = atomic_load(&s->largest);
    while (amax > seen && !atomic_compare_exchange_weak(&s->largest, &seen, amax))
        ;
}

void mxq_begin_pieces(struct mxq_pieces *p, const struct mxq_parallel *parallel)
{
    p->options.statistics = NULL;
    p->options.parallel = NULL;
    if (p->options.nonfinite == MXQ_NONFINITE_ERROR)
        p->options.nonfinite = MXQ_NONFINITE_NAN;
    if (p->options.amax_count || (p->format.scale != MXQ_E4M3_SCALE && p->format.block_rows))
        return;
    struct search s = {p, 0};
    mxq_for_each_task(parallel, (p->x->rows + TASK_ROWS - 1) / TASK_ROWS, search_rows, &s);
    p->tensor_amax = atomic_load(&s.largest);
}

/* -------------------------------------------- Pieces -------------------------------------------- */

static int is_square(const struct mxq_format *f)
{
    return f->block_rows > 1;
}

/* Whether a piece's scales follow from its own values. */
static int is_local(const struct mxq_pieces *p)
{
    const struct mxq_format *f = &p->format;
    return p->options.amax_count ||
           (f->scale != MXQ_E4M3_SCALE && f->block_rows == 1 && f->block_cols);
}

void mxq_find_amaxes(const struct mxq_pieces *p, uint32_t amax[MXQ_PIECE_AMAXES], size_t row,
                     size_t col, size_t count)
{
    const struct mxq_format *f = &p->format;
    if (is_local(p))
        return;
    if (is_square(f)) {
        for (size_t i = 0; i < count; i += f->block_cols) {
            const size_t left = count - i;
            amax[i / f->block_cols] =
                amax_of_area(p, row / f->block_rows * f->block_rows, f->block_rows, col + i,
                             col + i + (left < f->block_cols ? left : f->block_cols));
        }
    } else {
        amax[0] = f->block_rows && !f->block_cols ? amax_of_area(p, row, 1, 0, p->x->cols)
                                                  : p->tensor_amax;
    }
}

/* Values that share one amax that is known, or whose own values say all. */
static void quantize_part(const struct mxq_pieces *p, const struct mxq_quantized *q, size_t row,
                          size_t col, const uint32_t *amax)
{
    const struct mxq_matrix *x = p->x;
    struct mxq_quantize_options o = p->options;
    struct mxq_matrix part = {(unsigned char *)x->data +
                                  (row * x->stride + col) * mxq_type_bytes(x->type),
                              x->type, 1, q->cols, q->cols};
    float nans[MXQ_SPAN], value;
    o.first_index += (uint64_t)row * x->cols + col;
    if (o.amax_count > 1) {
        const struct mxq_format *f = &p->format;
        const size_t across = mxq_block_count(f->block_cols, x->cols);
        o.amax += row / mxq_block_length(f->block_rows, x->rows) * across +
                  col / mxq_block_length(f->block_cols, x->cols);
        o.amax_count = mxq_block_count(q->format.block_cols, q->cols);
    } else if (!is_local(p) && *amax >= NONFINITE) {
        memset(nans, 0xFF, sizeof nans);
        part.data = nans;
        part.type = MXQ_F32;
    } else if (!is_local(p)) {
        memcpy(&value, amax, sizeof value);
        o.amax = &value;
        o.amax_count = 1;
    }
    /* The operands are sound: they were checked as a whole. */
    const enum mxq_status status = mxq_quantize(q, &part, &o, NULL);
    (void)status;
}

void mxq_quantize_piece(const struct mxq_pieces *p, struct mxq_piece *piece, size_t row, size_t col,
                        size_t count, const uint32_t amax[MXQ_PIECE_AMAXES])
{
    const struct mxq_element_info *e = &mxq_elements[p->format.element];
    struct mxq_format format = p->format;
    format.block_rows = 1;
    float *tensor_scale = format.scale == MXQ_E4M3_SCALE ? &piece->tensor_scale : NULL;
    const size_t step = is_square(&p->format) && !is_local(p) ? format.block_cols : MXQ_SPAN;
    for (size_t i = 0; i < count; i += step) {
        const size_t cols = count - i < step ? count - i : step;
        const size_t block = format.block_cols ? i / format.block_cols : 0;
        const struct mxq_quantized q = {
            format, 1,
            cols,   piece->elements + mxq_code_bytes(e, i),
            0,      piece->scales + block * mxq_scale_bytes(format.scale),
            0,      tensor_scale};
        quantize_part(p, &q, row, col + i, amax + i / step);
    }
    piece->q = (struct mxq_quantized){format,        1, count,       piece->elements, 0,
                                      piece->scales, 0, tensor_scale};
}

/* SPDX-License-Identifier: Apache-2.0 */
/* operands.c -- x of a product: quantized if asked for, unpacked, rounded, and padded with zeros. */
#include "operands.h"

#include <math.h>
#include <string.h>

#include "fpenv.h"

#define NONFINITE UINT32_C(0x7F800000)

/* Rows of x whose stride is near a multiple of 4 KiB fall into the same sets of L1. */
#define ROW_STEP ((size_t)2048)

static size_t stride_of(size_t row_bytes)
{
    return (row_bytes + ROW_STEP - 1) / ROW_STEP * ROW_STEP + ROW_STEP / 2;
}

size_t mxq_x_row_bytes(size_t blocks)
{
    return stride_of(blocks * (MXQ_BLOCK + 1) * sizeof(float));
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* ------------------------------------------- Integers ------------------------------------------ */

/* Integers are the values of codes times 2^shift; -1: they are no integers of 8 bits. */
static int integer_shift(enum mxq_element element)
{
    static const int shifts[MXQ_ELEMENTS] = {
        [MXQ_E4M3] = -1, [MXQ_E5M2] = -1,  [MXQ_E3M2] = -1, [MXQ_E2M3] = 3,
        [MXQ_E2M1] = 1,  [MXQ_MXINT8] = 6, [MXQ_INT8] = 0};
    return shifts[element];
}

int mxq_x_is_integer(const struct mxq_x *x)
{
    return x->format && x->format->scale != MXQ_E4M3_SCALE &&
           integer_shift(x->format->element) >= 0;
}

int mxq_x_is_bf16(const struct mxq_x *x)
{
    return x->format || x->wide->type == MXQ_BF16 || x->is_rounded;
}

/* The integers of `count` elements of a row from column `col` on, as bytes: integer + 128. */
static void load_integers(const struct mxq_kernels *kernels, uint8_t *out,
                          const struct mxq_quantized *q, size_t row, size_t col, size_t count)
{
    const struct mxq_element_info *e = &mxq_elements[q->format.element];
    const uint8_t *codes = q->elements + row * q->elements_stride + mxq_code_bytes(e, col);
    if (e->kind == MXQ_INTEGER) {
        for (size_t i = 0; i < count; i++)
            out[i] = codes[i] ^ 0x80;
        return;
    }
    const size_t blocks = (count + MXQ_BLOCK - 1) / MXQ_BLOCK;
    uint8_t padded[MXQ_SPAN] = {0};
    float values[MXQ_SPAN];
    memcpy(padded, codes, mxq_code_bytes(e, count));
    kernels->unpack[q->format.element][MXQ_F32](values, padded, mxq_unit_codes, blocks);
    const float factor = (float)(1 << integer_shift(q->format.element));
    for (size_t i = 0; i < count; i++)
        out[i] = (uint8_t)((int)(values[i] * factor) + 128);
}

/* One sub-block of x in INT8, of integers + 128 that are padded already. */
static void store_integers(unsigned char *to, const uint8_t *integers, uint8_t scale, int shift,
                           struct mxq_range *range)
{
    const float factor = scale == 0xFF ? NAN : ldexpf(1, scale - 127 - shift);
    const float most = factor * 128;
    uint8_t any = 0, least = 0xFF;
    uint32_t low, high;
    for (size_t i = 0; i < MXQ_BLOCK; i++) {
        any |= integers[i] ^ 0x80;
        least = integers[i] < least ? integers[i] : least;
    }
    memcpy(to, integers, MXQ_BLOCK);
    memcpy(to + MXQ_BLOCK, &factor, sizeof factor);
    memcpy(&low, &factor, sizeof low);
    memcpy(&high, &most, sizeof high);
    if (!least) /* -128 */
        high = NONFINITE;
    if (any || scale == 0xFF) {
        range->low = low < range->low ? low : range->low;
        range->high = high > range->high ? high : range->high;
    }
}

/* -------------------------------------------- Values ------------------------------------------- */

void mxq_load_wide(const struct mxq_kernels *kernels, float *out, const struct mxq_matrix *x,
                   size_t row, size_t first, size_t blocks, struct mxq_range *range)
{
    const size_t bytes = mxq_type_bytes(x->type), left = x->cols - first;
    const unsigned char *data = (const unsigned char *)x->data + (row * x->stride + first) * bytes;
    const size_t whole = smaller(blocks, left / MXQ_BLOCK);
    kernels->operand[x->type](out, data, whole, range);
    if (whole < blocks) {
        unsigned char padded[MXQ_BLOCK * 4] = {0};
        memcpy(padded, data + whole * MXQ_BLOCK * bytes, (left - whole * MXQ_BLOCK) * bytes);
        kernels->operand[x->type](out + whole * MXQ_BLOCK, padded, 1, range);
    }
}

/* The elements of up to MXQ_SPAN values of a row, times their scales where these are exact, and zeros up to
 * a multiple of 32. */
static void load_quantized(const struct mxq_kernels *kernels, float *out,
                           const struct mxq_quantized *q, size_t row, size_t col, size_t count,
                           struct mxq_range *range)
{
    const struct mxq_element_info *e = &mxq_elements[q->format.element];
    const size_t blocks = (count + MXQ_BLOCK - 1) / MXQ_BLOCK;
    const uint8_t *elements = q->elements + row * q->elements_stride + mxq_code_bytes(e, col);
    const uint8_t *codes = mxq_unit_codes;
    uint8_t padded[MXQ_SPAN], own_codes[MXQ_SPAN_BLOCKS];
    if (count % MXQ_BLOCK) {
        memset(padded, 0, mxq_code_bytes(e, blocks * MXQ_BLOCK));
        elements = memcpy(padded, elements, mxq_code_bytes(e, count));
    }
    if (q->format.scale == MXQ_E8M0) {
        mxq_span_codes(own_codes, q, row, col, blocks);
        codes = own_codes;
    }
    if (q->format.scale == MXQ_E4M3_SCALE) {
        float room[MXQ_SPAN_FACTORS];
        const struct mxq_factors by = mxq_span_factors(room, kernels, q, row, col, blocks);
        kernels->unpack_by[q->format.element][MXQ_F32](out, elements, &by, 1, blocks);
    } else {
        kernels->unpack[q->format.element][MXQ_F32](out, elements, codes, blocks);
    }
    for (size_t i = count; i < blocks * MXQ_BLOCK; i++) /* a NaN block's padding is no NaN */
        out[i] = 0;
    kernels->operand[MXQ_F32](out, out, blocks, range);
}

/* Moves runs of values apart, to sub-blocks of 32 that are filled up with `blank`. */
static void spread(void *values, size_t bytes, size_t run, size_t blocks, int blank)
{
    unsigned char *data = values;
    for (size_t b = blocks; run < MXQ_BLOCK && b-- > 0;) {
        unsigned char *to = data + b * MXQ_BLOCK * bytes;
        memmove(to, data + b * run * bytes, run * bytes);
        memset(to + run * bytes, blank, (MXQ_BLOCK - run) * bytes);
    }
}

/* --------------------------------------------- Rows -------------------------------------------- */

/* A chunk of a row: sub-blocks block .. block + blocks - 1, values col .. col + count - 1. */
struct chunk {
    size_t row, block, blocks, col, count;
    const struct mxq_quantized *q; /* NULL: not quantized */
    size_t q_row, q_col;           /* where its first value is there */
};

static void store_factors(const struct mxq_x *x, const struct chunk *c)
{
    float *to = (float *)(void *)(x->data + c->row * x->stride_bytes + x->factors);
    if (x->format->scale == MXQ_E4M3_SCALE) {
        *to = *c->q->tensor_scale;
        return;
    }
    const size_t length = mxq_block_length(x->format->block_cols, x->cols);
    const size_t q_length = mxq_block_length(c->q->format.block_cols, c->q->cols);
    for (size_t i = 0; i < c->count; i += length)
        to[(c->col + i) / length] = mxq_block_scale(c->q, c->q_row, (c->q_col + i) / q_length);
}

static void store_chunk_of_integers(const struct mxq_x *x, const struct chunk *c,
                                    struct mxq_range *range)
{
    uint8_t integers[MXQ_SPAN], codes[MXQ_SPAN_BLOCKS];
    const int is_e8m0 = x->format->scale == MXQ_E8M0;
    unsigned char *to = x->data + c->row * x->stride_bytes + c->block * MXQ_INT8_X_BYTES;
    memset(integers, 0x80, sizeof integers);
    load_integers(x->kernels, integers, c->q, c->q_row, c->q_col, c->count);
    spread(integers, 1, x->run, c->blocks, 0x80);
    if (is_e8m0)
        mxq_span_codes(codes, c->q, c->q_row, c->q_col, (c->count + MXQ_BLOCK - 1) / MXQ_BLOCK);
    for (size_t b = 0; b < c->blocks; b++)
        store_integers(to + b * MXQ_INT8_X_BYTES, integers + b * MXQ_BLOCK,
                       is_e8m0 ? codes[b * x->run / MXQ_BLOCK] : 127,
                       integer_shift(x->format->element), range);
}

static void store_chunk_of_values(const struct mxq_x *x, const struct chunk *c,
                                  struct mxq_range *range)
{
    const size_t bytes = x->kernels->tile[x->compute].x_bytes;
    const int is_rounded = x->compute == MXQ_BF16 || x->is_rounded;
    float values[MXQ_SPAN];
    void *to = x->data + c->row * x->stride_bytes + c->block * bytes;
    float *out = is_rounded || x->run < MXQ_BLOCK ? values : to;
    if (c->q)
        load_quantized(x->kernels, out, c->q, c->q_row, c->q_col, c->count, range);
    else
        mxq_load_wide(x->kernels, out, x->wide, c->row, c->col,
                      (c->count + MXQ_BLOCK - 1) / MXQ_BLOCK, range);
    spread(out, sizeof *out, x->run, c->blocks, 0);
    if (is_rounded)
        x->kernels->round[x->compute](to, out, c->blocks);
    else if (out != to)
        memcpy(to, out, c->blocks * bytes);
}

static void prepare_row(const struct mxq_x *x, size_t row, struct mxq_range *range)
{
    uint32_t amax[MXQ_PIECE_AMAXES];
    struct mxq_piece piece;
    const int is_pieced = x->format && !x->quantized;
    if (is_pieced)
        mxq_find_amaxes(&x->pieces, amax, row, 0, x->cols);
    for (size_t b = 0; b < x->blocks; b += MXQ_SPAN_BLOCKS) {
        struct chunk c = {row,        b,         smaller(x->blocks - b, MXQ_SPAN_BLOCKS),
                          b * x->run, 0,         x->quantized,
                          row,        b * x->run};
        c.count = smaller(x->cols - c.col, c.blocks * x->run);
        if (is_pieced) {
            mxq_quantize_piece(&x->pieces, &piece, row, c.col, c.count, amax);
            c.q = &piece.q;
            c.q_row = c.q_col = 0;
        }
        if (x->factor_blocks)
            store_factors(x, &c);
        if (x->compute == MXQ_COMPUTE_INT8)
            store_chunk_of_integers(x, &c, range);
        else
            store_chunk_of_values(x, &c, range);
    }
}

static void extend(struct mxq_x *x, const struct mxq_range *range)
{
    uint32_t seen = atomic_load(&x->low);
    while (range->low < seen && !atomic_compare_exchange_weak(&x->low, &seen, range->low))
        ;
    seen = atomic_load(&x->high);
    while (range->high > seen && !atomic_compare_exchange_weak(&x->high, &seen, range->high))
        ;
}

#define TASK_ROWS 4

static void prepare_rows(void *context, size_t index)
{
    struct mxq_x *x = context;
    struct mxq_range range = MXQ_RANGE_EMPTY;
    const uint64_t fpenv = mxq_fpenv_enter();
    for (size_t r = index * TASK_ROWS; r < smaller(x->rows, (index + 1) * TASK_ROWS); r++)
        prepare_row(x, r, &range);
    mxq_fpenv_leave(fpenv);
    extend(x, &range);
}

void mxq_prepare_x(struct mxq_x *x, int compute, const struct mxq_parallel *parallel)
{
    const struct mxq_range none = MXQ_RANGE_EMPTY;
    x->compute = compute;
    x->factors = x->blocks * x->kernels->tile[compute].x_bytes;
    x->stride_bytes = stride_of(x->factors + (x->factor_blocks ? x->blocks * sizeof(float) : 0));
    atomic_store(&x->low, none.low);
    atomic_store(&x->high, none.high);
    mxq_for_each_task(parallel, (x->rows + TASK_ROWS - 1) / TASK_ROWS, prepare_rows, x);
}

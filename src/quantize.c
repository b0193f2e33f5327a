/* SPDX-License-Identifier: Apache-2.0 */
/* quantize.c -- mxq_quantize(): checks, and the passes over a tile.
 *
 * A matrix is cut into tiles of whole blocks: a row, or as much of it as stays in L1, or 128 rows of
 * blocks of 128 x 128.  A tile goes through amax, scales, elements and, if asked for, statistics; while
 * its elements are made, span by span, amax of the next tile is looked for, so that memory is read all the
 * time.  Blocks over the whole tensor have their amax from a pass of its own.  What is asked for most, E8M0
 * scales on 1 x 32 blocks rounded to nearest even, has a kernel that does all in one pass over long runs. */
#include <float.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "fpenv.h"
#include "quantize.h"
#include "scalar/wide.h"
#include "span.h"

#define NONFINITE UINT32_C(0x7F800000) /* F32 bits of infinity: NaNs are above, the rest below */

/* ------------------------------ Long runs through the one-pass kernel --------------------------- */

/* A partial block is quantized as a whole one whose missing elements are +0. */
static void quantize_tail(const struct mxq_one_pass *c, const struct mxq_run *run)
{
    unsigned char x[MXQ_BLOCK * 4] = {0};
    uint8_t elements[MXQ_BLOCK];
    memcpy(x, run->wide + run->blocks * MXQ_BLOCK * c->type_bytes, run->tail * c->type_bytes);
    c->quantize(elements, run->scales + run->blocks, x, 1, &c->rule, 0);
    memcpy(run->elements + mxq_code_bytes(c->element, run->blocks * MXQ_BLOCK), elements,
           mxq_code_bytes(c->element, run->tail));
}

void mxq_quantize_run(void *context, const struct mxq_run *run)
{
    const struct mxq_one_pass *c = context;
    c->quantize(run->elements, run->scales, run->wide, run->blocks, &c->rule, c->ahead);
    if (run->tail)
        quantize_tail(c, run);
}

/* ------------------------------- The first NaN or infinity, if any ----------------------------- */

struct search {
    mxq_amax_fn *kernel;
    size_t type_bytes;
    const struct mxq_matrix *x;
    _Atomic uint64_t first; /* row-major index of the first one so far; UINT64_MAX: none */
};

/* Keeps the smallest index that any thread has found. */
static void report(struct search *s, uint64_t index)
{
    uint64_t seen = atomic_load_explicit(&s->first, memory_order_relaxed);
    while (index < seen && !atomic_compare_exchange_weak(&s->first, &seen, index))
        ;
}

/* Finds the first non-finite value of a block: a block with that value alone has a large amax. */
static void search_block(struct search *s, const unsigned char *wide, size_t values, uint64_t index)
{
    for (size_t i = 0; i < values; i++) {
        unsigned char x[MXQ_BLOCK * 4] = {0};
        uint32_t amax;
        memcpy(x, wide + i * s->type_bytes, s->type_bytes);
        s->kernel(&amax, x, 1, 0);
        if (amax >= NONFINITE) {
            report(s, index + i);
            return;
        }
    }
}

static void search_run(void *context, const struct mxq_run *run)
{
    struct search *s = context;
    uint32_t amax[64];
    const uint64_t index = (uint64_t)run->row * s->x->cols + run->block * MXQ_BLOCK;
    for (size_t done = 0; done < run->blocks; done += 64) {
        const size_t blocks = run->blocks - done < 64 ? run->blocks - done : 64;
        s->kernel(amax, run->wide + done * MXQ_BLOCK * s->type_bytes, blocks,
                  mxq_ahead(s->x->type));
        for (size_t b = 0; b < blocks; b++)
            if (amax[b] >= NONFINITE) {
                const size_t value = (done + b) * MXQ_BLOCK;
                search_block(s, run->wide + value * s->type_bytes, MXQ_BLOCK, index + value);
                return;
            }
    }
    const size_t value = run->blocks * MXQ_BLOCK;
    search_block(s, run->wide + value * s->type_bytes, run->tail, index + value);
}

enum mxq_status mxq_check_finite(const struct mxq_kernels *row, const struct mxq_matrix *x,
                                 const struct mxq_parallel *parallel, struct mxq_error *error)
{
    struct search s = {row->amax[x->type], mxq_type_bytes(x->type), x, UINT64_MAX};
    mxq_for_each_run(NULL, x, parallel, search_run, &s);
    const uint64_t first = atomic_load(&s.first);
    if (first == UINT64_MAX)
        return MXQ_OK;
    const enum mxq_status status =
        mxq_fail(error, MXQ_ERR_NONFINITE, "the value at row, col is a NaN or an infinity");
    if (error) {
        error->row = first / x->cols;
        error->col = first % x->cols;
    }
    return status;
}

/* ------------------------------------------- Tiles --------------------------------------------- */

/* Tasks have a cut that depends on the shape alone: statistics are summed along it. */
#define MOST_TASKS   256
#define TASK_VALUES  65536
#define TILE_COLS    4096            /* of a row they stay in L1, of 128 rows in L3 */
#define TILE_FACTORS (TILE_COLS / 8) /* blocks are no shorter */

/* While a tile is packed memory is asked for so many bytes more than the next one's amax has come to: far enough for a
 * miss, near enough to stay in L1 with both tiles. */
#define NEAR 6144

/* The same while a span is measured, which takes longer than to quantize it, and more of L1. */
#define MEASURE_AHEAD 8192

/* The sums of a task. */
struct partial {
    double xx, yy, ee, max_error, amax;
    uint64_t values, saturated, flushed;
};

struct quantize {
    const struct mxq_kernels *kernels;
    const struct mxq_quantized *q;
    const struct mxq_matrix *x;
    int is_transposed; /* value (row, col) of what is quantized is x's (col, row) */
    const struct mxq_quantize_options *options;
    const struct mxq_element_info *element;
    enum mxq_scale_mode mode;
    struct mxq_scale_rule rule;
    struct mxq_quotient_rule quotient;
    int is_fused;                       /* the one-pass kernel does all but the statistics */
    int is_sought;                      /* tiles look for the amax of their blocks */
    int is_encoded;                     /* elements are made by encode, not by pack */
    float tensor_amax;                  /* of a block over the whole tensor, or of E4M3 scales */
    float tensor_scale;                 /* 1 but for E4M3 scales */
    float tensor_by;                    /* of a block over the whole tensor */
    uint32_t bounded_low, bounded_high; /* of struct mxq_factors */
    size_t length;                      /* of a block along a row */
    unsigned shift;                     /* value i of a row of a tile is in its block i >> shift */
    size_t tile_rows, tile_cols;
    size_t tiles_across, tiles, task_tiles;
    struct partial *partials; /* of each task */
    _Atomic uint32_t seen;    /* while looking for tensor_amax: the largest yet */
};

/* A tile in work. */
struct tile {
    size_t row, rows, col, cols;
    size_t blocks;      /* side by side */
    size_t sought_rows; /* where amax was looked for */
    size_t sought_cols; /* and where in the next row */
    size_t ahead; /* what to ask for while it is packed: so many bytes behind what is packed */
    uint32_t amax[TILE_FACTORS];
    uint8_t codes[TILE_FACTORS]; /* E8M0 */
    float by[TILE_FACTORS];      /* other scales: what quantizing divides by, or multiplies by */
};

/* A span in work: x has whole blocks, filled up with zeros. */
struct span {
    size_t row, col, count, blocks;
    const unsigned char *x;
    unsigned char padded[MXQ_SPAN * 4];
};

/* Reads a row of the transpose: a column. */
static void gather(unsigned char *values, const unsigned char *first, size_t stride, size_t count,
                   size_t type_bytes)
{
    for (size_t i = 0; i < count; i++, first += stride * type_bytes)
        if (type_bytes == 4)
            memcpy(values + 4 * i, first, 4);
        else
            memcpy(values + 2 * i, first, 2);
}

static void load_span(const struct quantize *c, struct span *s, size_t row, size_t col,
                      size_t count)
{
    const size_t type_bytes = mxq_type_bytes(c->x->type);
    const size_t index = c->is_transposed ? col * c->x->stride + row : row * c->x->stride + col;
    s->row = row;
    s->col = col;
    s->count = count;
    s->blocks = (count + MXQ_BLOCK - 1) / MXQ_BLOCK;
    s->x = (const unsigned char *)c->x->data + index * type_bytes;
    if (!c->is_transposed && count % MXQ_BLOCK == 0)
        return;
    memset(s->padded + count * type_bytes, 0, (s->blocks * MXQ_BLOCK - count) * type_bytes);
    if (c->is_transposed)
        gather(s->padded, s->x, c->x->stride, count, type_bytes);
    else
        memcpy(s->padded, s->x, count * type_bytes);
    s->x = s->padded;
}

/* -------------------------------------------- amax ---------------------------------------------- */

uint32_t mxq_finite_amax(const unsigned char *x, size_t values, enum mxq_type type)
{
    uint32_t amax = 0;
    for (size_t i = 0; i < values; i++) {
        const uint32_t magnitude = load_f32_bits(x, i, type) & 0x7FFFFFFF;
        if (magnitude < NONFINITE && magnitude > amax)
            amax = magnitude;
    }
    return amax;
}

/* amax of each `unit` values of a span, 8, 16 or 32 of them, or of all, for which it is SIZE_MAX. */
static void span_amax(const struct quantize *c, uint32_t *amax, const struct span *s, size_t unit,
                      size_t ahead)
{
    const enum mxq_type type = c->x->type;
    const struct mxq_kernels *k = c->kernels;
    const size_t all = s->blocks * MXQ_BLOCK, length = unit < all ? unit : all;
    mxq_amax_fn *kernel = unit == 8           ? k->amax_8[type]
                          : unit == 16        ? k->amax_16[type]
                          : unit == MXQ_BLOCK ? k->amax[type]
                                              : k->amax_all[type];
    kernel(amax, s->x, s->blocks, ahead);
    if (c->options->nonfinite != MXQ_NONFINITE_CLAMP)
        return;
    for (size_t i = 0; i < all / length; i++)
        if (amax[i] >= NONFINITE)
            amax[i] = mxq_finite_amax(s->x + i * length * mxq_type_bytes(type), length, type);
}

/* a[i] = max(a[i], b[i]), of magnitudes, which are no negative integers. */
static void raise(uint32_t *a, const uint32_t *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        a[i] = (int32_t)b[i] > (int32_t)a[i] ? b[i] : a[i];
}

/* Values in a row that amax is found of at once: a block, or of longer ones a piece; SIZE_MAX: a span. */
static size_t unit_of(const struct quantize *c)
{
    return c->q->format.block_cols == 0 ? SIZE_MAX : c->length < MXQ_BLOCK ? c->length : MXQ_BLOCK;
}

/* Units to a block. */
static size_t pieces_of(const struct quantize *c)
{
    return c->q->format.block_cols == 0 ? 1 : c->length / unit_of(c);
}

/* Looks for amax of the units of a tile's next span; returns 0 if none is left. */
static int seek_amax_of_tile(const struct quantize *c, struct tile *t, size_t ahead)
{
    const size_t unit = unit_of(c), left = t->cols - t->sought_cols;
    uint32_t *const to = t->amax + (unit == SIZE_MAX ? 0 : t->sought_cols / unit);
    struct span s;
    if (t->sought_rows == t->rows)
        return 0;
    load_span(c, &s, t->row + t->sought_rows, t->col + t->sought_cols,
              left < MXQ_SPAN ? left : MXQ_SPAN);
    if (t->rows == 1 && unit != SIZE_MAX) {
        span_amax(c, to, &s, unit, ahead);
    } else {
        uint32_t amax[MXQ_SPAN_FACTORS];
        span_amax(c, amax, &s, unit, ahead);
        raise(to, amax, unit == SIZE_MAX ? 1 : s.blocks * MXQ_BLOCK / unit);
    }
    t->sought_cols += s.count;
    if (t->sought_cols == t->cols) {
        t->sought_cols = 0;
        t->sought_rows++;
    }
    return 1;
}

/* Brings the units of blocks together. */
static void join_pieces(const struct quantize *c, struct tile *t)
{
    const size_t pieces = pieces_of(c);
    for (size_t b = 0; pieces > 1 && b < t->blocks; b++) {
        uint32_t largest = 0;
        for (size_t i = 0; i < pieces; i++)
            raise(&largest, &t->amax[b * pieces + i], 1);
        t->amax[b] = largest;
    }
}

/* amax from outside, for the blocks of a tile. */
static void take_amax(const struct quantize *c, struct tile *t)
{
    const struct mxq_quantize_options *o = c->options;
    const size_t across = mxq_block_count(c->q->format.block_cols, c->q->cols);
    const size_t first = t->row / c->tile_rows * across + t->col / c->length;
    for (size_t b = 0; b < t->blocks; b++)
        t->amax[b] = bits_of(o->amax_count > 1 ? o->amax[first + b] : c->tensor_amax);
}

/* ------------------------------------------- Scales --------------------------------------------- */

/* Adds to the codes of a span's blocks of 32 what their squared errors ask for. */
static void choose_by_error(const struct quantize *c, uint8_t *codes, const struct span *s)
{
    struct mxq_range unused = MXQ_RANGE_EMPTY;
    float values[MXQ_SPAN];
    c->kernels->operand[c->x->type](values, s->x, s->blocks, &unused);
    c->kernels->mse[c->q->format.element](codes, values, s->blocks);
}

static void make_scales(const struct quantize *c, struct tile *t)
{
    const struct mxq_quantized *q = c->q;
    const size_t scale_bytes = mxq_scale_bytes(q->format.scale);
    uint8_t *scales =
        q->scales + t->row / c->tile_rows * q->scales_stride + t->col / c->length * scale_bytes;
    const uint32_t least = bits_of(c->options->amax_floor);
    for (size_t b = 0; least && b < t->blocks; b++)
        if (t->amax[b] < least)
            t->amax[b] = least;
    if (q->format.scale == MXQ_E8M0) {
        c->kernels->scale[MXQ_E8M0](t->codes, t->amax, t->blocks, &c->rule);
        for (size_t done = 0; c->rule.by_error && done < t->cols; done += MXQ_SPAN) {
            struct span s;
            const size_t left = t->cols - done;
            load_span(c, &s, t->row, t->col + done, left < MXQ_SPAN ? left : MXQ_SPAN);
            choose_by_error(c, t->codes + done / MXQ_BLOCK, &s);
        }
        memcpy(scales, t->codes, t->blocks);
    } else {
        uint8_t stored[TILE_FACTORS * sizeof(float)];
        c->kernels->quotient[0](stored, t->by, t->amax, t->blocks, &c->quotient);
        memcpy(scales, stored, t->blocks * scale_bytes);
    }
}

/* ------------------------------------------ Elements -------------------------------------------- */

/* The block of its tile that value `i` of a span is in. */
static size_t block_of(const struct quantize *c, const struct tile *t, const struct span *s,
                       size_t i)
{
    const size_t block = (s->col - t->col + i) >> c->shift;
    return block < t->blocks ? block : t->blocks - 1;
}

/* The E8M0 codes of a span's blocks of 32. */
static const uint8_t *span_codes(const struct quantize *c, const struct tile *t,
                                 const struct span *s, uint8_t codes[MXQ_SPAN_BLOCKS])
{
    if (c->length == MXQ_BLOCK)
        return t->codes + (s->col - t->col) / MXQ_BLOCK;
    for (size_t b = 0; b < s->blocks; b++)
        codes[b] = t->codes[block_of(c, t, s, b * MXQ_BLOCK)];
    return codes;
}

/* Packs whole blocks of a span. */
static void make_elements(const struct quantize *c, const struct tile *t, const struct span *s,
                          uint8_t *elements)
{
    const enum mxq_element element = c->q->format.element;
    const struct mxq_quantize_options *o = c->options;
    const int is_e8m0 = c->q->format.scale == MXQ_E8M0;
    const struct mxq_factors by = {t->by + ((s->col - t->col) >> c->shift), c->shift,
                                   !o->reciprocal, c->bounded_low, c->bounded_high};
    uint8_t room[MXQ_SPAN_BLOCKS];
    const uint8_t *codes = is_e8m0 ? span_codes(c, t, s, room) : mxq_unit_codes;
    if (c->is_encoded) {
        const struct mxq_encoding how = {
            o->rounding, o->overflow == MXQ_OVERFLOW_SPECIAL,           o->unsigned_zero,
            o->seed,     o->first_index + s->row * c->q->cols + s->col, is_e8m0 ? t->ahead : 0};
        float v[MXQ_SPAN];
        if (!is_e8m0)
            c->kernels->scale_by[c->x->type](v, s->x, &by, s->blocks);
        c->kernels->encode[element][is_e8m0 ? c->x->type : MXQ_F32](
            elements, is_e8m0 ? s->x : (const void *)v, codes, s->blocks, &how);
    } else if (is_e8m0) {
        c->kernels->pack[element][c->x->type](elements, s->x, codes, s->blocks);
    } else {
        c->kernels->pack_by[element][c->x->type](elements, s->x, &by, s->blocks, t->ahead);
    }
}

/* The largest element under an E8M0 scale; an infinity where that is beyond F32. */
static float largest_of(const struct mxq_element_info *e, uint8_t code)
{
    const int field = (int)(bits_of(e->max) >> 23) + code - 127;
    return field > 0 && field < 255 ? value_of((uint32_t)field << 23 | (bits_of(e->max) & 0x7FFFFF))
                                    : ldexpf(e->max, code - 127);
}

/* Adds a span that has been quantized to the sums. */
static void measure_span(const struct quantize *c, const struct span *s, struct mxq_sums *sums)
{
    float y[MXQ_SPAN], limits[MXQ_SPAN_FACTORS], room[MXQ_SPAN_FACTORS];
    mxq_dequantize_span(c->kernels, y, MXQ_F32, c->q, s->row, s->col, s->count);
    for (size_t i = s->count; i < s->blocks * MXQ_BLOCK; i++)
        y[i] = value_of(F32_NAN); /* left out */
    if (c->q->format.scale == MXQ_E8M0) {
        uint8_t codes[MXQ_SPAN_BLOCKS];
        mxq_span_codes(codes, c->q, s->row, s->col, s->blocks);
        for (size_t b = 0; b < s->blocks; b++)
            limits[4 * b] = limits[4 * b + 1] = limits[4 * b + 2] = limits[4 * b + 3] =
                largest_of(c->element, codes[b]);
    } else {
        const struct mxq_factors by =
            mxq_span_factors(room, c->kernels, c->q, s->row, s->col, s->blocks);
        for (size_t i = 0; i < 4 * s->blocks; i++)
            limits[i] = c->element->max * by.value[8 * i >> by.shift] * c->tensor_scale;
    }
    c->kernels->measure[c->x->type](sums, s->x, y, limits, s->blocks,
                                    c->is_fused ? MEASURE_AHEAD : 0);
}

/* ------------------------------------------- A tile --------------------------------------------- */

/* What is packed of a span that does not end with a block goes through memory of its own. */
static void store_span(const struct quantize *c, const struct tile *t, const struct span *s)
{
    const struct mxq_quantized *q = c->q;
    uint8_t *to = q->elements + s->row * q->elements_stride + mxq_code_bytes(c->element, s->col);
    uint8_t *scales = q->scales + s->row * q->scales_stride + s->col / MXQ_BLOCK;
    uint8_t padded[MXQ_SPAN];
    uint8_t *elements = s->count % MXQ_BLOCK ? padded : to;
    if (c->is_fused)
        c->kernels->quantize[q->format.element][c->x->type](
            elements, scales, s->x, s->blocks, &c->rule, c->partials ? 0 : mxq_ahead(c->x->type));
    else
        make_elements(c, t, s, elements);
    if (elements != to)
        memcpy(to, padded, mxq_code_bytes(c->element, s->count));
}

/* Where tile `index` begins in x, in bytes. */
static size_t offset_of(const struct quantize *c, size_t index)
{
    const size_t row = index / c->tiles_across * c->tile_rows;
    return (row * c->x->stride + index % c->tiles_across * c->tile_cols) *
           mxq_type_bytes(c->x->type);
}

/* Sets up tile `index`: its amax is there, or is to be looked for. */
static void begin_tile(const struct quantize *c, struct tile *t, size_t index)
{
    t->row = index / c->tiles_across * c->tile_rows;
    t->col = index % c->tiles_across * c->tile_cols;
    t->rows = c->q->rows - t->row < c->tile_rows ? c->q->rows - t->row : c->tile_rows;
    t->cols = c->q->cols - t->col < c->tile_cols ? c->q->cols - t->col : c->tile_cols;
    t->blocks = (t->cols + c->length - 1) / c->length;
    t->sought_rows = c->is_sought ? 0 : t->rows;
    t->sought_cols = 0;
    t->ahead = c->is_transposed ? 0
               : c->is_sought   ? offset_of(c, index + 1) - offset_of(c, index) + NEAR
                                : mxq_ahead(c->x->type);
    const size_t units = t->blocks * pieces_of(c);
    memset(t->amax, 0,
           (units + MXQ_QUOTIENTS - 1) / MXQ_QUOTIENTS * MXQ_QUOTIENTS * sizeof *t->amax);
    if (c->q->format.block_rows == 0)
        t->by[0] = c->tensor_by;
    else if (!c->is_fused && !c->is_sought)
        take_amax(c, t);
}

/* Finds what is left to find, and makes the scales of a tile. */
static void finish_scales(const struct quantize *c, struct tile *t)
{
    while (seek_amax_of_tile(c, t, NEAR))
        ;
    if (c->is_sought)
        join_pieces(c, t);
    if (c->q->format.block_rows && !c->is_fused)
        make_scales(c, t);
}

/* Quantizes a tile.  amax of the next one, if any, is looked for span by span: while spans are packed memory is
 * asked for what amax will read, and amax alone would wait for it. */
static void quantize_tile(const struct quantize *c, const struct tile *t, struct tile *next,
                          struct mxq_sums *sums)
{
    const size_t ahead = c->q->format.scale == MXQ_E8M0 && !c->is_encoded ? NEAR : 0;
    for (size_t row = t->row; row < t->row + t->rows; row++)
        for (size_t done = 0; done < t->cols; done += MXQ_SPAN) {
            struct span s;
            const size_t left = t->cols - done;
            load_span(c, &s, row, t->col + done, left < MXQ_SPAN ? left : MXQ_SPAN);
            store_span(c, t, &s);
            if (c->partials)
                measure_span(c, &s, sums);
            if (next)
                (void)seek_amax_of_tile(c, next, ahead);
        }
}

/* Pairs at a distance of 4, then 2, then 1. */
static double sum_of_lanes(const double lane[8])
{
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
           ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

static void store_partial(const struct quantize *c, size_t task, const struct mxq_sums *s)
{
    c->partials[task] = (struct partial){
        sum_of_lanes(s->xx), sum_of_lanes(s->yy), sum_of_lanes(s->ee), (double)s->max_error,
        (double)s->amax,     s->values,           s->saturated,        s->flushed};
}

/* Quantizes tiles `first` .. `end` - 1, which are whole tasks. */
static void quantize_tiles(const struct quantize *c, size_t first, size_t end)
{
    struct tile tiles[2];
    struct mxq_sums sums = {{0}, {0}, {0}, 0, 0, 0, 0, 0};
    const uint64_t fpenv = mxq_fpenv_enter();
    begin_tile(c, &tiles[0], first);
    for (size_t i = first; i < end; i++) {
        struct tile *t = &tiles[(i - first) % 2];
        struct tile *next = i + 1 < end ? &tiles[(i - first + 1) % 2] : NULL;
        finish_scales(c, t);
        if (next)
            begin_tile(c, next, i + 1);
        quantize_tile(c, t, next, &sums);
        if (c->partials && ((i + 1) % c->task_tiles == 0 || i + 1 == c->tiles)) {
            store_partial(c, i / c->task_tiles, &sums);
            sums = (struct mxq_sums){{0}, {0}, {0}, 0, 0, 0, 0, 0};
        }
    }
    mxq_fpenv_leave(fpenv);
}

static void quantize_task(void *context, size_t index)
{
    const struct quantize *c = context;
    const size_t first = index * c->task_tiles, left = c->tiles - first;
    quantize_tiles(c, first, first + (left < c->task_tiles ? left : c->task_tiles));
}

/* ------------------------------------------- The whole ------------------------------------------ */

static void cut_into_tiles(struct quantize *c)
{
    const struct mxq_format *f = &c->q->format;
    const int is_row = f->block_rows == 1 && f->block_cols == 0;
    c->length = mxq_block_length(f->block_cols, c->q->cols);
    c->shift = mxq_block_shift(f->block_cols);
    c->tile_rows = f->block_rows ? f->block_rows : 1;
    c->tile_cols = is_row ? c->q->cols : TILE_COLS;
    c->tiles_across = (c->q->cols + c->tile_cols - 1) / c->tile_cols;
    c->tiles = mxq_block_count((uint32_t)c->tile_rows, c->q->rows) * c->tiles_across;
    const size_t values = c->tile_rows * c->tile_cols;
    const size_t least = (c->tiles + MOST_TASKS - 1) / MOST_TASKS;
    c->task_tiles = TASK_VALUES / values + 1 > least ? TASK_VALUES / values + 1 : least;
}

static void seek_amax(void *context, const struct mxq_run *run)
{
    struct quantize *c = context;
    const size_t type_bytes = mxq_type_bytes(c->x->type);
    const size_t values = run->blocks * MXQ_BLOCK + run->tail;
    uint32_t largest = 0;
    for (size_t done = 0; done < values; done += MXQ_SPAN) {
        const size_t count = values - done < MXQ_SPAN ? values - done : MXQ_SPAN;
        uint32_t amax;
        struct span s; /* no initializer: it would clear what is padded */
        s.count = count;
        s.blocks = (count + MXQ_BLOCK - 1) / MXQ_BLOCK;
        s.x = run->wide + done * type_bytes;
        if (count % MXQ_BLOCK) {
            memset(s.padded, 0, s.blocks * MXQ_BLOCK * type_bytes);
            s.x = memcpy(s.padded, s.x, count * type_bytes);
        }
        span_amax(c, &amax, &s, SIZE_MAX, mxq_ahead(c->x->type));
        largest = amax > largest ? amax : largest;
    }
    uint32_t seen = atomic_load_explicit(&c->seen, memory_order_relaxed);
    while (largest > seen && !atomic_compare_exchange_weak(&c->seen, &seen, largest))
        ;
}

/* amax of the tensor where the format asks for it, and the scale that follows. */
static void find_tensor_scale(struct quantize *c)
{
    const struct mxq_format *f = &c->q->format;
    const int is_e4m3 = f->scale == MXQ_E4M3_SCALE;
    c->tensor_scale = 1;
    if (c->options->amax_count == 1) {
        c->tensor_amax = c->options->amax[0];
    } else if (is_e4m3 || f->block_rows == 0) {
        mxq_for_each_run(NULL, c->x, c->options->parallel, seek_amax, c);
        c->tensor_amax = value_of(atomic_load(&c->seen));
    }
    if (is_e4m3) {
        const uint64_t fpenv = mxq_fpenv_enter();
        const float amax =
            c->tensor_amax < c->options->amax_floor ? c->options->amax_floor : c->tensor_amax;
        c->tensor_scale = amax == 0 ? 1 : isfinite(amax) ? amax / (6 * 448) : value_of(F32_NAN);
        *c->q->tensor_scale = c->tensor_scale;
        mxq_fpenv_leave(fpenv);
    }
}

/* A scale that comes from the amax of its own block is rounded, and divides amax to a little more than the largest
 * element: by less than half a step, where it is as precise as its type allows. */
static void bound_quotients(struct quantize *c)
{
    const enum mxq_scale scale = c->q->format.scale;
    if (c->options->amax_count || c->options->nonfinite == MXQ_NONFINITE_CLAMP)
        return;
    c->bounded_high =
        bits_of(scale == MXQ_F16_SCALE ? 65472 : FLT_MAX); /* what is next saturates */
    c->bounded_low = bits_of(scale == MXQ_F16_SCALE    ? 0x1p-14F
                             : scale == MXQ_E4M3_SCALE ? 0x1p-6F * c->tensor_scale
                                                       : FLT_MIN);
}

/* The one scale of a block over the whole tensor: stored before any task reads it. */
static void store_tensor_scale(struct quantize *c)
{
    struct tile t = {.blocks = 1};
    const uint64_t fpenv = mxq_fpenv_enter();
    t.amax[0] = bits_of(c->tensor_amax);
    make_scales(c, &t);
    c->tensor_by = t.by[0];
    mxq_fpenv_leave(fpenv);
}

static void add_partials(struct quantize *c, size_t tasks)
{
    struct mxq_statistics *to = c->options->statistics;
    /* The tree: neighbours first. */
    for (size_t step = 1; step < tasks; step *= 2)
        for (size_t i = 0; i + step < tasks; i += 2 * step) {
            struct partial *a = &c->partials[i];
            const struct partial *b = &c->partials[i + step];
            *a = (struct partial){a->xx + b->xx,
                                  a->yy + b->yy,
                                  a->ee + b->ee,
                                  fmax(a->max_error, b->max_error),
                                  fmax(a->amax, b->amax),
                                  a->values + b->values,
                                  a->saturated + b->saturated,
                                  a->flushed + b->flushed};
        }
    const struct partial *sum = c->partials;
    const uint64_t all = (uint64_t)c->q->rows * c->q->cols;
    *to = (struct mxq_statistics){sum->values,       sum->saturated, sum->flushed,
                                  all - sum->values, sum->xx,        sum->yy,
                                  sum->ee,           sum->max_error, sum->amax};
}

static void quantize_in_tiles(struct quantize *c)
{
    const struct mxq_format *f = &c->q->format;
    struct partial partials[MOST_TASKS];
    if (c->options->statistics)
        *c->options->statistics = (struct mxq_statistics){0};
    find_tensor_scale(c);
    c->quotient = (struct mxq_quotient_rule){.scale = c->q->format.scale,
                                             .max = c->element->max,
                                             .tensor = c->tensor_scale,
                                             .is_power = c->mode == MXQ_SCALE_RCEIL,
                                             .reciprocal = c->options->reciprocal,
                                             .is_positive = c->options->positive_scale};
    if (!c->q->rows || !c->q->cols)
        return;
    cut_into_tiles(c);
    bound_quotients(c);
    c->is_sought =
        f->block_rows && !c->is_fused && (!c->options->amax_count || f->scale == MXQ_E4M3_SCALE);
    if (f->block_rows == 0)
        store_tensor_scale(c);
    c->partials = c->options->statistics ? partials : NULL;
    const size_t tasks = (c->tiles + c->task_tiles - 1) / c->task_tiles;
    /* Without threads all is one run, in which every tile but the first has one before it. */
    if (c->options->parallel)
        mxq_for_each_task(c->options->parallel, tasks, quantize_task, c);
    else
        quantize_tiles(c, 0, c->tiles);
    if (c->partials) {
        const uint64_t fpenv = mxq_fpenv_enter();
        add_partials(c, tasks);
        mxq_fpenv_leave(fpenv);
    }
}

/* ------------------------------------------ Public -------------------------------------------- */

static enum mxq_status check_amax(const struct mxq_quantize_options *o,
                                  const struct mxq_format *format, size_t blocks,
                                  struct mxq_error *error)
{
    const int is_tensor = format->scale == MXQ_E4M3_SCALE;
    if (o->amax_count > 1 && (is_tensor || o->amax_count != blocks))
        return mxq_fail(
            error, MXQ_ERR_SHAPE,
            "options.amax_count must be 0, 1 or, but for E4M3 scales, that of the blocks");
    if (o->amax_count && !o->amax)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "options.amax must not be null");
    for (size_t i = 0; i < o->amax_count; i++)
        if (bits_of(o->amax[i]) >= NONFINITE)
            return mxq_fail(error, MXQ_ERR_ARGUMENT, "options.amax must be finite and at least +0");
    if (bits_of(o->amax_floor) >= NONFINITE)
        return mxq_fail(error, MXQ_ERR_ARGUMENT,
                        "options.amax_floor must be finite and at least +0");
    return MXQ_OK;
}

size_t mxq_blocks_of(const struct mxq_quantized *q)
{
    return mxq_block_count(q->format.block_rows, q->rows) *
           mxq_block_count(q->format.block_cols, q->cols);
}

enum mxq_status mxq_check_quantize_options(const struct mxq_quantize_options *o,
                                           const struct mxq_format *format, size_t blocks,
                                           struct mxq_error *error)
{
    if (o->struct_bytes != sizeof *o)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "options.struct_bytes must be their sizeof");
    if ((unsigned)o->scale_mode >= MXQ_SCALE_MODES)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "options.scale_mode is unknown");
    if (!mxq_scale_mode_is_supported(format, o->scale_mode))
        return mxq_fail(error, MXQ_ERR_FORMAT, mxq_supported_scale_modes);
    if ((unsigned)o->rounding >= MXQ_ROUNDINGS)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "options.rounding is unknown");
    if ((unsigned)o->overflow > MXQ_OVERFLOW_SPECIAL)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "options.overflow is unknown");
    if (o->overflow == MXQ_OVERFLOW_SPECIAL && !mxq_elements[format->element].nan_code)
        return mxq_fail(error, MXQ_ERR_FORMAT,
                        "options.overflow must be MXQ_OVERFLOW_SATURATE but for E4M3 and E5M2");
    if ((unsigned)o->nonfinite > MXQ_NONFINITE_CLAMP)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "options.nonfinite is unknown");
    if ((o->reciprocal != 0 && o->reciprocal != 1) ||
        (o->unsigned_zero != 0 && o->unsigned_zero != 1) ||
        (o->positive_scale != 0 && o->positive_scale != 1))
        return mxq_fail(error, MXQ_ERR_ARGUMENT,
                        "options.reciprocal, .unsigned_zero and .positive_scale must be 0 or 1");
    if (o->positive_scale && format->scale != MXQ_E4M3_SCALE)
        return mxq_fail(error, MXQ_ERR_FORMAT,
                        "options.positive_scale must be 0 but for E4M3 scales");
    if (o->reciprocal && (format->scale == MXQ_E8M0 || format->scale == MXQ_E4M3_SCALE))
        return mxq_fail(error, MXQ_ERR_FORMAT,
                        "options.reciprocal must be 0 but for F32, BF16 and F16 scales");
    if (o->parallel && !o->parallel->run)
        return mxq_fail(error, MXQ_ERR_ARGUMENT, "options.parallel->run must not be null");
    return check_amax(o, format, blocks, error);
}

static int is_encoded(const struct mxq_quantize_options *o)
{
    return o->rounding != MXQ_NEAREST_EVEN || o->overflow || o->unsigned_zero;
}

int mxq_is_one_pass(const struct mxq_format *f, const struct mxq_quantize_options *o)
{
    return f->scale == MXQ_E8M0 && f->block_rows == 1 && f->block_cols == MXQ_BLOCK &&
           !is_encoded(o) && o->nonfinite != MXQ_NONFINITE_CLAMP && !o->amax_count &&
           o->amax_floor == 0;
}

struct mxq_one_pass mxq_one_pass_of(const struct mxq_kernels *row, const struct mxq_format *f,
                                    enum mxq_type type, enum mxq_scale_mode mode)
{
    return (struct mxq_one_pass){row->quantize[f->element][type],
                                 row->columns[f->element][type],
                                 &mxq_elements[f->element],
                                 mxq_scale_rule(f->element, mxq_scale_mode_of(f, mode)),
                                 mxq_type_bytes(type),
                                 mxq_ahead(type)};
}

void mxq_quantize_checked(const struct mxq_kernels *row, const struct mxq_quantized *q,
                          const struct mxq_matrix *x, int is_transposed,
                          const struct mxq_quantize_options *o)
{
    struct quantize c = {
        .kernels = row, .q = q, .x = x, .is_transposed = is_transposed, .options = o};
    c.element = &mxq_elements[q->format.element];
    c.mode = mxq_scale_mode_of(&q->format, o->scale_mode);
    c.rule = mxq_scale_rule(q->format.element, c.mode);
    c.is_encoded = is_encoded(o);
    c.is_fused = mxq_is_one_pass(&q->format, o);
    if (c.is_fused && !o->statistics && !is_transposed) {
        struct mxq_one_pass runs = mxq_one_pass_of(row, &q->format, x->type, o->scale_mode);
        mxq_for_each_run(q, x, o->parallel, mxq_quantize_run, &runs);
    } else {
        quantize_in_tiles(&c);
    }
}

enum mxq_status mxq_quantize(const struct mxq_quantized *q, const struct mxq_matrix *x,
                             const struct mxq_quantize_options *options, struct mxq_error *error)
{
    static const struct mxq_quantize_options defaults = MXQ_QUANTIZE_OPTIONS;
    const struct mxq_quantize_options *o = options ? options : &defaults;
    enum mxq_status status = mxq_check_operands(q, x, MXQ_OUTPUT_QUANTIZED, error);
    if (!status)
        status = mxq_check_quantize_options(o, &q->format, mxq_blocks_of(q), error);
    if (status)
        return status;
    const struct mxq_kernels *row = mxq_active_kernels();
    if (o->nonfinite == MXQ_NONFINITE_ERROR) {
        status = mxq_check_finite(row, x, o->parallel, error);
        if (status)
            return status;
    }
    mxq_quantize_checked(row, q, x, 0, o);
    return MXQ_OK;
}

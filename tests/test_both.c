/* SPDX-License-Identifier: Apache-2.0 */
/* test_both.c -- mxq_quantize_both(): the bytes of mxq_quantize() of x and of its transpose. */
#include <stdlib.h>
#include <string.h>

#include "fill.h"
#include "tally.h"
#include "workers.h"

#define BLANK       0xAA
#define MOST_VALUES (size_t)600000
#define MOST_BYTES  (8 * MOST_VALUES) /* of elements; those of test_large() fit */

static int failed;

/* One case: what is quantized, to what, how. */
struct plan {
    size_t rows, cols;
    enum mxq_type type;
    struct mxq_format of_rows, of_cols;
    struct mxq_quantize_options options;
    size_t gap; /* what strides are longer than a row */
};

/* A quantized matrix and its memory, blank but for what is written. */
struct output {
    struct mxq_quantized q;
    uint8_t *elements, *scales;
    float tensor_scale;
};

static void *allocate(size_t bytes)
{
    void *memory = aligned_alloc(64, bytes);
    if (!memory) {
        perror("test_both");
        exit(99);
    }
    return memory;
}

static void prepare(struct output *o, const struct mxq_format *format, size_t rows, size_t cols,
                    size_t gap)
{
    struct mxq_sizes sizes;
    if (mxq_quantized_sizes(format, rows, cols, &sizes))
        exit(99);
    const size_t elements_stride = sizes.elements_row_bytes + gap;
    const size_t scales_stride = sizes.scales_row_bytes + gap;
    if (rows * elements_stride > MOST_BYTES || sizes.scales_rows * scales_stride > MOST_BYTES)
        exit(99);
    memset(o->elements, BLANK, MOST_BYTES);
    memset(o->scales, BLANK, MOST_BYTES);
    o->tensor_scale = -1;
    o->q = (struct mxq_quantized){*format,
                                  rows,
                                  cols,
                                  o->elements,
                                  elements_stride,
                                  o->scales,
                                  scales_stride,
                                  format->scale == MXQ_E4M3_SCALE ? &o->tensor_scale : NULL};
}

static int is_same(const struct output *a, const struct output *b)
{
    return !memcmp(a->elements, b->elements, MOST_BYTES) &&
           !memcmp(a->scales, b->scales, MOST_BYTES) &&
           !memcmp(&a->tensor_scale, &b->tensor_scale, sizeof a->tensor_scale);
}

/* Memory that all cases share. */
static unsigned char *wide, *transposed;
static struct output found[2], wanted[2];

static void fill_x(struct random *r, const struct plan *p, enum fill fill)
{
    const struct fill_target target = {p->type, p->of_cols.element, 127, random_u32(r)};
    const size_t bytes = mxq_type_bytes(p->type), stride = p->cols + p->gap;
    for (size_t i = 0; i < p->rows * stride + 32; i += 32) {
        struct fill_target t = target;
        t.index += i / 32;
        t.scale = fill_scale_for(r, fill, t.index);
        fill_block(r, fill, &t, wide + i * bytes);
    }
    for (size_t row = 0; row < p->rows; row++)
        for (size_t col = 0; col < p->cols; col++)
            memcpy(transposed + (col * p->rows + row) * bytes, wide + (row * stride + col) * bytes,
                   bytes);
}

static void run_plan(struct tally *t, struct random *r, const struct plan *p, enum fill fill)
{
    const struct mxq_matrix x = {wide, p->type, p->rows, p->cols, p->cols + p->gap};
    const struct mxq_matrix y = {transposed, p->type, p->cols, p->rows, p->rows};
    struct mxq_statistics sums[2] = {{0}};
    struct mxq_quantize_options options = p->options, alone = p->options;
    const int has = (int)random_below(r, 4); /* rows, cols, or, twice as often, both */
    const int has_rows = has != 1, has_cols = has != 0;
    struct mxq_error error = {0};
    fill_x(r, p, fill);
    for (int i = 0; i < 2; i++) {
        prepare(&found[i], i ? &p->of_cols : &p->of_rows, i ? p->cols : p->rows,
                i ? p->rows : p->cols, p->gap);
        prepare(&wanted[i], i ? &p->of_cols : &p->of_rows, i ? p->cols : p->rows,
                i ? p->rows : p->cols, p->gap);
    }
    alone.parallel = NULL;
    if (options.statistics) {
        options.statistics = &sums[0];
        alone.statistics = &sums[1];
    }
    int is_wrong = mxq_quantize_both(has_rows ? &found[0].q : NULL, has_cols ? &found[1].q : NULL,
                                     &x, &options, &error) != MXQ_OK;
    if (is_wrong)
        tally_fail(t, "status %d: %s", (int)error.status, error.what);
    if (has_rows)
        is_wrong |= mxq_quantize(&wanted[0].q, &x, &alone, NULL) != MXQ_OK;
    if (has_rows)
        alone.statistics = NULL;
    if (has_cols)
        is_wrong |= mxq_quantize(&wanted[1].q, &y, &alone, NULL) != MXQ_OK;
    t->cases++;
    if (is_wrong || !is_same(&found[0], &wanted[0]) || !is_same(&found[1], &wanted[1]) ||
        memcmp(&sums[0], &sums[1], sizeof sums[0]))
        tally_fail(t, "%s, %zu x %zu of type %d, formats %d and %d, mode %d, rounding %d, %s%s%s",
                   mxq_isa(), p->rows, p->cols, (int)p->type, (int)p->of_rows.element,
                   (int)p->of_cols.element, (int)options.scale_mode, (int)options.rounding,
                   fill_name(fill), has_rows ? ", rows" : "", has_cols ? ", cols" : "");
}

static struct mxq_format any_format(struct random *r, int one_pass)
{
    static const uint32_t shapes[][2] = {{1, 32},  {1, 32}, {1, 8},     {1, 16}, {1, 64},
                                         {1, 128}, {1, 0},  {128, 128}, {0, 0}};
    struct mxq_sizes sizes;
    struct mxq_format f;
    do {
        const uint32_t *shape = shapes[random_below(r, sizeof shapes / sizeof *shapes)];
        f.element = (enum mxq_element)random_below(r, MXQ_ELEMENTS);
        f.scale = one_pass ? MXQ_E8M0 : (enum mxq_scale)random_below(r, MXQ_SCALES);
        f.block_rows = one_pass ? 1 : shape[0];
        f.block_cols = one_pass ? 32 : shape[1];
    } while (mxq_quantized_sizes(&f, 1, 1, &sizes));
    return f;
}

/* A few whole tiles, none, or pieces of some. */
static void any_shape(struct random *r, struct plan *p)
{
    static const size_t edges[] = {0,  1,  15,  16,  17,  31,   32,   33,  63,
                                   64, 65, 100, 256, 257, 1024, 1027, 4100};
    do {
        p->rows = edges[random_below(r, sizeof edges / sizeof *edges)];
        p->cols = edges[random_below(r, sizeof edges / sizeof *edges)];
        p->gap = random_below(r, 2) * random_below(r, 9);
    } while ((p->rows + p->gap) * (p->cols + p->gap) > MOST_VALUES / 2);
    if (random_below(r, 40) == 0) {
        p->rows = 64 + random_below(r, 3);
        p->cols = 8192 + random_below(r, 300);
    }
    p->type = (enum mxq_type)random_below(r, MXQ_TYPES);
}

static void test_one_pass(const struct mxq_parallel *parallel, uint64_t cases)
{
    struct tally t = {"one pass", 0, 0};
    struct random r = {random_hash("one pass")};
    for (uint64_t i = 0; i < cases; i++) {
        struct plan p = {.options = MXQ_QUANTIZE_OPTIONS};
        any_shape(&r, &p);
        p.of_rows = any_format(&r, 1);
        p.of_cols = any_format(&r, 1);
        p.options.scale_mode =
            random_below(&r, 3) ? MXQ_SCALE_RCEIL : (enum mxq_scale_mode)random_below(&r, 8);
        p.options.parallel = random_below(&r, 2) ? parallel : NULL;
        run_plan(&t, &r, &p, (enum fill)random_below(&r, FILLS));
    }
    failed |= tally_end(&t);
}

static void test_all_formats(const struct mxq_parallel *parallel, uint64_t cases)
{
    static struct mxq_statistics asked;
    static const float amax[] = {0.75f};
    struct tally t = {"all formats and options", 0, 0};
    struct random r = {random_hash("all formats")};
    for (uint64_t i = 0; i < cases; i++) {
        struct plan p = {.options = MXQ_QUANTIZE_OPTIONS};
        any_shape(&r, &p);
        p.of_rows = any_format(&r, 0);
        p.of_cols = any_format(&r, 0);
        if (random_below(&r, 2))
            p.options.rounding = (enum mxq_rounding)random_below(&r, MXQ_ROUNDINGS);
        p.options.seed = random_u64(&r);
        p.options.first_index = random_u32(&r);
        if (random_below(&r, 3) == 0)
            p.options.nonfinite = MXQ_NONFINITE_CLAMP;
        p.options.statistics = random_below(&r, 3) ? NULL : &asked;
        p.options.unsigned_zero = random_below(&r, 4) == 0;
        if (random_below(&r, 6) == 0) {
            p.options.amax = amax;
            p.options.amax_count = 1;
        }
        if (random_below(&r, 6) == 0)
            p.options.amax_floor = 1e-4f;
        p.options.parallel = random_below(&r, 2) ? parallel : NULL;
        run_plan(&t, &r, &p, (enum fill)random_below(&r, FILLS));
    }
    failed |= tally_end(&t);
}

/* What makes a row of elements a multiple of 64 bytes. */
static size_t line_gap(const struct mxq_format *f, size_t cols)
{
    return (64 - cols * (f->element == MXQ_E2M1 ? 4 : 8) / 8 % 64) % 64;
}

/* A matrix that is too large for the caches: its elements are written past them, where lines allow it. */
static void test_large(const struct mxq_parallel *parallel)
{
    enum { ROWS = 2086, COLS = 2118 };
    struct tally t = {"beyond the caches", 0, 0};
    struct random r = {random_hash("beyond the caches")};
    uint32_t *x = allocate(2 * ROWS * COLS * sizeof *x / 64 * 64 + 64), *y = x + ROWS * COLS;
    for (size_t i = 0; i < ROWS * COLS; i++)
        x[i] = random_u32(&r) & 0xBFFFFFFF;
    for (size_t row = 0; row < ROWS; row++)
        for (size_t col = 0; col < COLS; col++)
            y[col * ROWS + row] = x[row * COLS + col];
    const struct mxq_matrix of_x = {x, MXQ_F32, ROWS, COLS, COLS};
    const struct mxq_matrix of_y = {y, MXQ_F32, COLS, ROWS, ROWS};
    struct mxq_quantize_options o = MXQ_QUANTIZE_OPTIONS;
    for (size_t i = 0; i < 4; i++) {
        const struct mxq_format f = i / 2 ? mxq_mxfp4 : mxq_mxfp8_e4m3;
        for (int k = 0; k < 2; k++) {
            const size_t rows = k ? COLS : ROWS, cols = k ? ROWS : COLS;
            struct output *outputs[2] = {&found[k], &wanted[k]};
            for (int j = 0; j < 2; j++) {
                prepare(outputs[j], &f, rows, cols, line_gap(&f, cols));
                outputs[j]->q.elements += i % 2;
            }
        }
        t.cases++;
        o.parallel = parallel;
        int is_wrong = mxq_quantize_both(&found[0].q, &found[1].q, &of_x, &o, NULL) != MXQ_OK;
        o.parallel = NULL;
        is_wrong |= mxq_quantize(&wanted[0].q, &of_x, &o, NULL) != MXQ_OK;
        is_wrong |= mxq_quantize(&wanted[1].q, &of_y, &o, NULL) != MXQ_OK;
        if (is_wrong)
            tally_fail(&t, "%s: refused", mxq_isa());
        else if (!is_same(&found[0], &wanted[0]) || !is_same(&found[1], &wanted[1]))
            tally_fail(&t, "%s, element %d, %zu bytes beside a line", mxq_isa(), (int)f.element,
                       i % 2);
    }
    free(x);
    failed |= tally_end(&t);
}

/* ------------------------------------------- Errors -------------------------------------------- */

static struct tally errors = {"errors", 0, 0};

static void expect(enum mxq_status wanted_status, const struct mxq_quantized *rows,
                   const struct mxq_quantized *cols, const struct mxq_matrix *x,
                   const struct mxq_quantize_options *o, const char *what)
{
    struct mxq_error error = {0};
    const enum mxq_status status = mxq_quantize_both(rows, cols, x, o, &error);
    errors.cases++;
    if (status != wanted_status || (status && (error.status != status || !error.what)))
        tally_fail(&errors, "%s: status %d, not %d", what, (int)status, (int)wanted_status);
}

static void test_errors(void)
{
    struct mxq_quantize_options o = MXQ_QUANTIZE_OPTIONS;
    const float amax[40 * 64] = {0};
    struct mxq_matrix x = {wide, MXQ_F32, 64, 40, 40};
    memset(wide, 0, 64 * 40 * 4);
    prepare(&found[0], &mxq_mxfp8_e4m3, 64, 40, 0);
    prepare(&found[1], &mxq_mxfp8_e4m3, 40, 64, 0);
    const struct mxq_quantized *rows = &found[0].q, *cols = &found[1].q;
    expect(MXQ_OK, rows, cols, &x, NULL, "defaults");
    expect(MXQ_OK, NULL, cols, &x, &o, "columns alone");
    expect(MXQ_OK, rows, NULL, &x, &o, "rows alone");
    expect(MXQ_ERR_ARGUMENT, NULL, NULL, &x, &o, "no output");
    expect(MXQ_ERR_ARGUMENT, rows, cols, NULL, &o, "no x");
    expect(MXQ_ERR_SHAPE, cols, rows, &x, &o, "swapped outputs");
    expect(MXQ_ERR_SHAPE, rows, rows, &x, &o, "cols that are not transposed");
    o.amax = amax;
    o.amax_count = 64 * 2;
    expect(MXQ_ERR_SHAPE, rows, cols, &x, &o, "amax of the blocks of rows, for both");
    expect(MXQ_OK, rows, NULL, &x, &o, "amax of the blocks of rows");
    o.amax_count = 40 * 2;
    expect(MXQ_OK, NULL, cols, &x, &o, "amax of the blocks of columns");
    o.amax_count = 0;
    o.struct_bytes--;
    expect(MXQ_ERR_ARGUMENT, rows, cols, &x, &o, "size of the options");
    o.struct_bytes++;
    struct mxq_quantized bad = found[1].q;
    bad.elements = found[0].elements + 100;
    expect(MXQ_ERR_OVERLAP, rows, &bad, &x, &o, "elements of both");
    bad = found[1].q;
    bad.scales = found[0].elements;
    expect(MXQ_ERR_OVERLAP, rows, &bad, &x, &o, "scales of cols, elements of rows");
    bad.scales = wide;
    expect(MXQ_ERR_OVERLAP, rows, &bad, &x, &o, "scales of cols, x");
    bad = found[1].q;
    bad.format.block_cols = 31;
    expect(MXQ_ERR_FORMAT, rows, &bad, &x, &o, "a block of 1 x 31");
    const float infinite = 1e30f * 1e30f;
    memcpy(wide + (7 * 40 + 11) * 4, &infinite, 4);
    o.nonfinite = MXQ_NONFINITE_ERROR;
    memset(found[1].elements, BLANK, 64 * 40);
    struct mxq_error error = {0};
    errors.cases++;
    if (mxq_quantize_both(rows, cols, &x, &o, &error) != MXQ_ERR_NONFINITE || error.row != 7 ||
        error.col != 11 || found[1].elements[0] != BLANK)
        tally_fail(&errors, "position of an infinity: %d, %d", (int)error.row, (int)error.col);
    failed |= tally_end(&errors);
}

int main(void)
{
    struct workers workers = {3, 1, 0, NULL, NULL, NULL};
    const struct mxq_parallel parallel = workers_parallel(&workers);
    wide = allocate(MOST_BYTES);
    transposed = allocate(MOST_BYTES);
    for (int i = 0; i < 2; i++) {
        found[i].elements = allocate(MOST_BYTES);
        found[i].scales = allocate(MOST_BYTES);
        wanted[i].elements = allocate(MOST_BYTES);
        wanted[i].scales = allocate(MOST_BYTES);
    }
    struct mxq_isa_info isa;
    for (size_t i = 0; mxq_isa_at(i, &isa); i++) {
        if (!isa.available || mxq_set_isa(isa.name))
            continue;
        printf("%s\n", isa.name);
        test_one_pass(&parallel, 200);
        test_all_formats(&parallel, 100);
        test_large(&parallel);
    }
    if (mxq_set_isa(NULL))
        failed = 1;
    test_errors();
    free(wide);
    free(transposed);
    for (int i = 0; i < 2; i++) {
        free(found[i].elements);
        free(found[i].scales);
        free(wanted[i].elements);
        free(wanted[i].scales);
    }
    return failed;
}

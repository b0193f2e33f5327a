/* SPDX-License-Identifier: Apache-2.0 */
/* test_api.c -- the public functions: every shape, every error, every way to run them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fill.h"
#include "oracle.h"
#include "workers.h"

#define BLOCK 32
#define BLANK 0xAA

static unsigned long cases;

/* ------------------------------------ A matrix in all its forms ------------------------------- */

/* Memory for one matrix, both wide and quantized, with the gaps of the strides. */
struct image {
    size_t wide_bytes, elements_bytes, scales_bytes;
    unsigned char *wide;
    uint8_t *elements, *scales;
};

/* Where a matrix lies: what is added to the dense strides, and how far the pointers are off. */
struct placement {
    size_t wide_gap, elements_gap, scales_gap;
    size_t offset; /* in bytes: misaligns all pointers */
};

struct operands {
    struct mxq_matrix wide;
    struct mxq_quantized quantized;
    struct image image;
};

static size_t blocks_of(size_t cols)
{
    return (cols + BLOCK - 1) / BLOCK;
}

static void *blank(size_t bytes)
{
    void *memory = malloc(bytes + 1);
    assert_non_null(memory);
    memset(memory, BLANK, bytes);
    return memory;
}

static struct operands make(enum mxq_element element, enum mxq_type type, size_t rows, size_t cols,
                            const struct placement *p)
{
    struct operands o;
    const size_t wide_stride = cols + p->wide_gap;
    const size_t elements_stride = cols + p->elements_gap;
    const size_t scales_stride = blocks_of(cols) + p->scales_gap;
    o.image.wide_bytes = rows * wide_stride * mxq_type_bytes(type) + p->offset;
    o.image.elements_bytes = rows * elements_stride + p->offset;
    o.image.scales_bytes = rows * scales_stride + p->offset;
    o.image.wide = blank(o.image.wide_bytes);
    o.image.elements = blank(o.image.elements_bytes);
    o.image.scales = blank(o.image.scales_bytes);
    o.wide = (struct mxq_matrix){o.image.wide + p->offset, type, rows, cols, wide_stride};
    o.quantized = (struct mxq_quantized){{element, MXQ_E8M0, 1, BLOCK},
                                         rows,
                                         cols,
                                         o.image.elements + p->offset,
                                         elements_stride,
                                         o.image.scales + p->offset,
                                         scales_stride};
    return o;
}

static void release(struct operands *o)
{
    free(o->image.wide);
    free(o->image.elements);
    free(o->image.scales);
}

static unsigned char *wide_at(const struct operands *o, size_t row, size_t col)
{
    return (unsigned char *)o->wide.data +
           (row * o->wide.stride + col) * mxq_type_bytes(o->wide.type);
}

static void set_wide(const struct operands *o, size_t row, size_t col, uint32_t bits)
{
    oracle_store(o->wide.type, wide_at(o, row, col), 0, bits);
}

/* Fills the values, leaves the gaps blank. */
static void fill_wide(const struct operands *o, enum fill fill, uint64_t seed)
{
    struct random r = {seed};
    const size_t bytes = mxq_type_bytes(o->wide.type);
    for (size_t row = 0; row < o->wide.rows; row++)
        for (size_t col = 0; col < o->wide.cols; col += BLOCK) {
            unsigned char block[BLOCK * 4];
            const size_t left = o->wide.cols - col;
            const struct fill_target t = {o->wide.type, o->quantized.format.element,
                                          (uint8_t)(110 + random_below(&r, 20)), col / BLOCK};
            fill_block(&r, fill, &t, block);
            memcpy(wide_at(o, row, col), block, (left < BLOCK ? left : BLOCK) * bytes);
        }
}

static void fill_quantized(const struct operands *o, uint64_t seed)
{
    struct random r = {seed};
    const struct mxq_quantized *q = &o->quantized;
    for (size_t row = 0; row < q->rows; row++) {
        for (size_t col = 0; col < q->cols; col++)
            q->elements[row * q->elements_stride + col] = (uint8_t)random_u32(&r);
        for (size_t b = 0; b < blocks_of(q->cols); b++)
            q->scales[row * q->scales_stride + b] = fill_scale(&r);
    }
}

/* What mxq_quantize() has to write, by the oracle. */
static void expect_quantized(const struct operands *o, enum mxq_scale_mode mode)
{
    const struct mxq_quantized *q = &o->quantized;
    for (size_t row = 0; row < q->rows; row++)
        for (size_t b = 0; b < blocks_of(q->cols); b++) {
            const size_t left = q->cols - b * BLOCK;
            oracle_quantize(q->format.element, mode, o->wide.type, wide_at(o, row, b * BLOCK),
                            left < BLOCK ? left : BLOCK,
                            q->elements + row * q->elements_stride + b * BLOCK,
                            q->scales + row * q->scales_stride + b);
        }
}

static void expect_wide(const struct operands *o)
{
    const struct mxq_quantized *q = &o->quantized;
    for (size_t row = 0; row < q->rows; row++)
        for (size_t col = 0; col < q->cols; col++)
            set_wide(o, row, col,
                     oracle_unpack(q->format.element, o->wide.type,
                                   q->elements[row * q->elements_stride + col],
                                   q->scales[row * q->scales_stride + col / BLOCK]));
}

/* Whole images, gaps and all. */
static void assert_equal(const struct operands *a, const struct operands *b)
{
    assert_memory_equal(a->image.wide, b->image.wide, a->image.wide_bytes);
    assert_memory_equal(a->image.elements, b->image.elements, a->image.elements_bytes);
    assert_memory_equal(a->image.scales, b->image.scales, a->image.scales_bytes);
    cases++;
}

/* ------------------------------------------ Results ------------------------------------------- */

static const struct placement placements[] = {
    {0, 0, 0, 0}, {1, 0, 0, 1}, {0, 3, 0, 2}, {0, 0, 1, 3}, {13, 7, 5, 61}, {64, 64, 64, 0},
};
#define PLACEMENTS (sizeof placements / sizeof *placements)

static void check_shape(enum mxq_element element, enum mxq_type type, size_t rows, size_t cols,
                        const struct placement *p, enum mxq_scale_mode mode)
{
    struct operands got = make(element, type, rows, cols, p);
    struct operands expected = make(element, type, rows, cols, p);
    struct mxq_quantize_options options = MXQ_QUANTIZE_OPTIONS;
    struct mxq_error error = {MXQ_ERR_ISA, "untouched", 7, 8};
    const uint64_t seed = rows * 1000003 + cols;
    options.scale_mode = mode;
    fill_wide(&got, FILL_MIXED, seed);
    fill_wide(&expected, FILL_MIXED, seed);
    expect_quantized(&expected, mode);
    assert_int_equal(mxq_quantize(&got.quantized, &got.wide, &options, &error), MXQ_OK);
    assert_equal(&got, &expected);

    fill_quantized(&got, seed);
    fill_quantized(&expected, seed);
    expect_wide(&expected);
    assert_int_equal(mxq_dequantize(&got.wide, &got.quantized, NULL, &error), MXQ_OK);
    assert_equal(&got, &expected);
    assert_int_equal(error.status, MXQ_ERR_ISA); /* filled only on failure */
    assert_int_equal(error.row, 7);
    release(&got);
    release(&expected);
}

static void check_shapes(void)
{
    static const size_t rows[] = {0, 1, 2, 3, 7};
    static const size_t cols[] = {0, 1, 5, 31, 32, 33, 63, 64, 65, 96, 100, 255, 1000};
    unsigned n = 0;
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        for (size_t c = 0; c < sizeof cols / sizeof *cols; c++)
            for (size_t p = 0; p < PLACEMENTS; p++)
                for (int e = MXQ_E4M3; e <= MXQ_E5M2; e++)
                    for (int t = 0; t < MXQ_TYPES; t++)
                        check_shape((enum mxq_element)e, (enum mxq_type)t, rows[r], cols[c],
                                    &placements[p], (enum mxq_scale_mode)(n++ % MXQ_SCALE_MODES));
}

/* Calls test() once for each instruction set of this machine. */
static void for_each_isa(void (*test)(void))
{
    struct mxq_isa_info info;
    cases = 0;
    for (size_t i = 0; mxq_isa_at(i, &info); i++)
        if (info.available) {
            assert_int_equal(mxq_set_isa(info.name), MXQ_OK);
            test();
        } else {
            print_message("%s: skipped: no %s here\n", info.name, info.missing);
        }
    assert_int_equal(mxq_set_isa(NULL), MXQ_OK);
    print_message("%lu cases\n", cases);
}

static void test_shapes(void **state)
{
    (void)state;
    for_each_isa(check_shapes);
}

/* A NULL for the options must mean what MXQ_QUANTIZE_OPTIONS says. */
static void test_defaults(void **state)
{
    (void)state;
    struct operands got = make(MXQ_E4M3, MXQ_F32, 9, 77, &placements[4]);
    struct operands expected = make(MXQ_E4M3, MXQ_F32, 9, 77, &placements[4]);
    fill_wide(&got, FILL_MIXED, 1);
    fill_wide(&expected, FILL_MIXED, 1);
    expect_quantized(&expected, MXQ_SCALE_RCEIL);
    assert_int_equal(mxq_quantize(&got.quantized, &got.wide, NULL, NULL), MXQ_OK);
    assert_equal(&got, &expected);
    release(&got);
    release(&expected);
}

/* Elements and their scales in one buffer, row by row. */
static void test_interleaved_rows(void **state)
{
    (void)state;
    for (size_t cols = 1; cols <= 130; cols++) {
        const size_t rows = 5, stride = cols + blocks_of(cols);
        struct operands got = make(MXQ_E5M2, MXQ_BF16, rows, cols, &placements[0]);
        struct operands expected = make(MXQ_E5M2, MXQ_BF16, rows, cols, &placements[0]);
        uint8_t *buffer = blank(rows * stride);
        fill_wide(&got, FILL_NORMAL, cols);
        fill_wide(&expected, FILL_NORMAL, cols);
        expect_quantized(&expected, MXQ_SCALE_RCEIL);
        struct mxq_quantized q = got.quantized;
        q.elements = buffer;
        q.elements_stride = q.scales_stride = stride;
        q.scales = buffer + cols;
        assert_int_equal(mxq_quantize(&q, &got.wide, NULL, NULL), MXQ_OK);
        for (size_t r = 0; r < rows; r++) {
            assert_memory_equal(buffer + r * stride, expected.quantized.elements + r * cols, cols);
            assert_memory_equal(buffer + r * stride + cols,
                                expected.quantized.scales + r * blocks_of(cols), blocks_of(cols));
        }
        expect_wide(&expected);
        assert_int_equal(mxq_dequantize(&got.wide, &q, NULL, NULL), MXQ_OK);
        assert_memory_equal(got.image.wide, expected.image.wide, got.image.wide_bytes);
        /* The scales before the elements, too. */
        q.scales = buffer;
        q.elements = buffer + blocks_of(cols);
        assert_int_equal(mxq_quantize(&q, &got.wide, NULL, NULL), MXQ_OK);
        /* One byte less in a row, and they would overlap. */
        q.elements_stride = q.scales_stride = stride - 1;
        assert_int_equal(mxq_quantize(&q, &got.wide, NULL, NULL), MXQ_ERR_OVERLAP);
        free(buffer);
        release(&got);
        release(&expected);
    }
}

/* ------------------------------------------ Threads ------------------------------------------- */

static void check_workers(size_t rows, size_t cols, const struct placement *p, enum mxq_type type)
{
    static const unsigned threads[] = {1, 2, 3, 7, 16};
    struct operands expected = make(MXQ_E4M3, type, rows, cols, p);
    fill_wide(&expected, FILL_NORMAL, rows + cols);
    expect_quantized(&expected, MXQ_SCALE_RCEIL);
    struct operands values = make(MXQ_E4M3, type, rows, cols, p);
    memcpy(values.image.elements, expected.image.elements, expected.image.elements_bytes);
    memcpy(values.image.scales, expected.image.scales, expected.image.scales_bytes);
    expect_wide(&values);
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++)
        for (uint64_t seed = 0; seed < 3; seed++) {
            struct workers workers = {threads[i], seed, 0, NULL, NULL, NULL};
            const struct mxq_parallel parallel = workers_parallel(&workers);
            struct mxq_quantize_options options = MXQ_QUANTIZE_OPTIONS;
            struct operands got = make(MXQ_E4M3, type, rows, cols, p);
            memcpy(got.image.wide, expected.image.wide, expected.image.wide_bytes);
            options.parallel = &parallel;
            options.nonfinite = seed == 0 ? MXQ_NONFINITE_ERROR : MXQ_NONFINITE_NAN;
            assert_int_equal(mxq_quantize(&got.quantized, &got.wide, &options, NULL), MXQ_OK);
            assert_true(workers.tasks > 1);
            assert_equal(&got, &expected);
            workers.tasks = 0;
            assert_int_equal(mxq_dequantize(&got.wide, &got.quantized, &parallel, NULL), MXQ_OK);
            assert_true(workers.tasks > 1);
            assert_equal(&got, &values);
            release(&got);
        }
    release(&expected);
    release(&values);
}

static void check_all_workers(void)
{
    check_workers(1, 300000, &placements[0], MXQ_F32); /* one row in several tasks */
    check_workers(1, 299999, &placements[4], MXQ_F16); /* ... with a partial block */
    check_workers(700, 320, &placements[0], MXQ_BF16); /* no gaps: one long row */
    check_workers(701, 333, &placements[0], MXQ_F32);  /* partial blocks */
    check_workers(300, 800, &placements[4], MXQ_BF16); /* gaps */
    check_workers(3, 70001, &placements[4], MXQ_F32);  /* rows and pieces of rows */
    check_workers(60000, 3, &placements[2], MXQ_F32);  /* rows shorter than a block */
}

static void test_workers(void **state)
{
    (void)state;
    for_each_isa(check_all_workers);
}

/* ------------------------------------- NaN and infinities ------------------------------------- */

static const uint32_t nonfinites[MXQ_TYPES][6] = {
    [MXQ_F32] = {0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00001, 0x7F800001, 0xFFBFFFFF},
    [MXQ_BF16] = {0x7F80, 0xFF80, 0x7FC0, 0xFFC1, 0x7F81, 0xFFBF},
    [MXQ_F16] = {0x7C00, 0xFC00, 0x7E00, 0xFE01, 0x7C01, 0xFDFF},
};

/* One or more of them at random places: the first one must be reported, and nothing written. */
static void check_first_nonfinite(size_t rows, size_t cols, const struct placement *p,
                                  enum mxq_type type)
{
    struct random r = {rows + cols};
    for (unsigned round = 0; round < 24; round++) {
        struct operands got = make(MXQ_E4M3, type, rows, cols, p);
        struct operands before = make(MXQ_E4M3, type, rows, cols, p);
        struct workers workers = {round % 4 ? round % 4 : 16, round, 0, NULL, NULL, NULL};
        const struct mxq_parallel parallel = workers_parallel(&workers);
        struct mxq_quantize_options options = MXQ_QUANTIZE_OPTIONS;
        struct mxq_error error = {MXQ_OK, NULL, 0, 0};
        uint64_t first = UINT64_MAX;
        options.nonfinite = MXQ_NONFINITE_ERROR;
        options.parallel = round % 2 ? &parallel : NULL;
        fill_wide(&got, FILL_EXTREMES, round); /* finite */
        for (unsigned i = 0; i <= round / 6; i++) {
            const uint64_t index = round == 5   ? rows * cols - 1
                                   : round == 6 ? 0
                                                : random_u64(&r) % (rows * cols);
            set_wide(&got, index / cols, index % cols, nonfinites[type][random_below(&r, 6)]);
            first = index < first ? index : first;
        }
        memcpy(before.image.wide, got.image.wide, got.image.wide_bytes);
        assert_int_equal(mxq_quantize(&got.quantized, &got.wide, &options, &error),
                         MXQ_ERR_NONFINITE);
        assert_int_equal(error.status, MXQ_ERR_NONFINITE);
        assert_non_null(error.what);
        assert_int_equal(error.row, first / cols);
        assert_int_equal(error.col, first % cols);
        assert_equal(&got, &before);
        assert_int_equal(mxq_quantize(&got.quantized, &got.wide, &options, NULL),
                         MXQ_ERR_NONFINITE);
        assert_equal(&got, &before);
        release(&got);
        release(&before);
    }
}

static void check_nonfinite(void)
{
    for (int type = 0; type < MXQ_TYPES; type++)
        for (size_t p = 0; p < PLACEMENTS; p++) {
            check_first_nonfinite(1, 1, &placements[p], (enum mxq_type)type);
            check_first_nonfinite(3, 31, &placements[p], (enum mxq_type)type);
            check_first_nonfinite(5, 96, &placements[p], (enum mxq_type)type);
            check_first_nonfinite(4, 2085, &placements[p], (enum mxq_type)type);
        }
    check_first_nonfinite(600, 320, &placements[0], MXQ_F32);
    check_first_nonfinite(601, 333, &placements[4], MXQ_BF16);
    check_first_nonfinite(2, 150001, &placements[1], MXQ_F16);
}

static void test_nonfinite(void **state)
{
    (void)state;
    for_each_isa(check_nonfinite);
}

/* ------------------------------------------- Errors ------------------------------------------- */

/* A sound call, to be broken in one place. */
struct call {
    struct operands o;
    struct mxq_quantize_options options;
    struct mxq_parallel parallel;
    const struct mxq_quantized *q;
    const struct mxq_matrix *x;
};

static void begin_call(struct call *c)
{
    c->o = make(MXQ_E4M3, MXQ_F32, 4, 100, &placements[4]);
    fill_wide(&c->o, FILL_NORMAL, 5);
    c->options = (struct mxq_quantize_options)MXQ_QUANTIZE_OPTIONS;
    c->parallel = (struct mxq_parallel){NULL, NULL};
    c->q = &c->o.quantized;
    c->x = &c->o.wide;
}

enum { QUANTIZE = 1, DEQUANTIZE = 2, BOTH = 3 };

/* Makes the calls that `which` names and expects their status, and nothing else changed. */
static void expect_status(struct call *c, int which, enum mxq_status expected)
{
    struct operands before = make(MXQ_E4M3, MXQ_F32, 4, 100, &placements[4]);
    memcpy(before.image.wide, c->o.image.wide, c->o.image.wide_bytes);
    for (int f = QUANTIZE; f <= DEQUANTIZE; f++) {
        struct mxq_error error = {MXQ_OK, NULL, 99, 99};
        if (!(which & f))
            continue;
        for (int with_error = 1; with_error >= 0; with_error--) {
            struct mxq_error *e = with_error ? &error : NULL;
            const enum mxq_status status = f == QUANTIZE
                                               ? mxq_quantize(c->q, c->x, &c->options, e)
                                               : mxq_dequantize(c->x, c->q, c->options.parallel, e);
            assert_int_equal(status, expected);
        }
        assert_int_equal(error.status, expected);
        assert_non_null(error.what);
        assert_true(strlen(error.what) > 10);
        assert_int_equal(error.row, 0);
        assert_int_equal(error.col, 0);
        assert_equal(&c->o, &before);
    }
    release(&before);
    release(&c->o);
}

#define EXPECT(which, status, change)                                                              \
    do {                                                                                           \
        struct call c;                                                                             \
        begin_call(&c);                                                                            \
        change;                                                                                    \
        expect_status(&c, which, status);                                                          \
    } while (0)

static void test_argument_errors(void **state)
{
    (void)state;
    cases = 0;
    EXPECT(BOTH, MXQ_ERR_ARGUMENT, c.q = NULL);
    EXPECT(BOTH, MXQ_ERR_ARGUMENT, c.x = NULL);
    EXPECT(BOTH, MXQ_ERR_ARGUMENT, c.o.wide.data = NULL);
    EXPECT(BOTH, MXQ_ERR_ARGUMENT, c.o.quantized.elements = NULL);
    EXPECT(BOTH, MXQ_ERR_ARGUMENT, c.o.quantized.scales = NULL);
    EXPECT(BOTH, MXQ_ERR_ARGUMENT, c.o.wide.type = (enum mxq_type)3);
    EXPECT(BOTH, MXQ_ERR_ARGUMENT, c.o.wide.type = (enum mxq_type) - 1);
    EXPECT(BOTH, MXQ_ERR_ARGUMENT, c.options.parallel = &c.parallel);
    EXPECT(QUANTIZE, MXQ_ERR_ARGUMENT, c.options.struct_bytes = 0);
    EXPECT(QUANTIZE, MXQ_ERR_ARGUMENT, c.options.struct_bytes++);
    EXPECT(QUANTIZE, MXQ_ERR_ARGUMENT, c.options.struct_bytes--);
    EXPECT(QUANTIZE, MXQ_ERR_ARGUMENT, c.options.scale_mode = (enum mxq_scale_mode)8);
    EXPECT(QUANTIZE, MXQ_ERR_ARGUMENT, c.options.scale_mode = (enum mxq_scale_mode) - 1);
    EXPECT(QUANTIZE, MXQ_ERR_ARGUMENT, c.options.nonfinite = (enum mxq_nonfinite)3);
    EXPECT(QUANTIZE, MXQ_ERR_ARGUMENT, c.options.nonfinite = (enum mxq_nonfinite) - 1);
    print_message("%lu cases\n", cases);
}

static void test_format_errors(void **state)
{
    (void)state;
    cases = 0;
    EXPECT(BOTH, MXQ_ERR_FORMAT, c.o.quantized.format.element = (enum mxq_element)MXQ_ELEMENTS);
    EXPECT(BOTH, MXQ_ERR_FORMAT, c.o.quantized.format.element = (enum mxq_element) - 1);
    EXPECT(BOTH, MXQ_ERR_FORMAT, c.o.quantized.format.scale = MXQ_E4M3_SCALE);
    EXPECT(BOTH, MXQ_ERR_FORMAT, c.o.quantized.format.block_rows = 0);
    EXPECT(BOTH, MXQ_ERR_FORMAT, c.o.quantized.format.block_rows = 32);
    EXPECT(BOTH, MXQ_ERR_FORMAT, c.o.quantized.format.block_cols = 0);
    EXPECT(BOTH, MXQ_ERR_FORMAT, c.o.quantized.format.block_cols = 16);
    EXPECT(BOTH, MXQ_ERR_FORMAT, c.o.quantized.format.block_cols = 64);
    print_message("%lu cases\n", cases);
}

static void test_shape_errors(void **state)
{
    (void)state;
    cases = 0;
    EXPECT(BOTH, MXQ_ERR_SHAPE, c.o.quantized.rows++);
    EXPECT(BOTH, MXQ_ERR_SHAPE, c.o.quantized.cols--);
    EXPECT(BOTH, MXQ_ERR_SHAPE, c.o.wide.stride = 99);
    EXPECT(BOTH, MXQ_ERR_SHAPE, c.o.quantized.elements_stride = 99);
    EXPECT(BOTH, MXQ_ERR_SHAPE, c.o.quantized.scales_stride = 3);
    EXPECT(BOTH, MXQ_ERR_SHAPE, c.o.wide.stride = SIZE_MAX / 4);
    EXPECT(BOTH, MXQ_ERR_SHAPE, c.o.wide.stride = SIZE_MAX);
    EXPECT(BOTH, MXQ_ERR_SHAPE, c.o.wide.stride = SIZE_MAX / 12);
    EXPECT(BOTH, MXQ_ERR_SHAPE, c.o.wide.stride = SIZE_MAX / 12 - 1000); /* past the last address */
    EXPECT(BOTH, MXQ_ERR_SHAPE, c.o.quantized.elements_stride = SIZE_MAX / 2);
    EXPECT(BOTH, MXQ_ERR_SHAPE, c.o.quantized.scales_stride = SIZE_MAX);
    EXPECT(BOTH, MXQ_ERR_SHAPE, {
        c.o.wide.rows = c.o.quantized.rows = SIZE_MAX / 2;
        c.o.wide.stride = c.o.quantized.elements_stride = c.o.quantized.scales_stride = 100;
    });
    EXPECT(BOTH, MXQ_ERR_SHAPE, {
        c.o.wide.cols = c.o.quantized.cols = SIZE_MAX;
        c.o.wide.stride = c.o.quantized.elements_stride = c.o.quantized.scales_stride = SIZE_MAX;
    });
    print_message("%lu cases\n", cases);
}

static void test_overlap_errors(void **state)
{
    (void)state;
    cases = 0;
    EXPECT(BOTH, MXQ_ERR_OVERLAP, c.o.quantized.elements = c.o.wide.data);
    EXPECT(BOTH, MXQ_ERR_OVERLAP, c.o.quantized.scales = c.o.wide.data);
    EXPECT(BOTH, MXQ_ERR_OVERLAP, c.o.quantized.elements = wide_at(&c.o, 3, 99) + 3);
    EXPECT(BOTH, MXQ_ERR_OVERLAP, c.o.quantized.scales = wide_at(&c.o, 3, 99) + 3);
    EXPECT(BOTH, MXQ_ERR_OVERLAP,
           c.o.quantized.elements =
               (uint8_t *)c.o.wide.data - 3 * c.o.quantized.elements_stride - 99);
    EXPECT(QUANTIZE, MXQ_ERR_OVERLAP, c.o.quantized.scales = c.o.quantized.elements);
    EXPECT(QUANTIZE, MXQ_ERR_OVERLAP, c.o.quantized.scales = c.o.quantized.elements + 99);
    EXPECT(QUANTIZE, MXQ_ERR_OVERLAP, {
        c.o.quantized.scales_stride = c.o.quantized.elements_stride; /* 107: a gap of 7 */
        c.o.quantized.scales = c.o.quantized.elements + 104;         /* 4 scales: one too far */
    });
    print_message("%lu cases\n", cases);
}

/* Operands side by side in one buffer, in both orders; of one row, which needs no stride. */
static void test_neighbours(void **state)
{
    (void)state;
    for (size_t cols = 1; cols <= 65; cols++) {
        const size_t wide_bytes = 4 * cols, blocks = blocks_of(cols);
        uint8_t *memory = blank(wide_bytes + cols + blocks);
        struct mxq_matrix wide = {memory, MXQ_F32, 1, cols, 0};
        struct mxq_quantized q = {
            mxq_mxfp8_e4m3, 1, cols, memory + wide_bytes, 0, memory + wide_bytes + cols, 0};
        memset(memory, 0, wide_bytes);
        assert_int_equal(mxq_quantize(&q, &wide, NULL, NULL), MXQ_OK);
        assert_int_equal(mxq_dequantize(&wide, &q, NULL, NULL), MXQ_OK);
        q.scales = q.elements + cols - 1; /* one byte too near */
        assert_int_equal(mxq_quantize(&q, &wide, NULL, NULL), MXQ_ERR_OVERLAP);
        q.elements--;
        assert_int_equal(mxq_dequantize(&wide, &q, NULL, NULL), MXQ_ERR_OVERLAP);
        q.scales = memory;
        q.elements = memory + blocks;
        wide.data = memory + blocks + cols;
        memset(wide.data, 0, wide_bytes);
        assert_int_equal(mxq_quantize(&q, &wide, NULL, NULL), MXQ_OK);
        assert_int_equal(mxq_dequantize(&wide, &q, NULL, NULL), MXQ_OK);
        wide.data = memory + blocks + cols - 1;
        assert_int_equal(mxq_quantize(&q, &wide, NULL, NULL), MXQ_ERR_OVERLAP);
        assert_int_equal(mxq_dequantize(&wide, &q, NULL, NULL), MXQ_ERR_OVERLAP);
        free(memory);
    }
}

/* Inputs that overlap, and nothing at all: all of these are fine. */
static void test_not_errors(void **state)
{
    (void)state;
    struct operands o = make(MXQ_E4M3, MXQ_F32, 1, 64, &placements[0]);
    uint8_t *memory = blank(64 * 4 + 64 + 2);
    o.wide.data = memory;
    o.quantized.elements = memory + 64 * 4;
    o.quantized.scales = o.quantized.elements + 3;
    assert_int_equal(mxq_dequantize(&o.wide, &o.quantized, NULL, NULL), MXQ_OK);
    free(memory);

    const struct mxq_quantized no_rows = {mxq_mxfp8_e4m3, 0, 5, NULL, 5, NULL, 1};
    const struct mxq_matrix no_rows_wide = {NULL, MXQ_F32, 0, 5, 5};
    assert_int_equal(mxq_quantize(&no_rows, &no_rows_wide, NULL, NULL), MXQ_OK);
    assert_int_equal(mxq_dequantize(&no_rows_wide, &no_rows, NULL, NULL), MXQ_OK);
    const struct mxq_quantized no_cols = {mxq_mxfp8_e5m2, 5, 0, NULL, 0, NULL, 0};
    const struct mxq_matrix no_cols_wide = {NULL, MXQ_F16, 5, 0, 0};
    struct mxq_quantize_options options = MXQ_QUANTIZE_OPTIONS;
    options.nonfinite = MXQ_NONFINITE_ERROR;
    assert_int_equal(mxq_quantize(&no_cols, &no_cols_wide, &options, NULL), MXQ_OK);
    assert_int_equal(mxq_dequantize(&no_cols_wide, &no_cols, NULL, NULL), MXQ_OK);
    release(&o);
}

/* ------------------------------------ Sizes, names, versions ---------------------------------- */

static void test_sizes(void **state)
{
    (void)state;
    struct mxq_sizes s;
    assert_int_equal(mxq_quantized_sizes(&mxq_mxfp8_e4m3, 7, 100, &s), MXQ_OK);
    assert_int_equal(s.elements_row_bytes, 100);
    assert_int_equal(s.scales_row_bytes, 4);
    assert_int_equal(s.elements_bytes, 700);
    assert_int_equal(s.scales_bytes, 28);
    for (size_t cols = 0; cols < 200; cols++) {
        assert_int_equal(mxq_quantized_sizes(&mxq_mxfp8_e5m2, 3, cols, &s), MXQ_OK);
        assert_int_equal(s.scales_row_bytes, blocks_of(cols));
        assert_int_equal(s.scales_bytes, 3 * blocks_of(cols));
    }
    assert_int_equal(mxq_quantized_sizes(&mxq_mxfp8_e4m3, 1, SIZE_MAX, &s), MXQ_OK);
    assert_true(s.scales_row_bytes == SIZE_MAX / 32 + 1);
    assert_int_equal(mxq_quantized_sizes(&mxq_mxfp8_e4m3, SIZE_MAX, 0, &s), MXQ_OK);
    assert_int_equal(s.elements_bytes, 0);
    const struct mxq_sizes before = s;
    assert_int_equal(mxq_quantized_sizes(&mxq_mxfp8_e4m3, SIZE_MAX, 2, &s), MXQ_ERR_SHAPE);
    assert_int_equal(mxq_quantized_sizes(&mxq_mxfp8_e4m3, 2, SIZE_MAX, &s), MXQ_ERR_SHAPE);
    const struct mxq_format unsupported[] = {
        {MXQ_INT8, MXQ_E8M0, 1, 32},
        {MXQ_E4M3, MXQ_E4M3_SCALE, 1, 32},
        {MXQ_E4M3, MXQ_E8M0, 2, 32},
        {MXQ_E4M3, MXQ_E8M0, 1, 0},
    };
    for (size_t i = 0; i < sizeof unsupported / sizeof *unsupported; i++)
        assert_int_equal(mxq_quantized_sizes(&unsupported[i], 1, 32, &s), MXQ_ERR_FORMAT);
    assert_int_equal(mxq_quantized_sizes(NULL, 1, 32, &s), MXQ_ERR_ARGUMENT);
    assert_int_equal(mxq_quantized_sizes(&mxq_mxfp8_e4m3, 1, 32, NULL), MXQ_ERR_ARGUMENT);
    assert_memory_equal(&s, &before, sizeof s);
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(mxq_version(), MXQ_VERSION_STRING);
    for (int a = MXQ_OK; a <= MXQ_ERR_ISA; a++)
        for (int b = a + 1; b <= MXQ_ERR_ISA + 1; b++)
            assert_string_not_equal(mxq_status_string((enum mxq_status)a),
                                    mxq_status_string((enum mxq_status)b));
    assert_non_null(mxq_status_string((enum mxq_status) - 1));
    assert_int_equal(mxq_type_bytes(MXQ_F32), 4);
    assert_int_equal(mxq_type_bytes(MXQ_BF16), 2);
    assert_int_equal(mxq_type_bytes(MXQ_F16), 2);
    assert_int_equal(mxq_type_bytes((enum mxq_type)3), 0);
    assert_int_equal(mxq_type_bytes((enum mxq_type) - 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_interleaved_rows),
        cmocka_unit_test(test_workers),
        cmocka_unit_test(test_nonfinite),
        cmocka_unit_test(test_argument_errors),
        cmocka_unit_test(test_format_errors),
        cmocka_unit_test(test_shape_errors),
        cmocka_unit_test(test_overlap_errors),
        cmocka_unit_test(test_neighbours),
        cmocka_unit_test(test_not_errors),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

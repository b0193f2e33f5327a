/* SPDX-License-Identifier: Apache-2.0 */
/* test_formats.c -- every format, type, rounding and policy through the public API, against the oracle.
 *
 *   usage: test_formats [SEED [CASE]]
 *
 * A case is a format, a type, a shape with gaps, options and values; all of it follows from the seed and the
 * case's number.  Every available instruction set, on one thread and on several, must give the oracle's bytes
 * and statistics, and touch nothing else. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fill.h"
#include "oracle.h"
#include "oracle_matrix.h"
#include "tally.h"
#include "workers.h"

#define BLOCKS   8 /* shapes of blocks, supported by some scales */
#define ISAS_MAX 8
#if defined(MXQ_EMULATED)
#define REPEAT 1 /* slow */
#else
#define REPEAT 6 /* cases of each format and type */
#endif
#define UNTOUCHED 0xAA

static const uint32_t block_shapes[BLOCKS][2] = {{1, 32}, {1, 128}, {128, 128}, {1, 8},
                                                 {1, 16}, {1, 64},  {1, 0},     {0, 0}};
static const char *isas[ISAS_MAX];
static size_t isa_count;
static int failed;

static void find_isas(void)
{
    struct mxq_isa_info info;
    for (size_t i = 0; mxq_isa_at(i, &info); i++) {
        if (!info.available)
            printf("%s: skipped: no %s here\n", info.name, info.missing);
        else
            isas[isa_count++] = info.name;
    }
}

/* --------------------------------------------- Cases -------------------------------------------- */

struct buffer {
    unsigned char *data;
    size_t bytes;
};

static struct buffer new_buffer(size_t bytes)
{
    struct buffer b = {malloc(bytes + 1), bytes};
    if (!b.data)
        exit(99);
    memset(b.data, UNTOUCHED, bytes + 1);
    return b;
}

struct test_case {
    uint64_t seed;
    unsigned number;
    struct mxq_format format;
    struct mxq_matrix x;
    size_t elements_stride, scales_stride, y_gap;
    struct mxq_sizes sizes;
    struct mxq_quantize_options options;
    struct buffer values, amax;
    enum fill fill;
};

/* What one call writes. */
struct result {
    struct buffer elements, scales;
    float tensor_scale;
    struct mxq_quantized q;
    struct mxq_statistics statistics;
};

static size_t extent(size_t rows, size_t stride, size_t row)
{
    return rows ? (rows - 1) * stride + row : 0;
}

static void open_result(struct result *r, const struct test_case *c)
{
    r->elements = new_buffer(extent(c->x.rows, c->elements_stride, c->sizes.elements_row_bytes));
    r->scales =
        new_buffer(extent(c->sizes.scales_rows, c->scales_stride, c->sizes.scales_row_bytes));
    r->tensor_scale = -1;
    r->q = (struct mxq_quantized){
        c->format,          c->x.rows,
        c->x.cols,          r->elements.data,
        c->elements_stride, r->scales.data,
        c->scales_stride,   c->format.scale == MXQ_E4M3_SCALE ? &r->tensor_scale : NULL};
}

static void close_result(struct result *r)
{
    free(r->elements.data);
    free(r->scales.data);
}

/* Small shapes, shapes at the edges of blocks and of spans, some of several tiles. */
static void choose_shape(struct random *r, struct test_case *c)
{
    static const uint16_t edges[] = {0,  1,  7,   8,   9,   15,  16,  17,  31,  32,  33,  63,
                                     64, 65, 127, 128, 129, 255, 256, 257, 300, 511, 513, 1023};
    const uint32_t kind = random_below(r, 16);
    const size_t count = sizeof edges / sizeof *edges;
    c->x.cols = edges[random_below(r, (uint32_t)count)];
    c->x.rows = 1 + random_below(r, 6);
    if (kind == 0) {
        c->x.rows = random_below(r, 2) ? 0 : c->x.rows;
    } else if (kind < 4) {
        c->x.rows = 120 + random_below(r, 160);
        c->x.cols = random_below(r, 70);
    } else if (kind == 4) {
        c->x.cols = 1000 + random_below(r, 1200);
    } else if (kind == 5) { /* tiles of 4096 columns, the last one of a row often narrower */
        c->x.cols = random_below(r, 2) ? 4096 : 4000 + random_below(r, 1400);
        c->x.rows = 1 + random_below(r, 3);
    } else if (c->format.block_rows == 128 && kind < 10) {
        c->x.rows = 100 + random_below(r, 60);
        c->x.cols = 100 + random_below(r, 300);
    }
    c->x.stride = c->x.cols + (random_below(r, 2) ? 0 : random_below(r, 9));
}

static double scale_for_fill(const struct test_case *c, int code)
{
    return ldexp(oracle_decode(c->format.element, oracle_max_code(c->format.element)), code - 127);
}

static void choose_amax(struct random *r, struct test_case *c, int code)
{
    const size_t down = c->sizes.scales_rows;
    const size_t across = c->format.block_cols
                              ? (c->x.cols + c->format.block_cols - 1) / c->format.block_cols
                              : c->x.cols > 0;
    const size_t blocks = down * across;
    const int is_each = c->format.scale != MXQ_E4M3_SCALE && random_below(r, 2);
    const size_t count = is_each ? blocks : 1;
    c->amax = new_buffer(count * sizeof(float));
    for (size_t i = 0; i < count; i++) {
        const uint32_t random = random_u32(r) & 0x7FFFFFFF;
        float amax = (float)fmin(scale_for_fill(c, code), 0x1.fffffep127);
        if (random_below(r, 8) == 0 && random < 0x7F800000)
            memcpy(&amax, &random, sizeof amax);
        else if (random_below(r, 8) == 0)
            amax = 0;
        memcpy(c->amax.data + i * sizeof amax, &amax, sizeof amax);
    }
    c->options.amax = (const float *)(const void *)c->amax.data;
    c->options.amax_count = count;
}

static void choose_scale_mode(struct random *r, struct test_case *c)
{
    const int is_ocp = c->format.block_rows == 1 && c->format.block_cols == 32;
    if (c->format.scale == MXQ_E8M0) {
        c->options.scale_mode = (enum mxq_scale_mode)random_below(r, MXQ_SCALE_MODES);
        if (c->options.scale_mode == MXQ_SCALE_MSE && !is_ocp)
            c->options.scale_mode = MXQ_SCALE_UNIT;
    } else if (c->format.scale != MXQ_E4M3_SCALE) {
        c->options.scale_mode = random_below(r, 3) ? MXQ_SCALE_DEFAULT : MXQ_SCALE_RCEIL;
        c->options.reciprocal = random_below(r, 4) == 0;
    } else {
        c->options.positive_scale = random_below(r, 2) == 0;
    }
}

static void choose_options(struct random *r, struct test_case *c, int code)
{
    struct mxq_quantize_options *o = &c->options;
    const int can_overflow = c->format.element == MXQ_E4M3 || c->format.element == MXQ_E5M2;
    *o = (struct mxq_quantize_options)MXQ_QUANTIZE_OPTIONS;
    choose_scale_mode(r, c);
    o->rounding = (enum mxq_rounding)(random_below(r, 2) ? 0 : random_below(r, MXQ_ROUNDINGS));
    o->overflow =
        can_overflow && random_below(r, 3) == 0 ? MXQ_OVERFLOW_SPECIAL : MXQ_OVERFLOW_SATURATE;
    o->nonfinite = random_below(r, 3) ? MXQ_NONFINITE_NAN : MXQ_NONFINITE_CLAMP;
    o->seed = random_u64(r);
    o->first_index = random_below(r, 2) ? random_below(r, 9) : random_u64(r) >> 1;
    o->unsigned_zero = random_below(r, 4) == 0;
    if (random_below(r, 5) == 0)
        o->amax_floor = (float)ldexp(1, (int)random_below(r, 160) - 130);
    if (random_below(r, 4) == 0)
        choose_amax(r, c, code);
}

static void fill_values(struct random *r, struct test_case *c, uint8_t code)
{
    const size_t size = mxq_type_bytes(c->x.type);
    const size_t values = extent(c->x.rows, c->x.stride, c->x.cols);
    struct fill_target target = {c->x.type, c->format.element, code, random_u32(r)};
    c->values = new_buffer(values * size);
    c->x.data = c->values.data;
    c->fill = random_below(r, 3) ? (enum fill)random_below(r, FILLS) : FILL_NORMAL;
    for (size_t i = 0; i < values; i += 32, target.index++) {
        unsigned char block[32 * 4];
        const size_t left = values - i < 32 ? values - i : 32;
        fill_block(r, c->fill, &target, block);
        memcpy(c->values.data + i * size, block, left * size);
    }
}

static void make_case(struct test_case *c, uint64_t seed, unsigned number,
                      const struct mxq_format *format, enum mxq_type type)
{
    struct random r = {seed + number * UINT64_C(0x100000001)};
    const uint8_t code = (uint8_t)(random_below(&r, 4) ? 121 + random_below(&r, 12)
                                   : type == MXQ_F16   ? 113
                                                       : random_below(&r, 250));
    memset(c, 0, sizeof *c);
    c->seed = seed;
    c->number = number;
    c->format = *format;
    c->x.type = type;
    choose_shape(&r, c);
    if (mxq_quantized_sizes(format, c->x.rows, c->x.cols, &c->sizes))
        exit(99);
    c->elements_stride = c->sizes.elements_row_bytes + random_below(&r, 4);
    c->scales_stride = c->sizes.scales_row_bytes + random_below(&r, 4);
    c->y_gap = random_below(&r, 3);
    choose_options(&r, c, code);
    fill_values(&r, c, code);
}

static void free_case(struct test_case *c)
{
    free(c->values.data);
    free(c->amax.data);
}

static const char *case_text(const struct test_case *c)
{
    static char text[512];
    const struct mxq_quantize_options *o = &c->options;
    snprintf(
        text, sizeof text,
        "case %u: element %d scale %d block %ux%u type %d, %zu x %zu stride %zu, fill %s, mode %d "
        "rounding %d overflow %d nonfinite %d reciprocal %d unsigned_zero %d floor %g amax %zu; "
        "replay: test_formats %" PRIu64 " %u",
        c->number, c->format.element, c->format.scale, c->format.block_rows, c->format.block_cols,
        c->x.type, c->x.rows, c->x.cols, c->x.stride, fill_name(c->fill), o->scale_mode,
        o->rounding, o->overflow, o->nonfinite, o->reciprocal, o->unsigned_zero,
        (double)o->amax_floor, o->amax_count, c->seed, c->number);
    return text;
}

/* -------------------------------------------- Checks -------------------------------------------- */

static size_t first_difference(const struct buffer *a, const struct buffer *b)
{
    for (size_t i = 0; i < a->bytes + 1; i++)
        if (a->data[i] != b->data[i])
            return i;
    return SIZE_MAX;
}

/* The byte behind the last one counts too: it must be untouched. */
static void compare(struct tally *t, const struct test_case *c, const char *isa, const char *what,
                    const struct buffer *got, const struct buffer *expected)
{
    const size_t at = first_difference(got, expected);
    t->cases++;
    if (at != SIZE_MAX)
        tally_fail(t, "%s: %s[%zu] is 0x%02X, must be 0x%02X\n    %s", isa, what, at, got->data[at],
                   expected->data[at], case_text(c));
}

static int is_same_f32(float a, float b)
{
    return !memcmp(&a, &b, sizeof a);
}

static int is_same_double(double a, double b)
{
    return !memcmp(&a, &b, sizeof a);
}

static int is_same_statistics(const struct mxq_statistics *a, const struct mxq_statistics *b)
{
    return a->values == b->values && a->saturated == b->saturated && a->flushed == b->flushed &&
           a->nonfinite == b->nonfinite && is_same_double(a->sum_xx, b->sum_xx) &&
           is_same_double(a->sum_yy, b->sum_yy) && is_same_double(a->sum_ee, b->sum_ee) &&
           is_same_double(a->max_error, b->max_error) && is_same_double(a->amax, b->amax);
}

static void compare_results(struct tally *t, const struct test_case *c, const char *isa,
                            const struct result *got, const struct result *expected)
{
    compare(t, c, isa, "scales", &got->scales, &expected->scales);
    compare(t, c, isa, "elements", &got->elements, &expected->elements);
    if (!is_same_f32(got->tensor_scale, expected->tensor_scale))
        tally_fail(t, "%s: tensor scale %a, must be %a\n    %s", isa, (double)got->tensor_scale,
                   (double)expected->tensor_scale, case_text(c));
    const struct mxq_statistics *a = &got->statistics, *b = &expected->statistics;
    if (got->statistics.values + got->statistics.nonfinite && !is_same_statistics(a, b))
        tally_fail(t,
                   "%s: statistics: values %" PRIu64 " saturated %" PRIu64 " flushed %" PRIu64
                   " xx %a yy %a ee %a max %a %a, must be %" PRIu64 " %" PRIu64 " %" PRIu64
                   " %a %a %a %a %a\n    %s",
                   isa, a->values, a->saturated, a->flushed, a->sum_xx, a->sum_yy, a->sum_ee,
                   a->max_error, a->amax, b->values, b->saturated, b->flushed, b->sum_xx, b->sum_yy,
                   b->sum_ee, b->max_error, b->amax, case_text(c));
}

static void run_dequantize(struct tally *t, const struct test_case *c, const char *isa,
                           const struct mxq_quantized *q, const struct mxq_parallel *parallel)
{
    for (int type = 0; type < MXQ_TYPES; type++) {
        const size_t stride = q->cols + c->y_gap;
        struct buffer got =
            new_buffer(extent(q->rows, stride, q->cols) * mxq_type_bytes((enum mxq_type)type));
        struct buffer expected = new_buffer(got.bytes);
        struct mxq_matrix y = {expected.data, (enum mxq_type)type, q->rows, q->cols, stride};
        oracle_dequantize_matrix(&y, q);
        y.data = got.data;
        if (mxq_dequantize(&y, q, parallel, NULL) != MXQ_OK)
            tally_fail(t, "%s: mxq_dequantize fails\n    %s", isa, case_text(c));
        compare(t, c, isa, "y", &got, &expected);
        free(got.data);
        free(expected.data);
    }
}

/* One instruction set, one number of threads (0: no parallel). */
static void run_case(struct tally *t, const struct test_case *c, size_t isa, unsigned threads,
                     int has_statistics, const struct result *expected)
{
    struct workers workers = {threads, c->seed + threads, 0, NULL, NULL, NULL};
    const struct mxq_parallel parallel = workers_parallel(&workers);
    struct mxq_quantize_options options = c->options;
    struct mxq_error error;
    struct result r = {.statistics = {0}};
    if (mxq_set_isa(isas[isa]) != MXQ_OK)
        exit(99);
    open_result(&r, c);
    options.statistics = has_statistics ? &r.statistics : NULL;
    options.parallel = threads ? &parallel : NULL;
    const enum mxq_status status = mxq_quantize(&r.q, &c->x, &options, &error);
    if (status)
        tally_fail(t, "%s: %s\n    %s", isas[isa], error.what, case_text(c));
    else
        compare_results(t, c, isas[isa], &r, expected);
    if (threads == 0 && has_statistics)
        run_dequantize(t, c, isas[isa], &expected->q, NULL);
    close_result(&r);
}

/* The statistics of the documented order are near to plain sums. */
static void check_statistics(struct tally *t, const struct test_case *c, const struct result *r)
{
    double xx = 0, ee = 0, largest = 0;
    for (size_t row = 0; row < c->x.rows; row++)
        for (size_t col = 0; col < c->x.cols; col++) {
            const double x =
                oracle_value(c->x.type, oracle_load(c->x.type, c->x.data, row * c->x.stride + col));
            const double y = oracle_dequantized(&r->q, row, col);
            if (!isfinite(x) || !isfinite(y))
                continue;
            xx += x * x;
            ee += (x - y) * (x - y);
            largest = fmax(largest, fabs(x));
        }
    const struct mxq_statistics *s = &r->statistics;
    if (fabs(s->sum_xx - xx) > 1e-12 * xx || fabs(s->sum_ee - ee) > 1e-6 * ee || s->amax != largest)
        tally_fail(t, "the oracle's statistics are not near to plain sums\n    %s", case_text(c));
}

static void check_case(struct tally *t, const struct test_case *c)
{
    struct result expected = {.statistics = {0}};
    struct mxq_quantize_options options = c->options;
    open_result(&expected, c);
    struct buffer before = new_buffer(c->values.bytes);
    memcpy(before.data, c->values.data, before.bytes);
    options.statistics = &expected.statistics;
    oracle_quantize_matrix(&expected.q, &c->x, &options);
    check_statistics(t, c, &expected);
    for (size_t isa = 0; isa < isa_count; isa++) {
        run_case(t, c, isa, 0, 0, &expected);
        run_case(t, c, isa, 0, 1, &expected);
        run_case(t, c, isa, 3, (int)(c->number % 2), &expected);
    }
    compare(t, c, "all", "x", &c->values, &before);
    free(before.data);
    close_result(&expected);
}

/* -------------------------------------------- Sweeps -------------------------------------------- */

/* Calls visit for every supported format. */
static void for_each_format(void (*visit)(void *context, const struct mxq_format *format),
                            void *context)
{
    for (int e = 0; e < MXQ_ELEMENTS; e++)
        for (int s = 0; s < MXQ_SCALES; s++)
            for (int b = 0; b < BLOCKS; b++) {
                const struct mxq_format f = {(enum mxq_element)e, (enum mxq_scale)s,
                                             block_shapes[b][0], block_shapes[b][1]};
                if (oracle_has_format(&f))
                    visit(context, &f);
            }
}

struct sweep {
    struct tally *tally;
    uint64_t seed;
    long only; /* this case; -1: all */
    unsigned number, repeat;
};

static void check_format(void *context, const struct mxq_format *format)
{
    struct sweep *s = context;
    const unsigned repeat = format->scale == MXQ_E4M3_SCALE ? 8 * s->repeat : s->repeat;
    for (unsigned i = 0; i < repeat * MXQ_TYPES; i++, s->number++) {
        struct test_case c;
        if (s->only >= 0 && s->number != (unsigned)s->only)
            continue;
        make_case(&c, s->seed, s->number, format, (enum mxq_type)(i % MXQ_TYPES));
        check_case(s->tally, &c);
        free_case(&c);
    }
}

static void test_random(uint64_t seed, long only)
{
    struct tally t = {"formats x types x shapes x options", 0, 0};
    struct sweep s = {&t, seed, only, 0, REPEAT / random_share()};
    if (!s.repeat)
        s.repeat = 1;
    for_each_format(check_format, &s);
    failed += tally_end(&t);
}

/* More tasks than a tree of 256 has leaves: tall and narrow. */
static void check_tall(void *context, const struct mxq_format *format)
{
    struct tally *t = context;
    struct test_case c;
    if (format->element != MXQ_E2M3 && format->element != MXQ_INT8)
        return;
    if (format->block_cols && format->block_cols != 32 && format->block_cols != 128)
        return;
    memset(&c, 0, sizeof c);
    c.format = *format;
    c.options = (struct mxq_quantize_options)MXQ_QUANTIZE_OPTIONS;
    c.options.rounding = MXQ_STOCHASTIC;
    c.x = (struct mxq_matrix){NULL, MXQ_BF16, format->block_rows == 128 ? 100003 : 17003, 1, 1};
    if (mxq_quantized_sizes(format, c.x.rows, c.x.cols, &c.sizes))
        exit(99);
    c.elements_stride = c.sizes.elements_row_bytes;
    c.scales_stride = c.sizes.scales_row_bytes;
    struct random r = {7};
    fill_values(&r, &c, 127);
    check_case(t, &c);
    free_case(&c);
}

static void test_tall(void)
{
    struct tally t = {"more tasks than leaves", 0, 0};
    for_each_format(check_tall, &t);
    failed += tally_end(&t);
}

/* Any bytes are some matrix: all codes, all scales. */
static void check_codes(void *context, const struct mxq_format *format)
{
    struct tally *t = context;
    struct test_case c;
    struct random r = {(uint64_t)format->element * 100 + format->scale * 10 + format->block_cols};
    memset(&c, 0, sizeof c);
    c.format = *format;
    c.x = (struct mxq_matrix){NULL, MXQ_F32, format->block_rows == 1 ? 11 : 135, 291, 291};
    if (mxq_quantized_sizes(format, c.x.rows, c.x.cols, &c.sizes))
        exit(99);
    c.elements_stride = c.sizes.elements_row_bytes + 1;
    c.scales_stride = c.sizes.scales_row_bytes + 1;
    for (int i = 0; i < 4; i++) {
        struct result result;
        open_result(&result, &c);
        for (size_t j = 0; j < result.elements.bytes; j++)
            result.elements.data[j] = (uint8_t)random_u32(&r);
        for (size_t j = 0; j < result.scales.bytes; j++)
            result.scales.data[j] = (uint8_t)random_u32(&r);
        result.tensor_scale = (float)ldexp(random_unit(&r), (int)random_below(&r, 270) - 140);
        for (size_t isa = 0; isa < isa_count; isa++) {
            if (mxq_set_isa(isas[isa]) != MXQ_OK)
                exit(99);
            run_dequantize(t, &c, isas[isa], &result.q, NULL);
        }
        close_result(&result);
    }
}

static void test_codes(void)
{
    struct tally t = {"dequantizing any bytes", 0, 0};
    for_each_format(check_codes, &t);
    failed += tally_end(&t);
}

/* ----------------------------------------- Random rounding -------------------------------------- */

static void test_philox(void)
{
    static const uint32_t vectors[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d,
         0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09,
         0x94fdcceb, 0x5001e420, 0x24126ea1},
    };
    struct tally t = {"Philox4x32-10: Random123's known answers", 0, 0};
    for (size_t i = 0; i < 3; i++, t.cases++) {
        uint32_t word[4];
        oracle_philox(vectors[i], vectors[i] + 4, word);
        if (memcmp(word, vectors[i] + 6, sizeof word))
            tally_fail(&t, "vector %zu gives %08" PRIX32, i, word[0]);
    }
    failed += tally_end(&t);
}

#define DRAWS 65536

/* Rounds DRAWS copies of v under scale 1 and returns the mean of what they become. */
static double mean_of(enum mxq_element element, float v, uint64_t seed, int *others)
{
    static float x[DRAWS], y[DRAWS];
    static uint8_t elements[DRAWS], scales[DRAWS / 128];
    const float amax = (float)oracle_decode(element, oracle_max_code(element));
    const int is_int8 = element == MXQ_INT8;
    const struct mxq_quantized q = {
        {element, is_int8 ? MXQ_F32_SCALE : MXQ_E8M0, is_int8 ? 0 : 1, is_int8 ? 0 : 128},
        1,
        DRAWS,
        elements,
        sizeof elements,
        scales,
        sizeof scales,
        NULL};
    const struct mxq_matrix in = {x, MXQ_F32, 1, DRAWS, DRAWS};
    const struct mxq_matrix out = {y, MXQ_F32, 1, DRAWS, DRAWS};
    struct mxq_quantize_options o = MXQ_QUANTIZE_OPTIONS;
    double sum = 0;
    o.rounding = MXQ_STOCHASTIC;
    o.seed = seed;
    o.amax = &amax;
    o.amax_count = 1;
    for (size_t i = 0; i < DRAWS; i++)
        x[i] = v;
    if (mxq_quantize(&q, &in, &o, NULL) || mxq_dequantize(&out, &q, NULL, NULL))
        exit(99);
    *others = 0;
    for (size_t i = 0; i < DRAWS; i++) {
        sum += (double)y[i];
        *others += y[i] != y[0];
    }
    return sum / DRAWS;
}

/* The mean of N roundings of n + f units has a standard error of sqrt(f (1 - f) / N) units.  Beyond 6 of
 * them a sound generator is once in 5 * 10^8 times; with the seeds given here it is not. */
static void test_unbiased(void)
{
    struct tally t = {"stochastic rounding is unbiased (6 sigma)", 0, 0};
    struct random r = {99};
    if (mxq_set_isa("scalar") != MXQ_OK) /* the others have its bytes */
        exit(99);
    for (int e = 0; e < MXQ_ELEMENTS; e++)
        for (int i = 0; i < 40; i++, t.cases++) {
            const enum mxq_element element = (enum mxq_element)e;
            const uint8_t low = (uint8_t)random_below(&r, oracle_max_code(element));
            const double below = oracle_decode(element, low);
            const double unit = oracle_decode(element, (uint8_t)(low + 1)) - below;
            const float v = (float)((random_below(&r, 2) ? 1 : -1) *
                                    (below + unit * (0.02 + 0.96 * random_unit(&r))));
            const double f = (fabs((double)v) - below) / unit;
            int others;
            const double mean = mean_of(element, v, random_u64(&r), &others);
            const double limit = 6 * unit * sqrt(f * (1 - f) / DRAWS);
            if (fabs(mean - (double)v) > limit || !others)
                tally_fail(&t, "element %d: the mean of %a is %a, off by more than %a", e,
                           (double)v, mean, limit);
        }
    failed += tally_end(&t);
}

/* A tensor cut into calls by rows has the bytes of one call, when each says its first index. */
static void test_cut(void)
{
    enum { ROWS = 37, COLS = 100 };
    static float x[ROWS * COLS];
    static uint8_t whole[2][ROWS * COLS], scales[2][ROWS * 4];
    struct tally t = {"stochastic rounding of a cut tensor", 0, 0};
    struct random r = {5};
    for (size_t i = 0; i < ROWS * COLS; i++)
        x[i] = (float)random_normal(&r);
    for (size_t isa = 0; isa < isa_count; isa++)
        for (int e = 0; e < MXQ_INT8; e++)
            for (size_t step = 1; step <= ROWS; step += 6, t.cases++) {
                if (mxq_set_isa(isas[isa]) != MXQ_OK)
                    exit(99);
                struct mxq_quantize_options o = MXQ_QUANTIZE_OPTIONS;
                o.rounding = MXQ_STOCHASTIC;
                o.seed = step;
                for (int cut = 0; cut < 2; cut++)
                    for (size_t row = 0; row < ROWS; row += cut ? step : ROWS) {
                        const size_t left = ROWS - row, rows = cut && left > step ? step : left;
                        const struct mxq_quantized q = {{(enum mxq_element)e, MXQ_E8M0, 1, 32},
                                                        rows,
                                                        COLS,
                                                        whole[cut] + row * COLS,
                                                        COLS,
                                                        scales[cut] + row * 4,
                                                        4,
                                                        NULL};
                        const struct mxq_matrix in = {x + row * COLS, MXQ_F32, rows, COLS, COLS};
                        o.first_index = 1000003 + row * COLS;
                        if (mxq_quantize(&q, &in, &o, NULL))
                            exit(99);
                    }
                if (memcmp(whole[0], whole[1], sizeof whole[0]))
                    tally_fail(&t, "%s, element %d, %zu rows a call", isas[isa], e, step);
            }
    failed += tally_end(&t);
}

/* -------------------------------------------- Refusals ------------------------------------------ */

static void test_unsupported(void)
{
    static const uint32_t extents[] = {0, 1, 2, 8, 16, 31, 32, 64, 128, 256, UINT32_MAX};
    const size_t count = sizeof extents / sizeof *extents;
    static float x[4];
    struct tally t = {"unsupported formats", 0, 0};
    for (unsigned i = 0; i < (MXQ_ELEMENTS + 1) * (MXQ_SCALES + 1) * count * count; i++) {
        const struct mxq_format f = {(enum mxq_element)(i % (MXQ_ELEMENTS + 1)),
                                     (enum mxq_scale)(i / (MXQ_ELEMENTS + 1) % (MXQ_SCALES + 1)),
                                     extents[i / (MXQ_ELEMENTS + 1) / (MXQ_SCALES + 1) % count],
                                     extents[i / (MXQ_ELEMENTS + 1) / (MXQ_SCALES + 1) / count]};
        uint8_t elements[16] = {0}, scales[16] = {0};
        float tensor = -1;
        struct mxq_sizes sizes;
        struct mxq_error error = {MXQ_OK, "", 0, 0};
        const struct mxq_quantized q = {f, 2,      2, elements,
                                        8, scales, 8, f.scale == MXQ_E4M3_SCALE ? &tensor : NULL};
        const struct mxq_matrix m = {x, MXQ_F32, 2, 2, 2};
        const enum mxq_status expected = oracle_has_format(&f) ? MXQ_OK : MXQ_ERR_FORMAT;
        t.cases++;
        if (mxq_quantized_sizes(&f, 2, 2, &sizes) != expected ||
            mxq_quantize(&q, &m, NULL, &error) != expected ||
            mxq_dequantize(&m, &q, NULL, &error) != expected)
            tally_fail(&t, "element %d scale %d block %ux%u: %s", f.element, f.scale, f.block_rows,
                       f.block_cols, error.what);
        else if (expected &&
                 (!strstr(error.what, "128x128") || !strstr(error.what, "NVFP4") || tensor != -1))
            tally_fail(&t, "the sentence does not list the formats: %s", error.what);
    }
    failed += tally_end(&t);
}

/* Options that make no sense: one field is wrong. */
struct refusal {
    struct mxq_format format;
    enum mxq_status status;
    const char *says;
    struct mxq_quantize_options options;
};

#define OPTIONS(...)                                                                               \
    {                                                                                              \
        .struct_bytes = sizeof(struct mxq_quantize_options), __VA_ARGS__                           \
    }

static void check_refusal(struct tally *t, const struct refusal *c)
{
    static float x[64];
    uint8_t elements[64], scales[64], untouched[64];
    float tensor = -1;
    struct mxq_statistics statistics = {.values = 77};
    struct mxq_quantize_options o = c->options;
    struct mxq_error error = {MXQ_OK, "", 0, 0};
    memset(elements, UNTOUCHED, 64);
    memset(scales, UNTOUCHED, 64);
    memset(untouched, UNTOUCHED, 64);
    o.statistics = &statistics;
    const struct mxq_quantized q = {
        c->format, 1,      64, elements,
        64,        scales, 64, c->format.scale == MXQ_E4M3_SCALE ? &tensor : NULL};
    const struct mxq_matrix m = {x, MXQ_F32, 1, 64, 64};
    const enum mxq_status status = mxq_quantize(&q, &m, &o, &error);
    t->cases++;
    if (status != c->status || error.status != c->status || !strstr(error.what, c->says))
        tally_fail(t, "%s: status %d, must be %d: %s", c->says, status, c->status, error.what);
    if (memcmp(elements, untouched, 64) || memcmp(scales, untouched, 64) || tensor != -1 ||
        statistics.values != 77)
        tally_fail(t, "%s: something is written", c->says);
}

static void test_refusals(void)
{
    static const float wrong[4] = {1, -1, -0.0F, (float)INFINITY};
    static const struct mxq_parallel none = {NULL, NULL};
    static const struct mxq_format mx4 = {MXQ_E2M1, MXQ_E8M0, 1, 32};
    static const struct mxq_format mx4_large = {MXQ_E2M1, MXQ_E8M0, 1, 128};
    static const struct mxq_format nv = {MXQ_E2M1, MXQ_E4M3_SCALE, 1, 16};
    static const struct mxq_format row = {MXQ_E4M3, MXQ_F32_SCALE, 1, 0};
    const enum mxq_status argument = MXQ_ERR_ARGUMENT, format = MXQ_ERR_FORMAT;
    const struct refusal refusals[] = {
        {mx4, argument, "struct_bytes", {.struct_bytes = 8}},
        {mx4, argument, "scale_mode", OPTIONS(.scale_mode = (enum mxq_scale_mode)99)},
        {mx4_large, format, "scale_mode", OPTIONS(.scale_mode = MXQ_SCALE_MSE)},
        {nv, format, "scale_mode", OPTIONS(.scale_mode = MXQ_SCALE_RCEIL)},
        {row, format, "scale_mode", OPTIONS(.scale_mode = MXQ_SCALE_FLOOR)},
        {mx4, argument, "rounding", OPTIONS(.rounding = (enum mxq_rounding)MXQ_ROUNDINGS)},
        {mx4, argument, "overflow", OPTIONS(.overflow = (enum mxq_overflow)2)},
        {mx4, format, "overflow", OPTIONS(.overflow = MXQ_OVERFLOW_SPECIAL)},
        {mx4, argument, "nonfinite", OPTIONS(.nonfinite = (enum mxq_nonfinite)3)},
        {row, argument, "reciprocal", OPTIONS(.reciprocal = 2)},
        {mx4, format, "reciprocal", OPTIONS(.reciprocal = 1)},
        {nv, format, "reciprocal", OPTIONS(.reciprocal = 1)},
        {nv, argument, "positive_scale", OPTIONS(.positive_scale = 3)},
        {mx4, format, "positive_scale", OPTIONS(.positive_scale = 1)},
        {mx4, argument, "unsigned_zero", OPTIONS(.unsigned_zero = -1)},
        {mx4, argument, "amax", OPTIONS(.amax_count = 1)},
        {mx4, MXQ_ERR_SHAPE, "amax_count", OPTIONS(.amax_count = 3, .amax = wrong)},
        {nv, MXQ_ERR_SHAPE, "amax_count", OPTIONS(.amax_count = 4, .amax = wrong)},
        {mx4, argument, "amax", OPTIONS(.amax_count = 2, .amax = wrong)},
        {mx4, argument, "amax", OPTIONS(.amax_count = 1, .amax = wrong + 2)},
        {mx4, argument, "amax", OPTIONS(.amax_count = 1, .amax = wrong + 3)},
        {mx4, argument, "amax_floor", OPTIONS(.amax_floor = -1)},
        {mx4, argument, "amax_floor", OPTIONS(.amax_floor = (float)NAN)},
        {mx4, argument, "parallel", OPTIONS(.parallel = &none)},
    };
    struct tally t = {"options that make no sense", 0, 0};
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        check_refusal(&t, &refusals[i]);
    failed += tally_end(&t);
}

/* MXQ_NONFINITE_ERROR names the first one, wherever blocks begin, and writes nothing. */
static void check_nonfinite(void *context, const struct mxq_format *format)
{
    struct tally *t = context;
    enum { ROWS = 5, COLS = 75 };
    float x[ROWS * COLS] = {0}, tensor = -1;
    uint8_t elements[ROWS * COLS], scales[ROWS * COLS * 4];
    const struct mxq_quantized q = {
        *format, ROWS,   COLS,     elements,
        COLS,    scales, COLS * 4, format->scale == MXQ_E4M3_SCALE ? &tensor : NULL};
    const struct mxq_matrix m = {x, MXQ_F32, ROWS, COLS, COLS};
    struct mxq_quantize_options o = MXQ_QUANTIZE_OPTIONS;
    struct mxq_error error;
    o.nonfinite = MXQ_NONFINITE_ERROR;
    memset(elements, UNTOUCHED, sizeof elements);
    for (size_t at = 3; at < ROWS * COLS; at += 53, t->cases++) {
        x[at] = at % 2 ? (float)NAN : -(float)INFINITY;
        x[ROWS * COLS - 1] = (float)INFINITY;
        const enum mxq_status status = mxq_quantize(&q, &m, &o, &error);
        if (status != MXQ_ERR_NONFINITE || error.row != at / COLS || error.col != at % COLS ||
            elements[0] != UNTOUCHED || tensor != -1)
            tally_fail(t, "element %d scale %d: %d at %" PRIu64 ", %" PRIu64 " must be %zu",
                       format->element, format->scale, status, error.row, error.col, at);
        x[at] = 1;
    }
}

static void test_nonfinite(void)
{
    struct tally t = {"the first NaN or infinity", 0, 0};
    for_each_format(check_nonfinite, &t);
    failed += tally_end(&t);
}

int main(int argc, char **argv)
{
    const uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    find_isas();
    if (argc > 2) {
        test_random(seed, strtol(argv[2], NULL, 10));
        return failed != 0;
    }
    test_philox();
    test_random(seed, -1);
    test_tall();
    test_codes();
    test_unbiased();
    test_cut();
    test_unsupported();
    test_refusals();
    test_nonfinite();
    return failed != 0;
}

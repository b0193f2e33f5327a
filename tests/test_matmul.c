/* SPDX-License-Identifier: Apache-2.0 */
/* test_matmul.c -- matrix products through the public API: every instruction set equal to the oracle,
 * for every shape, type and option; any rows, any threads; every error, with nothing written.
 *
 * Arguments name the tests to run; none: all. */
#include <stdlib.h>
#include <string.h>

#include "product.h"
#include "tally.h"
#include "workers.h"

static struct tally tally;
static struct product_memory memory;

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void check(int ok, const char *what)
{
    tally.cases++;
    if (!ok)
        tally_fail(&tally, "%s, isa %s", what, mxq_isa());
}

/* Makes instruction set `index` the active one; returns 0 when there is none. */
static int next_isa(size_t *index)
{
    struct mxq_isa_info info;
    while (mxq_isa_at((*index)++, &info))
        if (info.available) {
            check(mxq_set_isa(info.name) == MXQ_OK, "mxq_set_isa() fails");
            return 1;
        }
    return 0;
}

#define FOR_EACH_ISA(index) for (size_t index = 0; next_isa(&index);)

/* ------------------------------------------- Results ------------------------------------------ */

static void run_plan(const struct product_plan *plan, const struct mxq_parallel *parallel)
{
    struct product p;
    product_make(&p, plan);
    FOR_EACH_ISA(isa)
    {
        const char *message = product_run(&p, &memory, parallel, plan->seed + isa);
        tally.cases++;
        if (*message)
            tally_fail(&tally, "isa %s: %s\n    %s", mxq_isa(), message, product_text(plan));
    }
    product_free(&p);
}

static void run_shape(struct random *r, size_t m, size_t n, size_t k)
{
    struct product_plan plan = product_plan(r);
    plan.m = m;
    plan.n = n;
    plan.k = k;
    run_plan(&plan, NULL);
}

/* Every shape around the edges of tiles, panels and blocks, each with other types and values. */
static void test_shapes(void)
{
    static const size_t edges[] = {0, 1, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 127, 128};
    struct random r = {1};
    for (size_t i = 0; i <= 33; i++) {
        run_shape(&r, i, 17, 65);
        run_shape(&r, i, 64, 32);
        run_shape(&r, 3, i, 33);
        run_shape(&r, 1, i, 64);
        run_shape(&r, 33, 16, i);
        run_shape(&r, 1, 33, i);
    }
    for (size_t i = 0; i < COUNT(edges); i++)
        for (size_t j = 0; j < COUNT(edges); j++)
            run_shape(&r, edges[i], edges[j], edges[(i * 5 + j * 3) % COUNT(edges)]);
}

static void test_long(void)
{
    static const size_t shapes[][3] = {{1, 33, 4096}, {2, 16, 4095},  {33, 20, 4096},
                                       {7, 1000, 96}, {127, 47, 65},  {1, 1000, 70},
                                       {300, 5, 40},  {129, 64, 256}, {40, 1000, 33},
                                       {5, 48, 2050}, {3, 130, 1000}, {65, 65, 1000}};
    struct random r = {2};
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < COUNT(shapes); i++)
            run_shape(&r, shapes[i][0], shapes[i][1], shapes[i][2]);
}

/* Every combination of types, ways to compute x and values. */
static void test_values(void)
{
    struct random r = {3};
    for (int values = 0; values < PRODUCT_VALUES; values++)
        for (int x = 0; x < PRODUCT_XS; x++)
            for (int compute = 0; compute < (x < PRODUCT_X_QUANTIZED ? MXQ_X_COMPUTES : 1);
                 compute++)
                for (int y = 0; y < MXQ_TYPES; y++)
                    for (int again = 0; again < 4; again++) {
                        struct product_plan plan = product_plan(&r);
                        plan.m = 1 + random_below(&r, values % 2 ? 4 : 40);
                        plan.n = 1 + random_below(&r, 50);
                        plan.k = 1 + random_below(&r, 150);
                        plan.values = (enum product_values)values;
                        plan.x = x;
                        plan.x_compute = (enum mxq_x_compute)compute;
                        plan.y_type = (enum mxq_type)y;
                        run_plan(&plan, NULL);
                    }
}

/* Both sides of the range guard, in the types that its two conditions are about. */
static void test_guard(void)
{
    static const enum product_values values[] = {PRODUCT_UNDERFLOW, PRODUCT_OVERFLOW,
                                                 PRODUCT_SCALES, PRODUCT_SUBNORMAL};
    struct random r = {4};
    for (int i = 0; i < 800; i++) {
        struct product_plan plan = product_plan(&r);
        plan.m = 1 + random_below(&r, i % 2 ? 3 : 20);
        plan.n = 1 + random_below(&r, 33);
        plan.k = 32 * (1 + random_below(&r, 3));
        plan.values = values[random_below(&r, 4)];
        plan.accumulate = i % 4 == 0;
        plan.bias = -1;
        plan.y_type = MXQ_F32;
        run_plan(&plan, NULL);
    }
}

/* ---------------------------------------- Rows and threads ------------------------------------ */

/* Weights, and x of the same kind: fused, BF16, integers; one group, and some. */
static const struct {
    struct mxq_format w, x;
} row_formats[] = {
    {{MXQ_E4M3, MXQ_E8M0, 1, 32}, {MXQ_E4M3, MXQ_E8M0, 1, 32}},
    {{MXQ_E2M1, MXQ_E8M0, 1, 32}, {MXQ_E2M1, MXQ_E8M0, 1, 32}},
    {{MXQ_E2M1, MXQ_E4M3_SCALE, 1, 16}, {MXQ_E2M1, MXQ_E4M3_SCALE, 1, 16}},
    {{MXQ_INT8, MXQ_F32_SCALE, 1, 0}, {MXQ_INT8, MXQ_F32_SCALE, 1, 0}},
    {{MXQ_E2M3, MXQ_E8M0, 1, 32}, {MXQ_MXINT8, MXQ_E8M0, 1, 32}},
    {{MXQ_E2M1, MXQ_E8M0, 1, 32}, {MXQ_INT8, MXQ_F32_SCALE, 1, 64}},
    {{MXQ_E4M3, MXQ_F32_SCALE, 128, 128}, {MXQ_E4M3, MXQ_F32_SCALE, 1, 64}},
};

/* The first `m` rows of a product, as one of their own. */
static struct product_plan rows_plan(int x, enum product_values values, size_t formats)
{
    struct product_plan plan = {.m = 128,
                                .n = 50,
                                .k = 100,
                                .x = x,
                                .w_format = row_formats[formats].w,
                                .x_format = row_formats[formats].x,
                                .bias = MXQ_BF16,
                                .values = values,
                                .seed = 5};
    return plan;
}

static void multiply_rows(const struct product *p, float *y, size_t row, size_t m, void *scratch,
                          size_t scratch_bytes)
{
    const struct product_plan *plan = &p->plan;
    const struct mxq_matrix to = {y, MXQ_F32, m, plan->n, plan->n};
    const struct mxq_matrix bias = {p->bias.data, (enum mxq_type)plan->bias, 1, plan->n, plan->n};
    struct mxq_matmul_options o = MXQ_MATMUL_OPTIONS;
    o.scratch = scratch;
    o.scratch_bytes = scratch_bytes;
    o.bias = &bias;
    enum mxq_status status;
    if (plan->x >= PRODUCT_X_QUANTIZED) {
        struct mxq_quantized q = product_quantized_x(p, p->x.data + row * p->x_stride,
                                                     p->x_scales.data + row * p->scales_stride);
        q.rows = m;
        status = mxq_matmul_quantized(&to, &q, p->packed.data, p->packed.bytes, &o, NULL);
    } else {
        const enum mxq_type type = (enum mxq_type)plan->x;
        const struct mxq_matrix x = {p->x.data + row * p->x_stride * mxq_type_bytes(type), type, m,
                                     plan->k, p->x_stride};
        status = mxq_matmul(&to, &x, p->packed.data, p->packed.bytes, &o, NULL);
    }
    check(status == MXQ_OK, "a product of some rows fails");
}

/* Row i of a batch equals row i alone: for any number of rows before and after it. */
static void run_rows(const struct product_plan *plan)
{
    struct product p;
    size_t bytes = 0;
    product_make(&p, plan);
    check(mxq_matmul_scratch_bytes(plan->m, plan->n, plan->k, &bytes) == MXQ_OK, "no scratch size");
    void *scratch = malloc(bytes);
    float *batch = malloc(plan->m * plan->n * sizeof *batch),
          *alone = malloc(plan->n * sizeof *alone);
    if (!scratch || !batch || !alone)
        exit(99);
    for (size_t m = 1; m <= plan->m; m = m < 40 ? m + 1 : m == 40 ? 64 : 2 * m) {
        multiply_rows(&p, batch, 0, m, scratch, bytes);
        check(!memcmp(batch, p.after.data, m * plan->n * sizeof *batch),
              "rows of a batch differ from the oracle's");
    }
    for (size_t row = 0; row < plan->m; row++) {
        multiply_rows(&p, alone, row, 1, scratch, bytes);
        check(!memcmp(alone, batch + row * plan->n, plan->n * sizeof *alone),
              "a row alone differs from the same one in a batch");
    }
    free(scratch);
    free(batch);
    free(alone);
    product_free(&p);
}

static void test_rows(void)
{
    static const enum product_values values[] = {PRODUCT_ORDINARY, PRODUCT_WIDE, PRODUCT_NONFINITE,
                                                 PRODUCT_SUBNORMAL};
    FOR_EACH_ISA(isa)
    for (int x = 0; x < PRODUCT_XS; x++)
        for (size_t v = 0; v < COUNT(values); v++)
            for (size_t f = 0; f < COUNT(row_formats); f++) {
                const struct product_plan plan = rows_plan(x, values[v], f);
                run_rows(&plan);
            }
}

/* So many rows that a part of k after the other is multiplied, where tasks take all rows they can. */
static void test_parts(void)
{
    struct random r = {7};
    struct product_plan plan = product_plan(&r);
    plan.m = 520;
    plan.n = 20;
    plan.k = 1500;
    plan.x = MXQ_BF16;
    plan.x_compute = MXQ_X_AS_IS;
    plan.values = PRODUCT_ORDINARY;
    plan.accumulate = 1;
    run_plan(&plan, NULL);
}

/* So many sums that y is worked through in slabs: the same as with fewer rows at a time. */
static void test_slabs(void)
{
    enum { M = 4200, N = 1000, K = 32, ROWS = 600 };
    const struct mxq_format format = mxq_mxfp8_e4m3;
    struct random r = {8};
    size_t packed_bytes = 0, scratch_bytes = 0;
    check(mxq_packed_bytes(&format, N, K, &packed_bytes) == MXQ_OK, "no packed size");
    check(mxq_matmul_scratch_bytes(M, N, K, &scratch_bytes) == MXQ_OK, "no scratch size");
    float *x = malloc(sizeof(float) * M * K), *w = malloc(sizeof(float) * N * K);
    float *whole = malloc(sizeof(float) * M * N), *parts = malloc(sizeof(float) * M * N);
    void *packed = malloc(packed_bytes), *scratch = malloc(scratch_bytes);
    if (!x || !w || !whole || !parts || !packed || !scratch)
        exit(99);
    for (size_t i = 0; i < (size_t)M * K; i++)
        x[i] = (float)random_below(&r, 2001) - 1000;
    for (size_t i = 0; i < (size_t)N * K; i++)
        w[i] = (float)random_below(&r, 2001) / 1000 - 1;
    const struct mxq_matrix weights = {w, MXQ_F32, N, K, K};
    check(mxq_pack_matrix(packed, packed_bytes, &format, &weights, NULL, NULL) == MXQ_OK,
          "packing fails");
    struct mxq_matmul_options o = MXQ_MATMUL_OPTIONS;
    o.scratch = scratch;
    o.scratch_bytes = scratch_bytes;
    for (size_t row = 0; row <= M; row += ROWS) { /* the last time for all rows */
        const size_t first = row < M ? row : 0, rows = row < M ? ROWS : M;
        const struct mxq_matrix from = {x + first * K, MXQ_F32, rows, K, K};
        const struct mxq_matrix to = {(row < M ? parts : whole) + first * N, MXQ_F32, rows, N, N};
        check(mxq_matmul(&to, &from, packed, packed_bytes, &o, NULL) == MXQ_OK, "a product fails");
    }
    check(!memcmp(whole, parts, sizeof(float) * M * N), "slabs change a result");
    free(x);
    free(w);
    free(whole);
    free(parts);
    free(packed);
    free(scratch);
}

static void test_workers(void)
{
    static const unsigned threads[] = {1, 2, 3, 7, 16};
    static const size_t shapes[][3] = {
        {1, 999, 300}, {70, 200, 65}, {130, 100, 300}, {300, 40, 32}};
    struct random r = {6};
    for (size_t i = 0; i < COUNT(threads); i++)
        for (size_t s = 0; s < COUNT(shapes); s++)
            for (int x = 0; x < PRODUCT_XS; x++) {
                struct workers workers = {threads[i], random_u64(&r), 0, NULL, NULL, NULL};
                const struct mxq_parallel parallel = workers_parallel(&workers);
                struct product_plan plan = product_plan(&r);
                plan.m = shapes[s][0];
                plan.n = shapes[s][1];
                plan.k = shapes[s][2];
                plan.x = x;
                plan.x_compute = x < PRODUCT_X_QUANTIZED ? plan.x_compute : MXQ_X_AS_IS;
                plan.values = x % 2 ? PRODUCT_ORDINARY : plan.values;
                run_plan(&plan, &parallel);
                check(workers.tasks > 1, "there is only one task");
            }
}

/* ------------------------------------------- Packing ------------------------------------------ */

/* The layout of src/packed.h, written from its description. */
static uint64_t mixed(uint64_t word, uint64_t place)
{
    uint64_t h = word ^ (place * UINT64_C(0x9E3779B97F4A7C15));
    h ^= h >> 32;
    h *= UINT64_C(0xD6E8FEB86659FD93);
    return h ^ (h >> 32);
}

static uint64_t check_value(const uint8_t *bytes, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count / 8; i++) {
        uint64_t word = 0;
        for (size_t j = 8; j-- > 0;)
            word = word << 8 | bytes[8 * i + j];
        sum += mixed(word, i);
    }
    return sum;
}

static void put(uint8_t *to, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

enum { E4M3, E5M2, E2M1, NVFP4, INT8 };

/* A packed format as src/packed.h describes it. */
struct layout {
    const struct mxq_quantized *w;
    int packed, shift;
    size_t run, blocks, element_bytes, scale_bytes;
    size_t scales, factors, groups, panel_bytes; /* of a panel */
};

static struct layout layout_of(const struct mxq_quantized *w)
{
    static const int packed[] = {E4M3, E5M2, E4M3, INT8, E2M1, INT8, INT8};
    static const int shifts[] = {0, 0, 0, 3, 0, 6, 0};
    const struct mxq_format *f = &w->format;
    const int is_exact = f->scale == MXQ_E8M0 || f->scale == MXQ_E4M3_SCALE;
    struct layout l = {.w = w, .packed = packed[f->element], .shift = shifts[f->element]};
    if (f->scale == MXQ_E4M3_SCALE)
        l.packed = NVFP4;
    l.run = !is_exact && f->block_cols && f->block_cols < 32 ? f->block_cols : 32;
    l.blocks = (w->cols + l.run - 1) / l.run;
    l.element_bytes = l.packed == E2M1 || l.packed == NVFP4 ? 256 : 512;
    l.scale_bytes = l.packed == NVFP4 ? 32 : 16;
    l.scales = l.blocks * l.element_bytes;
    l.factors = l.scales + (l.blocks * l.scale_bytes + 63) / 64 * 64;
    const size_t length = !f->block_cols || f->scale == MXQ_E4M3_SCALE ? w->cols : f->block_cols;
    l.groups = f->scale == MXQ_E8M0 || !w->cols ? 0 : (w->cols + length - 1) / length;
    l.panel_bytes = l.factors + l.groups * 64;
    return l;
}

/* The scale of an element, as its format stores it: a byte, or the bits of its type. */
static uint32_t scale_of(const struct layout *l, size_t n, size_t k)
{
    const struct mxq_format *f = &l->w->format;
    const uint8_t *row =
        l->w->scales + (f->block_rows ? n / f->block_rows : 0) * l->w->scales_stride;
    const size_t i = f->block_cols ? k / f->block_cols : 0;
    return f->scale == MXQ_F32_SCALE                                 ? oracle_load(MXQ_F32, row, i)
           : f->scale == MXQ_BF16_SCALE || f->scale == MXQ_F16_SCALE ? oracle_load(MXQ_F16, row, i)
                                                                     : row[i];
}

/* The packed code of value `i` of a sub-block. */
static uint8_t code_of(const struct layout *l, size_t n, size_t b, size_t i)
{
    const enum mxq_element element = l->w->format.element;
    const size_t k = b * l->run + i;
    if (n >= l->w->rows || i >= l->run || k >= l->w->cols)
        return 0;
    const uint8_t code = oracle_get(element, l->w->elements + n * l->w->elements_stride, k);
    const double value = oracle_decode(element, code);
    if (element == MXQ_E3M2 && value == 0)
        return code ? 0x80 : 0;
    if (element == MXQ_E3M2)
        return oracle_pack(MXQ_E4M3, MXQ_F32, oracle_nearest(MXQ_F32, value), 127);
    if (element == MXQ_E2M3)
        return (uint8_t)(int8_t)(value * 8);
    return l->packed == NVFP4 && scale_of(l, n, k) & 0x80 ? code ^ 8 : code;
}

/* The E8M0 byte of a sub-block, before what is made of zeros. */
static uint8_t e8m0_of(const struct layout *l, size_t n, size_t b)
{
    const uint32_t scale = l->w->format.scale == MXQ_E8M0 ? scale_of(l, n, b * l->run) : 127;
    const int below = (int)scale - l->shift;
    return (uint8_t)(scale == 255 ? 255 : below < 0 ? 255 + below : below);
}

/* What a panel's header says of a sub-block. */
struct summary {
    uint8_t low, high, nonfinite, least;
};

static uint8_t expect_scale(const struct layout *l, struct summary *s, size_t n, size_t b)
{
    const int is_float = l->packed != INT8;
    const uint8_t largest = l->packed == E4M3 ? 0x7E : l->packed == E5M2 ? 0x7B : 0x7F;
    const uint8_t scale = n < l->w->rows ? e8m0_of(l, n, b) : 127;
    int any = 0, bad = scale == 255;
    for (size_t i = 0; i < 32; i++) {
        const uint8_t code = code_of(l, n, b, i);
        any |= l->packed == E2M1 ? code & 7 : is_float ? code & 0x7F : code;
        bad |= is_float && (code & 0x7F) > largest;
        s->least |= !is_float && code == 0x80;
    }
    s->nonfinite |= (uint8_t)bad;
    if (bad)
        return scale;
    if (any && scale < s->low)
        s->low = scale;
    if (any && scale > s->high)
        s->high = scale;
    return any ? scale : 127;
}

static void expect_factor(const struct layout *l, uint8_t *to, size_t n, size_t group)
{
    static const enum mxq_type types[] = {MXQ_F32, MXQ_F32, MXQ_BF16, MXQ_F16};
    const struct mxq_format *f = &l->w->format;
    uint32_t bits = 0;
    if (n < l->w->rows && f->scale == MXQ_E4M3_SCALE)
        bits = oracle_load(MXQ_F32, l->w->tensor_scale, 0);
    else if (n < l->w->rows)
        bits = oracle_nearest(MXQ_F32,
                              oracle_value(types[f->scale], scale_of(l, n, group * f->block_cols)));
    if ((bits & 0x7FFFFFFF) > 0x7F800000)
        bits = 0x7FC00000;
    put(to, bits, 4);
}

static void expect_panel(const struct layout *l, struct summary *s, uint8_t *panel, size_t first)
{
    for (size_t n = 0; n < 16; n++) {
        for (size_t b = 0; b < l->blocks; b++) {
            uint8_t *elements = panel + b * l->element_bytes;
            for (size_t i = 0; i < 32; i++) {
                const uint8_t code = code_of(l, first + n, b, i);
                if (l->element_bytes == 512)
                    elements[i / 2 * 32 + n * 2 + i % 2] = code;
                else
                    elements[i / 2 * 16 + n] |= (uint8_t)(code << 4 * (i % 2));
            }
            uint8_t *scales = panel + l->scales + b * l->scale_bytes + n;
            if (l->packed != NVFP4)
                *scales = expect_scale(l, s, first + n, b);
            for (size_t half = 0; l->packed == NVFP4 && half < 2; half++) {
                const size_t k = b * 32 + half * 16;
                if (first + n < l->w->rows && k < l->w->cols)
                    scales[half * 16] = scale_of(l, first + n, k) & 0x7F;
                s->nonfinite |= scales[half * 16] == 0x7F;
            }
        }
        for (size_t g = 0; g < l->groups; g++)
            expect_factor(l, panel + l->factors + (g * 16 + n) * 4, first + n, g);
    }
}

static void expect_packed(uint8_t *to, size_t bytes, const struct mxq_quantized *w)
{
    static const uint8_t magic[] = {0x89, 'm', 'x', 'q', 'p', 'k', 0x0D, 0x0A};
    const struct layout l = layout_of(w);
    struct summary s = {255, 0, 0, 0};
    memset(to, 0, bytes);
    memcpy(to, magic, sizeof magic);
    to[8] = 2;
    to[12] = (uint8_t)w->format.element;
    to[16] = (uint8_t)w->format.scale;
    put(to + 20, w->format.block_rows, 4);
    put(to + 24, w->format.block_cols, 4);
    put(to + 32, w->rows, 8);
    put(to + 40, w->cols, 8);
    put(to + 48, 128 + (w->rows + 15) / 16 * l.panel_bytes, 8);
    for (size_t n = 0; n < w->rows; n += 16)
        expect_panel(&l, &s, to + 128 + n / 16 * l.panel_bytes, n);
    to[28] = s.low > s.high ? 127 : s.low;
    to[29] = s.low > s.high ? 127 : s.high;
    to[30] = s.nonfinite;
    to[31] = s.least;
    put(to + 56, check_value(to + 128, bytes - 128), 8);
    put(to + 120, check_value(to, 120), 8);
}

/* Options that suit a format; amax has room for each scale byte. */
static struct mxq_quantize_options some_options(struct random *r, const struct mxq_quantized *w,
                                                float *amax)
{
    const struct mxq_format *f = &w->format;
    const int is_e8m0 = f->scale == MXQ_E8M0, is_e4m3 = f->scale == MXQ_E4M3_SCALE;
    const size_t blocks =
        (f->block_rows ? (w->rows + f->block_rows - 1) / f->block_rows : w->rows != 0) *
        (f->block_cols ? (w->cols + f->block_cols - 1) / f->block_cols : w->cols != 0);
    struct mxq_quantize_options o = MXQ_QUANTIZE_OPTIONS;
    if (is_e8m0)
        o.scale_mode = (enum mxq_scale_mode)random_below(r, MXQ_SCALE_MODES);
    if (o.scale_mode == MXQ_SCALE_MSE && f->block_cols != 32)
        o.scale_mode = MXQ_SCALE_DEFAULT;
    if (!is_e8m0 && !is_e4m3)
        o.scale_mode = random_below(r, 2) ? MXQ_SCALE_RCEIL : MXQ_SCALE_DEFAULT;
    o.rounding = (enum mxq_rounding)random_below(r, MXQ_ROUNDINGS);
    if (f->element == MXQ_E4M3 || f->element == MXQ_E5M2)
        o.overflow = (enum mxq_overflow)random_below(r, 2);
    o.nonfinite = random_below(r, 2) ? MXQ_NONFINITE_CLAMP : MXQ_NONFINITE_NAN;
    o.seed = random_u64(r);
    o.first_index = random_below(r, 1000);
    const uint32_t given = random_below(r, 6);
    if (blocks && given < 2) {
        o.amax_count = given && !is_e4m3 ? blocks : 1;
        o.amax = amax;
        for (size_t i = 0; i < o.amax_count; i++)
            amax[i] = (float)random_below(r, 1000) / 16;
    }
    if (given == 2)
        o.amax_floor = 0.25f;
    o.reciprocal = !is_e8m0 && !is_e4m3 && random_below(r, 2);
    o.unsigned_zero = (int)random_below(r, 2);
    return o;
}

/* Quantized weights, and F32 or narrower ones to be quantized, in guarded memory. */
static void run_packing(size_t n, size_t k, const struct mxq_format *format, uint64_t seed)
{
    struct random r = {seed};
    struct product_plan plan = product_plan(&r);
    plan.m = n; /* x serves as weights of a wide type */
    plan.n = n;
    plan.k = k;
    plan.x = (int)(seed % MXQ_TYPES);
    plan.x_compute = MXQ_X_AS_IS;
    plan.w_format = *format;
    struct product p;
    product_make(&p, &plan);
    const struct mxq_quantized w = product_weights(&p);
    float *amax = malloc((p.w_scales.bytes + 1) * sizeof *amax);
    struct guard *to = &memory.guards[PRODUCT_Y];
    uint8_t *expected = malloc(p.packed.bytes);
    if (!expected || !amax)
        exit(99);
    expect_packed(expected, p.packed.bytes, &w);
    check(!memcmp(p.packed.data, expected, p.packed.bytes), "packed weights are not as specified");
    if (to->map)
        guard_close(to);
    guard_open(to, p.packed.bytes);

    /* In one step, from a wide type: the same as in two. */
    const struct mxq_matrix wide = {p.x.data, (enum mxq_type)plan.x, n, k, p.x_stride};
    struct mxq_quantize_options o = some_options(&r, &w, amax);
    check(mxq_quantize(&w, &wide, &o, NULL) == MXQ_OK, "mxq_quantize() fails");
    expect_packed(expected, p.packed.bytes, &w);
    FOR_EACH_ISA(isa)
    for (unsigned threads = 1; threads <= 3; threads++) {
        struct workers workers = {threads, seed, 0, NULL, NULL, NULL};
        const struct mxq_parallel parallel = workers_parallel(&workers);
        o.parallel = &parallel;
        uint8_t *packed = guard_place(to, GUARD_END, -1, p.packed.bytes);
        check(mxq_pack_quantized(packed, p.packed.bytes, &w, &parallel, NULL) == MXQ_OK &&
                  !memcmp(packed, expected, p.packed.bytes),
              "mxq_pack_quantized() differs");
        packed = guard_place(to, GUARD_BEGIN, (int)(seed % 64), p.packed.bytes);
        check(mxq_pack_matrix(packed, p.packed.bytes, &w.format, &wide, &o, NULL) == MXQ_OK &&
                  !memcmp(packed, expected, p.packed.bytes),
              "mxq_pack_matrix() differs from mxq_quantize() and mxq_pack_quantized()");
        check(!guard_overwritten(to), "packing writes outside");
        check(mxq_packed_check(packed, p.packed.bytes, &parallel, NULL) == MXQ_OK,
              "mxq_packed_check() rejects sound weights");
    }
    free(amax);
    free(expected);
    product_free(&p);
}

static void test_packing(void)
{
    static const size_t ns[] = {0, 1, 15, 16, 17, 33, 64},
                        ks[] = {0, 1, 31, 32, 33, 64, 100, 513, 1100};
    uint64_t seed = 7;
    for (size_t i = 0; i < COUNT(ns); i++)
        for (size_t j = 0; j < COUNT(ks); j++)
            for (int again = 0; again < 6; again++) {
                struct random r = {seed};
                const struct mxq_format format = product_format(&r);
                run_packing(ns[i], ks[j], &format, seed++);
            }
}

/* ------------------------------------- Quantized on the way out -------------------------------- */

/* A quantized matrix in memory of its own. */
struct quantized {
    struct mxq_quantized q;
    struct mxq_sizes sizes;
    float tensor_scale;
};

static void open_quantized(struct quantized *to, const struct mxq_format *format, size_t rows,
                           size_t cols)
{
    check(mxq_quantized_sizes(format, rows, cols, &to->sizes) == MXQ_OK, "no sizes");
    to->q = (struct mxq_quantized){*format,
                                   rows,
                                   cols,
                                   calloc(1, to->sizes.elements_bytes + 1),
                                   to->sizes.elements_row_bytes,
                                   calloc(1, to->sizes.scales_bytes + 1),
                                   to->sizes.scales_row_bytes,
                                   format->scale == MXQ_E4M3_SCALE ? &to->tensor_scale : NULL};
    to->tensor_scale = 0;
    if (!to->q.elements || !to->q.scales)
        exit(99);
}

static void close_quantized(struct quantized *q)
{
    free(q->q.elements);
    free(q->q.scales);
}

static int same_quantized(const struct quantized *a, const struct quantized *b)
{
    return !memcmp(a->q.elements, b->q.elements, a->sizes.elements_bytes) &&
           !memcmp(a->q.scales, b->q.scales, a->sizes.scales_bytes) &&
           !memcmp(&a->tensor_scale, &b->tensor_scale, sizeof a->tensor_scale);
}

/* Whether y may be left out. */
static int is_enough(const struct product_plan *plan, const struct mxq_format *f)
{
    return f->block_rows == 1 && f->block_cols && f->block_cols <= 32 &&
           f->scale != MXQ_E4M3_SCALE && !plan->accumulate;
}

/* One product: what mxq_quantize() makes of the oracle's y. */
static void run_result(const struct product *p, const struct mxq_format *format, uint64_t seed)
{
    const struct product_plan *plan = &p->plan;
    struct random r = {seed};
    struct quantized expected, got;
    const struct mxq_matrix after = {p->after.data, MXQ_F32, plan->m, plan->n, p->y_stride};
    struct workers workers = {1 + random_below(&r, 3), seed, 0, NULL, NULL, NULL};
    const struct mxq_parallel parallel = workers_parallel(&workers);
    const struct mxq_matrix bias = {p->bias.data, (enum mxq_type)plan->bias, 1, plan->n, plan->n};
    struct mxq_matmul_options o = MXQ_MATMUL_OPTIONS;
    open_quantized(&expected, format, plan->m, plan->n);
    open_quantized(&got, format, plan->m, plan->n);
    float *amax = malloc((expected.sizes.scales_bytes + 1) * sizeof *amax);
    unsigned char *y = malloc(p->before.bytes + 1);
    const struct mxq_quantize_options y_options = some_options(&r, &expected.q, amax);
    check(mxq_quantize(&expected.q, &after, &y_options, NULL) == MXQ_OK, "mxq_quantize() fails");
    check(mxq_matmul_scratch_bytes(plan->m, plan->n, 4 * plan->k, &o.scratch_bytes) == MXQ_OK,
          "no scratch size");
    o.scratch = malloc(o.scratch_bytes);
    if (!amax || !y || !o.scratch)
        exit(99);
    memcpy(y, p->before.data, p->before.bytes);
    const int without_y = is_enough(plan, format) && random_below(&r, 4);
    const struct mxq_matrix to = {y, MXQ_F32, plan->m, plan->n, p->y_stride};
    const struct mxq_matrix x = {p->x.data, (enum mxq_type)plan->x, plan->m, plan->k, p->x_stride};
    const struct mxq_quantized q = product_quantized_x(p, p->x.data, p->x_scales.data);
    o.x_compute = plan->x_compute;
    o.x_format = plan->x_format;
    o.x_scale_mode = plan->x_mode;
    o.accumulate = plan->accumulate;
    o.bias = plan->bias >= 0 ? &bias : NULL;
    o.parallel = &parallel;
    o.quantized_y = &got.q;
    o.y_options = &y_options;
    const enum mxq_status status =
        plan->x == PRODUCT_X_QUANTIZED
            ? mxq_matmul_quantized(without_y ? NULL : &to, &q, p->packed.data, p->packed.bytes, &o,
                                   NULL)
            : mxq_matmul(without_y ? NULL : &to, &x, p->packed.data, p->packed.bytes, &o, NULL);
    check(status == MXQ_OK, "a product with quantized y fails");
    check(same_quantized(&expected, &got), "quantized y differs from mxq_quantize() of y");
    check(!memcmp(y, without_y ? p->before.data : p->after.data, p->before.bytes),
          "y differs when it is quantized too");
    free(o.scratch);
    free(y);
    free(amax);
    close_quantized(&expected);
    close_quantized(&got);
}

static void test_results(void)
{
    struct random r = {9};
    for (int i = 0; i < 300; i++) {
        struct product_plan plan = product_plan(&r);
        struct mxq_format format = product_format(&r);
        struct product p;
        plan.m = random_below(&r, 5) ? 1 + random_below(&r, 70) : random_below(&r, 3);
        plan.n = 1 + random_below(&r, 150);
        plan.k = random_below(&r, 100);
        plan.y_type = MXQ_F32;
        plan.accumulate = i % 4 == 0;
        if (i % 2) {
            format.block_rows = 1;
            format.block_cols = format.scale == MXQ_E4M3_SCALE ? 16 : 32;
        }
        product_make(&p, &plan);
        FOR_EACH_ISA(isa)
        run_result(&p, &format, plan.seed);
        product_free(&p);
    }
}

/* ------------------------------------------- Damage ------------------------------------------- */

/* A small sound product; its y is blank before. */
static struct product_plan small_plan(void)
{
    const struct product_plan plan = {.m = 3,
                                      .n = 20,
                                      .k = 50,
                                      .x = MXQ_F32,
                                      .w_format = {MXQ_E4M3, MXQ_E8M0, 1, 32},
                                      .x_format = {MXQ_E4M3, MXQ_E8M0, 1, 32},
                                      .bias = MXQ_F32,
                                      .y_type = MXQ_F32,
                                      .values = PRODUCT_ORDINARY,
                                      .x_gap = 7,
                                      .y_gap = 5,
                                      .seed = 8};
    return plan;
}

/* Expects every function that takes packed weights to reject these, with nothing written. */
static void expect_rejected(const struct product *p, const uint8_t *packed, size_t bytes,
                            int header_is_sound, const char *what)
{
    struct mxq_packed_info info, untouched;
    struct mxq_error error = {MXQ_OK, NULL, 9, 9};
    unsigned char y[3 * 25 * 4], blank[sizeof y];
    memset(&info, 0xAA, sizeof info);
    memset(&untouched, 0xAA, sizeof untouched);
    memset(y, 0xAA, sizeof y);
    memset(blank, 0xAA, sizeof blank);
    check(mxq_packed_check(packed, bytes, NULL, &error) == MXQ_ERR_PACKED, what);
    check(error.status == MXQ_ERR_PACKED && error.what, "no detail of damaged weights");
    if (header_is_sound)
        return;
    check(mxq_packed_read(packed, bytes, &info, NULL) == MXQ_ERR_PACKED, what);
    check(!memcmp(&info, &untouched, sizeof info), "info is written from damaged weights");
    const struct mxq_matrix to = {y, MXQ_F32, 3, 20, 25},
                            x = {p->x.data, MXQ_F32, 3, 50, p->x_stride};
    struct mxq_matmul_options o = MXQ_MATMUL_OPTIONS;
    float scratch[3 * 64 + 256];
    o.scratch = scratch;
    o.scratch_bytes = sizeof scratch;
    check(mxq_matmul(&to, &x, packed, bytes, &o, NULL) == MXQ_ERR_PACKED, what);
    check(!memcmp(y, blank, sizeof y), "y is written from damaged weights");
}

/* Header fields that cannot be, under a check value that is right. */
static void run_forged(const struct product *p, uint8_t *packed, size_t at, uint64_t value,
                       size_t bytes)
{
    memcpy(packed, p->packed.data, p->packed.bytes);
    put(packed + at, value, bytes);
    put(packed + 120, check_value(packed, 120), 8);
    expect_rejected(p, packed, p->packed.bytes, 0, "a forged header passes");
}

static void test_damage(void)
{
    static const uint8_t flips[] = {0x01, 0x80, 0xFF};
    static const uint64_t sizes[] = {0,
                                     100,
                                     1000,
                                     1 << 20,
                                     UINT64_C(1) << 32,
                                     UINT64_C(1) << 59,
                                     UINT64_C(1) << 63,
                                     UINT64_MAX - 31,
                                     UINT64_MAX};
    const struct product_plan plan = small_plan();
    struct product p;
    product_make(&p, &plan);
    struct guard *g = &memory.guards[PRODUCT_W];
    if (g->map)
        guard_close(g);
    guard_open(g, p.packed.bytes);
    for (size_t i = 0; i < p.packed.bytes; i++)
        for (size_t f = 0; f < COUNT(flips); f++) {
            uint8_t *packed = guard_place(g, GUARD_END, -1, p.packed.bytes);
            memcpy(packed, p.packed.data, p.packed.bytes);
            packed[i] ^= flips[f];
            expect_rejected(&p, packed, p.packed.bytes, i >= 128, "a changed byte passes");
        }
    for (size_t bytes = 0; bytes < p.packed.bytes; bytes++) {
        uint8_t *packed = guard_place(g, GUARD_END, -1, bytes);
        memcpy(packed, p.packed.data, bytes);
        expect_rejected(&p, packed, bytes, 0, "truncated weights pass");
    }
    uint8_t *packed = guard_place(g, GUARD_END, -1, p.packed.bytes);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        run_forged(&p, packed, 32, sizes[i], 8);
        run_forged(&p, packed, 40, sizes[i], 8);
        run_forged(&p, packed, 48, sizes[i], 8);
    }
    for (size_t at = 8; at < 28; at += 4) {
        run_forged(&p, packed, at, 1000, 4);
        run_forged(&p, packed, at, at == 8 ? 1 : UINT32_MAX, 4);
    }
    run_forged(&p, packed, 30, 2, 1);
    run_forged(&p, packed, 31, 2, 1);
    struct mxq_packed_info info;
    check(mxq_packed_read(p.packed.data, p.packed.bytes, &info, NULL) == MXQ_OK && info.n == 20 &&
              info.k == 50 && info.bytes == p.packed.bytes && info.format.element == MXQ_E4M3 &&
              info.format.scale == MXQ_E8M0 && info.format.block_rows == 1 &&
              info.format.block_cols == 32,
          "mxq_packed_read() differs");
    product_free(&p);
}

/* ------------------------------------------- Errors ------------------------------------------- */

/* A sound call, to be broken in one place. */
struct call {
    struct product p;
    struct mxq_matrix y, x, bias;
    struct mxq_quantized q;
    struct mxq_matmul_options o;
    struct mxq_parallel parallel;
    const void *w;
    size_t packed_bytes;
    const struct mxq_matrix *y_argument, *x_argument;
    const struct mxq_quantized *q_argument;
    unsigned char *y_data, *scratch;
    size_t y_bytes;
    uint8_t scales[3 * 2];
    struct mxq_quantized q_of_y;
    struct mxq_quantize_options y_options;
    uint8_t elements_of_y[3 * 20], scales_of_y[3];
};

static void begin_call(struct call *c)
{
    const struct product_plan plan = small_plan();
    product_make(&c->p, &plan);
    c->y_bytes = c->p.after.bytes;
    c->y_data = malloc(c->y_bytes);
    c->o = (struct mxq_matmul_options)MXQ_MATMUL_OPTIONS;
    if (mxq_matmul_scratch_bytes(3, 20, 50, &c->o.scratch_bytes))
        exit(99);
    c->o.scratch = c->scratch = malloc(c->o.scratch_bytes);
    if (!c->y_data || !c->scratch)
        exit(99);
    memset(c->y_data, 0xAA, c->y_bytes);
    memset(c->scales, 127, sizeof c->scales);
    c->y = (struct mxq_matrix){c->y_data, MXQ_F32, 3, 20, c->p.y_stride};
    c->x = (struct mxq_matrix){c->p.x.data, MXQ_F32, 3, 50, c->p.x_stride};
    c->bias = (struct mxq_matrix){c->p.bias.data, MXQ_F32, 1, 20, 20};
    c->q =
        (struct mxq_quantized){{MXQ_E4M3, MXQ_E8M0, 1, 32}, 3, 50, c->p.x.data, 50, c->scales, 2};
    c->o.bias = &c->bias;
    c->q_of_y = (struct mxq_quantized){
        {MXQ_E4M3, MXQ_E8M0, 1, 32}, 3, 20, c->elements_of_y, 20, c->scales_of_y, 1};
    c->y_options = (struct mxq_quantize_options)MXQ_QUANTIZE_OPTIONS;
    c->o.y_options = &c->y_options;
    c->parallel = (struct mxq_parallel){NULL, NULL};
    c->w = c->p.packed.data;
    c->packed_bytes = c->p.packed.bytes;
    c->y_argument = &c->y;
    c->x_argument = &c->x;
    c->q_argument = &c->q;
}

enum { WIDE = 1, QUANTIZED = 2, BOTH = 3 };

/* Makes the calls that `which` names and expects their status; unless it is MXQ_OK, y stays blank. */
static void end_call(struct call *c, int which, enum mxq_status expected, const char *change)
{
    for (int f = WIDE; f <= QUANTIZED; f++) {
        struct mxq_error error = {MXQ_OK, NULL, 9, 9};
        if (!(which & f))
            continue;
        for (int with_error = 1; with_error >= 0; with_error--) {
            struct mxq_error *e = with_error ? &error : NULL;
            const enum mxq_status status =
                f == WIDE
                    ? mxq_matmul(c->y_argument, c->x_argument, c->w, c->packed_bytes, &c->o, e)
                    : mxq_matmul_quantized(c->y_argument, c->q_argument, c->w, c->packed_bytes,
                                           &c->o, e);
            tally.cases++;
            if (status != expected)
                tally_fail(&tally, "%s: status %d, expected %d: %s", change, (int)status,
                           (int)expected, change);
        }
        if (!expected)
            continue;
        check(error.status == expected && error.what && strlen(error.what) > 10 && !error.row &&
                  !error.col,
              "the detail of an error is missing");
        for (size_t i = 0; i < c->y_bytes; i++)
            if (c->y_data[i] != 0xAA) {
                tally_fail(&tally, "%s: y is written", change);
                break;
            }
    }
    product_free(&c->p);
    free(c->y_data);
    free(c->scratch);
}

#define EXPECT(which, status, change)                                                              \
    do {                                                                                           \
        struct call c;                                                                             \
        begin_call(&c);                                                                            \
        change;                                                                                    \
        end_call(&c, which, status, #change);                                                      \
    } while (0)

static void expect_argument_errors(void)
{
    EXPECT(BOTH, MXQ_ERR_ARGUMENT, c.y_argument = NULL);
    EXPECT(BOTH, MXQ_ERR_ARGUMENT, (c.x_argument = NULL, c.q_argument = NULL));
    EXPECT(BOTH, MXQ_ERR_ARGUMENT, c.w = NULL);
    EXPECT(BOTH, MXQ_ERR_ARGUMENT, c.y.data = NULL);
    EXPECT(BOTH, MXQ_ERR_ARGUMENT, c.bias.data = NULL);
    EXPECT(WIDE, MXQ_ERR_ARGUMENT, c.x.data = NULL);
    EXPECT(QUANTIZED, MXQ_ERR_ARGUMENT, c.q.elements = NULL);
    EXPECT(QUANTIZED, MXQ_ERR_ARGUMENT, c.q.scales = NULL);
    EXPECT(BOTH, MXQ_ERR_ARGUMENT, c.y.type = (enum mxq_type)3);
    EXPECT(BOTH, MXQ_ERR_ARGUMENT, c.bias.type = (enum mxq_type) - 1);
    EXPECT(WIDE, MXQ_ERR_ARGUMENT, c.x.type = (enum mxq_type)3);
    EXPECT(BOTH, MXQ_ERR_ARGUMENT, c.o.struct_bytes = 0);
    EXPECT(BOTH, MXQ_ERR_ARGUMENT, c.o.struct_bytes++);
    EXPECT(BOTH, MXQ_ERR_ARGUMENT, c.o.struct_bytes--);
    EXPECT(BOTH, MXQ_ERR_ARGUMENT, c.o.x_compute = (enum mxq_x_compute)3);
    EXPECT(BOTH, MXQ_ERR_ARGUMENT, c.o.x_compute = (enum mxq_x_compute) - 1);
    EXPECT(QUANTIZED, MXQ_ERR_ARGUMENT, c.o.x_compute = MXQ_X_BF16);
    EXPECT(QUANTIZED, MXQ_ERR_ARGUMENT, c.o.x_compute = MXQ_X_QUANTIZED);
    EXPECT(BOTH, MXQ_ERR_ARGUMENT, c.o.x_scale_mode = (enum mxq_scale_mode)MXQ_SCALE_MODES);
    EXPECT(BOTH, MXQ_ERR_ARGUMENT, c.o.accumulate = 2);
    EXPECT(BOTH, MXQ_ERR_ARGUMENT, c.o.accumulate = -1);
    EXPECT(BOTH, MXQ_ERR_ARGUMENT, c.o.parallel = &c.parallel);
    EXPECT(BOTH, MXQ_ERR_ARGUMENT, (c.o.quantized_y = &c.q_of_y, c.q_of_y.elements = NULL));
    EXPECT(BOTH, MXQ_ERR_ARGUMENT, (c.o.quantized_y = &c.q_of_y, c.y.type = MXQ_BF16));
    EXPECT(BOTH, MXQ_ERR_ARGUMENT,
           (c.o.quantized_y = &c.q_of_y, c.y_argument = NULL, c.q_of_y.format.block_cols = 128));
    EXPECT(BOTH, MXQ_ERR_ARGUMENT,
           (c.o.quantized_y = &c.q_of_y, c.y_argument = NULL, c.o.accumulate = 1));
    EXPECT(BOTH, MXQ_ERR_ARGUMENT,
           (c.o.quantized_y = &c.q_of_y, c.y_options.nonfinite = MXQ_NONFINITE_ERROR));
    EXPECT(BOTH, MXQ_ERR_SHAPE, (c.o.quantized_y = &c.q_of_y, c.q_of_y.rows = 2));
    EXPECT(BOTH, MXQ_ERR_OVERLAP, (c.o.quantized_y = &c.q_of_y, c.q_of_y.elements = c.y_data));
    EXPECT(BOTH, MXQ_ERR_OVERLAP, (c.o.quantized_y = &c.q_of_y, c.q_of_y.scales = c.scratch));
    EXPECT(BOTH, MXQ_ERR_OVERLAP,
           (c.o.quantized_y = &c.q_of_y, c.q_of_y.elements = c.p.packed.data));
}

static void expect_shape_errors(void)
{
    EXPECT(WIDE, MXQ_ERR_FORMAT, (c.o.x_compute = MXQ_X_QUANTIZED, c.o.x_format.block_cols = 16));
    EXPECT(WIDE, MXQ_ERR_FORMAT,
           (c.o.x_compute = MXQ_X_QUANTIZED, c.o.x_format.element = MXQ_INT8));
    EXPECT(WIDE, MXQ_ERR_FORMAT, (c.o.x_compute = MXQ_X_QUANTIZED, c.o.x_format = mxq_fp8_block));
    EXPECT(WIDE, MXQ_ERR_FORMAT,
           (c.o.x_compute = MXQ_X_QUANTIZED, c.o.x_format = mxq_nvfp4,
            c.o.x_scale_mode = MXQ_SCALE_FLOOR));
    EXPECT(WIDE, MXQ_ERR_FORMAT,
           (c.o.x_compute = MXQ_X_QUANTIZED, c.o.x_format = mxq_int8_channel,
            c.o.x_format.block_cols = 8));
    EXPECT(QUANTIZED, MXQ_ERR_FORMAT, c.q.format.block_rows = 2);
    EXPECT(BOTH, MXQ_ERR_SHAPE, c.y.rows = 2);
    EXPECT(BOTH, MXQ_ERR_SHAPE, c.y.cols = 19);
    EXPECT(BOTH, MXQ_ERR_SHAPE, c.y.stride = 19);
    EXPECT(BOTH, MXQ_ERR_SHAPE, c.bias.cols = 19);
    EXPECT(BOTH, MXQ_ERR_SHAPE, c.bias.rows = 0);
    EXPECT(BOTH, MXQ_ERR_SHAPE, c.bias.rows = 2);
    EXPECT(BOTH, MXQ_ERR_SHAPE, c.y.stride = SIZE_MAX / 4);
    EXPECT(BOTH, MXQ_ERR_SHAPE, (c.x.cols = 49, c.q.cols = 49));
    EXPECT(BOTH, MXQ_ERR_SHAPE, (c.x.rows = 2, c.q.rows = 2));
    EXPECT(WIDE, MXQ_ERR_SHAPE, c.x.stride = 49);
    EXPECT(WIDE, MXQ_ERR_SHAPE, c.x.stride = SIZE_MAX);
    EXPECT(QUANTIZED, MXQ_ERR_SHAPE, c.q.elements_stride = 49);
    EXPECT(QUANTIZED, MXQ_ERR_SHAPE, c.q.scales_stride = 1);
    EXPECT(BOTH, MXQ_ERR_PACKED, c.packed_bytes--);
    EXPECT(BOTH, MXQ_ERR_PACKED, c.packed_bytes = 0);
    EXPECT(BOTH, MXQ_ERR_SCRATCH, c.o.scratch = NULL);
    EXPECT(BOTH, MXQ_ERR_SCRATCH, c.o.scratch_bytes--);
    EXPECT(BOTH, MXQ_ERR_SCRATCH, c.o.scratch_bytes = 0);
}

static void expect_overlap_errors(void)
{
    EXPECT(WIDE, MXQ_ERR_OVERLAP, c.y.data = c.x.data);
    EXPECT(WIDE, MXQ_ERR_OVERLAP, c.y.data = (char *)c.x.data + (2 * c.x.stride + 50) * 4 - 1);
    EXPECT(QUANTIZED, MXQ_ERR_OVERLAP, c.y.data = c.q.elements);
    EXPECT(QUANTIZED, MXQ_ERR_OVERLAP, c.y.data = c.q.scales);
    EXPECT(BOTH, MXQ_ERR_OVERLAP, c.y.data = c.bias.data);
    EXPECT(BOTH, MXQ_ERR_OVERLAP, c.y.data = c.p.packed.data + 64);
    EXPECT(BOTH, MXQ_ERR_OVERLAP, c.y.data = c.scratch);
    EXPECT(BOTH, MXQ_ERR_OVERLAP, c.y.data = c.scratch + c.o.scratch_bytes - 1);
    EXPECT(WIDE, MXQ_ERR_OVERLAP, c.o.scratch = c.x.data);
    EXPECT(QUANTIZED, MXQ_ERR_OVERLAP, c.o.scratch = c.q.scales);
    EXPECT(BOTH, MXQ_ERR_OVERLAP, c.o.scratch = c.p.packed.data);
    EXPECT(BOTH, MXQ_ERR_OVERLAP, c.o.scratch = c.bias.data);
}

static void test_errors(void)
{
    EXPECT(BOTH, MXQ_OK, (void)0);
    EXPECT(WIDE, MXQ_OK, c.o.x_format.block_cols = 16); /* not looked at */
    EXPECT(BOTH, MXQ_OK, (c.x.rows = c.q.rows = c.y.rows = 0, c.o.scratch = NULL));
    expect_argument_errors();
    expect_shape_errors();
    expect_overlap_errors();
    size_t bytes = 77;
    check(mxq_matmul_scratch_bytes(1, 1, 1, NULL) == MXQ_ERR_ARGUMENT, "NULL for a size passes");
    check(mxq_matmul_scratch_bytes(1, 1, SIZE_MAX, &bytes) == MXQ_ERR_SHAPE &&
              mxq_matmul_scratch_bytes(SIZE_MAX, 1, 32, &bytes) == MXQ_ERR_SHAPE &&
              mxq_matmul_scratch_bytes(SIZE_MAX / 64, 1, 32, &bytes) == MXQ_ERR_SHAPE &&
              bytes == 77,
          "a size that overflows passes");
}

/* Scratch for the largest product serves the smaller ones. */
static void test_scratch(void)
{
    static const size_t n[] = {0, 1, 64, 65, 4096, 16384, 250000},
                        k[] = {1, 32, 33, 512, 513, 11008};
    for (size_t i = 0; i < COUNT(n); i++)
        for (size_t j = 0; j < COUNT(k); j++)
            for (size_t m = 0, last = 0; m < 70000; m += m < 5000 ? 1 : 97) {
                size_t bytes = 0, wider = 0, longer = 0;
                check(mxq_matmul_scratch_bytes(m, n[i], k[j], &bytes) == MXQ_OK &&
                          mxq_matmul_scratch_bytes(m, n[i] + 1, k[j], &wider) == MXQ_OK &&
                          mxq_matmul_scratch_bytes(m, n[i], k[j] + 1, &longer) == MXQ_OK,
                      "no scratch size");
                check(bytes >= last && wider >= bytes && longer >= bytes, "scratch shrinks");
                last = bytes;
            }
}

static void test_packing_errors(void)
{
    const struct product_plan plan = small_plan();
    struct product p;
    struct mxq_quantize_options o = MXQ_QUANTIZE_OPTIONS;
    const struct mxq_parallel none = {NULL, NULL};
    size_t bytes = 77;
    product_make(&p, &plan);
    const struct mxq_quantized w = product_weights(&p);
    const struct mxq_matrix wide = {p.x.data, MXQ_F32, 3, 50, p.x_stride};
    struct mxq_quantized bad = w;
    bad.format.block_cols = 64;
    uint8_t *to = malloc(p.packed.bytes), *blank = malloc(p.packed.bytes);
    if (!to || !blank)
        exit(99);
    memset(to, 0xAA, p.packed.bytes);
    memset(blank, 0xAA, p.packed.bytes);
    check(mxq_packed_bytes(NULL, 1, 1, &bytes) == MXQ_ERR_ARGUMENT, "NULL for a format passes");
    check(mxq_packed_bytes(&w.format, 1, 1, NULL) == MXQ_ERR_ARGUMENT, "NULL for a size passes");
    check(mxq_packed_bytes(&bad.format, 1, 1, &bytes) == MXQ_ERR_FORMAT, "a bad format passes");
    check(mxq_packed_bytes(&w.format, SIZE_MAX, 32, &bytes) == MXQ_ERR_SHAPE &&
              mxq_packed_bytes(&w.format, 1, SIZE_MAX, &bytes) == MXQ_ERR_SHAPE &&
              mxq_packed_bytes(&w.format, SIZE_MAX / 30, 32, &bytes) == MXQ_ERR_SHAPE &&
              bytes == 77,
          "a size that overflows passes");
#define REJECTS(status, call) check((call) == (status), #call)
    REJECTS(MXQ_ERR_ARGUMENT, mxq_pack_quantized(NULL, p.packed.bytes, &w, NULL, NULL));
    REJECTS(MXQ_ERR_ARGUMENT, mxq_pack_quantized(to, p.packed.bytes, NULL, NULL, NULL));
    REJECTS(MXQ_ERR_ARGUMENT, mxq_pack_quantized(to, p.packed.bytes, &w, &none, NULL));
    REJECTS(MXQ_ERR_SHAPE, mxq_pack_quantized(to, p.packed.bytes - 1, &w, NULL, NULL));
    REJECTS(MXQ_ERR_FORMAT, mxq_pack_quantized(to, p.packed.bytes, &bad, NULL, NULL));
    REJECTS(MXQ_ERR_ARGUMENT, mxq_pack_matrix(to, p.packed.bytes, NULL, &wide, NULL, NULL));
    REJECTS(MXQ_ERR_FORMAT, mxq_pack_matrix(to, p.packed.bytes, &bad.format, &wide, NULL, NULL));
    REJECTS(MXQ_ERR_ARGUMENT, mxq_pack_matrix(to, p.packed.bytes, &w.format, NULL, NULL, NULL));
    REJECTS(MXQ_ERR_SHAPE, mxq_pack_matrix(to, 200, &w.format, &wide, NULL, NULL));
    REJECTS(MXQ_ERR_OVERLAP,
            mxq_pack_matrix(p.x.data, p.packed.bytes, &w.format, &wide, NULL, NULL));
    REJECTS(MXQ_ERR_OVERLAP, mxq_pack_quantized(p.w.data, p.packed.bytes, &w, NULL, NULL));
    REJECTS(MXQ_ERR_OVERLAP, mxq_pack_quantized(p.w_scales.data, p.packed.bytes, &w, NULL, NULL));
    o.struct_bytes = 0;
    REJECTS(MXQ_ERR_ARGUMENT, mxq_pack_matrix(to, p.packed.bytes, &w.format, &wide, &o, NULL));
    o = (struct mxq_quantize_options)MXQ_QUANTIZE_OPTIONS;
    o.nonfinite = MXQ_NONFINITE_ERROR;
    struct mxq_error error = {MXQ_OK, NULL, 0, 0};
    oracle_store(MXQ_F32, p.x.data, 2 * p.x_stride + 49, 0x7F800000);
    REJECTS(MXQ_ERR_NONFINITE, mxq_pack_matrix(to, p.packed.bytes, &w.format, &wide, &o, &error));
    check(error.row == 2 && error.col == 49, "the first infinity is not found");
    REJECTS(MXQ_ERR_ARGUMENT, mxq_packed_read(NULL, 1000, NULL, NULL));
    REJECTS(MXQ_ERR_ARGUMENT, mxq_packed_read(p.packed.data, p.packed.bytes, NULL, NULL));
    REJECTS(MXQ_ERR_ARGUMENT, mxq_packed_check(NULL, 1000, NULL, NULL));
    REJECTS(MXQ_ERR_ARGUMENT, mxq_packed_check(p.packed.data, p.packed.bytes, &none, NULL));
    check(!memcmp(to, blank, p.packed.bytes), "a failure writes");
    free(to);
    free(blank);
    product_free(&p);
}

/* -------------------------------------------- Plan -------------------------------------------- */

static const struct {
    const char *name;
    void (*run)(void);
} tests[] = {
    {"shapes", test_shapes},   {"long", test_long},       {"values", test_values},
    {"guard", test_guard},     {"rows", test_rows},       {"workers", test_workers},
    {"parts", test_parts},     {"slabs", test_slabs},     {"packing", test_packing},
    {"damage", test_damage},   {"errors", test_errors},   {"packing_errors", test_packing_errors},
    {"scratch", test_scratch}, {"results", test_results},
};

static int is_wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], name))
            return 1;
    return argc == 1;
}

int main(int argc, char **argv)
{
    struct mxq_isa_info info;
    int failed = 0, ran = 0;
    for (size_t isa = 0; mxq_isa_at(isa, &info); isa++)
        if (!info.available)
            printf("%s: skipped: no %s here\n", info.name, info.missing);
    for (size_t i = 0; i < COUNT(tests); i++)
        if (is_wanted(tests[i].name, argc, argv)) {
            tally = (struct tally){tests[i].name, 0, 0};
            tests[i].run();
            failed |= tally_end(&tally);
            ran++;
        }
    product_memory_free(&memory);
    return failed || !ran;
}

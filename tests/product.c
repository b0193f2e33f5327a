/* SPDX-License-Identifier: Apache-2.0 */
/* product.c -- matrix products made to be difficult, with their results by the oracle. */
#include "product.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 32
#define BLANK 0xAA

static void *memory_of(size_t bytes)
{
    void *memory = malloc(bytes + 1);
    if (!memory) {
        perror("product");
        exit(99);
    }
    memset(memory, BLANK, bytes);
    return memory;
}

#define ALLOCATE(array, count) ((array).bytes = (count), (array).data = memory_of((array).bytes))

static int is_quantized(const struct product_plan *plan)
{
    return plan->x >= PRODUCT_X_QUANTIZED;
}

/* -------------------------------------------- Formats ------------------------------------------ */

static const struct {
    uint32_t rows, cols;
} shapes[] = {{1, 32}, {1, 128}, {128, 128}, {1, 8}, {1, 16}, {1, 64}, {1, 0}, {0, 0}};
#define SHAPES (sizeof shapes / sizeof *shapes)

struct mxq_format product_format(struct random *r)
{
    struct mxq_format f;
    struct mxq_sizes sizes;
    do {
        const uint32_t shape = random_below(r, SHAPES);
        f = (struct mxq_format){(enum mxq_element)random_below(r, MXQ_ELEMENTS),
                                (enum mxq_scale)random_below(r, MXQ_SCALES), shapes[shape].rows,
                                shapes[shape].cols};
    } while (mxq_quantized_sizes(&f, 1, 1, &sizes));
    return f;
}

static int is_exact(const struct mxq_format *f)
{
    return f->scale == MXQ_E8M0;
}

/* Values that share an F32 scale; 0: there is none. */
static size_t factor_length(const struct mxq_format *f, size_t k)
{
    return is_exact(f) ? 0 : f->scale == MXQ_E4M3_SCALE || !f->block_cols ? k : f->block_cols;
}

/* Values of a sub-block. */
static size_t run_of(const struct mxq_format *f)
{
    const int is_short = !is_exact(f) && f->scale != MXQ_E4M3_SCALE && f->block_cols;
    return is_short && f->block_cols < BLOCK ? f->block_cols : BLOCK;
}

/* Makes the formats of a plan go together. */
static void settle(struct product_plan *plan)
{
    if (run_of(&plan->x_format) < run_of(&plan->w_format))
        plan->x_format.block_cols = BLOCK;
    if (!is_quantized(plan) && plan->x_format.block_rows > 1)
        plan->x_format.block_rows = 1;
    if (plan->x_format.scale != MXQ_E8M0)
        plan->x_mode = plan->x_format.scale != MXQ_E4M3_SCALE && plan->x_mode == MXQ_SCALE_RCEIL
                           ? MXQ_SCALE_RCEIL
                           : MXQ_SCALE_DEFAULT;
}

static size_t blocks_along(uint32_t block, size_t extent)
{
    return block ? (extent + block - 1) / block : extent != 0;
}

static size_t scale_bytes_of(const struct mxq_format *f)
{
    return f->scale == MXQ_F32_SCALE                            ? 4
           : f->scale == MXQ_E8M0 || f->scale == MXQ_E4M3_SCALE ? 1
                                                                : 2;
}

static enum mxq_type type_of_scale(const struct mxq_format *f)
{
    return f->scale == MXQ_F32_SCALE ? MXQ_F32 : f->scale == MXQ_BF16_SCALE ? MXQ_BF16 : MXQ_F16;
}

/* ------------------------------------------- Levels ------------------------------------------- */

/* Where the values of a product lie. */
struct levels {
    int x_low, x_high; /* exponents of x */
    int scale_low, scale_high;
    enum product_values values;
    int at_bound; /* elements among the smallest, or the largest that there are */
    int cancels;  /* the second half of a block takes back what the first half added */
};

static int between(struct random *r, int low, int high)
{
    return low + (int)random_below(r, (uint32_t)(high - low) + 1);
}

static int clamped(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

/* The exponents of an element's smallest and of twice its largest power of two. */
static int lowest_of(enum mxq_element element)
{
    static const int lowest[MXQ_ELEMENTS] = {-9, -16, -4, -3, -1, -6, 0};
    return lowest[element];
}

static int highest_of(enum mxq_element element)
{
    static const int highest[MXQ_ELEMENTS] = {9, 16, 5, 3, 3, 1, 7};
    return highest[element];
}

/* Aims multiples of the product's least bits at one of the bounds. */
static void aim_low(struct levels *l, const struct product_plan *plan, struct random *r)
{
    static const int bounds[] = {-126, -126, -141, -149};
    static const int mantissa_bits[] = {23, 7, 10, 7};
    const int bound = bounds[random_below(r, 4)] + between(r, -3, 2);
    const int bits = plan->x_compute == MXQ_X_AS_IS ? mantissa_bits[plan->x] : 7;
    l->x_low = plan->x == MXQ_F16 ? between(r, -14, 5) : between(r, -100, 20);
    if (!is_exact(&plan->w_format)) /* no scales in the panels */
        l->x_low = clamped(bound + bits - lowest_of(plan->w_format.element), -126, 120);
    l->x_high = l->x_low + between(r, 0, 4);
    l->scale_low =
        clamped(bound - l->x_low + bits - lowest_of(plan->w_format.element) + 127, 0, 254);
    l->scale_high = clamped(l->scale_low + between(r, 0, 2), 0, 254);
}

static void aim_high(struct levels *l, const struct product_plan *plan, struct random *r)
{
    l->x_high = plan->x == MXQ_F16 ? between(r, 0, 15) : between(r, 0, 120);
    l->scale_high =
        clamped(128 + between(r, -10, 2) - 5 - l->x_high - highest_of(plan->w_format.element) + 127,
                0, 254);
    if (plan->x != MXQ_F16 &&
        (!is_exact(&plan->w_format) ||
         random_below(r, 2))) { /* the same, of elements without their scale */
        l->x_high = 128 + between(r, -4, 8) - 5 - highest_of(plan->w_format.element);
        l->scale_high = between(r, 24, 126);
    }
    l->x_low = l->x_high - between(r, 0, 4);
    l->scale_low = clamped(l->scale_high - between(r, 0, 2), 0, 254);
}

static struct levels levels_of(const struct product_plan *plan, struct random *r)
{
    struct levels l = {-3, 1, 120, 132, plan->values, 0, plan->values == PRODUCT_CANCEL};
    switch (plan->values) {
    case PRODUCT_WIDE:
        l = (struct levels){between(r, -60, 0), between(r, 0, 60), 70, 184, plan->values, 0, 0};
        break;
    case PRODUCT_UNDERFLOW:
        aim_low(&l, plan, r);
        l.at_bound = between(r, 0, 1);
        break;
    case PRODUCT_OVERFLOW:
        aim_high(&l, plan, r);
        l.at_bound = between(r, 0, 1);
        l.cancels = between(r, 0, 1);
        break;
    case PRODUCT_SCALES:
        l.x_low = between(r, -110, 60);
        l.x_high = l.x_low + between(r, 0, 40);
        break;
    case PRODUCT_SUBNORMAL:
        l.scale_low = between(r, 60, 200);
        l.scale_high = between(r, 200, 254);
        break;
    default:
        break;
    }
    return l;
}

/* -------------------------------------------- Values ------------------------------------------ */

static uint8_t some_scale(const struct levels *l, struct random *r)
{
    static const uint8_t ends[] = {0, 1, 2, 23, 24, 25, 126, 127, 128, 229, 230, 231, 253, 254};
    if (l->values == PRODUCT_ANY)
        return (uint8_t)random_below(r, random_below(r, 8) ? 255 : 256);
    if (l->values == PRODUCT_SCALES)
        return ends[random_below(r, sizeof ends)];
    if (l->values == PRODUCT_NONFINITE && random_below(r, 200) == 0)
        return 255;
    return (uint8_t)between(r, l->scale_low, l->scale_high);
}

/* The code of the same magnitude and the other sign; -128 has none. */
static uint8_t negated(enum mxq_element element, uint8_t code)
{
    static const uint8_t signs[MXQ_ELEMENTS] = {0x80, 0x80, 0x20, 0x20, 0x08, 0, 0};
    return signs[element] ? code ^ signs[element] : (uint8_t)(256 - code);
}

static uint8_t some_code(const struct levels *l, enum mxq_element element, struct random *r)
{
    const uint8_t largest = oracle_max_code(element), code = (uint8_t)random_u32(r);
    const int is_byte = oracle_bytes(element, 8) == 8;
    if (l->values == PRODUCT_ANY)
        return is_byte ? code : (uint8_t)(code & (2 * largest + 1));
    if (l->values == PRODUCT_NONFINITE && is_byte && random_below(r, 300) == 0)
        return (uint8_t)(code | 0x7C); /* an infinity or NaN of E5M2, perhaps a NaN of E4M3 */
    if (l->values == PRODUCT_NONFINITE && random_below(r, 300) == 0)
        return 0;
    uint8_t magnitude = code & (largest == 0x7E || largest == 0x7B ? 0x7F : largest);
    if (magnitude > largest)
        magnitude = 0;
    if (l->values == PRODUCT_ZEROS && random_below(r, 16))
        magnitude = 0;
    if (l->values == PRODUCT_CANCEL)
        magnitude &= is_byte ? 0x3C : 0x1E;
    if (l->values == PRODUCT_UNDERFLOW && l->at_bound)
        magnitude &= 3;
    if (l->values == PRODUCT_OVERFLOW && l->at_bound)
        magnitude = (uint8_t)(largest - (code & 3));
    if (l->values == PRODUCT_WIDE && code == 0x80 && (element == MXQ_INT8 || element == MXQ_MXINT8))
        return code;
    return code & 0x80 ? negated(element, magnitude) : magnitude;
}

static uint32_t some_f32(const struct levels *l, struct random *r)
{
    static const uint32_t special[] = {0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00001,
                                       0x7F800001, 0x80000000, 0};
    const uint32_t bits = random_u32(r), sign = bits & 0x80000000, fraction = bits & 0x7FFFFF;
    if (l->values == PRODUCT_ANY)
        return bits;
    if (l->values == PRODUCT_SUBNORMAL && random_below(r, 4))
        return sign | fraction >> random_below(r, 23);
    if (l->values == PRODUCT_NONFINITE && random_below(r, 300) == 0)
        return special[random_below(r, sizeof special / sizeof *special)];
    if (l->values == PRODUCT_ZEROS && random_below(r, 16))
        return sign;
    const int exponent = clamped(between(r, l->x_low, l->x_high), -126, 127);
    return sign | (uint32_t)(exponent + 127) << 23 |
           (l->values == PRODUCT_CANCEL ? fraction & 0x600000 : fraction);
}

/* A value of a type, from F32 bits. */
static uint32_t narrowed(enum mxq_type type, uint32_t bits, int any)
{
    if (type == MXQ_F32)
        return bits;
    return any ? bits >> 16 : oracle_nearest(type, oracle_value(MXQ_F32, bits));
}

/* What y holds before, and the bias: like the sums, and anything now and then. */
static uint32_t some_sum(const struct levels *l, enum mxq_type type, struct random *r)
{
    const uint32_t kind = random_below(r, 32);
    if (kind == 0 && l->values != PRODUCT_ORDINARY)
        return random_u32(r) >> (type == MXQ_F32 ? 0 : 16);
    if (kind == 1)
        return 0;
    if (kind == 2) /* -0 */
        return UINT32_C(1) << (type == MXQ_F32 ? 31 : 15);
    if (kind == 3 && l->values != PRODUCT_ORDINARY) /* a subnormal */
        return random_u32(r) & (type == MXQ_F32 ? 0x7FFFFF : 0x7F);
    const int exponent =
        clamped(between(r, l->x_low, l->x_high) + between(r, l->scale_low, l->scale_high) - 127 +
                    between(r, -8, 8),
                -126, 127);
    const uint32_t bits = (random_u32(r) & 0x807FFFFF) | (uint32_t)(exponent + 127) << 23;
    return narrowed(type, bits, 0);
}

/* ------------------------------------------- Operands ----------------------------------------- */

/* An F32 scale, as its type holds it: like the powers of two of E8M0, and anything now and then. */
static uint32_t some_factor(const struct levels *l, enum mxq_type type, struct random *r)
{
    const uint32_t bits = random_u32(r);
    if (l->values == PRODUCT_ANY ||
        ((l->values == PRODUCT_NONFINITE || l->values == PRODUCT_SCALES) && bits % 64 == 0))
        return type == MXQ_F32 ? bits : bits >> 16;
    const int exponent = type == MXQ_F16
                             ? between(r, -14, 8)
                             : clamped(between(r, l->scale_low, l->scale_high) - 127, -126, 127);
    return narrowed(type, (bits & 0x7FFFFF) | (uint32_t)(exponent + 127) << 23, 0);
}

static uint8_t some_e4m3_scale(const struct levels *l, struct random *r)
{
    const uint8_t code = (uint8_t)random_u32(r);
    const int any =
        l->values == PRODUCT_ANY || (l->values == PRODUCT_NONFINITE && random_below(r, 100) == 0);
    return any ? code : code % 0x7F;
}

/* Elements and scales, with gaps left blank. */
static void fill_quantized(const struct levels *l, const struct mxq_quantized *q, struct random *r)
{
    const struct mxq_format *f = &q->format;
    const size_t scales_rows = blocks_along(f->block_rows, q->rows);
    for (size_t row = 0; row < scales_rows; row++)
        for (size_t b = 0; b < blocks_along(f->block_cols, q->cols); b++) {
            uint8_t *to = q->scales + row * q->scales_stride;
            if (f->scale == MXQ_E8M0)
                to[b] = some_scale(l, r);
            else if (f->scale == MXQ_E4M3_SCALE)
                to[b] = some_e4m3_scale(l, r);
            else
                oracle_store(type_of_scale(f), to, b, some_factor(l, type_of_scale(f), r));
        }
    for (size_t row = 0; row < q->rows; row++) {
        uint8_t *to = q->elements + row * q->elements_stride;
        memset(to, 0, oracle_bytes(f->element, q->cols));
        for (size_t i = 0; i < q->cols; i++) {
            uint8_t code = some_code(l, f->element, r);
            if (l->cancels && i % BLOCK >= 16 && random_below(r, 32))
                code = negated(f->element, oracle_get(f->element, to, i - 16));
            oracle_put(f->element, to, i, code);
        }
    }
    if (q->tensor_scale) {
        const uint32_t bits = some_factor(l, MXQ_F32, r);
        memcpy(q->tensor_scale, &bits, sizeof bits);
    }
}

static void fill_wide(const struct levels *l, const struct product *p, struct random *r)
{
    const enum mxq_type type = (enum mxq_type)p->plan.x;
    for (size_t row = 0; row < p->plan.m; row++)
        for (size_t i = 0; i < p->plan.k; i++) {
            const size_t at = row * p->x_stride + i;
            uint32_t bits = narrowed(type, some_f32(l, r), l->values == PRODUCT_ANY);
            if (l->cancels && i % BLOCK >= 16)
                bits = oracle_load(type, p->x.data, at - 16);
            oracle_store(type, p->x.data, at, bits);
        }
}

/* What is multiplied of a quantized operand: elements, times scales that are exact; and the others. */
static void take_apart(const struct mxq_quantized *q, float *values, struct oracle_scales *factors)
{
    const struct mxq_format *f = &q->format;
    const size_t k = q->cols, length = factor_length(f, k);
    const size_t brows = f->block_rows ? f->block_rows : q->rows;
    const size_t bcols = f->block_cols ? f->block_cols : k;
    float *scales =
        length ? memory_of(q->rows * ((k + length - 1) / length) * sizeof *scales) : NULL;
    for (size_t row = 0; row < q->rows; row++) {
        const uint8_t *of_row = q->scales + row / brows * q->scales_stride;
        for (size_t i = 0; i < k; i++) {
            const uint8_t code = oracle_get(f->element, q->elements + row * q->elements_stride, i);
            const double bare = oracle_decode(f->element, code);
            const uint32_t bits =
                f->scale == MXQ_E8M0 ? oracle_unpack(f->element, MXQ_F32, code, of_row[i / bcols])
                : f->scale == MXQ_E4M3_SCALE
                    ? oracle_nearest(MXQ_F32, bare * oracle_decode(MXQ_E4M3, of_row[i / bcols]))
                    : oracle_nearest(MXQ_F32, bare);
            values[row * k + i] = oracle_float(MXQ_F32, bits);
            if (length)
                scales[row * ((k + length - 1) / length) + i / length] =
                    q->tensor_scale
                        ? *q->tensor_scale
                        : oracle_float(type_of_scale(f),
                                       oracle_load(type_of_scale(f), of_row, i / bcols));
        }
    }
    *factors = (struct oracle_scales){scales, length};
}

/* Wide x, as it is multiplied; quantized by the public function, which has tests of its own. */
static void take_wide(struct product *p)
{
    const struct product_plan *plan = &p->plan;
    const enum mxq_type type = (enum mxq_type)plan->x;
    if (plan->x_compute == MXQ_X_QUANTIZED) {
        struct mxq_sizes sizes;
        struct mxq_quantize_options o = MXQ_QUANTIZE_OPTIONS;
        float tensor_scale = 0;
        o.scale_mode = plan->x_mode;
        if (mxq_quantized_sizes(&plan->x_format, plan->m, plan->k, &sizes))
            exit(99);
        uint8_t *elements = memory_of(sizes.elements_bytes),
                *scales = memory_of(sizes.scales_bytes);
        const struct mxq_quantized q = {plan->x_format,
                                        plan->m,
                                        plan->k,
                                        elements,
                                        sizes.elements_row_bytes,
                                        scales,
                                        sizes.scales_row_bytes,
                                        plan->x_format.scale == MXQ_E4M3_SCALE ? &tensor_scale
                                                                               : NULL};
        const struct mxq_matrix x = {p->x.data, type, plan->m, plan->k, p->x_stride};
        if (mxq_quantize(&q, &x, &o, NULL))
            exit(99);
        take_apart(&q, p->values_x, &p->factors_of_x);
        free(elements);
        free(scales);
        return;
    }
    for (size_t row = 0; row < plan->m; row++)
        for (size_t i = 0; i < plan->k; i++) {
            const uint32_t bits = oracle_load(type, p->x.data, row * p->x_stride + i);
            p->values_x[row * plan->k + i] =
                plan->x_compute == MXQ_X_BF16
                    ? oracle_float(MXQ_BF16, oracle_nearest(MXQ_BF16, oracle_value(type, bits)))
                    : oracle_float(type, bits);
        }
}

struct mxq_quantized product_quantized_x(const struct product *p, uint8_t *elements,
                                         uint8_t *scales)
{
    const struct product_plan *plan = &p->plan;
    return (struct mxq_quantized){
        plan->x_format,
        plan->m,
        plan->k,
        elements,
        p->x_stride,
        scales,
        p->scales_stride,
        plan->x_format.scale == MXQ_E4M3_SCALE ? (float *)(uintptr_t)&p->x_tensor_scale : NULL};
}

static void make_x(struct product *p, const struct levels *l, struct random *r)
{
    const struct product_plan *plan = &p->plan;
    const size_t gaps = plan->m ? plan->m - 1 : 0, some = plan->m != 0;
    p->values_x = memory_of(plan->m * plan->k * sizeof(float));
    if (!is_quantized(plan)) {
        p->x_stride = plan->k + plan->x_gap;
        ALLOCATE(p->x,
                 (gaps * p->x_stride + some * plan->k) * mxq_type_bytes((enum mxq_type)plan->x));
        ALLOCATE(p->x_scales, 0);
        fill_wide(l, p, r);
        take_wide(p);
        return;
    }
    const struct mxq_format *f = &plan->x_format;
    const size_t row_bytes = oracle_bytes(f->element, plan->k);
    const size_t scales_bytes = blocks_along(f->block_cols, plan->k) * scale_bytes_of(f);
    const size_t scales_rows = blocks_along(f->block_rows, plan->m);
    p->x_stride = row_bytes + plan->x_gap;
    p->scales_stride = scales_bytes + plan->scales_gap;
    ALLOCATE(p->x, gaps * p->x_stride + some * row_bytes);
    ALLOCATE(p->x_scales, scales_rows ? (scales_rows - 1) * p->scales_stride + scales_bytes : 0);
    const struct mxq_quantized q = product_quantized_x(p, p->x.data, p->x_scales.data);
    fill_quantized(l, &q, r);
    take_apart(&q, p->values_x, &p->factors_of_x);
}

struct mxq_quantized product_weights(const struct product *p)
{
    const struct product_plan *plan = &p->plan;
    const struct mxq_format *f = &plan->w_format;
    return (struct mxq_quantized){
        *f,
        plan->n,
        plan->k,
        p->w.data,
        oracle_bytes(f->element, plan->k),
        p->w_scales.data,
        blocks_along(f->block_cols, plan->k) * scale_bytes_of(f),
        f->scale == MXQ_E4M3_SCALE ? (float *)(uintptr_t)&p->w_tensor_scale : NULL};
}

static void make_w(struct product *p, const struct levels *l, struct random *r)
{
    const struct product_plan *plan = &p->plan;
    struct mxq_sizes sizes;
    size_t bytes;
    if (mxq_quantized_sizes(&plan->w_format, plan->n, plan->k, &sizes))
        exit(99);
    p->values_w = memory_of(plan->n * plan->k * sizeof(float));
    ALLOCATE(p->w, sizes.elements_bytes);
    ALLOCATE(p->w_scales, sizes.scales_bytes);
    const struct mxq_quantized w = product_weights(p);
    fill_quantized(l, &w, r);
    take_apart(&w, p->values_w, &p->factors_of_w);
    if (mxq_packed_bytes(&w.format, w.rows, w.cols, &bytes))
        exit(99);
    ALLOCATE(p->packed, bytes);
    if (mxq_pack_quantized(p->packed.data, bytes, &w, NULL, NULL))
        exit(99);
}

/* y before and after the call, and the bias. */
static void make_y(struct product *p, const struct levels *l, struct random *r)
{
    const struct product_plan *plan = &p->plan;
    const size_t count = plan->m * plan->n, bytes = mxq_type_bytes(plan->y_type);
    float *sums = memory_of(count * sizeof *sums), *bias = memory_of(plan->n * sizeof *bias);
    p->y_stride = plan->n + plan->y_gap;
    const size_t values = plan->m ? (plan->m - 1) * p->y_stride + plan->n : 0;
    ALLOCATE(p->before, values * bytes);
    ALLOCATE(p->after, values * bytes);
    ALLOCATE(p->bias, plan->bias < 0 ? 0 : plan->n * mxq_type_bytes((enum mxq_type)plan->bias));
    for (size_t i = 0; plan->bias >= 0 && i < plan->n; i++) {
        const enum mxq_type type = (enum mxq_type)plan->bias;
        const uint32_t bits = some_sum(l, type, r);
        oracle_store(type, p->bias.data, i, bits);
        bias[i] = oracle_float(type, bits);
    }
    for (size_t i = 0; plan->accumulate && i < count; i++) {
        const uint32_t bits = some_sum(l, plan->y_type, r);
        oracle_store(plan->y_type, p->before.data, i / plan->n * p->y_stride + i % plan->n, bits);
        sums[i] = oracle_float(plan->y_type, bits);
    }
    const struct oracle_product product = {plan->m,
                                           plan->n,
                                           plan->k,
                                           run_of(&plan->w_format),
                                           p->values_x,
                                           p->values_w,
                                           plan->accumulate ? sums : NULL,
                                           plan->bias >= 0 ? bias : NULL,
                                           p->factors_of_x,
                                           p->factors_of_w};
    for (size_t row = 0; row < plan->m; row++)
        for (size_t col = 0; col < plan->n; col++)
            oracle_store(plan->y_type, p->after.data, row * p->y_stride + col,
                         oracle_output(&product, row, col, plan->y_type));
    free(sums);
    free(bias);
}

struct product_plan product_plan(struct random *r)
{
    struct product_plan plan = {0};
    plan.x = (int)random_below(r, PRODUCT_XS);
    plan.w_format = product_format(r);
    plan.y_type = (enum mxq_type)random_below(r, MXQ_TYPES);
    plan.x_compute =
        is_quantized(&plan) ? MXQ_X_AS_IS : (enum mxq_x_compute)random_below(r, MXQ_X_COMPUTES);
    plan.x_format = product_format(r);
    plan.x_mode = (enum mxq_scale_mode)random_below(r, MXQ_SCALE_MSE);
    plan.accumulate = (int)random_below(r, 2);
    plan.bias = (int)random_below(r, 2 * MXQ_TYPES) - MXQ_TYPES;
    plan.bias = plan.bias < 0 ? -1 : plan.bias;
    plan.values = (enum product_values)random_below(r, PRODUCT_VALUES);
    plan.x_gap = random_below(r, 2) ? random_below(r, 40) : 0;
    plan.scales_gap = random_below(r, 2) ? random_below(r, 5) : 0;
    plan.y_gap = random_below(r, 2) ? random_below(r, 40) : 0;
    plan.seed = random_u64(r);
    return plan;
}

void product_make(struct product *p, const struct product_plan *plan)
{
    struct random r = {plan->seed};
    memset(p, 0, sizeof *p);
    p->plan = *plan;
    settle(&p->plan);
    const struct levels levels = levels_of(&p->plan, &r);
    make_x(p, &levels, &r);
    make_w(p, &levels, &r);
    make_y(p, &levels, &r);
}

void product_free(struct product *p)
{
    free(p->x.data);
    free(p->x_scales.data);
    free(p->bias.data);
    free(p->w.data);
    free(p->w_scales.data);
    free(p->packed.data);
    free(p->before.data);
    free(p->after.data);
    free(p->values_x);
    free(p->values_w);
    free((void *)(uintptr_t)p->factors_of_x.values);
    free((void *)(uintptr_t)p->factors_of_w.values);
}

/* -------------------------------------------- Calls ------------------------------------------- */

static char message[1024];

static unsigned char *place(struct guard *g, struct random *r, const void *data, size_t bytes)
{
    if (!g->map || (size_t)(g->end - g->begin) < bytes + 64) {
        if (g->map)
            guard_close(g);
        guard_open(g, 2 * bytes);
    }
    const int alignment = random_below(r, 2) ? (int)random_below(r, 64) : -1;
    unsigned char *to =
        guard_place(g, random_below(r, 4) ? GUARD_END : GUARD_BEGIN, alignment, bytes);
    if (data && bytes)
        memcpy(to, data, bytes);
    return to;
}

static const char *compare(const struct product *p, const struct product_memory *memory)
{
    static const char *const names[] = {"y", "x", "the scales of x", "bias", "w", "scratch"};
    const unsigned char *kept[] = {p->after.data, p->x.data, p->x_scales.data, p->bias.data,
                                   p->packed.data};
    const struct guard *g = memory->guards;
    for (int i = 0; i < PRODUCT_MEMORIES; i++) {
        const ptrdiff_t stray = guard_overwritten(&g[i]);
        if (stray) {
            snprintf(message, sizeof message, "wrote outside of %s: at byte %td of %zu", names[i],
                     stray, g[i].bytes);
            return message;
        }
        if (i != PRODUCT_Y && i != PRODUCT_SCRATCH && memcmp(g[i].data, kept[i], g[i].bytes)) {
            snprintf(message, sizeof message, "changed %s", names[i]);
            return message;
        }
    }
    const size_t bytes = mxq_type_bytes(p->plan.y_type);
    for (size_t i = 0; i < p->after.bytes / bytes; i++) {
        const uint32_t got = oracle_load(p->plan.y_type, g[PRODUCT_Y].data, i);
        const uint32_t expected = oracle_load(p->plan.y_type, p->after.data, i);
        if (got != expected) {
            snprintf(message, sizeof message,
                     "y[%zu][%zu] is 0x%" PRIX32 ", the oracle gives 0x%" PRIX32, i / p->y_stride,
                     i % p->y_stride, got, expected);
            return message;
        }
    }
    return "";
}

const char *product_run(const struct product *p, struct product_memory *memory,
                        const struct mxq_parallel *parallel, uint64_t place_seed)
{
    const struct product_plan *plan = &p->plan;
    struct random r = {place_seed};
    struct guard *g = memory->guards;
    struct mxq_matmul_options o = MXQ_MATMUL_OPTIONS;
    /* Sub-blocks of 8 or 16 values take as much as others. */
    if (mxq_matmul_scratch_bytes(plan->m, plan->n, plan->k * (BLOCK / run_of(&plan->w_format)),
                                 &o.scratch_bytes))
        return "mxq_matmul_scratch_bytes() fails";
    const struct mxq_matrix bias = {place(&g[PRODUCT_BIAS], &r, p->bias.data, p->bias.bytes),
                                    (enum mxq_type)plan->bias, 1, plan->n, plan->n};
    const struct mxq_matrix y = {place(&g[PRODUCT_Y], &r, p->before.data, p->before.bytes),
                                 plan->y_type, plan->m, plan->n, p->y_stride};
    const void *w = place(&g[PRODUCT_W], &r, p->packed.data, p->packed.bytes);
    unsigned char *x = place(&g[PRODUCT_X], &r, p->x.data, p->x.bytes);
    uint8_t *scales = place(&g[PRODUCT_SCALES_OF_X], &r, p->x_scales.data, p->x_scales.bytes);
    o.scratch = place(&g[PRODUCT_SCRATCH], &r, NULL, o.scratch_bytes);
    o.x_compute = plan->x_compute;
    o.x_format = plan->x_format;
    o.x_scale_mode = plan->x_mode;
    o.accumulate = plan->accumulate;
    o.bias = plan->bias >= 0 ? &bias : NULL;
    o.parallel = parallel;
    enum mxq_status status;
    if (is_quantized(plan)) {
        const struct mxq_quantized q = product_quantized_x(p, x, scales);
        status = mxq_matmul_quantized(&y, &q, w, p->packed.bytes, &o, NULL);
    } else {
        const struct mxq_matrix matrix = {x, (enum mxq_type)plan->x, plan->m, plan->k, p->x_stride};
        status = mxq_matmul(&y, &matrix, w, p->packed.bytes, &o, NULL);
    }
    return status ? mxq_status_string(status) : compare(p, memory);
}

void product_memory_free(struct product_memory *memory)
{
    for (int i = 0; i < PRODUCT_MEMORIES; i++)
        if (memory->guards[i].map)
            guard_close(&memory->guards[i]);
}

static void append_format(char *to, size_t bytes, const struct mxq_format *f)
{
    static const char *const elements[] = {"e4m3", "e5m2",   "e3m2", "e2m3",
                                           "e2m1", "mxint8", "int8"};
    static const char *const scales[] = {"e8m0", "f32", "bf16", "f16", "e4m3"};
    snprintf(to, bytes, "%s/%s %" PRIu32 "x%" PRIu32, elements[f->element], scales[f->scale],
             f->block_rows, f->block_cols);
}

const char *product_text(const struct product_plan *plan)
{
    static const char *const xs[] = {"f32", "bf16", "f16", "quantized"};
    static const char *const computes[] = {"as is", "bf16", "quantized"};
    static const char *const values[] = {"ordinary", "wide",      "underflow", "overflow",
                                         "scales",   "subnormal", "nonfinite", "zeros",
                                         "cancel",   "any"};
    static char text[512];
    char x_format[64], w_format[64];
    append_format(x_format, sizeof x_format, &plan->x_format);
    append_format(w_format, sizeof w_format, &plan->w_format);
    snprintf(
        text, sizeof text,
        "m %zu n %zu k %zu, x %s (%s, %s mode %d), w %s, y %s, accumulate %d, bias %d, values %s, "
        "gaps %zu %zu %zu, seed 0x%" PRIX64,
        plan->m, plan->n, plan->k, xs[plan->x], computes[plan->x_compute], x_format,
        (int)plan->x_mode, w_format, xs[plan->y_type], plan->accumulate, plan->bias,
        values[plan->values], plan->x_gap, plan->scales_gap, plan->y_gap, plan->seed);
    return text;
}

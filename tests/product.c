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

static enum mxq_element element_of_x(const struct product_plan *plan)
{
    return (enum mxq_element)(plan->x - PRODUCT_X_QUANTIZED);
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
    return element == MXQ_E4M3 ? -9 : -16;
}

static int highest_of(enum mxq_element element)
{
    return element == MXQ_E4M3 ? 9 : 16;
}

/* Aims multiples of the product's least bits at one of the bounds. */
static void aim_low(struct levels *l, const struct product_plan *plan, struct random *r)
{
    static const int bounds[] = {-126, -126, -141, -149};
    static const int mantissa_bits[] = {23, 7, 10, 7, 7};
    const int bound = bounds[random_below(r, 4)] + between(r, -3, 2);
    const int bits = plan->x_compute == MXQ_X_AS_IS ? mantissa_bits[plan->x] : 7;
    l->x_low = plan->x == MXQ_F16 ? between(r, -14, 5) : between(r, -100, 20);
    l->x_high = l->x_low + between(r, 0, 4);
    l->scale_low = clamped(bound - l->x_low + bits - lowest_of(plan->w_element) + 127, 0, 254);
    l->scale_high = clamped(l->scale_low + between(r, 0, 2), 0, 254);
}

static void aim_high(struct levels *l, const struct product_plan *plan, struct random *r)
{
    l->x_high = plan->x == MXQ_F16 ? between(r, 0, 15) : between(r, 0, 120);
    l->scale_high = clamped(
        128 + between(r, -10, 2) - 5 - l->x_high - highest_of(plan->w_element) + 127, 0, 254);
    if (plan->x != MXQ_F16 && random_below(r, 2)) { /* the same, of elements without their scale */
        l->x_high = 128 + between(r, -4, 8) - 5 - highest_of(plan->w_element);
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

static uint8_t some_code(const struct levels *l, enum mxq_element element, struct random *r)
{
    const uint8_t code = (uint8_t)random_u32(r);
    if (l->values == PRODUCT_ANY)
        return code;
    if (l->values == PRODUCT_NONFINITE && random_below(r, 300) == 0)
        return (uint8_t)(code | 0x7C); /* an infinity or NaN of E5M2, perhaps a NaN of E4M3 */
    if (l->values == PRODUCT_ZEROS && random_below(r, 16))
        return code & 0x80;
    if (l->values == PRODUCT_CANCEL)
        return code & 0xBC;
    if (l->values == PRODUCT_UNDERFLOW && l->at_bound)
        return code & 0x83;
    if (l->values == PRODUCT_OVERFLOW && l->at_bound)
        return (uint8_t)(oracle_max_code(element) - (code & 3));
    return (code & 0x7F) > oracle_max_code(element) ? code & 0x80 : code;
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

/* Elements and scales of rows x k, with random gaps left blank. */
static void fill_quantized(const struct levels *l, enum mxq_element element, struct random *r,
                           uint8_t *elements, size_t stride, uint8_t *scales, size_t scales_stride,
                           size_t rows, size_t k)
{
    for (size_t row = 0; row < rows; row++) {
        for (size_t b = 0; b < (k + BLOCK - 1) / BLOCK; b++)
            scales[row * scales_stride + b] = some_scale(l, r);
        for (size_t i = 0; i < k; i++) {
            uint8_t code = some_code(l, element, r);
            if (l->cancels && i % BLOCK >= 16 && random_below(r, 32))
                code = elements[row * stride + i - 16] ^ 0x80;
            elements[row * stride + i] = code;
        }
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

static float dequantized(enum mxq_element element, uint8_t code, uint8_t scale)
{
    return oracle_float(MXQ_F32, oracle_unpack(element, MXQ_F32, code, scale));
}

static void dequantize(float *values, enum mxq_element element, const uint8_t *elements,
                       size_t stride, const uint8_t *scales, size_t scales_stride, size_t rows,
                       size_t k)
{
    for (size_t row = 0; row < rows; row++)
        for (size_t i = 0; i < k; i++)
            values[row * k + i] = dequantized(element, elements[row * stride + i],
                                              scales[row * scales_stride + i / BLOCK]);
}

/* One block of x, as it is multiplied. */
static void compute_block(const struct product *p, float *values, const void *x, size_t count)
{
    const struct product_plan *plan = &p->plan;
    const enum mxq_type type = (enum mxq_type)plan->x;
    uint8_t elements[BLOCK], scale;
    if (plan->x_compute == MXQ_X_QUANTIZED)
        oracle_quantize(plan->x_element, plan->x_mode, type, x, count, elements, &scale);
    for (size_t i = 0; i < count; i++) {
        const uint32_t bits = oracle_load(type, x, i);
        if (plan->x_compute == MXQ_X_QUANTIZED)
            values[i] = dequantized(plan->x_element, elements[i], scale);
        else if (plan->x_compute == MXQ_X_BF16)
            values[i] = oracle_float(MXQ_BF16, oracle_nearest(MXQ_BF16, oracle_value(type, bits)));
        else
            values[i] = oracle_float(type, bits);
    }
}

static void make_x(struct product *p, const struct levels *l, struct random *r)
{
    const struct product_plan *plan = &p->plan;
    p->x_stride = plan->k + plan->x_gap;
    p->scales_stride = p->k_blocks + plan->scales_gap;
    p->values_x = memory_of(plan->m * plan->k * sizeof(float));
    const size_t value_bytes = is_quantized(plan) ? 1 : mxq_type_bytes((enum mxq_type)plan->x);
    const size_t gaps = plan->m ? plan->m - 1 : 0, some = plan->m != 0;
    ALLOCATE(p->x, (gaps * p->x_stride + some * plan->k) * value_bytes);
    ALLOCATE(p->x_scales, is_quantized(plan) ? gaps * p->scales_stride + some * p->k_blocks : 0);
    if (is_quantized(plan)) {
        fill_quantized(l, element_of_x(plan), r, p->x.data, p->x_stride, p->x_scales.data,
                       p->scales_stride, plan->m, plan->k);
        dequantize(p->values_x, element_of_x(plan), p->x.data, p->x_stride, p->x_scales.data,
                   p->scales_stride, plan->m, plan->k);
        return;
    }
    fill_wide(l, p, r);
    for (size_t row = 0; row < plan->m; row++)
        for (size_t i = 0; i < plan->k; i += BLOCK)
            compute_block(p, p->values_x + row * plan->k + i,
                          p->x.data + (row * p->x_stride + i) * value_bytes,
                          plan->k - i < BLOCK ? plan->k - i : BLOCK);
}

struct mxq_quantized product_weights(const struct product *p)
{
    const struct product_plan *plan = &p->plan;
    return (struct mxq_quantized){{plan->w_element, MXQ_E8M0, 1, BLOCK},
                                  plan->n,
                                  plan->k,
                                  p->w.data,
                                  plan->k,
                                  p->w_scales.data,
                                  p->k_blocks};
}

static void make_w(struct product *p, const struct levels *l, struct random *r)
{
    const struct product_plan *plan = &p->plan;
    size_t bytes;
    p->values_w = memory_of(plan->n * plan->k * sizeof(float));
    ALLOCATE(p->w, plan->n * plan->k);
    ALLOCATE(p->w_scales, plan->n * p->k_blocks);
    fill_quantized(l, plan->w_element, r, p->w.data, plan->k, p->w_scales.data, p->k_blocks,
                   plan->n, plan->k);
    dequantize(p->values_w, plan->w_element, p->w.data, plan->k, p->w_scales.data, p->k_blocks,
               plan->n, plan->k);
    const struct mxq_quantized w = product_weights(p);
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
                                           p->values_x,
                                           p->values_w,
                                           plan->accumulate ? sums : NULL,
                                           plan->bias >= 0 ? bias : NULL};
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
    plan.w_element = (enum mxq_element)random_below(r, PRODUCT_ELEMENTS);
    plan.y_type = (enum mxq_type)random_below(r, MXQ_TYPES);
    plan.x_compute =
        is_quantized(&plan) ? MXQ_X_AS_IS : (enum mxq_x_compute)random_below(r, MXQ_X_COMPUTES);
    plan.x_element = (enum mxq_element)random_below(r, PRODUCT_ELEMENTS);
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
    const struct levels levels = levels_of(plan, &r);
    memset(p, 0, sizeof *p);
    p->plan = *plan;
    p->k_blocks = (plan->k + BLOCK - 1) / BLOCK;
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
    if (mxq_matmul_scratch_bytes(plan->m, plan->n, plan->k, &o.scratch_bytes))
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
    o.x_format.element = plan->x_element;
    o.x_scale_mode = plan->x_mode;
    o.accumulate = plan->accumulate;
    o.bias = plan->bias >= 0 ? &bias : NULL;
    o.parallel = parallel;
    enum mxq_status status;
    if (is_quantized(plan)) {
        const struct mxq_quantized q = {{element_of_x(plan), MXQ_E8M0, 1, BLOCK},
                                        plan->m,
                                        plan->k,
                                        x,
                                        p->x_stride,
                                        scales,
                                        p->scales_stride};
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

const char *product_text(const struct product_plan *plan)
{
    static const char *const xs[] = {"f32", "bf16", "f16", "mxfp8_e4m3", "mxfp8_e5m2"};
    static const char *const computes[] = {"as is", "bf16", "quantized"};
    static const char *const values[] = {"ordinary", "wide",      "underflow", "overflow",
                                         "scales",   "subnormal", "nonfinite", "zeros",
                                         "cancel",   "any"};
    static char text[512];
    snprintf(
        text, sizeof text,
        "m %zu n %zu k %zu, x %s (%s, element %d mode %d), w %s, y %s, accumulate %d, bias %d, "
        "values %s, gaps %zu %zu %zu, seed 0x%" PRIX64,
        plan->m, plan->n, plan->k, xs[plan->x], computes[plan->x_compute], (int)plan->x_element,
        (int)plan->x_mode, xs[PRODUCT_X_QUANTIZED + plan->w_element], xs[plan->y_type],
        plan->accumulate, plan->bias, values[plan->values], plan->x_gap, plan->scales_gap,
        plan->y_gap, plan->seed);
    return text;
}

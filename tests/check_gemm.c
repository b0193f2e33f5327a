/* SPDX-License-Identifier: Apache-2.0 */
/* check_gemm.c -- conformance of the GEMM: panel, gemm, gemm_fused. */
#include <string.h>

#include "check.h"
#include "oracle.h"

/* Whether a row's BF16 slots hold kernels of a BF16 unit; else they hold its F32 kernels. */
static int has_bf16(const struct check *c)
{
    return c->row->tile[MXQ_BF16].bytes == 2;
}

void check_reorder(const struct check *c, void *to, const void *from, size_t blocks)
{
    for (size_t i = 0; i < blocks * MXQ_BLOCK; i += 4) {
        uint16_t natural[4], ordered[4];
        memcpy(natural, (const unsigned char *)from + 2 * i, sizeof natural);
        for (size_t j = 0; j < 4; j++)
            ordered[j] = natural[c->row->tile[MXQ_BF16].k_order[j]];
        memcpy((unsigned char *)to + 2 * i, ordered, sizeof ordered);
    }
}

/* The reverse. */
static void restore(const struct check *c, void *to, const void *from, size_t blocks)
{
    for (size_t i = 0; i < blocks * MXQ_BLOCK; i += 4) {
        uint16_t natural[4], ordered[4];
        memcpy(ordered, (const unsigned char *)from + 2 * i, sizeof ordered);
        for (size_t j = 0; j < 4; j++)
            natural[c->row->tile[MXQ_BF16].k_order[j]] = ordered[j];
        memcpy((unsigned char *)to + 2 * i, natural, sizeof natural);
    }
}

/* The place of weight k of output n in a sub-block of a panel of BF16 values. */
static size_t place_of(size_t k, size_t n)
{
    return (k / 2 * MXQ_PANEL + n) * 2 + k % 2;
}

/* Weights of a panel into the order of the row under test, or back; to is not from. */
enum direction { TO_ROW, FROM_ROW };

static void reorder_panel(const struct check *c, void *to, const void *from, size_t blocks,
                          enum direction direction)
{
    for (size_t i = 0; i < blocks * MXQ_PANEL_ELEMENTS; i++) {
        const size_t base = i - i % MXQ_PANEL_ELEMENTS;
        const size_t k = i / MXQ_PANEL % MXQ_BLOCK, n = i % MXQ_PANEL;
        const size_t natural =
            base + place_of(k / 4 * 4 + c->row->tile[MXQ_BF16].k_order[k % 4], n);
        const size_t ordered = base + place_of(k, n);
        memcpy((unsigned char *)to + 2 * (direction == TO_ROW ? ordered : natural),
               (const unsigned char *)from + 2 * (direction == TO_ROW ? natural : ordered), 2);
    }
}

static uint8_t finite_code(struct check *c, uint8_t code)
{
    return (code & 0x7F) > mxq_elements[c->element].max_code ? code & 0x80 : code;
}

/* Codes of one sub-block of a panel. */
static void fill_codes(struct check *c, enum fill fill, uint8_t *elements)
{
    const uint32_t subnormals = 1u << mxq_elements[c->element].mantissa_bits;
    for (size_t i = 0; i < MXQ_PANEL_ELEMENTS; i++) {
        const uint8_t code = (uint8_t)random_u32(&c->random);
        elements[i] = (uint8_t)(fill == FILL_ZERO          ? 0
                                : fill == FILL_SIGNED_ZERO ? code & 0x80
                                : fill == FILL_WIDE_SUBNORMAL || fill == FILL_ELEMENT_SUBNORMAL
                                    ? (uint8_t)((code & 0x80) | code % subnormals)
                                : fill == FILL_SATURATION
                                    ? (uint8_t)((code & 0x80) | mxq_elements[c->element].max_code)
                                    : finite_code(c, code));
    }
}

/* -------------------------------------------- panel ------------------------------------------- */

static uint8_t ordinary_scale(struct check *c)
{
    static const uint8_t chosen[] = {24, 25, 126, 127, 128, 133, 134};
    if (random_below(&c->random, 4) == 0)
        return chosen[random_below(&c->random, sizeof chosen)];
    return (
        uint8_t)(MXQ_SCALE_ORDINARY_LOW +
                 random_below(&c->random, MXQ_SCALE_ORDINARY_HIGH - MXQ_SCALE_ORDINARY_LOW + 1));
}

/* Every code under every ordinary scale, in each lane. */
static void fill_every_code(struct check *c, uint64_t index, uint8_t *elements, uint8_t *scales)
{
    const unsigned count = MXQ_SCALE_ORDINARY_HIGH - MXQ_SCALE_ORDINARY_LOW + 1;
    memset(scales, (int)(MXQ_SCALE_ORDINARY_LOW + index % count), MXQ_PANEL);
    for (size_t i = 0; i < MXQ_PANEL_ELEMENTS; i++) {
        const size_t k = i / (2 * MXQ_PANEL) * 2 + i % 2, n = i / 2 % MXQ_PANEL;
        elements[i] = finite_code(c, (uint8_t)(k + MXQ_BLOCK * (index / count) + 7 * n));
    }
}

static void fill_panel(struct check *c, enum fill fill, const struct fill_target *t, size_t blocks,
                       void *const *data)
{
    uint8_t *elements = data[1], *scales = data[2];
    for (size_t b = 0; b < blocks; b++, elements += MXQ_PANEL_ELEMENTS, scales += MXQ_PANEL) {
        if (fill == FILL_EVERY) {
            fill_every_code(c, t->index + b, elements, scales);
            continue;
        }
        fill_codes(c, fill, elements);
        for (size_t n = 0; n < MXQ_PANEL; n++)
            scales[n] = ordinary_scale(c);
    }
}

/* The scalar kernel of what a row has in its slot. */
static enum mxq_type reference_compute(const struct check *c)
{
    return c->type == MXQ_BF16 && has_bf16(c) ? MXQ_BF16 : MXQ_F32;
}

static void call_panel(const struct check *c, const struct mxq_kernels *row, void *const *data,
                       size_t blocks)
{
    const enum mxq_type compute = row == c->reference ? reference_compute(c) : c->type;
    if (row == c->reference && compute == MXQ_BF16)
        for (size_t b = 0; b < blocks; b++) { /* one after the other, for want of room */
            uint16_t natural[MXQ_PANEL_ELEMENTS];
            row->panel[c->element][compute](natural, (uint8_t *)data[1] + b * MXQ_PANEL_ELEMENTS,
                                            (uint8_t *)data[2] + b * MXQ_PANEL, 1);
            reorder_panel(c, (unsigned char *)data[0] + b * sizeof natural, natural, 1, TO_ROW);
        }
    else
        row->panel[c->element][compute](data[0], data[1], data[2], blocks);
}

void check_panel(struct check *c)
{
    c->element = (enum mxq_element)(CHECK_INDEX(c, panel) / MXQ_COMPUTES);
    c->type = (enum mxq_type)(CHECK_INDEX(c, panel) % MXQ_COMPUTES);
    const size_t bytes = mxq_type_bytes(reference_compute(c));
    const struct check_family family = {
        .operands = {{"w", MXQ_PANEL_ELEMENTS * bytes, bytes, CHECK_OUTPUT, (int)bytes},
                     {"elements", MXQ_PANEL_ELEMENTS, 1, CHECK_INPUT},
                     {"scales", MXQ_PANEL, 1, CHECK_INPUT}},
        .rules = 1,
        .every_rounds = 1,
        .blocks_per_fill = 122,
        .blocks_per_case = 61,
        .fill = fill_panel,
        .call = call_panel,
    };
    check_run(c, &family);
}

/* --------------------------------------------- gemm ------------------------------------------- */

#define MOST_BLOCKS 35
#define MOST_ROWS   65
#define MOST_PANELS 5
#define MOST_GAP    24 /* values */

static size_t some_rows(struct check *c)
{
    static const size_t many[] = {16, 17, 31, 32, 33, 48, 64, MOST_ROWS};
    if (c->current.blocks <= 9 && random_below(&c->random, 5) == 0)
        return many[random_below(&c->random, sizeof many / sizeof *many)];
    return 1 + random_below(&c->random, 13);
}

static size_t some_gap(struct check *c)
{
    return random_below(&c->random, 2) ? random_below(&c->random, MOST_GAP) : 0;
}

/* The rows and panels, and y, x and w after them. */
static void shape_gemm(struct check *c)
{
    const size_t bytes = mxq_type_bytes(reference_compute(c)), blocks = c->current.blocks;
    struct check_shape *s = &c->shape;
    s->rows = some_rows(c);
    s->panels = 1 + random_below(&c->random, c->row->tile[c->type].panels);
    s->y_stride = s->panels * MXQ_PANEL + some_gap(c);
    s->x_stride = (blocks * MXQ_BLOCK + some_gap(c)) * bytes;
    s->w_stride = (blocks * MXQ_PANEL_ELEMENTS + some_gap(c)) * bytes;
    c->family.operands[0].bytes =
        ((s->rows - 1) * s->y_stride + s->panels * MXQ_PANEL) * sizeof(float);
    c->family.operands[1].bytes = (s->rows - 1) * s->x_stride + blocks * MXQ_BLOCK * bytes;
    c->family.operands[2].bytes =
        (s->panels - 1) * s->w_stride + blocks * MXQ_PANEL_ELEMENTS * bytes;
}

/* A finite value whose exponent lies within bounds, with so many mantissa bits, or a zero. */
static uint32_t bounded(struct check *c, int low, int high, int mantissa_bits)
{
    const uint32_t bits = random_u32(&c->random);
    const uint32_t exponent =
        (uint32_t)(127 + low) + random_below(&c->random, (uint32_t)(high - low) + 1);
    if (random_below(&c->random, 40) == 0)
        return bits & 0x80000000;
    return (bits & 0x80000000) | exponent << 23 |
           ((bits & 0x7FFFFF) >> (23 - mantissa_bits) << (23 - mantissa_bits));
}

/* What a sum may start from. */
static void fill_y(struct check *c, float *y, size_t values, int is_bounded)
{
    static const uint32_t special[] = {0,          0x80000000, 0x7F800000, 0xFF800000,
                                       0x7FC00000, 0x7F800001, 0xFFC12345, 1,
                                       0x80000001, 0x007FFFFF, 0x7F7FFFFF, 0xFF7FFFFF};
    for (size_t i = 0; i < values; i++) {
        const uint32_t kind = random_below(&c->random, 16);
        uint32_t bits = bounded(c, -40, 40, 23);
        if (kind == 0 && !is_bounded)
            bits = special[random_below(&c->random, sizeof special / sizeof *special)];
        else if (kind == 1 && !is_bounded)
            bits = random_u32(&c->random);
        else if (kind == 2)
            bits = 0;
        memcpy(y + i, &bits, sizeof bits);
    }
}

/* Values whose sums are finite and keep many of their terms: what shows where a kernel errs. */
static void fill_alike(struct check *c, enum mxq_type type, void *x)
{
    const int bits = random_below(&c->random, 2) ? 3 : 7;
    for (size_t i = 0; i < MXQ_BLOCK; i++)
        oracle_store(type, x, i,
                     bounded(c, -4, 4, type == MXQ_F32 && bits == 7 ? 23 : bits) >>
                         (type == MXQ_F32 ? 0 : 16));
}

static void fill_run(struct check *c, enum fill fill, uint64_t index, enum mxq_type type, void *x,
                     size_t blocks)
{
    const size_t bytes = mxq_type_bytes(type);
    for (size_t b = 0; b < blocks; b++) {
        const struct fill_target t = {type, c->element, fill_scale(&c->random), index + b};
        unsigned char *block = (unsigned char *)x + b * MXQ_BLOCK * bytes;
        if (fill == FILL_EVERY || (fill == FILL_MIXED && random_below(&c->random, 500)))
            fill_alike(c, type, block);
        else
            fill_block(&c->random, fill, &t, block);
    }
}

/* BF16 values of which no product, and no sum of products, is subnormal: for units that flush. */
static void fill_bf16(struct check *c, uint16_t *x, size_t values, int low, int high, int bits)
{
    for (size_t i = 0; i < values; i++)
        x[i] = (uint16_t)(bounded(c, low, high, bits) >> 16);
}

/* Exponents of x and w around a place within what the guard lets pass: multiples of 2^(x + w) stay at or
 * above 2^-126, sums of 32 products stay finite. */
static void fill_for_flushing(struct check *c, size_t blocks, void *const *data)
{
    const struct check_shape *s = &c->shape;
    const int spread = (int)random_below(&c->random, 20);
    const int x_low = (int)random_below(&c->random, 80) - 50;
    const int lowest = -126 + 7 + 3 - x_low, highest = 120 - x_low - 2 * spread; /* of w */
    int w_low = lowest + (int)random_below(&c->random, (uint32_t)(highest - lowest) + 1);
    w_low = w_low < -100 ? -100 : w_low > 80 ? 80 : w_low;
    for (size_t r = 0; r < s->rows; r++)
        fill_bf16(c, (uint16_t *)((unsigned char *)data[1] + r * s->x_stride), blocks * MXQ_BLOCK,
                  x_low, x_low + spread, 7);
    for (size_t p = 0; p < s->panels; p++)
        fill_bf16(c, (uint16_t *)((unsigned char *)data[2] + p * s->w_stride),
                  blocks * MXQ_PANEL_ELEMENTS, w_low, w_low + spread, 3);
}

static void fill_gemm(struct check *c, enum fill fill, const struct fill_target *t, size_t blocks,
                      void *const *data)
{
    const struct check_shape *s = &c->shape;
    const enum mxq_type type = reference_compute(c);
    const int flushes = type == MXQ_BF16 ? c->row->tile[MXQ_BF16].flushes : 0;
    /* What lies between rows would spoil every sum. */
    memset(data[1], 0xFF, c->family.operands[1].bytes);
    memset(data[2], 0xFF, c->family.operands[2].bytes);
    fill_y(c, data[0], c->family.operands[0].bytes / sizeof(float), flushes == 2);
    if (flushes) {
        fill_for_flushing(c, blocks, data);
        return;
    }
    /* Difficult values on both sides, or on one with ordinary ones on the other. */
    const uint32_t side = random_below(&c->random, 3);
    for (size_t r = 0; r < s->rows; r++)
        fill_run(c, side == 1 ? FILL_NORMAL : fill, t->index + r, type,
                 (unsigned char *)data[1] + r * s->x_stride, blocks);
    for (size_t p = 0; p < s->panels; p++)
        fill_run(c, side == 2 ? FILL_NORMAL : fill, t->index + p, type,
                 (unsigned char *)data[2] + p * s->w_stride,
                 blocks * (MXQ_PANEL_ELEMENTS / MXQ_BLOCK));
}

/* The rows of x in the order of k, dense. */
static const void *natural_rows(const struct check *c, const void *x, size_t blocks)
{
    static uint16_t natural[MOST_ROWS * MOST_BLOCKS * MXQ_BLOCK];
    for (size_t r = 0; r < c->shape.rows; r++)
        restore(c, natural + r * blocks * MXQ_BLOCK,
                (const unsigned char *)x + r * c->shape.x_stride, blocks);
    return natural;
}

static void call_gemm(const struct check *c, const struct mxq_kernels *row, void *const *data,
                      size_t blocks)
{
    static uint16_t w[MXQ_TILE_PANELS * MOST_BLOCKS * MXQ_PANEL_ELEMENTS];
    const struct check_shape *s = &c->shape;
    const enum mxq_type compute = row == c->reference ? reference_compute(c) : c->type;
    if (row != c->reference || compute == MXQ_F32) {
        row->gemm[compute](data[0], s->y_stride, data[1], s->x_stride, data[2], s->w_stride,
                           s->rows, s->panels, blocks);
        return;
    }
    for (size_t p = 0; p < s->panels; p++)
        reorder_panel(c, w + p * blocks * MXQ_PANEL_ELEMENTS,
                      (const unsigned char *)data[2] + p * s->w_stride, blocks, FROM_ROW);
    row->gemm[compute](data[0], s->y_stride, natural_rows(c, data[1], blocks),
                       blocks * MXQ_BLOCK * sizeof(uint16_t), w,
                       blocks * MXQ_PANEL_ELEMENTS * sizeof(uint16_t), s->rows, s->panels, blocks);
}

/* Room for the largest shape in any case. */
#define MOST_Y      (MOST_ROWS * (MOST_PANELS * MXQ_PANEL + MOST_GAP) * 4)
#define MOST_X      (MOST_ROWS * (MOST_BLOCKS * MXQ_BLOCK + MOST_GAP) * 4)
#define MOST_W      (MXQ_TILE_PANELS * (MOST_BLOCKS * MXQ_PANEL_ELEMENTS + MOST_GAP) * 4)
#define MOST_PACKED (MOST_PANELS * (MOST_BLOCKS * (MXQ_PANEL_ELEMENTS + MXQ_PANEL) + 64))

void check_gemm(struct check *c)
{
    c->type = (enum mxq_type)CHECK_INDEX(c, gemm);
    const size_t bytes = mxq_type_bytes(reference_compute(c));
    const struct check_family family = {
        .operands = {{"y", 0, 4, CHECK_UPDATED, 4, CHECK_NANS, .most_bytes = MOST_Y},
                     {"x", 0, bytes, CHECK_INPUT, (int)bytes, .most_bytes = MOST_X},
                     {"w", 0, bytes, CHECK_INPUT, (int)bytes, .most_bytes = MOST_W}},
        .rules = 1,
        .blocks_in_tails = MOST_BLOCKS,
        .blocks_per_fill = 150,
        .blocks_per_case = 5,
        .shape = shape_gemm,
        .fill = fill_gemm,
        .call = call_gemm,
    };
    check_run(c, &family);
}

/* ------------------------------------------ gemm_fused ---------------------------------------- */

/* The scalar kernel of what a row has in its slot. */
static enum mxq_type fused_compute(const struct check *c)
{
    return c->type == MXQ_BF16 ? (enum mxq_type)c->row->tile[MXQ_BF16].fused : MXQ_F32;
}

static void shape_fused(struct check *c)
{
    const size_t blocks = c->current.blocks;
    const size_t bytes = mxq_type_bytes(fused_compute(c));
    const size_t scales_bytes = (blocks * MXQ_PANEL + 63) / 64 * 64;
    struct check_shape *s = &c->shape;
    s->rows = some_rows(c);
    s->panels = 1 + random_below(&c->random, MOST_PANELS);
    s->y_stride = s->panels * MXQ_PANEL + some_gap(c);
    s->x_stride = (blocks * MXQ_BLOCK + some_gap(c)) * bytes;
    s->w_stride = blocks * MXQ_PANEL_ELEMENTS + scales_bytes;
    c->family.operands[0].bytes =
        ((s->rows - 1) * s->y_stride + s->panels * MXQ_PANEL) * sizeof(float);
    c->family.operands[1].bytes = (s->rows - 1) * s->x_stride + blocks * MXQ_BLOCK * bytes;
    c->family.operands[2].bytes = (s->panels - 1) * s->w_stride + blocks * MXQ_PANEL_ELEMENTS;
    c->family.operands[3].bytes = (s->panels - 1) * s->w_stride + blocks * MXQ_PANEL;
}

/* Exponents of x, and scales, that mxq_matmul()'s range guard lets pass, up to its very bounds. */
struct window {
    int x_low, x_high, mantissa_bits;
    int scale_low, scale_high;
};

static int between(struct check *c, int low, int high)
{
    return low + (int)random_below(&c->random, (uint32_t)(high - low) + 1);
}

static struct window some_window(struct check *c)
{
    static const int mantissas[] = {7, 10, 23};
    const struct mxq_element_info *e = &mxq_elements[c->element];
    const int w_low = 1 - e->bias - e->mantissa_bits, w_high = e->emax + 1;
    const int flushes = fused_compute(c) == MXQ_BF16 && c->row->tile[MXQ_BF16].flushes;
    const int least = flushes ? -126 : -149, spread = between(c, 0, 29);
    struct window w;
    w.mantissa_bits = fused_compute(c) == MXQ_BF16 ? 7 : mantissas[random_below(&c->random, 3)];
    /* Bare elements. */
    int low = MXQ_FUSED_X_LOW + w.mantissa_bits;
    if (low < least - w_low + w.mantissa_bits)
        low = least - w_low + w.mantissa_bits;
    const int high = MXQ_FUSED_X_HIGH - 1 - spread;
    const uint32_t where = random_below(&c->random, 4);
    w.x_low = where == 0   ? low
              : where == 1 ? high
              : where == 2 ? -between(c, 4, 29)
                           : between(c, low, high);
    w.x_high = w.x_low + spread;
    /* And scaled ones. */
    w.scale_low = 127 + least - (w.x_low - w.mantissa_bits) - w_low;
    w.scale_high = 127 + 127 - 5 - (w.x_high + 1) - w_high;
    if (w.scale_low < MXQ_SCALE_ORDINARY_LOW)
        w.scale_low = MXQ_SCALE_ORDINARY_LOW;
    if (w.scale_high > MXQ_SCALE_ORDINARY_HIGH)
        w.scale_high = MXQ_SCALE_ORDINARY_HIGH;
    return w;
}

static uint8_t scale_within(struct check *c, const struct window *w)
{
    const uint32_t where = random_below(&c->random, 8);
    return (uint8_t)(where == 0   ? w->scale_low
                     : where == 1 ? w->scale_high
                                  : between(c, w->scale_low, w->scale_high));
}

static void fill_fused(struct check *c, enum fill fill, const struct fill_target *t, size_t blocks,
                       void *const *data)
{
    const struct check_shape *s = &c->shape;
    const struct window w = some_window(c);
    const enum mxq_type type = fused_compute(c);
    (void)t;
    memset(data[1], 0xFF, c->family.operands[1].bytes);
    memset(data[2], 0x7F, c->family.operands[2].bytes);
    memset(data[3], 0xFF, c->family.operands[3].bytes);
    fill_y(c, data[0], c->family.operands[0].bytes / sizeof(float),
           type == MXQ_BF16 && c->row->tile[MXQ_BF16].flushes == 2);
    for (size_t r = 0; r < s->rows; r++)
        for (size_t i = 0; i < blocks * MXQ_BLOCK; i++) {
            const uint32_t bits = fill == FILL_ZERO
                                      ? random_u32(&c->random) & 0x80000000
                                      : bounded(c, w.x_low, w.x_high, w.mantissa_bits);
            oracle_store(type, (unsigned char *)data[1] + r * s->x_stride, i,
                         bits >> (type == MXQ_F32 ? 0 : 16));
        }
    for (size_t p = 0; p < s->panels; p++)
        for (size_t b = 0; b < blocks; b++) {
            fill_codes(c, fill, (uint8_t *)data[2] + p * s->w_stride + b * MXQ_PANEL_ELEMENTS);
            for (size_t n = 0; n < MXQ_PANEL; n++)
                ((uint8_t *)data[3])[p * s->w_stride + b * MXQ_PANEL + n] = scale_within(c, &w);
        }
}

static void call_fused(const struct check *c, const struct mxq_kernels *row, void *const *data,
                       size_t blocks)
{
    const struct check_shape *s = &c->shape;
    const enum mxq_type compute = row == c->reference ? fused_compute(c) : c->type;
    const void *x = data[1];
    size_t x_stride = s->x_stride;
    if (row == c->reference && compute == MXQ_BF16) {
        x = natural_rows(c, x, blocks);
        x_stride = blocks * MXQ_BLOCK * sizeof(uint16_t);
    }
    row->gemm_fused[c->element][compute](data[0], s->y_stride, x, x_stride, data[2], data[3],
                                         s->w_stride, s->rows, s->panels, blocks);
}

void check_gemm_fused(struct check *c)
{
    c->element = (enum mxq_element)(CHECK_INDEX(c, gemm_fused) / MXQ_COMPUTES);
    c->type = (enum mxq_type)(CHECK_INDEX(c, gemm_fused) % MXQ_COMPUTES);
    const size_t bytes = mxq_type_bytes(fused_compute(c));
    const struct check_family family = {
        .operands = {{"y", 0, 4, CHECK_UPDATED, 4, CHECK_NANS, .most_bytes = MOST_Y},
                     {"x", 0, bytes, CHECK_INPUT, (int)bytes, .most_bytes = MOST_X},
                     {"elements", 0, 1, CHECK_INPUT, .most_bytes = MOST_PACKED},
                     {"scales", 0, 1, CHECK_INPUT, .most_bytes = MOST_PACKED}},
        .rules = 1,
        .blocks_in_tails = MOST_BLOCKS,
        .blocks_per_fill = 150,
        .blocks_per_case = 5,
        .shape = shape_fused,
        .fill = fill_fused,
        .call = call_fused,
    };
    check_run(c, &family);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* check_gemm.c -- conformance of the GEMM: panel, gemm, gemm_fused. */
#include <string.h>

#include "check.h"
#include "oracle.h"

/* Whether a row's BF16 slots hold kernels of a BF16 unit; else they hold its F32 kernels. */
static int has_bf16(const struct check *c)
{
    return c->row->tile[MXQ_BF16].x_bytes == 2 * MXQ_BLOCK;
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

/* Some units take unpacked integers as int16, in pairs of k, without corrections. */
static int has_int16(const struct check *c)
{
    return c->row->tile[MXQ_COMPUTE_INT8].w_bytes == MXQ_INT16_W_BYTES;
}

/* A sub-block of a panel of integers into the order of the row under test. */
static void reorder_integers(const struct check *c, void *to, const void *from)
{
    const unsigned char *bytes = from;
    if (!has_int16(c)) {
        memcpy(to, from, MXQ_INT8_W_BYTES);
        return;
    }
    for (size_t k = 0; k < MXQ_BLOCK; k++)
        for (size_t n = 0; n < MXQ_PANEL; n++) {
            const int16_t wide = (int8_t)bytes[(k / 4 * MXQ_PANEL + n) * 4 + k % 4];
            memcpy((unsigned char *)to + 2 * place_of(k, n), &wide, sizeof wide);
        }
    memcpy((unsigned char *)to + 2 * MXQ_PANEL_ELEMENTS,
           bytes + MXQ_INT8_W_BYTES - MXQ_PANEL * sizeof(float), MXQ_PANEL * sizeof(float));
}

static size_t element_bytes(const struct check *c)
{
    return mxq_packed_elements[c->packed].element_bytes;
}

static size_t scale_bytes(const struct check *c)
{
    return mxq_packed_elements[c->packed].scale_bytes;
}

/* One byte of codes of a kind: of one code, or of two of E2M1. */
static uint8_t some_codes(struct check *c, enum fill fill, uint8_t random)
{
    const struct mxq_element_info *e = &mxq_elements[c->element];
    const int is_integer = e->kind == MXQ_INTEGER;
    const unsigned both = e->bits == 4 ? 0x11 : 1; /* a lowest bit of each code */
    const unsigned signs = is_integer ? 0 : both << (e->bits - 1);
    if (fill == FILL_ZERO)
        return 0;
    if (fill == FILL_SIGNED_ZERO)
        return (uint8_t)(random & signs);
    if (fill == FILL_WIDE_SUBNORMAL || fill == FILL_ELEMENT_SUBNORMAL)
        return (uint8_t)(is_integer ? random % 3u - 1
                                    : (random & signs) |
                                          (random & (both * ((1u << e->mantissa_bits) - 1))));
    if (fill == FILL_SATURATION)
        return (uint8_t)(is_integer ? 127 + random % 3u /* to -127 */
                                    : (random & signs) | both * e->max_code);
    const int is_special = e->bits == 8 && !is_integer && (random & 0x7F) > e->max_code;
    return (uint8_t)(is_special ? random & 0x80u : random);
}

/* Codes of one sub-block of a panel. */
static void fill_codes(struct check *c, enum fill fill, uint8_t *elements)
{
    for (size_t i = 0; i < element_bytes(c); i++)
        elements[i] = some_codes(c, fill, (uint8_t)random_u32(&c->random));
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

/* NVFP4 takes any scale that is a number. */
static uint8_t some_scale(struct check *c)
{
    static const uint8_t chosen[] = {0, 1, 7, 8, 9, 0x38, 0x7D, 0x7E};
    if (c->packed != MXQ_PACKED_NVFP4)
        return ordinary_scale(c);
    return random_below(&c->random, 4) ? (uint8_t)random_below(&c->random, 0x7F)
                                       : chosen[random_below(&c->random, sizeof chosen)];
}

/* Every code under every ordinary scale, in each lane. */
static void fill_every_code(struct check *c, uint64_t index, uint8_t *elements, uint8_t *scales)
{
    const int is_nvfp4 = c->packed == MXQ_PACKED_NVFP4;
    const unsigned first = is_nvfp4 ? 0 : MXQ_SCALE_ORDINARY_LOW;
    const unsigned count = is_nvfp4 ? 0x7F : MXQ_SCALE_ORDINARY_HIGH - first + 1;
    const size_t pair_bytes = element_bytes(c) / (MXQ_BLOCK / 2), bytes = pair_bytes / MXQ_PANEL;
    memset(scales, (int)(first + index % count), scale_bytes(c));
    for (size_t i = 0; i < element_bytes(c); i++) {
        const size_t k = i / pair_bytes * bytes + i % bytes, n = i / bytes % MXQ_PANEL;
        const size_t step = MXQ_BLOCK / 2 * bytes;
        elements[i] = some_codes(c, FILL_EVERY, (uint8_t)(k + step * (index / count) + 7 * n));
    }
}

static void fill_panel(struct check *c, enum fill fill, const struct fill_target *t, size_t blocks,
                       void *const *data)
{
    uint8_t *elements = data[1], *scales = data[2];
    for (size_t b = 0; b < blocks; b++, elements += element_bytes(c), scales += scale_bytes(c)) {
        if (fill == FILL_EVERY) {
            fill_every_code(c, t->index + b, elements, scales);
            continue;
        }
        fill_codes(c, fill, elements);
        for (size_t n = 0; n < scale_bytes(c); n++)
            scales[n] = some_scale(c);
    }
}

/* The compute type of what a row has in its slot, as an index of the scalar row's. */
static size_t reference_compute(const struct check *c)
{
    return c->compute == MXQ_BF16 && !has_bf16(c) ? MXQ_F32 : c->compute;
}

/* Bytes of the values that a compute type is made of. */
static size_t value_bytes(size_t compute)
{
    return compute == MXQ_F32 ? 4 : compute == MXQ_BF16 ? 2 : 1;
}

/* Of a sub-block of a panel as the row under test has it. */
static size_t w_bytes(const struct check *c)
{
    const size_t own = c->row->tile[MXQ_COMPUTE_INT8].w_bytes;
    if (c->compute == MXQ_COMPUTE_INT8)
        return own ? own : MXQ_INT8_W_BYTES;
    return MXQ_PANEL_ELEMENTS * value_bytes(reference_compute(c));
}

static size_t x_bytes(size_t compute)
{
    return compute == MXQ_COMPUTE_INT8 ? MXQ_INT8_X_BYTES : MXQ_BLOCK * value_bytes(compute);
}

/* INT8 comes with factors. */
static int alignment_of(size_t compute)
{
    return compute == MXQ_BF16 ? 2 : 4;
}

static void call_panel(const struct check *c, const struct mxq_kernels *row, void *const *data,
                       size_t blocks)
{
    const size_t compute = row == c->reference ? reference_compute(c) : c->compute;
    mxq_panel_fn *panel = row->panel[c->packed][compute];
    if (row == c->reference && compute != MXQ_F32)
        for (size_t b = 0; b < blocks; b++) { /* one after the other, for want of room */
            uint16_t natural[MXQ_PANEL_ELEMENTS] __attribute__((aligned(4)));
            unsigned char *to = (unsigned char *)data[0] + b * w_bytes(c);
            panel(natural, (uint8_t *)data[1] + b * element_bytes(c),
                  (uint8_t *)data[2] + b * scale_bytes(c), 1);
            if (compute == MXQ_BF16)
                reorder_panel(c, to, natural, 1, TO_ROW);
            else
                reorder_integers(c, to, natural);
        }
    else
        panel(data[0], data[1], data[2], blocks);
}

static void take_packed_element(struct check *c, size_t packed)
{
    c->packed = (enum mxq_packed_element)packed;
    c->element = mxq_packed_elements[packed].element;
}

void check_panel(struct check *c)
{
    take_packed_element(c, CHECK_INDEX(c, panel) / MXQ_COMPUTES);
    c->compute = CHECK_INDEX(c, panel) % MXQ_COMPUTES;
    const size_t compute = reference_compute(c);
    const struct check_family family = {
        .operands = {{"w", w_bytes(c), value_bytes(compute), CHECK_OUTPUT, alignment_of(compute)},
                     {"elements", element_bytes(c), 1, CHECK_INPUT},
                     {"scales", scale_bytes(c), 1, CHECK_INPUT}},
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
    const size_t compute = reference_compute(c), blocks = c->current.blocks;
    const size_t unit = (size_t)alignment_of(compute), most = c->row->tile[c->compute].panels;
    struct check_shape *s = &c->shape;
    s->rows = some_rows(c);
    /* Without an integer unit, a row has the scalar kernel in its slot, and says nothing of it. */
    s->panels = 1 + random_below(&c->random, (uint32_t)(most ? most : 1));
    s->y_stride = s->panels * MXQ_PANEL + some_gap(c);
    s->x_stride = blocks * x_bytes(compute) + some_gap(c) * unit;
    s->w_stride = blocks * w_bytes(c) + some_gap(c) * unit;
    c->family.operands[0].bytes =
        ((s->rows - 1) * s->y_stride + s->panels * MXQ_PANEL) * sizeof(float);
    c->family.operands[1].bytes = (s->rows - 1) * s->x_stride + blocks * x_bytes(compute);
    c->family.operands[2].bytes = (s->panels - 1) * s->w_stride + blocks * w_bytes(c);
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

static void store_f32(unsigned char *p, uint32_t bits)
{
    memcpy(p, &bits, sizeof bits);
}

/* How large integers are: any, as large as they come, or these of one sign. */
enum extent { ANY_EXTENT, LARGE, LARGE_ALIKE, EXTENTS };

static uint8_t some_integer(struct check *c, enum extent extent, int offset)
{
    static const int large[] = {-128, -127, 127};
    const uint32_t bits = random_u32(&c->random);
    return extent == ANY_EXTENT ? (uint8_t)bits
           : extent == LARGE    ? (uint8_t)(large[bits % 3] + offset)
                                : (uint8_t)(large[bits % 2] + offset);
}

/* Factors that are 1, but for a few, or powers of two, or any. */
static void store_factor(struct check *c, unsigned char *p, int mantissa_bits)
{
    const int is_unit = mantissa_bits < 0 && random_below(&c->random, 2000);
    store_f32(p, is_unit ? 0x3F800000 : bounded(c, -30, 30, mantissa_bits < 0 ? 0 : mantissa_bits));
}

/* Sums up to and beyond those to which F32 adds integers exactly. */
static void fill_integer_y(struct check *c, float *y, size_t values)
{
    static const float special[] = {-0.0F, 0.5F, 0x1p31F, -0x1p31F, 0x1p40F, 0x1.8p22F + 0.5F};
    const float most = random_below(&c->random, 3) ? 0x1p23F : 0x1p24F;
    const uint32_t kind = random_below(&c->random, 4);
    for (size_t i = 0; i < values; i++) {
        const float any = (float)random_below(&c->random, 1u << 25) - 0x1p24F;
        const float near = most + (float)random_below(&c->random, 3) - 1;
        y[i] = kind == 0 ? 0 : kind == 1 ? any / 2 : random_below(&c->random, 2) ? near : -near;
        if (random_below(&c->random, 400) == 0)
            y[i] = special[random_below(&c->random, sizeof special / sizeof *special)];
    }
}

static void fill_x_integers(struct check *c, enum extent extent, int bits, unsigned char *x)
{
    for (size_t k = 0; k < MXQ_BLOCK; k++) {
        const uint8_t any = some_integer(c, extent, 128);
        x[k] = any ? any : 1; /* no -128 */
    }
    store_factor(c, x + MXQ_BLOCK, bits);
}

static void store_corrections(unsigned char *w)
{
    int32_t sums[MXQ_PANEL] = {0};
    for (size_t k = 0; k < MXQ_PANEL_ELEMENTS; k++)
        sums[k / 4 % MXQ_PANEL] += (int8_t)w[k];
    for (size_t n = 0; n < MXQ_PANEL; n++)
        store_f32(w + MXQ_PANEL_ELEMENTS + 4 * n, (uint32_t)(-128 * sums[n]));
}

static void fill_w_integers(struct check *c, enum extent extent, int bits, unsigned char *w)
{
    unsigned char natural[MXQ_INT8_W_BYTES];
    for (size_t k = 0; k < MXQ_PANEL_ELEMENTS; k++)
        natural[k] = some_integer(c, extent, 0);
    store_corrections(natural);
    for (size_t n = 0; n < MXQ_PANEL; n++)
        store_factor(c, natural + MXQ_PANEL_ELEMENTS + 4 * (MXQ_PANEL + n), bits);
    reorder_integers(c, w, natural);
}

/* Integers of the row under test as the scalar kernel has them. */
static void restore_integers(const struct check *c, unsigned char *to, const unsigned char *from)
{
    const size_t factors = MXQ_PANEL * sizeof(float);
    if (!has_int16(c)) {
        memcpy(to, from, MXQ_INT8_W_BYTES);
        return;
    }
    for (size_t k = 0; k < MXQ_BLOCK; k++)
        for (size_t n = 0; n < MXQ_PANEL; n++) {
            int16_t wide;
            memcpy(&wide, from + 2 * place_of(k, n), sizeof wide);
            to[(k / 4 * MXQ_PANEL + n) * 4 + k % 4] = (unsigned char)wide;
        }
    store_corrections(to);
    memcpy(to + MXQ_INT8_W_BYTES - factors, from + MXQ_INT16_W_BYTES - factors, factors);
}

static void fill_integers(struct check *c, enum fill fill, size_t blocks, void *const *data)
{
    static const int mantissas[] = {-1, -1, 0, 23};
    const struct check_shape *s = &c->shape;
    const int bits = mantissas[random_below(&c->random, 4)];
    const enum extent extent =
        fill == FILL_SATURATION ? LARGE : (enum extent)random_below(&c->random, EXTENTS);
    if (bits < 0)
        fill_integer_y(c, data[0], c->family.operands[0].bytes / sizeof(float));
    for (size_t i = 0; i < s->rows * blocks; i++)
        fill_x_integers(c, extent, bits,
                        (unsigned char *)data[1] + i / blocks * s->x_stride +
                            i % blocks * MXQ_INT8_X_BYTES);
    for (size_t i = 0; i < s->panels * blocks; i++)
        fill_w_integers(c, extent, bits,
                        (unsigned char *)data[2] + i / blocks * s->w_stride +
                            i % blocks * w_bytes(c));
    if (fill == FILL_ZERO)
        for (size_t r = 0; r < s->rows; r++)
            for (size_t b = 0; b < blocks; b++)
                memset((unsigned char *)data[1] + r * s->x_stride + b * MXQ_INT8_X_BYTES, 128,
                       MXQ_BLOCK);
}

static void fill_gemm(struct check *c, enum fill fill, const struct fill_target *t, size_t blocks,
                      void *const *data)
{
    const struct check_shape *s = &c->shape;
    const enum mxq_type type = (enum mxq_type)reference_compute(c);
    const int flushes = type == MXQ_BF16 ? c->row->tile[MXQ_BF16].flushes : 0;
    /* What lies between rows would spoil every sum. */
    memset(data[1], 0xFF, c->family.operands[1].bytes);
    memset(data[2], 0xFF, c->family.operands[2].bytes);
    fill_y(c, data[0], c->family.operands[0].bytes / sizeof(float), flushes == 2);
    if (c->compute == MXQ_COMPUTE_INT8) {
        fill_integers(c, fill, blocks, data);
        return;
    }
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

/* The panels of w in the order of the scalar row, dense. */
static const void *natural_panels(const struct check *c, const void *w, size_t blocks)
{
    static uint16_t natural[MXQ_TILE_PANELS * MOST_BLOCKS * MXQ_PANEL_ELEMENTS]
        __attribute__((aligned(4)));
    for (size_t p = 0; p < c->shape.panels; p++) {
        const unsigned char *from = (const unsigned char *)w + p * c->shape.w_stride;
        if (c->compute == MXQ_BF16) {
            reorder_panel(c, natural + p * blocks * MXQ_PANEL_ELEMENTS, from, blocks, FROM_ROW);
            continue;
        }
        for (size_t b = 0; b < blocks; b++)
            restore_integers(c, (unsigned char *)natural + (p * blocks + b) * MXQ_INT8_W_BYTES,
                             from + b * w_bytes(c));
    }
    return natural;
}

static void call_gemm(const struct check *c, const struct mxq_kernels *row, void *const *data,
                      size_t blocks)
{
    const struct check_shape *s = &c->shape;
    const size_t compute = row == c->reference ? reference_compute(c) : c->compute;
    const void *x = data[1], *w = data[2];
    size_t x_stride = s->x_stride, w_stride = s->w_stride;
    if (row == c->reference && compute != MXQ_F32) {
        w = natural_panels(c, data[2], blocks);
        w_stride = blocks *
                   (compute == MXQ_BF16 ? MXQ_PANEL_ELEMENTS * sizeof(uint16_t) : MXQ_INT8_W_BYTES);
    }
    if (row == c->reference && compute == MXQ_BF16) {
        x = natural_rows(c, data[1], blocks);
        x_stride = blocks * MXQ_BLOCK * sizeof(uint16_t);
    }
    row->gemm[compute](data[0], s->y_stride, x, x_stride, w, w_stride, s->rows, s->panels, blocks);
}

/* Room for the largest shape in any case. */
#define MOST_Y      (MOST_ROWS * (MOST_PANELS * MXQ_PANEL + MOST_GAP) * 4)
#define MOST_X      (MOST_ROWS * (MOST_BLOCKS * MXQ_BLOCK + MOST_GAP) * 4)
#define MOST_W      (MXQ_TILE_PANELS * (MOST_BLOCKS * MXQ_PANEL_ELEMENTS + MOST_GAP) * 4)
#define MOST_PACKED (MOST_PANELS * (MOST_BLOCKS * (MXQ_PANEL_ELEMENTS + MXQ_PANEL) + 64))

void check_gemm(struct check *c)
{
    c->compute = CHECK_INDEX(c, gemm);
    const size_t bytes = value_bytes(reference_compute(c));
    const int alignment = alignment_of(reference_compute(c));
    const struct check_family family = {
        .operands = {{"y", 0, 4, CHECK_UPDATED, 4, CHECK_NANS, .most_bytes = MOST_Y},
                     {"x", 0, bytes, CHECK_INPUT, alignment, .most_bytes = MOST_X},
                     {"w", 0, bytes, CHECK_INPUT, alignment, .most_bytes = MOST_W}},
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
    return c->compute == MXQ_BF16 ? (enum mxq_type)c->row->tile[MXQ_BF16].fused : MXQ_F32;
}

static void shape_fused(struct check *c)
{
    const size_t blocks = c->current.blocks;
    const size_t bytes = mxq_type_bytes(fused_compute(c));
    const size_t scales_bytes = (blocks * scale_bytes(c) + 63) / 64 * 64;
    struct check_shape *s = &c->shape;
    s->rows = some_rows(c);
    s->panels = 1 + random_below(&c->random, MOST_PANELS);
    s->y_stride = s->panels * MXQ_PANEL + some_gap(c);
    s->x_stride = (blocks * MXQ_BLOCK + some_gap(c)) * bytes;
    s->w_stride = blocks * element_bytes(c) + scales_bytes;
    c->family.operands[0].bytes =
        ((s->rows - 1) * s->y_stride + s->panels * MXQ_PANEL) * sizeof(float);
    c->family.operands[1].bytes = (s->rows - 1) * s->x_stride + blocks * MXQ_BLOCK * bytes;
    c->family.operands[2].bytes = (s->panels - 1) * s->w_stride + blocks * element_bytes(c);
    c->family.operands[3].bytes = (s->panels - 1) * s->w_stride + blocks * scale_bytes(c);
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

/* Every magnitude of an element is a multiple of 2^low, and below 2^high; of NVFP4, times the mantissa of a scale
 * and the quotient of the powers of two of two scales. */
struct exponents {
    int low, high;
};

static struct exponents exponents_of_elements(const struct check *c)
{
    const struct mxq_element_info *e = &mxq_elements[c->element];
    if (e->kind == MXQ_INTEGER)
        return (struct exponents){e->emax - e->mantissa_bits, e->emax + 2}; /* -128 */
    const struct exponents bare = {1 - e->bias - e->mantissa_bits, e->emax + 1};
    const struct exponents scaled = {bare.low - 3 - 17, bare.high + 1 + 17};
    return c->packed == MXQ_PACKED_NVFP4 ? scaled : bare;
}

static struct window some_window(struct check *c)
{
    static const int mantissas[] = {7, 10, 23};
    const struct exponents e = exponents_of_elements(c);
    const int w_low = e.low, w_high = e.high;
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
            fill_codes(c, fill, (uint8_t *)data[2] + p * s->w_stride + b * element_bytes(c));
            for (size_t n = 0; n < scale_bytes(c); n++)
                ((uint8_t *)data[3])[p * s->w_stride + b * scale_bytes(c) + n] =
                    c->packed == MXQ_PACKED_NVFP4 ? some_scale(c) : scale_within(c, &w);
        }
}

static void call_fused(const struct check *c, const struct mxq_kernels *row, void *const *data,
                       size_t blocks)
{
    const struct check_shape *s = &c->shape;
    const size_t compute = row == c->reference ? (size_t)fused_compute(c) : c->compute;
    const void *x = data[1];
    size_t x_stride = s->x_stride;
    if (row == c->reference && compute == MXQ_BF16) {
        x = natural_rows(c, x, blocks);
        x_stride = blocks * MXQ_BLOCK * sizeof(uint16_t);
    }
    row->gemm_fused[c->packed][compute](data[0], s->y_stride, x, x_stride, data[2], data[3],
                                        s->w_stride, s->rows, s->panels, blocks);
}

void check_gemm_fused(struct check *c)
{
    take_packed_element(c, CHECK_INDEX(c, gemm_fused) / MXQ_FLOAT_COMPUTES);
    c->compute = CHECK_INDEX(c, gemm_fused) % MXQ_FLOAT_COMPUTES;
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

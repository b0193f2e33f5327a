/* SPDX-License-Identifier: Apache-2.0 */
/* check_block.c -- conformance of what formats beyond the one-pass kernel need: amax_8, amax_16, amax_all, columns, mse,
 * quotient, pack_by, unpack_by, scale_by, encode, measure. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "scalar/wide.h"

/* Writes `blocks` blocks of 32 values of a type. */
static void fill_wide(struct check *c, enum fill fill, const struct fill_target *t,
                      enum mxq_type type, size_t blocks, void *x)
{
    struct fill_target target = *t;
    target.type = type;
    for (size_t b = 0; b < blocks; b++, target.index++) {
        target.scale = fill_scale_for(&c->random, fill, target.index);
        fill_block(&c->random, fill, &target, (char *)x + b * MXQ_BLOCK * mxq_type_bytes(type));
    }
}

/* Ordinary factors, and the odd special value. */
static void fill_factors(struct check *c, size_t count, float *factors)
{
    static const uint32_t special[] = {0,          1,          0x00400000, 0x00800000, 0x3F800000,
                                       0x7F000000, 0x7F7FFFFF, 0x7F800000, 0x7FC00000, 0x80000000};
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = (64 + random_below(&c->random, 128)) << 23;
        if (random_below(&c->random, 2))
            bits |= random_u32(&c->random) >> 9;
        if (random_below(&c->random, 16) == 0)
            bits = special[random_below(&c->random, sizeof special / sizeof *special)];
        memcpy(&factors[i], &bits, sizeof bits);
    }
}

/* --------------------------------- amax_8, amax_16, amax_all ---------------------------------- */

static void fill_amax_8(struct check *c, enum fill fill, const struct fill_target *t, size_t blocks,
                        void *const *data)
{
    fill_wide(c, fill, t, c->type, blocks, data[1]);
}

#define CALL_AMAX(family)                                                                          \
    static void call_##family(const struct check *c, const struct mxq_kernels *row,                \
                              void *const *data, size_t blocks)                                    \
    {                                                                                              \
        row->family[c->type](data[0], data[1], blocks, blocks & 1 ? mxq_ahead(c->type) : 0);       \
    }
CALL_AMAX(amax_8)
CALL_AMAX(amax_16)
CALL_AMAX(amax_all)

/* `block_bytes` of results for each block, or `bytes` for all. */
static void check_amax_of(struct check *c, size_t block_bytes, size_t bytes,
                          void (*call)(const struct check *c, const struct mxq_kernels *row,
                                       void *const *data, size_t blocks))
{
    const size_t type_bytes = mxq_type_bytes(c->type);
    const struct check_family family = {
        .operands = {{"amax", block_bytes, 4, CHECK_OUTPUT, 4, .bytes = bytes},
                     {"x", MXQ_BLOCK * type_bytes, type_bytes, CHECK_INPUT}},
        .rules = 1,
        .every_rounds = 1,
        .fill = fill_amax_8,
        .call = call,
    };
    check_run(c, &family);
}

void check_amax_8(struct check *c)
{
    c->type = (enum mxq_type)CHECK_INDEX(c, amax_8);
    check_amax_of(c, 16, 0, call_amax_8);
}

void check_amax_16(struct check *c)
{
    c->type = (enum mxq_type)CHECK_INDEX(c, amax_16);
    check_amax_of(c, 8, 0, call_amax_16);
}

void check_amax_all(struct check *c)
{
    c->type = (enum mxq_type)CHECK_INDEX(c, amax_all);
    check_amax_of(c, 0, 4, call_amax_all);
}

/* ------------------------------------------- columns ------------------------------------------ */

#define GROUP       16 /* columns; a "block" of this family's cases is a group */
#define MOST_GROUPS 67
#define MOST_GAP    24

static size_t code_bytes(const struct check *c)
{
    return mxq_code_bytes(&mxq_elements[c->element], MXQ_BLOCK);
}

static void shape_columns(struct check *c)
{
    struct check_shape *s = &c->shape;
    const size_t columns = c->current.blocks * GROUP;
    s->x_stride = columns + random_below(&c->random, MOST_GAP);
    s->y_stride = code_bytes(c) + random_below(&c->random, MOST_GAP);
    s->w_stride = 1 + random_below(&c->random, 4);
    const size_t last = columns ? columns - 1 : 0;
    c->family.operands[0].bytes = columns ? last * s->y_stride + code_bytes(c) : 0;
    c->family.operands[1].bytes = columns ? last * s->w_stride + 1 : 0;
    c->family.operands[2].bytes =
        columns ? ((MXQ_BLOCK - 1) * s->x_stride + columns) * mxq_type_bytes(c->type) : 0;
}

/* Blocks that are difficult as rows, laid down as columns. */
static void fill_columns(struct check *c, enum fill fill, const struct fill_target *t,
                         size_t blocks, void *const *data)
{
    const size_t bytes = mxq_type_bytes(c->type);
    struct fill_target target = *t;
    unsigned char column[MXQ_BLOCK * 4];
    memset(data[0], 0xAA, c->family.operands[0].bytes);
    memset(data[1], 0xAA, c->family.operands[1].bytes);
    memset(data[2], 0, c->family.operands[2].bytes);
    for (size_t i = 0; i < blocks * GROUP; i++) {
        fill_wide(c, fill, &target, c->type, 1, column);
        target.index++;
        for (size_t r = 0; r < MXQ_BLOCK; r++)
            memcpy((char *)data[2] + (r * c->shape.x_stride + i) * bytes, column + r * bytes,
                   bytes);
    }
}

static void call_columns(const struct check *c, const struct mxq_kernels *row, void *const *data,
                         size_t blocks)
{
    /* Beyond x is no memory. */
    const struct mxq_ahead ahead = {data[2], c->shape.x_stride, 8, 4};
    row->columns[c->element][c->type](data[0], c->shape.y_stride, data[1], c->shape.w_stride,
                                      data[2], c->shape.x_stride, blocks, &c->rule,
                                      blocks % 2 ? &ahead : NULL);
}

void check_columns(struct check *c)
{
    c->element = (enum mxq_element)(CHECK_INDEX(c, columns) / MXQ_TYPES);
    c->type = (enum mxq_type)(CHECK_INDEX(c, columns) % MXQ_TYPES);
    const size_t bytes = mxq_type_bytes(c->type), columns = MOST_GROUPS * GROUP;
    const struct check_family family = {
        .operands = {{"elements", 0, 1, CHECK_UPDATED,
                      .most_bytes = columns * (code_bytes(c) + MOST_GAP)},
                     {"scale", 0, 1, CHECK_UPDATED, .most_bytes = columns * 4},
                     {"x", 0, bytes, CHECK_INPUT,
                      .most_bytes = MXQ_BLOCK * (columns + MOST_GAP) * bytes}},
        .rules = 2,
        .blocks_in_tails = 9,
        .blocks_per_fill = 32,
        .blocks_per_case = 8,
        .shape = shape_columns,
        .fill = fill_columns,
        .call = call_columns,
    };
    check_run(c, &family);
}

/* --------------------------------------------- mse -------------------------------------------- */

/* Makes a block of ordinary values but for the first: that has the magnitude from which on the larger scale is
 * the better one, or one nearby.  There the errors of both are as good as equal. */
static void fill_balanced(struct check *c, uint8_t scale, float *block)
{
    const struct mxq_element_info *e = &mxq_elements[c->element];
    const float unit = ldexpf(1, (int)scale - 127);
    float low = unit * e->max, high = unit * ldexpf(1, e->emax + 1);
    for (size_t i = 0; i < MXQ_BLOCK; i++) {
        const int exponent = e->emax - (int)random_below(&c->random, 6);
        block[i] =
            ldexpf(unit * (float)(0x800000 + random_below(&c->random, 0x600000)), exponent - 23);
    }
    while (nextafterf(low, high) < high) {
        uint8_t chosen = scale;
        *block = low + (high - low) / 2;
        mxq_kernels_scalar.mse[c->element](&chosen, block, 1);
        *(chosen > scale ? &high : &low) = *block;
    }
    *block = random_below(&c->random, 2) ? low : high;
}

static void fill_mse(struct check *c, enum fill fill, const struct fill_target *t, size_t blocks,
                     void *const *data)
{
    const struct mxq_scale_rule rule = mxq_scale_rule(c->element, MXQ_SCALE_FLOOR);
    uint8_t *scale = data[0];
    fill_wide(c, fill, t, MXQ_F32, blocks, data[1]);
    for (size_t b = 0; b < blocks; b++) {
        uint32_t amax;
        mxq_kernels_scalar.amax[MXQ_F32](&amax, (const float *)data[1] + b * MXQ_BLOCK, 1, 0);
        mxq_kernels_scalar.scale[MXQ_E8M0](scale + b, &amax, 1, &rule);
        if (random_below(&c->random, 16) == 0)
            scale[b] = fill_scale(&c->random);
        else if (random_below(&c->random, 4) == 0) {
            scale[b] = (uint8_t)(32 + random_below(&c->random, 192));
            fill_balanced(c, scale[b], (float *)data[1] + b * MXQ_BLOCK);
        }
    }
}

static void call_mse(const struct check *c, const struct mxq_kernels *row, void *const *data,
                     size_t blocks)
{
    row->mse[c->element](data[0], data[1], blocks);
}

void check_mse(struct check *c)
{
    c->element = (enum mxq_element)CHECK_INDEX(c, mse);
    c->type = MXQ_F32;
    const struct check_family family = {
        .operands = {{"scale", 1, 1, CHECK_UPDATED}, {"x", MXQ_BLOCK * 4, 4, CHECK_INPUT, 4}},
        .rules = 1,
        .every_rounds = 1,
        .fill = fill_mse,
        .call = call_mse,
    };
    check_run(c, &family);
}

/* ------------------------------------------ quotient ------------------------------------------ */

/* A "block" of this family's cases is MXQ_QUOTIENTS of them. */
static const struct mxq_quotient_rule quotient_rules[] = {
    {MXQ_F32_SCALE, 448, 1, 0, 0, 0},        {MXQ_F32_SCALE, 127, 1, 1, 0, 0},
    {MXQ_F32_SCALE, 448, 1, 0, 1, 0},        {MXQ_F32_SCALE, 127, 1, 1, 1, 0},
    {MXQ_BF16_SCALE, 28, 1, 0, 0, 0},        {MXQ_BF16_SCALE, 448, 1, 1, 1, 0},
    {MXQ_F16_SCALE, 127, 1, 0, 1, 0},        {MXQ_F16_SCALE, 7.5F, 1, 0, 0, 0},
    {MXQ_F16_SCALE, 6, 1, 1, 0, 0},          {MXQ_E4M3_SCALE, 6, 1, 0, 0, 0},
    {MXQ_E4M3_SCALE, 6, 0x1.8p-9F, 0, 0, 0}, {MXQ_E4M3_SCALE, 6, 0x1.8p-9F, 0, 0, 1},
    {MXQ_E4M3_SCALE, 6, 0x1p-120F, 0, 0, 0}, {MXQ_E4M3_SCALE, 6, 0x1p-140F, 0, 0, 1},
    {MXQ_E4M3_SCALE, 6, 0, 0, 0, 0},         {MXQ_E4M3_SCALE, 6, 0, 0, 0, 1},
    {MXQ_E4M3_SCALE, 6, NAN, 0, 0, 0},       {MXQ_E4M3_SCALE, 6, NAN, 0, 0, 1},
};

static void shape_quotient(struct check *c)
{
    c->shape.variant =
        (int)random_below(&c->random, sizeof quotient_rules / sizeof *quotient_rules);
    c->family.operands[0].bytes =
        c->current.blocks * MXQ_QUOTIENTS * mxq_scale_bytes(quotient_rules[c->shape.variant].scale);
}

/* Results of any amax, and such as lie near what the rule takes to a value that its type has. */
static void fill_quotient(struct check *c, enum fill fill, const struct fill_target *t,
                          size_t blocks, void *const *data)
{
    static const uint32_t special[] = {0,          1,          0x00000003, 0x00400000, 0x007FFFFF,
                                       0x00800000, 0x7F000000, 0x7F7FFFFF, 0x7F800000, 0x7FC00000};
    const struct mxq_quotient_rule *rule = &quotient_rules[c->shape.variant];
    uint32_t *amax = data[2];
    (void)fill;
    (void)t;
    for (size_t i = 0; i < blocks * MXQ_QUOTIENTS; i++) {
        const float step = (float)random_below(&c->random, 256) * rule->max;
        const float near = rule->scale == MXQ_E4M3_SCALE ? step * rule->tensor : step;
        switch (random_below(&c->random, 4)) {
        case 0: /* any magnitude, NaNs canonical */
            amax[i] = random_u32(&c->random) & 0x7FFFFFFF;
            if (amax[i] > 0x7F800000)
                amax[i] = 0x7FC00000;
            break;
        case 1:
            amax[i] = special[random_below(&c->random, sizeof special / sizeof *special)];
            break;
        default:
            memcpy(&amax[i], &near, sizeof near);
            amax[i] += amax[i] && amax[i] < 0x7F000000 ? random_below(&c->random, 3) : 0;
            if (amax[i] > 0x7F800000)
                amax[i] = 0x7FC00000;
        }
    }
}

static void call_quotient(const struct check *c, const struct mxq_kernels *row, void *const *data,
                          size_t blocks)
{
    row->quotient[0](data[0], data[1], data[2], blocks * MXQ_QUOTIENTS,
                     &quotient_rules[c->shape.variant]);
}

void check_quotient(struct check *c)
{
    c->type = MXQ_F32;
    const struct check_family family = {
        .operands = {{"scales", 0, 1, CHECK_OUTPUT, .most_bytes = 4096 * MXQ_QUOTIENTS},
                     {"by", 4 * MXQ_QUOTIENTS, 4, CHECK_OUTPUT, 4},
                     {"amax", 4 * MXQ_QUOTIENTS, 4, CHECK_INPUT, 4}},
        .rules = 1,
        .every_rounds = 1,
        .shape = shape_quotient,
        .fill = fill_quotient,
        .call = call_quotient,
    };
    check_run(c, &family);
}

/* -------------------------------- pack_by, unpack_by, scale_by -------------------------------- */

static struct mxq_factors factors_of(const struct check *c, const void *value)
{
    static const unsigned shifts[] = {3, 4, 5, 6, 7, 63};
    static const struct mxq_factors ways[] = {
        {NULL, 0, 0, 0, 0},
        {NULL, 0, 1, 0, 0},
        {NULL, 0, 1, 0x00800000, 0x7F7FFFFF},
        {NULL, 0, 1, 0x3F800010, 0x3F800030},
    };
    struct mxq_factors by = ways[c->shape.variant % 4];
    by.value = value;
    by.shift = shifts[c->shape.variant / 4];
    return by;
}

/* A shift, and whether to divide and what is known; so many factors as there are blocks of that length. */
static void shape_factors(struct check *c)
{
    c->shape.variant = (int)random_below(&c->random, 24);
    const size_t values = c->current.blocks * MXQ_BLOCK;
    c->family.operands[2].bytes =
        values ? 4 * (((values - 1) >> factors_of(c, NULL).shift) + 1) : 0;
}

static void fill_scaling(struct check *c, enum fill fill, const struct fill_target *t,
                         size_t blocks, void *const *data)
{
    fill_wide(c, fill, t, c->type, blocks, data[1]);
    fill_factors(c, c->family.operands[2].bytes / 4, data[2]);
}

static void call_scale_by(const struct check *c, const struct mxq_kernels *row, void *const *data,
                          size_t blocks)
{
    const struct mxq_factors by = factors_of(c, data[2]);
    row->scale_by[c->type](data[0], data[1], &by, blocks);
}

#define FACTOR_OPERAND                                                                             \
    {                                                                                              \
        "factor", 0, 4, CHECK_INPUT, 4, .most_bytes = 65536                                        \
    }

void check_scale_by(struct check *c)
{
    c->type = (enum mxq_type)CHECK_INDEX(c, scale_by);
    const size_t bytes = mxq_type_bytes(c->type);
    const struct check_family family = {
        .operands = {{"v", MXQ_BLOCK * 4, 4, CHECK_OUTPUT, 4, CHECK_NANS},
                     {"x", MXQ_BLOCK * bytes, bytes, CHECK_INPUT},
                     FACTOR_OPERAND},
        .rules = 1,
        .every_rounds = 1,
        .shape = shape_factors,
        .fill = fill_scaling,
        .call = call_scale_by,
    };
    check_run(c, &family);
}

/* Makes true what is said of quotients: where one is too large, or none, x becomes the largest element, or 0. */
static void bound_values(const struct check *c, size_t blocks, unsigned char *x,
                         const struct mxq_factors *by)
{
    const float max = mxq_elements[c->element].max;
    const size_t bytes = mxq_type_bytes(c->type);
    for (size_t i = 0; i < blocks * MXQ_BLOCK; i++) {
        const float factor = by->value[i >> by->shift];
        const uint32_t bits = load_f32_bits(x, i, c->type);
        uint32_t factor_bits, bound;
        float value;
        memcpy(&factor_bits, &factor, sizeof factor_bits);
        memcpy(&value, &bits, sizeof value);
        if (factor_bits < by->low || factor_bits > by->high || fabsf(value / factor) <= max)
            continue;
        const float product = c->type == MXQ_F32 ? factor * max : factor >= 1 ? max : 0;
        memcpy(&bound, &product, sizeof bound);
        bound = c->type == MXQ_F16 ? 0 : bound | (bits & 0x80000000);
        memcpy(x + i * bytes, (unsigned char *)&bound + 4 - bytes, bytes);
    }
}

/* Values such that what they are divided or multiplied to lies where elements are. */
static void fill_scaled(struct check *c, enum fill fill, const struct fill_target *t, size_t blocks,
                        void *const *data)
{
    fill_scaling(c, fill, t, blocks, data);
    if (random_below(&c->random, 4) == 0)
        return; /* most of these saturate or vanish */
    struct fill_target target = *t;
    const struct mxq_factors by = factors_of(c, data[2]);
    float *factor = data[2];
    target.type = c->type;
    for (size_t b = 0; b < blocks; b++, target.index++) {
        target.scale = 127;
        fill_block(&c->random, fill, &target,
                   (char *)data[1] + b * MXQ_BLOCK * mxq_type_bytes(c->type));
    }
    /* Ordinary factors near 1, so that quotients are near what rounds up and what rounds down. */
    for (size_t i = 0; i < c->family.operands[2].bytes / 4; i++)
        if (random_below(&c->random, 32))
            factor[i] = 1 + (float)random_below(&c->random, by.divides ? 64 : 8) * 0x1p-23F;
}

static void fill_pack_by(struct check *c, enum fill fill, const struct fill_target *t,
                         size_t blocks, void *const *data)
{
    const struct mxq_factors by = factors_of(c, data[2]);
    fill_scaled(c, fill, t, blocks, data);
    if (by.high)
        bound_values(c, blocks, data[1], &by);
}

static void call_pack_by(const struct check *c, const struct mxq_kernels *row, void *const *data,
                         size_t blocks)
{
    const struct mxq_factors by = factors_of(c, data[2]);
    row->pack_by[c->element][c->type](data[0], data[1], &by, blocks,
                                      blocks & 1 ? mxq_ahead(c->type) : 0);
}

void check_pack_by(struct check *c)
{
    c->element = (enum mxq_element)(CHECK_INDEX(c, pack_by) / MXQ_TYPES);
    c->type = (enum mxq_type)(CHECK_INDEX(c, pack_by) % MXQ_TYPES);
    const size_t bytes = mxq_type_bytes(c->type);
    const struct check_family family = {
        .operands = {{"elements", code_bytes(c), 1, CHECK_OUTPUT},
                     {"x", MXQ_BLOCK * bytes, bytes, CHECK_INPUT},
                     FACTOR_OPERAND},
        .rules = 1,
        .every_rounds = 1,
        .shape = shape_factors,
        .fill = fill_pack_by,
        .call = call_pack_by,
    };
    check_run(c, &family);
}

/* Codes of all kinds; in half of the cases no NaN among them. */
static void fill_unpack_by(struct check *c, enum fill fill, const struct fill_target *t,
                           size_t blocks, void *const *data)
{
    const struct mxq_element_info *e = &mxq_elements[c->element];
    uint8_t *elements = data[1];
    (void)fill;
    (void)t;
    for (size_t i = 0; i < blocks * code_bytes(c); i++)
        elements[i] = (uint8_t)random_u32(&c->random);
    for (size_t i = 0; blocks % 2 && e->nan_code && i < blocks * code_bytes(c); i++)
        if ((elements[i] & 0x7F) > e->max_code)
            elements[i] = e->max_code;
    fill_factors(c, c->family.operands[2].bytes / 4, data[2]);
    fill_factors(c, 4, data[3]);
    if (random_below(&c->random, 2))
        *(float *)data[3] = 1;
}

static void call_unpack_by(const struct check *c, const struct mxq_kernels *row, void *const *data,
                           size_t blocks)
{
    const struct mxq_factors by = factors_of(c, data[2]);
    row->unpack_by[c->element][c->type](data[0], data[1], &by, *(const float *)data[3], blocks);
}

void check_unpack_by(struct check *c)
{
    c->element = (enum mxq_element)(CHECK_INDEX(c, unpack_by) / MXQ_TYPES);
    c->type = (enum mxq_type)(CHECK_INDEX(c, unpack_by) % MXQ_TYPES);
    const size_t bytes = mxq_type_bytes(c->type);
    const struct check_family family = {
        .operands = {{"y", MXQ_BLOCK * bytes, bytes, CHECK_OUTPUT},
                     {"elements", code_bytes(c), 1, CHECK_INPUT},
                     FACTOR_OPERAND,
                     {"tensor", 0, 4, CHECK_INPUT, 4, .bytes = 16}},
        .rules = 1,
        .every_rounds = 1,
        .shape = shape_factors,
        .fill = fill_unpack_by,
        .call = call_unpack_by,
    };
    check_run(c, &family);
}

/* -------------------------------------------- encode ------------------------------------------ */

/* Every rounding, with and without special codes and unsigned zeros. */
static void shape_encode(struct check *c)
{
    c->shape.variant = (int)random_below(&c->random, 4 * MXQ_ROUNDINGS);
}

/* A block whose values become normal elements or are zeros, but for a few that may be anything. */
static void fill_ordinary(struct check *c, uint8_t *scale, unsigned char *x)
{
    const struct mxq_element_info *e = &mxq_elements[c->element];
    const unsigned rarely = random_below(&c->random, 4) ? 0 : 1 + random_below(&c->random, 8);
    *scale =
        (uint8_t)(c->type == MXQ_F16 ? 127 : (uint32_t)e->bias + random_below(&c->random, 240));
    for (size_t i = 0; i < MXQ_BLOCK; i++) {
        const uint32_t word = random_u32(&c->random);
        const uint32_t binade = 1 + random_below(&c->random, (uint32_t)(e->emax + e->bias + 1));
        const uint32_t field = *scale - (uint32_t)e->bias + binade;
        uint32_t bits = (word & 0x807FFFFF) | (field < 255 ? field : 254) << 23;
        if (random_below(&c->random, 4) == 0)
            bits &= 0xFFF00000;
        if (random_below(&c->random, 8) == 0)
            bits &= 0x80000000;
        if (rarely && random_below(&c->random, 8 * rarely) == 0)
            bits = word;
        if (c->type == MXQ_F32)
            memcpy(x + 4 * i, &bits, 4);
        else if (c->type == MXQ_BF16)
            memcpy(x + 2 * i, (const uint16_t[]){(uint16_t)(bits >> 16)}, 2);
        else /* from field 9 on these are normal in E4M3 too */
            memcpy(x + 2 * i,
                   (const uint16_t[]){(uint16_t)((word & 0x83FF) | (10 + word % 16) << 10)}, 2);
    }
}

static void fill_encode(struct check *c, enum fill fill, const struct fill_target *t, size_t blocks,
                        void *const *data)
{
    const size_t bytes = MXQ_BLOCK * mxq_type_bytes(c->type);
    const int is_ordinary = random_below(&c->random, 4) == 0;
    uint8_t *scale = data[2];
    struct fill_target target = *t;
    for (size_t b = 0; b < blocks; b++, target.index++) {
        unsigned char *x = (unsigned char *)data[1] + b * bytes;
        if (is_ordinary && fill != FILL_EVERY) {
            fill_ordinary(c, &scale[b], x);
            continue;
        }
        target.scale = 127;
        if (fill != FILL_EVERY && random_below(&c->random, 2))
            target.scale = fill_scale_for(&c->random, fill, target.index);
        scale[b] = target.scale;
        fill_block(&c->random, fill, &target, x);
    }
}

static void call_encode(const struct check *c, const struct mxq_kernels *row, void *const *data,
                        size_t blocks)
{
    const int variant = c->shape.variant;
    /* Indices that are no multiple of 4, and carry into the upper half of the counter. */
    static const uint64_t starts[] = {0, 1, 30, (UINT64_C(1) << 34) - 37, UINT64_MAX - 66};
    const struct mxq_encoding how = {
        (enum mxq_rounding)(variant / 4),
        variant & 1 && mxq_elements[c->element].nan_code,
        variant >> 1 & 1,
        (c->seed ^ c->current.number) * UINT64_C(0x9E3779B97F4A7C15),
        starts[c->current.number % (sizeof starts / sizeof *starts)],
        c->current.number % 3 * 1000,
    };
    row->encode[c->element][c->type](data[0], data[1], data[2], blocks, &how);
}

void check_encode(struct check *c)
{
    c->element = (enum mxq_element)(CHECK_INDEX(c, encode) / MXQ_TYPES);
    c->type = (enum mxq_type)(CHECK_INDEX(c, encode) % MXQ_TYPES);
    const size_t bytes = mxq_type_bytes(c->type);
    const struct check_family family = {
        .operands = {{"elements", code_bytes(c), 1, CHECK_OUTPUT},
                     {"x", MXQ_BLOCK * bytes, bytes, CHECK_INPUT},
                     {"scale", 1, 1, CHECK_INPUT}},
        .rules = 1,
        .every_rounds = 1,
        .shape = shape_encode,
        .fill = fill_encode,
        .call = call_encode,
    };
    check_run(c, &family);
}

/* -------------------------------------------- measure ----------------------------------------- */

/* y near x, as dequantizing gives, or something else, and limits near y. */
static void fill_measure(struct check *c, enum fill fill, const struct fill_target *t,
                         size_t blocks, void *const *data)
{
    static const struct mxq_sums none;
    float *y = data[2], *limit = data[3];
    memcpy(data[0], &none, sizeof none);
    fill_wide(c, fill, t, c->type, blocks, data[1]);
    const struct mxq_factors by = {limit, 3, 0, 0, 0};
    fill_factors(c, 4 * blocks, limit);
    mxq_kernels_scalar.scale_by[c->type](y, data[1], &by, blocks);
    struct mxq_range unused = MXQ_RANGE_EMPTY;
    float wide[MXQ_BLOCK];
    for (size_t b = 0; b < blocks; b++) {
        mxq_kernels_scalar.operand[c->type](
            wide, (const char *)data[1] + b * MXQ_BLOCK * mxq_type_bytes(c->type), 1, &unused);
        for (size_t i = 0; i < MXQ_BLOCK; i++) {
            uint32_t bits;
            memcpy(&bits, &wide[i], sizeof bits);
            if (random_below(&c->random, 8)) /* else what a factor made of it */
                bits &= 0xFFF00000;
            else
                continue;
            memcpy(&y[b * MXQ_BLOCK + i], &bits, sizeof bits);
        }
        for (size_t i = 0; i < 4; i++)
            limit[4 * b + i] =
                fabsf(random_below(&c->random, 2) ? y[b * MXQ_BLOCK + 8 * i] : limit[4 * b + i]);
    }
}

static void call_measure(const struct check *c, const struct mxq_kernels *row, void *const *data,
                         size_t blocks)
{
    row->measure[c->type](data[0], data[1], data[2], data[3], blocks, c->current.number % 3 * 1000);
}

void check_measure(struct check *c)
{
    c->type = (enum mxq_type)CHECK_INDEX(c, measure);
    const size_t bytes = mxq_type_bytes(c->type);
    const struct check_family family = {
        .operands = {{"sums", 0, 4, CHECK_UPDATED, 8, CHECK_NANS, .bytes = sizeof(struct mxq_sums)},
                     {"x", MXQ_BLOCK * bytes, bytes, CHECK_INPUT},
                     {"y", MXQ_BLOCK * 4, 4, CHECK_INPUT, 4},
                     {"limit", 16, 4, CHECK_INPUT, 4}},
        .rules = 1,
        .every_rounds = 1,
        .fill = fill_measure,
        .call = call_measure,
    };
    check_run(c, &family);
}

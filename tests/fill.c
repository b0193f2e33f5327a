/* SPDX-License-Identifier: Apache-2.0 */
/* fill.c -- blocks of wide values, made to be difficult. */
#include "fill.h"

#include <math.h>

#include "oracle.h"

#define BLOCK       32
#define COUNT(list) (sizeof(list) / sizeof *(list))

static const char *const names[FILLS] = {
    [FILL_ZERO] = "zero",
    [FILL_SIGNED_ZERO] = "signed-zero",
    [FILL_UNIFORM] = "uniform",
    [FILL_NORMAL] = "normal",
    [FILL_TIES] = "ties",
    [FILL_CODES] = "codes",
    [FILL_WIDE_SUBNORMAL] = "wide-subnormal",
    [FILL_ELEMENT_SUBNORMAL] = "element-subnormal",
    [FILL_SATURATION] = "saturation",
    [FILL_OUTLIER] = "outlier",
    [FILL_NONFINITE] = "nonfinite",
    [FILL_ALL_NONFINITE] = "all-nonfinite",
    [FILL_EXTREMES] = "extremes",
    [FILL_THRESHOLD] = "threshold",
    [FILL_EVERY] = "every",
    [FILL_LONE] = "lone",
    [FILL_MIXED] = "mixed",
};

const uint32_t fill_blocks[FILLS] = {
    [FILL_ZERO] = 64,
    [FILL_SIGNED_ZERO] = 64,
    [FILL_UNIFORM] = 512,
    [FILL_NORMAL] = 512,
    [FILL_TIES] = 2048,
    [FILL_CODES] = 1024,
    [FILL_WIDE_SUBNORMAL] = 256,
    [FILL_ELEMENT_SUBNORMAL] = 1024,
    [FILL_SATURATION] = 1024,
    [FILL_OUTLIER] = 512,
    [FILL_NONFINITE] = 512,
    [FILL_ALL_NONFINITE] = 128,
    [FILL_EXTREMES] = 512,
    [FILL_THRESHOLD] = FILL_THRESHOLDS,
    [FILL_EVERY] = 2048,
    [FILL_LONE] = 4096,
    [FILL_MIXED] = 512,
};

const char *fill_name(enum fill fill)
{
    return names[fill];
}

/* The bits of a type that are not the sign, and those of its infinity. */
static const uint32_t magnitude_mask[MXQ_TYPES] = {0x7FFFFFFF, 0x7FFF, 0x7FFF};
static const uint32_t infinity[MXQ_TYPES] = {0x7F800000, 0x7F80, 0x7C00};
static const uint32_t first_normal[MXQ_TYPES] = {0x00800000, 0x0080, 0x0400};

static uint32_t random_sign(struct random *r, enum mxq_type type)
{
    return random_u32(r) & 1 ? magnitude_mask[type] + 1 : 0;
}

/* Number `kind` of: infinity, the smallest and largest signalling NaN, the same of quiet ones. */
#define NONFINITES 5
static uint32_t nonfinite(enum mxq_type type, unsigned kind)
{
    const uint32_t quiet = first_normal[type] / 2;
    const uint32_t fractions[NONFINITES] = {0, 1, quiet - 1, quiet, 2 * quiet - 1};
    return infinity[type] | fractions[kind];
}

/* One step away from a value, up or down in magnitude, or none. */
static uint32_t neighbour(struct random *r, enum mxq_type type, uint32_t bits)
{
    const uint32_t magnitude = bits & magnitude_mask[type];
    switch (random_below(r, 3)) {
    case 0:
        return magnitude < infinity[type] ? bits + 1 : bits;
    case 1:
        return magnitude > 0 ? bits - 1 : bits;
    default:
        return bits;
    }
}

static uint32_t scaled(const struct fill_target *t, double v)
{
    return oracle_nearest(t->type, ldexp(v, t->scale - 127));
}

/* The midpoint above code `code`; beyond the largest one, as if the grid went on. */
static double midpoint(enum mxq_element element, uint8_t code)
{
    const double below = oracle_decode(element, code);
    const uint8_t largest = oracle_max_code(element);
    if (code == largest)
        return below + (below - oracle_decode(element, (uint8_t)(code - 1))) / 2;
    return (below + oracle_decode(element, (uint8_t)(code + 1))) / 2;
}

static uint32_t extreme(struct random *r, enum mxq_type type)
{
    const uint32_t list[] = {0,
                             1,
                             2,
                             first_normal[type] - 1,
                             first_normal[type],
                             first_normal[type] + 1,
                             infinity[type] - 1,
                             infinity[type] - 2};
    return list[random_below(r, COUNT(list))];
}

uint8_t fill_scale(struct random *r)
{
    static const uint8_t extremes[] = {0, 1, 2, 126, 127, 128, 253, 254, 255};
    return random_below(r, 4) ? (uint8_t)random_u32(r) : extremes[random_below(r, COUNT(extremes))];
}

/* Whether a block of FILL_LONE is the odd one: one in 37, at every place of a group of 8 or 16. */
static int is_lone(uint64_t index)
{
    return index % 37 == index / 37 % 37;
}

uint8_t fill_scale_for(struct random *r, enum fill fill, uint64_t index)
{
    switch (fill) {
    case FILL_TIES:
    case FILL_CODES:
    case FILL_ELEMENT_SUBNORMAL:
    case FILL_SATURATION:
        return (uint8_t)(index * 37);
    case FILL_LONE:
        return is_lone(index) ? fill_scale(r) : (uint8_t)(100 + random_below(r, 54));
    default:
        return fill_scale(r);
    }
}

/* Every mantissa that a scale mode distinguishes, and its neighbours. */
static const uint32_t mantissas[] = {
    0,        1,        2,        0x3FFFFF, 0x400000, 0x400001, 0x5FFFFF,
    0x600000, 0x600001, 0x6FFFFF, 0x700000, 0x700001, 0x77FFFF, 0x780000,
    0x780001, 0x7DFFFF, 0x7E0000, 0x7E0001, 0x7FFFFE, 0x7FFFFF,
};
_Static_assert(256 * COUNT(mantissas) == FILL_THRESHOLDS, "one threshold a mantissa and exponent");

uint32_t fill_threshold(uint64_t index)
{
    const uint32_t i = (uint32_t)(index % FILL_THRESHOLDS);
    return i % 256 << 23 | mantissas[i / 256];
}

/* A threshold in the exponents and the mantissa bits that the type has. */
static uint32_t threshold(enum mxq_type type, uint64_t index)
{
    const uint32_t bits = fill_threshold(index);
    switch (type) {
    case MXQ_F32:
        return bits;
    case MXQ_BF16:
        return bits >> 16;
    case MXQ_F16:
        return (uint32_t)(index % 32) << 10 | (bits >> 13 & 0x3FF);
    }
    return 0;
}

/* One value of the fills whose values do not depend on each other; `n` counts values. */
static uint32_t fill_value(struct random *r, enum fill fill, const struct fill_target *t,
                           int exponent, uint64_t n)
{
    const enum mxq_type type = t->type;
    const uint32_t codes = oracle_max_code(t->element) + 1u;
    const double tiny = oracle_smallest_normal(t->element);
    const double huge = oracle_decode(t->element, oracle_max_code(t->element));
    const uint32_t sign = random_sign(r, type);
    switch (fill) {
    case FILL_SIGNED_ZERO:
        return sign;
    case FILL_UNIFORM:
        return random_u32(r) & (2 * magnitude_mask[type] + 1);
    case FILL_EVERY:
        return (uint32_t)(type == MXQ_F32 ? random_u32(r) : n & 0xFFFF);
    case FILL_NORMAL:
        return oracle_nearest(type, ldexp(random_normal(r), exponent));
    case FILL_TIES:
        return sign | neighbour(r, type, scaled(t, midpoint(t->element, (uint8_t)(n % codes))));
    case FILL_CODES:
        return sign | scaled(t, oracle_decode(t->element, (uint8_t)(n % codes)));
    case FILL_WIDE_SUBNORMAL:
        return sign | (random_below(r, first_normal[type]) >> random_below(r, 24));
    case FILL_ELEMENT_SUBNORMAL:
        return sign | scaled(t, 2 * tiny * random_unit(r));
    case FILL_SATURATION:
        return sign | scaled(t, huge * (0.9 + 0.3 * random_unit(r)));
    case FILL_ALL_NONFINITE:
        return sign | nonfinite(type, random_below(r, NONFINITES));
    case FILL_EXTREMES:
        return sign | extreme(r, type);
    default:
        return 0;
    }
}

/* A block below amax, with amax (and its sign) in one lane. */
static void fill_below(struct random *r, enum mxq_type type, uint32_t amax, unsigned lane,
                       void *block)
{
    for (unsigned i = 0; i < BLOCK; i++) {
        const uint32_t below = amax ? random_below(r, amax) : 0;
        oracle_store(type, block, i, random_sign(r, type) | (i == lane ? amax : below));
    }
}

void fill_block(struct random *r, enum fill fill, const struct fill_target *t, void *block)
{
    const enum mxq_type type = t->type;
    const unsigned lane = (unsigned)(t->index % BLOCK);
    const int spread = type == MXQ_F16 ? 8 : 24;
    const int exponent = t->scale - 127 + (int)random_below(r, 2u * (unsigned)spread) - spread;
    if (fill == FILL_LONE)
        fill = is_lone(t->index) ? FILL_MIXED : FILL_NORMAL;
    if (fill == FILL_MIXED)
        fill = (enum fill)random_below(r, FILL_LONE);
    if (fill == FILL_THRESHOLD) {
        fill_below(r, type, threshold(type, t->index), random_below(r, BLOCK), block);
        return;
    }
    const enum fill rest = fill == FILL_OUTLIER || fill == FILL_NONFINITE ? FILL_NORMAL : fill;
    for (unsigned i = 0; i < BLOCK; i++)
        oracle_store(type, block, i, fill_value(r, rest, t, exponent, t->index * BLOCK + i));
    if (fill == FILL_OUTLIER)
        oracle_store(
            type, block, lane,
            oracle_nearest(type, ldexp(1 + random_unit(r), exponent + (int)random_below(r, 30))));
    if (fill == FILL_NONFINITE)
        oracle_store(type, block, lane,
                     random_sign(r, type) |
                         nonfinite(type, (unsigned)(t->index / BLOCK % NONFINITES)));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* oracle.c -- the numeric contract a second time: slow, in doubles, from the definitions. */
#include "oracle.h"

#include <math.h>
#include <string.h>

/* v * 2^exponent: exact, for nothing here comes near the ends of a double's range.  A product, for
 * ldexp() is a slow call. */
static double scale_by(double v, int exponent)
{
    const uint64_t bits = (uint64_t)(exponent + 1023) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    return v * power;
}

/* ----------------------------------------- Wide types ----------------------------------------- */

/* An IEEE-like layout: sign, exponent field, fraction field. */
struct layout {
    int exponent_bits;
    int fraction_bits;
};

static const struct layout layouts[MXQ_TYPES] = {
    [MXQ_F32] = {8, 23},
    [MXQ_BF16] = {8, 7},
    [MXQ_F16] = {5, 10},
};

double oracle_value(enum mxq_type type, uint32_t bits)
{
    const struct layout l = layouts[type];
    const int bias = (1 << (l.exponent_bits - 1)) - 1;
    const uint32_t fraction = bits & ((UINT32_C(1) << l.fraction_bits) - 1);
    const int field = (int)(bits >> l.fraction_bits) & ((1 << l.exponent_bits) - 1);
    const double sign = bits >> (l.exponent_bits + l.fraction_bits) & 1 ? -1.0 : 1.0;
    if (field == (1 << l.exponent_bits) - 1)
        return fraction ? (double)NAN : sign * (double)INFINITY;
    if (field == 0)
        return sign * scale_by(fraction, 1 - bias - l.fraction_bits);
    return sign * (1.0 + scale_by(fraction, -l.fraction_bits)) * scale_by(1.0, field - bias);
}

uint32_t oracle_nearest(enum mxq_type type, double v)
{
    const struct layout l = layouts[type];
    const int bias = (1 << (l.exponent_bits - 1)) - 1;
    const uint32_t infinity = ((UINT32_C(1) << l.exponent_bits) - 1) << l.fraction_bits;
    const uint32_t sign = signbit(v) ? UINT32_C(1) << (l.exponent_bits + l.fraction_bits) : 0;
    if (isnan(v))
        return infinity | UINT32_C(1) << (l.fraction_bits - 1);
    int exponent;
    frexp(v, &exponent); /* |v| < 2^exponent */
    if (exponent < 2 - bias)
        exponent = 2 - bias;
    const double step = scale_by(1.0, exponent - 1 - l.fraction_bits);
    const double rounded = nearbyint(fabs(v) / step) * step;
    if (isinf(v) || rounded >= scale_by(1.0, bias + 1))
        return sign | infinity;
    if (rounded < scale_by(1.0, 1 - bias))
        return sign | (uint32_t)scale_by(rounded, bias - 1 + l.fraction_bits);
    const double fraction = 2.0 * frexp(rounded, &exponent) - 1.0;
    return sign | (uint32_t)(exponent - 1 + bias) << l.fraction_bits |
           (uint32_t)scale_by(fraction, l.fraction_bits);
}

uint32_t oracle_load(enum mxq_type type, const void *x, size_t i)
{
    uint32_t word;
    uint16_t half;
    if (type == MXQ_F32) {
        memcpy(&word, (const char *)x + 4 * i, 4);
        return word;
    }
    memcpy(&half, (const char *)x + 2 * i, 2);
    return half;
}

void oracle_store(enum mxq_type type, void *x, size_t i, uint32_t bits)
{
    const uint16_t half = (uint16_t)bits;
    if (type == MXQ_F32)
        memcpy((char *)x + 4 * i, &bits, 4);
    else
        memcpy((char *)x + 2 * i, &half, 2);
}

uint32_t oracle_magnitude(enum mxq_type type, uint32_t bits)
{
    return oracle_nearest(MXQ_F32, fabs(oracle_value(type, bits)));
}

/* ---------------------------------------- Element codes --------------------------------------- */

/* As the OCP texts describe them: fields of a floating-point code, or an integer and what it counts. */
struct code {
    int bits, exponent_bits, fraction_bits; /* no exponent bits: an integer */
    double unit;                            /* of an integer */
    uint8_t largest;                        /* code of the largest finite magnitude */
    int emax;
    double max;
};

static const struct code codes[MXQ_ELEMENTS] = {
    [MXQ_E4M3] = {8, 4, 3, 0, 0x7E, 8, 448}, [MXQ_E5M2] = {8, 5, 2, 0, 0x7B, 15, 57344},
    [MXQ_E3M2] = {6, 3, 2, 0, 0x1F, 4, 28},  [MXQ_E2M3] = {6, 2, 3, 0, 0x1F, 2, 7.5},
    [MXQ_E2M1] = {4, 2, 1, 0, 0x7, 2, 6},    [MXQ_MXINT8] = {8, 0, 6, 1.0 / 64, 127, 0, 127.0 / 64},
    [MXQ_INT8] = {8, 0, 6, 1, 127, 6, 127},
};

double oracle_decode(enum mxq_element element, uint8_t code)
{
    const struct code *c = &codes[element];
    if (!c->exponent_bits)
        return (code < 128 ? code : code - 256) * c->unit;
    const double sign = code >> (c->bits - 1) & 1 ? -1.0 : 1.0;
    const int magnitude = code % (1 << (c->bits - 1));
    const int field = magnitude >> c->fraction_bits, fraction = magnitude % (1 << c->fraction_bits);
    const int bias = (1 << (c->exponent_bits - 1)) - 1;
    if (element == MXQ_E4M3 && magnitude == 0x7F)
        return (double)NAN;
    if (element == MXQ_E5M2 && field == 31)
        return fraction ? (double)NAN : sign * (double)INFINITY;
    if (field == 0)
        return sign * scale_by(fraction, 1 - bias - c->fraction_bits);
    return sign * scale_by(fraction + (1 << c->fraction_bits), field - bias - c->fraction_bits);
}

double oracle_smallest_normal(enum mxq_element element)
{
    const struct code *c = &codes[element];
    return c->exponent_bits ? scale_by(1.0, 2 - (1 << (c->exponent_bits - 1))) : c->unit;
}

uint8_t oracle_max_code(enum mxq_element element)
{
    return codes[element].largest;
}

size_t oracle_bytes(enum mxq_element element, size_t count)
{
    return (count * (size_t)codes[element].bits + 7) / 8;
}

/* Bit by bit. */
uint8_t oracle_get(enum mxq_element element, const uint8_t *elements, size_t i)
{
    const size_t bits = (size_t)codes[element].bits;
    unsigned code = 0;
    for (size_t j = 0; j < bits; j++)
        code |= ((unsigned)elements[(i * bits + j) / 8] >> (i * bits + j) % 8 & 1u) << j;
    return (uint8_t)code;
}

void oracle_put(enum mxq_element element, uint8_t *elements, size_t i, uint8_t code)
{
    const size_t bits = (size_t)codes[element].bits;
    for (size_t j = 0; j < bits; j++) {
        const unsigned mask = 1u << (i * bits + j) % 8;
        uint8_t *byte = &elements[(i * bits + j) / 8];
        *byte = (uint8_t)(code >> j & 1 ? *byte | mask : *byte & ~mask);
    }
}

uint8_t oracle_pack(enum mxq_element element, enum mxq_type type, uint32_t bits, uint8_t scale)
{
    const struct code *c = &codes[element];
    const double x = oracle_value(type, bits);
    if (isnan(x) || scale == 255)
        return element == MXQ_E4M3 || element == MXQ_E5M2 ? 0x7F : 0;
    const double v = fabs(x) * scale_by(1.0, 127 - scale);
    int low = 0, high = oracle_max_code(element);
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (oracle_decode(element, (uint8_t)middle) <= v)
            low = middle;
        else
            high = middle;
    }
    /* Now v is between the two, or beyond the largest.  Of neighbouring codes one is even. */
    const double below = v - oracle_decode(element, (uint8_t)low);
    const double above = oracle_decode(element, (uint8_t)high) - v;
    const int code = below < above || (!(below > above) && low % 2 == 0) ? low : high;
    if (!c->exponent_bits)
        return (uint8_t)(signbit(x) ? -code : code);
    return (uint8_t)(signbit(x) ? code + (1 << (c->bits - 1)) : code);
}

uint32_t oracle_unpack(enum mxq_element element, enum mxq_type type, uint8_t code, uint8_t scale)
{
    const double v = oracle_decode(element, code);
    return oracle_nearest(type, scale == 255 ? (double)NAN : scale_by(v, scale - 127));
}

/* ---------------------------------------- Shared scales --------------------------------------- */

/* The exponent of the largest power of two that does not exceed v > 0. */
static int floor_log2(double v)
{
    int exponent;
    frexp(v, &exponent);
    return exponent - 1;
}

/* The smallest exponent whose power of two is at least v > 0. */
static int ceil_log2(double v)
{
    const int k = floor_log2(v);
    return scale_by(1.0, k) < v ? k + 1 : k;
}

static enum mxq_scale_mode default_mode(enum mxq_element element)
{
    return codes[element].bits < 8 ? MXQ_SCALE_MSE : MXQ_SCALE_RCEIL;
}

/* Of a subnormal amax the rule takes the exponent field, 0, and the mantissa field: the numbers 2^-126 (and
 * above) minus 2^-126.  Where emax is 0, or counts as 0, that can be seen. */
static int shared_exponent_of_subnormal(enum mxq_element element, enum mxq_scale_mode mode,
                                        double amax)
{
    const double fraction = amax * 0x1p126; /* M / 2^23, 0 < fraction < 1 */
    const double thresholds[MXQ_SCALE_MODES] = {
        [MXQ_SCALE_CEIL] = 0x1p-23,
        [MXQ_SCALE_UNIT] = 0x1p-23,
        [MXQ_SCALE_CT] = 0.75,
        [MXQ_SCALE_EVEN] = 1 - scale_by(1, -1 - codes[element].fraction_bits),
        [MXQ_SCALE_RCEIL] = codes[element].max - 1 + 0x1p-23};
    return (thresholds[mode] > 0 && fraction >= thresholds[mode] ? 1 : 0) - 127;
}

/* The exponent of the shared scale, by the definition of each mode. */
static int shared_exponent(enum mxq_element element, enum mxq_scale_mode mode, double amax)
{
    const int emax = codes[element].emax;
    const int fraction_bits = codes[element].fraction_bits;
    if (mode == MXQ_SCALE_DEFAULT)
        mode = default_mode(element);
    /* A subnormal counts as in the lowest normal binade but one: its exponent field says 0. */
    const int is_subnormal = amax < 0x1p-126;
    const int k = floor_log2(amax);
    if (is_subnormal && (emax == 0 || mode == MXQ_SCALE_UNIT))
        return shared_exponent_of_subnormal(element, mode, amax);
    switch (mode) {
    case MXQ_SCALE_DEFAULT:
    case MXQ_SCALE_MSE: /* the smaller of the two that are compared */
    case MXQ_SCALE_FLOOR:
        return k - emax;
    case MXQ_SCALE_CEIL:
        return ceil_log2(amax) - emax;
    case MXQ_SCALE_EVEN: {
        /* amax on the element's grid, halves up, may reach the next binade. */
        const double step = scale_by(1.0, k - fraction_bits);
        return floor_log2(floor(amax / step + 0.5) * step) - emax;
    }
    case MXQ_SCALE_RCEIL: {
        if (!codes[element].exponent_bits) /* nobody's product: amax against the largest itself */
            return amax > codes[element].max * scale_by(1.0, k - emax) ? k - emax + 1 : k - emax;
        /* As the producers do it: both the reciprocal and the product are rounded to F32. */
        const volatile float reciprocal = 1.0f / (float)codes[element].max;
        const volatile float product = (float)amax * reciprocal;
        return product > 0 ? ceil_log2((double)product) : -127;
    }
    case MXQ_SCALE_UNIT:
        return ceil_log2(amax);
    case MXQ_SCALE_CT:
        return (amax >= 1.75 * scale_by(1.0, k) ? k + 1 : k) - emax;
    }
    return 0;
}

uint8_t oracle_scale(enum mxq_element element, enum mxq_scale_mode mode, uint32_t amax)
{
    const double v = oracle_value(MXQ_F32, amax);
    if (isnan(v) || isinf(v))
        return 255;
    if (v == 0.0)
        return 0;
    const int code = shared_exponent(element, mode, v) + 127;
    return (uint8_t)(code < 0 ? 0 : code > 254 ? 254 : code);
}

uint32_t oracle_amax(enum mxq_type type, const void *x, size_t values)
{
    uint32_t amax = 0;
    for (size_t i = 0; i < values; i++) {
        const uint32_t magnitude = oracle_magnitude(type, oracle_load(type, x, i));
        amax = magnitude > amax ? magnitude : amax;
    }
    return amax;
}

static double squared_error(enum mxq_element element, enum mxq_type type, const void *x,
                            size_t values, uint8_t scale)
{
    double sum = 0;
    for (size_t i = 0; i < values; i++) {
        const uint32_t bits = oracle_load(type, x, i);
        const double value = oracle_decode(element, oracle_pack(element, type, bits, scale));
        const double error = oracle_value(type, bits) - scale_by(value, scale - 127);
        sum += error * error;
    }
    return sum;
}

uint8_t oracle_least_error(enum mxq_element element, enum mxq_type type, const void *x,
                           size_t values, uint8_t scale)
{
    for (size_t i = 0; i < values; i++)
        if (!isfinite(oracle_value(type, oracle_load(type, x, i))))
            return scale;
    return scale < 254 && squared_error(element, type, x, values, (uint8_t)(scale + 1)) <
                              squared_error(element, type, x, values, scale)
               ? (uint8_t)(scale + 1)
               : scale;
}

void oracle_quantize(enum mxq_element element, enum mxq_scale_mode mode, enum mxq_type type,
                     const void *x, size_t values, uint8_t *elements, uint8_t *scale)
{
    *scale = oracle_scale(element, mode, oracle_amax(type, x, values));
    if (mode == MXQ_SCALE_DEFAULT)
        mode = default_mode(element);
    if (mode == MXQ_SCALE_MSE)
        *scale = oracle_least_error(element, type, x, values, *scale);
    memset(elements, 0, oracle_bytes(element, values));
    for (size_t i = 0; i < values; i++)
        oracle_put(element, elements, i,
                   oracle_pack(element, type, oracle_load(type, x, i), *scale));
}

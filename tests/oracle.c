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

double oracle_decode(enum mxq_element element, uint8_t code)
{
    const double sign = code & 0x80 ? -1.0 : 1.0;
    const int field = code & 0x7F;
    if (element == MXQ_E4M3) {
        if (field == 0x7F)
            return (double)NAN;
        return field < 8 ? sign * scale_by(field, -9)
                         : sign * scale_by(8 + field % 8, field / 8 - 10);
    }
    if (field == 0x7C)
        return sign * (double)INFINITY;
    if (field > 0x7C)
        return (double)NAN;
    return field < 4 ? sign * scale_by(field, -16) : sign * scale_by(4 + field % 4, field / 4 - 17);
}

uint8_t oracle_max_code(enum mxq_element element)
{
    return element == MXQ_E4M3 ? 0x7E : 0x7B;
}

/* clang-format off */
#define E4M3(p) 8 * p, 9 * p, 10 * p, 11 * p, 12 * p, 13 * p, 14 * p, 15 * p
#define E5M2(p) 4 * p, 5 * p, 6 * p, 7 * p

/* The magnitudes of all finite codes, in order: one binade after the other. */
static const double e4m3[] = {
    0, 0x1p-9, 0x2p-9, 0x3p-9, 0x4p-9, 0x5p-9, 0x6p-9, 0x7p-9,
    E4M3(0x1p-9), E4M3(0x1p-8), E4M3(0x1p-7), E4M3(0x1p-6), E4M3(0x1p-5), E4M3(0x1p-4),
    E4M3(0x1p-3), E4M3(0x1p-2), E4M3(0x1p-1), E4M3(1.0), E4M3(2.0), E4M3(4.0), E4M3(8.0),
    E4M3(16.0), 256, 288, 320, 352, 384, 416, 448,
};
static const double e5m2[] = {
    0, 0x1p-16, 0x2p-16, 0x3p-16,
    E5M2(0x1p-16), E5M2(0x1p-15), E5M2(0x1p-14), E5M2(0x1p-13), E5M2(0x1p-12), E5M2(0x1p-11),
    E5M2(0x1p-10), E5M2(0x1p-9), E5M2(0x1p-8), E5M2(0x1p-7), E5M2(0x1p-6), E5M2(0x1p-5),
    E5M2(0x1p-4), E5M2(0x1p-3), E5M2(0x1p-2), E5M2(0x1p-1), E5M2(1.0), E5M2(2.0), E5M2(4.0),
    E5M2(8.0), E5M2(16.0), E5M2(32.0), E5M2(64.0), E5M2(128.0), E5M2(256.0), E5M2(512.0),
    E5M2(1024.0), E5M2(2048.0), E5M2(4096.0), E5M2(8192.0),
};
/* clang-format on */

uint8_t oracle_pack(enum mxq_element element, enum mxq_type type, uint32_t bits, uint8_t scale)
{
    const double x = oracle_value(type, bits);
    if (isnan(x) || scale == 255)
        return 0x7F;
    const double v = fabs(x) * scale_by(1.0, 127 - scale);
    const double *table = element == MXQ_E4M3 ? e4m3 : e5m2;
    int low = 0, high = oracle_max_code(element);
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (table[middle] <= v)
            low = middle;
        else
            high = middle;
    }
    /* Now v is between the two, or beyond the largest.  Of neighbouring codes one is even. */
    const double below = v - table[low], above = table[high] - v;
    const int code = below < above || (!(below > above) && low % 2 == 0) ? low : high;
    return (uint8_t)(code | (signbit(x) ? 0x80 : 0));
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

/* The exponent of the shared scale, by the definition of each mode. */
static int shared_exponent(enum mxq_element element, enum mxq_scale_mode mode, double amax)
{
    const int emax = element == MXQ_E4M3 ? 8 : 15;
    const int fraction_bits = element == MXQ_E4M3 ? 3 : 2;
    const int k = floor_log2(amax);
    switch (mode) {
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
        /* As the producers do it: both the reciprocal and the product are rounded to F32. */
        const volatile float reciprocal = 1.0f / (element == MXQ_E4M3 ? 448.0f : 57344.0f);
        const volatile float product = (float)amax * reciprocal;
        return product > 0 ? ceil_log2((double)product) : -127;
    }
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

void oracle_quantize(enum mxq_element element, enum mxq_scale_mode mode, enum mxq_type type,
                     const void *x, size_t values, uint8_t *elements, uint8_t *scale)
{
    *scale = oracle_scale(element, mode, oracle_amax(type, x, values));
    for (size_t i = 0; i < values; i++)
        elements[i] = oracle_pack(element, type, oracle_load(type, x, i), *scale);
}

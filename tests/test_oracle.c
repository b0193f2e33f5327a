/* SPDX-License-Identifier: Apache-2.0 */
/* test_oracle.c -- the scalar row against the oracle: two writings of the contract. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fill.h"
#include "kernels.h"
#include "oracle.h"
#include "tally.h"

#define CHUNK 256 /* blocks of one call */

static const struct mxq_kernels *const scalar = &mxq_kernels_scalar;
static const char *const type_names[MXQ_TYPES] = {"f32", "bf16", "f16"};
static const char *const mode_names[MXQ_SCALE_MODES] = {"default", "rceil", "floor", "ceil",
                                                        "even",    "ct",    "mse",   "unit"};
static int failed;
static unsigned share; /* of the cases every so many */

/* The table that the oracle searches, its decoder and the table of src/ must be one format. */
static void test_elements(void)
{
    struct tally t = {"element codes", 0, 0};
    for (int e = 0; e < MXQ_ELEMENTS; e++) {
        const struct mxq_element_info *info = &mxq_elements[e];
        const enum mxq_element element = (enum mxq_element)e;
        if (info->max_code != oracle_max_code(element) ||
            (double)info->max != oracle_decode(element, info->max_code))
            tally_fail(&t, "%s: wrong largest code or value", info->name);
        for (unsigned code = 0; code <= info->max_code; code++, t.cases++) {
            const double v = oracle_decode(element, (uint8_t)code);
            const uint32_t bits = oracle_nearest(MXQ_F32, v);
            if (oracle_value(MXQ_F32, bits) != v ||
                oracle_pack(element, MXQ_F32, bits, 127) != code)
                tally_fail(&t, "%s: the oracle does not return code 0x%02X", info->name, code);
        }
    }
    failed += tally_end(&t);
}

/* The oracle's conversions against the compiler's, where it has them. */
static void test_wide(void)
{
    struct tally t = {"oracle's F32", 0, 0};
    struct random r = {2};
    for (unsigned i = 0; i < 1000000 / share; i++, t.cases++) {
        const uint32_t bits = random_u32(&r);
        float value;
        memcpy(&value, &bits, sizeof value);
        const double v = oracle_value(MXQ_F32, bits);
        if (isnan(value) ? !isnan(v) : (double)value != v)
            tally_fail(&t, "value of 0x%08" PRIX32, bits);
        const double product = v * 0x1.123456789abcdp-3;
        const float rounded = (float)product;
        uint32_t expected;
        memcpy(&expected, &rounded, sizeof expected);
        if (!isnan(v) && oracle_nearest(MXQ_F32, product) != expected)
            tally_fail(&t, "nearest to %a is 0x%08" PRIX32, product, expected);
    }
    failed += tally_end(&t);
}

static void compare_pack(struct tally *t, enum mxq_element element, enum mxq_type type,
                         const void *x, const uint8_t *scale, size_t blocks)
{
    uint8_t elements[CHUNK * MXQ_BLOCK];
    scalar->pack[element][type](elements, x, scale, blocks);
    for (size_t i = 0; i < blocks * MXQ_BLOCK; i++, t->cases++) {
        const uint32_t bits = oracle_load(type, x, i);
        const uint8_t expected = oracle_pack(element, type, bits, scale[i / MXQ_BLOCK]);
        const uint8_t got = oracle_get(element, elements, i);
        if (got != expected)
            tally_fail(t, "0x%" PRIX32 " under scale %d gives 0x%02X, must be 0x%02X", bits,
                       scale[i / MXQ_BLOCK], got, expected);
    }
}

/* Every 16-bit input under every eighth scale, and under all around 1. */
static void test_pack_halves(enum mxq_element element, enum mxq_type type)
{
    char name[64];
    snprintf(name, sizeof name, "pack_%s_%s: all inputs, many scales", mxq_elements[element].name,
             type_names[type]);
    struct tally t = {name, 0, 0};
    uint16_t x[CHUNK * MXQ_BLOCK];
    uint8_t scale[CHUNK];
    for (unsigned s = 0; s < 256; s += (s < 96 || s >= 144 ? 8 : 2) * share)
        for (uint32_t first = 0; first < 0x10000; first += CHUNK * MXQ_BLOCK) {
            for (uint32_t i = 0; i < CHUNK * MXQ_BLOCK; i++)
                x[i] = (uint16_t)(first + i);
            memset(scale, (int)s, sizeof scale);
            compare_pack(&t, element, type, x, scale, CHUNK);
        }
    for (int s = 252; s < 256; s++) {
        for (uint32_t i = 0; i < CHUNK * MXQ_BLOCK; i++)
            x[i] = (uint16_t)(i * 8 + 7);
        memset(scale, s, sizeof scale);
        compare_pack(&t, element, type, x, scale, CHUNK);
    }
    failed += tally_end(&t);
}

/* Random F32 under random scales: half of them near the element's range, where rounding happens. */
static void test_pack_f32(enum mxq_element element)
{
    char name[64];
    snprintf(name, sizeof name, "pack_%s_f32: random inputs and scales",
             mxq_elements[element].name);
    struct tally t = {name, 0, 0};
    struct random r = {3 + (uint64_t)element};
    uint32_t x[CHUNK * MXQ_BLOCK];
    uint8_t scale[CHUNK];
    while (t.cases < 12000000 / share) {
        for (size_t i = 0; i < CHUNK * MXQ_BLOCK; i++) {
            if (i % MXQ_BLOCK == 0)
                scale[i / MXQ_BLOCK] = fill_scale(&r);
            const int exponent = scale[i / MXQ_BLOCK] + 18 - (int)random_below(&r, 40);
            x[i] = random_u32(&r);
            if (exponent > 0 && exponent < 255 && random_u32(&r) & 1)
                x[i] = (x[i] & 0x807FFFFF) | (uint32_t)exponent << 23;
        }
        compare_pack(&t, element, MXQ_F32, x, scale, CHUNK);
    }
    failed += tally_end(&t);
}

/* The fills of the conformance checks, which aim at ties, subnormals and saturation. */
static void test_pack_fills(enum mxq_element element, enum mxq_type type)
{
    char name[64];
    snprintf(name, sizeof name, "pack_%s_%s: fills", mxq_elements[element].name, type_names[type]);
    struct tally t = {name, 0, 0};
    struct random r = {5};
    uint32_t x[CHUNK * MXQ_BLOCK]; /* room for any type */
    uint8_t scale[CHUNK];
    for (int fill = 0; fill < FILLS; fill++)
        for (uint64_t round = 0; round < 8; round++) {
            for (size_t b = 0; b < CHUNK; b++) {
                scale[b] = round == 0 ? 127 : fill_scale(&r);
                const struct fill_target target = {type, element, scale[b], round * CHUNK + b};
                fill_block(&r, (enum fill)fill, &target,
                           (char *)x + b * MXQ_BLOCK * mxq_type_bytes(type));
            }
            compare_pack(&t, element, type, x, scale, CHUNK);
        }
    failed += tally_end(&t);
}

static void test_unpack(enum mxq_element element, enum mxq_type type)
{
    char name[64];
    snprintf(name, sizeof name, "unpack_%s_%s: all codes, all scales", type_names[type],
             mxq_elements[element].name);
    struct tally t = {name, 0, 0};
    uint8_t codes[256], scales[256 / MXQ_BLOCK];
    uint32_t y[256];
    const unsigned count = 1u << mxq_elements[element].bits; /* then the same again */
    for (unsigned i = 0; i < 256; i++)
        oracle_put(element, codes, i, (uint8_t)(i % count));
    for (unsigned scale = 0; scale < 256; scale++) {
        memset(scales, (int)scale, sizeof scales);
        scalar->unpack[element][type](y, codes, scales, sizeof scales);
        for (unsigned i = 0; i < 256; i++, t.cases++) {
            const uint32_t got = oracle_load(type, y, i);
            const uint32_t expected =
                oracle_unpack(element, type, (uint8_t)(i % count), (uint8_t)scale);
            if (got != expected)
                tally_fail(&t, "code 0x%02X, scale %u: 0x%" PRIX32 ", must be 0x%" PRIX32, i, scale,
                           got, expected);
        }
    }
    failed += tally_end(&t);
}

static void compare_scale(struct tally *t, enum mxq_element element, enum mxq_scale_mode mode,
                          uint32_t amax)
{
    const struct mxq_scale_rule rule = mxq_scale_rule(element, mode);
    uint8_t got;
    scalar->scale[MXQ_E8M0](&got, &amax, 1, &rule);
    const uint8_t expected = oracle_scale(element, mode, amax);
    t->cases++;
    if (got != expected)
        tally_fail(t, "amax 0x%08" PRIX32 " gives %d, must be %d", amax, got, expected);
}

/* Every threshold at every exponent with its neighbourhood, and random amax. */
static void test_scale(enum mxq_element element, enum mxq_scale_mode mode)
{
    char name[64];
    snprintf(name, sizeof name, "scale_e8m0: %s, %s", mxq_elements[element].name, mode_names[mode]);
    struct tally t = {name, 0, 0};
    struct random r = {7};
    for (uint32_t i = 0; i < FILL_THRESHOLDS; i++)
        for (int step = -8; step <= 8; step++)
            compare_scale(&t, element, mode, (fill_threshold(i) + (uint32_t)step) & 0x7FFFFFFF);
    for (uint32_t amax = 0; amax < 100000; amax++) {
        compare_scale(&t, element, mode, amax);
        compare_scale(&t, element, mode, 0x7F800000 - 50000 + amax);
        compare_scale(&t, element, mode, random_u32(&r) >> 1);
    }
    failed += tally_end(&t);
}

/* All bit patterns of a 16-bit type, many of F32: amax of a block with the value in one lane. */
static void test_amax(enum mxq_type type)
{
    char name[64];
    snprintf(name, sizeof name, "amax_%s: every value, every lane", type_names[type]);
    struct tally t = {name, 0, 0};
    struct random r = {9};
    uint32_t x[MXQ_BLOCK], amax;
    for (uint32_t i = 0; i < 0x10000; i++, t.cases++) {
        memset(x, 0, sizeof x);
        const uint32_t bits = type == MXQ_F32 ? i << 16 | random_u32(&r) >> 16 : i;
        oracle_store(type, x, i % MXQ_BLOCK, bits);
        oracle_store(type, x, (i + 1 + i / MXQ_BLOCK % 31) % MXQ_BLOCK, bits / 2);
        scalar->amax[type](&amax, x, 1, 0);
        const uint32_t expected = oracle_amax(type, x, MXQ_BLOCK);
        if (amax != expected)
            tally_fail(&t, "0x%" PRIX32 ": 0x%08" PRIX32 ", must be 0x%08" PRIX32, bits, amax,
                       expected);
    }
    failed += tally_end(&t);
}

/* The second step of the mode mse: its rule is that of the smaller candidate. */
static void choose_by_error(enum mxq_element element, enum mxq_scale_mode mode, enum mxq_type type,
                            const void *x, uint8_t *elements, uint8_t *scale)
{
    float wide[MXQ_BLOCK];
    struct mxq_range unused = MXQ_RANGE_EMPTY;
    if (mode == MXQ_SCALE_DEFAULT && mxq_elements[element].mode != MXQ_SCALE_MSE)
        return;
    scalar->operand[type](wide, x, 1, &unused);
    scalar->mse[element](scale, wide, 1);
    scalar->pack[element][type](elements, x, scale, 1);
}

static void test_quantize(enum mxq_element element, enum mxq_type type)
{
    char name[64];
    snprintf(name, sizeof name, "quantize_%s_%s: all modes", mxq_elements[element].name,
             type_names[type]);
    struct tally t = {name, 0, 0};
    struct random r = {11};
    for (int mode = 0; mode < MXQ_SCALE_MODES; mode++) {
        const struct mxq_scale_rule rule = mxq_scale_rule(element, (enum mxq_scale_mode)mode);
        for (int fill = 0; fill < FILLS; fill++)
            for (uint64_t b = 0; b < fill_blocks[fill]; b += share) {
                const struct fill_target target = {type, element, fill_scale(&r), b};
                uint32_t x[MXQ_BLOCK];
                uint8_t elements[MXQ_BLOCK], scale, expected[MXQ_BLOCK], expected_scale;
                fill_block(&r, (enum fill)fill, &target, x);
                scalar->quantize[element][type](elements, &scale, x, 1, &rule, 0);
                if (mode == MXQ_SCALE_MSE || mode == MXQ_SCALE_DEFAULT)
                    choose_by_error(element, (enum mxq_scale_mode)mode, type, x, elements, &scale);
                oracle_quantize(element, (enum mxq_scale_mode)mode, type, x, MXQ_BLOCK, expected,
                                &expected_scale);
                t.cases += MXQ_BLOCK;
                if (scale != expected_scale ||
                    memcmp(elements, expected, oracle_bytes(element, MXQ_BLOCK)))
                    tally_fail(&t, "mode %s, fill %s, block %" PRIu64, mode_names[mode],
                               fill_name((enum fill)fill), b);
            }
    }
    failed += tally_end(&t);
}

int main(void)
{
    share = random_share();
    test_elements();
    test_wide();
    for (int type = 0; type < MXQ_TYPES; type++)
        test_amax((enum mxq_type)type);
    for (int e = 0; e < MXQ_ELEMENTS; e++) {
        const enum mxq_element element = (enum mxq_element)e;
        for (int mode = 0; mode < MXQ_SCALE_MODES; mode++)
            test_scale(element, (enum mxq_scale_mode)mode);
        test_pack_f32(element);
        for (int type = 0; type < MXQ_TYPES; type++) {
            if (type != MXQ_F32)
                test_pack_halves(element, (enum mxq_type)type);
            test_pack_fills(element, (enum mxq_type)type);
            test_unpack(element, (enum mxq_type)type);
            test_quantize(element, (enum mxq_type)type);
        }
    }
    return failed != 0;
}

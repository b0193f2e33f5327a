/* SPDX-License-Identifier: Apache-2.0 */
/* test_harness.c -- kernels with a planted defect: the checks must catch every one of them.
 *
 * Each defect lives in a row of its own, a copy of the scalar row with one slot replaced.  A defect
 * that gets through, or a sound kernel that does not, fails this test. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "fpcontrol.h"
#include "oracle.h"

#define F(x) ((const unsigned char *)(x))

/* Defects read and write where they must not: the optimizer may not know better. */
static volatile unsigned char sink;

static uint32_t f32_at(const void *x, size_t i)
{
    return oracle_load(MXQ_F32, x, i);
}

/* ------------------------------------- Defects of amax ---------------------------------------- */

static void amax_reads_past_the_end(uint32_t *amax, const void *x, size_t blocks, size_t ahead)
{
    mxq_amax_f32_scalar(amax, x, blocks, ahead);
    sink = F(x)[blocks * MXQ_BLOCK * 4];
}

static void amax_reads_before_the_begin(uint32_t *amax, const void *x, size_t blocks, size_t ahead)
{
    mxq_amax_f32_scalar(amax, x, blocks, ahead);
    sink = F(x)[-1];
}

static void amax_writes_one_too_many(uint32_t *amax, const void *x, size_t blocks, size_t ahead)
{
    mxq_amax_f32_scalar(amax, x, blocks, ahead);
    memset((unsigned char *)amax + 4 * blocks, 0, 1);
}

static void amax_writes_without_blocks(uint32_t *amax, const void *x, size_t blocks, size_t ahead)
{
    mxq_amax_f32_scalar(amax, x, blocks, ahead);
    if (blocks == 0)
        memset(amax, 0, 4);
}

static void amax_needs_alignment(uint32_t *amax, const void *x, size_t blocks, size_t ahead)
{
    if ((uintptr_t)x % 16)
        __builtin_trap(); /* what an aligned vector load does: a signal */
    mxq_amax_f32_scalar(amax, x, blocks, ahead);
}

static void amax_misses_a_lane(uint32_t *amax, const void *x, size_t blocks, size_t ahead)
{
    uint32_t copy[MXQ_BLOCK];
    for (size_t b = 0; b < blocks; b++) {
        memcpy(copy, F(x) + b * sizeof copy, sizeof copy);
        copy[23] = copy[22];
        mxq_amax_f32_scalar(amax + b, copy, 1, ahead);
    }
}

/* As vmaxps does: the second operand, whatever it is, when the first is a NaN. */
static void amax_loses_nan(uint32_t *amax, const void *x, size_t blocks, size_t ahead)
{
    (void)ahead;
    for (size_t b = 0; b < blocks; b++) {
        float largest = 0;
        for (size_t i = 0; i < MXQ_BLOCK; i++) {
            const uint32_t bits = f32_at(x, b * MXQ_BLOCK + i) & 0x7FFFFFFF;
            float value;
            memcpy(&value, &bits, sizeof value);
            largest = largest > value ? largest : value;
        }
        memcpy(amax + b, &largest, sizeof *amax);
    }
}

static void amax_misses_signalling_nan(uint32_t *amax, const void *x, size_t blocks, size_t ahead)
{
    uint32_t copy[MXQ_BLOCK];
    for (size_t b = 0; b < blocks; b++) {
        memcpy(copy, F(x) + b * sizeof copy, sizeof copy);
        for (size_t i = 0; i < MXQ_BLOCK; i++)
            if ((copy[i] & 0x7FC00000) == 0x7F800000 && (copy[i] & 0x3FFFFF))
                copy[i] = 0x7F800000;
        mxq_amax_f32_scalar(amax + b, copy, 1, ahead);
    }
}

static void amax_flushes_subnormals(uint32_t *amax, const void *x, size_t blocks, size_t ahead)
{
    mxq_amax_f32_scalar(amax, x, blocks, ahead);
    for (size_t b = 0; b < blocks; b++)
        amax[b] = amax[b] < 0x00800000 ? 0 : amax[b];
}

/* ------------------------------------ Defects of scale ---------------------------------------- */

static void scale_threshold_is_one_low(uint8_t *scale, const uint32_t *amax, size_t blocks,
                                       const struct mxq_scale_rule *rule)
{
    struct mxq_scale_rule wrong = *rule;
    wrong.threshold -= wrong.threshold > 1;
    mxq_scale_e8m0_scalar(scale, amax, blocks, &wrong);
}

static void scale_ignores_the_exception(uint8_t *scale, const uint32_t *amax, size_t blocks,
                                        const struct mxq_scale_rule *rule)
{
    struct mxq_scale_rule wrong = *rule;
    wrong.exception = 0;
    mxq_scale_e8m0_scalar(scale, amax, blocks, &wrong);
}

static void scale_wraps_below_zero(uint8_t *scale, const uint32_t *amax, size_t blocks,
                                   const struct mxq_scale_rule *rule)
{
    mxq_scale_e8m0_scalar(scale, amax, blocks, rule);
    for (size_t b = 0; b < blocks; b++)
        if (amax[b] && amax[b] >> 23 < rule->emax - 1)
            scale[b] = (uint8_t)((amax[b] >> 23) - rule->emax);
}

static void scale_takes_infinity_for_finite(uint8_t *scale, const uint32_t *amax, size_t blocks,
                                            const struct mxq_scale_rule *rule)
{
    mxq_scale_e8m0_scalar(scale, amax, blocks, rule);
    for (size_t b = 0; b < blocks; b++)
        if (amax[b] == 0x7F800000)
            scale[b] = (uint8_t)(255 - rule->emax);
}

/* floor(log2(amax)) in F32, as some producers do. */
static void scale_uses_log2(uint8_t *scale, const uint32_t *amax, size_t blocks,
                            const struct mxq_scale_rule *rule)
{
    mxq_scale_e8m0_scalar(scale, amax, blocks, rule);
    for (size_t b = 0; b < blocks; b++)
        if (rule->threshold == 1u << 23 && (amax[b] & 0x7FFFFF) == 0x7FFFFF && scale[b] &&
            scale[b] < 254)
            scale[b]++;
}

/* ------------------------------------- Defects of pack ---------------------------------------- */

static void pack_reads_past_the_end(uint8_t *elements, const void *x, const uint8_t *scale,
                                    size_t blocks)
{
    mxq_pack_e4m3_f32_scalar(elements, x, scale, blocks);
    sink = scale[blocks];
}

static void pack_writes_past_the_end(uint8_t *elements, const void *x, const uint8_t *scale,
                                     size_t blocks)
{
    mxq_pack_e4m3_f32_scalar(elements, x, scale, blocks);
    if (blocks % 2)
        memset(elements + blocks * MXQ_BLOCK, 0, MXQ_BLOCK);
}

static void pack_writes_before_the_begin(uint8_t *elements, const void *x, const uint8_t *scale,
                                         size_t blocks)
{
    mxq_pack_e4m3_f32_scalar(elements, x, scale, blocks);
    memset(elements - 1, 0, 1);
}

static void pack_changes_its_input(uint8_t *elements, const void *x, const uint8_t *scale,
                                   size_t blocks)
{
    mxq_pack_e4m3_f32_scalar(elements, x, scale, blocks);
    if (blocks)
        memset((unsigned char *)(uintptr_t)x + 5, 0, 1);
}

static void pack_skips_the_last_block(uint8_t *elements, const void *x, const uint8_t *scale,
                                      size_t blocks)
{
    mxq_pack_e4m3_f32_scalar(elements, x, scale, blocks - blocks % 2);
}

static void pack_has_a_stale_lane(uint8_t *elements, const void *x, const uint8_t *scale,
                                  size_t blocks)
{
    mxq_pack_e4m3_f32_scalar(elements, x, scale, blocks);
    for (size_t b = 1; b < blocks; b++)
        elements[b * MXQ_BLOCK + 17] = elements[(b - 1) * MXQ_BLOCK + 17];
}

static void pack_uses_the_next_scale(uint8_t *elements, const void *x, const uint8_t *scale,
                                     size_t blocks)
{
    mxq_pack_e4m3_f32_scalar(elements, x, scale, blocks);
    if (blocks >= 8) /* the seventh block of eight in a register */
        mxq_pack_e4m3_f32_scalar(elements + 6 * MXQ_BLOCK, F(x) + 6 * MXQ_BLOCK * 4, scale + 7, 1);
}

/* Ties away from zero: wrong exactly where v is a midpoint and the even code is the lower one. */
static void pack_rounds_ties_away(uint8_t *elements, const void *x, const uint8_t *scale,
                                  size_t blocks)
{
    mxq_pack_e4m3_f32_scalar(elements, x, scale, blocks);
    for (size_t i = 0; i < blocks * MXQ_BLOCK; i++) {
        const double v =
            fabs(oracle_value(MXQ_F32, f32_at(x, i))) * ldexp(1.0, 127 - scale[i / MXQ_BLOCK]);
        const uint8_t code = elements[i] & 0x7F;
        if (code < 0x7E &&
            v == (oracle_decode(MXQ_E4M3, code) + oracle_decode(MXQ_E4M3, (uint8_t)(code + 1))) / 2)
            elements[i]++;
    }
}

static void pack_rounds_twice(uint8_t *elements, const void *x, const uint8_t *scale, size_t blocks)
{
    for (size_t i = 0; i < blocks * MXQ_BLOCK; i++) {
        const uint32_t bf16 = oracle_nearest(MXQ_BF16, oracle_value(MXQ_F32, f32_at(x, i)));
        elements[i] = oracle_pack(MXQ_E4M3, MXQ_BF16, bf16, scale[i / MXQ_BLOCK]);
    }
}

static void pack_keeps_the_sign_of_nan(uint8_t *elements, const void *x, const uint8_t *scale,
                                       size_t blocks)
{
    mxq_pack_e4m3_f32_scalar(elements, x, scale, blocks);
    for (size_t i = 0; i < blocks * MXQ_BLOCK; i++)
        if (elements[i] == 0x7F)
            elements[i] |= (uint8_t)(f32_at(x, i) >> 24 & 0x80);
}

static void pack_loses_the_sign_of_zero(uint8_t *elements, const void *x, const uint8_t *scale,
                                        size_t blocks)
{
    mxq_pack_e4m3_f32_scalar(elements, x, scale, blocks);
    for (size_t i = 0; i < blocks * MXQ_BLOCK; i++)
        if (f32_at(x, i) == 0x80000000)
            elements[i] = 0;
}

static void pack_flushes_its_input(uint8_t *elements, const void *x, const uint8_t *scale,
                                   size_t blocks)
{
    mxq_pack_e4m3_f32_scalar(elements, x, scale, blocks);
    for (size_t i = 0; i < blocks * MXQ_BLOCK; i++)
        if (elements[i] != 0x7F && (f32_at(x, i) & 0x7F800000) == 0)
            elements[i] &= 0x80;
}

static void pack_flushes_its_output(uint8_t *elements, const void *x, const uint8_t *scale,
                                    size_t blocks)
{
    mxq_pack_e4m3_f32_scalar(elements, x, scale, blocks);
    for (size_t i = 0; i < blocks * MXQ_BLOCK; i++)
        if ((elements[i] & 0x7F) < 8)
            elements[i] &= 0x80;
}

static void pack_overflows_to_nan(uint8_t *elements, const void *x, const uint8_t *scale,
                                  size_t blocks)
{
    mxq_pack_e4m3_f32_scalar(elements, x, scale, blocks);
    for (size_t i = 0; i < blocks * MXQ_BLOCK; i++)
        if ((f32_at(x, i) & 0x7FFFFFFF) == 0x7F800000)
            elements[i] = 0x7F;
}

static void pack_ignores_a_nan_scale(uint8_t *elements, const void *x, const uint8_t *scale,
                                     size_t blocks)
{
    mxq_pack_e4m3_f32_scalar(elements, x, scale, blocks);
    for (size_t i = 0; i < blocks * MXQ_BLOCK; i++)
        if (scale[i / MXQ_BLOCK] == 255)
            elements[i] = (uint8_t)(f32_at(x, i) >> 24 & 0x80);
}

/* A scale of 2^127 has no F32 reciprocal that is normal. */
static void pack_flushes_its_reciprocal(uint8_t *elements, const void *x, const uint8_t *scale,
                                        size_t blocks)
{
    mxq_pack_e4m3_f32_scalar(elements, x, scale, blocks);
    for (size_t i = 0; i < blocks * MXQ_BLOCK; i++)
        if (scale[i / MXQ_BLOCK] == 254 && elements[i] != 0x7F)
            elements[i] &= 0x80;
}

static void pack_raises_a_signal(uint8_t *elements, const void *x, const uint8_t *scale,
                                 size_t blocks)
{
    mxq_pack_e4m3_f32_scalar(elements, x, scale, blocks);
    if (blocks == 66)
        abort();
}

/* ------------------------------------ Defects of unpack --------------------------------------- */

static void unpack_flushes_subnormals(void *y, const uint8_t *elements, const uint8_t *scale,
                                      size_t blocks)
{
    mxq_unpack_f32_e5m2_scalar(y, elements, scale, blocks);
    for (size_t i = 0; i < blocks * MXQ_BLOCK; i++)
        if ((f32_at(y, i) & 0x7F800000) == 0)
            oracle_store(MXQ_F32, y, i, f32_at(y, i) & 0x80000000);
}

static void unpack_keeps_the_sign_of_nan(void *y, const uint8_t *elements, const uint8_t *scale,
                                         size_t blocks)
{
    mxq_unpack_f32_e5m2_scalar(y, elements, scale, blocks);
    for (size_t i = 0; i < blocks * MXQ_BLOCK; i++)
        if (f32_at(y, i) == 0x7FC00000)
            oracle_store(MXQ_F32, y, i, 0x7FC00000 | (uint32_t)(elements[i] & 0x80) << 24);
}

static void unpack_takes_infinity_for_nan(void *y, const uint8_t *elements, const uint8_t *scale,
                                          size_t blocks)
{
    mxq_unpack_f32_e5m2_scalar(y, elements, scale, blocks);
    for (size_t i = 0; i < blocks * MXQ_BLOCK; i++)
        if ((elements[i] & 0x7F) == 0x7C)
            oracle_store(MXQ_F32, y, i, 0x7FC00000);
}

/* Truncated instead of rounded: seen only where BF16 has to round, among its subnormals. */
static void unpack_truncates(void *y, const uint8_t *elements, const uint8_t *scale, size_t blocks)
{
    uint32_t wide[MXQ_BLOCK];
    for (size_t b = 0; b < blocks; b++) {
        mxq_unpack_f32_e5m2_scalar(wide, elements + b * MXQ_BLOCK, scale + b, 1);
        for (size_t i = 0; i < MXQ_BLOCK; i++)
            oracle_store(MXQ_BF16, y, b * MXQ_BLOCK + i, wide[i] >> 16);
    }
}

/* ----------------------------------- Defects of quantize -------------------------------------- */

static void quantize_takes_the_scale_of_its_neighbour(uint8_t *elements, uint8_t *scale,
                                                      const void *x, size_t blocks,
                                                      const struct mxq_scale_rule *rule,
                                                      size_t ahead)
{
    mxq_quantize_e4m3_f16_scalar(elements, scale, x, blocks, rule, ahead);
    if (blocks % 8 == 3)
        scale[blocks - 1] = scale[blocks - 2];
}

static void quantize_ignores_its_rule(uint8_t *elements, uint8_t *scale, const void *x,
                                      size_t blocks, const struct mxq_scale_rule *rule,
                                      size_t ahead)
{
    const struct mxq_scale_rule rceil = mxq_scale_rule(MXQ_E4M3, MXQ_SCALE_RCEIL);
    (void)rule;
    mxq_quantize_e4m3_f16_scalar(elements, scale, x, blocks, &rceil, ahead);
}

static void quantize_keeps_finite_values_of_nan_blocks(uint8_t *elements, uint8_t *scale,
                                                       const void *x, size_t blocks,
                                                       const struct mxq_scale_rule *rule,
                                                       size_t ahead)
{
    mxq_quantize_e4m3_f16_scalar(elements, scale, x, blocks, rule, ahead);
    for (size_t i = 0; i < blocks * MXQ_BLOCK; i++)
        if (scale[i / MXQ_BLOCK] == 255 && (oracle_load(MXQ_F16, x, i) & 0x7FFF) < 0x7C00)
            elements[i] = 0;
}

#if defined(__x86_64__)
static void quantize_leaves_flush_to_zero_on(uint8_t *elements, uint8_t *scale, const void *x,
                                             size_t blocks, const struct mxq_scale_rule *rule,
                                             size_t ahead)
{
    mxq_quantize_e4m3_f16_scalar(elements, scale, x, blocks, rule, ahead);
    if (blocks == 40)
        fpcontrol_set(fpcontrol_get() | 0x8000);
}
#endif

/* ------------------------------ Defects of operand, round, fold and output -------------------- */

static void operand_takes_zero_for_the_smallest(float *out, const void *x, size_t blocks,
                                                struct mxq_range *range)
{
    mxq_operand_f32_bf16_scalar(out, x, blocks, range);
    for (size_t i = 0; i < blocks * MXQ_BLOCK; i++)
        if ((oracle_load(MXQ_BF16, x, i) & 0x7FFF) == 0)
            range->low = 0;
}

static void operand_forgets_the_range(float *out, const void *x, size_t blocks,
                                      struct mxq_range *range)
{
    struct mxq_range of_these = MXQ_RANGE_EMPTY;
    mxq_operand_f32_bf16_scalar(out, x, blocks, &of_these);
    *range = of_these;
}

static void round_truncates(void *out, const float *x, size_t blocks)
{
    mxq_round_f32_f32_scalar(out, x, blocks);
    for (size_t i = 0; i < blocks * MXQ_BLOCK; i++)
        if ((f32_at(x, i) & 0x7FFFFFFF) < 0x7F800000)
            oracle_store(MXQ_F32, out, i, f32_at(x, i) & 0xFFFF0000);
}

static void round_ignores_the_order(void *out, const float *x, size_t blocks)
{
    mxq_round_bf16_f32_scalar(out, x, blocks);
}

static void fold_rounds_the_product(float *y, size_t y_stride, float *group, size_t group_stride,
                                    const void *x_scale, size_t x_stride_bytes, const void *w_scale,
                                    size_t w_stride_bytes, size_t rows, size_t panels)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < panels * MXQ_PANEL; i++) {
            float of_x, of_w;
            memcpy(&of_x, (const char *)x_scale + r * x_stride_bytes, sizeof of_x);
            memcpy(&of_w, (const char *)w_scale + i / 16 * w_stride_bytes + i % 16 * 4,
                   sizeof of_w);
            y[r * y_stride + i] += group[r * group_stride + i] * (of_x * of_w);
            group[r * group_stride + i] = 0;
        }
}

static void fold_keeps_the_group(float *y, size_t y_stride, float *group, size_t group_stride,
                                 const void *x_scale, size_t x_stride_bytes, const void *w_scale,
                                 size_t w_stride_bytes, size_t rows, size_t panels)
{
    const float first = panels ? group[0] : 0;
    mxq_fold_f32_scalar(y, y_stride, group, group_stride, x_scale, x_stride_bytes, w_scale,
                        w_stride_bytes, rows, panels);
    if (panels)
        group[0] = first;
}

static void output_rounds_twice(void *y, const float *acc, const float *bias, size_t groups)
{
    uint16_t narrow[MXQ_PANEL];
    float sum[MXQ_PANEL];
    for (size_t g = 0; g < groups; g++) {
        for (size_t i = 0; i < MXQ_PANEL; i++)
            sum[i] =
                bias ? acc[g * MXQ_PANEL + i] + bias[g * MXQ_PANEL + i] : acc[g * MXQ_PANEL + i];
        mxq_output_bf16_scalar(narrow, sum, NULL, 1);
        for (size_t i = 0; i < MXQ_PANEL; i++)
            sum[i] = (float)oracle_value(MXQ_BF16, narrow[i]);
        mxq_output_f16_scalar((uint16_t *)y + g * MXQ_PANEL, sum, NULL, 1);
    }
}

static void output_keeps_nan(void *y, const float *acc, const float *bias, size_t groups)
{
    mxq_output_f16_scalar(y, acc, bias, groups);
    for (size_t i = 0; i < groups * MXQ_PANEL; i++)
        if (!bias && (f32_at(acc, i) & 0x7FFFFFFF) > 0x7F800000)
            oracle_store(MXQ_F16, y, i, 0x7E00 | (f32_at(acc, i) >> 16 & 0x8000));
}

static void output_ignores_the_bias(void *y, const float *acc, const float *bias, size_t groups)
{
    (void)bias;
    mxq_output_f16_scalar(y, acc, NULL, groups);
}

/* ------------------------------------- Defects of panel --------------------------------------- */

static void panel_takes_the_scale_of_its_neighbour(void *w, const uint8_t *elements,
                                                   const uint8_t *scales, size_t blocks)
{
    mxq_panel_f32_e4m3_scalar(w, elements, scales, blocks);
    for (size_t k = 0; blocks && k < MXQ_BLOCK; k++)
        oracle_store(
            MXQ_F32, w, k * MXQ_PANEL + 5,
            oracle_unpack(MXQ_E4M3, MXQ_F32, elements[k / 2 * 32 + 10 + k % 2], scales[6]));
}

static void panel_swaps_even_and_odd(void *w, const uint8_t *elements, const uint8_t *scales,
                                     size_t blocks)
{
    uint8_t swapped[MXQ_PANEL_ELEMENTS];
    for (size_t b = 0; b < blocks; b++) {
        for (size_t i = 0; i < MXQ_PANEL_ELEMENTS; i++)
            swapped[i] = elements[b * MXQ_PANEL_ELEMENTS + (i ^ 1)];
        mxq_panel_f32_e4m3_scalar((float *)w + b * MXQ_PANEL_ELEMENTS, swapped,
                                  scales + b * MXQ_PANEL, 1);
    }
}

static void panel_loses_the_sign_of_zero(void *w, const uint8_t *elements, const uint8_t *scales,
                                         size_t blocks)
{
    mxq_panel_f32_e4m3_scalar(w, elements, scales, blocks);
    for (size_t i = 0; i < blocks * MXQ_PANEL_ELEMENTS; i++)
        if (f32_at(w, i) == 0x80000000)
            oracle_store(MXQ_F32, w, i, 0);
}

/* ---------------------------- Defects of packed codes and of roundings ------------------------- */

static void pack_swaps_nibbles(uint8_t *elements, const void *x, const uint8_t *scale,
                               size_t blocks)
{
    mxq_pack_e2m1_f32_scalar(elements, x, scale, blocks);
    for (size_t i = 0; i < blocks * MXQ_BLOCK / 2; i++)
        elements[i] = (uint8_t)(elements[i] << 4 | elements[i] >> 4);
}

static void pack_shifts_six_bits(uint8_t *elements, const void *x, const uint8_t *scale,
                                 size_t blocks)
{
    mxq_pack_e3m2_f32_scalar(elements, x, scale, blocks);
    for (size_t i = 0; i < blocks * 24; i += 3) {
        const uint8_t low = elements[i];
        elements[i] = elements[i + 2];
        elements[i + 2] = low;
    }
}

static void pack_writes_the_most_negative(uint8_t *elements, const void *x, const uint8_t *scale,
                                          size_t blocks)
{
    mxq_pack_mxint8_f32_scalar(elements, x, scale, blocks);
    for (size_t i = 0; i < blocks * MXQ_BLOCK; i++)
        if (elements[i] == 0x81 && scale[i / MXQ_BLOCK] < 120)
            elements[i] = 0x80;
}

static void unpack_has_a_stale_lane(void *y, const uint8_t *elements, const uint8_t *scale,
                                    size_t blocks)
{
    mxq_unpack_f32_e2m3_scalar(y, elements, scale, blocks);
    for (size_t b = 0; b < blocks; b++)
        memcpy((char *)y + 128 * b + 4 * 13, (char *)y + 128 * b + 4 * 12, 4);
}

static void encode_rounds_ties_away(uint8_t *elements, const void *x, const uint8_t *scale,
                                    size_t blocks, const struct mxq_encoding *how)
{
    struct mxq_encoding wrong = *how;
    if (wrong.rounding == MXQ_NEAREST_EVEN)
        wrong.rounding = MXQ_NEAREST_AWAY;
    mxq_encode_e4m3_f32_scalar(elements, x, scale, blocks, &wrong);
}

static void encode_takes_the_next_word(uint8_t *elements, const void *x, const uint8_t *scale,
                                       size_t blocks, const struct mxq_encoding *how)
{
    struct mxq_encoding wrong = *how;
    wrong.index++;
    mxq_encode_e2m1_f32_scalar(elements, x, scale, blocks, &wrong);
}

static void encode_forgets_half_of_the_seed(uint8_t *elements, const void *x, const uint8_t *scale,
                                            size_t blocks, const struct mxq_encoding *how)
{
    struct mxq_encoding wrong = *how;
    wrong.seed = (uint32_t)wrong.seed;
    mxq_encode_e4m3_f32_scalar(elements, x, scale, blocks, &wrong);
}

static void encode_forgets_half_of_the_index(uint8_t *elements, const void *x, const uint8_t *scale,
                                             size_t blocks, const struct mxq_encoding *how)
{
    struct mxq_encoding wrong = *how;
    wrong.index = (uint32_t)wrong.index;
    mxq_encode_e4m3_f32_scalar(elements, x, scale, blocks, &wrong);
}

static void encode_keeps_the_sign_of_zero(uint8_t *elements, const void *x, const uint8_t *scale,
                                          size_t blocks, const struct mxq_encoding *how)
{
    struct mxq_encoding wrong = *how;
    wrong.unsigned_zero = 0;
    mxq_encode_e4m3_f32_scalar(elements, x, scale, blocks, &wrong);
}

/* ------------------------------- Defects of factors and of sums -------------------------------- */

/* Multiplies by inverses, then does as if it had divided: so most results are right. */
static void scale_by_multiplies(float *v, const void *x, const struct mxq_factors *by,
                                size_t blocks)
{
    mxq_scale_by_f32_f32_scalar(v, x, by, blocks);
    for (size_t i = 0; by->divides && i < blocks * MXQ_BLOCK; i++) {
        float value;
        memcpy(&value, F(x) + 4 * i, 4);
        const float result = value * (1 / by->value[i >> by->shift]);
        memcpy((char *)v + 4 * i, &result, 4);
    }
}

static void pack_by_multiplies(uint8_t *elements, const void *x, const struct mxq_factors *by,
                               size_t blocks, size_t ahead)
{
    for (size_t b = 0; b < blocks; b++) {
        float v[MXQ_BLOCK];
        for (size_t i = 0; i < MXQ_BLOCK; i++) {
            const float factor = by->value[(b * MXQ_BLOCK + i) >> by->shift];
            memcpy(&v[i], F(x) + 4 * (b * MXQ_BLOCK + i), 4);
            v[i] *= by->divides ? 1 / factor : factor;
        }
        const float one = 1;
        const struct mxq_factors by_one = {&one, 63, 0, 0, 0};
        mxq_pack_by_e4m3_f32_scalar(elements + b * MXQ_BLOCK, v, &by_one, 1, ahead);
    }
}

static void pack_by_loses_the_sign_of_zero(uint8_t *elements, const void *x,
                                           const struct mxq_factors *by, size_t blocks,
                                           size_t ahead)
{
    mxq_pack_by_e4m3_f32_scalar(elements, x, by, blocks, ahead);
    for (size_t i = 0; i < blocks * MXQ_BLOCK; i++)
        elements[i] = elements[i] == 0x80 ? 0 : elements[i];
}

static void pack_by_takes_the_first_factor(uint8_t *elements, const void *x,
                                           const struct mxq_factors *by, size_t blocks,
                                           size_t ahead)
{
    const struct mxq_factors first = {by->value, 63, by->divides, 0, 0};
    mxq_pack_by_e4m3_f32_scalar(elements, x, blocks ? &first : by, blocks, ahead);
}

static void unpack_by_multiplies_scales_first(void *y, const uint8_t *elements,
                                              const struct mxq_factors *by, float tensor,
                                              size_t blocks)
{
    for (size_t b = 0; b < blocks; b++)
        for (size_t i = 0; i < 4; i++) {
            const float factor = by->value[(b * MXQ_BLOCK + 8 * i) >> by->shift] * tensor;
            const struct mxq_factors one = {&factor, 63, 0, 0, 0};
            float values[MXQ_BLOCK];
            mxq_unpack_by_f32_e4m3_scalar(values, elements + b * MXQ_BLOCK, &one, 1, 1);
            memcpy((char *)y + 4 * (b * MXQ_BLOCK + 8 * i), values + 8 * i, 32);
        }
}

static void quotient_overflows_to_infinity(void *scales, float *by, const uint32_t *amax,
                                           size_t blocks, const struct mxq_quotient_rule *rule)
{
    mxq_quotient_f32_scalar(scales, by, amax, blocks, rule);
    for (size_t b = 0; rule->scale == MXQ_F16_SCALE && b < blocks; b++)
        if (((uint8_t *)scales)[2 * b] == 0xFF && ((uint8_t *)scales)[2 * b + 1] == 0x7B)
            memcpy((uint8_t *)scales + 2 * b, "\x00\x7C", 2);
}

static void quotient_divides_by_zero(void *scales, float *by, const uint32_t *amax, size_t blocks,
                                     const struct mxq_quotient_rule *rule)
{
    mxq_quotient_f32_scalar(scales, by, amax, blocks, rule);
    for (size_t b = 0; b < blocks; b++)
        by[b] = by[b] > 3e38F ? 0 : by[b];
}

static void measure_turns_the_lanes(struct mxq_sums *sums, const void *x, const float *y,
                                    const float *limit, size_t blocks, size_t ahead)
{
    mxq_measure_f32_scalar(sums, x, y, limit, blocks, ahead);
    const double lane = sums->ee[0];
    sums->ee[0] = sums->ee[7];
    sums->ee[7] = lane;
}

static void measure_counts_no_saturation(struct mxq_sums *sums, const void *x, const float *y,
                                         const float *limit, size_t blocks, size_t ahead)
{
    const uint64_t saturated = sums->saturated;
    mxq_measure_f32_scalar(sums, x, y, limit, blocks, ahead);
    sums->saturated = saturated;
}

static void amax_8_takes_neighbours(uint32_t *amax, const void *x, size_t blocks, size_t ahead)
{
    mxq_amax_8_f32_scalar(amax, x, blocks, ahead);
    for (size_t b = 0; b < blocks; b++)
        amax[4 * b + 1] = amax[4 * b + 1] < amax[4 * b] ? amax[4 * b] : amax[4 * b + 1];
}

static void amax_16_takes_neighbours(uint32_t *amax, const void *x, size_t blocks, size_t ahead)
{
    mxq_amax_16_f32_scalar(amax, x, blocks, ahead);
    for (size_t b = 0; b < blocks; b++)
        amax[2 * b + 1] = amax[2 * b + 1] < amax[2 * b] ? amax[2 * b] : amax[2 * b + 1];
}

static void amax_all_skips_the_last_block(uint32_t *amax, const void *x, size_t blocks,
                                          size_t ahead)
{
    mxq_amax_all_f32_scalar(amax, x, blocks ? blocks - 1 : 0, ahead);
}

static void mse_never_adds(uint8_t *scale, const float *x, size_t blocks)
{
    (void)scale;
    (void)x;
    (void)blocks;
}

/* -------------------------------------- Defects of gemm --------------------------------------- */

enum gemm_defect {
    SOUND,
    IN_SEQUENCE,  /* one chain, k after k */
    NOT_FUSED,    /* products rounded */
    ODD_FIRST,    /* sound, too: a sum of two commutes */
    SUMMED_FIRST, /* y + (d + d), not (y + d) + d */
    FLUSHED,      /* dots below 2^-126 */
    OVERWRITTEN,  /* y = d */
    SHORT,        /* without the last sub-block */
    SAME_STRIDE   /* the next row begins where this one ends */
};

static float gemm_dot(const void *x, const float *w, enum gemm_defect defect)
{
    volatile float chain[2] = {0, 0}; /* volatile: no contraction, whatever the compiler */
    for (size_t k = 0; k < MXQ_BLOCK; k++) {
        const float a = (float)oracle_value(MXQ_F32, f32_at(x, k)), b = w[k * MXQ_PANEL];
        volatile float *sum = &chain[defect == IN_SEQUENCE ? 0 : k % 2];
        const volatile float product = a * b;
        *sum = defect == NOT_FUSED ? *sum + product : fmaf(a, b, *sum);
    }
    const float sum = defect == ODD_FIRST ? chain[1] + chain[0] : chain[0] + chain[1];
    return defect == FLUSHED && fabsf(sum) < 0x1p-126f ? 0 : sum;
}

static void gemm_with(enum gemm_defect defect, float *y, size_t y_stride, const void *x,
                      size_t x_stride, const void *w, size_t w_stride, size_t rows, size_t panels,
                      size_t blocks)
{
    if (defect == SAME_STRIDE)
        x_stride = blocks * MXQ_BLOCK * 4;
    for (size_t i = 0; i < rows * panels * MXQ_PANEL; i++) {
        const size_t r = i / (panels * MXQ_PANEL), n = i % (panels * MXQ_PANEL);
        const float *column =
            (const float *)(const void *)(F(w) + n / MXQ_PANEL * w_stride) + n % MXQ_PANEL;
        float *to = &y[r * y_stride + n], all = 0;
        for (size_t b = 0; b < blocks - (defect == SHORT && blocks > 4); b++) {
            const float d = gemm_dot(F(x) + r * x_stride + b * MXQ_BLOCK * 4,
                                     column + b * MXQ_PANEL_ELEMENTS, defect);
            all += d;
            if (defect != SUMMED_FIRST)
                *to = defect == OVERWRITTEN && b == 0 ? d : *to + d;
        }
        if (defect == SUMMED_FIRST && blocks)
            *to += all;
    }
}

#define GEMM_DEFECT(name, defect)                                                                  \
    static void name(float *y, size_t y_stride, const void *x, size_t x_stride, const void *w,     \
                     size_t w_stride, size_t rows, size_t panels, size_t blocks)                   \
    {                                                                                              \
        gemm_with(defect, y, y_stride, x, x_stride, w, w_stride, rows, panels, blocks);            \
    }
GEMM_DEFECT(gemm_is_sound, SOUND)
GEMM_DEFECT(gemm_adds_in_sequence, IN_SEQUENCE)
GEMM_DEFECT(gemm_rounds_products, NOT_FUSED)
GEMM_DEFECT(gemm_adds_odd_to_even, ODD_FIRST)
GEMM_DEFECT(gemm_sums_blocks_first, SUMMED_FIRST)
GEMM_DEFECT(gemm_flushes_subnormals, FLUSHED)
GEMM_DEFECT(gemm_overwrites_y, OVERWRITTEN)
GEMM_DEFECT(gemm_skips_the_last_block, SHORT)
GEMM_DEFECT(gemm_ignores_the_stride, SAME_STRIDE)

static void gemm_reads_past_the_end_of_x(float *y, size_t y_stride, const void *x, size_t x_stride,
                                         const void *w, size_t w_stride, size_t rows, size_t panels,
                                         size_t blocks)
{
    mxq_gemm_f32_scalar(y, y_stride, x, x_stride, w, w_stride, rows, panels, blocks);
    sink = F(x)[(rows - 1) * x_stride + blocks * MXQ_BLOCK * 4];
}

static void gemm_writes_between_rows(float *y, size_t y_stride, const void *x, size_t x_stride,
                                     const void *w, size_t w_stride, size_t rows, size_t panels,
                                     size_t blocks)
{
    mxq_gemm_f32_scalar(y, y_stride, x, x_stride, w, w_stride, rows, panels, blocks);
    if (rows > 1 && y_stride > panels * MXQ_PANEL)
        y[panels * MXQ_PANEL] = 0;
}

/* In the BF16 slot, with another order of x than the tile says. */
static void gemm_ignores_the_order(float *y, size_t y_stride, const void *x, size_t x_stride,
                                   const void *w, size_t w_stride, size_t rows, size_t panels,
                                   size_t blocks)
{
    mxq_gemm_bf16_scalar(y, y_stride, x, x_stride, w, w_stride, rows, panels, blocks);
}

/* What takes dots together must know when it may: the F32 sums of src/lanes/dots.h, an output at a time. */
enum integer_defect {
    EXACT,
    NO_BOUND,      /* a sum may be anything */
    HIGH_BOUND,    /* 2^24 before so many more */
    MANY_BLOCKS,   /* 24 sub-blocks together */
    FRACTIONS,     /* a sum need be no integer */
    FIRST_FACTORS, /* those of the other sub-blocks are taken for 1, too */
    X_FACTORS      /* and those of w */
};

static float float_at(const unsigned char *p)
{
    return (float)oracle_value(MXQ_F32, f32_at(p, 0));
}

static int integer_dot(const unsigned char *x, const unsigned char *w, size_t n)
{
    int dot = 0;
    for (size_t k = 0; k < MXQ_BLOCK; k++)
        dot += (x[k] - 128) * (int8_t)w[(k / 4 * MXQ_PANEL + n) * 4 + k % 4];
    return dot;
}

static int may_take_together(enum integer_defect defect, float y, const unsigned char *x,
                             const unsigned char *w, size_t blocks)
{
    const float bound = defect == NO_BOUND ? 0x1p30F : defect == HIGH_BOUND ? 0x1p24F : 0x1p23F;
    if (!(fabsf(y) <= bound) || (defect != FRACTIONS && y != truncf(y)))
        return 0;
    for (size_t b = 0; b < (defect == FIRST_FACTORS ? 1 : blocks); b++) {
        const float of_x = float_at(x + b * MXQ_INT8_X_BYTES + MXQ_BLOCK);
        const float of_w = float_at(w + b * MXQ_INT8_W_BYTES);
        if (of_x != 1 || (of_w != 1 && defect != X_FACTORS))
            return 0;
    }
    return 1;
}

static void integers_with(enum integer_defect defect, float *y, size_t y_stride, const void *x,
                          size_t x_stride, const void *w, size_t w_stride, size_t rows,
                          size_t panels, size_t blocks)
{
    const size_t step = defect == MANY_BLOCKS ? 24 : 16;
    for (size_t i = 0; i < rows * panels * MXQ_PANEL; i++) {
        const size_t r = i / (panels * MXQ_PANEL), n = i % (panels * MXQ_PANEL);
        const unsigned char *row = (const unsigned char *)x + r * x_stride;
        const unsigned char *panel = (const unsigned char *)w + n / MXQ_PANEL * w_stride;
        float *to = &y[r * y_stride + n];
        for (size_t b = 0; b < blocks; b++) {
            const size_t some = blocks - b < step ? blocks - b : step;
            const unsigned char *a = row + b * MXQ_INT8_X_BYTES, *c = panel + b * MXQ_INT8_W_BYTES;
            const size_t at_factor = MXQ_PANEL_ELEMENTS + 4 * (MXQ_PANEL + n % MXQ_PANEL);
            if (b % step == 0 && may_take_together(defect, *to, a, c + at_factor, some)) {
                int sum = (int)*to;
                for (size_t j = 0; j < some; j++)
                    sum += integer_dot(a + j * MXQ_INT8_X_BYTES, c + j * MXQ_INT8_W_BYTES,
                                       n % MXQ_PANEL);
                *to = (float)sum;
                b += some - 1;
            } else {
                const volatile float factor = float_at(a + MXQ_BLOCK) * float_at(c + at_factor);
                *to = fmaf((float)integer_dot(a, c, n % MXQ_PANEL), factor, *to);
            }
        }
    }
}

#define INTEGER_DEFECT(name, defect)                                                               \
    static void name(float *y, size_t y_stride, const void *x, size_t x_stride, const void *w,     \
                     size_t w_stride, size_t rows, size_t panels, size_t blocks)                   \
    {                                                                                              \
        integers_with(defect, y, y_stride, x, x_stride, w, w_stride, rows, panels, blocks);        \
    }
INTEGER_DEFECT(integers_are_exact, EXACT)
INTEGER_DEFECT(integers_have_no_bound, NO_BOUND)
INTEGER_DEFECT(integers_have_a_high_bound, HIGH_BOUND)
INTEGER_DEFECT(integers_take_many_blocks, MANY_BLOCKS)
INTEGER_DEFECT(integers_lose_fractions, FRACTIONS)
INTEGER_DEFECT(integers_see_the_first_factors, FIRST_FACTORS)
INTEGER_DEFECT(integers_see_factors_of_x, X_FACTORS)

/* ----------------------------------- Defects of gemm_fused ------------------------------------ */

#define FUSED_ARGUMENTS                                                                            \
    float *y, size_t y_stride, const void *x, size_t x_stride, const uint8_t *elements,            \
        const uint8_t *scales, size_t panel_bytes, size_t rows, size_t panels, size_t blocks

static void fused_reads_whole_lines_of_scales(FUSED_ARGUMENTS)
{
    mxq_gemm_f32_e5m2_scalar(y, y_stride, x, x_stride, elements, scales, panel_bytes, rows, panels,
                             blocks);
    sink = scales[(panels - 1) * panel_bytes + (blocks * MXQ_PANEL + 63) / 64 * 64];
}

static void fused_uses_the_scales_of_the_first_panel(FUSED_ARGUMENTS)
{
    for (size_t p = 0; p < panels; p++)
        mxq_gemm_f32_e5m2_scalar(y + p * MXQ_PANEL, y_stride, x, x_stride,
                                 elements + p * panel_bytes, scales, panel_bytes, rows, 1, blocks);
}

static void fused_drops_a_row(FUSED_ARGUMENTS)
{
    mxq_gemm_f32_e5m2_scalar(y, y_stride, x, x_stride, elements, scales, panel_bytes,
                             rows > 6 ? 6 : rows, panels, blocks);
}

static void fused_flushes_its_sum(FUSED_ARGUMENTS)
{
    mxq_gemm_f32_e5m2_scalar(y, y_stride, x, x_stride, elements, scales, panel_bytes, rows, panels,
                             blocks);
    for (size_t i = 0; i < rows * panels * MXQ_PANEL; i++) {
        float *to = &y[i / (panels * MXQ_PANEL) * y_stride + i % (panels * MXQ_PANEL)];
        if (fabsf(*to) < 0x1p-126f)
            *to = copysignf(0, *to);
    }
}

/* -------------------------------------------- Plan -------------------------------------------- */

struct defect {
    const char *what;
    const char *kernel;
    enum check_result expected;
    struct mxq_kernels row;
};

#define DEFECT(kernel, slot, function, expected)                                                   \
    {                                                                                              \
#function, kernel, expected,                                                               \
        {                                                                                          \
            .slot = function                                                                       \
        }                                                                                          \
    }
/* A row with a BF16 unit, or without: what the kernels of the GEMM are told of their tiles. */
#define BF16_TILE                                                                                  \
    {                                                                                              \
        .x_bytes = 64, .w_bytes = 1024, .rows = 1, .panels = 2, .blocks = 4, .k_order = {          \
            2,                                                                                     \
            0,                                                                                     \
            3,                                                                                     \
            1                                                                                      \
        }                                                                                          \
    }
#define F32_TILE                                                                                   \
    {                                                                                              \
        .x_bytes = 128, .w_bytes = 2048, .rows = 1, .panels = 2, .blocks = 4                       \
    }
#define INT8_TILE                                                                                  \
    {                                                                                              \
        .x_bytes = MXQ_INT8_X_BYTES, .w_bytes = MXQ_INT8_W_BYTES, .rows = 1, .panels = 2,          \
        .blocks = 4                                                                                \
    }
#define TILED(kernel, slot, function, expected)                                                    \
    {                                                                                              \
#function, kernel, expected,                                                               \
        {                                                                                          \
            .slot = function, .tile = { F32_TILE, BF16_TILE }                                      \
        }                                                                                          \
    }
#define GEMM(function, expected) TILED("gemm_f32", gemm[MXQ_F32], function, expected)
#define INTEGERS(function, expected)                                                               \
    {                                                                                              \
#function, "gemm_int8", expected,                                                          \
        {                                                                                          \
            .gemm[MXQ_COMPUTE_INT8] = function, .tile = { F32_TILE, BF16_TILE, INT8_TILE }         \
        }                                                                                          \
    }
#define FUSED(function, expected)                                                                  \
    TILED("gemm_f32_e5m2", gemm_fused[MXQ_PACKED_E5M2][MXQ_F32], function, expected)
#define PANEL(function, expected)                                                                  \
    TILED("panel_f32_e4m3", panel[MXQ_PACKED_E4M3][MXQ_F32], function, expected)
#define OUTPUT(function, expected) TILED("output_f16", output[MXQ_F16], function, expected)
#define AMAX(function, expected)   DEFECT("amax_f32", amax[MXQ_F32], function, expected)
#define SCALE(function, expected)  DEFECT("scale_e8m0", scale[MXQ_E8M0], function, expected)
#define PACK(function, expected)                                                                   \
    DEFECT("pack_e4m3_f32", pack[MXQ_E4M3][MXQ_F32], function, expected)
#define UNPACK(function, expected)                                                                 \
    DEFECT("unpack_f32_e5m2", unpack[MXQ_E5M2][MXQ_F32], function, expected)
#define QUANTIZE(function, expected)                                                               \
    DEFECT("quantize_e4m3_f16", quantize[MXQ_E4M3][MXQ_F16], function, expected)

/* clang-format off */
static const struct defect defects[] = {
    AMAX(mxq_amax_f32_scalar, CHECK_OK),
    AMAX(amax_reads_past_the_end, CHECK_CRASH),
    AMAX(amax_reads_before_the_begin, CHECK_CRASH),
    AMAX(amax_writes_one_too_many, CHECK_CRASH),
    AMAX(amax_writes_without_blocks, CHECK_CRASH),
    AMAX(amax_needs_alignment, CHECK_CRASH),
    AMAX(amax_misses_a_lane, CHECK_FAIL),
    AMAX(amax_loses_nan, CHECK_FAIL),
    AMAX(amax_misses_signalling_nan, CHECK_FAIL),
    AMAX(amax_flushes_subnormals, CHECK_FAIL),
    SCALE(mxq_scale_e8m0_scalar, CHECK_OK),
    SCALE(scale_threshold_is_one_low, CHECK_FAIL),
    SCALE(scale_ignores_the_exception, CHECK_FAIL),
    SCALE(scale_wraps_below_zero, CHECK_FAIL),
    SCALE(scale_takes_infinity_for_finite, CHECK_FAIL),
    SCALE(scale_uses_log2, CHECK_FAIL),
    PACK(mxq_pack_e4m3_f32_scalar, CHECK_OK),
    PACK(pack_reads_past_the_end, CHECK_CRASH),
    PACK(pack_writes_past_the_end, CHECK_FAIL),
    PACK(pack_writes_before_the_begin, CHECK_CRASH),
    PACK(pack_changes_its_input, CHECK_FAIL),
    PACK(pack_skips_the_last_block, CHECK_FAIL),
    PACK(pack_has_a_stale_lane, CHECK_FAIL),
    PACK(pack_uses_the_next_scale, CHECK_FAIL),
    PACK(pack_rounds_ties_away, CHECK_FAIL),
    PACK(pack_rounds_twice, CHECK_FAIL),
    PACK(pack_keeps_the_sign_of_nan, CHECK_FAIL),
    PACK(pack_loses_the_sign_of_zero, CHECK_FAIL),
    PACK(pack_flushes_its_input, CHECK_FAIL),
    PACK(pack_flushes_its_output, CHECK_FAIL),
    PACK(pack_overflows_to_nan, CHECK_FAIL),
    PACK(pack_ignores_a_nan_scale, CHECK_FAIL),
    PACK(pack_flushes_its_reciprocal, CHECK_FAIL),
    PACK(pack_raises_a_signal, CHECK_CRASH),
    UNPACK(mxq_unpack_f32_e5m2_scalar, CHECK_OK),
    UNPACK(unpack_flushes_subnormals, CHECK_FAIL),
    UNPACK(unpack_keeps_the_sign_of_nan, CHECK_FAIL),
    UNPACK(unpack_takes_infinity_for_nan, CHECK_FAIL),
    DEFECT("pack_e2m1_f32", pack[MXQ_E2M1][MXQ_F32], pack_swaps_nibbles, CHECK_FAIL),
    DEFECT("pack_e3m2_f32", pack[MXQ_E3M2][MXQ_F32], pack_shifts_six_bits, CHECK_FAIL),
    DEFECT("pack_mxint8_f32", pack[MXQ_MXINT8][MXQ_F32], pack_writes_the_most_negative, CHECK_FAIL),
    DEFECT("unpack_f32_e2m3", unpack[MXQ_E2M3][MXQ_F32], unpack_has_a_stale_lane, CHECK_FAIL),
    DEFECT("encode_e4m3_f32", encode[MXQ_E4M3][MXQ_F32], encode_rounds_ties_away, CHECK_FAIL),
    DEFECT("encode_e2m1_f32", encode[MXQ_E2M1][MXQ_F32], encode_takes_the_next_word, CHECK_FAIL),
    DEFECT("encode_e4m3_f32", encode[MXQ_E4M3][MXQ_F32], encode_forgets_half_of_the_seed, CHECK_FAIL),
    DEFECT("encode_e4m3_f32", encode[MXQ_E4M3][MXQ_F32], encode_forgets_half_of_the_index, CHECK_FAIL),
    DEFECT("encode_e4m3_f32", encode[MXQ_E4M3][MXQ_F32], encode_keeps_the_sign_of_zero, CHECK_FAIL),
    DEFECT("scale_by_f32_f32", scale_by[MXQ_F32], scale_by_multiplies, CHECK_FAIL),
    DEFECT("pack_by_e4m3_f32", pack_by[MXQ_E4M3][MXQ_F32], mxq_pack_by_e4m3_f32_scalar, CHECK_OK),
    DEFECT("pack_by_e4m3_f32", pack_by[MXQ_E4M3][MXQ_F32], pack_by_multiplies, CHECK_FAIL),
    DEFECT("pack_by_e4m3_f32", pack_by[MXQ_E4M3][MXQ_F32], pack_by_loses_the_sign_of_zero, CHECK_FAIL),
    DEFECT("pack_by_e4m3_f32", pack_by[MXQ_E4M3][MXQ_F32], pack_by_takes_the_first_factor, CHECK_FAIL),
    DEFECT("unpack_by_f32_e4m3", unpack_by[MXQ_E4M3][MXQ_F32], unpack_by_multiplies_scales_first, CHECK_FAIL),
    DEFECT("quotient_f32", quotient[0], mxq_quotient_f32_scalar, CHECK_OK),
    DEFECT("quotient_f32", quotient[0], quotient_overflows_to_infinity, CHECK_FAIL),
    DEFECT("quotient_f32", quotient[0], quotient_divides_by_zero, CHECK_FAIL),
    DEFECT("measure_f32", measure[MXQ_F32], measure_turns_the_lanes, CHECK_FAIL),
    DEFECT("measure_f32", measure[MXQ_F32], measure_counts_no_saturation, CHECK_FAIL),
    DEFECT("amax_8_f32", amax_8[MXQ_F32], amax_8_takes_neighbours, CHECK_FAIL),
    DEFECT("amax_16_f32", amax_16[MXQ_F32], amax_16_takes_neighbours, CHECK_FAIL),
    DEFECT("amax_all_f32", amax_all[MXQ_F32], amax_all_skips_the_last_block, CHECK_FAIL),
    DEFECT("mse_e2m1_f32", mse[MXQ_E2M1], mse_never_adds, CHECK_FAIL),
    DEFECT("unpack_bf16_e5m2", unpack[MXQ_E5M2][MXQ_BF16], unpack_truncates, CHECK_FAIL),
    QUANTIZE(mxq_quantize_e4m3_f16_scalar, CHECK_OK),
    QUANTIZE(quantize_takes_the_scale_of_its_neighbour, CHECK_FAIL),
    QUANTIZE(quantize_ignores_its_rule, CHECK_FAIL),
    QUANTIZE(quantize_keeps_finite_values_of_nan_blocks, CHECK_FAIL),
    TILED("operand_f32_bf16", operand[MXQ_BF16], mxq_operand_f32_bf16_scalar, CHECK_OK),
    TILED("operand_f32_bf16", operand[MXQ_BF16], operand_takes_zero_for_the_smallest, CHECK_FAIL),
    TILED("operand_f32_bf16", operand[MXQ_BF16], operand_forgets_the_range, CHECK_FAIL),
    TILED("round_f32_f32", round[MXQ_F32], mxq_round_f32_f32_scalar, CHECK_OK),
    TILED("round_f32_f32", round[MXQ_F32], round_truncates, CHECK_FAIL),
    TILED("round_bf16_f32", round[MXQ_BF16], round_ignores_the_order, CHECK_FAIL),
    TILED("fold_f32", fold[MXQ_F32], mxq_fold_f32_scalar, CHECK_OK),
    TILED("fold_f32", fold[MXQ_F32], fold_rounds_the_product, CHECK_FAIL),
    TILED("fold_f32", fold[MXQ_F32], fold_keeps_the_group, CHECK_FAIL),
    OUTPUT(mxq_output_f16_scalar, CHECK_OK),
    OUTPUT(output_rounds_twice, CHECK_FAIL),
    OUTPUT(output_keeps_nan, CHECK_FAIL),
    OUTPUT(output_ignores_the_bias, CHECK_FAIL),
    PANEL(mxq_panel_f32_e4m3_scalar, CHECK_OK),
    PANEL(panel_takes_the_scale_of_its_neighbour, CHECK_FAIL),
    PANEL(panel_swaps_even_and_odd, CHECK_FAIL),
    PANEL(panel_loses_the_sign_of_zero, CHECK_FAIL),
    GEMM(gemm_is_sound, CHECK_OK),
    GEMM(gemm_adds_odd_to_even, CHECK_OK),
    GEMM(gemm_adds_in_sequence, CHECK_FAIL),
    GEMM(gemm_rounds_products, CHECK_FAIL),
    GEMM(gemm_sums_blocks_first, CHECK_FAIL),
    GEMM(gemm_flushes_subnormals, CHECK_FAIL),
    GEMM(gemm_overwrites_y, CHECK_FAIL),
    GEMM(gemm_skips_the_last_block, CHECK_FAIL),
    GEMM(gemm_ignores_the_stride, CHECK_FAIL),
    GEMM(gemm_reads_past_the_end_of_x, CHECK_CRASH),
    GEMM(gemm_writes_between_rows, CHECK_FAIL),
    TILED("gemm_bf16", gemm[MXQ_BF16], gemm_ignores_the_order, CHECK_FAIL),
    INTEGERS(integers_are_exact, CHECK_OK),
    INTEGERS(integers_have_no_bound, CHECK_FAIL),
    INTEGERS(integers_have_a_high_bound, CHECK_FAIL),
    INTEGERS(integers_take_many_blocks, CHECK_FAIL),
    INTEGERS(integers_lose_fractions, CHECK_FAIL),
    INTEGERS(integers_see_the_first_factors, CHECK_FAIL),
    INTEGERS(integers_see_factors_of_x, CHECK_FAIL),
    FUSED(mxq_gemm_f32_e5m2_scalar, CHECK_OK),
    FUSED(fused_reads_whole_lines_of_scales, CHECK_CRASH),
    FUSED(fused_uses_the_scales_of_the_first_panel, CHECK_FAIL),
    FUSED(fused_drops_a_row, CHECK_FAIL),
    FUSED(fused_flushes_its_sum, CHECK_FAIL),
#if defined(__x86_64__)
    QUANTIZE(quantize_leaves_flush_to_zero_on, CHECK_FAIL),
#endif
};
/* clang-format on */

static const struct check_kernel *kernel_named(const char *name)
{
    size_t i = 0;
    while (strcmp(check_kernels[i].name, name))
        i++;
    return &check_kernels[i];
}

static const char *const result_names[] = {"ok", "FAIL", "CRASH"};

/* Runs one defect; returns 1 when the harness did not see it, or its case does not replay alone. */
static int run(const struct defect *d)
{
    static struct check c;
    c = (struct check){.kernel = kernel_named(d->kernel),
                       .row = &d->row,
                       .reference = &mxq_kernels_scalar,
                       .seed = 1,
                       .only_case = -1};
    const enum check_result result = check_cell(&c);
    const uint64_t at = c.current.number;
    enum check_result alone = result;
    if (result != CHECK_OK) {
        c.only_case = (int64_t)at;
        alone = check_cell(&c);
    }
    const int wrong =
        result != d->expected || alone != d->expected || (result != CHECK_OK && !*c.message);
    printf("%-20s %-46s %-5s case %5" PRIu64 "%s\n", d->kernel, d->what, result_names[result], at,
           wrong ? "   NOT AS EXPECTED" : "");
    if (wrong && *c.message)
        printf("    %s\n", c.message);
    return wrong;
}

int main(void)
{
    int wrong = 0;
    const size_t count = sizeof defects / sizeof *defects;
    for (size_t i = 0; i < count; i++)
        wrong += run(&defects[i]);
    printf("%zu kernels, sound and broken: %d not judged as expected\n", count, wrong);
    return wrong != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* factor.h -- values divided or multiplied by the scales of their blocks, and packed or unpacked with them,
 * written once over vec.h.
 *
 *   vec_factors(factor, i)   the factors of values i .. i + VEC_LANES - 1, one for each 8
 *   vec_fms_ps(a, b, c)      a * b - c in F32, rounded once
 *   vec_load_half(p)         VEC_LANES / 2 lanes, twice
 *
 * and, with VEC_TABLE_SHIFT, tables for what has one factor for 2^VEC_TABLE_SHIFT values:
 *
 *   vec_has_table(e, type)   whether there is one for an element and a type of values
 *   vec_table_of(d, inverse, e), vec_pack_by_table(elements, x, table, e)
 *                            the table of a divisor; FACTOR_STEP values packed by it, or 0
 *   vec_nans(v)              other than 0 if a lane of four vectors is a NaN
 *
 * NaNs, which have codes and bits of their own, are looked for at the end of a piece: one that met any is done
 * again, the slow way, and so is one whose factors are extreme. */
#ifndef MXQ_LANES_FACTOR_H
#define MXQ_LANES_FACTOR_H

#include "lanes/pack.h"
#include "lanes/unpack.h"
#include "unroll.h"

#define FACTOR_STEP (4 * VEC_LANES)

/* What has one factor: not even a vector, a vector, or a step. */
enum factor_pace { PACE_EIGHTS, PACE_VECTORS, PACE_STEPS };

MXQ_INLINE enum factor_pace pace_of(unsigned shift)
{
    return VEC_LANES > 8 && shift == 3        ? PACE_EIGHTS
           : (size_t)FACTOR_STEP >> shift > 1 ? PACE_VECTORS
                                              : PACE_STEPS;
}

/* The factors of vector k of the step that begins with value i. */
MXQ_INLINE vec_ps factors_of(const float *factor, unsigned shift, size_t i, size_t k,
                             const enum factor_pace pace)
{
    const size_t at = i + k * VEC_LANES;
    return pace == PACE_EIGHTS
               ? vec_factors(factor, at)
               : vec_broadcast_ps(factor + ((pace == PACE_STEPS ? i : at) >> shift));
}

/* The factors of values i .. i + VEC_LANES - 1. */
MXQ_INLINE vec_ps factors_at(struct mxq_factors by, size_t i)
{
    return factors_of(by.value, by.shift, i, 0, pace_of(by.shift));
}

/* Returns values i .. i + VEC_LANES - 1 of x, scaled. */
MXQ_INLINE vec scaled_at(const void *x, struct mxq_factors by, size_t i, enum mxq_type type)
{
    const vec_ps value = vec_as_ps(load_wide(x, i, type)), factor = factors_at(by, i);
    return vec_of_ps(by.divides ? vec_div_ps(value, factor) : vec_mul_ps(value, factor));
}

MXQ_INLINE void scale_values_by(float *v, const void *x, struct mxq_factors by, size_t values,
                                enum mxq_type type)
{
    for (size_t i = 0; i < values; i += VEC_LANES)
        vec_store(v + i, scaled_at(x, by, i, type));
}

/* The factors of the 32 values from value `i` on, which begins a block or is within one: eight, the last
 * four for what a step has behind them. */
struct block_factors {
    float value[8];
    struct mxq_factors by;
};

MXQ_INLINE void load_block_factors(struct block_factors *b, const struct mxq_factors *by, size_t i)
{
    for (size_t j = 0; j < 8; j++)
        b->value[j] = by->value[(i + 8 * (j & 3)) >> by->shift];
    b->by = (struct mxq_factors){b->value, 3, by->divides, by->low, by->high};
}

/* -------------------------------------------- Packing ------------------------------------------- */

/* A call works on pieces, whose factors it prepares. */
#define FACTOR_PIECE   1024
#define FACTOR_VECTORS (FACTOR_PIECE / 8 / VEC_LANES)

/* The last `count` factors, repeated or filled up with 1.  Copying is for few: a load waits long for stores that are
 * narrower than it. */
MXQ_INLINE vec load_last_factors(const float *factor, size_t count)
{
    uint32_t last[VEC_LANES];
    if (count == 1)
        return vec_of_ps(vec_broadcast_ps(factor));
    if (count == VEC_LANES / 2)
        return vec_load_half(factor);
    vec_store(last, vec_set1(0x3F800000));
    memcpy(last, factor, count * sizeof *last);
    return vec_load(last);
}

/* Copies the factors of `values` values, the last vector filled up. */
MXQ_INLINE size_t load_factors(vec factors[FACTOR_VECTORS], const struct mxq_factors *by,
                               size_t values)
{
    const size_t count = ((values - 1) >> by->shift) + 1, whole = count / VEC_LANES;
    for (size_t i = 0; i < whole; i++)
        factors[i] = vec_load(by->value + i * VEC_LANES);
    if (count % VEC_LANES == 0)
        return whole;
    factors[whole] = load_last_factors(by->value + whole * VEC_LANES, count % VEC_LANES);
    return whole + 1;
}

/* All ones where a factor is not within 2^-60 .. 2^60; within, no product or quotient needs care. */
MXQ_INLINE vec is_extreme(vec factor)
{
    return vec_or(vec_gt(vec_set1(0x21800000), factor), vec_gt(factor, vec_set1(0x5D800000)));
}

/* The divisors d of a piece, 1 / d rounded, and -1 / d; of an infinite d zeros. */
struct divisors {
    float value[FACTOR_PIECE / 8], inverse[FACTOR_PIECE / 8], minus_inverse[FACTOR_PIECE / 8];
};

MXQ_INLINE uint32_t bits_of_factor(const float *factor)
{
    uint32_t bits;
    memcpy(&bits, factor, sizeof bits);
    return bits;
}

/* What is known of divisors. */
enum division { DIVISION_EXTREME, DIVISION_ORDINARY, DIVISION_BOUNDED };

/* Inverts the divisors of `values` values.  If all of them are ordinary x / d is, exactly rounded,
 *
 *     q - (q d - x) r,   q = x r,   r = 1 / d
 *
 * each operation rounded once, where it decides on an element's code: that was compared for all 2^23
 * significands of d (tests/exhaustive.c).  Three operations are less than a division takes.  The signs are such
 * that -0 stays what it is. */
MXQ_INLINE enum division invert(struct divisors *d, const struct mxq_factors *by, size_t values)
{
    vec factors[FACTOR_VECTORS], is_outside = vec_set1(0), is_unbounded = vec_set1(0);
    const size_t count = load_factors(factors, by, values);
    const vec_ps one = vec_as_ps(vec_set1(0x3F800000));
    for (size_t i = 0; i < count; i++) {
        const vec is_infinite = vec_eq(factors[i], vec_set1(0x7F800000));
        const vec divisor = vec_andnot(is_infinite, factors[i]);
        const vec inverse = vec_of_ps(vec_div_ps(one, vec_as_ps(factors[i])));
        const vec is_out =
            vec_or(vec_gt(vec_set1(by->low), factors[i]), vec_gt(factors[i], vec_set1(by->high)));
        is_outside = vec_or(is_outside, vec_andnot(is_infinite, is_extreme(divisor)));
        is_unbounded = vec_or(is_unbounded, is_out);
        vec_store(d->value + i * VEC_LANES, divisor);
        vec_store(d->inverse + i * VEC_LANES, inverse);
        vec_store(d->minus_inverse + i * VEC_LANES, vec_or(inverse, vec_set1(0x80000000)));
    }
    return vec_mask(is_outside)     ? DIVISION_EXTREME
           : vec_mask(is_unbounded) ? DIVISION_ORDINARY
                                    : DIVISION_BOUNDED;
}

/* Packs the FACTOR_STEP values from value `i` on as if there were no NaN, and returns whether there was one, as
 * other than 0.  Divides by d, or, where that is NULL, multiplies.  Bounded quotients need no clamp, and no look for
 * NaNs. */
MXQ_INLINE uint32_t pack_step_by(uint8_t *elements, const void *x, struct mxq_factors by,
                                 const struct divisors *d, size_t i, size_t ahead,
                                 const struct mxq_element_info *e, enum mxq_type type,
                                 const enum factor_pace pace, const int is_bounded)
{
    const struct pack_group g = pack_group_of(vec_set1(127), e);
    vec value[4], t[4], bias[4];
    UNROLL for (size_t k = 0; k < 4; k++)
    {
        const size_t at = i + k * VEC_LANES;
        const vec_ps wide = vec_as_ps(load_wide(x, at, type));
        /* Without `ahead` it is what was just loaded. */
        if (k * VEC_LANES * type_bytes(type) % 64 == 0)
            prefetch_at(x, at * type_bytes(type) + ahead);
        if (d) {
            const vec_ps q = vec_mul_ps(wide, factors_of(d->inverse, by.shift, i, k, pace));
            const vec_ps rest = vec_fms_ps(q, factors_of(d->value, by.shift, i, k, pace), wide);
            const vec_ps minus = factors_of(d->minus_inverse, by.shift, i, k, pace);
            value[k] = vec_of_ps(vec_fma_ps(rest, minus, q));
        } else {
            value[k] = vec_of_ps(vec_mul_ps(wide, factors_of(by.value, by.shift, i, k, pace)));
        }
        t[k] = is_bounded ? rounded_sum(value[k], g.rounding, e) : clamped_sum(value[k], g, e);
        bias[k] = g.bias;
    }
    vec_store_codes(elements + packed_bytes(i, e), t, value, bias, e, MXQ_F32);
    return is_bounded ? 0 : vec_nans(value);
}

MXQ_INLINE int pack_values_by(uint8_t *elements, const void *x, struct mxq_factors by,
                              const struct divisors *d, size_t values, size_t ahead,
                              const struct mxq_element_info *e, enum mxq_type type,
                              const enum factor_pace pace, const int is_bounded)
{
    uint32_t nans = 0;
    for (size_t i = 0; i < values; i += FACTOR_STEP)
        nans |= pack_step_by(elements, x, by, d, i, ahead, e, type, pace, is_bounded);
    return nans != 0;
}

#ifdef VEC_TABLE_SHIFT
/* The same for bounded quotients, with a table for each factor. */
MXQ_INLINE void pack_values_by_table(uint8_t *elements, const void *x, struct mxq_factors by,
                                     const struct divisors *d, size_t values, size_t ahead,
                                     const struct mxq_element_info *e, enum mxq_type type)
{
    for (size_t i = 0; i < values;) {
        const size_t factor = i >> by.shift;
        const struct vec_table table =
            vec_table_of(bits_of_factor(d->value + factor), bits_of_factor(d->inverse + factor), e);
        for (; i < values && i >> by.shift == factor; i += FACTOR_STEP) {
            const size_t at = i * type_bytes(type);
            prefetch_lines((const unsigned char *)x + at, FACTOR_STEP * type_bytes(type), ahead);
            if (!vec_pack_by_table(elements + i, (const unsigned char *)x + at, &table, e))
                (void)pack_step_by(elements, x, by, d, i, 0, e, type, PACE_STEPS, 1);
        }
    }
}
#endif

MXQ_INLINE int pack_steps_by(uint8_t *elements, const void *x, struct mxq_factors by,
                             const struct divisors *d, size_t values, size_t ahead,
                             const struct mxq_element_info *e, enum mxq_type type,
                             enum division division)
{
    const enum factor_pace pace = pace_of(by.shift);
    if (d && division == DIVISION_BOUNDED) {
#ifdef VEC_TABLE_SHIFT
        if (vec_has_table(e, type) && by.shift >= VEC_TABLE_SHIFT) {
            pack_values_by_table(elements, x, by, d, values, ahead, e, type);
            return 0;
        }
#endif
        if (pace == PACE_EIGHTS)
            return pack_values_by(elements, x, by, d, values, ahead, e, type, PACE_EIGHTS, 1);
        if (pace == PACE_VECTORS)
            return pack_values_by(elements, x, by, d, values, ahead, e, type, PACE_VECTORS, 1);
        return pack_values_by(elements, x, by, d, values, ahead, e, type, PACE_STEPS, 1);
    }
    if (pace == PACE_EIGHTS)
        return pack_values_by(elements, x, by, d, values, ahead, e, type, PACE_EIGHTS, 0);
    return pack_values_by(elements, x, by, d, values, ahead, e, type, PACE_VECTORS, 0);
}

/* One block, from value `i` on. */
static __attribute__((noinline)) void pack_block_by(uint8_t *elements, const void *x, size_t i,
                                                    const struct mxq_factors *by,
                                                    const struct mxq_element_info *e,
                                                    enum mxq_type type)
{
    struct block_factors own;
    float v[MXQ_BLOCK];
    load_block_factors(&own, by, i);
    scale_values_by(v, (const unsigned char *)x + i * type_bytes(type), own.by, MXQ_BLOCK, type);
    pack_block_any(elements + packed_bytes(i, e), v, 127, e, MXQ_F32);
}

/* Up to FACTOR_PIECE values, a multiple of 32. */
MXQ_INLINE void pack_piece_by(uint8_t *elements, const void *x, struct mxq_factors by,
                              size_t values, size_t ahead, const struct mxq_element_info *e,
                              enum mxq_type type, const int divides)
{
    const size_t whole = values / FACTOR_STEP * FACTOR_STEP;
    struct divisors divisors, *const d = divides ? &divisors : NULL;
    const enum division division = divides ? invert(&divisors, &by, values) : DIVISION_ORDINARY;
    int is_slow = division == DIVISION_EXTREME;
    if (!is_slow)
        is_slow = pack_steps_by(elements, x, by, d, whole, ahead, e, type, division);
    if (!is_slow && whole < values) {
        struct block_factors own;
        unsigned char padded[FACTOR_STEP * 4];
        uint8_t codes[FACTOR_STEP];
        load_block_factors(&own, &by, whole);
        if (divides)
            (void)invert(&divisors, &own.by, FACTOR_STEP);
        pad_group(padded, (const unsigned char *)x + whole * type_bytes(type), block_bytes(type),
                  FACTOR_STEP * type_bytes(type));
        is_slow = pack_steps_by(codes, padded, own.by, d, FACTOR_STEP, 0, e, type, division);
        memcpy(elements + packed_bytes(whole, e), codes, packed_bytes(MXQ_BLOCK, e));
    }
    for (size_t i = 0; is_slow && i < values; i += MXQ_BLOCK)
        pack_block_by(elements, x, i, &by, e, type);
}

MXQ_INLINE void pack_blocks_by(uint8_t *elements, const void *x, const struct mxq_factors *by,
                               size_t blocks, size_t ahead, const struct mxq_element_info *e,
                               enum mxq_type type, const int divides)
{
    const size_t values = blocks * MXQ_BLOCK;
    for (size_t i = 0; i < values; i += FACTOR_PIECE) {
        const struct mxq_factors piece = {by->value + (i >> by->shift), by->shift, divides, by->low,
                                          by->high};
        const size_t left = values - i;
        pack_piece_by(elements + packed_bytes(i, e),
                      (const unsigned char *)x + i * type_bytes(type), piece,
                      left < FACTOR_PIECE ? left : FACTOR_PIECE, ahead, e, type, divides);
    }
}

#define PACK_BY_KERNEL(name, element, type)                                                        \
    void name(uint8_t *elements, const void *x, const struct mxq_factors *by, size_t blocks,       \
              size_t ahead)                                                                        \
    {                                                                                              \
        if (by->divides)                                                                           \
            pack_blocks_by(elements, x, by, blocks, ahead, &mxq_elements[element], type, 1);       \
        else                                                                                       \
            pack_blocks_by(elements, x, by, blocks, ahead, &mxq_elements[element], type, 0);       \
    }

/* ------------------------------------------- Unpacking ------------------------------------------ */

/* What decodes to 2^-decode_shift times an element is multiplied by 2^decode_shift times the factor: the same
 * product.  Returns whether all factors are ordinary, or 0. */
MXQ_INLINE int shift_factors(float to[FACTOR_PIECE / 8], const struct mxq_factors *by,
                             size_t values, const struct mxq_element_info *e)
{
    const vec power = vec_set1((uint32_t)(127 + decode_shift(e)) << 23), zero = vec_set1(0);
    vec factors[FACTOR_VECTORS], is_outside = zero;
    const size_t count = load_factors(factors, by, values);
    for (size_t i = 0; i < count; i++) {
        is_outside =
            vec_or(is_outside, vec_andnot(vec_eq(factors[i], zero), is_extreme(factors[i])));
        vec_store(to + i * VEC_LANES, vec_mul(factors[i], power));
    }
    return !vec_mask(is_outside);
}

MXQ_INLINE vec rescaled(vec value, vec_ps factor, const float *tensor)
{
    const vec_ps product = vec_mul_ps(vec_as_ps(value), factor);
    return vec_of_ps(tensor ? vec_mul_ps(product, vec_broadcast_ps(tensor)) : product);
}

/* Unpacks a multiple of FACTOR_STEP values by ordinary factors as if there were no NaN, and returns whether there
 * was one.  `tensor` is NULL for 1. */
MXQ_INLINE int unpack_values_by(void *y, const uint8_t *elements, struct mxq_factors by,
                                const float *tensor, size_t values,
                                const struct mxq_element_info *e, enum mxq_type type,
                                const enum factor_pace pace)
{
    vec largest_code = vec_set1(0);
    for (size_t i = 0; i < values; i += FACTOR_STEP) {
        vec value[4];
        vec_decode(value, elements + packed_bytes(i, e), e);
        if (has_nan(e))
            largest_code = vec_max_code(largest_code, elements + i);
        UNROLL for (size_t k = 0; k < 4; k++)
        {
            const size_t at = i + k * VEC_LANES;
            if (k * VEC_LANES * type_bytes(type) % 64 == 0)
                prefetch_output(y, at * type_bytes(type));
            value[k] = rescaled(value[k], factors_of(by.value, by.shift, i, k, pace), tensor);
            if (type == MXQ_BF16)
                value[k] = round_to_bf16(value[k]);
        }
        store_two(y, i, type, value[0], value[1]);
        store_two(y, i + 2 * VEC_LANES, type, value[2], value[3]);
    }
    return has_nan(e) && vec_any_above(largest_code, e->max_code);
}

MXQ_INLINE int unpack_steps_by(void *y, const uint8_t *elements, struct mxq_factors by,
                               const float *tensor, size_t values, const struct mxq_element_info *e,
                               enum mxq_type type)
{
    return pace_of(by.shift) == PACE_EIGHTS
               ? unpack_values_by(y, elements, by, tensor, values, e, type, PACE_EIGHTS)
               : unpack_values_by(y, elements, by, tensor, values, e, type, PACE_VECTORS);
}

static __attribute__((noinline)) void unpack_block_by(void *y, const uint8_t *elements, size_t i,
                                                      const struct mxq_factors *by, float tensor,
                                                      const struct mxq_element_info *e,
                                                      enum mxq_type type)
{
    float v[MXQ_BLOCK];
    struct block_factors own;
    load_block_factors(&own, by, i);
    unpack_block_any(v, elements + packed_bytes(i, e), 127, e, MXQ_F32);
    for (size_t j = 0; j < MXQ_BLOCK; j += 2 * VEC_LANES) {
        vec value[2];
        for (size_t k = 0; k < 2; k++) {
            const size_t at = j + k * VEC_LANES;
            value[k] = canonical(
                rescaled(vec_of_ps(vec_load_ps(v + at)), factors_at(own.by, at), &tensor));
            if (type == MXQ_BF16)
                value[k] = round_to_bf16(value[k]);
        }
        store_two(y, i + j, type, value[0], value[1]);
    }
}

/* Up to FACTOR_PIECE values, a multiple of 32. */
MXQ_INLINE void unpack_piece_by(void *y, const uint8_t *elements, struct mxq_factors by,
                                float tensor, size_t values, const struct mxq_element_info *e,
                                enum mxq_type type)
{
    const size_t whole = values / FACTOR_STEP * FACTOR_STEP;
    const vec tensors = vec_of_ps(vec_broadcast_ps(&tensor));
    float shifted[FACTOR_PIECE / 8];
    struct mxq_factors own = {shifted, by.shift, 0, 0, 0};
    int is_slow = !shift_factors(shifted, &by, values, e) || vec_mask(is_extreme(tensors));
    if (!is_slow)
        is_slow = tensor == 1 ? unpack_steps_by(y, elements, own, NULL, whole, e, type)
                              : unpack_steps_by(y, elements, own, &tensor, whole, e, type);
    if (!is_slow && whole < values) {
        struct block_factors rest;
        unsigned char padded[FACTOR_STEP * 4];
        uint8_t codes[FACTOR_STEP];
        load_block_factors(&rest, &own, whole);
        pad_group(codes, elements + packed_bytes(whole, e), packed_bytes(MXQ_BLOCK, e),
                  packed_bytes(FACTOR_STEP, e));
        is_slow = unpack_steps_by(padded, codes, rest.by, &tensor, FACTOR_STEP, e, type);
        memcpy((unsigned char *)y + whole * type_bytes(type), padded, block_bytes(type));
    }
    for (size_t i = 0; is_slow && i < values; i += MXQ_BLOCK)
        unpack_block_by(y, elements, i, &by, tensor, e, type);
}

MXQ_INLINE void unpack_blocks_by(void *y, const uint8_t *elements, const struct mxq_factors *by,
                                 float tensor, size_t blocks, const struct mxq_element_info *e,
                                 enum mxq_type type)
{
    const size_t values = blocks * MXQ_BLOCK;
    for (size_t i = 0; i < values; i += FACTOR_PIECE) {
        const struct mxq_factors piece = {by->value + (i >> by->shift), by->shift, 0, 0, 0};
        const size_t left = values - i;
        unpack_piece_by((unsigned char *)y + i * type_bytes(type), elements + packed_bytes(i, e),
                        piece, tensor, left < FACTOR_PIECE ? left : FACTOR_PIECE, e, type);
    }
}

#define UNPACK_BY_KERNEL(name, element, type)                                                      \
    void name(void *y, const uint8_t *elements, const struct mxq_factors *by, float tensor,        \
              size_t blocks)                                                                       \
    {                                                                                              \
        unpack_blocks_by(y, elements, by, tensor, blocks, &mxq_elements[element], type);           \
    }

/* ---------------------------------- All kernels of an instruction set --------------------------- */

#define FACTOR_KERNELS(isa, E, e)                                                                  \
    PACK_BY_KERNEL(mxq_pack_by_##e##_f32_##isa, MXQ_##E, MXQ_F32)                                  \
    PACK_BY_KERNEL(mxq_pack_by_##e##_bf16_##isa, MXQ_##E, MXQ_BF16)                                \
    PACK_BY_KERNEL(mxq_pack_by_##e##_f16_##isa, MXQ_##E, MXQ_F16)                                  \
    UNPACK_BY_KERNEL(mxq_unpack_by_f32_##e##_##isa, MXQ_##E, MXQ_F32)                              \
    UNPACK_BY_KERNEL(mxq_unpack_by_bf16_##e##_##isa, MXQ_##E, MXQ_BF16)                            \
    UNPACK_BY_KERNEL(mxq_unpack_by_f16_##e##_##isa, MXQ_##E, MXQ_F16)

#define SCALE_BY_KERNEL(name, type)                                                                \
    void name(float *v, const void *x, const struct mxq_factors *by, size_t blocks)                \
    {                                                                                              \
        scale_values_by(v, x, *by, blocks *MXQ_BLOCK, type);                                       \
    }

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* encode.h -- elements under every rounding, written once over vec.h.
 *
 * A magnitude is `base + n + f` codes, n an integer and 0 <= f < 1 known to 32 bits, and becomes one code more
 * when f * 2^32 + r carries into bit 32: r is 2^31 for ties away from zero, 2^31 - 1 for ties toward it,
 * one more than that for an odd n when ties go to even, 0 for no rounding, and a random word for a
 * stochastic one.  An integer element is a float whose codes are all subnormal.
 *
 * Of what becomes a normal element f has no more bits than the type's mantissa has below the element's, so
 * only as many of r can carry: r is shifted down to them and added to the value as it is, unscaled, which
 * carries into the mantissa and on into the exponent.  What is then above these bits is a sign and a code
 * that counts from another exponent: one subtraction, in 16-bit lanes for all types.  A step with anything
 * else in it, but for zeros, takes the longer way, with shifts of its own for each lane.
 *
 * Steps of the vocabulary:
 *
 *   vec_sllv(a, n) vec_srlv(a, n)   shifts by a count for each lane; counts beyond 31, unsigned, give 0
 *   vec_add_carry(a, f, r)          a, or a + 1 where f + r carries
 *   vec_store_bytes(p, v, bits)     the codes in the lanes of four vectors, packed
 *   vec_add_16 vec_srl_16           16-bit lanes
 *   vec_subs_16(a, b)               a - b, or 0 where b is larger, unsigned
 *   vec_upper_16(a, b)              the upper halves of the lanes of two vectors
 *   vec_pack_16(a, b)               the lower halves of the lanes, where the upper ones are 0
 *   vec_pack_8(a, b)                16-bit lanes below 2^15 to bytes, no larger than 255
 *   vec_store_8(p, bytes, type)     bytes in the order of the values, which went through vec_pack_8 and, but
 *                                   for BF16, through vec_pack_16
 *   vec_min_8                       unsigned bytes
 *   vec_any_outside(bytes, l, h)    whether any is below l or above h
 *   vec_xor vec_xor3                bits
 *   vec_counters                    offsets of VEC_LANES / 2 counters, in even lanes
 *   vec_mul_even(a, b)              products of even lanes, each in a pair of lanes
 *   vec_even_lanes                  all ones in even lanes
 *   vec_upper                       the odd lanes moved down to the even ones
 *   vec_swap                        odd and even lanes exchanged
 *   vec_store_words(p, w01, w23)    words 0 and 1, and 2 and 3, of the counters: in order */
#ifndef MXQ_LANES_ENCODE_H
#define MXQ_LANES_ENCODE_H

#include "lanes/group.h"
#include "unroll.h"

/* ----------------------------------------- Random words ---------------------------------------- */

#define COUNTERS     (VEC_LANES / 2) /* of a vector: each gives four words */
#define VECTOR_WORDS (4 * COUNTERS)
#define WAYS         4 /* vectors at a time, to hide latencies */

struct philox {
    vec key[2][10];
    uint32_t first_key;
    uint32_t upper; /* half of all counters */
};

/* Philox4x32-10 as encode.c of the scalar column has it, for the counters in the even lanes of `lower`.  What
 * odd lanes hold does not matter.  Of the first two rounds most factors are zero or the same for all. */
MXQ_INLINE void philox_words(uint32_t *words, const vec lower[WAYS], const struct philox *p)
{
    const vec m0 = vec_set1(0xD2511F53), m1 = vec_set1(0xCD9E8D57);
    const uint64_t same = (uint64_t)0xD2511F53 * (p->upper ^ p->first_key);
    vec w0[WAYS], w1[WAYS], w2[WAYS], w3[WAYS];
    UNROLL for (int k = 0; k < WAYS; k++)
    {
        const vec a = vec_mul_even(lower[k], m0);
        w1[k] = vec_mul_even(vec_xor(vec_upper(a), p->key[1][0]), m1);
        w0[k] = vec_xor(vec_upper(w1[k]), p->key[0][1]);
        w2[k] = vec_xor3(a, vec_set1((uint32_t)(same >> 32)), p->key[1][1]);
        w3[k] = vec_set1((uint32_t)same);
    }
    UNROLL for (int round = 2; round < 9; round++)
    {
        const vec key0 = p->key[0][round], key1 = p->key[1][round];
        UNROLL for (int k = 0; k < WAYS; k++)
        {
            const vec a = vec_mul_even(w0[k], m0), b = vec_mul_even(w2[k], m1);
            w0[k] = vec_xor3(vec_upper(b), w1[k], key0);
            w2[k] = vec_xor3(vec_upper(a), w3[k], key1);
            w1[k] = b;
            w3[k] = a;
        }
    }
    /* The last round leaves two words in each pair of lanes. */
    const vec even = vec_even_lanes();
    UNROLL for (int k = 0; k < WAYS; k++)
    {
        const vec a = vec_mul_even(w0[k], m0), b = vec_mul_even(w2[k], m1);
        vec_store_words(words + (size_t)k * VECTOR_WORDS,
                        vec_xor3(vec_swap(b), vec_and(w1[k], even), p->key[0][9]),
                        vec_xor3(vec_swap(a), vec_and(w3[k], even), p->key[1][9]));
    }
}

MXQ_INLINE void set_key(struct philox *p, uint64_t seed)
{
    p->first_key = (uint32_t)seed;
    for (uint32_t round = 0; round < 10; round++) {
        p->key[0][round] = vec_set1((uint32_t)seed + round * 0x9E3779B9);
        p->key[1][round] = vec_set1((uint32_t)(seed >> 32) + round * 0xBB67AE85);
    }
    for (int i = 0; i < 2; i++) /* the last one is for words in even lanes */
        p->key[i][9] = vec_and(p->key[i][9], vec_even_lanes());
}

/* Writes the words of `counters` counters from n on, a multiple of COUNTERS: so no vector carries into the upper
 * half.  Writes whole turns of WAYS vectors. */
MXQ_INLINE void random_words(uint32_t *words, uint64_t n, size_t counters, struct philox *p)
{
    for (size_t done = 0; done < counters;) {
        const uint64_t first = (n + done) & (UINT64_MAX >> 2);
        const uint64_t before_carry = (UINT64_C(1) << 32) - (uint32_t)first;
        const size_t left = counters - done;
        const size_t run = left < before_carry ? left : (size_t)before_carry;
        p->upper = (uint32_t)(first >> 32);
        for (size_t i = 0; i < run; i += WAYS * COUNTERS) {
            vec lower[WAYS];
            for (uint32_t k = 0; k < WAYS; k++)
                lower[k] = vec_add(vec_counters(),
                                   vec_set1((uint32_t)(first + i) + k * (uint32_t)COUNTERS));
            philox_words(words + 4 * (done + i), lower, p);
        }
        done += run;
    }
}

/* ------------------------------------------- Elements ------------------------------------------ */

#define STEP         (4 * VEC_LANES)
#define CHUNK_BLOCKS 32
#define CHUNK        (CHUNK_BLOCKS * MXQ_BLOCK)

/* Scales of the short way: from here on value and scale have no difference below 0; */
#define ORDINARY_LOW(e) ((e)->bias)
/* up to here NaNs and infinities stay beyond 255 codes: 255 - 190 binades of at least four. */
#define ORDINARY_HIGH 190

struct encoder {
    uint32_t carry, odd; /* r is carry + (n & odd), but for stochastic rounding */
    uint32_t largest;
    int unsigned_zero;
    size_t ahead;
};

MXQ_INLINE struct encoder encoder_of(const struct mxq_encoding *how,
                                     const struct mxq_element_info *e)
{
    const uint32_t half = UINT32_C(1) << 31;
    uint32_t carry = half - 1; /* MXQ_NEAREST_EVEN, MXQ_NEAREST_ZERO */
    if (how->rounding == MXQ_NEAREST_AWAY)
        carry = half;
    else if (how->rounding == MXQ_TOWARD_ZERO)
        carry = 0;
    return (struct encoder){carry, how->rounding == MXQ_NEAREST_EVEN,
                            how->special ? e->max_code + 1u : e->max_code, how->unsigned_zero,
                            how->ahead};
}

/* 2^(127 - scale), which is a subnormal F32 for 254, and NaN for 255. */
MXQ_INLINE vec reciprocal_of(uint8_t scale)
{
    return vec_set1(scale == 255 ? 0x7FC00000 : scale == 254 ? 0x400000 : (254u - scale) << 23);
}

/* One code a lane.  `words`: random ones, or NULL. */
MXQ_INLINE vec encode_lanes(vec value, const uint32_t *words, const struct encoder *c,
                            const struct mxq_element_info *e)
{
    const uint32_t lowest = (uint32_t)(e->kind == MXQ_INTEGER ? 127 + e->emax : 128 - e->bias);
    const uint32_t drop = (uint32_t)(23 - e->mantissa_bits);
    const vec magnitude = vec_and(value, vec_set1(0x7FFFFFFF));
    const vec field = vec_srl(magnitude, 23);
    const vec binade = vec_max(field, vec_set1(lowest));
    const vec lag = vec_sub(binade, field);
    /* A subnormal has no hidden bit; but it is so far below every grid that nothing of it is left. */
    const vec significand = vec_or(vec_and(value, vec_set1(0x7FFFFF)), vec_set1(0x800000));
    const vec n = vec_srlv(significand, vec_add(lag, vec_set1(drop)));
    vec f = vec_sllv(significand, vec_sub(vec_set1(32 - drop), lag));
    vec r;
    if (words) {
        f = vec_or(f, vec_srlv(significand, vec_sub(lag, vec_set1(32 - drop))));
        r = vec_load(words);
    } else {
        r = vec_add(vec_set1(c->carry), vec_and(n, vec_set1(c->odd)));
    }
    const vec base =
        vec_sllv(vec_sub(binade, vec_set1(lowest)), vec_set1((uint32_t)e->mantissa_bits));
    const vec code = vec_min(vec_add_carry(vec_add(base, n), f, r), vec_set1(c->largest));
    vec signed_code;
    if (e->kind == MXQ_INTEGER) {
        const vec sign = vec_gt(vec_set1(0), value);
        signed_code = vec_and(vec_sub(vec_xor(code, sign), sign), vec_set1(0xFF));
    } else {
        vec sign = vec_and(vec_srlv(value, vec_set1((uint32_t)(32 - e->bits))),
                           vec_set1(1u << (e->bits - 1)));
        if (c->unsigned_zero)
            sign = vec_and(sign, vec_gt(code, vec_set1(0)));
        signed_code = vec_or(code, sign);
    }
    const vec is_nan = vec_gt(magnitude, vec_set1(0x7F800000));
    return vec_or(vec_andnot(is_nan, signed_code), vec_and(is_nan, vec_set1(e->nan_code)));
}

/* STEP values from value `i` on, the longer way. */
MXQ_INLINE void encode_any(uint8_t *elements, const void *x, size_t i, const uint8_t *scale,
                           const uint32_t *words, const struct encoder *c,
                           const struct mxq_element_info *e, enum mxq_type type)
{
    vec code[4];
    for (size_t k = 0; k < 4; k++) {
        const size_t at = i + k * VEC_LANES;
        const vec v = vec_mul(load_wide(x, at, type), reciprocal_of(scale[at / MXQ_BLOCK]));
        code[k] = encode_lanes(v, words ? words + k * VEC_LANES : NULL, c, e);
    }
    vec_store_bytes(elements, code, e->bits);
}

/* Of 2 * VEC_LANES values the sign, the exponent and the mantissa of an element, in the lowest bits of 16. */
MXQ_INLINE vec rounded_16(const void *x, size_t i, const uint32_t *words, const struct encoder *c,
                          const struct mxq_element_info *e, enum mxq_type type)
{
    const int drop = 23 - e->mantissa_bits, unused = 32 - drop;
    const vec by_drop = vec_set1((uint32_t)drop), by_unused = vec_set1((uint32_t)unused);
    if (type == MXQ_BF16) {
        const vec value = vec_load((const unsigned char *)x + i * sizeof(uint16_t));
        const vec r =
            words ? vec_upper_16(vec_load(words), vec_load(words + VEC_LANES))
                  : vec_add_16(vec_set1((c->carry >> 16) * 0x10001),
                               vec_and(vec_srl_16(value, drop - 16), vec_set1(c->odd * 0x10001)));
        return vec_srl_16(vec_add_16(value, vec_srl_16(r, unused)), drop - 16);
    }
    vec sum[2];
    for (size_t k = 0; k < 2; k++) {
        const vec value = load_wide(x, i + k * VEC_LANES, type);
        const vec r = words ? vec_load(words + k * VEC_LANES)
                            : vec_add(vec_set1(c->carry),
                                      vec_and(vec_srlv(value, by_drop), vec_set1(c->odd)));
        sum[k] = vec_srlv(vec_add(value, vec_srlv(r, by_unused)), by_drop);
    }
    return vec_pack_16(sum[0], sum[1]);
}

/* Whether a scale and its block of values allow the short way to begin with. */
MXQ_INLINE int is_ordinary(uint8_t scale, const struct mxq_element_info *e)
{
    return scale >= ORDINARY_LOW(e) && scale <= ORDINARY_HIGH;
}

/* Whether STEP values from value `i` on are zeros or become normal elements. */
MXQ_INLINE int is_short(const void *x, size_t i, const uint8_t *scale,
                        const struct mxq_element_info *e, enum mxq_type type)
{
    vec others = vec_set1(0);
    for (size_t k = 0; k < 4; k++) {
        const size_t at = i + k * VEC_LANES;
        if (!is_ordinary(scale[at / MXQ_BLOCK], e))
            return 0;
        const uint32_t smallest = (uint32_t)(scale[at / MXQ_BLOCK] - e->bias + 1) << 23;
        const vec magnitude = vec_and(load_wide(x, at, type), vec_set1(0x7FFFFFFF));
        others = vec_or(
            others, vec_and(vec_gt(vec_set1(smallest), magnitude), vec_gt(magnitude, vec_set1(0))));
        others = vec_or(others, vec_gt(magnitude, vec_set1(0x7F800000)));
    }
    return vec_mask(others) == 0;
}

/* STEP values from value `i` on by the short way; `bias`: of each block, in two 16-bit lanes.  Returns whether
 * there may be others than it is for. */
MXQ_INLINE int encode_short(uint8_t *elements, const void *x, size_t i, const uint32_t *bias,
                            const uint32_t *words, const struct encoder *c,
                            const struct mxq_element_info *e, enum mxq_type type)
{
    const int field_bits = 8 + e->mantissa_bits;
    vec code[2], sign[2];
    UNROLL for (size_t k = 0; k < 2; k++)
    {
        const size_t at = i + 2 * k * VEC_LANES;
        const vec sum = rounded_16(x, at, words ? words + 2 * k * VEC_LANES : NULL, c, e, type);
        const vec magnitude = vec_and(sum, vec_set1(((1u << field_bits) - 1) * 0x10001));
        code[k] = vec_subs_16(magnitude, vec_set1(bias[at / MXQ_BLOCK]));
        sign[k] = vec_srl_16(sum, field_bits - 7);
    }
    const vec bytes = vec_pack_8(code[0], code[1]);
    const vec signs = vec_and(vec_pack_8(sign[0], sign[1]), vec_set1(0x80808080));
    vec_store_8(elements, vec_or(vec_min_8(bytes, vec_set1(c->largest * 0x01010101)), signs), type);
    /* Zeros have code 0.  What is rounded up to the smallest normal looks like it. */
    return vec_any_outside(bytes, (uint8_t)((1 << e->mantissa_bits) + 1), 254);
}

/* The steps of a chunk whose bits are set once more, the longer way.  Out of line, for it needs registers. */
static __attribute__((noinline, unused)) void
encode_others(uint64_t steps, uint8_t *elements, const void *x, const uint8_t *scale,
              const uint32_t *words, const struct encoder *c, const struct mxq_element_info *e,
              enum mxq_type type)
{
    for (; steps; steps &= steps - 1) {
        const size_t i = (size_t)__builtin_ctzll(steps) * STEP;
        if (c->unsigned_zero || !is_short(x, i, scale, e, type))
            encode_any(elements + i, x, i, scale, words ? words + i : NULL, c, e, type);
    }
}

MXQ_INLINE void prefetch_step(const void *x, size_t i, size_t ahead, enum mxq_type type)
{
    prefetch_lines((const unsigned char *)x + i * type_bytes(type), STEP * type_bytes(type), ahead);
}

/* A multiple of STEP values, at most a chunk. */
MXQ_INLINE void encode_values(uint8_t *elements, const void *x, const uint8_t *scale, size_t values,
                              const uint32_t *words, const struct encoder *c,
                              const struct mxq_element_info *e, enum mxq_type type)
{
    if (e->kind != MXQ_FLOAT || e->bits != 8) {
        for (size_t i = 0; i < values; i += STEP) {
            prefetch_step(x, i, c->ahead, type);
            encode_any(elements + mxq_code_bytes(e, i), x, i, scale, words ? words + i : NULL, c, e,
                       type);
        }
        return;
    }
    uint32_t bias[CHUNK_BLOCKS];
    uint64_t others = 0;
    for (size_t b = 0; b < values / MXQ_BLOCK; b++)
        bias[b] = (uint32_t)(scale[b] - e->bias) * (UINT32_C(0x10001) << e->mantissa_bits);
    for (size_t i = 0; i < values; i += STEP) {
        prefetch_step(x, i, c->ahead, type);
        const uint64_t any =
            (uint64_t)encode_short(elements + i, x, i, bias, words ? words + i : NULL, c, e, type);
        const size_t first = i / MXQ_BLOCK, last = (i + STEP - 1) / MXQ_BLOCK;
        const uint64_t scaled =
            (uint64_t)(!is_ordinary(scale[first], e) || !is_ordinary(scale[last], e));
        others |= (any | scaled) << i / STEP;
    }
    if (others)
        encode_others(others, elements, x, scale, words, c, e, type);
}

/* `p`: the source of random words, or NULL. */
MXQ_INLINE void encode_chunks(uint8_t *elements, const void *x, const uint8_t *scale, size_t blocks,
                              const struct mxq_encoding *how, struct philox *p,
                              const struct mxq_element_info *e, enum mxq_type type)
{
    const struct encoder c = encoder_of(how, e);
    for (size_t done = 0; done < blocks * MXQ_BLOCK; done += CHUNK) {
        const size_t left = blocks * MXQ_BLOCK - done, count = left < CHUNK ? left : CHUNK;
        const size_t whole = (count + STEP - 1) / STEP * STEP;
        const unsigned char *from = (const unsigned char *)x + done * type_bytes(type);
        const uint8_t *scales = scale + done / MXQ_BLOCK;
        uint32_t words[CHUNK + (WAYS + 1) * VECTOR_WORDS];
        uint8_t codes[CHUNK], padded_scales[CHUNK_BLOCKS];
        unsigned char padded[CHUNK * 4];
        uint8_t *to = elements + mxq_code_bytes(e, done);
        if (count != whole) {
            pad_group(padded, from, count * type_bytes(type), whole * type_bytes(type));
            pad_group(padded_scales, scales, count / MXQ_BLOCK, whole / MXQ_BLOCK);
            from = padded;
            scales = padded_scales;
            to = codes;
        }
        const uint64_t index = how->index + done;
        const size_t skip = index % VECTOR_WORDS;
        if (p)
            random_words(words, (index - skip) / 4,
                         (skip + whole + VECTOR_WORDS - 1) / VECTOR_WORDS * COUNTERS, p);
        encode_values(to, from, scales, whole, p ? words + skip : NULL, &c, e, type);
        if (to == codes)
            memcpy(elements + mxq_code_bytes(e, done), codes, mxq_code_bytes(e, count));
    }
}

MXQ_INLINE void encode_blocks(uint8_t *elements, const void *x, const uint8_t *scale, size_t blocks,
                              const struct mxq_encoding *how, const struct mxq_element_info *e,
                              enum mxq_type type)
{
    if (how->rounding == MXQ_STOCHASTIC) {
        struct philox p;
        set_key(&p, how->seed);
        encode_chunks(elements, x, scale, blocks, how, &p, e, type);
    } else {
        encode_chunks(elements, x, scale, blocks, how, NULL, e, type);
    }
}

#define ENCODE_KERNEL(name, element, type)                                                         \
    void name(uint8_t *elements, const void *x, const uint8_t *scale, size_t blocks,               \
              const struct mxq_encoding *how)                                                      \
    {                                                                                              \
        encode_blocks(elements, x, scale, blocks, how, &mxq_elements[element], type);              \
    }

#define ENCODE_KERNELS(isa, e, element)                                                            \
    ENCODE_KERNEL(mxq_encode_##e##_f32_##isa, element, MXQ_F32)                                    \
    ENCODE_KERNEL(mxq_encode_##e##_bf16_##isa, element, MXQ_BF16)                                  \
    ENCODE_KERNEL(mxq_encode_##e##_f16_##isa, element, MXQ_F16)

#endif

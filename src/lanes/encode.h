/* SPDX-License-Identifier: Apache-2.0 */
/* encode.h -- elements under every rounding, written once over vec.h.
 *
 * A magnitude is `base + n + f` codes, n an integer and 0 <= f < 1 known to 32 bits, and becomes one code more
 * when f * 2^32 + r carries into bit 32: r is 2^31 for ties away from zero, 2^31 - 1 for ties toward it,
 * one more than that for an odd n when ties go to even, 0 for no rounding, and a random word for a
 * stochastic one.  An integer element is a float whose codes are all subnormal.  Steps of the vocabulary:
 *
 *   vec_sllv(a, n) vec_srlv(a, n)   shifts by a count for each lane; counts beyond 31, unsigned, give 0
 *   vec_add_carry(a, f, r)          a, or a + 1 where f + r carries
 *   vec_store_bytes(p, v, bits)     the codes in the lanes of four vectors, packed
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
#define WAYS         2 /* vectors at a time, to hide latencies */

struct philox {
    uint32_t key[2][10];
    uint32_t upper; /* half of all counters */
};

/* Philox4x32-10 as encode.c of the scalar column has it, for the counters in the even lanes of `lower`.  What
 * odd lanes hold does not matter.  Of the first two rounds most factors are zero or the same for all. */
MXQ_INLINE void philox_words(uint32_t *words, const vec lower[WAYS], const struct philox *p)
{
    const vec m0 = vec_set1(0xD2511F53), m1 = vec_set1(0xCD9E8D57);
    const uint64_t same = (uint64_t)0xD2511F53 * (p->upper ^ p->key[0][0]);
    vec w0[WAYS], w1[WAYS], w2[WAYS], w3[WAYS];
    UNROLL for (int k = 0; k < WAYS; k++)
    {
        const vec a = vec_mul_even(lower[k], m0);
        w1[k] = vec_mul_even(vec_xor(vec_upper(a), vec_set1(p->key[1][0])), m1);
        w0[k] = vec_xor(vec_upper(w1[k]), vec_set1(p->key[0][1]));
        w2[k] = vec_xor(a, vec_set1((uint32_t)(same >> 32) ^ p->key[1][1]));
        w3[k] = vec_set1((uint32_t)same);
    }
    UNROLL for (int round = 2; round < 9; round++)
    {
        const vec key0 = vec_set1(p->key[0][round]), key1 = vec_set1(p->key[1][round]);
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
        const vec key0 = vec_and(vec_set1(p->key[0][9]), even);
        const vec key1 = vec_and(vec_set1(p->key[1][9]), even);
        vec_store_words(words + (size_t)k * VECTOR_WORDS,
                        vec_xor3(vec_swap(b), vec_and(w1[k], even), key0),
                        vec_xor3(vec_swap(a), vec_and(w3[k], even), key1));
    }
}

/* Writes the words of `counters` counters from n on, a multiple of COUNTERS: so no vector carries into the upper
 * half.  Writes whole turns of WAYS vectors. */
MXQ_INLINE void random_words(uint32_t *words, uint64_t n, size_t counters, uint64_t seed)
{
    struct philox p;
    for (uint32_t round = 0; round < 10; round++) {
        p.key[0][round] = (uint32_t)seed + round * 0x9E3779B9;
        p.key[1][round] = (uint32_t)(seed >> 32) + round * 0xBB67AE85;
    }
    for (size_t done = 0; done < counters;) {
        const uint64_t first = (n + done) & (UINT64_MAX >> 2);
        const uint64_t before_carry = (UINT64_C(1) << 32) - (uint32_t)first;
        const size_t left = counters - done;
        const size_t run = left < before_carry ? left : (size_t)before_carry;
        p.upper = (uint32_t)(first >> 32);
        for (size_t i = 0; i < run; i += WAYS * COUNTERS) {
            vec lower[WAYS];
            for (uint32_t k = 0; k < WAYS; k++)
                lower[k] = vec_add(vec_counters(),
                                   vec_set1((uint32_t)(first + i) + k * (uint32_t)COUNTERS));
            philox_words(words + 4 * (done + i), lower, &p);
        }
        done += run;
    }
}

/* ------------------------------------------- Elements ------------------------------------------ */

#define STEP         (4 * VEC_LANES)
#define CHUNK_BLOCKS 8
#define CHUNK        (CHUNK_BLOCKS * MXQ_BLOCK)

struct encoder {
    vec carry, odd; /* r is carry + (n & odd), but for stochastic rounding */
    vec largest;
    int unsigned_zero;
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
    return (struct encoder){vec_set1(carry), vec_set1(how->rounding == MXQ_NEAREST_EVEN),
                            vec_set1(how->special ? e->max_code + 1u : e->max_code),
                            how->unsigned_zero};
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
        r = vec_add(c->carry, vec_and(n, c->odd));
    }
    const vec base =
        vec_sllv(vec_sub(binade, vec_set1(lowest)), vec_set1((uint32_t)e->mantissa_bits));
    const vec code = vec_min(vec_add_carry(vec_add(base, n), f, r), c->largest);
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

/* A multiple of STEP values. */
MXQ_INLINE void encode_values(uint8_t *elements, const float *v, size_t values,
                              const uint32_t *words, const struct encoder *c,
                              const struct mxq_element_info *e)
{
    for (size_t i = 0; i < values; i += STEP) {
        vec code[4];
        for (size_t k = 0; k < 4; k++) {
            const size_t at = i + k * VEC_LANES;
            code[k] = encode_lanes(vec_of_ps(vec_load_ps(v + at)), words ? words + at : NULL, c, e);
        }
        vec_store_bytes(elements + mxq_code_bytes(e, i), code, e->bits);
    }
}

MXQ_INLINE void encode_blocks(uint8_t *elements, const float *v, size_t blocks,
                              const struct mxq_encoding *how, const struct mxq_element_info *e)
{
    const struct encoder c = encoder_of(how, e);
    for (size_t done = 0; done < blocks * MXQ_BLOCK; done += CHUNK) {
        const size_t left = blocks * MXQ_BLOCK - done, count = left < CHUNK ? left : CHUNK;
        const size_t whole = (count + STEP - 1) / STEP * STEP;
        const float *from = v + done;
        uint8_t codes[CHUNK];
        float padded[CHUNK];
        uint8_t *to = elements + mxq_code_bytes(e, done);
        if (count != whole) {
            pad_group(padded, from, count * sizeof *from, whole * sizeof *from);
            from = padded;
            to = codes;
        }
        if (how->rounding == MXQ_STOCHASTIC) {
            uint32_t words[CHUNK + (WAYS + 1) * VECTOR_WORDS];
            const uint64_t index = how->index + done;
            const size_t skip = index % VECTOR_WORDS;
            random_words(words, (index - skip) / 4,
                         (skip + whole + VECTOR_WORDS - 1) / VECTOR_WORDS * COUNTERS, how->seed);
            encode_values(to, from, whole, words + skip, &c, e);
        } else {
            encode_values(to, from, whole, NULL, &c, e);
        }
        if (to == codes)
            memcpy(elements + mxq_code_bytes(e, done), codes, mxq_code_bytes(e, count));
    }
}

#define ENCODE_KERNEL(name, element)                                                               \
    void name(uint8_t *elements, const float *v, size_t blocks, const struct mxq_encoding *how)    \
    {                                                                                              \
        encode_blocks(elements, v, blocks, how, &mxq_elements[element]);                           \
    }

#endif

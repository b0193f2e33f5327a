/* SPDX-License-Identifier: Apache-2.0 */
/* encode.c -- elements under every rounding, the reference. */
#include "scalar/pack.h"

/* Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3; 2011), with
 * the counter (lower half of n, upper half of n, 0, 0) and the key (lower half of seed, upper half). */
static void philox(uint32_t word[4], uint64_t n, uint64_t seed)
{
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    word[0] = (uint32_t)n;
    word[1] = (uint32_t)(n >> 32);
    word[2] = word[3] = 0;
    for (int round = 0; round < 10; round++) {
        const uint64_t a = (uint64_t)0xD2511F53 * word[0], b = (uint64_t)0xCD9E8D57 * word[2];
        word[0] = (uint32_t)(b >> 32) ^ word[1] ^ key[0];
        word[1] = (uint32_t)b;
        word[2] = (uint32_t)(a >> 32) ^ word[3] ^ key[1];
        word[3] = (uint32_t)a;
        key[0] += 0x9E3779B9; /* the golden ratio */
        key[1] += 0xBB67AE85; /* sqrt(3) - 1 */
    }
}

static uint32_t random_word(uint64_t index, uint64_t seed)
{
    uint32_t word[4];
    philox(word, index / 4, seed);
    return word[index % 4];
}

/* Returns floor(f * 2^32), f being what significand >> shift leaves: 0 <= f < 1. */
static uint32_t fraction_of(uint32_t significand, int shift)
{
    if (shift > 32)
        return shift < 64 ? (uint32_t)((uint64_t)significand >> (shift - 32)) : 0;
    return (uint32_t)((uint64_t)significand << (32 - shift));
}

/* Whether n + f, n = significand >> shift, becomes n + 1. */
static int rounds_up(uint32_t significand, int shift, const struct mxq_encoding *how,
                     uint64_t index)
{
    const uint32_t f = fraction_of(significand, shift), half = UINT32_C(1) << 31;
    /* Below half a unit there may be bits that f does not hold: only far from the half. */
    const int is_odd = shift < 32 && (significand >> shift & 1);
    switch (how->rounding) {
    case MXQ_NEAREST_EVEN:
        return f > half || (f == half && is_odd);
    case MXQ_NEAREST_AWAY:
        return f >= half;
    case MXQ_NEAREST_ZERO:
        return f > half;
    case MXQ_TOWARD_ZERO:
        return 0;
    case MXQ_STOCHASTIC:
        return (uint32_t)(f + random_word(index, how->seed)) < f;
    }
    return 0;
}

/* Returns the code of a value times 2^(127 - scale), with index `index` in its tensor. */
static uint8_t encode_value(uint32_t bits, uint8_t scale, const struct mxq_encoding *how,
                            uint64_t index, const struct mxq_element_info *e)
{
    const uint32_t magnitude = bits & 0x7FFFFFFF;
    const int is_negative = (int)(bits >> 31);
    const uint32_t largest = how->special ? e->max_code + 1u : e->max_code;
    uint32_t code = 0;
    if (scale == 0xFF || magnitude > 0x7F800000)
        return e->nan_code;
    if (magnitude == 0x7F800000) {
        code = largest;
    } else if (magnitude) {
        const struct magnitude m = magnitude_of(bits);
        const int scaled = m.exponent - ((int)scale - 127);
        const struct grid g = grid_of(scaled, e);
        if (scaled > e->emax)
            code = largest;
        else
            code = g.base + (g.shift < 32 ? m.significand >> g.shift : 0) +
                   (uint32_t)rounds_up(m.significand, g.shift, how, index);
        if (code > largest)
            code = largest;
    }
    return with_sign(code, is_negative && (code || !how->unsigned_zero), e);
}

MXQ_INLINE void encode_blocks(uint8_t *elements, const void *x, const uint8_t *scale, size_t blocks,
                              const struct mxq_encoding *how, enum mxq_element element,
                              enum mxq_type type)
{
    const struct mxq_element_info *e = &mxq_elements[element];
    for (size_t b = 0; b < blocks; b++) {
        uint8_t codes[MXQ_BLOCK];
        for (size_t i = 0; i < MXQ_BLOCK; i++) {
            const size_t at = b * MXQ_BLOCK + i;
            codes[i] = encode_value(load_f32_bits(x, at, type), scale[b], how, how->index + at, e);
        }
        mxq_pack_bits(elements + b * mxq_code_bytes(e, MXQ_BLOCK), codes, MXQ_BLOCK, e->bits);
    }
}

#define ENCODE_KERNEL(name, element, type)                                                         \
    void name(uint8_t *elements, const void *x, const uint8_t *scale, size_t blocks,               \
              const struct mxq_encoding *how)                                                      \
    {                                                                                              \
        encode_blocks(elements, x, scale, blocks, how, element, type);                             \
    }

#define MXQ_ELEMENT(E, e, ...)                                                                     \
    ENCODE_KERNEL(mxq_encode_##e##_f32_scalar, MXQ_##E, MXQ_F32)                                   \
    ENCODE_KERNEL(mxq_encode_##e##_bf16_scalar, MXQ_##E, MXQ_BF16)                                 \
    ENCODE_KERNEL(mxq_encode_##e##_f16_scalar, MXQ_##E, MXQ_F16)
#include "elements.def"

/* SPDX-License-Identifier: Apache-2.0 */
/* unpack.h -- element unpacking, written once over vec.h.
 *
 * A float's code, moved into the upper bits of an F16 with zeros between its sign and the rest, is an F16
 * with the same mantissa, subnormals included, and an exponent that counts from 2^-15 and not from
 * 2^-bias.  So the machine's exact F16 -> F32 conversion decodes; an integer's code converts like any
 * integer.  One product with a power of two scales.  Steps of the vocabulary:
 *
 *   vec_decode(value, p, e)           4 * VEC_LANES codes to 4 vectors of F32 bits, times
 *                                     2^-decode_shift
 *   vec_max_code(largest, p)          bytewise the larger of `largest` and 4 * VEC_LANES codes of 8 bits,
 *                                     signs aside
 *   vec_any_above(largest, code)      whether a byte is above `code`
 *
 * NaN codes, scales whose factor is no normal F32, and results that BF16 must round go through
 * unpack_block_any(). */
#ifndef MXQ_LANES_UNPACK_H
#define MXQ_LANES_UNPACK_H

#include "bits.h"
#include "lanes/group.h"

/* 2^-decode_shift comes with a decoded value: the difference of the exponent biases, or the integer's
 * step. */
MXQ_INLINE int decode_shift(const struct mxq_element_info *e)
{
    return e->kind == MXQ_INTEGER ? e->emax - e->mantissa_bits : 15 - e->bias;
}

/* The largest code that decodes as a number, or, where the codes above max_code begin with an exponent
 * of their own, as the infinity that is the first of them. */
MXQ_INLINE uint8_t last_number(const struct mxq_element_info *e)
{
    const int above = e->max_code + 1;
    const int is_infinity = above >> (e->bits - 1) == 0 && above % (1 << e->mantissa_bits) == 0;
    return (uint8_t)(is_infinity ? above : e->max_code);
}

/* Whether some codes are no numbers. */
MXQ_INLINE int has_nan(const struct mxq_element_info *e)
{
    return e->kind == MXQ_FLOAT && last_number(e) < (1 << (e->bits - 1)) - 1;
}

/* From here the factor is a normal F32, and, for BF16, so is the smallest value other than zero: no
 * element has more significant bits than BF16, so it is exact. */
MXQ_INLINE uint32_t unpack_low(const struct mxq_element_info *e, enum mxq_type type)
{
    const int smallest = (e->kind == MXQ_INTEGER ? e->emax : 1 - e->bias) - e->mantissa_bits;
    const int factor = 1 - decode_shift(e), exact = 1 - smallest;
    const int low = type == MXQ_BF16 && exact > factor ? exact : factor;
    return (uint32_t)(low > 0 ? low : 0);
}

/* Up to here the factor is at most 2^127. */
MXQ_INLINE uint32_t unpack_high(const struct mxq_element_info *e)
{
    return (uint32_t)(decode_shift(e) > 0 ? 254 - decode_shift(e) : 254);
}

/* One block, with any scale code and any element codes. */
static __attribute__((noinline)) void unpack_block_any(void *y, const uint8_t *elements,
                                                       uint8_t scale,
                                                       const struct mxq_element_info *e,
                                                       enum mxq_type type)
{
    /* Two exact factors, for their product may be beyond F32. */
    const int exponent = scale == 0xFF ? 0 : (int)scale - 127 + decode_shift(e);
    const vec first = vec_set1((uint32_t)(127 + exponent / 2) << 23);
    const vec second = vec_set1((uint32_t)(127 + exponent - exponent / 2) << 23);
    enum { VALUES = 4 * VEC_LANES < MXQ_BLOCK ? MXQ_BLOCK : 4 * VEC_LANES };
    uint8_t packed[VALUES], codes[MXQ_BLOCK];
    uint32_t bits[VALUES];
    pad_group(packed, elements, packed_bytes(MXQ_BLOCK, e), VALUES);
    mxq_unpack_bits(codes, elements, MXQ_BLOCK, e->bits);
    for (size_t i = 0; i < VALUES; i += 4 * VEC_LANES) {
        vec value[4];
        vec_decode(value, packed + packed_bytes(i, e), e);
        for (size_t k = 0; k < 4; k++)
            vec_store(bits + i + k * VEC_LANES, vec_mul(vec_mul(value[k], first), second));
    }
    for (size_t i = 0; i < MXQ_BLOCK; i++)
        if (scale == 0xFF || (has_nan(e) && (codes[i] & 0x7F) > last_number(e)))
            bits[i] = 0x7FC00000;
    for (size_t i = 0; i < MXQ_BLOCK; i += 2 * VEC_LANES) {
        vec first_half = vec_load(bits + i), second_half = vec_load(bits + i + VEC_LANES);
        if (type == MXQ_BF16) {
            first_half = round_to_bf16(first_half);
            second_half = round_to_bf16(second_half);
        }
        store_two(y, i, type, first_half, second_half);
    }
}

/* Unpacks the first `values` values of a group, a multiple of 4 * VEC_LANES. */
MXQ_INLINE void unpack_group(void *y, const uint8_t *elements, const uint8_t *scale, size_t values,
                             const struct mxq_element_info *e, enum mxq_type type)
{
    const vec scales = vec_load_u8(scale);
    const vec factor = vec_sll(vec_add(scales, vec_set1((uint32_t)decode_shift(e))), 23);
    const uint32_t low = unpack_low(e, type), high = unpack_high(e);
    uint32_t any = vec_mask_gt_u(vec_sub(scales, vec_set1(low)), vec_set1(high - low));
    vec lane = vec_first_lane();
    vec largest = vec_set1(0);
    for (size_t i = 0; i < values; i += 4 * VEC_LANES) {
        vec value[4];
        vec_decode(value, elements + packed_bytes(i, e), e);
        if (has_nan(e))
            largest = vec_max_code(largest, elements + i);
        for (size_t k = 0; k < 4; k++) {
            if (k * VEC_LANES * type_bytes(type) % 64 == 0)
                prefetch_output(y, (i + k * VEC_LANES) * type_bytes(type));
            value[k] = vec_mul(value[k], vec_lane(factor, lane));
            if (ends_block(i, k))
                lane = vec_next_lane(lane);
        }
        store_two(y, i, type, value[0], value[1]);
        store_two(y, i + 2 * VEC_LANES, type, value[2], value[3]);
    }
    if (has_nan(e) && vec_any_above(largest, last_number(e)))
        any = (uint32_t)((UINT64_C(1) << VEC_LANES) - 1);
    any &= (uint32_t)((UINT64_C(1) << values / MXQ_BLOCK) - 1);
    for (; any; any &= any - 1) {
        const size_t b = (size_t)__builtin_ctz(any);
        unpack_block_any((unsigned char *)y + b * block_bytes(type),
                         elements + packed_bytes(b * MXQ_BLOCK, e), scale[b], e, type);
    }
}

MXQ_INLINE void unpack_blocks(void *y, const uint8_t *elements, const uint8_t *scale, size_t blocks,
                              const struct mxq_element_info *e, enum mxq_type type)
{
    unsigned char *wide = y;
    for (; blocks >= VEC_LANES; blocks -= VEC_LANES) {
        unpack_group(wide, elements, scale, VEC_LANES * MXQ_BLOCK, e, type);
        elements += packed_bytes(VEC_LANES * MXQ_BLOCK, e);
        scale += VEC_LANES;
        wide += VEC_LANES * block_bytes(type);
    }
    if (blocks) {
        unsigned char padded[GROUP_BYTES_MAX];
        uint8_t codes[VEC_LANES * MXQ_BLOCK], scales[VEC_LANES];
        pad_group(codes, elements, packed_bytes(blocks * MXQ_BLOCK, e), sizeof codes);
        memset(scales, 127, sizeof scales); /* an ordinary one, that takes no slow path */
        memcpy(scales, scale, blocks);
        const size_t steps = (blocks * MXQ_BLOCK + 4 * VEC_LANES - 1) / (4 * VEC_LANES);
        unpack_group(padded, codes, scales, steps * 4 * VEC_LANES, e, type);
        memcpy(wide, padded, blocks * block_bytes(type));
    }
}

#define UNPACK_KERNEL(name, element, type)                                                         \
    void name(void *y, const uint8_t *elements, const uint8_t *scale, size_t blocks)               \
    {                                                                                              \
        unpack_blocks(y, elements, scale, blocks, &mxq_elements[element], type);                   \
    }

#endif

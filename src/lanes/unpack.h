/* SPDX-License-Identifier: Apache-2.0 */
/* unpack.h -- FP8 unpacking, written once over vec.h.
 *
 * Moved into the upper bits of an F16, an element code is a F16 with the same mantissa, subnormals
 * included: E5M2 is the upper byte of a F16; E4M3 fits below it with a top exponent bit of 0, which
 * reads as the value times 2^-8 (bias 15 against 7).  So the machine's exact F16 -> F32 conversion
 * decodes, and one product with a power of two scales.  Steps of the vocabulary:
 *
 *   vec_decode(value, p, mbits)       4 * VEC_LANES codes to 4 vectors of F32 bits, times
 *                                     2^-DECODE_SHIFT
 *   vec_max_code(largest, p)          bytewise the larger of `largest` and 4 * VEC_LANES codes, signs
 *                                     aside
 *   vec_any_above(largest, code)      whether a byte is above `code`
 *
 * NaN codes, scales whose factor is no normal F32, and results that BF16 must round go through
 * unpack_block_any(). */
#ifndef MXQ_LANES_UNPACK_H
#define MXQ_LANES_UNPACK_H

#include "lanes/group.h"

/* 2^-DECODE_SHIFT comes with a decoded value: the difference of the exponent biases. */
#define DECODE_SHIFT(e) (15 - (e)->bias)

/* The largest code that the plain path decodes: of the codes above max_code E5M2 has an infinity,
 * which decodes like a number. */
MXQ_INLINE uint8_t last_number(const struct mxq_element_info *e)
{
    return e->mantissa_bits == 2 ? e->max_code + 1 : e->max_code;
}

#define UNPACK_LOW_BF16 24  /* smallest value 2^(24 - 127 - 16): a normal F32, so exact in BF16 */
#define UNPACK_LOW      1   /* factor at least 2^-126, a normal F32 */
#define UNPACK_HIGH     240 /* factor 2^(240 - 127 + 8) <= 2^127 */

/* One block, with any scale code and any element codes. */
static __attribute__((noinline)) void unpack_block_any(void *y, const uint8_t *elements,
                                                       uint8_t scale,
                                                       const struct mxq_element_info *e,
                                                       enum mxq_type type)
{
    /* Two exact factors, for their product may be beyond F32. */
    const int exponent = scale == 0xFF ? 0 : (int)scale - 127 + DECODE_SHIFT(e);
    const vec first = vec_set1((uint32_t)(127 + exponent / 2) << 23);
    const vec second = vec_set1((uint32_t)(127 + exponent - exponent / 2) << 23);
    enum { VALUES = 4 * VEC_LANES < MXQ_BLOCK ? MXQ_BLOCK : 4 * VEC_LANES };
    uint8_t codes[VALUES];
    uint32_t bits[VALUES];
    pad_group(codes, elements, MXQ_BLOCK, VALUES);
    for (size_t i = 0; i < VALUES; i += 4 * VEC_LANES) {
        vec value[4];
        vec_decode(value, codes + i, e->mantissa_bits);
        for (size_t k = 0; k < 4; k++)
            vec_store(bits + i + k * VEC_LANES, vec_mul(vec_mul(value[k], first), second));
    }
    for (size_t i = 0; i < MXQ_BLOCK; i++)
        if (scale == 0xFF || (elements[i] & 0x7F) > last_number(e))
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

MXQ_INLINE void unpack_group(void *y, const uint8_t *elements, const uint8_t *scale,
                             const struct mxq_element_info *e, enum mxq_type type)
{
    const vec scales = vec_load_u8(scale);
    const vec factor = vec_sll(vec_add(scales, vec_set1((uint32_t)DECODE_SHIFT(e))), 23);
    const vec low = vec_set1(type == MXQ_BF16 ? UNPACK_LOW_BF16 : UNPACK_LOW);
    uint32_t any = vec_mask(vec_or(vec_gt(low, scales), vec_gt(scales, vec_set1(UNPACK_HIGH))));
    vec lane = vec_first_lane();
    vec largest = vec_set1(0);
    for (size_t i = 0; i < VEC_LANES * MXQ_BLOCK; i += 4 * VEC_LANES) {
        vec value[4];
        vec_decode(value, elements + i, e->mantissa_bits);
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
    if (vec_any_above(largest, last_number(e)))
        any = (uint32_t)((UINT64_C(1) << VEC_LANES) - 1);
    for (; any; any &= any - 1) {
        const size_t b = (size_t)__builtin_ctz(any);
        unpack_block_any((unsigned char *)y + b * block_bytes(type), elements + b * MXQ_BLOCK,
                         scale[b], e, type);
    }
}

MXQ_INLINE void unpack_blocks(void *y, const uint8_t *elements, const uint8_t *scale, size_t blocks,
                              const struct mxq_element_info *e, enum mxq_type type)
{
    unsigned char *wide = y;
    for (; blocks >= VEC_LANES; blocks -= VEC_LANES) {
        unpack_group(wide, elements, scale, e, type);
        elements += VEC_LANES * MXQ_BLOCK;
        scale += VEC_LANES;
        wide += VEC_LANES * block_bytes(type);
    }
    if (blocks) {
        unsigned char padded[GROUP_BYTES_MAX];
        uint8_t codes[VEC_LANES * MXQ_BLOCK], scales[VEC_LANES];
        pad_group(codes, elements, blocks * MXQ_BLOCK, sizeof codes);
        pad_group(scales, scale, blocks, sizeof scales);
        unpack_group(padded, codes, scales, e, type);
        memcpy(wide, padded, blocks * block_bytes(type));
    }
}

#define UNPACK_KERNEL(name, element, type)                                                         \
    void name(void *y, const uint8_t *elements, const uint8_t *scale, size_t blocks)               \
    {                                                                                              \
        if (is_fp8(element))                                                                       \
            unpack_blocks(y, elements, scale, blocks, &mxq_elements[element], type);               \
        else                                                                                       \
            mxq_kernels_scalar.unpack[element][type](y, elements, scale, blocks);                  \
    }

#endif

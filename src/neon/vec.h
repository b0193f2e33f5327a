/* SPDX-License-Identifier: Apache-2.0 */
/* vec.h -- the vocabulary of lanes/ in Armv8.0 AdvSIMD. */
#ifndef MXQ_VEC_H
#define MXQ_VEC_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define MXQ_SIMD_NEON
#include "format.h"
#include "simd.h"

/* clang-format off */
#define VEC_LANES 4
#define VEC_PREFETCH_OUTPUT 0
typedef uint32x4_t vec;

static inline vec vec_set1(uint32_t v)              { return vdupq_n_u32(v); }
static inline vec vec_load(const void *p)           { return vreinterpretq_u32_u8(vld1q_u8((const uint8_t *)p)); }
static inline void vec_store(void *p, vec a)        { vst1q_u8((uint8_t *)p, vreinterpretq_u8_u32(a)); }
static inline vec vec_and(vec a, vec b)             { return vandq_u32(a, b); }
static inline vec vec_andnot(vec a, vec b)          { return vbicq_u32(b, a); }
static inline vec vec_or(vec a, vec b)              { return vorrq_u32(a, b); }
static inline vec vec_add(vec a, vec b)             { return vaddq_u32(a, b); }
static inline vec vec_sub(vec a, vec b)             { return vsubq_u32(a, b); }
static inline int32x4_t vec_as_s32(vec a)           { return vreinterpretq_s32_u32(a); }
static inline vec vec_max(vec a, vec b)             { return vreinterpretq_u32_s32(vmaxq_s32(vec_as_s32(a), vec_as_s32(b))); }
static inline vec vec_min(vec a, vec b)             { return vreinterpretq_u32_s32(vminq_s32(vec_as_s32(a), vec_as_s32(b))); }
static inline vec vec_max_16(vec a, vec b)          { return vreinterpretq_u32_s16(vmaxq_s16(vreinterpretq_s16_u32(a), vreinterpretq_s16_u32(b))); }
static inline vec vec_gt(vec a, vec b)              { return vcgtq_s32(vec_as_s32(a), vec_as_s32(b)); }
static inline vec vec_eq(vec a, vec b)              { return vceqq_u32(a, b); }
#define vec_srl(a, n)                                 vshrq_n_u32(a, n)
#define vec_sll(a, n)                                 vshlq_n_u32(a, n)

/* A lane is named by the bytes that TBL looks up. */
static inline vec vec_first_lane(void)              { return vec_set1(0x03020100); }
static inline vec vec_next_lane(vec lane)           { return vec_add(lane, vec_set1(0x04040404)); }
static inline vec vec_lane(vec v, vec lane)         { return vreinterpretq_u32_u8(vqtbl1q_u8(vreinterpretq_u8_u32(v), vreinterpretq_u8_u32(lane))); }

typedef float32x4_t vec_ps;
static inline vec_ps vec_as_ps(vec a)               { return vreinterpretq_f32_u32(a); }
static inline vec vec_of_ps(vec_ps a)               { return vreinterpretq_u32_f32(a); }
static inline vec_ps vec_zero_ps(void)              { return vdupq_n_f32(0); }
static inline vec_ps vec_broadcast_ps(const void *p) { return vld1q_dup_f32((const float *)p); }
static inline vec_ps vec_load_ps(const void *p)     { return vld1q_f32((const float *)p); }
static inline void vec_store_ps(float *p, vec_ps a) { vst1q_f32(p, a); }
static inline vec_ps vec_add_ps(vec_ps a, vec_ps b) { return vaddq_f32(a, b); }
static inline vec_ps vec_mul_ps(vec_ps a, vec_ps b) { return vmulq_f32(a, b); }
static inline vec_ps vec_factors(const float *factor, size_t i) { return vdupq_n_f32(factor[i / 8]); }
static inline vec vec_mul(vec a, vec b)             { return vec_of_ps(vec_mul_ps(vec_as_ps(a), vec_as_ps(b))); }

static inline uint16x4_t vec_load_u16(const void *p) { return vreinterpret_u16_u8(vld1_u8((const uint8_t *)p)); }
static inline void vec_store_u16(void *p, uint16x4_t a) { vst1_u8((uint8_t *)p, vreinterpret_u8_u16(a)); }
static inline vec vec_load_bf16(const void *p)      { return vshlq_n_u32(vmovl_u16(vec_load_u16(p)), 16); }
static inline vec vec_load_f16(const void *p)       { return vec_of_ps(vcvt_f32_f16(vreinterpret_f16_u16(vec_load_u16(p)))); }
static inline void vec_store_f16(void *p, vec a)    { vec_store_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(vec_as_ps(a)))); }
/* clang-format on */

MXQ_INLINE uint32_t vec_mask(vec a)
{
    static const uint32_t bit[4] = {1, 2, 4, 8};
    const vec sign = vreinterpretq_u32_s32(vshrq_n_s32(vec_as_s32(a), 31));
    return vaddvq_u32(vec_and(sign, vld1q_u32(bit)));
}

MXQ_INLINE uint32_t vec_mask_gt_u(vec a, vec b)
{
    return vec_mask(vcgtq_u32(a, b));
}

MXQ_INLINE vec vec_load_u8(const void *p)
{
    uint32_t four;
    memcpy(&four, p, sizeof four);
    return vmovl_u16(vget_low_u16(vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(four)))));
}

MXQ_INLINE void vec_store_u8(void *p, vec a)
{
    const uint16x4_t halves = vmovn_u32(a);
    const uint8x8_t bytes = vmovn_u16(vcombine_u16(halves, halves));
    const uint32_t four = vget_lane_u32(vreinterpret_u32_u8(bytes), 0);
    memcpy(p, &four, sizeof four);
}

MXQ_INLINE vec vec_reduce_max(const vec v[4])
{
    return vpmaxq_u32(vpmaxq_u32(v[0], v[1]), vpmaxq_u32(v[2], v[3]));
}

MXQ_INLINE vec vec_fold_8(vec a, vec b)
{
    return vec_max(a, b);
}

MXQ_INLINE vec vec_reduce_quads(const vec v[4])
{
    return vec_reduce_max(v);
}

MXQ_INLINE vec_ps vec_fma_ps(vec_ps a, vec_ps b, vec_ps c)
{
#if defined(MXQ_EMULATED) /* SIMDe rounds twice */
    float x[VEC_LANES], y[VEC_LANES], z[VEC_LANES];
    vec_store_ps(x, a);
    vec_store_ps(y, b);
    vec_store_ps(z, c);
    for (int i = 0; i < VEC_LANES; i++)
        z[i] = fmaf(x[i], y[i], z[i]);
    return vec_load_ps(z);
#else
    return vfmaq_f32(c, a, b);
#endif
}

MXQ_INLINE vec vec_fma(vec a, vec b, vec c)
{
    return vec_of_ps(vec_fma_ps(vec_as_ps(a), vec_as_ps(b), vec_as_ps(c)));
}

MXQ_INLINE vec_ps vec_div_ps(vec_ps a, vec_ps b)
{
#if defined(MXQ_EMULATED) /* SIMDe has none */
    float x[VEC_LANES], y[VEC_LANES];
    vec_store_ps(x, a);
    vec_store_ps(y, b);
    for (int i = 0; i < VEC_LANES; i++)
        x[i] /= y[i];
    return vec_load_ps(x);
#else
    return vdivq_f32(a, b);
#endif
}

/* In units of a code, of which the lowest eight bits matter; in every byte of a lane. */
MXQ_INLINE vec vec_code_bias(vec field, int mantissa_bits)
{
    const vec byte = vec_and(vshlq_u32(field, vdupq_n_s32(mantissa_bits)), vec_set1(0xFF));
    return vmulq_n_u32(byte, 0x01010101);
}

/* Code plus bias in the lowest byte of each lane: (field << mbits) + n, from t = 0 field[8] 0.. n. */
MXQ_INLINE vec vec_code(vec t, int mantissa_bits)
{
    return vec_add(t, vshlq_u32(t, vdupq_n_s32(mantissa_bits - 23)));
}

/* The lower (0) or upper (1) halves of the lanes of a and b, one after the other or, for pairs, in turn. */
MXQ_INLINE uint8x16_t vec_halves(vec a, vec b, int upper, int in_pairs)
{
    const uint16x8_t a16 = vreinterpretq_u16_u32(a), b16 = vreinterpretq_u16_u32(b);
    return vreinterpretq_u8_u16(in_pairs ? (upper ? vtrn2q_u16(a16, b16) : vtrn1q_u16(a16, b16))
                                         : (upper ? vuzp2q_u16(a16, b16) : vuzp1q_u16(a16, b16)));
}

/* Of four vectors the lowest (0) or highest (1) bytes of the lanes. */
MXQ_INLINE uint8x16_t vec_bytes(const vec v[4], int highest, int in_pairs)
{
    const uint8x16_t first = vec_halves(v[0], v[1], highest, in_pairs);
    const uint8x16_t second = vec_halves(v[2], v[3], highest, in_pairs);
    return highest ? vuzp2q_u8(first, second) : vuzp1q_u8(first, second);
}

MXQ_INLINE void vec_store_codes(uint8_t *out, const vec t[4], const vec x[4], const vec bias[4],
                                int mantissa_bits, uint8_t max_code, enum mxq_type type)
{
    const int in_pairs = type == MXQ_BF16;
    vec sums[4];
    for (int k = 0; k < 4; k++)
        sums[k] = vec_code(t[k], mantissa_bits);
    const uint8x16_t codes = vsubq_u8(vec_bytes(sums, 0, in_pairs), vreinterpretq_u8_u32(bias[0]));
    const uint8x16_t saturated = vminq_u8(codes, vdupq_n_u8(max_code));
    vst1q_u8(out, vbslq_u8(vdupq_n_u8(0x80), vec_bytes(x, 1, in_pairs), saturated));
}

MXQ_INLINE void vec_decode(vec value[4], const uint8_t *p, int mantissa_bits)
{
    const int8x16_t codes = vreinterpretq_s8_u8(vld1q_u8(p));
    const int16x8_t wide[2] = {vmovl_s8(vget_low_s8(codes)), vmovl_s8(vget_high_s8(codes))};
    for (int i = 0; i < 2; i++) {
        const uint16x8_t bits = vreinterpretq_u16_s16(wide[i]);
        const uint16x8_t half =
            mantissa_bits == 2 ? vshlq_n_u16(bits, 8)
                               /* the sign was copied into all upper bits: clear the one below */
                               : vandq_u16(vshlq_n_u16(bits, 7), vdupq_n_u16(0xBFFF));
        value[2 * i] = vec_of_ps(vcvt_f32_f16(vreinterpret_f16_u16(vget_low_u16(half))));
        value[2 * i + 1] = vec_of_ps(vcvt_f32_f16(vreinterpret_f16_u16(vget_high_u16(half))));
    }
}

MXQ_INLINE void vec_decode_pair(vec_ps even[4], vec_ps odd[4], const uint8_t *p, int mantissa_bits)
{
    /* Widened and shifted, the code is under copies of its sign, which are cleared but for the first. */
    const uint8x16x2_t codes = vld2q_u8(p);
    const uint16x8_t mask = vdupq_n_u16((uint16_t)(0x8000 | 0x7F << (7 - mantissa_bits)));
    for (int i = 0; i < 2; i++) {
        const int8x16_t half = vreinterpretq_s8_u8(codes.val[i]);
        vec_ps *to = i ? odd : even;
        for (int j = 0; j < 2; j++) {
            const int8x8_t eight = j ? vget_high_s8(half) : vget_low_s8(half);
            const int16x8_t words =
                mantissa_bits == 2 ? vshll_n_s8(eight, 5) : vshll_n_s8(eight, 4);
            const uint16x8_t bf16 = vandq_u16(vreinterpretq_u16_s16(words), mask);
            to[2 * j] = vec_as_ps(vshlq_n_u32(vmovl_u16(vget_low_u16(bf16)), 16));
            to[2 * j + 1] = vec_as_ps(vshlq_n_u32(vmovl_u16(vget_high_u16(bf16)), 16));
        }
    }
}

MXQ_INLINE void vec_order(vec_ps v[4])
{
    (void)v;
}

MXQ_INLINE void vec_store_bf16(void *p, vec a, vec b)
{
    const uint16x8_t upper = vuzp2q_u16(vreinterpretq_u16_u32(a), vreinterpretq_u16_u32(b));
    vst1q_u8((uint8_t *)p, vreinterpretq_u8_u16(upper));
}

MXQ_INLINE vec vec_max_code(vec largest, const uint8_t *p)
{
    const uint8x16_t codes = vandq_u8(vld1q_u8(p), vdupq_n_u8(0x7F));
    return vreinterpretq_u32_u8(vmaxq_u8(vreinterpretq_u8_u32(largest), codes));
}

MXQ_INLINE int vec_any_above(vec codes, uint8_t code)
{
    return vmaxvq_u8(vreinterpretq_u8_u32(codes)) > code;
}

#endif

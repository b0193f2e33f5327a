/* SPDX-License-Identifier: Apache-2.0 */
/* vec.h -- the vocabulary of lanes/ in Armv8.0 AdvSIMD. */
#ifndef MXQ_VEC_H
#define MXQ_VEC_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define MXQ_SIMD_NEON
#include "format.h"
#include "lanes/window.h"
#include "simd.h"

/* clang-format off */
#define VEC_LANES 4
#define VEC_PREFETCH_OUTPUT 0
typedef uint32x4_t vec;

static inline vec vec_set1(uint32_t v)              { return vdupq_n_u32(v); }
static inline vec vec_load(const void *p)           { return vreinterpretq_u32_u8(vld1q_u8((const uint8_t *)p)); }
static inline vec vec_load_half(const void *p)
{
    const uint8x8_t half = vld1_u8((const uint8_t *)p);
    return vreinterpretq_u32_u8(vcombine_u8(half, half));
}
static inline void vec_store(void *p, vec a)        { vst1q_u8((uint8_t *)p, vreinterpretq_u8_u32(a)); }
static inline vec vec_and(vec a, vec b)             { return vandq_u32(a, b); }
static inline vec vec_andnot(vec a, vec b)          { return vbicq_u32(b, a); }
static inline vec vec_xor(vec a, vec b)             { return veorq_u32(a, b); }
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
static inline vec_ps vec_sub_ps(vec_ps a, vec_ps b) { return vsubq_f32(a, b); }
static inline vec_ps vec_larger_magnitude(vec_ps a, vec_ps b)  { return vmaxq_f32(vabsq_f32(a), b); }
static inline vec_ps vec_smaller_magnitude(vec_ps a, vec_ps b) { return vminq_f32(vabsq_f32(a), b); }
static inline vec_ps vec_mul_ps(vec_ps a, vec_ps b) { return vmulq_f32(a, b); }
static inline vec_ps vec_to_ps(vec a)               { return vcvtq_f32_s32(vec_as_s32(a)); }
static inline vec vec_truncate(vec_ps a)            { return vreinterpretq_u32_s32(vcvtq_s32_f32(a)); }
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

MXQ_INLINE vec vec_sllv(vec a, vec n)
{
    return vshlq_u32(a, vec_as_s32(vminq_u32(n, vec_set1(32))));
}

MXQ_INLINE vec vec_srlv(vec a, vec n)
{
    return vshlq_u32(a, vnegq_s32(vec_as_s32(vminq_u32(n, vec_set1(32)))));
}

MXQ_INLINE vec vec_xor3(vec a, vec b, vec c)
{
    return veorq_u32(veorq_u32(a, b), c);
}

MXQ_INLINE vec vec_mul_even(vec a, vec b)
{
    return vreinterpretq_u32_u64(
        vmull_u32(vmovn_u64(vreinterpretq_u64_u32(a)), vmovn_u64(vreinterpretq_u64_u32(b))));
}

MXQ_INLINE vec vec_upper(vec a)
{
    return vreinterpretq_u32_u64(vshrq_n_u64(vreinterpretq_u64_u32(a), 32));
}

MXQ_INLINE vec vec_swap(vec a)
{
    return vrev64q_u32(a);
}

MXQ_INLINE vec vec_even_lanes(void)
{
    return vreinterpretq_u32_u64(vdupq_n_u64(0xFFFFFFFF));
}

MXQ_INLINE vec vec_counters(void)
{
    static const uint32_t counters[4] = {0, 0, 1, 0};
    return vld1q_u32(counters);
}

/* f + r carries when f is above ~r. */
MXQ_INLINE vec vec_add_carry(vec a, vec f, vec r)
{
    return vec_sub(a, vcgtq_u32(f, vmvnq_u32(r)));
}

#define VEC_PDS 4
typedef float64x2_t vec_pd;

MXQ_INLINE void vec_load_pd(vec_pd v[4], const double *p)
{
    for (int i = 0; i < 4; i++)
        v[i] = vld1q_f64(p + 2 * i);
}

MXQ_INLINE void vec_store_pd(double *p, const vec_pd v[4])
{
    for (int i = 0; i < 4; i++)
        vst1q_f64(p + 2 * i, v[i]);
}

MXQ_INLINE void vec_add_squares(vec_pd sum[4], vec_ps v, int half)
{
    const vec_pd low = vcvt_f64_f32(vget_low_f32(v)), high = vcvt_f64_f32(vget_high_f32(v));
    sum[2 * half] = vaddq_f64(sum[2 * half], vmulq_f64(low, low));
    sum[2 * half + 1] = vaddq_f64(sum[2 * half + 1], vmulq_f64(high, high));
}

MXQ_INLINE void vec_add_squares_at(vec_pd sum[4], const void *p, int half)
{
    vec_add_squares(sum, vec_load_ps(p), half);
}

MXQ_INLINE float vec_sum_ps(vec_ps a)
{
    return vaddvq_f32(a);
}

MXQ_INLINE void vec_store_words(uint32_t *p, vec w01, vec w23)
{
    const uint64x2_t a = vreinterpretq_u64_u32(w01), b = vreinterpretq_u64_u32(w23);
    vec_store(p, vreinterpretq_u32_u64(vzip1q_u64(a, b)));
    vec_store(p + VEC_LANES, vreinterpretq_u32_u64(vzip2q_u64(a, b)));
}

/* clang-format off */
static inline uint16x8_t vec_as_u16(vec a)          { return vreinterpretq_u16_u32(a); }
static inline vec vec_of_u16(uint16x8_t a)          { return vreinterpretq_u32_u16(a); }
static inline uint8x16_t vec_as_u8(vec a)           { return vreinterpretq_u8_u32(a); }
static inline vec vec_of_u8(uint8x16_t a)           { return vreinterpretq_u32_u8(a); }
static inline vec vec_add_16(vec a, vec b)          { return vec_of_u16(vaddq_u16(vec_as_u16(a), vec_as_u16(b))); }
static inline vec vec_subs_16(vec a, vec b)         { return vec_of_u16(vqsubq_u16(vec_as_u16(a), vec_as_u16(b))); }
static inline vec vec_srl_16(vec a, int n)          { return vec_of_u16(vshlq_u16(vec_as_u16(a), vdupq_n_s16((int16_t)-n))); }
static inline vec vec_upper_16(vec a, vec b)        { return vec_of_u16(vuzp2q_u16(vec_as_u16(a), vec_as_u16(b))); }
static inline vec vec_pack_16(vec a, vec b)         { return vec_of_u16(vuzp1q_u16(vec_as_u16(a), vec_as_u16(b))); }
static inline vec vec_pack_8(vec a, vec b)          { return vec_of_u8(vcombine_u8(vqmovn_u16(vec_as_u16(a)), vqmovn_u16(vec_as_u16(b)))); }
static inline vec vec_min_8(vec a, vec b)           { return vec_of_u8(vminq_u8(vec_as_u8(a), vec_as_u8(b))); }
/* clang-format on */

MXQ_INLINE int vec_any_outside(vec bytes, uint8_t low, uint8_t high)
{
    const uint8x16_t above_low = vsubq_u8(vec_as_u8(bytes), vdupq_n_u8(low));
    return vmaxvq_u8(above_low) > high - low;
}

MXQ_INLINE void vec_store_8(uint8_t *p, vec bytes, enum mxq_type type)
{
    (void)type;
    vec_store(p, bytes);
}

MXQ_INLINE uint16x8_t vec_fold_16(vec a, vec b)
{
    return vpmaxq_u16(vreinterpretq_u16_u32(a), vreinterpretq_u16_u32(b));
}

MXQ_INLINE vec vec_reduce_max_16(const vec v[4], enum mxq_type type)
{
    const uint16x8_t pairs = vpmaxq_u16(vec_fold_16(v[0], v[1]), vec_fold_16(v[2], v[3]));
    const uint16x4_t all = vpmax_u16(vget_low_u16(pairs), vget_high_u16(pairs));
    return type == MXQ_BF16 ? vshlq_n_u32(vmovl_u16(all), 16)
                            : vec_of_ps(vcvt_f32_f16(vreinterpret_f16_u16(all)));
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

MXQ_INLINE uint32_t vec_nans(const vec v[4])
{
    const uint32x4_t first = vandq_u32(vceqq_f32(vec_as_ps(v[0]), vec_as_ps(v[0])),
                                       vceqq_f32(vec_as_ps(v[1]), vec_as_ps(v[1])));
    const uint32x4_t second = vandq_u32(vceqq_f32(vec_as_ps(v[2]), vec_as_ps(v[2])),
                                        vceqq_f32(vec_as_ps(v[3]), vec_as_ps(v[3])));
    return ~vminvq_u32(vandq_u32(first, second));
}

MXQ_INLINE vec_ps vec_fms_ps(vec_ps a, vec_ps b, vec_ps c)
{
    return vec_fma_ps(a, b, vnegq_f32(c));
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

/* Stores 16 codes that are at the bottom of bytes. */
MXQ_INLINE void vec_store_packed(uint8_t *out, uint8x16_t bytes, int bits)
{
    if (bits == 8) {
        vst1q_u8(out, bytes);
        return;
    }
    /* Two products move the second of two codes, then of two pairs, down to the first. */
    const uint16x8_t bytes_16 = vreinterpretq_u16_u8(bytes);
    const uint16x8_t pairs =
        vmlsq_n_u16(bytes_16, vshrq_n_u16(bytes_16, 8), (uint16_t)(256 - (1 << bits)));
    const vec pairs_32 = vreinterpretq_u32_u16(pairs);
    const vec fours =
        vmlsq_n_u32(pairs_32, vshrq_n_u32(pairs_32, 16), 65536 - (UINT32_C(1) << 2 * bits));
    if (bits == 4) {
        vst1_u8(out, vreinterpret_u8_u16(vmovn_u32(fours)));
        return;
    }
    static const uint8_t packed_6[16] = {PACKED_LANE_6(0), PACKED_LANE_6(1), PACKED_LANE_6(2),
                                         PACKED_LANE_6(3)};
    const uint8x16_t all = vqtbl1q_u8(vreinterpretq_u8_u32(fours), vld1q_u8(packed_6));
    const uint32_t last = vgetq_lane_u32(vreinterpretq_u32_u8(all), 2);
    vst1_u8(out, vget_low_u8(all));
    memcpy(out + 8, &last, sizeof last);
}

MXQ_INLINE void vec_store_bytes(uint8_t *p, const vec v[4], int bits)
{
    vec_store_packed(p, vec_bytes(v, 0, 0), bits);
}

/* The lower halves of four t, which are integers, to saturated bytes. */
MXQ_INLINE uint8x16_t vec_integer_codes(const vec t[4], const struct mxq_element_info *e,
                                        int in_pairs)
{
    const int16x8_t first = vreinterpretq_s16_u8(vec_halves(t[0], t[1], 0, in_pairs));
    const int16x8_t second = vreinterpretq_s16_u8(vec_halves(t[2], t[3], 0, in_pairs));
    const int8x16_t codes = vcombine_s8(vqmovn_s16(first), vqmovn_s16(second));
    return vreinterpretq_u8_s8(vmaxq_s8(codes, vdupq_n_s8((int8_t)-e->max_code)));
}

/* The bytes that the signs of 16 values are in. */
MXQ_INLINE uint8x16_t vec_signs(const vec x[4], int in_pairs)
{
    return in_pairs ? vuzp2q_u8(vreinterpretq_u8_u32(x[0]), vreinterpretq_u8_u32(x[2]))
                    : vec_bytes(x, 1, 0);
}

MXQ_INLINE uint8x16_t vec_float_codes(const vec t[4], const vec x[4], vec bias,
                                      const struct mxq_element_info *e, int in_pairs)
{
    vec sums[4];
    for (int k = 0; k < 4; k++)
        sums[k] = vec_code(t[k], e->mantissa_bits);
    const uint8x16_t codes = vsubq_u8(vec_bytes(sums, 0, in_pairs), vreinterpretq_u8_u32(bias));
    const uint8x16_t saturated = vminq_u8(codes, vdupq_n_u8(e->max_code));
    const uint8x16_t signs = vshlq_u8(vec_signs(x, in_pairs), vdupq_n_s8((int8_t)(e->bits - 8)));
    return vbslq_u8(vdupq_n_u8((uint8_t)(1 << (e->bits - 1))), signs, saturated);
}

/* The vectors of a block have the same bias. */
MXQ_INLINE uint8x16_t vec_codes_8(const vec t[4], const vec signs[4], vec bias,
                                  const struct mxq_element_info *e, int in_pairs)
{
    return e->kind == MXQ_INTEGER ? vec_integer_codes(t, e, in_pairs)
                                  : vec_float_codes(t, signs, bias, e, in_pairs);
}

MXQ_INLINE void vec_store_codes(uint8_t *out, const vec t[4], const vec signs[4], const vec bias[4],
                                const struct mxq_element_info *e, enum mxq_type type)
{
    vec_store_packed(out, vec_codes_8(t, signs, bias[0], e, type == MXQ_BF16), e->bits);
}

/* Byte 4 k + c of the result is byte 4 c + k: of four vectors of bytes, four lanes. */
MXQ_INLINE uint8x16_t vec_transpose_bytes(uint8x16_t bytes)
{
    static const uint8_t order[16] = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
    return vqtbl1q_u8(bytes, vld1q_u8(order));
}

MXQ_INLINE vec vec_column_bias(vec bias)
{
    return vreinterpretq_u32_u8(vec_transpose_bytes(vreinterpretq_u8_u32(bias)));
}

MXQ_INLINE vec vec_column_codes(const vec t[4], const vec x[4], vec bias,
                                const struct mxq_element_info *e)
{
    return vreinterpretq_u32_u8(vec_transpose_bytes(vec_codes_8(t, x, bias, e, 0)));
}

MXQ_INLINE void vec_store_columns(uint8_t *out, size_t stride, const vec v[8])
{
    for (size_t h = 0; h < 2; h++) {
        const vec *d = v + 4 * h;
        const uint64x2_t low01 = vreinterpretq_u64_u32(vzip1q_u32(d[0], d[1]));
        const uint64x2_t low23 = vreinterpretq_u64_u32(vzip1q_u32(d[2], d[3]));
        const uint64x2_t high01 = vreinterpretq_u64_u32(vzip2q_u32(d[0], d[1]));
        const uint64x2_t high23 = vreinterpretq_u64_u32(vzip2q_u32(d[2], d[3]));
        uint8_t *to = out + 16 * h;
        vst1q_u8(to, vreinterpretq_u8_u64(vzip1q_u64(low01, low23)));
        vst1q_u8(to + stride, vreinterpretq_u8_u64(vzip2q_u64(low01, low23)));
        vst1q_u8(to + 2 * stride, vreinterpretq_u8_u64(vzip1q_u64(high01, high23)));
        vst1q_u8(to + 3 * stride, vreinterpretq_u8_u64(vzip2q_u64(high01, high23)));
    }
}

MXQ_INLINE void vec_repack(uint8_t *out, const uint8_t *bytes, int bits)
{
    vec_store_packed(out, vld1q_u8(bytes), bits);
}

/* The bytes of 16 codes. */
MXQ_INLINE uint8x16_t vec_load_packed(const uint8_t *p, int bits)
{
    if (bits == 8)
        return vld1q_u8(p);
    uint32_t last = 0;
    if (bits == 6)
        memcpy(&last, p + 8, sizeof last);
    return vcombine_u8(vld1_u8(p), vreinterpret_u8_u32(vdup_n_u32(last)));
}

/* 8 codes, number `half` of two halves of `packed`, at the top of 16-bit lanes, above other bits. */
MXQ_INLINE uint16x8_t vec_codes_at_top(uint8x16_t packed, int half, int bits)
{
    static const uint8_t windows[3][16] = {{WINDOWS_8(4, 0)}, {WINDOWS_8(6, 0)}, {WINDOWS_8(8, 0)}};
    static const int16_t shifts[3][8] = {
        {WINDOW_SHIFTS(4), WINDOW_SHIFTS(4)}, {WINDOW_SHIFTS(6), WINDOW_SHIFTS(6)}, {0}};
    const uint8x16_t at =
        vaddq_u8(vld1q_u8(windows[bits / 2 - 2]), vdupq_n_u8((uint8_t)(half * bits)));
    const uint16x8_t lanes = vreinterpretq_u16_u8(vqtbl1q_u8(packed, at));
    return vshlq_u16(lanes, vld1q_s16(shifts[bits / 2 - 2]));
}

MXQ_INLINE void vec_decode(vec value[4], const uint8_t *p, const struct mxq_element_info *e)
{
    const uint8x16_t packed = vec_load_packed(p, e->bits);
    const int is_integer = e->kind == MXQ_INTEGER;
    /* Shifted right the sign is copied: copies and what was below the code are cleared. */
    const int shift = is_integer ? 16 - e->bits : 6 - e->bits + e->mantissa_bits;
    const int top = (1 << (e->bits - 1)) - 1;
    const uint16x8_t mask = vdupq_n_u16((uint16_t)(0x8000 | top << (10 - e->mantissa_bits)));
    for (int i = 0; i < 2; i++) {
        const int16x8_t codes = vreinterpretq_s16_u16(vec_codes_at_top(packed, i, e->bits));
        const int16x8_t low = vshlq_s16(codes, vdupq_n_s16((int16_t)-shift));
        if (is_integer) {
            value[2 * i] = vec_of_ps(vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))));
            value[2 * i + 1] = vec_of_ps(vcvtq_f32_s32(vmovl_s16(vget_high_s16(low))));
            continue;
        }
        const uint16x8_t half = vandq_u16(vreinterpretq_u16_s16(low), mask);
        value[2 * i] = vec_of_ps(vcvt_f32_f16(vreinterpret_f16_u16(vget_low_u16(half))));
        value[2 * i + 1] = vec_of_ps(vcvt_f32_f16(vreinterpret_f16_u16(vget_high_u16(half))));
    }
}

MXQ_INLINE void vec_widen_pair(vec_ps even[4], vec_ps odd[4], uint8x16x2_t codes, int mantissa_bits)
{
    /* Widened and shifted, the code is under copies of its sign, which are cleared but for the first. */
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

MXQ_INLINE void vec_decode_pair(vec_ps even[4], vec_ps odd[4], const uint8_t *p, int mantissa_bits)
{
    vec_widen_pair(even, odd, vld2q_u8(p), mantissa_bits);
}

/* Its values are E5M2's too, all of them normal numbers there. */
#define VEC_E2M1_SHIFT (127 - 15)

MXQ_INLINE void vec_decode_pair_e2m1(vec_ps even[4], vec_ps odd[4], const uint8_t *p)
{
    static const uint8_t e5m2[16] = {0x00, 0x38, 0x3C, 0x3E, 0x40, 0x42, 0x44, 0x46,
                                     0x80, 0xB8, 0xBC, 0xBE, 0xC0, 0xC2, 0xC4, 0xC6};
    const uint8x16_t values = vld1q_u8(e5m2), bytes = vld1q_u8(p);
    const uint8x16x2_t codes = {{vqtbl1q_u8(values, vandq_u8(bytes, vdupq_n_u8(0xF))),
                                 vqtbl1q_u8(values, vshrq_n_u8(bytes, 4))}};
    vec_widen_pair(even, odd, codes, 2);
}

MXQ_INLINE void vec_decode_pair_int8(vec_ps even[4], vec_ps odd[4], const uint8_t *p)
{
    const uint8x16x2_t codes = vld2q_u8(p);
    for (int i = 0; i < 2; i++) {
        const int8x16_t half = vreinterpretq_s8_u8(codes.val[i]);
        vec_ps *to = i ? odd : even;
        for (int j = 0; j < 2; j++) {
            const int16x8_t words = vmovl_s8(j ? vget_high_s8(half) : vget_low_s8(half));
            to[2 * j] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(words)));
            to[2 * j + 1] = vcvtq_f32_s32(vmovl_s16(vget_high_s16(words)));
        }
    }
}

MXQ_INLINE void vec_order(vec_ps v[4])
{
    (void)v;
}

MXQ_INLINE void vec_store_bf16(void *p, vec a, vec b)
{
    vec_store(p, vec_upper_16(a, b));
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

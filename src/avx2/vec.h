/* SPDX-License-Identifier: Apache-2.0 */
/* vec.h -- the vocabulary of lanes/ in AVX2 with FMA and F16C. */
#ifndef MXQ_VEC_H
#define MXQ_VEC_H

#include <stdint.h>

#include "format.h"
#include "lanes/window.h"
#include "simd.h"

/* clang-format off */
#define VEC_LANES 8
#define VEC_PREFETCH_OUTPUT 0
typedef __m256i vec;

static inline vec vec_set1(uint32_t v)              { return _mm256_set1_epi32((int)v); }
static inline vec vec_load(const void *p)           { return _mm256_loadu_si256((const vec *)p); }
static inline void vec_store(void *p, vec a)        { _mm256_storeu_si256((vec *)p, a); }
static inline vec vec_and(vec a, vec b)             { return _mm256_and_si256(a, b); }
static inline vec vec_andnot(vec a, vec b)          { return _mm256_andnot_si256(a, b); }
static inline vec vec_or(vec a, vec b)              { return _mm256_or_si256(a, b); }
static inline vec vec_add(vec a, vec b)             { return _mm256_add_epi32(a, b); }
static inline vec vec_sub(vec a, vec b)             { return _mm256_sub_epi32(a, b); }
static inline vec vec_max(vec a, vec b)             { return _mm256_max_epi32(a, b); }
static inline vec vec_min(vec a, vec b)             { return _mm256_min_epi32(a, b); }
static inline vec vec_max_16(vec a, vec b)          { return _mm256_max_epi16(a, b); }
static inline vec vec_gt(vec a, vec b)              { return _mm256_cmpgt_epi32(a, b); }
static inline vec vec_eq(vec a, vec b)              { return _mm256_cmpeq_epi32(a, b); }
static inline uint32_t vec_mask(vec a)              { return (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(a)); }
/* Unsigned, by moving both ranges down to the signed one. */
static inline uint32_t vec_mask_gt_u(vec a, vec b)
{
    const vec bottom = vec_set1(0x80000000);
    return vec_mask(vec_gt(_mm256_xor_si256(a, bottom), _mm256_xor_si256(b, bottom)));
}
#define vec_srl(a, n)                                 _mm256_srli_epi32(a, n)
#define vec_sll(a, n)                                 _mm256_slli_epi32(a, n)

static inline vec vec_sllv(vec a, vec n)            { return _mm256_sllv_epi32(a, n); }
static inline vec vec_srlv(vec a, vec n)            { return _mm256_srlv_epi32(a, n); }
static inline vec vec_xor(vec a, vec b)             { return _mm256_xor_si256(a, b); }
static inline vec vec_xor3(vec a, vec b, vec c)     { return _mm256_xor_si256(_mm256_xor_si256(a, b), c); }
static inline vec vec_mul_even(vec a, vec b)        { return _mm256_mul_epu32(a, b); }
static inline vec vec_upper(vec a)                  { return _mm256_srli_epi64(a, 32); }
static inline vec vec_swap(vec a)                   { return _mm256_shuffle_epi32(a, 0xB1); }
static inline vec vec_even_lanes(void)              { return _mm256_set1_epi64x(0xFFFFFFFF); }
static inline vec vec_counters(void)                { return _mm256_setr_epi64x(0, 2, 1, 3); }

static inline vec vec_add_16(vec a, vec b)          { return _mm256_add_epi16(a, b); }
static inline vec vec_subs_16(vec a, vec b)         { return _mm256_subs_epu16(a, b); }
static inline vec vec_pack_16(vec a, vec b)         { return _mm256_packus_epi32(a, b); }
static inline vec vec_pack_8(vec a, vec b)          { return _mm256_packus_epi16(a, b); }
static inline vec vec_min_8(vec a, vec b)           { return _mm256_min_epu8(a, b); }
static inline vec vec_srl_16(vec a, int n)          { return _mm256_srli_epi16(a, n); }

static inline vec vec_first_lane(void)              { return vec_set1(0); }
static inline vec vec_next_lane(vec lane)           { return vec_add(lane, vec_set1(1)); }
static inline vec vec_lane(vec v, vec lane)         { return _mm256_permutevar8x32_epi32(v, lane); }

static inline __m256 vec_as_ps(vec a)               { return _mm256_castsi256_ps(a); }
static inline vec vec_of_ps(__m256 a)               { return _mm256_castps_si256(a); }
static inline vec vec_mul(vec a, vec b)             { return vec_of_ps(_mm256_mul_ps(vec_as_ps(a), vec_as_ps(b))); }

typedef __m256 vec_ps;
static inline vec_ps vec_zero_ps(void)              { return _mm256_setzero_ps(); }
static inline vec_ps vec_broadcast_ps(const void *p) { return _mm256_set1_ps(*(const float *)p); }
static inline vec_ps vec_load_ps(const void *p)     { return _mm256_loadu_ps((const float *)p); }
static inline void vec_store_ps(float *p, vec_ps a) { _mm256_storeu_ps(p, a); }
static inline vec_ps vec_add_ps(vec_ps a, vec_ps b) { return _mm256_add_ps(a, b); }
static inline vec_ps vec_mul_ps(vec_ps a, vec_ps b) { return _mm256_mul_ps(a, b); }
static inline vec_ps vec_sub_ps(vec_ps a, vec_ps b) { return _mm256_sub_ps(a, b); }
static inline vec_ps vec_larger_magnitude(vec_ps a, vec_ps b)  { return _mm256_max_ps(_mm256_and_ps(a, vec_as_ps(vec_set1(0x7FFFFFFF))), b); }
static inline vec_ps vec_smaller_magnitude(vec_ps a, vec_ps b) { return _mm256_min_ps(_mm256_and_ps(a, vec_as_ps(vec_set1(0x7FFFFFFF))), b); }
static inline vec_ps vec_div_ps(vec_ps a, vec_ps b) { return _mm256_div_ps(a, b); }
static inline vec_ps vec_to_ps(vec a)               { return _mm256_cvtepi32_ps(a); }
static inline vec vec_truncate(vec_ps a)            { return _mm256_cvttps_epi32(a); }
static inline vec_ps vec_factors(const float *factor, size_t i) { return _mm256_set1_ps(factor[i / 8]); }

static inline __m128i vec_load_128(const void *p)   { return _mm_loadu_si128((const __m128i *)p); }
static inline vec vec_load_half(const void *p)      { return _mm256_broadcastsi128_si256(vec_load_128(p)); }
static inline vec vec_load_bf16(const void *p)      { return vec_sll(_mm256_cvtepu16_epi32(vec_load_128(p)), 16); }
static inline vec vec_load_f16(const void *p)       { return vec_of_ps(_mm256_cvtph_ps(vec_load_128(p))); }
static inline vec vec_load_u8(const void *p)        { return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)); }
static inline void vec_store_u8(void *p, vec a)
{
    const vec words = _mm256_packus_epi32(a, a), bytes = _mm256_packus_epi16(words, words);
    const vec order = _mm256_setr_epi32(0, 4, 0, 0, 0, 0, 0, 0);
    _mm_storel_epi64((__m128i *)p, _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(bytes, order)));
}
static inline void vec_store_f16(void *p, vec a)
{
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(vec_as_ps(a), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

/* Each stage folds pairs of vectors into one: 32-bit lanes, then 64-bit, then 128-bit ones. */
static inline vec vec_fold_32(vec a, vec b)         { return vec_max(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b)); }
static inline vec vec_fold_64(vec a, vec b)         { return vec_max(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b)); }
static inline vec vec_fold_128(vec a, vec b)
{
    return vec_max(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
}
static inline vec vec_fold_8(vec a, vec b)          { return vec_fold_128(a, b); }
/* The same for 16-bit lanes; this one begins with those. */
static inline vec vec_fold_16_16(vec a, vec b)      { return vec_max_16(_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)); }
static inline vec vec_fold_16_32(vec a, vec b)      { return vec_max_16(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b)); }
static inline vec vec_fold_16_64(vec a, vec b)      { return vec_max_16(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b)); }
/* clang-format on */

MXQ_INLINE vec vec_reduce_quads(const vec v[4])
{
    const vec largest = vec_fold_64(vec_fold_32(v[0], v[1]), vec_fold_32(v[2], v[3]));
    return vec_lane(largest, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/* f + r carries when f is above ~r, unsigned. */
MXQ_INLINE vec vec_add_carry(vec a, vec f, vec r)
{
    const vec above = vec_gt(_mm256_xor_si256(f, vec_set1(0x80000000)),
                             _mm256_xor_si256(r, vec_set1(0x7FFFFFFF)));
    return vec_sub(a, above);
}

#define VEC_PDS 2
typedef __m256d vec_pd;

MXQ_INLINE void vec_load_pd(vec_pd v[2], const double *p)
{
    v[0] = _mm256_loadu_pd(p);
    v[1] = _mm256_loadu_pd(p + 4);
}

MXQ_INLINE void vec_store_pd(double *p, const vec_pd v[2])
{
    _mm256_storeu_pd(p, v[0]);
    _mm256_storeu_pd(p + 4, v[1]);
}

/* Squares of F32 are exact in F64: fused or not, a sum is rounded once. */
MXQ_INLINE void vec_add_squares_pd(vec_pd sum[2], vec_pd low, vec_pd high)
{
    sum[0] = _mm256_fmadd_pd(low, low, sum[0]);
    sum[1] = _mm256_fmadd_pd(high, high, sum[1]);
}

MXQ_INLINE void vec_add_squares(vec_pd sum[2], vec_ps v, int half)
{
    (void)half;
    vec_add_squares_pd(sum, _mm256_cvtps_pd(_mm256_castps256_ps128(v)),
                       _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1)));
}

MXQ_INLINE void vec_add_squares_at(vec_pd sum[2], const void *p, int half)
{
    const float *v = (const float *)p;
    (void)half;
    vec_add_squares_pd(sum, _mm256_cvtps_pd(_mm_loadu_ps(v)), _mm256_cvtps_pd(_mm_loadu_ps(v + 4)));
}

MXQ_INLINE float vec_sum_ps(vec_ps a)
{
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}

MXQ_INLINE vec vec_upper_16(vec a, vec b)
{
    const vec upper = _mm256_packus_epi32(vec_srl(a, 16), vec_srl(b, 16));
    return _mm256_permute4x64_epi64(upper, 0xD8); /* the pack works in 128-bit lanes */
}

MXQ_INLINE int vec_any_outside(vec bytes, uint8_t low, uint8_t high)
{
    const vec above_low = _mm256_sub_epi8(bytes, _mm256_set1_epi8((char)low));
    const vec beyond = _mm256_subs_epu8(above_low, _mm256_set1_epi8((char)(high - low)));
    return !_mm256_testz_si256(beyond, beyond);
}

MXQ_INLINE void vec_store_words(uint32_t *p, vec w01, vec w23)
{
    vec_store(p, _mm256_unpacklo_epi64(w01, w23));
    vec_store(p + VEC_LANES, _mm256_unpackhi_epi64(w01, w23));
}

MXQ_INLINE vec vec_reduce_max(const vec v[8])
{
    vec quads[2];
    for (int i = 0; i < 2; i++)
        quads[i] = vec_fold_64(vec_fold_32(v[4 * i], v[4 * i + 1]),
                               vec_fold_32(v[4 * i + 2], v[4 * i + 3]));
    return vec_fold_128(quads[0], quads[1]);
}

MXQ_INLINE vec vec_reduce_max_16(const vec v[8], enum mxq_type type)
{
    vec quads[2];
    for (int i = 0; i < 2; i++)
        quads[i] = vec_fold_16_32(vec_fold_16_16(v[4 * i], v[4 * i + 1]),
                                  vec_fold_16_16(v[4 * i + 2], v[4 * i + 3]));
    const vec lanes = vec_fold_16_64(quads[0], quads[1]);
    const __m128i all =
        _mm_max_epi16(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
    return type == MXQ_BF16 ? vec_sll(_mm256_cvtepu16_epi32(all), 16)
                            : vec_of_ps(_mm256_cvtph_ps(all));
}

MXQ_INLINE vec_ps vec_fma_ps(vec_ps a, vec_ps b, vec_ps c)
{
    return _mm256_fmadd_ps(a, b, c);
}

MXQ_INLINE uint32_t vec_nans(const vec v[4])
{
    return (uint32_t)_mm256_movemask_ps(
        _mm256_or_ps(_mm256_cmp_ps(vec_as_ps(v[0]), vec_as_ps(v[1]), _CMP_UNORD_Q),
                     _mm256_cmp_ps(vec_as_ps(v[2]), vec_as_ps(v[3]), _CMP_UNORD_Q)));
}

MXQ_INLINE vec_ps vec_fms_ps(vec_ps a, vec_ps b, vec_ps c)
{
    return _mm256_fmsub_ps(a, b, c);
}

MXQ_INLINE vec vec_fma(vec a, vec b, vec c)
{
    return vec_of_ps(_mm256_fmadd_ps(vec_as_ps(a), vec_as_ps(b), vec_as_ps(c)));
}

/* In units of the upper half of t, where the field counts 2^7; in both 16-bit halves of a lane. */
MXQ_INLINE vec vec_code_bias(vec field, int mantissa_bits)
{
    (void)mantissa_bits;
    return vec_or(vec_sll(field, 7), vec_sll(field, 23));
}

/* 16 codes in 16-bit lanes, from two t: 0 field[8] 0.. n[5].  The upper half counts field << 7, so
 * one VPMADDWD with n weighted by 2^(7 - mbits) gives (code + bias) << (7 - mbits). */
MXQ_INLINE vec vec_codes_16(vec t0, vec t1, vec bias, int mantissa_bits)
{
    const vec weights = vec_set1(UINT32_C(1) << 16 | UINT32_C(1) << (7 - mantissa_bits));
    const vec sums =
        _mm256_packs_epi32(_mm256_madd_epi16(t0, weights), _mm256_madd_epi16(t1, weights));
    const vec codes = _mm256_sub_epi16(sums, bias);
    return _mm256_srli_epi16(codes, 7 - mantissa_bits);
}

/* Bytes in the order of two saturating packs, which work in 128-bit lanes: each lane holds evens, odds,
 * evens, odds of four BF16 values each, and here becomes what two vectors of 16 values pack to. */
MXQ_INLINE vec vec_zip(vec bytes, enum mxq_type type)
{
    const vec zip =
        _mm256_setr_epi8(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15, /* each lane */
                         0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
    return type == MXQ_BF16 ? _mm256_shuffle_epi8(bytes, zip) : bytes;
}

/* From there to the order of the values. */
MXQ_INLINE vec vec_in_order(vec bytes, enum mxq_type type)
{
    if (type == MXQ_BF16)
        return _mm256_permute4x64_epi64(bytes, 0xD8);
    /* Dword 4 l + k holds vector k of lane l. */
    return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

MXQ_INLINE void vec_store_8(uint8_t *p, vec bytes, enum mxq_type type)
{
    vec_store(p, vec_in_order(bytes, type));
}

/* Stores 32 codes that are at the bottom of bytes.  Two products join four of them in a 32-bit lane. */
MXQ_INLINE void vec_store_packed(uint8_t *out, vec bytes, int bits)
{
    if (bits == 8) {
        vec_store(out, bytes);
        return;
    }
    const vec pairs = _mm256_maddubs_epi16(bytes, _mm256_set1_epi16((short)(1 | 256 << bits)));
    const vec fours = _mm256_madd_epi16(pairs, vec_set1(1 | UINT32_C(65536) << 2 * bits));
    if (bits == 4) {
        const vec both = _mm256_permute4x64_epi64(_mm256_packus_epi32(fours, fours), 0xD8);
        _mm_storeu_si128((__m128i *)out, _mm256_castsi256_si128(both));
        return;
    }
    static const uint8_t packed_6[16] = {PACKED_LANE_6(0), PACKED_LANE_6(1), PACKED_LANE_6(2),
                                         PACKED_LANE_6(3)};
    const vec lanes =
        _mm256_shuffle_epi8(fours, _mm256_broadcastsi128_si256(vec_load_128(packed_6)));
    const vec all = _mm256_permutevar8x32_epi32(lanes, _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 7, 7));
    _mm_storeu_si128((__m128i *)out, _mm256_castsi256_si128(all));
    _mm_storel_epi64((__m128i *)(out + 16), _mm256_extracti128_si256(all, 1));
}

MXQ_INLINE void vec_store_bytes(uint8_t *p, const vec v[4], int bits)
{
    const vec bytes =
        _mm256_packus_epi16(_mm256_packs_epi32(v[0], v[1]), _mm256_packs_epi32(v[2], v[3]));
    vec_store_packed(p, vec_lane(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)), bits);
}

/* The lower halves of four t, which are integers, to saturated bytes. */
MXQ_INLINE vec vec_integer_codes(const vec t[4], const struct mxq_element_info *e)
{
    const vec one = vec_set1(1); /* times the lower half: its sign extended */
    const vec words[2] = {
        _mm256_packs_epi32(_mm256_madd_epi16(t[0], one), _mm256_madd_epi16(t[1], one)),
        _mm256_packs_epi32(_mm256_madd_epi16(t[2], one), _mm256_madd_epi16(t[3], one))};
    return _mm256_max_epi8(_mm256_packs_epi16(words[0], words[1]),
                           _mm256_set1_epi8((char)-e->max_code));
}

/* 0x80 where a value is negative.  Saturating packs keep the sign: the bits of a negative number are a
 * very negative integer. */
MXQ_INLINE vec vec_signs(const vec x[4], enum mxq_type type)
{
    const vec bytes = type == MXQ_BF16 ? _mm256_packs_epi16(x[0], x[2])
                                       : _mm256_packs_epi16(_mm256_packs_epi32(x[0], x[1]),
                                                            _mm256_packs_epi32(x[2], x[3]));
    return vec_and(bytes, _mm256_set1_epi8((char)0x80));
}

MXQ_INLINE vec vec_float_codes(const vec t[4], const vec x[4], const vec bias[4],
                               const struct mxq_element_info *e, enum mxq_type type)
{
    const vec codes = _mm256_packus_epi16(vec_codes_16(t[0], t[1], bias[0], e->mantissa_bits),
                                          vec_codes_16(t[2], t[3], bias[2], e->mantissa_bits));
    const vec saturated = _mm256_min_epu8(codes, _mm256_set1_epi8((char)e->max_code));
    const vec signs = vec_signs(x, type);
    return vec_or(vec_zip(saturated, type),
                  e->bits == 8 ? signs : _mm256_srli_epi16(signs, 8 - e->bits));
}

/* 32 codes at the bottom of bytes, in the order of vec_zip. */
MXQ_INLINE vec vec_codes_8(const vec t[4], const vec signs[4], const vec bias[4],
                           const struct mxq_element_info *e, enum mxq_type type)
{
    return e->kind == MXQ_INTEGER ? vec_zip(vec_integer_codes(t, e), type)
                                  : vec_float_codes(t, signs, bias, e, type);
}

MXQ_INLINE void vec_store_codes(uint8_t *out, const vec t[4], const vec signs[4], const vec bias[4],
                                const struct mxq_element_info *e, enum mxq_type type)
{
    vec_store_packed(out, vec_in_order(vec_codes_8(t, signs, bias, e, type), type), e->bits);
}

/* 16-bit lanes in the order of the first pack. */
MXQ_INLINE vec vec_column_bias(vec bias)
{
    const vec lower = vec_and(bias, vec_set1(0xFFFF));
    return _mm256_packus_epi32(lower, lower);
}

MXQ_INLINE vec vec_column_codes(const vec t[4], const vec x[4], vec bias,
                                const struct mxq_element_info *e)
{
    /* Byte 4 k + c of 128 bits is column c of vector k. */
    const vec order =
        _mm256_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15, /* each lane */
                         0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const vec biases[4] = {bias, bias, bias, bias};
    return _mm256_shuffle_epi8(vec_codes_8(t, x, biases, e, MXQ_F32), order);
}

MXQ_INLINE void vec_store_columns(uint8_t *out, size_t stride, const vec v[8])
{
    vec quads[8]; /* 4 h + q: lane l of 128 bits is dwords 4 h .. 4 h + 3 of column 4 l + q */
    for (int h = 0; h < 2; h++) {
        const vec *d = v + 4 * h;
        const vec low01 = _mm256_unpacklo_epi32(d[0], d[1]);
        const vec low23 = _mm256_unpacklo_epi32(d[2], d[3]);
        const vec high01 = _mm256_unpackhi_epi32(d[0], d[1]);
        const vec high23 = _mm256_unpackhi_epi32(d[2], d[3]);
        quads[4 * h] = _mm256_unpacklo_epi64(low01, low23);
        quads[4 * h + 1] = _mm256_unpackhi_epi64(low01, low23);
        quads[4 * h + 2] = _mm256_unpacklo_epi64(high01, high23);
        quads[4 * h + 3] = _mm256_unpackhi_epi64(high01, high23);
    }
    for (size_t q = 0; q < 4; q++) {
        vec_store(out + q * stride, _mm256_permute2x128_si256(quads[q], quads[4 + q], 0x20));
        vec_store(out + (4 + q) * stride, _mm256_permute2x128_si256(quads[q], quads[4 + q], 0x31));
    }
}

MXQ_INLINE void vec_repack(uint8_t *out, const uint8_t *bytes, int bits)
{
    vec_store_packed(out, vec_load(bytes), bits);
}

/* 16 codes, number `half` of the two halves of 32 at p, at the top of 16-bit lanes, above other bits. */
MXQ_INLINE vec vec_load_codes(const uint8_t *p, int half, int bits)
{
    static const uint8_t windows[3][32] = {
        {WINDOWS_16(4, 0)}, {WINDOWS_16(6, 0)}, {WINDOWS_16(8, 0)}};
    /* The 16 bytes from p + skip hold them all, and are among those of the 32 codes. */
    const int skip = half * 4 * (bits - 4), ahead = half * 2 * bits - skip;
    const vec at = _mm256_add_epi8(vec_load(windows[bits / 2 - 2]), _mm256_set1_epi8((char)ahead));
    const vec lanes = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(vec_load_128(p + skip)), at);
    const uint64_t factors = UINT64_C(1) << WINDOW_SHIFT(bits, 0) |
                             UINT64_C(0x10000) << WINDOW_SHIFT(bits, 1) |
                             UINT64_C(0x100000000) << WINDOW_SHIFT(bits, 2) |
                             UINT64_C(0x1000000000000) << WINDOW_SHIFT(bits, 3);
    return bits == 8 ? lanes : _mm256_mullo_epi16(lanes, _mm256_set1_epi64x((int64_t)factors));
}

MXQ_INLINE void vec_decode_integers(vec value[4], const uint8_t *p)
{
    for (int i = 0; i < 4; i++)
        value[i] = vec_of_ps(_mm256_cvtepi32_ps(
            _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(p + 8 * i)))));
}

MXQ_INLINE void vec_decode(vec value[4], const uint8_t *p, const struct mxq_element_info *e)
{
    if (e->kind == MXQ_INTEGER) {
        vec_decode_integers(value, p);
        return;
    }
    /* Shifted right the sign is copied: copies and what was below the code are cleared. */
    const int shift = 6 - e->bits + e->mantissa_bits, top = (1 << (e->bits - 1)) - 1;
    const vec mask = _mm256_set1_epi16((short)(0x8000 | top << (10 - e->mantissa_bits)));
    for (int i = 0; i < 2; i++) {
        const vec codes = vec_load_codes(p, i, e->bits);
        const vec half = vec_and(shift ? _mm256_srai_epi16(codes, shift) : codes, mask);
        value[2 * i] = vec_of_ps(_mm256_cvtph_ps(_mm256_castsi256_si128(half)));
        value[2 * i + 1] = vec_of_ps(_mm256_cvtph_ps(_mm256_extracti128_si256(half, 1)));
    }
}

MXQ_INLINE void vec_widen_pair(vec_ps even[2], vec_ps odd[2], vec codes, int mantissa_bits)
{
    /* One product sign-extends and shifts the evens, or the odds; copies of the sign are cleared but for
     * the first.  Unpacking works in 128-bit lanes: n 0-3 and 8-11, then 4-7 and 12-15. */
    const int shift = 7 - mantissa_bits;
    const vec zero = _mm256_setzero_si256();
    const vec mask = _mm256_set1_epi16((short)(0x8000 | 0x7F << shift));
    for (int i = 0; i < 2; i++) {
        const vec pick = _mm256_set1_epi16((short)(i ? 0x100 << shift : 1 << shift));
        const vec bf16 = vec_and(_mm256_maddubs_epi16(pick, codes), mask);
        vec_ps *to = i ? odd : even;
        to[0] = vec_as_ps(_mm256_unpacklo_epi16(zero, bf16));
        to[1] = vec_as_ps(_mm256_unpackhi_epi16(zero, bf16));
    }
}

MXQ_INLINE void vec_decode_pair(vec_ps even[2], vec_ps odd[2], const uint8_t *p, int mantissa_bits)
{
    vec_widen_pair(even, odd, vec_load(p), mantissa_bits);
}

#define VEC_E2M1_SHIFT 0

MXQ_INLINE void vec_decode_pair_e2m1(vec_ps even[2], vec_ps odd[2], const uint8_t *p)
{
    /* Both bytes of the BF16. */
    const vec lower = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0x00, 0x00, (char)0x80, (char)0xC0, 0x00, 0x40, (char)0x80, (char)0xC0, 0x00,
                      0x00, (char)0x80, (char)0xC0, 0x00, 0x40, (char)0x80, (char)0xC0));
    const vec upper = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0x00, 0x3F, 0x3F, 0x3F, 0x40, 0x40, 0x40, 0x40, (char)0x80, (char)0xBF,
                      (char)0xBF, (char)0xBF, (char)0xC0, (char)0xC0, (char)0xC0, (char)0xC0));
    /* In each 128-bit lane eight n, the even codes and then the odd ones. */
    const vec twice =
        _mm256_permute4x64_epi64(_mm256_castsi128_si256(vec_load_128(p)), _MM_SHUFFLE(1, 1, 0, 0));
    const vec codes =
        vec_and(_mm256_srlv_epi64(twice, _mm256_setr_epi64x(0, 4, 0, 4)), _mm256_set1_epi8(0xF));
    const vec low = _mm256_shuffle_epi8(lower, codes), high = _mm256_shuffle_epi8(upper, codes);
    const vec zero = _mm256_setzero_si256();
    for (int i = 0; i < 2; i++) {
        const vec bf16 = i ? _mm256_unpackhi_epi8(low, high) : _mm256_unpacklo_epi8(low, high);
        vec_ps *to = i ? odd : even;
        to[0] = vec_as_ps(_mm256_unpacklo_epi16(zero, bf16));
        to[1] = vec_as_ps(_mm256_unpackhi_epi16(zero, bf16));
    }
}

MXQ_INLINE void vec_decode_pair_int8(vec_ps even[2], vec_ps odd[2], const uint8_t *p)
{
    const vec codes = vec_load(p);
    for (int i = 0; i < 2; i++) {
        const vec words = _mm256_srai_epi16(i ? codes : _mm256_slli_epi16(codes, 8), 8);
        vec_ps *to = i ? odd : even;
        to[0] = _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_unpacklo_epi16(words, words), 16));
        to[1] = _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_unpackhi_epi16(words, words), 16));
    }
}

MXQ_INLINE void vec_order(vec_ps v[2])
{
    const vec_ps first = v[0];
    v[0] = _mm256_permute2f128_ps(first, v[1], 0x20);
    v[1] = _mm256_permute2f128_ps(first, v[1], 0x31);
}

MXQ_INLINE void vec_store_bf16(void *p, vec a, vec b)
{
    vec_store(p, vec_upper_16(a, b));
}

MXQ_INLINE vec vec_max_code(vec largest, const uint8_t *p)
{
    return _mm256_max_epu8(largest, vec_and(vec_load(p), vec_set1(0x7F7F7F7F)));
}

MXQ_INLINE int vec_any_above(vec codes, uint8_t code)
{
    return _mm256_movemask_epi8(_mm256_cmpgt_epi8(codes, _mm256_set1_epi8((char)code))) != 0;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* vec.h -- the vocabulary of lanes/ in AVX-512 (F CD BW DQ VL VBMI VBMI2 VNNI). */
#ifndef MXQ_VEC_H
#define MXQ_VEC_H

#include <stdint.h>
#include <string.h>

#include "format.h"
#include "lanes/window.h"
#include "simd.h"

/* clang-format off */
#define VEC_LANES 16
#define VEC_PREFETCH_OUTPUT 2048 /* DRAM, Zen 5: 31 GB/s of a stream's 33, against 27 without */
typedef __m512i vec;

/* gcc 12 spills a mask register as two bytes and reloads four: the bits must be in a general register
 * before it may take them for a number. */
static inline uint32_t vec_bits(uint16_t mask)
{
    uint32_t bits = mask;
    __asm__("" : "+r"(bits));
    return bits & 0xFFFF;
}

static inline vec vec_set1(uint32_t v)              { return _mm512_set1_epi32((int)v); }
static inline vec vec_load(const void *p)           { return _mm512_loadu_si512(p); }
static inline void vec_store(void *p, vec a)        { _mm512_storeu_si512(p, a); }
static inline vec vec_and(vec a, vec b)             { return _mm512_and_si512(a, b); }
static inline vec vec_andnot(vec a, vec b)          { return _mm512_andnot_si512(a, b); }
static inline vec vec_or(vec a, vec b)              { return _mm512_or_si512(a, b); }
static inline vec vec_add(vec a, vec b)             { return _mm512_add_epi32(a, b); }
static inline vec vec_sub(vec a, vec b)             { return _mm512_sub_epi32(a, b); }
static inline vec vec_max(vec a, vec b)             { return _mm512_max_epi32(a, b); }
static inline vec vec_min(vec a, vec b)             { return _mm512_min_epi32(a, b); }
static inline vec vec_max_16(vec a, vec b)          { return _mm512_max_epi16(a, b); }
static inline vec vec_gt(vec a, vec b)              { return _mm512_movm_epi32(_mm512_cmpgt_epi32_mask(a, b)); }
static inline vec vec_eq(vec a, vec b)              { return _mm512_movm_epi32(_mm512_cmpeq_epi32_mask(a, b)); }
static inline uint32_t vec_mask(vec a)              { return vec_bits(_mm512_movepi32_mask(a)); }
static inline uint32_t vec_mask_gt_u(vec a, vec b)  { return vec_bits((uint16_t)~_mm512_cmpge_epu32_mask(b, a)); }
#define vec_srl(a, n)                                 _mm512_srli_epi32(a, n)
#define vec_sll(a, n)                                 _mm512_slli_epi32(a, n)

static inline vec vec_sllv(vec a, vec n)            { return _mm512_sllv_epi32(a, n); }
static inline vec vec_srlv(vec a, vec n)            { return _mm512_srlv_epi32(a, n); }
static inline vec vec_xor(vec a, vec b)             { return _mm512_xor_si512(a, b); }
static inline vec vec_xor3(vec a, vec b, vec c)     { return _mm512_ternarylogic_epi32(a, b, c, 0x96); }
static inline vec vec_mul_even(vec a, vec b)        { return _mm512_mul_epu32(a, b); }
static inline vec vec_upper(vec a)                  { return _mm512_srli_epi64(a, 32); }
static inline vec vec_swap(vec a)                   { return _mm512_shuffle_epi32(a, 0xB1); }
static inline vec vec_even_lanes(void)              { return _mm512_set1_epi64(0xFFFFFFFF); }
static inline vec vec_counters(void)                { return _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7); }

static inline vec vec_add_16(vec a, vec b)          { return _mm512_add_epi16(a, b); }
static inline vec vec_subs_16(vec a, vec b)         { return _mm512_subs_epu16(a, b); }
static inline vec vec_pack_16(vec a, vec b)         { return _mm512_packus_epi32(a, b); }
static inline vec vec_pack_8(vec a, vec b)          { return _mm512_packus_epi16(a, b); }
static inline vec vec_min_8(vec a, vec b)           { return _mm512_min_epu8(a, b); }
static inline vec vec_srl_16(vec a, int n)          { return _mm512_srlv_epi16(a, _mm512_set1_epi16((short)n)); }

static inline vec vec_first_lane(void)              { return vec_set1(0); }
static inline vec vec_next_lane(vec lane)           { return vec_add(lane, vec_set1(1)); }
static inline vec vec_lane(vec v, vec lane)         { return _mm512_permutexvar_epi32(lane, v); }

static inline __m512 vec_as_ps(vec a)               { return _mm512_castsi512_ps(a); }
static inline vec vec_of_ps(__m512 a)               { return _mm512_castps_si512(a); }
static inline vec vec_mul(vec a, vec b)             { return vec_of_ps(_mm512_mul_ps(vec_as_ps(a), vec_as_ps(b))); }

typedef __m512 vec_ps;
static inline vec_ps vec_zero_ps(void)              { return _mm512_setzero_ps(); }
static inline vec_ps vec_broadcast_ps(const void *p) { return _mm512_set1_ps(*(const float *)p); }
static inline vec_ps vec_load_ps(const void *p)     { return _mm512_loadu_ps((const float *)p); }
static inline void vec_store_ps(float *p, vec_ps a) { _mm512_storeu_ps(p, a); }
static inline vec_ps vec_add_ps(vec_ps a, vec_ps b) { return _mm512_add_ps(a, b); }
static inline vec_ps vec_mul_ps(vec_ps a, vec_ps b) { return _mm512_mul_ps(a, b); }
static inline vec_ps vec_sub_ps(vec_ps a, vec_ps b) { return _mm512_sub_ps(a, b); }
static inline vec_ps vec_larger_magnitude(vec_ps a, vec_ps b)  { return _mm512_range_ps(a, b, 3 | 2 << 2); }
static inline vec_ps vec_smaller_magnitude(vec_ps a, vec_ps b) { return _mm512_range_ps(a, b, 2 | 2 << 2); }
static inline vec_ps vec_div_ps(vec_ps a, vec_ps b) { return _mm512_div_ps(a, b); }
static inline vec_ps vec_to_ps(vec a)               { return _mm512_cvtepi32_ps(a); }
static inline vec vec_truncate(vec_ps a)            { return _mm512_cvttps_epi32(a); }

static inline __m256i vec_load_256(const void *p)   { return _mm256_loadu_si256((const __m256i *)p); }
static inline vec vec_load_half(const void *p)      { return _mm512_broadcast_i64x4(vec_load_256(p)); }
static inline vec vec_load_bf16(const void *p)      { return vec_sll(_mm512_cvtepu16_epi32(vec_load_256(p)), 16); }
static inline vec vec_load_f16(const void *p)       { return vec_of_ps(_mm512_cvtph_ps(vec_load_256(p))); }
static inline vec vec_load_u8(const void *p)        { return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)); }
static inline void vec_store_u8(void *p, vec a)     { _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(a)); }
static inline void vec_store_f16(void *p, vec a)
{
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(vec_as_ps(a), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

/* Each stage folds pairs of vectors into one: 32-bit lanes, then 64-bit, then 128-bit ones. */
static inline vec vec_fold_32(vec a, vec b)         { return vec_max(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b)); }
static inline vec vec_fold_64(vec a, vec b)         { return vec_max(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b)); }
static inline vec vec_fold_128(vec a, vec b)
{
    return vec_max(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xDD));
}
static inline vec vec_fold_8(vec a, vec b)          { return vec_fold_128(a, b); }
/* The same for 16-bit lanes; this one begins with those. */
static inline vec vec_fold_16_16(vec a, vec b)      { return vec_max_16(_mm512_unpacklo_epi16(a, b), _mm512_unpackhi_epi16(a, b)); }
static inline vec vec_fold_16_32(vec a, vec b)      { return vec_max_16(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b)); }
static inline vec vec_fold_16_64(vec a, vec b)      { return vec_max_16(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b)); }
static inline vec vec_fold_16_128(vec a, vec b)
{
    return vec_max_16(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xDD));
}
/* clang-format on */

/* From lane 4 q + k being of four lanes q of vector k to the order of four vectors. */
static const uint32_t vec_quad_order[16] = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};

MXQ_INLINE vec vec_reduce_quads(const vec v[4])
{
    const vec largest = vec_fold_64(vec_fold_32(v[0], v[1]), vec_fold_32(v[2], v[3]));
    return vec_lane(largest, vec_load(vec_quad_order));
}

MXQ_INLINE vec vec_add_carry(vec a, vec f, vec r)
{
    return _mm512_mask_sub_epi32(a, _mm512_cmplt_epu32_mask(vec_add(f, r), f), a, vec_set1(~0u));
}

MXQ_INLINE vec vec_upper_16(vec a, vec b)
{
    static const uint16_t upper[32] = {1,  3,  5,  7,  9,  11, 13, 15, 17, 19, 21,
                                       23, 25, 27, 29, 31, 33, 35, 37, 39, 41, 43,
                                       45, 47, 49, 51, 53, 55, 57, 59, 61, 63};
    return _mm512_permutex2var_epi16(a, vec_load(upper), b);
}

MXQ_INLINE int vec_any_outside(vec bytes, uint8_t low, uint8_t high)
{
    const vec above_low = _mm512_sub_epi8(bytes, _mm512_set1_epi8((char)low));
    return _mm512_cmpgt_epu8_mask(above_low, _mm512_set1_epi8((char)(high - low))) != 0;
}

MXQ_INLINE void vec_store_8(uint8_t *p, vec bytes, enum mxq_type type)
{
    /* The packs work in 128-bit lanes. */
    vec_store(p, type == MXQ_BF16
                     ? _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), bytes)
                     : vec_lane(bytes, vec_load(vec_quad_order)));
}

MXQ_INLINE void vec_store_words(uint32_t *p, vec w01, vec w23)
{
    vec_store(p, _mm512_unpacklo_epi64(w01, w23));
    vec_store(p + VEC_LANES, _mm512_unpackhi_epi64(w01, w23));
}

#define VEC_PDS 1
typedef __m512d vec_pd;

MXQ_INLINE void vec_load_pd(vec_pd v[1], const double *p)
{
    v[0] = _mm512_loadu_pd(p);
}

MXQ_INLINE void vec_store_pd(double *p, const vec_pd v[1])
{
    _mm512_storeu_pd(p, v[0]);
}

/* Squares of F32 are exact in F64: fused or not, a sum is rounded once. */
MXQ_INLINE void vec_add_squares_pd(vec_pd sum[1], vec_pd low, vec_pd high)
{
    sum[0] = _mm512_fmadd_pd(low, low, sum[0]);
    sum[0] = _mm512_fmadd_pd(high, high, sum[0]);
}

MXQ_INLINE void vec_add_squares(vec_pd sum[1], vec_ps v, int half)
{
    (void)half;
    vec_add_squares_pd(
        sum, _mm512_cvtps_pd(_mm512_castps512_ps256(v)),
        _mm512_cvtps_pd(_mm256_castsi256_ps(_mm512_extracti64x4_epi64(vec_of_ps(v), 1))));
}

MXQ_INLINE void vec_add_squares_at(vec_pd sum[1], const void *p, int half)
{
    const float *v = (const float *)p;
    (void)half;
    vec_add_squares_pd(sum, _mm512_cvtps_pd(_mm256_loadu_ps(v)),
                       _mm512_cvtps_pd(_mm256_loadu_ps(v + 8)));
}

MXQ_INLINE float vec_sum_ps(vec_ps a)
{
    const __m256 high = _mm256_castsi256_ps(_mm512_extracti64x4_epi64(vec_of_ps(a), 1));
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a), high);
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}

/* Two factors, eight lanes each. */
MXQ_INLINE vec_ps vec_factors(const float *factor, size_t i)
{
    double both;
    memcpy(&both, factor + i / 8, sizeof both);
    const vec pairs = _mm512_castpd_si512(_mm512_set1_pd(both));
    return vec_as_ps(
        vec_lane(pairs, _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1)));
}

MXQ_INLINE vec vec_reduce_max(const vec v[16])
{
    vec quads[4];
    for (int i = 0; i < 4; i++)
        quads[i] = vec_fold_64(vec_fold_32(v[4 * i], v[4 * i + 1]),
                               vec_fold_32(v[4 * i + 2], v[4 * i + 3]));
    return vec_fold_128(vec_fold_128(quads[0], quads[1]), vec_fold_128(quads[2], quads[3]));
}

MXQ_INLINE vec vec_reduce_max_16(const vec v[16], enum mxq_type type)
{
    vec eights[2];
    for (int i = 0; i < 2; i++) {
        vec quads[2];
        for (int j = 0; j < 2; j++) {
            const vec *four = v + 8 * i + 4 * j;
            quads[j] =
                vec_fold_16_32(vec_fold_16_16(four[0], four[1]), vec_fold_16_16(four[2], four[3]));
        }
        eights[i] = vec_fold_16_64(quads[0], quads[1]);
    }
    /* 128-bit lanes 0 and 1 are of the first eight vectors, 2 and 3 of the others. */
    const vec lanes = vec_fold_16_128(eights[0], eights[1]);
    const __m256i all = _mm512_castsi512_si256(vec_fold_16_128(lanes, lanes));
    return type == MXQ_BF16 ? vec_sll(_mm512_cvtepu16_epi32(all), 16)
                            : vec_of_ps(_mm512_cvtph_ps(all));
}

#define VEC_ROUND_KEEPS_SIGN

/* VRANGEPS immediates: the larger or the smaller magnitude, with the sign of the first operand. */
#define RANGE_MAX_MAGNITUDE 3
#define RANGE_MIN_MAGNITUDE 2

MXQ_INLINE vec vec_clamp(vec x, vec limit)
{
    return vec_of_ps(_mm512_range_ps(vec_as_ps(x), vec_as_ps(limit), RANGE_MIN_MAGNITUDE));
}

/* Keeps the sign of x. */
MXQ_INLINE vec vec_round(vec x, vec smallest, vec grid)
{
    const vec power = vec_and(x, vec_set1(0xFF800000));
    const __m512 binade =
        _mm512_range_ps(vec_as_ps(power), vec_as_ps(smallest), RANGE_MAX_MAGNITUDE);
    return vec_of_ps(_mm512_fmadd_ps(binade, vec_as_ps(grid), vec_as_ps(x)));
}

/* What VPDPWSSD starts from: minus the bias in units of the upper half of t, field << 7. */

MXQ_INLINE vec vec_code_bias(vec field, int mantissa_bits)
{
    (void)mantissa_bits;
    return vec_sub(vec_set1(0), vec_sll(field, 7));
}

/* t is s field[8] 0.. n[5].  Its upper half counts field << 7, so one VPDPWSSD with n weighted by
 * 2^(7 - mbits) gives code << (7 - mbits), less 2^15 for a sign: bit 15 of a 16-bit lane. */
MXQ_INLINE vec vec_code_and_sign(vec t, vec bias, int mantissa_bits)
{
    const vec weights = vec_set1(UINT32_C(1) << 16 | UINT32_C(1) << (7 - mantissa_bits));
    return _mm512_dpwssd_epi32(bias, t, weights);
}

/* 32 codes at the top of 16-bit lanes, their signs first; in the order of VPACKSSDW. */
MXQ_INLINE vec vec_codes_16(vec t0, vec t1, vec bias0, vec bias1, const struct mxq_element_info *e)
{
    const vec both = _mm512_packs_epi32(vec_code_and_sign(t0, bias0, e->mantissa_bits),
                                        vec_code_and_sign(t1, bias1, e->mantissa_bits));
    const int shift = e->mantissa_bits + 1 + 8 - e->bits;
    const vec code = _mm512_sllv_epi16(both, _mm512_set1_epi16((short)shift));
    const vec saturated =
        _mm512_min_epu16(code, _mm512_set1_epi16((short)(e->max_code << (16 - e->bits))));
    return _mm512_ternarylogic_epi32(saturated, both, _mm512_set1_epi16((short)0x8000), 0xF8);
}

/* The same for integers.  The lower half of t is the integer; 2^8 times that saturates as it should, but
 * for the most negative code. */
MXQ_INLINE vec vec_integers_16(vec t0, vec t1, const struct mxq_element_info *e)
{
    const vec weights = vec_set1(256);
    const vec both =
        _mm512_packs_epi32(_mm512_madd_epi16(t0, weights), _mm512_madd_epi16(t1, weights));
    return _mm512_max_epi16(both, _mm512_set1_epi16((short)(-e->max_code * 256)));
}

/* Byte 2 i + h of the interleaved halves is element i of half h in the order of VPACKSSDW: 128-bit lane
 * q holds lanes 4 q .. 4 q + 3 of the first vector, then of the second. */
static const uint8_t vec_code_order[64] = {
    0, 2,  4,  6,  16, 18, 20, 22, 32, 34, 36, 38, 48, 50, 52, 54, /* half 0, first vector */
    8, 10, 12, 14, 24, 26, 28, 30, 40, 42, 44, 46, 56, 58, 60, 62, /* half 0, second */
    1, 3,  5,  7,  17, 19, 21, 23, 33, 35, 37, 39, 49, 51, 53, 55, /* half 1, first */
    9, 11, 13, 15, 25, 27, 29, 31, 41, 43, 45, 47, 57, 59, 61, 63, /* half 1, second */
};

/* The same where the first vector has the even values and the second the odd ones. */
static const uint8_t vec_code_order_pairs[64] = {
    0,  8,  2,  10, 4,  12, 6,  14, 16, 24, 18, 26, 20, 28, 22, 30, /* half 0 */
    32, 40, 34, 42, 36, 44, 38, 46, 48, 56, 50, 58, 52, 60, 54, 62, /**/
    1,  9,  3,  11, 5,  13, 7,  15, 17, 25, 19, 27, 21, 29, 23, 31, /* half 1 */
    33, 41, 35, 43, 37, 45, 39, 47, 49, 57, 51, 59, 53, 61, 55, 63, /**/
};

/* Stores 64 codes that are at the top of bytes.  A product joins two of them in a 16-bit lane, and
 * another one four in a 32-bit lane; what was below the first one stays there. */
MXQ_INLINE void vec_store_packed(uint8_t *out, vec bytes, int bits)
{
    if (bits == 8) {
        vec_store(out, bytes);
        return;
    }
    static const uint8_t packed_6[64] = {
        PACKED_LANE_6(0),  PACKED_LANE_6(1),  PACKED_LANE_6(2),  PACKED_LANE_6(3),
        PACKED_LANE_6(4),  PACKED_LANE_6(5),  PACKED_LANE_6(6),  PACKED_LANE_6(7),
        PACKED_LANE_6(8),  PACKED_LANE_6(9),  PACKED_LANE_6(10), PACKED_LANE_6(11),
        PACKED_LANE_6(12), PACKED_LANE_6(13), PACKED_LANE_6(14), PACKED_LANE_6(15)};
    const vec pairs = _mm512_maddubs_epi16(bytes, _mm512_set1_epi16((short)(1 | 256 << bits)));
    if (bits == 4) {
        _mm256_storeu_si256((__m256i *)out, _mm512_cvtepi16_epi8(_mm512_srli_epi16(pairs, 4)));
    } else {
        const vec fours = vec_srl(_mm512_madd_epi16(pairs, vec_set1(1 | 4096 << 16)), 2);
        const vec all = _mm512_permutexvar_epi8(vec_load(packed_6), fours);
        _mm256_storeu_si256((__m256i *)out, _mm512_castsi512_si256(all));
        _mm_storeu_si128((__m128i *)(out + 32), _mm512_extracti32x4_epi32(all, 2));
    }
}

MXQ_INLINE void vec_store_bytes(uint8_t *p, const vec v[4], int bits)
{
    const vec bytes =
        _mm512_packus_epi16(_mm512_packs_epi32(v[0], v[1]), _mm512_packs_epi32(v[2], v[3]));
    vec_store_packed(
        p, vec_sllv(vec_lane(bytes, vec_load(vec_quad_order)), vec_set1((uint32_t)(8 - bits))),
        bits);
}

/* 64 codes at the top of bytes, byte i of each vector as `order` names it among the interleaved halves. */
MXQ_INLINE vec vec_codes_8(const vec t[4], const vec bias[4], const struct mxq_element_info *e,
                           const uint8_t order[64])
{
    const int is_integer = e->kind == MXQ_INTEGER;
    const vec half0 =
        is_integer ? vec_integers_16(t[0], t[1], e) : vec_codes_16(t[0], t[1], bias[0], bias[1], e);
    const vec half1 =
        is_integer ? vec_integers_16(t[2], t[3], e) : vec_codes_16(t[2], t[3], bias[2], bias[3], e);
    /* The lower bytes of half 1 are masked off: those of a NaN block may hold anything. */
    const vec interleaved = _mm512_ternarylogic_epi32(_mm512_srli_epi16(half0, 8), half1,
                                                      _mm512_set1_epi16((short)0xFF00), 0xF8);
    return _mm512_permutexvar_epi8(vec_load(order), interleaved);
}

MXQ_INLINE void vec_store_codes(uint8_t *out, const vec t[4], const vec signs[4], const vec bias[4],
                                const struct mxq_element_info *e, enum mxq_type type)
{
    (void)signs; /* t has them */
    const uint8_t *order = type == MXQ_BF16 ? vec_code_order_pairs : vec_code_order;
    vec_store_packed(out, vec_codes_8(t, bias, e, order), e->bits);
}

MXQ_INLINE vec vec_column_bias(vec bias)
{
    return bias;
}

MXQ_INLINE vec vec_column_codes(const vec t[4], const vec x[4], vec bias,
                                const struct mxq_element_info *e)
{
    /* What vec_code_order names, those of a lane one after the other. */
    static const uint8_t order[64] = {
        0,  8,  1,  9,  2,  10, 3,  11, 4,  12, 5,  13, 6,  14, 7,  15, /* lanes 0 .. 3 */
        16, 24, 17, 25, 18, 26, 19, 27, 20, 28, 21, 29, 22, 30, 23, 31, /* 4 .. 7 */
        32, 40, 33, 41, 34, 42, 35, 43, 36, 44, 37, 45, 38, 46, 39, 47, /* 8 .. 11 */
        48, 56, 49, 57, 50, 58, 51, 59, 52, 60, 53, 61, 54, 62, 55, 63, /* 12 .. 15 */
    };
    (void)x;
    const vec biases[4] = {bias, bias, bias, bias};
    return vec_codes_8(t, biases, e, order);
}

/* Two columns, 32 bytes each. */
MXQ_INLINE void vec_store_two_columns(uint8_t *first, uint8_t *second, vec both)
{
    _mm256_storeu_si256((__m256i *)first, _mm512_castsi512_si256(both));
    _mm256_storeu_si256((__m256i *)second, _mm512_extracti64x4_epi64(both, 1));
}

MXQ_INLINE void vec_store_columns(uint8_t *out, size_t stride, const vec v[8])
{
    vec quads[8]; /* 4 h + q: lane l of 128 bits is dwords 4 h .. 4 h + 3 of column 4 l + q */
    for (int h = 0; h < 2; h++) {
        const vec *d = v + 4 * h;
        const vec low01 = _mm512_unpacklo_epi32(d[0], d[1]);
        const vec low23 = _mm512_unpacklo_epi32(d[2], d[3]);
        const vec high01 = _mm512_unpackhi_epi32(d[0], d[1]);
        const vec high23 = _mm512_unpackhi_epi32(d[2], d[3]);
        quads[4 * h] = _mm512_unpacklo_epi64(low01, low23);
        quads[4 * h + 1] = _mm512_unpackhi_epi64(low01, low23);
        quads[4 * h + 2] = _mm512_unpacklo_epi64(high01, high23);
        quads[4 * h + 3] = _mm512_unpackhi_epi64(high01, high23);
    }
    const vec lower = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const vec upper = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    for (size_t q = 0; q < 4; q++) {
        uint8_t *to = out + q * stride;
        vec_store_two_columns(to, to + 4 * stride,
                              _mm512_permutex2var_epi64(quads[q], lower, quads[4 + q]));
        vec_store_two_columns(to + 8 * stride, to + 12 * stride,
                              _mm512_permutex2var_epi64(quads[q], upper, quads[4 + q]));
    }
}

MXQ_INLINE void vec_repack(uint8_t *out, const uint8_t *bytes, int bits)
{
    vec_store_packed(out, vec_load(bytes), bits);
}

/* 32 codes, number `half` of the two halves of 64 at p, at the top of 16-bit lanes, above other bits. */
MXQ_INLINE vec vec_load_codes(const uint8_t *p, int half, int bits)
{
    static const uint8_t windows[3][64] = {
        {WINDOWS_32(4, 0)}, {WINDOWS_32(6, 0)}, {WINDOWS_32(8, 0)}};
    /* The 32 bytes from p + skip hold them all, and are among those of the 64 codes. */
    const int skip = half * 8 * (bits - 4), ahead = half * 4 * bits - skip;
    const vec at = _mm512_add_epi8(vec_load(windows[bits / 2 - 2]), _mm512_set1_epi8((char)ahead));
    const vec lanes = _mm512_permutexvar_epi8(at, _mm512_castsi256_si512(vec_load_256(p + skip)));
    const uint64_t shifts =
        (uint64_t)WINDOW_SHIFT(bits, 0) | (uint64_t)WINDOW_SHIFT(bits, 1) << 16 |
        (uint64_t)WINDOW_SHIFT(bits, 2) << 32 | (uint64_t)WINDOW_SHIFT(bits, 3) << 48;
    return bits == 8 ? lanes : _mm512_sllv_epi16(lanes, _mm512_set1_epi64((int64_t)shifts));
}

MXQ_INLINE void vec_decode_integers(vec value[4], const uint8_t *p)
{
    for (int i = 0; i < 4; i++)
        value[i] = vec_of_ps(_mm512_cvtepi32_ps(
            _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(p + 16 * i)))));
}

MXQ_INLINE void vec_decode(vec value[4], const uint8_t *p, const struct mxq_element_info *e)
{
    if (e->kind == MXQ_INTEGER) {
        vec_decode_integers(value, p);
        return;
    }
    /* Shifted right the sign is copied: copies and what was below the code are cleared. */
    const int shift = 6 - e->bits + e->mantissa_bits, top = (1 << (e->bits - 1)) - 1;
    const vec mask = _mm512_set1_epi16((short)(0x8000 | top << (10 - e->mantissa_bits)));
    for (int i = 0; i < 2; i++) {
        const vec codes = vec_load_codes(p, i, e->bits);
        const vec half = vec_and(
            shift ? _mm512_srav_epi16(codes, _mm512_set1_epi16((short)shift)) : codes, mask);
        value[2 * i] = vec_of_ps(_mm512_cvtph_ps(_mm512_castsi512_si256(half)));
        value[2 * i + 1] = vec_of_ps(_mm512_cvtph_ps(_mm512_extracti64x4_epi64(half, 1)));
    }
}

MXQ_INLINE vec_ps vec_fma_ps(vec_ps a, vec_ps b, vec_ps c)
{
    return _mm512_fmadd_ps(a, b, c);
}

MXQ_INLINE uint32_t vec_nans(const vec v[4])
{
    return vec_bits(_mm512_cmp_ps_mask(vec_as_ps(v[0]), vec_as_ps(v[1]), _CMP_UNORD_Q) |
                    _mm512_cmp_ps_mask(vec_as_ps(v[2]), vec_as_ps(v[3]), _CMP_UNORD_Q));
}

MXQ_INLINE vec_ps vec_fms_ps(vec_ps a, vec_ps b, vec_ps c)
{
    return _mm512_fmsub_ps(a, b, c);
}

MXQ_INLINE void vec_decode_pair(vec_ps even[1], vec_ps odd[1], const uint8_t *p, int mantissa_bits)
{
    /* Sign-extended, the code needs a shift, and its signs cleared but for the first. */
    const vec codes = _mm512_cvtepi8_epi16(vec_load_256(p));
    const vec words =
        mantissa_bits == 2 ? _mm512_slli_epi16(codes, 5) : _mm512_slli_epi16(codes, 4);
    const vec bf16 =
        vec_and(words, _mm512_set1_epi16((short)(0x8000 | 0x7F << (7 - mantissa_bits))));
    even[0] = vec_as_ps(vec_sll(bf16, 16));
    odd[0] = vec_as_ps(vec_and(bf16, vec_set1(0xFFFF0000)));
}

#define VEC_E2M1_SHIFT 0

MXQ_INLINE void vec_decode_pair_e2m1(vec_ps even[1], vec_ps odd[1], const uint8_t *p)
{
    /* VPERMPS reads four bits of a lane. */
    const vec codes = vec_load_u8(p);
    const vec_ps values = _mm512_setr_ps(0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F, -0.0F,
                                         -0.5F, -1.0F, -1.5F, -2.0F, -3.0F, -4.0F, -6.0F);
    even[0] = _mm512_permutexvar_ps(codes, values);
    odd[0] = _mm512_permutexvar_ps(vec_srl(codes, 4), values);
}

MXQ_INLINE void vec_decode_pair_int8(vec_ps even[1], vec_ps odd[1], const uint8_t *p)
{
    const vec pairs = _mm512_cvtepi8_epi16(vec_load_256(p));
    even[0] = _mm512_cvtepi32_ps(_mm512_srai_epi32(vec_sll(pairs, 16), 16));
    odd[0] = _mm512_cvtepi32_ps(_mm512_srai_epi32(pairs, 16));
}

MXQ_INLINE void vec_order(vec_ps v[1])
{
    (void)v;
}

MXQ_INLINE void vec_store_bf16(void *p, vec a, vec b)
{
    vec_store(p, vec_upper_16(a, b));
}

MXQ_INLINE vec vec_max_code(vec largest, const uint8_t *p)
{
    return _mm512_max_epu8(largest, vec_and(vec_load(p), vec_set1(0x7F7F7F7F)));
}

MXQ_INLINE int vec_any_above(vec codes, uint8_t code)
{
    return _mm512_cmpgt_epu8_mask(codes, _mm512_set1_epi8((char)code)) != 0;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* simd_missing.h -- the AVX-512 conversions that SIMDe 0.7.4 (Debian 12) lacks, from its narrower
 * ones, and a fused multiply-add; only the emulated columns of the tests see it. */
#ifndef MXQ_SIMD_MISSING_H
#define MXQ_SIMD_MISSING_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifndef _MM_FROUND_NO_EXC
#define _MM_FROUND_NO_EXC SIMDE_MM_FROUND_NO_EXC
#endif
#undef _mm512_cvtepu8_epi32
#undef _mm512_cvtepu16_epi32
#undef _mm512_cvtepi8_epi32
#undef _mm512_cvtepi32_ps
#undef _mm512_cvttps_epi32
#undef _mm512_cvtph_ps
#undef _mm512_cvtps_ph
#undef _mm512_cvtepi32_epi8
#undef _mm512_srai_epi32
#undef _mm512_testn_epi8_mask
#undef _mm512_testn_epi16_mask
#undef _mm512_cmplt_epu32_mask
#undef _mm512_shuffle_epi32
#undef _mm512_cvtps_pd
#undef _mm512_fmadd_ps
#define _mm512_cvtepu8_epi32  missing_cvtepu8_epi32
#define _mm512_cvtepu16_epi32 missing_cvtepu16_epi32
#undef _mm512_madd_epi16 /* SIMDe's alias asks for a mask */
#define _mm512_madd_epi16             simde_mm512_madd_epi16
#define _mm512_cvtepi8_epi32          missing_cvtepi8_epi32
#define _mm512_cvtepi32_ps            missing_cvtepi32_ps
#define _mm512_cvttps_epi32           missing_cvttps_epi32
#define _mm512_cvtph_ps               missing_cvtph_ps
#define _mm512_cvtps_ph(a, imm)       missing_cvtps_ph(a)
#define _mm512_cvtepi32_epi8          missing_cvtepi32_epi8
#define _mm512_srai_epi32             missing_srai_epi32
#define _mm512_testn_epi8_mask(a, b)  (~_mm512_test_epi8_mask(a, b))
#define _mm512_testn_epi16_mask(a, b) ((__mmask32)~_mm512_test_epi16_mask(a, b))
#define _mm512_cmplt_epu32_mask(a, b) ((__mmask16)~_mm512_cmpge_epu32_mask(a, b))
#define _mm512_shuffle_epi32          missing_shuffle_epi32
#define __mmask16                     simde__mmask16
#define __mmask32                     simde__mmask32
#define __mmask64                     simde__mmask64
#define _mm512_cvtps_pd               missing_cvtps_pd
#define _mm512_fmadd_ps               missing_fmadd_ps
#undef _mm512_fmsub_ps
#define _mm512_fmsub_ps(a, b, c) missing_fmadd_ps(a, b, _mm512_sub_ps(_mm512_setzero_ps(), c))

static inline __m512i missing_join(__m256i low, __m256i high)
{
    __m256i halves[2] = {low, high};
    return _mm512_loadu_si512(halves);
}

static inline __m512i missing_cvtepu8_epi32(__m128i a)
{
    return missing_join(_mm256_cvtepu8_epi32(a), _mm256_cvtepu8_epi32(_mm_srli_si128(a, 8)));
}

static inline __m512i missing_cvtepu16_epi32(__m256i a)
{
    return missing_join(_mm256_cvtepu16_epi32(_mm256_extracti128_si256(a, 0)),
                        _mm256_cvtepu16_epi32(_mm256_extracti128_si256(a, 1)));
}

static inline __m512i missing_cvtepi8_epi32(__m128i a)
{
    return missing_join(_mm256_cvtepi8_epi32(a), _mm256_cvtepi8_epi32(_mm_srli_si128(a, 8)));
}

static inline __m512 missing_cvtepi32_ps(__m512i a)
{
    return _mm512_castsi512_ps(
        missing_join(_mm256_castps_si256(_mm256_cvtepi32_ps(_mm512_extracti64x4_epi64(a, 0))),
                     _mm256_castps_si256(_mm256_cvtepi32_ps(_mm512_extracti64x4_epi64(a, 1)))));
}

static inline __m512i missing_cvttps_epi32(__m512 a)
{
    float values[16];
    int32_t lanes[16];
    _mm512_storeu_ps(values, a);
    for (int i = 0; i < 16; i++)
        lanes[i] = values[i] >= -0x1p31F && values[i] < 0x1p31F ? (int32_t)values[i] : INT32_MIN;
    return _mm512_loadu_si512(lanes);
}

static inline __m512 missing_cvtph_ps(__m256i a)
{
    return _mm512_castsi512_ps(
        missing_join(_mm256_castps_si256(_mm256_cvtph_ps(_mm256_extracti128_si256(a, 0))),
                     _mm256_castps_si256(_mm256_cvtph_ps(_mm256_extracti128_si256(a, 1)))));
}

/* To nearest even, the only rounding in use. */
static inline __m256i missing_cvtps_ph(__m512 a)
{
    __m256 halves[2];
    __m128i out[2];
    _mm512_storeu_ps(halves, a);
    for (int i = 0; i < 2; i++)
        out[i] = _mm256_cvtps_ph(halves[i], _MM_FROUND_TO_NEAREST_INT);
    return _mm256_loadu_si256((const __m256i *)out);
}

static inline __m128i missing_cvtepi32_epi8(__m512i a)
{
    uint32_t lanes[16];
    uint8_t bytes[16];
    _mm512_storeu_si512(lanes, a);
    for (int i = 0; i < 16; i++)
        bytes[i] = (uint8_t)lanes[i];
    return _mm_loadu_si128((const __m128i *)bytes);
}

static inline __m512i missing_shuffle_epi32(__m512i a, int imm)
{
    uint32_t lanes[16], shuffled[16];
    _mm512_storeu_si512(lanes, a);
    for (int i = 0; i < 16; i++)
        shuffled[i] = lanes[(i & ~3) | (imm >> 2 * (i & 3) & 3)];
    return _mm512_loadu_si512(shuffled);
}

static inline __m512d missing_cvtps_pd(__m256 a)
{
    float narrow[8];
    double wide[8];
    _mm256_storeu_ps(narrow, a);
    for (int i = 0; i < 8; i++)
        wide[i] = (double)narrow[i];
    return _mm512_loadu_pd(wide);
}

static inline __m512i missing_srai_epi32(__m512i a, int count)
{
    int32_t lanes[16];
    _mm512_storeu_si512(lanes, a);
    for (int i = 0; i < 16; i++)
        lanes[i] >>= count;
    return _mm512_loadu_si512(lanes);
}

/* SIMDe's rounds twice. */
static inline __m512 missing_fmadd_ps(__m512 a, __m512 b, __m512 c)
{
    float x[16], y[16], z[16];
    _mm512_storeu_ps(x, a);
    _mm512_storeu_ps(y, b);
    _mm512_storeu_ps(z, c);
    for (int i = 0; i < 16; i++)
        z[i] = fmaf(x[i], y[i], z[i]);
    return _mm512_loadu_ps(z);
}

#endif

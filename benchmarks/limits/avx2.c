/* SPDX-License-Identifier: Apache-2.0 */
/* avx2.c -- the streams in 32-byte vectors. */
#include <immintrin.h>

typedef __m256i vec;
#define VEC_BYTES 32

static inline vec load(const void *src)
{
    return _mm256_loadu_si256(src);
}

static inline void store(void *dst, vec v)
{
    _mm256_storeu_si256(dst, v);
}

static inline void store_nontemporal(void *dst, vec v)
{
    _mm256_stream_si256(dst, v);
}

static inline vec mix(vec a, vec b)
{
    return _mm256_xor_si256(a, b);
}

static inline vec load_scales(const void *src)
{
    return _mm256_zextsi128_si256(_mm_loadu_si128(src));
}

static inline void store_scales(void *dst, vec v)
{
    _mm_storeu_si128(dst, _mm256_castsi256_si128(v));
}

#include "limits/body.h"

const struct limits limits_avx2 = LIMITS("avx2");

/* The peak. */
typedef __m256 peak_sum;
typedef __m256 peak_factor;
#define PEAK_CHAINS 12

static inline peak_sum set_sum(float value)
{
    return _mm256_set1_ps(value);
}

static inline peak_factor set_factor(float value)
{
    return _mm256_set1_ps(value);
}

static inline __attribute__((always_inline)) void multiply_add(peak_sum *sum, peak_factor x,
                                                               peak_factor w)
{
    __asm__ volatile("vfmadd231ps %2, %1, %0" : "+x"(*sum) : "x"(x), "x"(w));
}

#include "limits/peak.h"

const struct limit_peak limit_peak_avx2 = {"avx2", "VFMADD231PS", PEAK_CHAINS * 16.0, run_peak};

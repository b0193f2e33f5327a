/* SPDX-License-Identifier: Apache-2.0 */
/* avx512.c -- the streams in 64-byte vectors. */
#include <immintrin.h>

typedef __m512i vec;
#define VEC_BYTES 64

static inline vec load(const void *src)
{
    return _mm512_loadu_si512(src);
}

static inline void store(void *dst, vec v)
{
    _mm512_storeu_si512(dst, v);
}

static inline void store_nontemporal(void *dst, vec v)
{
    _mm512_stream_si512(dst, v);
}

static inline vec mix(vec a, vec b)
{
    return _mm512_xor_si512(a, b);
}

static inline vec load_scales(const void *src)
{
    return _mm512_zextsi128_si512(_mm_loadu_si128(src));
}

static inline void store_scales(void *dst, vec v)
{
    _mm_storeu_si128(dst, _mm512_castsi512_si128(v));
}

#include "limits/body.h"

const struct limits limits_avx512 = LIMITS("avx512");

/* The peak. */
typedef __m512 peak_sum;
typedef __m512 peak_factor;
#define PEAK_CHAINS 24

static inline peak_sum set_sum(float value)
{
    return _mm512_set1_ps(value);
}

static inline peak_factor set_factor(float value)
{
    return _mm512_set1_ps(value);
}

static inline __attribute__((always_inline)) void multiply_add(peak_sum *sum, peak_factor x,
                                                               peak_factor w)
{
    __asm__ volatile("vfmadd231ps %2, %1, %0" : "+v"(*sum) : "v"(x), "v"(w));
}

#include "limits/peak.h"

const struct limit_peak limit_peak_avx512 = {"avx512", "VFMADD231PS", PEAK_CHAINS * 32.0, run_peak};

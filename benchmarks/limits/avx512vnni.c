/* SPDX-License-Identifier: Apache-2.0 */
/* avx512vnni.c -- the peak of VPDPBUSD, which the integer kernels of avx512 use. */
#include <immintrin.h>

typedef __m512i peak_sum;
typedef __m512i peak_factor;
#define PEAK_CHAINS 24

static inline peak_sum set_sum(float value)
{
    return _mm512_set1_epi32((int)value);
}

/* Bytes that are no zeros. */
static inline peak_factor set_factor(float value)
{
    return _mm512_set1_epi8((char)(1 + (int)(64 * value)));
}

static inline __attribute__((always_inline)) void multiply_add(peak_sum *sum, peak_factor x,
                                                               peak_factor w)
{
    __asm__ volatile("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(x), "v"(w));
}

#include "limits/peak.h"

const struct limit_peak limit_peak_avx512vnni = {"avx512vnni", "VPDPBUSD", PEAK_CHAINS * 128.0,
                                                 run_peak};

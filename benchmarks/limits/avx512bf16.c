/* SPDX-License-Identifier: Apache-2.0 */
/* avx512bf16.c -- the peak of VDPBF16PS; the streams are those of avx512. */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

typedef __m512 peak_sum;
typedef __m512i peak_factor;
#define PEAK_CHAINS 24

static inline peak_sum set_sum(float value)
{
    return _mm512_set1_ps(value);
}

static inline peak_factor set_factor(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return _mm512_set1_epi32((int)(bits >> 16 | (bits & 0xFFFF0000U)));
}

static inline __attribute__((always_inline)) void multiply_add(peak_sum *sum, peak_factor x,
                                                               peak_factor w)
{
    __asm__ volatile("vdpbf16ps %2, %1, %0" : "+v"(*sum) : "v"(x), "v"(w));
}

#include "limits/peak.h"

const struct limit_peak limit_peak_avx512bf16 = {"avx512bf16", "VDPBF16PS", PEAK_CHAINS * 64.0,
                                                 run_peak};

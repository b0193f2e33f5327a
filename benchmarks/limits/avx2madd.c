/* SPDX-License-Identifier: Apache-2.0 */
/* avx2madd.c -- the peak of VPMADDWD, which the integer kernels of avx2 use; VPADDD adds its products up. */
#include <immintrin.h>

typedef __m256i peak_sum;
typedef __m256i peak_factor;
#define PEAK_CHAINS 12

static inline peak_sum set_sum(float value)
{
    return _mm256_set1_epi32((int)value);
}

/* Integers that are no zeros. */
static inline peak_factor set_factor(float value)
{
    return _mm256_set1_epi16((short)(1 + (int)(64 * value)));
}

static inline __attribute__((always_inline)) void multiply_add(peak_sum *sum, peak_factor x,
                                                               peak_factor w)
{
    __m256i products;
    __asm__ volatile("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0"
                     : "+x"(*sum), "=&x"(products)
                     : "x"(x), "x"(w));
}

#include "limits/peak.h"

const struct limit_peak limit_peak_avx2madd = {"avx2madd", "VPMADDWD", PEAK_CHAINS * 32.0,
                                               run_peak};

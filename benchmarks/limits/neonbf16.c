/* SPDX-License-Identifier: Apache-2.0 */
/* neonbf16.c -- the peak of BFMLALB, equal to that of BFMLALT; the streams are those of neon. */
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

typedef float32x4_t peak_sum;
typedef uint16x8_t peak_factor;
#define PEAK_CHAINS 24

static inline peak_sum set_sum(float value)
{
    return vdupq_n_f32(value);
}

static inline peak_factor set_factor(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return vdupq_n_u16((uint16_t)(bits >> 16));
}

static inline __attribute__((always_inline)) void multiply_add(peak_sum *sum, peak_factor x,
                                                               peak_factor w)
{
    __asm__ volatile("bfmlalb %0.4s, %1.8h, %2.8h" : "+w"(*sum) : "w"(x), "w"(w));
}

#include "limits/peak.h"

const struct limit_peak limit_peak_neonbf16 = {"neonbf16", "BFMLALB", PEAK_CHAINS * 8.0, run_peak};

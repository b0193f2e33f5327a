/* SPDX-License-Identifier: Apache-2.0 */
/* neon.c -- the streams in pairs of 16-byte vectors, which LDP, STP and STNP move at once. */
#include <arm_neon.h>

typedef uint8x16x2_t vec;
#define VEC_BYTES 32

static inline vec load(const void *src)
{
    return vld1q_u8_x2(src);
}

static inline void store(void *dst, vec v)
{
    vst1q_u8_x2(dst, v);
}

/* No intrinsic gives STNP. */
static inline void store_nontemporal(void *dst, vec v)
{
    __asm__ volatile("stnp %q0, %q1, [%2]" : : "w"(v.val[0]), "w"(v.val[1]), "r"(dst) : "memory");
}

static inline vec mix(vec a, vec b)
{
    const vec v = {{veorq_u8(a.val[0], b.val[0]), veorq_u8(a.val[1], b.val[1])}};
    return v;
}

static inline vec load_scales(const void *src)
{
    const vec v = {{vld1q_u8(src), vdupq_n_u8(0)}};
    return v;
}

static inline void store_scales(void *dst, vec v)
{
    vst1q_u8(dst, v.val[0]);
}

#include "limits/body.h"

const struct limits limits_neon = LIMITS("neon");

/* The peak. */
typedef float32x4_t peak_sum;
typedef float32x4_t peak_factor;
#define PEAK_CHAINS 24

static inline peak_sum set_sum(float value)
{
    return vdupq_n_f32(value);
}

static inline peak_factor set_factor(float value)
{
    return vdupq_n_f32(value);
}

static inline __attribute__((always_inline)) void multiply_add(peak_sum *sum, peak_factor x,
                                                               peak_factor w)
{
    __asm__ volatile("fmla %0.4s, %1.4s, %2.4s" : "+w"(*sum) : "w"(x), "w"(w));
}

#include "limits/peak.h"

const struct limit_peak limit_peak_neon = {"neon", "FMLA", PEAK_CHAINS * 8.0, run_peak};

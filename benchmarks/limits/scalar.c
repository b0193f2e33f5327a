/* SPDX-License-Identifier: Apache-2.0 */
/* scalar.c -- the streams in 8-byte words. */
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <emmintrin.h>
#endif

typedef uint64_t vec;
#define VEC_BYTES 8

static inline vec load(const void *src)
{
    vec v;
    memcpy(&v, src, sizeof v);
    return v;
}

static inline void store(void *dst, vec v)
{
    memcpy(dst, &v, sizeof v);
}

static inline vec mix(vec a, vec b)
{
    return a ^ b;
}

static inline vec load_scales(const void *src)
{
    return load(src) ^ load((const unsigned char *)src + VEC_BYTES);
}

static inline void store_scales(void *dst, vec v)
{
    store(dst, v);
    store((unsigned char *)dst + VEC_BYTES, v);
}

#if defined(__x86_64__)
static inline void store_nontemporal(void *dst, vec v)
{
    _mm_stream_si64(dst, (long long)v);
}
#else
#define LIMITS_WITHOUT_NONTEMPORAL
#endif

#include "limits/body.h"

const struct limits limits_scalar = LIMITS("scalar");

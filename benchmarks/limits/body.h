/* SPDX-License-Identifier: Apache-2.0 */
/* body.h -- the streams, written once over seven words that each instruction set defines:
 *
 *   vec, VEC_BYTES           a vector, at most 64 bytes
 *   load, store              one vector
 *   store_nontemporal        past the caches; LIMITS_WITHOUT_NONTEMPORAL where there is none
 *   mix                      any cheap operation of two vectors, so that no load is dead
 *   load_scales store_scales the 16 scale bytes of a group of blocks */
#include "limits/limits.h"

#define INLINE       static inline __attribute__((always_inline))
#define GROUP_VALUES (LIMIT_GROUP * 32)

typedef void store_fn(void *dst, vec v);

INLINE void narrow(unsigned char *dst, const unsigned char *src, unsigned char *scale,
                   size_t blocks, size_t ratio, store_fn *put)
{
    for (; blocks; blocks -= LIMIT_GROUP) {
        vec v = load(src);
        for (size_t i = 0; i < GROUP_VALUES; i += VEC_BYTES) {
            v = load(src);
            for (size_t r = 1; r < ratio; r++)
                v = mix(v, load(src + r * VEC_BYTES));
            put(dst, v);
            src += ratio * VEC_BYTES;
            dst += VEC_BYTES;
        }
        store_scales(scale, v);
        scale += LIMIT_GROUP;
    }
}

INLINE void widen(unsigned char *dst, const unsigned char *src, const unsigned char *scale,
                  size_t blocks, size_t ratio, store_fn *put)
{
    for (; blocks; blocks -= LIMIT_GROUP) {
        const vec scales = load_scales(scale);
        for (size_t i = 0; i < GROUP_VALUES; i += VEC_BYTES) {
            const vec v = mix(load(src), scales);
            for (size_t r = 0; r < ratio; r++)
                put(dst + r * VEC_BYTES, v);
            src += VEC_BYTES;
            dst += ratio * VEC_BYTES;
        }
        scale += LIMIT_GROUP;
    }
}

static void read_only(void *dst, const void *src, void *scale, size_t blocks)
{
    (void)scale;
    const unsigned char *p = src;
    const unsigned char *end = p + blocks * 128;
    vec a = load(p), b = a, c = a, d = a; /* four chains: one would wait for its own results */
    for (; p < end; p += 4 * VEC_BYTES) {
        a = mix(a, load(p));
        b = mix(b, load(p + VEC_BYTES));
        c = mix(c, load(p + 2 * VEC_BYTES));
        d = mix(d, load(p + 3 * VEC_BYTES));
    }
    store(dst, mix(mix(a, b), mix(c, d)));
}

#define STREAM(name, direction, ratio, put)                                                        \
    static void name(void *dst, const void *src, void *scale, size_t blocks)                       \
    {                                                                                              \
        direction(dst, src, scale, blocks, ratio, put);                                            \
    }

STREAM(ordinary_4_to_1, narrow, 4, store)
STREAM(ordinary_2_to_1, narrow, 2, store)
STREAM(ordinary_1_to_4, widen, 4, store)
STREAM(ordinary_1_to_2, widen, 2, store)

#define ORDINARY                                                                                   \
    {                                                                                              \
        read_only, ordinary_4_to_1, ordinary_2_to_1, ordinary_1_to_4, ordinary_1_to_2              \
    }

#if defined(LIMITS_WITHOUT_NONTEMPORAL)
#define NONTEMPORAL                                                                                \
    {                                                                                              \
        NULL, NULL, NULL, NULL, NULL                                                               \
    }
#else
STREAM(nontemporal_4_to_1, narrow, 4, store_nontemporal)
STREAM(nontemporal_2_to_1, narrow, 2, store_nontemporal)
STREAM(nontemporal_1_to_4, widen, 4, store_nontemporal)
STREAM(nontemporal_1_to_2, widen, 2, store_nontemporal)

#define NONTEMPORAL                                                                                \
    {                                                                                              \
        NULL, nontemporal_4_to_1, nontemporal_2_to_1, nontemporal_1_to_4, nontemporal_1_to_2       \
    }
#endif

#define LIMITS(isa)                                                                                \
    {                                                                                              \
        isa, ORDINARY, NONTEMPORAL                                                                 \
    }

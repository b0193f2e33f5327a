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

/* The next vector is VEC_BYTES on, or in another quarter.  Four chains: one would wait for its own
 * results. */
INLINE void read_vectors(void *dst, const unsigned char *src, size_t bytes, size_t apart,
                         size_t ahead)
{
    const size_t step = apart == VEC_BYTES ? 4 * VEC_BYTES : VEC_BYTES;
    const unsigned char *end = src + (apart == VEC_BYTES ? bytes : apart);
    vec a = load(src), b = a, c = a, d = a;
    for (const unsigned char *p = src; p < end; p += step) {
        for (size_t line = 0; ahead && line < step; line += 64)
            __builtin_prefetch(p + ahead + line);
        a = mix(a, load(p));
        b = mix(b, load(p + apart));
        c = mix(c, load(p + 2 * apart));
        d = mix(d, load(p + 3 * apart));
    }
    store(dst, mix(mix(a, b), mix(c, d)));
}

#define READ_AHEAD 4096

static void read_one(void *dst, const void *src, size_t bytes)
{
    read_vectors(dst, src, bytes, VEC_BYTES, 0);
}

static void read_prefetched(void *dst, const void *src, size_t bytes)
{
    read_vectors(dst, src, bytes, VEC_BYTES, READ_AHEAD);
}

static void read_four(void *dst, const void *src, size_t bytes)
{
    read_vectors(dst, src, bytes, bytes / 4, 0);
}

static void read_only(void *dst, const void *src, void *scale, size_t blocks)
{
    (void)scale;
    read_one(dst, src, blocks * 128);
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
        isa, ORDINARY, NONTEMPORAL,                                                                \
        {                                                                                          \
            read_one, read_prefetched, read_four                                                   \
        }                                                                                          \
    }

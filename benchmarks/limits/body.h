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

/* Of each `in` vectors that are read `out` are written. */
INLINE void narrow(unsigned char *dst, const unsigned char *src, unsigned char *scale,
                   size_t blocks, size_t group_bytes, size_t in, size_t out, store_fn *put)
{
    for (; blocks; blocks -= LIMIT_GROUP) {
        vec v = load(src);
        for (size_t i = 0; i < group_bytes; i += in * VEC_BYTES) {
            for (size_t o = 0; o < out; o++) {
                v = load(src + o * VEC_BYTES);
                for (size_t r = out + o; r < in; r += out)
                    v = mix(v, load(src + r * VEC_BYTES));
                put(dst + o * VEC_BYTES, v);
            }
            src += in * VEC_BYTES;
            dst += out * VEC_BYTES;
        }
        store_scales(scale, v);
        scale += LIMIT_GROUP;
    }
}

/* For each `in` vectors that are read `out` are written. */
INLINE void widen(unsigned char *dst, const unsigned char *src, const unsigned char *scale,
                  size_t blocks, size_t group_bytes, size_t in, size_t out, store_fn *put)
{
    for (; blocks; blocks -= LIMIT_GROUP) {
        const vec scales = load_scales(scale);
        for (size_t i = 0; i < group_bytes; i += in * VEC_BYTES) {
            for (size_t r = 0; r < in; r++) {
                const vec v = mix(load(src + r * VEC_BYTES), scales);
                for (size_t o = r; o < out; o += in)
                    put(dst + o * VEC_BYTES, v);
            }
            src += in * VEC_BYTES;
            dst += out * VEC_BYTES;
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

/* `bytes` of a block are read. */
#define STREAM(name, direction, bytes, in, out, put)                                               \
    static void name(void *dst, const void *src, void *scale, size_t blocks)                       \
    {                                                                                              \
        direction(dst, src, scale, blocks, (bytes)*LIMIT_GROUP, in, out, put);                     \
    }

#define STREAMS(kind, put)                                                                         \
    STREAM(kind##_128_32, narrow, 128, 4, 1, put)                                                  \
    STREAM(kind##_64_32, narrow, 64, 2, 1, put)                                                    \
    STREAM(kind##_128_24, narrow, 128, 16, 3, put)                                                 \
    STREAM(kind##_64_24, narrow, 64, 8, 3, put)                                                    \
    STREAM(kind##_128_16, narrow, 128, 8, 1, put)                                                  \
    STREAM(kind##_64_16, narrow, 64, 4, 1, put)                                                    \
    STREAM(kind##_32_128, widen, 32, 1, 4, put)                                                    \
    STREAM(kind##_32_64, widen, 32, 1, 2, put)                                                     \
    STREAM(kind##_24_128, widen, 24, 3, 16, put)                                                   \
    STREAM(kind##_24_64, widen, 24, 3, 8, put)                                                     \
    STREAM(kind##_16_128, widen, 16, 1, 8, put)                                                    \
    STREAM(kind##_16_64, widen, 16, 1, 4, put)

#define STREAMS_OF(kind)                                                                           \
    kind##_128_32, kind##_64_32, kind##_128_24, kind##_64_24, kind##_128_16, kind##_64_16,         \
        kind##_32_128, kind##_32_64, kind##_24_128, kind##_24_64, kind##_16_128, kind##_16_64

STREAMS(ordinary, store)

#define ORDINARY                                                                                   \
    {                                                                                              \
        read_only, STREAMS_OF(ordinary)                                                            \
    }

#if defined(LIMITS_WITHOUT_NONTEMPORAL)
#define NONTEMPORAL                                                                                \
    {                                                                                              \
        NULL                                                                                       \
    }
#else
STREAMS(nontemporal, store_nontemporal)

#define NONTEMPORAL                                                                                \
    {                                                                                              \
        NULL, STREAMS_OF(nontemporal)                                                              \
    }
#endif

#define LIMITS(isa)                                                                                \
    {                                                                                              \
        isa, ORDINARY, NONTEMPORAL,                                                                \
        {                                                                                          \
            read_one, read_prefetched, read_four                                                   \
        }                                                                                          \
    }

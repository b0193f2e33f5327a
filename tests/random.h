/* SPDX-License-Identifier: Apache-2.0 */
/* random.h -- reproducible random numbers for tests: the same on every machine (SplitMix64). */
#ifndef MXQ_TESTS_RANDOM_H
#define MXQ_TESTS_RANDOM_H

#include <stdint.h>
#include <stdlib.h>

struct random {
    uint64_t state;
};

static inline uint64_t random_u64(struct random *r)
{
    uint64_t z = r->state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static inline uint32_t random_u32(struct random *r)
{
    return (uint32_t)(random_u64(r) >> 32);
}

/* Returns 0 .. n - 1; n > 0. */
static inline uint32_t random_below(struct random *r, uint32_t n)
{
    return (uint32_t)((uint64_t)random_u32(r) * n >> 32);
}

/* Returns a value in [0, 1). */
static inline double random_unit(struct random *r)
{
    return random_u32(r) * 0x1p-32;
}

/* Returns about normal(0, 1): a sum of uniforms, for libm's log and cos differ between machines. */
static inline double random_normal(struct random *r)
{
    double sum = -6.0;
    for (int i = 0; i < 12; i++)
        sum += random_unit(r);
    return sum;
}

/* FNV-1a: turns a name into a seed of its own. */
static inline uint64_t random_hash(const char *name)
{
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001B3);
    return hash;
}

/* Returns N when every N-th case of a kind is enough, from MXQ_TEST_SHARE, or 1: where the machine is an
 * emulated one, or a sanitizer looks on, and all cases run elsewhere. */
static inline unsigned random_share(void)
{
    const char *text = getenv("MXQ_TEST_SHARE");
    const long share = text ? strtol(text, NULL, 10) : 1;
    return share > 1 && share < 1000 ? (unsigned)share : 1;
}

#endif

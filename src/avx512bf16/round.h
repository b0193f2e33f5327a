/* SPDX-License-Identifier: Apache-2.0 */
/* round.h -- F32 to BF16 in integers: VCVTNEPS2BF16 would flush denormals, and keep NaN payloads. */
#ifndef MXQ_AVX512BF16_ROUND_H
#define MXQ_AVX512BF16_ROUND_H

#include "avx512/vec.h"

#include "lanes/group.h"

/* The 16-bit lanes of two vectors that hold the upper halves of four F32 values, the i-th group of
 * them, in the order a b c d. */
#define UPPER_4(i, a, b, c, d)                                                                     \
    8 * (i) + 2 * (a) + 1, 8 * (i) + 2 * (b) + 1, 8 * (i) + 2 * (c) + 1, 8 * (i) + 2 * (d) + 1
#define UPPER_32(...)                                                                              \
    {                                                                                              \
        UPPER_4(0, __VA_ARGS__), UPPER_4(1, __VA_ARGS__), UPPER_4(2, __VA_ARGS__),                 \
            UPPER_4(3, __VA_ARGS__), UPPER_4(4, __VA_ARGS__), UPPER_4(5, __VA_ARGS__),             \
            UPPER_4(6, __VA_ARGS__), UPPER_4(7, __VA_ARGS__)                                       \
    }

MXQ_INLINE void round_blocks(void *out, const float *x, size_t blocks, const uint16_t upper[32])
{
    for (size_t i = 0; i < blocks * MXQ_BLOCK; i += 2 * VEC_LANES) {
        const vec a = round_to_bf16(canonical(vec_load(x + i)));
        const vec b = round_to_bf16(canonical(vec_load(x + i + VEC_LANES)));
        vec_store((uint16_t *)out + i, _mm512_permutex2var_epi16(a, vec_load(upper), b));
    }
}

#endif

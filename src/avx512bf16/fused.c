/* SPDX-License-Identifier: Apache-2.0 */
/* fused.c -- gemm_fused from BF16 x, multiplied as F32, AVX512-BF16 column: for integers, which take longer to
 * bring to BF16 pairs than FMAs take. */
#include "avx512/vec.h"

#define FUSED_ROWS         4
#define FUSED_PANELS(rows) ((rows) <= 2 ? 4u : 2u)
#define FUSED_SUMS         8
#define FUSED_X_BYTES      2

/* From pairs in the row's order, k + 2, k, k + 3, k + 1, to the upper halves of F32. */
MXQ_INLINE void load_x(float values[MXQ_BLOCK], const unsigned char *x, __m512 factor)
{
    static const uint16_t place[2][32] = {{0, 1, 0, 3,  0, 0, 0, 2,  0, 5,  0, 7,  0, 4,  0, 6,
                                           0, 9, 0, 11, 0, 8, 0, 10, 0, 13, 0, 15, 0, 12, 0, 14},
                                          {0, 17, 0, 19, 0, 16, 0, 18, 0, 21, 0, 23, 0, 20, 0, 22,
                                           0, 25, 0, 27, 0, 24, 0, 26, 0, 29, 0, 31, 0, 28, 0, 30}};
    const vec pairs = vec_load(x);
    for (size_t i = 0; i < 2; i++) {
        const vec wide = _mm512_maskz_permutexvar_epi16(0xAAAAAAAA, vec_load(place[i]), pairs);
        vec_store_ps(values + i * VEC_LANES, vec_mul_ps(vec_as_ps(wide), factor));
    }
}

#include "lanes/gemm.h"

GEMM_FUSED_KERNEL(mxq_gemm_bf16_int8_avx512bf16, MXQ_PACKED_INT8)

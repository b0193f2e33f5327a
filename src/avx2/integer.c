/* SPDX-License-Identifier: Apache-2.0 */
/* integer.c -- panel and gemm of small integers with VPMADDWD, AVX2 column.
 *
 * The instruction multiplies 16-bit integers and adds pairs of products; VPADDD adds to the sum.  (VPMADDUBSW
 * would take bytes, and saturates at 2^15: two products of unsigned by signed bytes are up to 2 * 255 * 128.
 * With the signs of x moved to w they are not, but then it takes as many instructions.)  A tile is 6 rows x 1
 * panel, 12 sums; x is widened for it, and serves two panels one after the other. */
#include <string.h>

#include "avx2/vec.h"

#define GEMM_ROWS   6
#define GEMM_PANELS 2
#define SUM_PANELS  1
#define X_BYTES     (2 * MXQ_BLOCK + sizeof(float))
#define W_BYTES     MXQ_INT16_W_BYTES
#define take_x      widen_x

MXQ_INLINE void widen_x(unsigned char *to, const unsigned char *x)
{
    for (size_t k = 0; k < MXQ_BLOCK; k += 16)
        vec_store(to + 2 * k, _mm256_sub_epi16(_mm256_cvtepu8_epi16(vec_load_128(x + k)),
                                               _mm256_set1_epi16(128)));
    memcpy(to + sizeof(int16_t) * MXQ_BLOCK, x + MXQ_BLOCK, sizeof(float));
}

MXQ_INLINE vec correction(const unsigned char *w, size_t vector)
{
    (void)w;
    (void)vector;
    return vec_set1(0);
}

#include "lanes/integer.h"

#define PAIRS      (MXQ_BLOCK / 2)
#define PAIR_BYTES ((size_t)2 * sizeof(int16_t) * MXQ_PANEL)

/* With sums of the type __m256i, which counts as 64-bit lanes, gcc 12 keeps half of them in memory. */
typedef int32_t vec_s32 __attribute__((vector_size(32)));

MXQ_INLINE vec_s32 multiply_pair(const unsigned char *x, vec weight)
{
    int pair;
    memcpy(&pair, x, sizeof pair);
    return (vec_s32)_mm256_madd_epi16(_mm256_set1_epi32(pair), weight);
}

MXQ_INLINE void add_products(vec *sums, const unsigned char *x, size_t x_stride,
                             const unsigned char *w, size_t w_stride, const size_t rows,
                             const size_t panels)
{
    const size_t vectors = panels * DOT_VECTORS;
    vec_s32 own[TILE_SUMS];
    UNROLL
    for (size_t i = 0; i < rows * vectors; i++)
        own[i] = (vec_s32)sums[i];
    for (size_t pair = 0; pair < PAIRS; pair++) {
        vec weight[SUM_PANELS * DOT_VECTORS];
        UNROLL
        for (size_t v = 0; v < vectors; v++)
            weight[v] = vec_load(w + v / DOT_VECTORS * w_stride + pair * PAIR_BYTES +
                                 v % DOT_VECTORS * VEC_BYTES);
        UNROLL
        for (size_t i = 0; i < rows * vectors; i++)
            own[i] += multiply_pair(x + i / vectors * x_stride + 4 * pair, weight[i % vectors]);
    }
    UNROLL
    for (size_t i = 0; i < rows * vectors; i++)
        sums[i] = (vec)own[i];
}

GEMM_KERNEL(mxq_gemm_int8_avx2)

/* -------------------------------------------- Panels ------------------------------------------- */

MXQ_INLINE void store_widened(unsigned char *w, __m128i bytes)
{
    vec_store(w, _mm256_cvtepi8_epi16(bytes));
}

/* A pair of k of 16 outputs: a byte has two codes. */
MXQ_INLINE void widen_e2m1_pair(unsigned char *w, const uint8_t *p)
{
    const __m128i twice = _mm_setr_epi8(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);
    const __m128i codes = vec_load_128(p), mask = _mm_set1_epi8(0xF);
    const __m128i even = _mm_shuffle_epi8(twice, _mm_and_si128(codes, mask));
    const __m128i odd = _mm_shuffle_epi8(twice, _mm_and_si128(_mm_srli_epi16(codes, 4), mask));
    store_widened(w, _mm_unpacklo_epi8(even, odd));
    store_widened(w + PAIR_BYTES / 2, _mm_unpackhi_epi8(even, odd));
}

MXQ_INLINE void widen_int8_pair(unsigned char *w, const uint8_t *p)
{
    store_widened(w, vec_load_128(p));
    store_widened(w + PAIR_BYTES / 2, vec_load_128(p + 16));
}

MXQ_INLINE void panel_blocks(unsigned char *w, const uint8_t *elements, const uint8_t *scales,
                             size_t blocks, const enum mxq_packed_element element)
{
    const int is_e2m1 = element == MXQ_PACKED_E2M1;
    const size_t bytes = mxq_packed_elements[element].element_bytes;
    for (size_t b = 0; b < blocks; b++, w += W_BYTES, scales += MXQ_PANEL) {
        for (size_t pair = 0; pair < PAIRS; pair++, elements += bytes / PAIRS) {
            __builtin_prefetch((const void *)((uintptr_t)elements + PANEL_PREFETCH));
            if (is_e2m1)
                widen_e2m1_pair(w + pair * PAIR_BYTES, elements);
            else
                widen_int8_pair(w + pair * PAIR_BYTES, elements);
        }
        store_factors(w, scales, is_e2m1);
    }
}

INTEGER_PANEL_KERNEL(mxq_panel_int8_e2m1_avx2, MXQ_PACKED_E2M1)
INTEGER_PANEL_KERNEL(mxq_panel_int8_int8_avx2, MXQ_PACKED_INT8)

/* SPDX-License-Identifier: Apache-2.0 */
/* integer.c -- panel and gemm of small integers with VPDPBUSD, AVX-512 column.
 *
 * The instruction multiplies unsigned bytes by signed ones: x has 128 added, which the corrections of w take
 * away.  A tile is 6 rows x 2 panels: its 12 sums are as many as the instruction's latency asks for, and a quad
 * of x serves two panels. */
#include "avx512/vec.h"

#define GEMM_ROWS   6
#define GEMM_PANELS 2
#define SUM_PANELS  2
#define X_BYTES     MXQ_INT8_X_BYTES
#define W_BYTES     MXQ_INT8_W_BYTES

#include "avx512/quads.h"

MXQ_INLINE vec correction(const unsigned char *w, size_t vector)
{
    (void)vector; /* there is one */
    return vec_load(w + AT_CORRECTIONS);
}

#include "lanes/integer.h"

MXQ_INLINE vec broadcast_quad(const unsigned char *p)
{
    int quad;
    memcpy(&quad, p, sizeof quad);
    return _mm512_set1_epi32(quad);
}

/* x comes from L2, in pieces too short for the hardware to prefetch: the next tile's is asked for. */
MXQ_INLINE void add_products(vec *sums, const unsigned char *x, size_t x_stride,
                             const unsigned char *w, size_t w_stride, const size_t rows,
                             const size_t panels)
{
    UNROLL
    for (size_t r = 0; r < rows; r++)
        __builtin_prefetch((const void *)((uintptr_t)x + (rows + r) * x_stride));
    UNROLL
    for (size_t quad = 0; quad < QUADS; quad++) {
        vec weight[GEMM_PANELS];
        UNROLL
        for (size_t p = 0; p < panels; p++)
            weight[p] = vec_load(w + p * w_stride + quad * QUAD_BYTES);
        UNROLL
        for (size_t i = 0; i < rows * panels; i++)
            sums[i] = _mm512_dpbusd_epi32(
                sums[i], broadcast_quad(x + i / panels * x_stride + 4 * quad), weight[i % panels]);
    }
}

GEMM_KERNEL(mxq_gemm_int8_avx512)

/* -------------------------------------------- Panels ------------------------------------------- */

/* [2 pairs][16 n][2] bytes to [16 n][4]. */
MXQ_INLINE vec load_int8_quad(const uint8_t *p)
{
    static const uint16_t order[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                       21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                       11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    return _mm512_permutexvar_epi16(vec_load(order), vec_load(p));
}

/* [2 pairs][16 n] bytes of two codes to [16 n][4] integers: each byte twice, then the upper nibbles of the odd
 * ones down, then a table of which VPERMB sees two more bits than a code has. */
MXQ_INLINE vec load_e2m1_quad(const uint8_t *p)
{
    static const uint8_t order[64] = {
        0,  0,  16, 16, 1,  1,  17, 17, 2,  2,  18, 18, 3,  3,  19, 19, 4,  4,  20, 20, 5,  5,
        21, 21, 6,  6,  22, 22, 7,  7,  23, 23, 8,  8,  24, 24, 9,  9,  25, 25, 10, 10, 26, 26,
        11, 11, 27, 27, 12, 12, 28, 28, 13, 13, 29, 29, 14, 14, 30, 30, 15, 15, 31, 31};
#define E2M1_TWICE 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12
    static const int8_t twice[64] = {E2M1_TWICE, E2M1_TWICE, E2M1_TWICE, E2M1_TWICE};
    const vec bytes =
        _mm512_permutexvar_epi8(vec_load(order), _mm512_castsi256_si512(vec_load_256(p)));
    const vec codes =
        _mm512_mask_blend_epi8(UINT64_C(0xAAAAAAAAAAAAAAAA), bytes, _mm512_srli_epi16(bytes, 4));
    return _mm512_permutexvar_epi8(codes, vec_load(twice));
}

MXQ_INLINE void panel_blocks(unsigned char *w, const uint8_t *elements, const uint8_t *scales,
                             size_t blocks, const enum mxq_packed_element element)
{
    const int is_e2m1 = element == MXQ_PACKED_E2M1;
    const size_t bytes = mxq_packed_elements[element].element_bytes;
    const vec offset = _mm512_set1_epi8((char)0x80);
    for (size_t b = 0; b < blocks; b++, w += MXQ_INT8_W_BYTES) {
        vec sum = vec_set1(0);
        for (size_t quad = 0; quad < QUADS; quad++, elements += bytes / QUADS) {
            __builtin_prefetch((const void *)((uintptr_t)elements + PANEL_PREFETCH));
            const vec integers = is_e2m1 ? load_e2m1_quad(elements) : load_int8_quad(elements);
            sum = _mm512_dpbusd_epi32(sum, offset, integers);
            vec_store(w + quad * QUAD_BYTES, integers);
        }
        vec_store(w + AT_CORRECTIONS, vec_sub(vec_set1(0), sum));
        store_factors(w, scales + b * MXQ_PANEL, is_e2m1);
    }
}

INTEGER_PANEL_KERNEL(mxq_panel_int8_e2m1_avx512, MXQ_PACKED_E2M1)
INTEGER_PANEL_KERNEL(mxq_panel_int8_int8_avx512, MXQ_PACKED_INT8)

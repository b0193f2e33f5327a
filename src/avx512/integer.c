/* SPDX-License-Identifier: Apache-2.0 */
/* integer.c -- panel and gemm of small integers with VPDPBUSD, AVX-512 column.
 *
 * The instruction multiplies unsigned bytes by signed ones: x has 128 added, which the sums begin without.
 * A tile is 6 rows x 2 panels: its 12 sums are as many as the instruction's latency asks for, and a quad of x
 * serves two panels.  The operations that bring the dot of a sub-block to y cost beside 8 of VPDPBUSD: one
 * less, where the weights' factors are all 1. */
#include <string.h>

#include "avx512/vec.h"

#define GEMM_ROWS   6
#define GEMM_PANELS 2

#include "lanes/tiles.h"

#define QUADS          (MXQ_BLOCK / 4)
#define QUAD_BYTES     (4 * MXQ_PANEL)
#define AT_CORRECTIONS (QUADS * QUAD_BYTES)
#define AT_FACTORS     (AT_CORRECTIONS + 4 * MXQ_PANEL)

MXQ_INLINE vec broadcast_quad(const unsigned char *p)
{
    int quad;
    memcpy(&quad, p, sizeof quad);
    return _mm512_set1_epi32(quad);
}

/* Whether the weights' factors of a sub-block are 1, as in a format whose scales are applied later. */
MXQ_INLINE int has_unit_factors(const unsigned char *w, size_t w_stride, const size_t panels)
{
    uint32_t units = 0xFFFF;
    UNROLL
    for (size_t p = 0; p < panels; p++)
        units &= vec_bits(
            _mm512_cmpeq_epi32_mask(vec_load(w + p * w_stride + AT_FACTORS), vec_set1(0x3F800000)));
    return units == 0xFFFF;
}

/* y += dots times the factors of x and w. */
MXQ_INLINE void add_dots(float *y, size_t y_stride, const unsigned char *x, size_t x_stride,
                         const unsigned char *w, size_t w_stride, const vec *sums,
                         const size_t rows, const size_t panels, const int is_unit)
{
    UNROLL
    for (size_t i = 0; i < rows * panels; i++) {
        float *to = y + i / panels * y_stride + i % panels * MXQ_PANEL;
        vec_ps factor = vec_broadcast_ps(x + i / panels * x_stride + MXQ_BLOCK);
        if (!is_unit)
            factor = vec_mul_ps(factor, vec_load_ps(w + i % panels * w_stride + AT_FACTORS));
        vec_store_ps(to, vec_fma_ps(_mm512_cvtepi32_ps(sums[i]), factor, vec_load_ps(to)));
    }
}

MXQ_INLINE void gemm_tile(float *y, size_t y_stride, const unsigned char *x, size_t x_stride,
                          const unsigned char *w, size_t w_stride, size_t blocks, const size_t rows,
                          const size_t panels)
{
    for (size_t b = 0; b < blocks; b++) {
        vec sums[GEMM_ROWS * GEMM_PANELS];
        UNROLL
        for (size_t i = 0; i < rows * panels; i++)
            sums[i] = vec_load(w + i % panels * w_stride + AT_CORRECTIONS);
        UNROLL
        for (size_t quad = 0; quad < QUADS; quad++) {
            vec weight[GEMM_PANELS];
            UNROLL
            for (size_t p = 0; p < panels; p++)
                weight[p] = vec_load(w + p * w_stride + quad * QUAD_BYTES);
            UNROLL
            for (size_t i = 0; i < rows * panels; i++)
                sums[i] = _mm512_dpbusd_epi32(sums[i],
                                              broadcast_quad(x + i / panels * x_stride + 4 * quad),
                                              weight[i % panels]);
        }
        if (has_unit_factors(w, w_stride, panels))
            add_dots(y, y_stride, x, x_stride, w, w_stride, sums, rows, panels, 1);
        else
            add_dots(y, y_stride, x, x_stride, w, w_stride, sums, rows, panels, 0);
        x += MXQ_INT8_X_BYTES;
        w += MXQ_INT8_W_BYTES;
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
            __builtin_prefetch((const void *)((uintptr_t)elements + blocks * bytes), 0, 2);
            const vec integers = is_e2m1 ? load_e2m1_quad(elements) : load_int8_quad(elements);
            sum = _mm512_dpbusd_epi32(sum, offset, integers);
            vec_store(w + quad * QUAD_BYTES, integers);
        }
        const vec exponent =
            vec_sub(vec_load_u8(scales + b * MXQ_PANEL), vec_set1((uint32_t)is_e2m1));
        vec_store(w + AT_CORRECTIONS, vec_sub(vec_set1(0), sum));
        vec_store(w + AT_FACTORS, vec_sll(exponent, 23));
    }
}

#define PANEL_KERNEL(name, element)                                                                \
    void name(void *w, const uint8_t *elements, const uint8_t *scales, size_t blocks)              \
    {                                                                                              \
        panel_blocks(w, elements, scales, blocks, element);                                        \
    }

PANEL_KERNEL(mxq_panel_int8_e2m1_avx512, MXQ_PACKED_E2M1)
PANEL_KERNEL(mxq_panel_int8_int8_avx512, MXQ_PACKED_INT8)

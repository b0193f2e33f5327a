/* SPDX-License-Identifier: Apache-2.0 */
/* integer.h -- gemm of small integers, written once over vec.h and an instruction that multiplies such.
 *
 * What brings the dot of a sub-block to y costs beside its products: where factors are 1, the dots of 16
 * sub-blocks are added up first (dots.h).  The including file defines
 *
 *   GEMM_ROWS GEMM_PANELS  as for tiles.h
 *   SUM_PANELS             panels whose sums the registers hold
 *   X_BYTES                of a sub-block of a row of x as it is multiplied; its last 4 are the factor
 *   W_BYTES                of a sub-block of a panel; its last 64 are the factors
 *   take_x                 brings a sub-block of a row of x there; without it x is taken as it comes
 *   correction             what a dot is to begin with: a vector of a panel
 *   add_products           as declared below; rows and panels are constants there */
#ifndef MXQ_LANES_INTEGER_H
#define MXQ_LANES_INTEGER_H

#include "lanes/dots.h"
#include "lanes/tiles.h"

#define AT_X_FACTOR  (X_BYTES - sizeof(float))
#define AT_W_FACTORS (W_BYTES - MXQ_PANEL * sizeof(float))
#define VEC_BYTES    (VEC_LANES * sizeof(float))
/* What panels ask for ahead: few rows leave no time to bring more. */
#define PANEL_PREFETCH 4096
#define TILE_SUMS      (GEMM_ROWS * SUM_PANELS * DOT_VECTORS)

/* sums += the products of a sub-block.  Sums of a row lie side by side. */
MXQ_INLINE void add_products(vec *sums, const unsigned char *x, size_t x_stride,
                             const unsigned char *w, size_t w_stride, const size_t rows,
                             const size_t panels);

/* y += dots times the factors of x and w, for one sub-block. */
MXQ_INLINE void add_block(float *y, size_t y_stride, const unsigned char *x, size_t x_stride,
                          const unsigned char *w, size_t w_stride, const size_t rows,
                          const size_t panels)
{
    const size_t vectors = panels * DOT_VECTORS;
    vec sums[TILE_SUMS];
    UNROLL
    for (size_t i = 0; i < rows * vectors; i++)
        sums[i] = correction(w + i % vectors / DOT_VECTORS * w_stride, i % DOT_VECTORS);
    add_products(sums, x, x_stride, w, w_stride, rows, panels);
    UNROLL
    for (size_t i = 0; i < rows * vectors; i++) {
        const size_t row = i / vectors, panel = i % vectors / DOT_VECTORS;
        const unsigned char *factors =
            w + panel * w_stride + AT_W_FACTORS + i % DOT_VECTORS * VEC_BYTES;
        float *to = y + row * y_stride + i % vectors * VEC_LANES;
        const vec_ps factor =
            vec_mul_ps(vec_broadcast_ps(x + row * x_stride + AT_X_FACTOR), vec_load_ps(factors));
        vec_store_ps(to, vec_fma_ps(vec_to_ps(sums[i]), factor, vec_load_ps(to)));
    }
}

/* y += the dots of up to EXACT_BLOCKS sub-blocks as one integer; returns 0, and does nothing, where that may
 * not be exact.  Factors are looked at on the way, where it costs nothing, but for the first ones. */
MXQ_INLINE int add_integers(float *y, size_t y_stride, const unsigned char *x, size_t x_stride,
                            const unsigned char *w, size_t w_stride, size_t blocks,
                            const size_t rows, const size_t panels)
{
    const size_t vectors = panels * DOT_VECTORS;
    vec sums[TILE_SUMS], corrections[SUM_PANELS * DOT_VECTORS];
    struct differences factors = {0, vec_set1(0)};
    note_x_factor(&factors, x + AT_X_FACTOR);
    note_w_factors(&factors, w + AT_W_FACTORS);
    if (!are_units(&factors) || !load_integer_sums(sums, y, y_stride, rows, panels))
        return 0;
    UNROLL
    for (size_t v = 0; v < vectors; v++)
        corrections[v] = vec_set1(0);
    for (size_t b = 0; b < blocks; b++) {
        UNROLL
        for (size_t r = 0; r < rows; r++)
            note_x_factor(&factors, x + r * x_stride + AT_X_FACTOR);
        UNROLL
        for (size_t p = 0; p < panels; p++)
            note_w_factors(&factors, w + p * w_stride + AT_W_FACTORS);
        UNROLL
        for (size_t v = 0; v < vectors; v++)
            corrections[v] = vec_add(corrections[v],
                                     correction(w + v / DOT_VECTORS * w_stride, v % DOT_VECTORS));
        add_products(sums, x, x_stride, w, w_stride, rows, panels);
        x += X_BYTES;
        w += W_BYTES;
    }
    if (!are_units(&factors))
        return 0;
    UNROLL
    for (size_t i = 0; i < rows * vectors; i++)
        vec_store_ps(y + i / vectors * y_stride + i % vectors * VEC_LANES,
                     vec_to_ps(vec_add(sums[i], corrections[i % vectors])));
    return 1;
}

/* At most EXACT_BLOCKS sub-blocks of as many panels as there are sums for. */
MXQ_INLINE void sum_tile(float *y, size_t y_stride, const unsigned char *x, size_t x_stride,
                         const unsigned char *w, size_t w_stride, size_t blocks, const size_t rows,
                         const size_t panels)
{
    if (blocks > 1 && add_integers(y, y_stride, x, x_stride, w, w_stride, blocks, rows, panels))
        return;
    for (size_t b = 0; b < blocks; b++)
        add_block(y, y_stride, x + b * X_BYTES, x_stride, w + b * W_BYTES, w_stride, rows, panels);
}

MXQ_INLINE void gemm_tile(float *y, size_t y_stride, const unsigned char *x, size_t x_stride,
                          const unsigned char *w, size_t w_stride, size_t blocks, const size_t rows,
                          const size_t panels)
{
    for (size_t some; blocks; blocks -= some, w += some * W_BYTES, x += some * MXQ_INT8_X_BYTES) {
        const unsigned char *from = x;
        size_t stride = x_stride;
        some = blocks < EXACT_BLOCKS ? blocks : EXACT_BLOCKS;
#if defined(take_x)
        unsigned char taken[GEMM_ROWS * EXACT_BLOCKS * X_BYTES] __attribute__((aligned(64)));
        stride = EXACT_BLOCKS * X_BYTES;
        from = taken;
        for (size_t r = 0; r < rows; r++)
            for (size_t b = 0; b < some; b++)
                take_x(taken + r * stride + b * X_BYTES, x + r * x_stride + b * MXQ_INT8_X_BYTES);
#endif
        for (size_t p = 0; p < panels; p += SUM_PANELS)
            sum_tile(y + p * MXQ_PANEL, y_stride, from, stride, w + p * w_stride, w_stride, some,
                     rows, panels < SUM_PANELS ? panels : SUM_PANELS);
    }
}

/* -------------------------------------------- Panels ------------------------------------------- */

/* The factors of a sub-block of a panel, whose E2M1 values are doubled. */
MXQ_INLINE void store_factors(unsigned char *w, const uint8_t *scales, const int is_e2m1)
{
    for (size_t v = 0; v < DOT_VECTORS; v++) {
        const vec field = vec_sub(vec_load_u8(scales + v * VEC_LANES), vec_set1((uint32_t)is_e2m1));
        vec_store(w + AT_W_FACTORS + v * VEC_BYTES, vec_sll(field, 23));
    }
}

/* Of a panel_blocks() that takes the element. */
#define INTEGER_PANEL_KERNEL(name, element)                                                        \
    void name(void *w, const uint8_t *elements, const uint8_t *scales, size_t blocks)              \
    {                                                                                              \
        panel_blocks(w, elements, scales, blocks, element);                                        \
    }

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* integer.c -- the GEMM microkernel with TDPBUSD, AMX column.
 *
 * Rows of x, 32 unsigned bytes each, are tile A as they lie in memory; the 8 quads of k of a sub-block of a panel
 * are tile B; tile C is the dots of that sub-block, but for the corrections, which vectors add.
 *
 * Where dots may be added up as integers (lanes/dots.h), tile C does that for 16 sub-blocks, and the unit that
 * multiplies is the limit: 16 cycles a tile step, of which four load 48 rows, 24 cycles of two load ports.
 *
 * Elsewhere each tile of dots leaves through memory: 16 cycles to store it, then for each row an addition, a
 * conversion, a product and an FMA, 32 cycles of two vector ports, and three loads, 24 cycles.  So vectors are the
 * limit, at half the rate of the unit.  They work on one sub-block while the unit does the next, into another
 * buffer: the unit takes 52 cycles to finish what it begins.
 *
 * (Counted for Intel's Sapphire Rapids from its documentation; not measured.  VPDPBUSD takes 16 times 4 cycles for
 * what a tile step does.) */
#define B_ROWS       8
#define DOT(c, a, b) tile_dot_bytes(c, a, b)

#include "avx512/quads.h"
#include "avx512/vec.h"
#include "lanes/dots.h"

#include "amx/gemm.h"

#define ZERO(t) tile_zero(t)

#define DOT_ROW ((size_t)4 * MXQ_PANEL) /* bytes */

/* The tiles C00 .. C11. */
struct dots {
    int32_t tiles[4][TILE_ROWS * MXQ_PANEL];
} __attribute__((aligned(64)));

MXQ_INLINE vec dots_of(const struct dots *d, size_t row, size_t panel)
{
    return vec_load(&d->tiles[row / TILE_ROWS * 2 + panel][row % TILE_ROWS * MXQ_PANEL]);
}

MXQ_INLINE void zero_tiles(const int halves, const int panels)
{
    ZERO(C00);
    if (panels > 1)
        ZERO(C01);
    if (halves > 1)
        ZERO(C10);
    if (halves > 1 && panels > 1)
        ZERO(C11);
}

MXQ_INLINE void store_dots(struct dots *d, const int halves, const int panels)
{
    STORE(C00, d->tiles[0], DOT_ROW);
    if (panels > 1)
        STORE(C01, d->tiles[1], DOT_ROW);
    if (halves > 1)
        STORE(C10, d->tiles[2], DOT_ROW);
    if (halves > 1 && panels > 1)
        STORE(C11, d->tiles[3], DOT_ROW);
}

/* y += dots times the factors of x and w, for one sub-block. */
MXQ_INLINE void add_block(float *y, size_t y_stride, const struct dots *d, const unsigned char *x,
                          size_t x_stride, const unsigned char *w, size_t w_stride, size_t rows,
                          const int panels)
{
    for (size_t p = 0; p < (size_t)panels; p++, y += MXQ_PANEL, w += w_stride) {
        const vec correction = vec_load(w + AT_CORRECTIONS);
        const vec_ps factors = vec_load_ps(w + AT_FACTORS);
        for (size_t r = 0; r < rows; r++) {
            const vec_ps dot = vec_to_ps(vec_add(dots_of(d, r, p), correction));
            const vec_ps factor =
                vec_mul_ps(vec_broadcast_ps(x + r * x_stride + MXQ_BLOCK), factors);
            vec_store_ps(y + r * y_stride, vec_fma_ps(dot, factor, vec_load_ps(y + r * y_stride)));
        }
    }
}

MXQ_INLINE void add_blocks(float *y, size_t y_stride, struct dots dots[2], const unsigned char *x,
                           size_t x_stride, const unsigned char *w, size_t w_stride, size_t blocks,
                           size_t rows, const int halves, const int panels)
{
    for (size_t b = 0; b <= blocks; b++) {
        if (b < blocks) {
            zero_tiles(halves, panels);
            multiply_block(x + b * MXQ_INT8_X_BYTES, x_stride, w + b * MXQ_INT8_W_BYTES, w_stride,
                           halves, panels);
            store_dots(&dots[b % 2], halves, panels);
        }
        if (b > 0)
            add_block(y, y_stride, &dots[(b - 1) % 2], x + (b - 1) * MXQ_INT8_X_BYTES, x_stride,
                      w + (b - 1) * MXQ_INT8_W_BYTES, w_stride, rows, panels);
    }
}

/* y = y plus dots, all of them integers. */
MXQ_INLINE void store_integers(float *y, size_t y_stride, const struct dots *d,
                               const vec *corrections, size_t rows, const int panels)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t p = 0; p < (size_t)panels; p++) {
            vec sum;
            float *to = y + r * y_stride + p * MXQ_PANEL;
            load_integer_sums(&sum, to, 0, 1, 1);
            sum = vec_add(vec_add(sum, corrections[p]), dots_of(d, r, p));
            vec_store_ps(to, vec_to_ps(sum));
        }
}

/* y += the dots of up to EXACT_BLOCKS sub-blocks as one integer; returns 0, and does nothing, where that may
 * not be exact.  Factors are looked at while the unit multiplies, but for the first ones. */
MXQ_INLINE int add_integers(float *y, size_t y_stride, struct dots *dots, const unsigned char *x,
                            size_t x_stride, const unsigned char *w, size_t w_stride, size_t blocks,
                            size_t rows, const int halves, const int panels)
{
    vec corrections[2] = {vec_set1(0), vec_set1(0)}, sums[2];
    struct differences factors = {0, vec_set1(0)};
    note_x_factor(&factors, x + MXQ_BLOCK);
    note_w_factors(&factors, w + AT_FACTORS);
    int is_exact = are_units(&factors);
    for (size_t r = 0; r < rows && is_exact; r++)
        is_exact = load_integer_sums(sums, y + r * y_stride, y_stride, 1, (size_t)panels);
    if (!is_exact)
        return 0;
    zero_tiles(halves, panels);
    for (size_t b = 0; b < blocks; b++, x += MXQ_INT8_X_BYTES, w += MXQ_INT8_W_BYTES) {
        multiply_block(x, x_stride, w, w_stride, halves, panels);
        for (size_t r = 0; r < rows; r++)
            note_x_factor(&factors, x + r * x_stride + MXQ_BLOCK);
        for (size_t p = 0; p < (size_t)panels; p++) {
            note_w_factors(&factors, w + p * w_stride + AT_FACTORS);
            corrections[p] = vec_add(corrections[p], vec_load(w + p * w_stride + AT_CORRECTIONS));
        }
    }
    if (!are_units(&factors))
        return 0;
    store_dots(dots, halves, panels);
    store_integers(y, y_stride, dots, corrections, rows, panels);
    return 1;
}

MXQ_INLINE void gemm_tile(float *y, size_t y_stride, const unsigned char *x, size_t x_stride,
                          const unsigned char *w, size_t w_stride, size_t blocks, size_t rows,
                          const int halves, const int panels)
{
    struct dots dots[2];
    while (blocks) {
        const size_t some = blocks < EXACT_BLOCKS ? blocks : EXACT_BLOCKS;
        if (some == 1 ||
            !add_integers(y, y_stride, dots, x, x_stride, w, w_stride, some, rows, halves, panels))
            add_blocks(y, y_stride, dots, x, x_stride, w, w_stride, some, rows, halves, panels);
        x += some * MXQ_INT8_X_BYTES;
        w += some * MXQ_INT8_W_BYTES;
        blocks -= some;
    }
}

void mxq_gemm_int8_amx(float *y, size_t y_stride, const void *x, size_t x_stride_bytes,
                       const void *w, size_t w_stride_bytes, size_t rows, size_t panels,
                       size_t blocks)
{
    gemm_as_guest(y, y_stride, x, x_stride_bytes, w, w_stride_bytes, rows, panels, blocks);
}

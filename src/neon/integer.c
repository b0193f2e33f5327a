/* SPDX-License-Identifier: Apache-2.0 */
/* integer.c -- panel and gemm of small integers with SMULL, SMLAL and SADALP, NEON column.
 *
 * Two products of bytes fit 16 bits, since no integer of x is -128: SMULL and SMLAL multiply two quads of k,
 * SADALP adds pairs of what they give to 32 bits.  That is 32 products in six instructions, where FMLA does 24.
 * A tile is 2 rows x 1 panel: 16 vectors of pairs, and the 8 sums that they are added to. */
#include "neon/bytes.h"

#define GEMM_ROWS   2
#define GEMM_PANELS 2
#define SUM_PANELS  1

#include "lanes/integer.h"

MXQ_INLINE int32x4_t add_pairs(int32x4_t sum, int8x8_t w0, int8x8_t x0, int8x8_t w1, int8x8_t x1)
{
    return vpadalq_s16(sum, vmlal_s8(vmull_s8(w0, x0), w1, x1));
}

MXQ_INLINE void add_products(vec *sums, const unsigned char *x, size_t x_stride,
                             const unsigned char *w, size_t w_stride, const size_t rows,
                             const size_t panels)
{
    int32x4_t pairs[GEMM_ROWS * DOT_VECTORS][2]; /* of outputs 0 and 1 of a vector, of 2 and 3 */
    (void)w_stride;
    (void)panels; /* one */
    UNROLL
    for (size_t i = 0; i < rows * DOT_VECTORS; i++)
        pairs[i][0] = pairs[i][1] = vdupq_n_s32(0);
    for (size_t quad = 0; quad < QUADS; quad += 2) {
        int8x8_t values[GEMM_ROWS][2];
        UNROLL
        for (size_t i = 0; i < 2 * rows; i++)
            values[i / 2][i % 2] =
                vget_low_s8(broadcast_quad(x + i / 2 * x_stride + 4 * (quad + i % 2)));
        UNROLL
        for (size_t v = 0; v < DOT_VECTORS; v++) {
            const int8x16_t first = load_weights(w, quad, v), second = load_weights(w, quad + 1, v);
            UNROLL
            for (size_t r = 0; r < rows; r++) {
                int32x4_t *to = pairs[r * DOT_VECTORS + v];
                to[0] = add_pairs(to[0], vget_low_s8(first), values[r][0], vget_low_s8(second),
                                  values[r][1]);
                to[1] = add_pairs(to[1], vget_high_s8(first), values[r][0], vget_high_s8(second),
                                  values[r][1]);
            }
        }
    }
    UNROLL
    for (size_t i = 0; i < rows * DOT_VECTORS; i++)
        sums[i] = vec_add(sums[i], vreinterpretq_u32_s32(vpaddq_s32(pairs[i][0], pairs[i][1])));
}

GEMM_KERNEL(mxq_gemm_int8_neon)

/* -------------------------------------------- Panels ------------------------------------------- */

/* [2 pairs][16 n][2] bytes to [16 n][4]. */
MXQ_INLINE void store_int8_quad(unsigned char *w, const uint8_t *p)
{
    for (size_t half = 0; half < 2; half++) {
        const uint8_t *from = p + half * MXQ_PANEL;
        const uint16x8x2_t pairs = {{vreinterpretq_u16_u8(vld1q_u8(from)),
                                     vreinterpretq_u16_u8(vld1q_u8(from + 2 * MXQ_PANEL))}};
        vst2q_u16((uint16_t *)(void *)(w + half * QUAD_BYTES / 2), pairs);
    }
}

/* [2 pairs][16 n] bytes of two codes to [16 n][4] integers. */
MXQ_INLINE void store_e2m1_quad(unsigned char *w, const uint8_t *p)
{
    static const int8_t doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
    const int8x16_t table = vld1q_s8(doubled);
    int8x16x4_t quad;
    UNROLL
    for (size_t pair = 0; pair < 2; pair++) {
        const uint8x16_t codes = vld1q_u8(p + pair * MXQ_PANEL);
        quad.val[2 * pair] = vqtbl1q_s8(table, vandq_u8(codes, vdupq_n_u8(0xF)));
        quad.val[2 * pair + 1] = vqtbl1q_s8(table, vshrq_n_u8(codes, 4));
    }
    vst4q_s8((int8_t *)w, quad);
}

/* The corrections are for other units, and belong to the panel all the same. */
MXQ_INLINE void store_corrections(unsigned char *w)
{
    for (size_t v = 0; v < DOT_VECTORS; v++) {
        int32x4_t sum = vdupq_n_s32(0);
        for (size_t quad = 0; quad < QUADS; quad++)
            sum = vpadalq_s16(sum, vpaddlq_s8(load_weights(w, quad, v)));
        vec_store(w + QUADS * QUAD_BYTES + v * sizeof(vec),
                  vreinterpretq_u32_s32(vshlq_n_s32(vnegq_s32(sum), 7)));
    }
}

MXQ_INLINE void panel_blocks(unsigned char *w, const uint8_t *elements, const uint8_t *scales,
                             size_t blocks, const enum mxq_packed_element element)
{
    const int is_e2m1 = element == MXQ_PACKED_E2M1;
    const size_t bytes = mxq_packed_elements[element].element_bytes;
    for (size_t b = 0; b < blocks; b++, w += W_BYTES, scales += MXQ_PANEL) {
        for (size_t quad = 0; quad < QUADS; quad++, elements += bytes / QUADS) {
            __builtin_prefetch((const void *)((uintptr_t)elements + PANEL_PREFETCH));
            if (is_e2m1)
                store_e2m1_quad(w + quad * QUAD_BYTES, elements);
            else
                store_int8_quad(w + quad * QUAD_BYTES, elements);
        }
        store_corrections(w);
        store_factors(w, scales, is_e2m1);
    }
}

INTEGER_PANEL_KERNEL(mxq_panel_int8_e2m1_neon, MXQ_PACKED_E2M1)
INTEGER_PANEL_KERNEL(mxq_panel_int8_int8_neon, MXQ_PACKED_INT8)

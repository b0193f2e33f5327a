/* SPDX-License-Identifier: Apache-2.0 */
/* gemm.c -- the GEMM microkernels with VDPBF16PS, AVX512-BF16 column.
 *
 * A tile of gemm is 6 rows x 2 panels: 24 chains, 4 operands w and one x are 29 of 32 registers.  Per FMA
 * pipe and cycle it loads less than 12 rows x 1 panel, each x for two products, and that is what decides:
 * both pipes take a VDPBF16PS every cycle, and there are two loads.
 *
 * gemm_fused takes up to 8 rows at once, then of one panel: to decode it again for each four rows costs more than
 * to load x for one panel alone. */
#include "avx512bf16/decode.h"
#include "avx512bf16/dot.h"

#include "lanes/group.h"

#define GEMM_ROWS          6
#define GEMM_PANELS        2
#define FUSED_ROWS         8
#define FUSED_PANELS(rows) ((rows) <= 2 ? 4u : (rows) <= 4 ? 2u : 1u)
#define FUSED_SUMS         8
#define FUSED_X_BYTES      2

#include "lanes/tiles.h"

#define X_QUAD  8               /* bytes of four values of x */
#define W_PAIR  (4 * MXQ_PANEL) /* bytes of a pair of k */
#define W_BLOCK (16 * W_PAIR)   /* bytes of a sub-block */

MXQ_INLINE void gemm_tile(float *y, size_t y_stride, const unsigned char *x, size_t x_stride,
                          const unsigned char *w, size_t w_stride, size_t blocks, const size_t rows,
                          const size_t panels)
{
    for (size_t b = 0; b < blocks; b++) {
        vec_ps even[GEMM_ROWS * GEMM_PANELS], odd[GEMM_ROWS * GEMM_PANELS];
        UNROLL
        for (size_t i = 0; i < rows * panels; i++)
            even[i] = odd[i] = vec_zero_ps();
        for (size_t quad = 0; quad < MXQ_BLOCK / 4; quad++) {
            vec w_even[GEMM_PANELS], w_odd[GEMM_PANELS];
            UNROLL
            for (size_t p = 0; p < panels; p++) {
                const unsigned char *from = w + p * w_stride + 2 * quad * W_PAIR;
                w_even[p] = vec_load(from);
                w_odd[p] = vec_load(from + W_PAIR);
            }
            UNROLL
            for (size_t i = 0; i < rows * panels; i++) {
                const unsigned char *values = x + i / panels * x_stride + quad * X_QUAD;
                even[i] = dot_pairs(even[i], broadcast_pair(values), w_even[i % panels]);
                odd[i] = dot_pairs(odd[i], broadcast_pair(values + 4), w_odd[i % panels]);
            }
        }
        UNROLL
        for (size_t i = 0; i < rows * panels; i++) {
            float *to = y + i / panels * y_stride + i % panels * MXQ_PANEL;
            vec_store_ps(to, vec_add_ps(vec_load_ps(to), vec_add_ps(even[i], odd[i])));
        }
        x += X_BLOCK;
        w += W_BLOCK;
    }
}

/* ------------------------------------- Weights in registers ------------------------------------ */

MXQ_INLINE void fused_tile(float *y, size_t y_stride, const unsigned char *x, size_t x_stride,
                           struct packed_panels w, size_t blocks, struct ahead ahead,
                           const size_t rows, const size_t panels,
                           const enum mxq_packed_element element)
{
    const struct decoder decoder = decoder_of(element);
    const size_t operands = LINE_OPERANDS(element), line_k = 2 * operands;
    for (size_t b = 0; b < blocks; b++) {
        vec_ps chains[2][FUSED_SUMS]; /* even, odd */
        ask_for_scales(w, ahead, panels);
        UNROLL
        for (size_t i = 0; i < rows * panels; i++)
            chains[0][i] = chains[1][i] = vec_zero_ps();
        for (size_t line = 0; line < MXQ_BLOCK / line_k; line++) {
            vec weight[4][4];
            UNROLL
            for (size_t p = 0; p < panels; p++) {
                const uint8_t *codes = w.elements + p * w.panel_bytes + line * 64;
                ask_for(codes, ahead.elements);
                decode_line(weight[p], codes, &decoder, element);
            }
            /* One pair of x after the other: all of them at once would drive sums out of registers. */
            UNROLL
            for (size_t i = 0; i < operands * rows * panels; i++) {
                const size_t p = i % panels, operand = i / panels % operands,
                             r = i / panels / operands, sum = r * panels + p;
                const vec pair = broadcast_pair(x + r * x_stride + line * line_k * 2 + 4 * operand);
                chains[operand % 2][sum] =
                    dot_pairs(chains[operand % 2][sum], pair, weight[p][operand]);
            }
        }
        UNROLL
        for (size_t p = 0; p < panels; p++) {
            const vec_ps factor = vec_as_ps(vec_sll(vec_load_u8(w.scales + p * w.panel_bytes), 23));
            UNROLL
            for (size_t r = 0; r < rows; r++) {
                float *to = y + r * y_stride + p * MXQ_PANEL;
                const vec_ps dot = vec_add_ps(chains[0][r * panels + p], chains[1][r * panels + p]);
                vec_store_ps(to, vec_add_ps(vec_load_ps(to), vec_mul_ps(dot, factor)));
            }
        }
        x += X_BLOCK;
        w.elements += mxq_packed_elements[element].element_bytes;
        w.scales += mxq_packed_elements[element].scale_bytes;
    }
}

GEMM_KERNEL(mxq_gemm_bf16_avx512bf16)
GEMM_FUSED_KERNEL(mxq_gemm_bf16_e4m3_avx512bf16, MXQ_PACKED_E4M3)
GEMM_FUSED_KERNEL(mxq_gemm_bf16_e5m2_avx512bf16, MXQ_PACKED_E5M2)
GEMM_FUSED_KERNEL(mxq_gemm_bf16_e2m1_avx512bf16, MXQ_PACKED_E2M1)

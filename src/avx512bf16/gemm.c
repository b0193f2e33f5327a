/* SPDX-License-Identifier: Apache-2.0 */
/* gemm.c -- the GEMM microkernels with VDPBF16PS, AVX512-BF16 column.
 *
 * VDPBF16PS adds the product of the upper halves, then that of the lower ones, as two FMAs.  So a lane
 * that holds k and k + 2, in this order from above, takes two steps of a chain: tile.k_order.
 *
 * A tile of gemm is 6 rows x 2 panels: 24 chains, 4 operands w and one x are 29 of 32 registers.  Per FMA
 * pipe and cycle it loads less than 12 rows x 1 panel, each x for two products, and that is what decides:
 * both pipes take a VDPBF16PS every cycle, and there are two loads. */
#include "avx512/vec.h"

#include "lanes/group.h"

#define GEMM_ROWS          6
#define GEMM_PANELS        2
#define FUSED_ROWS         4
#define FUSED_PANELS(rows) ((rows) <= 2 ? 4u : 2u)
#define FUSED_SUMS         8

#include "lanes/tiles.h"

#define X_QUAD  8               /* bytes of four values of x */
#define W_PAIR  (4 * MXQ_PANEL) /* bytes of a pair of k */
#define W_BLOCK (16 * W_PAIR)   /* bytes of a sub-block */
#define X_BLOCK (2 * MXQ_BLOCK)

/* The same two FMAs, flushing as the instruction does. */
#if defined(MXQ_EMULATED)
#include <math.h>

static float flush(float f)
{
    return fabsf(f) < 0x1p-126F ? copysignf(0, f) : f;
}

static float half(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return flush(f);
}

static vec_ps dot_pairs(vec_ps sum, vec x, vec w)
{
    float s[16];
    uint32_t a[16], b[16];
    vec_store_ps(s, sum);
    vec_store(a, x);
    vec_store(b, w);
    for (int i = 0; i < 16; i++) {
        s[i] = flush(fmaf(half(a[i] & 0xFFFF0000), half(b[i] & 0xFFFF0000), flush(s[i])));
        s[i] = flush(fmaf(half(a[i] << 16), half(b[i] << 16), s[i]));
    }
    return vec_load_ps(s);
}
#else
MXQ_INLINE vec_ps dot_pairs(vec_ps sum, vec x, vec w)
{
    return _mm512_dpbf16_ps(sum, (__m512bh)x, (__m512bh)w);
}
#endif

MXQ_INLINE vec broadcast_pair(const unsigned char *p)
{
    int pair;
    memcpy(&pair, p, sizeof pair);
    return _mm512_set1_epi32(pair);
}

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

/* The BF16 of every magnitude: codes count on from 2^(1 - bias) as the upper halves of F32 do, but for the
 * subnormals. */
#define CODE_BF16(c, mbits, bias)                                                                  \
    ((c) >> (mbits) ? ((c) << (7 - (mbits))) + ((127 - (bias)) << 7)                               \
     : (c) > 3      ? ((128 - (bias) - (mbits) + 2) << 7) + (((c)&3) << 5)                         \
     : (c) > 1      ? ((128 - (bias) - (mbits) + 1) << 7) + (((c)&1) << 6)                         \
     : (c) > 0      ? ((128 - (bias) - (mbits)) << 7)                                              \
                    : 0)
#define CODE_BYTE(c, mbits, bias, shift) (CODE_BF16(c, mbits, bias) >> (shift)&0xFF)

/* For c .. c + 63, f(c, ...) each. */
#define FOR_4(f, c, ...)                                                                           \
    f((c), __VA_ARGS__), f((c) + 1, __VA_ARGS__), f((c) + 2, __VA_ARGS__), f((c) + 3, __VA_ARGS__)
#define FOR_16(f, c, ...)                                                                          \
    FOR_4(f, (c), __VA_ARGS__), FOR_4(f, (c) + 4, __VA_ARGS__), FOR_4(f, (c) + 8, __VA_ARGS__),    \
        FOR_4(f, (c) + 12, __VA_ARGS__)
#define FOR_64(f, c, ...)                                                                          \
    FOR_16(f, (c), __VA_ARGS__), FOR_16(f, (c) + 16, __VA_ARGS__),                                 \
        FOR_16(f, (c) + 32, __VA_ARGS__), FOR_16(f, (c) + 48, __VA_ARGS__)

/* [mantissa bits - 2][lower, upper byte][code] */
#define CODES(mbits, bias, shift)                                                                  \
    {                                                                                              \
        FOR_64(CODE_BYTE, 0, mbits, bias, shift), FOR_64(CODE_BYTE, 64, mbits, bias, shift)        \
    }
static const uint8_t code_bytes[2][2][128] = {{CODES(2, 15, 0), CODES(2, 15, 8)},
                                              {CODES(3, 7, 0), CODES(3, 7, 8)}};

/* Byte i of the lanes of the even (0) or odd (1) chain, out of 64 lower and, from 64 on, 64 upper bytes of
 * the codes [2 pairs][16 n][2]: the lower and the upper byte of k + 2, then those of k. */
#define CHAIN_BYTE(i, odd) ((i) % 2 * 64 + ((i) % 4 < 2 ? 32 : 0) + (i) / 4 * 2 + (odd))
static const uint8_t chain_order[2][64] = {{FOR_64(CHAIN_BYTE, 0, 0)}, {FOR_64(CHAIN_BYTE, 0, 1)}};

struct decoder {
    vec low[2], high[2]; /* tables for VPERMI2B, which reads seven bits of a code */
    vec order[2];
};

MXQ_INLINE struct decoder decoder_of(const struct mxq_element_info *e)
{
    const uint8_t(*bytes)[128] = code_bytes[e->mantissa_bits - 2];
    return (struct decoder){{vec_load(bytes[0]), vec_load(bytes[0] + 64)},
                            {vec_load(bytes[1]), vec_load(bytes[1] + 64)},
                            {vec_load(chain_order[0]), vec_load(chain_order[1])}};
}

/* 64 codes, four k of 16 outputs, to one operand for each chain. */
MXQ_INLINE void decode_quad(vec w[2], const uint8_t *p, const struct decoder *d)
{
    const vec codes = vec_load(p);
    const vec low = _mm512_permutex2var_epi8(d->low[0], codes, d->low[1]);
    const vec magnitude = _mm512_permutex2var_epi8(d->high[0], codes, d->high[1]);
    const vec high =
        _mm512_ternarylogic_epi32(magnitude, codes, _mm512_set1_epi8((char)0x80), 0xF8);
    w[0] = _mm512_permutex2var_epi8(low, d->order[0], high);
    w[1] = _mm512_permutex2var_epi8(low, d->order[1], high);
}

MXQ_INLINE void fused_tile(float *y, size_t y_stride, const unsigned char *x, size_t x_stride,
                           struct packed_panels w, size_t blocks, const size_t rows,
                           const size_t panels, const struct mxq_element_info *e)
{
    const struct decoder decoder = decoder_of(e);
    for (size_t b = 0; b < blocks; b++) {
        unsigned char values[FUSED_ROWS][X_BLOCK]; /* side by side they need one address */
        vec_ps chains[2][FUSED_SUMS];              /* even, odd */
        UNROLL
        for (size_t r = 0; r < rows; r++)
            vec_store(values[r], vec_load(x + r * x_stride + b * X_BLOCK));
        UNROLL
        for (size_t i = 0; i < rows * panels; i++)
            chains[0][i] = chains[1][i] = vec_zero_ps();
        for (size_t quad = 0; quad < MXQ_BLOCK / 4; quad++) {
            vec weight[4][2];
            UNROLL
            for (size_t p = 0; p < panels; p++) {
                const uint8_t *codes =
                    w.elements + p * w.panel_bytes + b * MXQ_PANEL_ELEMENTS + quad * 64;
                __builtin_prefetch((const void *)((uintptr_t)codes + FUSED_PREFETCH));
                decode_quad(weight[p], codes, &decoder);
            }
            /* One pair of x after the other: all of them at once would drive sums out of registers. */
            UNROLL
            for (size_t i = 0; i < 2 * rows * panels; i++) {
                const size_t p = i % panels, odd = i / panels % 2,
                             sum = i / panels / 2 * panels + p;
                const vec pair = broadcast_pair(values[i / panels / 2] + quad * X_QUAD + 4 * odd);
                chains[odd][sum] = dot_pairs(chains[odd][sum], pair, weight[p][odd]);
            }
        }
        UNROLL
        for (size_t p = 0; p < panels; p++) {
            const vec_ps factor =
                vec_as_ps(vec_sll(vec_load_u8(w.scales + p * w.panel_bytes + b * MXQ_PANEL), 23));
            UNROLL
            for (size_t r = 0; r < rows; r++) {
                float *to = y + r * y_stride + p * MXQ_PANEL;
                const vec_ps dot = vec_add_ps(chains[0][r * panels + p], chains[1][r * panels + p]);
                vec_store_ps(to, vec_add_ps(vec_load_ps(to), vec_mul_ps(dot, factor)));
            }
        }
    }
}

GEMM_KERNEL(mxq_gemm_bf16_avx512bf16)
GEMM_FUSED_KERNEL(mxq_gemm_bf16_e4m3_avx512bf16, MXQ_E4M3)
GEMM_FUSED_KERNEL(mxq_gemm_bf16_e5m2_avx512bf16, MXQ_E5M2)

/* SPDX-License-Identifier: Apache-2.0 */
/* nvfp4.c -- gemm_fused of NVFP4 with VDPBF16PS, AVX512-BF16 column.
 *
 * An element times its E4M3 scale has 6 significant bits, and depends on the mantissa of the scale and on the code,
 * 7 bits together: two VPERMI2B look up the bytes of its BF16, as if the scale had the exponent 8, its largest.  A
 * saturating subtraction then takes from the exponent what the scale's is smaller by, and leaves zeros alone. */
#include "avx512bf16/decode.h"
#include "avx512bf16/dot.h"

#include "lanes/panel.h"

#define FUSED_ROWS         4
#define FUSED_PANELS(rows) ((rows) == 1 ? 4u : 2u)
#define FUSED_SUMS         8

#include "lanes/tiles.h"

#define LINE      64 /* bytes of codes: two quads of k */
#define OPERANDS  4  /* that they make: of each quad the even chain's, then the odd one's */
#define LINES     (MXQ_PANEL_ELEMENTS / 2 / LINE)
#define MOST_BF16 ((127 + 8) << 7) /* the exponent of the largest scale */

/* The 16ths of a product of code c % 16 and mantissa c / 16, and its BF16 times MOST_BF16; zeros are positive. */
#define TWICE_E2M1(m) ((m) < 2 ? (m) : (2 + ((m)&1)) << ((m) / 2 - 1))
#define SIXTEENTHS(c) (TWICE_E2M1((c)&7) * (8 + (c) / 16))
#define LOG2(p)                                                                                    \
    (((p) > 1) + ((p) > 3) + ((p) > 7) + ((p) > 15) + ((p) > 31) + ((p) > 63) + ((p) > 127))
#define MAGNITUDE(p)           (MOST_BF16 + ((LOG2(p) - 4) * 128) + ((p) << (7 - LOG2(p)) & 0x7F))
#define PRODUCT_BF16(c)        (SIXTEENTHS(c) ? ((c)&8) << 12 | MAGNITUDE(SIXTEENTHS(c)) : 0)
#define PRODUCT_BYTE(c, shift) (PRODUCT_BF16(c) >> (shift)&0xFF)
#define PRODUCT_BYTES(shift)                                                                       \
    {                                                                                              \
        FOR_64(PRODUCT_BYTE, 0, shift), FOR_64(PRODUCT_BYTE, 64, shift)                            \
    }
static const uint8_t product_bytes[2][128] = {PRODUCT_BYTES(0), PRODUCT_BYTES(8)};

/* Byte i of a line [4 pairs of k][16 n], so that unpacked with other bytes each four n are k + 2 and k of one
 * quad in lanes, and of the other quad: 8 bytes each. */
#define LINE_N(i)             ((i) / 16 * 4 + (i) % 8 / 2)
#define LINE_BYTE(i, unused)  (((i) / 8 % 2 * 2 + ((i) % 2 ? 0 : 1)) * MXQ_PANEL + LINE_N(i))
#define SCALE_BYTE(i, unused) (LINE_N(i) * 4 + 2)
static const uint8_t line_order[64] = {FOR_64(LINE_BYTE, 0, 0)};
static const uint8_t scale_order[64] = {FOR_64(SCALE_BYTE, 0, 0)};

/* Of 16 scales: their mantissas in bits 4 .. 6, and how far below MOST_BF16 they are, or 0xFFFF for zero. */
struct scales {
    vec mantissas, below;
};

MXQ_INLINE struct scales load_scales(const uint8_t *scales)
{
    vec_ps factor;
    load_e4m3_factors(&factor, scales, 0);
    const vec bits = vec_of_ps(factor);
    const vec exponents = _mm512_ternarylogic_epi32(bits, vec_srl(bits, 16), vec_set1(0x7F807F80),
                                                    0xA8); /* (a | b) & c */
    const __mmask32 is_number = _mm512_test_epi16_mask(exponents, exponents);
    const vec below = _mm512_sub_epi16(_mm512_set1_epi16(MOST_BF16), exponents);
    return (struct scales){
        _mm512_permutexvar_epi8(vec_load(scale_order), bits),
        _mm512_mask_blend_epi16(is_number, vec_set1(0xFFFFFFFF), below),
    };
}

/* One line of codes. */
MXQ_INLINE void decode_products(vec w[OPERANDS], const uint8_t *p, const struct scales *s)
{
    const vec codes = _mm512_permutexvar_epi8(vec_load(line_order), vec_load(p));
    UNROLL
    for (size_t odd = 0; odd < 2; odd++) {
        const vec index =
            _mm512_ternarylogic_epi32(odd ? _mm512_srli_epi16(codes, 4) : codes,
                                      _mm512_set1_epi8(0x0F), s->mantissas, 0xEA); /* a & b | c */
        vec byte[2];
        UNROLL
        for (size_t i = 0; i < 2; i++)
            byte[i] = _mm512_permutex2var_epi8(vec_load(product_bytes[i]), index,
                                               vec_load(product_bytes[i] + 64));
        w[odd] = _mm512_subs_epu16(_mm512_unpacklo_epi8(byte[0], byte[1]), s->below);
        w[2 + odd] = _mm512_subs_epu16(_mm512_unpackhi_epi8(byte[0], byte[1]), s->below);
    }
}

/* Half a sub-block, of 16 values of k.  Lines of the panels take turns, so that no chain waits for itself. */
MXQ_INLINE void add_half(vec_ps chains[2][FUSED_SUMS], unsigned char values[FUSED_ROWS][X_BLOCK],
                         struct packed_panels w, size_t half, const size_t rows,
                         const size_t panels)
{
    struct scales s[4];
    UNROLL
    for (size_t p = 0; p < panels; p++)
        s[p] = load_scales(w.scales + p * w.panel_bytes + half * MXQ_PANEL);
    UNROLL
    for (size_t i = 0; i < LINES / 2 * panels; i++) {
        const size_t p = i % panels, line = half * (LINES / 2) + i / panels;
        const uint8_t *codes = w.elements + p * w.panel_bytes + line * LINE;
        vec weight[OPERANDS];
        __builtin_prefetch((const void *)((uintptr_t)codes + FUSED_PREFETCH));
        decode_products(weight, codes, &s[p]);
        UNROLL
        for (size_t j = 0; j < rows * OPERANDS; j++) {
            const size_t r = j / OPERANDS, operand = j % OPERANDS, sum = r * panels + p;
            const vec pair = broadcast_pair(values[r] + (line * OPERANDS + operand) * 4);
            chains[operand % 2][sum] = dot_pairs(chains[operand % 2][sum], pair, weight[operand]);
        }
    }
}

MXQ_INLINE void fused_tile(float *y, size_t y_stride, const unsigned char *x, size_t x_stride,
                           struct packed_panels w, size_t blocks, const size_t rows,
                           const size_t panels, const enum mxq_packed_element element)
{
    for (size_t b = 0; b < blocks; b++) {
        unsigned char values[FUSED_ROWS][X_BLOCK]; /* side by side they need one address */
        vec_ps chains[2][FUSED_SUMS];              /* even, odd */
        UNROLL
        for (size_t r = 0; r < rows; r++)
            vec_store(values[r], vec_load(x + r * x_stride + b * X_BLOCK));
        UNROLL
        for (size_t i = 0; i < rows * panels; i++)
            chains[0][i] = chains[1][i] = vec_zero_ps();
        for (size_t half = 0; half < 2; half++)
            add_half(chains, values, w, half, rows, panels);
        UNROLL
        for (size_t i = 0; i < rows * panels; i++) {
            float *to = y + i / panels * y_stride + i % panels * MXQ_PANEL;
            vec_store_ps(to, vec_add_ps(vec_load_ps(to), vec_add_ps(chains[0][i], chains[1][i])));
        }
        w.elements += mxq_packed_elements[element].element_bytes;
        w.scales += mxq_packed_elements[element].scale_bytes;
    }
}

GEMM_FUSED_KERNEL(mxq_gemm_bf16_nvfp4_avx512bf16, MXQ_PACKED_NVFP4)

/* SPDX-License-Identifier: Apache-2.0 */
/* nvfp4.c -- gemm_fused of NVFP4 with VDPBF16PS, AVX512-BF16 column.
 *
 * An element times its E4M3 scale has 6 significant bits, and depends on the mantissa of the scale and on the code,
 * 7 bits together: two VPERMI2B look up the bytes of its BF16 but for the power of two of the scale.  That is applied
 * to the chains: after the first half of a sub-block they are multiplied by what its scales are larger by than those
 * of the second half, at most 2^17 or at least 2^-17, and their sum by the latter's.  The range guard knows. */
#include "avx512bf16/decode.h"
#include "avx512bf16/dot.h"

#include "lanes/panel.h"

#define FUSED_ROWS         8
#define FUSED_PANELS(rows) ((rows) == 1 ? 4u : (rows) <= 4 ? 2u : 1u)
#define FUSED_SUMS         8
#define FUSED_X_BYTES      2

#include "lanes/tiles.h"

#define LINE     64 /* bytes of codes: two quads of k */
#define OPERANDS 4  /* that they make: of each quad the even chain's, then the odd one's */
#define LINES    (MXQ_PANEL_ELEMENTS / 2 / LINE)

/* The 16ths of the product of code c % 16 and mantissa c / 16, and its BF16; zeros are positive. */
#define TWICE_E2M1(m) ((m) < 2 ? (m) : (2 + ((m)&1)) << ((m) / 2 - ((m) > 1)))
#define SIXTEENTHS(c) (TWICE_E2M1((c)&7) * (8 + (c) / 16))
#define LOG2(p)                                                                                    \
    (((p) > 1) + ((p) > 3) + ((p) > 7) + ((p) > 15) + ((p) > 31) + ((p) > 63) + ((p) > 127))
#define MAGNITUDE(p)           (((127 + LOG2(p) - 4) << 7) + ((p) << (7 - LOG2(p)) & 0x7F))
#define PRODUCT_BF16(c)        (SIXTEENTHS(c) ? ((c)&8) << 12 | MAGNITUDE(SIXTEENTHS(c)) : 0)
#define PRODUCT_BYTE(c, shift) (PRODUCT_BF16(c) >> (shift)&0xFF)
#define PRODUCT_BYTES(shift)                                                                       \
    {                                                                                              \
        FOR_64(PRODUCT_BYTE, 0, shift), FOR_64(PRODUCT_BYTE, 64, shift)                            \
    }
static const uint8_t product_bytes[2][128] = {PRODUCT_BYTES(0), PRODUCT_BYTES(8)};

/* Byte i of a line [4 pairs of k][16 n], so that unpacked with other bytes each four n are k + 2 and k of one
 * quad in lanes, and of the other quad: 8 bytes each. */
#define LINE_N(i)            ((i) / 16 * 4 + (i) % 8 / 2)
#define LINE_BYTE(i, unused) (((i) / 8 % 2 * 2 + ((i) % 2 ? 0 : 1)) * MXQ_PANEL + LINE_N(i))
#define SCALE_BYTE(i, byte)  (LINE_N(i) * 4 + (byte))
static const uint8_t line_order[64] = {FOR_64(LINE_BYTE, 0, 0)};
static const uint8_t mantissa_order[64] = {FOR_64(SCALE_BYTE, 0, 2)};
static const uint8_t field_order[64] = {FOR_64(SCALE_BYTE, 0, 3)};

/* Of 16 scales: their mantissas in bits 4 .. 6 of the bytes of a line, which bytes have one that is not zero, and
 * their powers of two; that of zero does not matter. */
struct scales {
    vec mantissas;
    __mmask64 is_number;
    vec power;
};

MXQ_INLINE struct scales load_scales(const uint8_t *scales)
{
    vec_ps factor;
    load_e4m3_factors(&factor, scales, 0);
    const vec bits = vec_of_ps(factor);
    const vec fields = _mm512_permutexvar_epi8(vec_load(field_order), bits);
    const vec least = vec_set1((127 - 9) << 23);
    return (struct scales){
        _mm512_permutexvar_epi8(vec_load(mantissa_order), bits),
        _mm512_test_epi8_mask(fields, fields),
        _mm512_max_epu32(vec_and(bits, vec_set1(0x7F800000)), least),
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
            byte[i] = _mm512_maskz_permutex2var_epi8(s->is_number, vec_load(product_bytes[i]),
                                                     index, vec_load(product_bytes[i] + 64));
        w[odd] = _mm512_unpacklo_epi8(byte[0], byte[1]);
        w[2 + odd] = _mm512_unpackhi_epi8(byte[0], byte[1]);
    }
}

/* Half a sub-block, of 16 values of k.  Lines of the panels take turns, so that no chain waits for itself. */
MXQ_INLINE void add_half(vec_ps chains[2][FUSED_SUMS], const unsigned char *x, size_t x_stride,
                         struct packed_panels w, const struct scales *s, size_t half,
                         struct ahead ahead, const size_t rows, const size_t panels)
{
    UNROLL
    for (size_t i = 0; i < LINES / 2 * panels; i++) {
        const size_t p = i % panels, line = half * (LINES / 2) + i / panels;
        const uint8_t *codes = w.elements + p * w.panel_bytes + line * LINE;
        vec weight[OPERANDS];
        ask_for(codes, ahead.elements);
        decode_products(weight, codes, &s[p]);
        UNROLL
        for (size_t j = 0; j < rows * OPERANDS; j++) {
            const size_t r = j / OPERANDS, operand = j % OPERANDS, sum = r * panels + p;
            const vec pair = broadcast_pair(x + r * x_stride + (line * OPERANDS + operand) * 4);
            chains[operand % 2][sum] = dot_pairs(chains[operand % 2][sum], pair, weight[operand]);
        }
    }
}

/* Of powers of two. */
MXQ_INLINE vec_ps quotient(vec a, vec b)
{
    return vec_as_ps(vec_add(vec_sub(a, b), vec_set1(127 << 23)));
}

MXQ_INLINE void scale_chains(vec_ps chains[2][FUSED_SUMS], vec_ps factor, size_t panel,
                             const size_t rows, const size_t panels)
{
    UNROLL
    for (size_t i = 0; i < 2 * rows; i++) {
        vec_ps *chain = &chains[i % 2][i / 2 * panels + panel];
        *chain = vec_mul_ps(*chain, factor);
    }
}

MXQ_INLINE void fused_tile(float *y, size_t y_stride, const unsigned char *x, size_t x_stride,
                           struct packed_panels w, size_t blocks, struct ahead ahead,
                           const size_t rows, const size_t panels,
                           const enum mxq_packed_element element)
{
    for (size_t b = 0; b < blocks; b++) {
        vec_ps chains[2][FUSED_SUMS]; /* even, odd */
        struct scales s[4];
        ask_for_scales(w, ahead, panels);
        UNROLL
        for (size_t i = 0; i < rows * panels; i++)
            chains[0][i] = chains[1][i] = vec_zero_ps();
        UNROLL
        for (size_t p = 0; p < panels; p++)
            s[p] = load_scales(w.scales + p * w.panel_bytes);
        add_half(chains, x, x_stride, w, s, 0, ahead, rows, panels);
        UNROLL
        for (size_t p = 0; p < panels; p++) {
            const vec first = s[p].power;
            s[p] = load_scales(w.scales + p * w.panel_bytes + MXQ_PANEL);
            scale_chains(chains, quotient(first, s[p].power), p, rows, panels);
        }
        add_half(chains, x, x_stride, w, s, 1, ahead, rows, panels);
        UNROLL
        for (size_t i = 0; i < rows * panels; i++) {
            float *to = y + i / panels * y_stride + i % panels * MXQ_PANEL;
            const vec_ps dot = vec_add_ps(chains[0][i], chains[1][i]);
            vec_store_ps(
                to, vec_add_ps(vec_load_ps(to), vec_mul_ps(dot, vec_as_ps(s[i % panels].power))));
        }
        x += X_BLOCK;
        w.elements += mxq_packed_elements[element].element_bytes;
        w.scales += mxq_packed_elements[element].scale_bytes;
    }
}

GEMM_FUSED_KERNEL(mxq_gemm_bf16_nvfp4_avx512bf16, MXQ_PACKED_NVFP4)

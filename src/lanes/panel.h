/* SPDX-License-Identifier: Apache-2.0 */
/* panel.h -- packed weights to F32, written once over vec.h.
 *
 * With its sign in front and zeros between, an element code is the upper half of a F32: the same
 * mantissa, and an exponent that counts from 2^-127 and not from 2^-bias.  That holds for subnormals
 * too, as F32 subnormals, so one product with a power of two makes up for all of it.  (Some machines
 * are slow on subnormal operands; among weights scaled by their block, one in 10^4 is one.)
 *
 *   vec_ps            a vector of F32, with vec_zero_ps _broadcast_ps _load_ps _store_ps _add_ps
 *                     _mul_ps _fma_ps; a type of its own, or gcc keeps no sums in registers
 *   vec_decode_pair(even, odd, p, mbits)
 *                     one pair of k, [16 n][2] codes, to two times 16 F32, times 2^-PAIR_SHIFT;
 *                     the n in an order of the instruction set's own
 *   vec_decode_pair_e2m1(even, odd, p)
 *                     the same from [16 n] bytes, times 2^-VEC_E2M1_SHIFT
 *   vec_decode_pair_int8(even, odd, p)
 *                     the same from [16 n][2] integers, as they are
 *   vec_order(v)      from that order to n = 0 .. 15, and back */
#ifndef MXQ_LANES_PANEL_H
#define MXQ_LANES_PANEL_H

#include "lanes/group.h"

#define PANEL_VECTORS       (MXQ_PANEL / VEC_LANES)
#define BARE_BYTES(element) ((size_t)mxq_packed_elements[element].element_bytes)
#define PAIR_BYTES(element) (BARE_BYTES(element) / (MXQ_BLOCK / 2))

/* 2^-PAIR_SHIFT comes with a decoded value: for FP8 the difference of the exponent biases. */
#define PAIR_SHIFT(element)                                                                        \
    ((element) == MXQ_PACKED_INT8 ? 0                                                              \
     : mxq_packed_elements[element].element == MXQ_E2M1                                            \
         ? VEC_E2M1_SHIFT                                                                          \
         : 127 - mxq_elements[mxq_packed_elements[element].element].bias)

MXQ_INLINE void decode_pair(vec_ps even[PANEL_VECTORS], vec_ps odd[PANEL_VECTORS], const uint8_t *p,
                            const enum mxq_packed_element element)
{
    const struct mxq_element_info *e = &mxq_elements[mxq_packed_elements[element].element];
    if (e->kind == MXQ_INTEGER)
        vec_decode_pair_int8(even, odd, p);
    else if (e->bits == 4)
        vec_decode_pair_e2m1(even, odd, p);
    else
        vec_decode_pair(even, odd, p, e->mantissa_bits);
}

/* 2^(scale - 127 + shift) of 16 scales, in the order of vec_decode_pair(). */
MXQ_INLINE void load_factors(vec_ps factor[PANEL_VECTORS], const uint8_t *scales, int shift)
{
    for (size_t v = 0; v < PANEL_VECTORS; v++)
        factor[v] = vec_as_ps(
            vec_sll(vec_add(vec_load_u8(scales + v * VEC_LANES), vec_set1((uint32_t)shift)), 23));
    vec_order(factor);
}

/* The scales of NVFP4, times 2^shift, the same way.  They are small, but the shift may be large. */
MXQ_INLINE void load_e4m3_factors(vec_ps factor[PANEL_VECTORS], const uint8_t *scales, int shift)
{
    const struct mxq_element_info *e4m3 = &mxq_elements[MXQ_E4M3];
    for (size_t v = 0; v < PANEL_VECTORS; v++) {
        const vec field = vec_sll(vec_load_u8(scales + v * VEC_LANES), 20); /* 3 mantissa bits */
        factor[v] =
            vec_mul_ps(vec_as_ps(field), vec_as_ps(vec_set1((uint32_t)(254 - e4m3->bias) << 23)));
        if (shift)
            factor[v] = vec_mul_ps(factor[v], vec_as_ps(vec_set1((uint32_t)(127 + shift) << 23)));
    }
    vec_order(factor);
}

/* What brings decoded elements of half a sub-block to their values. */
MXQ_INLINE void load_element_factors(vec_ps factor[PANEL_VECTORS], const uint8_t *scales,
                                     size_t half, const enum mxq_packed_element element)
{
    if (element == MXQ_PACKED_NVFP4)
        load_e4m3_factors(factor, scales + half * MXQ_PANEL, PAIR_SHIFT(element));
    else
        load_factors(factor, scales, PAIR_SHIFT(element));
}

MXQ_INLINE void store_row(float *w, vec_ps row[PANEL_VECTORS], const vec_ps factor[PANEL_VECTORS])
{
    for (size_t v = 0; v < PANEL_VECTORS; v++)
        row[v] = vec_mul_ps(row[v], factor[v]);
    vec_order(row);
    for (size_t v = 0; v < PANEL_VECTORS; v++)
        vec_store_ps(w + v * VEC_LANES, row[v]);
}

/* The next part of the panel is wanted when this one has been multiplied: bring it to L2 at least. */
#define PANEL_PREFETCH 4096

MXQ_INLINE void panel_blocks(float *w, const uint8_t *elements, const uint8_t *scales,
                             size_t blocks, const enum mxq_packed_element element)
{
    for (size_t half = 0; half < 2 * blocks; half++) {
        vec_ps factor[PANEL_VECTORS];
        load_element_factors(factor, scales + half / 2 * mxq_packed_elements[element].scale_bytes,
                             half % 2, element);
        for (size_t i = 0; i < BARE_BYTES(element) / 2; i += PAIR_BYTES(element)) {
            vec_ps even[PANEL_VECTORS], odd[PANEL_VECTORS];
            if (i % 64 == 0)
                __builtin_prefetch((const void *)((uintptr_t)elements + PANEL_PREFETCH));
            decode_pair(even, odd, elements, element);
            store_row(w, even, factor);
            store_row(w + MXQ_PANEL, odd, factor);
            elements += PAIR_BYTES(element);
            w += 2 * MXQ_PANEL;
        }
    }
}

#define PANEL_KERNEL(name, element)                                                                \
    void name(void *w, const uint8_t *elements, const uint8_t *scales, size_t blocks)              \
    {                                                                                              \
        panel_blocks(w, elements, scales, blocks, element);                                        \
    }

#endif

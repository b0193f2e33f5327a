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
 *                     one pair of k, [16 n][2] codes, to two times 16 F32, times 2^-PAIR_SHIFT(e);
 *                     the n in an order of the instruction set's own
 *   vec_order(v)      from that order to n = 0 .. 15, and back */
#ifndef MXQ_LANES_PANEL_H
#define MXQ_LANES_PANEL_H

#include "lanes/group.h"

#define PANEL_VECTORS (MXQ_PANEL / VEC_LANES)
#define PAIR_BYTES    (2 * MXQ_PANEL)

/* 2^-PAIR_SHIFT comes with a decoded value: the difference of the exponent biases. */
#define PAIR_SHIFT(e) (127 - (e)->bias)

/* 2^(scale - 127 + shift) of 16 scales, in the order of vec_decode_pair(). */
MXQ_INLINE void load_factors(vec_ps factor[PANEL_VECTORS], const uint8_t *scales, int shift)
{
    for (size_t v = 0; v < PANEL_VECTORS; v++)
        factor[v] = vec_as_ps(
            vec_sll(vec_add(vec_load_u8(scales + v * VEC_LANES), vec_set1((uint32_t)shift)), 23));
    vec_order(factor);
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
                             size_t blocks, const struct mxq_element_info *e)
{
    for (size_t b = 0; b < blocks; b++) {
        vec_ps factor[PANEL_VECTORS];
        load_factors(factor, scales + b * MXQ_PANEL, PAIR_SHIFT(e));
        for (size_t i = 0; i < MXQ_PANEL_ELEMENTS; i += PAIR_BYTES) {
            vec_ps even[PANEL_VECTORS], odd[PANEL_VECTORS];
            const size_t at = b * MXQ_PANEL_ELEMENTS + i;
            if (i % 64 == 0)
                __builtin_prefetch((const void *)((uintptr_t)elements + at + PANEL_PREFETCH));
            vec_decode_pair(even, odd, elements + at, e->mantissa_bits);
            store_row(w + at, even, factor);
            store_row(w + at + MXQ_PANEL, odd, factor);
        }
    }
}

#define PANEL_KERNEL(name, element)                                                                \
    void name(void *w, const uint8_t *elements, const uint8_t *scales, size_t blocks)              \
    {                                                                                              \
        panel_blocks(w, elements, scales, blocks, &mxq_elements[element]);                         \
    }

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* bits.h -- element codes of less than a byte, packed and one by one.
 *
 * Code i of a row is bits [i * bits, (i + 1) * bits) of its bytes as one little-endian number. */
#ifndef MXQ_BITS_H
#define MXQ_BITS_H

#include "format.h"

/* Packs a multiple of 4 codes, each in the lowest bits of a byte, the others of which are 0. */
MXQ_INLINE void mxq_pack_bits(uint8_t *packed, const uint8_t *codes, size_t count, int bits)
{
    for (size_t i = 0; i < count; i += 4) {
        const uint32_t word = (uint32_t)codes[i] | (uint32_t)codes[i + 1] << bits |
                              (uint32_t)codes[i + 2] << 2 * bits |
                              (uint32_t)codes[i + 3] << 3 * bits;
        for (int byte = 0; byte < bits / 2; byte++)
            *packed++ = (uint8_t)(word >> 8 * byte);
    }
}

/* The inverse. */
MXQ_INLINE void mxq_unpack_bits(uint8_t *codes, const uint8_t *packed, size_t count, int bits)
{
    for (size_t i = 0; i < count; i += 4) {
        uint32_t word = 0;
        for (int byte = 0; byte < bits / 2; byte++)
            word |= (uint32_t)*packed++ << 8 * byte;
        for (size_t j = 0; j < 4; j++)
            codes[i + j] = (uint8_t)(word >> j * (size_t)bits & ((1u << bits) - 1));
    }
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* packed.h -- the packed form of a weight matrix of n outputs x k inputs.
 *
 * One layout for every instruction set: the B tile of AMX, in which each 32-bit lane of a BF16 copy
 * holds (k even, k odd) of one output, so that other units get the even and the odd chain of the
 * canonical order from it.  All integers are little-endian.
 *
 *   offset  bytes  field
 *   0       8      magic: 0x89 "mxqpk" 0x0D 0x0A; the ends betray a transfer as text
 *   8       4      version, 1
 *   12      4      element: 0 E4M3, 1 E5M2
 *   16      4      scale: 0 E8M0
 *   20      4      block_rows, 1
 *   24      4      block_cols, 32
 *   28      1      the smallest scale byte of a block that is not all zeros; 127 when there is none
 *   29      1      the largest one; 127 when there is none
 *   30      1      1 when a weight is not finite, else 0
 *   31      1      0
 *   32      8      n
 *   40      8      k
 *   48      8      bytes of the whole
 *   56      8      check value of the panels
 *   64      56     0
 *   120     8      check value of bytes 0 .. 119
 *   128            panels, in ascending order of n, 16 outputs each
 *
 * A panel holds its elements, then its scales.  K is cut into sub-blocks of 32:
 *
 *   elements  [sub-blocks][16 pairs of k][16 n][2]   one byte per element
 *   scales    [sub-blocks][16 n]                     one byte per block, and zeros up to 64 bytes
 *
 * so that the elements, read 64 bytes at a time, never straddle a cache line.  Elements beyond n or k
 * are 0.  A block of zeros, and one beyond n, has scale 127: its own scale means nothing to a product.
 *
 * The check value of bytes is the sum, modulo 2^64, of mix(word, i) over their 64-bit words i = 0, 1, ...:
 *
 *   h = word xor i * 0x9E3779B97F4A7C15;  h = (h xor h >> 32) * 0xD6E8FEB86659FD93;  mix = h xor h >> 32
 *
 * so that any single change is found, and threads may add up their parts in any order. */
#ifndef MXQ_PACKED_H
#define MXQ_PACKED_H

#include "kernels.h"

#define MXQ_PACKED_HEADER 128

/* A packed buffer, taken apart. */
struct mxq_packed {
    struct mxq_packed_info info;
    const uint8_t *panels;
    size_t panel_count;
    size_t panel_bytes;
    size_t scales; /* offset of a panel's scales */
    size_t blocks; /* sub-blocks of a panel */
    uint8_t scale_low;
    uint8_t scale_high;
    int is_finite;
    uint64_t check;
};

/* Takes the header of a packed buffer apart, after checking it. */
enum mxq_status mxq_packed_open(struct mxq_packed *p, const void *packed, size_t packed_bytes,
                                struct mxq_error *error);

#endif

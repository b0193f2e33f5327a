/* SPDX-License-Identifier: Apache-2.0 */
/* packed.h -- the packed form of a weight matrix of n outputs x k inputs.
 *
 * One layout for every instruction set: the B tile of AMX, in which each 32-bit lane of a BF16 copy
 * holds (k even, k odd) of one output, so that other units get the even and the odd chain of the
 * canonical order from it.  All integers are little-endian.
 *
 *   offset  bytes  field
 *   0       8      magic: 0x89 "mxqpk" 0x0D 0x0A; the ends betray a transfer as text
 *   8       4      version, 2
 *   12      4      element: an enum mxq_element
 *   16      4      scale: an enum mxq_scale
 *   20      4      block_rows
 *   24      4      block_cols
 *   28      1      the smallest E8M0 byte of a panel's block that is not all zeros; 127 when there is none
 *   29      1      the largest one; 127 when there is none
 *   30      1      1 when an element or a scale within a panel's blocks is not finite, else 0
 *   31      1      1 when an integer code is -128, else 0
 *   32      8      n
 *   40      8      k
 *   48      8      bytes of the whole
 *   56      8      check value of the panels
 *   64      56     0
 *   120     8      check value of bytes 0 .. 119
 *   128            panels, in ascending order of n, 16 outputs each
 *
 * K is cut into sub-blocks of 32.  Where F32, BF16 or F16 scales belong to blocks of 8 or 16 values, each such
 * block is a sub-block of its own, filled up with zeros.  A panel holds its elements, then its scales, then
 * its factors:
 *
 *   element of the format     packed as   elements                             bytes of a sub-block
 *   E4M3, E3M2                E4M3        [sub-blocks][16 pairs of k][16 n][2] 512
 *   E5M2                      E5M2        the same                             512
 *   MXINT8, INT8, E2M3        INT8        the same                             512
 *   E2M1                      E2M1        [sub-blocks][16 pairs of k][16 n]    256
 *   E2M1 with E4M3 scales     NVFP4       the same                             256
 *
 *   scales    [sub-blocks][16 n], and zeros up to 64 bytes: E8M0, one of each block of an output, again for
 *             each sub-block of a longer one; 127 where the format's scale is not E8M0.  NVFP4:
 *             [sub-blocks][2 halves of k][16 n], the format's E4M3
 *   factors   [groups][16 n] F32: the format's F32, BF16 or F16 scales widened, for each block along k; NVFP4:
 *             the tensor's scale, one group; E8M0: none
 *
 * so that the elements, read 64 bytes at a time, never straddle a cache line.  E3M2 becomes the E4M3 code of
 * the same value.  INT8 codes are those of MXINT8 and INT8, and eight times the value of E2M3, so that E8M0
 * bytes are smaller by 6, 0 and 3: what would be -s is kept as 255 - s.  E2M1 pairs have k even in the lower
 * half of a byte.  The sign of an E4M3 scale moves to the elements, and a NaN is 0x7F.
 *
 * Elements beyond n or k are 0.  A block of zeros, and one beyond n, has the E8M0 scale 127: its own scale
 * means nothing to a product.
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

/* How the weights of a format are packed. */
struct mxq_packed_layout {
    enum mxq_packed_element element;
    int shift;  /* E8M0 bytes of the panel are smaller by this */
    size_t run; /* values of k of a sub-block: 32, 16 or 8 */
};

/* A packed buffer, taken apart. */
struct mxq_packed {
    struct mxq_packed_info info;
    struct mxq_packed_layout layout;
    const uint8_t *panels;
    size_t panel_count;
    size_t panel_bytes;
    size_t element_bytes; /* of a sub-block of a panel */
    size_t scale_bytes;
    size_t scales;  /* offset of a panel's scales */
    size_t factors; /* and of its factors */
    size_t blocks;  /* sub-blocks of a panel */
    size_t groups;  /* factors of an output */
    uint8_t scale_low;
    uint8_t scale_high;
    int is_finite;
    int has_least; /* an integer code is -128 */
    uint64_t check;
};

/* Takes the header of a packed buffer apart, after checking it. */
enum mxq_status mxq_packed_open(struct mxq_packed *p, const void *packed, size_t packed_bytes,
                                struct mxq_error *error);

/* Unpacks sub-blocks of a panel to [32 k][16 n] F32 whatever their elements and scales, at most
 * MXQ_TILE_BYTES of them. */
void mxq_unpack_any(const struct mxq_packed *p, float *w, const uint8_t *elements,
                    const uint8_t *scales, size_t blocks);

#endif
